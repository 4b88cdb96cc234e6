"""The Divan of Hafez with two modern readings of each ghazal: the texts that a model trained on Wikipedia is carried over to.

495 ghazals, from the PyPI package ``hafez`` (K. Bakhtiyari, MIT): the verse, half-lines in turn, and short
interpretations in today's prose (for bibliomancy). Verse is the far target, prose the near one.

The file ``hafez.json`` is looked for in the data folder (and its ``hafez``), else in the installed package, which is
found and not imported. Its bytes are checked. One split for both targets, by ghazal: no ghazal stands, as verse or in
its reading, on two sides; a reading that an earlier ghazal had already is left out. Nothing is normalised here.
"""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from genmodels.errors import DataError
from genmodels.system.files import file_digest
from genmodels.system.places import VARIABLE, data_folder

NAME = "hafez.json"
VERSION = "0.4.2"
DIGEST = "fd58ddee9407c7f2316ddbf84395e5515207386afe62c8be9a85ff65de1db98f"  # sha256
LICENCE = "the package hafez by K. Bakhtiyari, MIT"
TARGETS = ("verse", "prose")
HELD_OUT = {"test": 80, "validation": 30}  # ghazals; the rest is for training
SPLIT_SEED = 1
WAY_OUT = f"pip install 'hafez=={VERSION}', or put {NAME} into the data folder ({VARIABLE})"

Ghazals = tuple[tuple[str, ...], ...]  # the lines (or readings) of each


def locate(folder: Path | str | None = None) -> Path:
    """The file, in the data folder or the installed package; ``DataError`` where it is in neither."""
    place = data_folder(folder)
    package = importlib.util.find_spec("hafez")
    roots = [Path(root) / "data" for root in (package.submodule_search_locations or ())] if package else []
    found = next((path for root in (place, place / "hafez", *roots) if (path := root / NAME).is_file()), None)
    if found is None:
        raise DataError(f"the ghazals of Hafez ({NAME}) are not in {place}, nor is their package installed; {WAY_OUT}")
    return found


def load(folder: Path | str | None = None) -> dict[str, dict[str, Ghazals]]:
    """``[target][split]``: the ghazals, each a tuple of lines (verse) or readings (prose), in the order of the split.

    Raises ``DataError`` for a missing file, and for one that is not version ``VERSION``'s.
    """
    path = locate(folder)
    if (found := file_digest(path)) != DIGEST:
        raise DataError(
            f"{path} is not the file of hafez {VERSION}: sha256 {found[:12]}…, not {DIGEST[:12]}…; {WAY_OUT}"
        )
    rows = json.loads(path.read_text("utf-8"))
    seen: set[str] = set()
    prose = []
    for row in rows:
        readings = [text.strip() for text in (row["interpretation"], row["alt_interpretation"])]
        prose.append(tuple(text for text in readings if text and not (text in seen or seen.add(text))))
    texts = {"verse": tuple(tuple(row["poem"]) for row in rows), "prose": tuple(prose)}
    return {target: split_by_ghazal(ghazals) for target, ghazals in texts.items()}


def split_by_ghazal(ghazals: Ghazals) -> Mapping[str, Ghazals]:
    """A fixed permutation cut into test, validation and training; the same ghazals for every target."""
    order = np.random.RandomState(SPLIT_SEED).permutation(len(ghazals))
    borders = np.cumsum([0, *HELD_OUT.values(), len(ghazals)])
    return {
        split: tuple(ghazals[i] for i in order[start:stop])
        for split, start, stop in zip((*HELD_OUT, "train"), borders, borders[1:])
    }
