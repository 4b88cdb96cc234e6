"""What a hand-in consists of, and the document of one that came without the weights.

Weights are nine tenths of a project's size and more than most upload forms take, so a hand-in leaves them behind unless
asked. Its document still renders where it is unpacked: ``project/execution.json`` holds the outputs of the student's
execution under the digest of what they came from that is handed in, too (``key``: code of the chunks, package, lists,
results). While those are the same to the byte they are shown, and stderr says that nothing was executed; once one is not,
the rendering is refused in one line, since an execution would need the weights. Prose may change.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from genmodels.errors import UserError
from genmodels.render import reuse
from genmodels.render.execution import environment_file
from genmodels.render.qmd import Part
from genmodels.system.files import data_digest, file_digest, is_system_file, read_json
from genmodels.system.places import FULL, cache_folder

SOURCE, NAME = "report.qmd", "execution.json"
PARTS = (
    ".ci", ".gitattributes", ".gitignore", "LICENSE", "Makefile", "README.md", "_environment", "_quarto.yml", "assets",
    "benchmarks", "cache", "code", "constraints.txt", "docs", "environment.yml", "pyproject.toml", "references.bib", SOURCE,
    "tests",
)  # fmt: skip
WEIGHTS = ".safetensors"
# The models inside the page are weights, too: the page that is handed in has them, the execution leaves them behind.
MODELS = re.compile(r'id=\\"data-(?:writers|painters)')
PROFILE = "GENMODELS_PROFILE"
_LEFT = re.compile(r".*\.egg-info|.*\.py[cod]|.*\.tmp|\.(?!ci$|gitignore$|gitattributes$).*")


def project_files(project: Path, weights: bool = True) -> Iterator[tuple[str, Path]]:
    """Path inside the project and file of everything that is handed in, sorted; ``weights``: those of the results, too.

    By a list of names, not by git: a hand-in that was unpacked can be handed in again.
    """
    for part in PARTS:
        if not (project / part).exists():
            raise UserError(f"{part} is missing in {project}; restore it before handing in")
        yield from _files(project, part, weights)


def profile(project: Path) -> str:
    """Whose results the document shows: what ``GENMODELS_PROFILE`` says, here or in ``_environment``."""
    return os.environ.get(PROFILE) or environment_file(project).get(PROFILE) or FULL


def _files(project: Path, part: str, weights: bool) -> Iterator[tuple[str, Path]]:
    top, shown = project / part, profile(project)
    for path in [top] if top.is_file() else sorted(top.rglob("*")):
        inner = path.relative_to(project)
        other = False
        if inner.parts[0] == "cache" and len(inner.parts) > 2:
            stage, its = inner.parts[1:3]
            other = stage == "checkpoints" or its != (shown if (top / stage / shown).is_dir() else FULL)
        if not path.is_file() or other or any(_LEFT.fullmatch(step) or is_system_file(step) for step in inner.parts):
            continue
        if weights or not (inner.parts[0] == "cache" and path.suffix == WEIGHTS):
            yield inner.as_posix(), path


def key(chunks: str, project: Path) -> str:
    """Digest of what decides the outputs and is handed in without weights. ``chunks``: ``reuse.chunks`` of the document.

    The manifests among the results name the weights by their sha256.
    """
    digest = [chunks, *sorted(f"{k}={v}" for k, v in (environment_file(project) | {PROFILE: profile(project)}).items())]
    for part in ("assets", "cache", "code"):
        for inner, path in _files(project, part, weights=False):
            if not inner.startswith(tuple(f"assets/{look}/" for look in reuse.LOOKS)):
                digest += [inner, file_digest(path)]
    return data_digest(*digest)


def without_weights() -> list[str]:
    """The stages whose results are here without their weights."""
    found = set()
    for path in cache_folder().glob("*/*/manifest.json"):
        manifest = read_json(path)
        payload = manifest.get("payload") if isinstance(manifest, Mapping) else None
        if any(str(name).endswith(WEIGHTS) and not (path.parent / name).exists() for name in payload or ()):
            found.add(path.parent.parent.name)
    return sorted(found)


def came_without(project: Path) -> list[str]:
    """Those stages, where ``project`` is a hand-in that came without weights."""
    return without_weights() if (project / NAME).is_file() else []


def restore(project: Path, parts: list[Part], settings: dict[str, Any]) -> reuse.Execution | None:
    """Put the outputs that came with a hand-in without weights into ``parts``; ``None`` where this is no such hand-in.

    Raises ``UserError`` where something that they came from has changed.
    """
    if not (absent := came_without(project)):
        return None
    told = f"this hand-in came without the weights of {', '.join(absent)}"
    done = reuse.restore(project / NAME, key(reuse.chunks(parts, settings), project), parts)
    if done is None:
        changed = f"a chunk of {SOURCE}, code/, assets/ or cache/ has changed since it was executed: put that back"
        way_out = "ask for the hand-in of `make submission WITH_WEIGHTS=1`, or train them (make train)"
        raise UserError(f"{told}; {changed}, {way_out}")
    print(f"{told}: nothing is executed, what its execution of {done.finished_utc} gave is shown", file=sys.stderr)
    return done
