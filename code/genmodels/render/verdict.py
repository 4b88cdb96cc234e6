"""The verdict on disk: the document's last chunk writes it, the command that ends ``make`` reads it.

The document is written whatever its checks (``genmodels.checks``) say; the exit code is this module's. The file lies
where ``GENMODELS_RUBRIC`` says (``genmodels render`` sets it), else in ``_output`` of the project (Quarto). It knows no
check, and imports nothing that is slow to import.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from genmodels.errors import CheckFailed, ClaimsUnmet
from genmodels.system.files import read_json, write_json
from genmodels.system.places import OUTPUT
from genmodels.system.proof import CONTRADICTED, HOLDS, UNCHECKED, Made, held, kind

VARIABLE, NAME = "GENMODELS_RUBRIC", "rubric.json"
SHOWN = 6  # of the marked sentences and dead chunks, in the line that the command ends with


class Outcome(Made, Protocol):
    """A check of the document, as ``genmodels.checks`` makes it: a dataclass."""

    @property
    def key(self) -> str: ...
    @property
    def point(self) -> str: ...
    @property
    def section(self) -> str: ...
    @property
    def title(self) -> str: ...
    @property
    def result(self) -> str: ...


class Attempt(Made, Protocol):
    """A check of ``verify``."""

    @property
    def name(self) -> str: ...
    @property
    def detail(self) -> str: ...


class Claims(Protocol):
    """What the document said of its sentences and of parts that died (``report.claims``)."""

    def unmet(self) -> list[str]: ...
    def dead(self) -> list[str]: ...


def place() -> Path:
    """Where the verdict of a rendering belongs."""
    return Path(os.environ.get(VARIABLE) or OUTPUT / NAME)


def finish(
    outcomes: Sequence[Outcome], verified: Mapping[str, Sequence[Attempt]] | None = None, claims: Claims | None = None
) -> None:
    """Write the verdict: all ``outcomes``, what ``verify`` found (stage name -> its ``Check`` s) and the ``claims``, if given.

    Called by the last chunk that can fail, so that no verdict means no whole document.
    """
    attempts = [(stage, found) for stage, checks in (verified or {}).items() for found in checks]
    told: dict[str, list[str]] = {HOLDS: [], CONTRADICTED: [], UNCHECKED: []}
    for o in outcomes:
        told[kind(o)].append(f"{o.key} ({o.point}, {o.section}): {o.title}: {o.result}")
    for stage, found in attempts:
        told[kind(found)].append(f"verify {stage} {found.name}: {found.detail}")
    write_json(
        place(),
        {
            "checks": sum(map(len, told.values())),
            "failed": told[CONTRADICTED],
            "unchecked": told[UNCHECKED],
            "outcomes": [dict(vars(outcome)) for outcome in outcomes],
            "claims": claims.unmet() if claims else [],
            "dead": claims.dead() if claims else [],
        },
    )


def judge(path: Path | None = None) -> str:
    """One line about the verdict in ``path``. Raises ``CheckFailed`` naming what failed, or that there is none."""
    path = path or place()
    if not path.is_file():
        raise CheckFailed(f"{path} is missing: the document was not rendered to its end; run make again")
    verdict = read_json(path)
    marked = _marked(verdict) if isinstance(verdict, dict) else ""
    if marked and not verdict.get("failed"):
        raise ClaimsUnmet(marked)
    lists = isinstance(verdict, dict) and all(isinstance(verdict.get(name), list) for name in ("failed", "unchecked"))
    if not lists or not verdict.get("checks"):
        raise CheckFailed(f"{path} is no verdict; render the document again")
    if verdict["failed"]:
        raise CheckFailed(
            f"{len(verdict['failed'])} of {verdict['checks']} checks failed, the document shows them in red: "
            + "; ".join(verdict["failed"])
            + (f"; moreover, {marked}" if marked else "")
        )
    return f"rubric: {held(verdict['checks'], len(verdict['unchecked']))}"


def _marked(verdict: dict[str, Any]) -> str:
    """One line about sentences that do not fit the results and parts that died, or nothing."""
    kinds = {"claims": "sentences do not fit these results", "dead": "chunks or inline expressions did not run"}
    found = {said: verdict[kind] for kind, said in kinds.items() if verdict.get(kind)}
    if not found:
        return ""
    count = " and ".join(f"{len(each)} {said}" for said, each in found.items())
    lines = [line for each in found.values() for line in each]
    more = f"; and {len(lines) - SHOWN} more" if len(lines) > SHOWN else ""
    return f"{count}, the document marks them: {'; '.join(lines[:SHOWN])}{more}"
