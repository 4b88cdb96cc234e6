"""The ghazals: found in a folder or a package, known by their bytes, split by ghazal."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from types import SimpleNamespace

import pytest

from genmodels.data import hafez
from genmodels.errors import DataError
from genmodels.system import files

ROWS = [
    {"poem": [f"نیمهٔ {k}", f"نیمهٔ دوم {k}"], "interpretation": f"تعبیر {k} ", "alt_interpretation": f"دیگر {k % 190}"}
    for k in range(200)
]


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A data folder with a file of the right digest; no package."""
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    path = tmp_path / "hafez" / hafez.NAME
    path.parent.mkdir()
    path.write_text(json.dumps(ROWS), "utf-8")
    monkeypatch.setattr(hafez, "DIGEST", files.file_digest(path))
    return tmp_path


def test_a_ghazal_stands_on_one_side_in_both_targets(place: Path) -> None:
    found = hafez.load(place)
    sides = {}
    for split in ("train", "validation", "test"):
        sides[split] = {int(poem[0].split()[-1]) for poem in found["verse"][split]}
        readings = {int(rows[0].split()[-1]) for rows in found["prose"][split]}
        assert readings == sides[split] and len(found["verse"][split]) == len(sides[split])
    assert sum(map(len, sides.values())) == 200 == len(set.union(*sides.values()))
    assert {split: len(found["verse"][split]) for split in hafez.HELD_OUT} == hafez.HELD_OUT
    assert hafez.load(place) == found


def test_a_reading_that_stood_before_is_left_out(place: Path) -> None:
    every = [text for split in hafez.load(place)["prose"].values() for rows in split for text in rows]
    assert len(every) == len(set(every)) == 200 + 190
    assert not any(text != text.strip() for text in every)


def test_the_package_serves_where_the_folder_has_no_file(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "site" / "hafez"
    (root / "data").mkdir(parents=True)
    (place / "hafez" / hafez.NAME).rename(root / "data" / hafez.NAME)
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: SimpleNamespace(submodule_search_locations=[str(root)])
    )
    assert hafez.locate(place) == root / "data" / hafez.NAME and len(hafez.load(place)["verse"]["test"]) == 80


def test_absent_and_other_files_are_one_line(place: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"are not in .*pip install 'hafez==0\.4\.2'") as error:
        hafez.load(tmp_path / "elsewhere")
    assert "\n" not in str(error.value)
    (place / "hafez" / hafez.NAME).write_text("[]")
    with pytest.raises(DataError, match="is not the file of hafez 0.4.2"):
        hafez.load(place)


def test_the_real_file() -> None:
    """What the shipped result was made of, where its package is installed."""
    try:
        found = hafez.load("/nonexistent")
    except DataError:
        pytest.skip("the package hafez is not installed")
    assert {target: sum(map(len, splits.values())) for target, splits in found.items()} == {"verse": 495, "prose": 495}
    assert sum(len(line) for split in found["verse"].values() for poem in split for line in poem) > 250_000
