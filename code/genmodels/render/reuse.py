"""Outputs of an execution, kept and used again while nothing that could change them has changed.

A prose edit must not cost a minute. What a chunk or an inline expression gives depends on the code of all of them, on
the package, on the shipped results, on the lists and fonts in ``assets/``, on the installed distributions and on the
machine: ``identity`` is the sha256 of all these *contents* (never of times), the payload of every result included. The
same identity, the same outputs; any other, a new execution. Quarto's own caches know the document alone, which is why
they stay off. What does vary between two executions of the same identity is measured time: a reused table of timings
is the one of the stored execution, whose moment is printed. ``genmodels render --fresh`` executes in any case.

The file is JSON with its own digest: one that was truncated or edited is no error, it is executed again.
What it does not do: know what a chunk reads. The chunks of a document may read only what is named above
(``tests/test_reuse.py`` looks at the report's).
"""

from __future__ import annotations

import json
import os
import platform
import re
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timezone
from importlib import metadata
from pathlib import Path
from typing import Any

from genmodels.errors import UserError
from genmodels.render.execution import environment_file, option
from genmodels.render.qmd import Part
from genmodels.system.files import data_digest, file_digest, is_system_file, read_json, write_json
from genmodels.system.places import ASSETS, PACKAGE, cache_folder

KEPT = Path(".execution", "last.json")  # in the output folder
# Read by Pandoc and Typst after the execution, by no chunk.
LOOKS = ("typst", "filters", "html")


@dataclass(frozen=True)
class Execution:
    """What an execution gave beside the outputs in the parts."""

    verdict: str | None  # text of the verdict's file, if the document wrote one
    seconds: float
    finished_utc: str

    @classmethod
    def ended(cls, verdict: str | None, seconds: float) -> Execution:
        """One that has ended now."""
        return cls(verdict, seconds, datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ"))


def identity(parts: list[Part], settings: dict[str, Any], project: Path) -> str:
    """sha256 of everything that decides the outputs of ``parts`` when they are executed in ``project``."""
    digest: list[str] = [
        sys.version,
        platform.platform(),
        platform.node(),
        platform.processor(),
        chunks(parts, settings),
    ]
    # A set: a folder that stands on the path twice names its distributions twice.
    digest += sorted({f"{found.name}=={found.version}" for found in metadata.distributions()})
    digest += sorted(f"{name}={value}" for name, value in {**environment_file(project), **os.environ}.items()
                     if name.startswith("GENMODELS_") and name != "GENMODELS_RUBRIC")  # fmt: skip
    for folder in dict.fromkeys((PACKAGE, project / "code")):
        digest += _contents(folder, "*.py")
    digest += _contents(ASSETS, "*", LOOKS)
    digest += _contents(cache_folder(), "*", ("checkpoints",))
    return data_digest(*digest)


def chunks(parts: list[Part], settings: dict[str, Any]) -> str:
    """sha256 of the code of all chunks and inline expressions."""
    digest = [[part.kind, part.text, repr(option(part, "eval", settings, True))] for part in _run(parts)]
    return data_digest(*sum(digest, []))


def _contents(folder: Path, pattern: str, leave_out: tuple[str, ...] = ()) -> Iterator[str]:
    """Name and digest of each file below ``folder``, sorted; hidden ones and compiled code are left out."""
    for path in sorted(folder.rglob(pattern)) if folder.is_dir() else ():
        inner = path.relative_to(folder)
        if inner.parts[0] in leave_out or any(step.startswith(".") or is_system_file(step) for step in inner.parts):
            continue
        if path.is_file():
            yield from (inner.as_posix(), file_digest(path))


def restore(path: Path, key: str, parts: list[Part], with_dead: bool = True) -> Execution | None:
    """Put the outputs of the execution ``key`` that ``path`` holds into ``parts``; ``None`` (parts untouched) where there
    are none, or, without ``with_dead``, where something in it died or was contradicted.
    """
    try:
        kept = read_json(path)
        whole = kept["key"] == key and kept["digest"] == _seal(kept) and len(kept["parts"]) == len(_run(parts))
    except (UserError, KeyError, TypeError):
        return None
    if not whole or not (with_dead or kept["sound"]):
        return None
    for part, (outputs, seconds, died) in zip(_run(parts), kept["parts"], strict=True):
        part.outputs, part.seconds, part.died = outputs, seconds, died
    return Execution(kept["verdict"], kept["seconds"], kept["finished_utc"])


def keep(path: Path, key: str, parts: list[Part], settings: dict[str, Any], done: Execution, sound: bool) -> None:
    """Write the outputs in ``parts`` to ``path`` (one execution is kept: the last), whole or not at all.

    ``sound``: nothing in it died or was contradicted.
    """
    outputs = [[part.outputs, part.seconds, part.died] for part in _run(parts)]
    kept = {"key": key, "chunks": chunks(parts, settings), "parts": outputs, "sound": sound, **vars(done)}
    write_json(path, kept | {"digest": _seal(kept)})


def under(path: Path, key: Callable[[str], str], heavy: re.Pattern[str]) -> dict[str, Any]:
    """What ``path`` holds, under the key that ``key`` makes of the digest of its chunks; without outputs that are ``heavy``."""
    kept = read_json(path)
    kept["parts"] = [[[] if heavy.search(json.dumps(outputs)) else outputs, *rest] for outputs, *rest in kept["parts"]]
    kept |= {"key": key(kept["chunks"])}
    return kept | {"digest": _seal(kept)}


def _run(parts: list[Part]) -> list[Part]:
    return [part for part in parts if part.kind != "markdown"]


def _seal(kept: dict[str, Any]) -> str:
    return data_digest(json.dumps({k: v for k, v in kept.items() if k != "digest"}, ensure_ascii=False, sort_keys=True))
