"""What a check may say: it holds, it is contradicted, or it was not made here (no data, no bf16, …).

A check is whatever has ``passed``: true, false or ``None``. Only a contradiction is a failure.
"""

from __future__ import annotations

from typing import Protocol

HOLDS, CONTRADICTED, UNCHECKED = "holds", "contradicted", "not checked here"
MARKS = {HOLDS: "ok  ", CONTRADICTED: "FAIL", UNCHECKED: "--  "}  # at the beginning of a line of ``verify``


class Made(Protocol):
    """A check that was made, of ``verify`` or of the document."""

    @property
    def passed(self) -> bool | None: ...


def kind(made: Made) -> str:
    """``HOLDS``, ``CONTRADICTED`` or ``UNCHECKED``."""
    if made.passed is None:
        return UNCHECKED
    return HOLDS if made.passed else CONTRADICTED


def held(total: int, unchecked: int) -> str:
    """The line at the end of a command whose checks were not contradicted."""
    return f"all {total - unchecked} checks hold" + (f", {unchecked} not checked here" if unchecked else "")
