"""The verdict on disk: written by the document's last chunk, read by the command that ends ``make``.

The document is written whatever its checks (``genmodels.rubric``) say; the exit code is this module's. The file lies
where ``GENMODELS_RUBRIC`` says (``genmodels render`` sets it), else in ``_output`` of the project (Quarto). It knows no
check, and imports nothing that is slow to import.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from genmodels import claims
from genmodels.errors import UserError
from genmodels.files import read_json, write_json

if TYPE_CHECKING:
    from genmodels.rubric.checks import Outcome

VARIABLE, NAME = "GENMODELS_RUBRIC", "rubric.json"
SHOWN = 6  # of the marked sentences and dead chunks, in the line that the command ends with
PROJECT = Path(__file__).resolve().parents[2]


class CheckFailed(UserError):
    """A check of the document failed: it was written, and says so."""

    exit_code = 5


class ClaimsUnmet(UserError):
    """Proofs hold, but a sentence does not fit these results, or a chunk died: the document was written, and marks them."""

    exit_code = 6


def place() -> Path:
    """Where the verdict of a rendering belongs."""
    return Path(os.environ.get(VARIABLE) or PROJECT / "_output" / NAME)


def finish(outcomes: Sequence[Outcome], verified: Mapping[str, Sequence[Any]] | None = None) -> None:
    """Write the verdict: all ``outcomes``, and what ``verify`` found (stage name -> its ``Check`` s), if given.

    Called by the last chunk that can fail, so that no verdict means no whole document.
    """
    failed = [f"{o.key} ({o.point}, {o.section}): {o.title}: {o.result}" for o in outcomes if not o.passed]
    attempts = [(stage, found) for stage, checks in (verified or {}).items() for found in checks]
    failed += [f"verify {stage} {found.name}: {found.detail}" for stage, found in attempts if not found.passed]
    total = len(outcomes) + len(attempts)
    write_json(place(), {"checks": total, "failed": failed, "outcomes": [asdict(outcome) for outcome in outcomes],
                         "claims": claims.unmet(), "dead": claims.dead()})  # fmt: skip


def judge(path: Path | None = None) -> str:
    """One line about the verdict in ``path``. Raises ``CheckFailed`` naming what failed, or that there is none."""
    path = path or place()
    if not path.is_file():
        raise CheckFailed(f"{path} is missing: the document was not rendered to its end; run make again")
    verdict = read_json(path)
    marked = _marked(verdict) if isinstance(verdict, dict) else ""
    if marked and not verdict.get("failed"):
        raise ClaimsUnmet(marked)
    if not isinstance(verdict, dict) or not isinstance(verdict.get("failed"), list) or not verdict.get("checks"):
        raise CheckFailed(f"{path} is no verdict; render the document again")
    if verdict["failed"]:
        raise CheckFailed(
            f"{len(verdict['failed'])} of {verdict['checks']} checks failed, the document shows them in red: "
            + "; ".join(verdict["failed"])
            + (f"; moreover, {marked}" if marked else "")
        )
    return f"rubric: all {verdict['checks']} checks hold"


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
