"""The one module that knows paths: the package, the project, its assets, and the folders of data, results and output.

One rule for every module and command, so that a file found by one is found by all. It only names places: whether they
exist, and what is in them, is the business of who asks.
"""

from __future__ import annotations

import os
from pathlib import Path

from genmodels.errors import UserError

VARIABLE = "GENMODELS_DATA"
PACKAGE = Path(__file__).resolve().parents[1]  # code/genmodels
CODE = PACKAGE.parent
# The folder that holds report.qmd; the working folder where the package was installed by copy.
PROJECT = CODE.parent if CODE.name == "code" else Path.cwd()
ASSETS = PROJECT / "assets"
OUTPUT, FULL = PROJECT / "_output", "full"  # of the profile whose results ship


def data_folder(option: str | os.PathLike[str] | None = None) -> Path:
    """The data folder as an absolute path (it need not exist).

    ``option`` wins over the environment variable ``GENMODELS_DATA``, which wins over ``<project root>/data``.
    Relative values are relative to the working folder; ``~`` is the home folder; an empty value counts as unset.
    Raises ``UserError`` for a path that no system can have.
    """
    if option is not None and os.fspath(option):
        return place(option)
    return place_in(VARIABLE) or PROJECT / "data"


def place_in(variable: str) -> Path | None:
    """The absolute path that an environment variable names, or ``None`` where it is unset or empty; as in ``place``."""
    named = os.environ.get(variable, "")
    return place(named, f"{variable}={named}") if named else None


def place(path: str | os.PathLike[str], what: str = "") -> Path:
    """``path`` as an absolute path, its ``~`` put in; ``UserError`` (beginning with ``what``) where that cannot be.

    Two ways: a user who is not known (``~nobody-here/x``, or ``~`` where the system knows no home), and a name in the
    path that is longer than the 255 bytes of every file system, or the whole longer than 4095.
    """
    given = os.fspath(path)
    try:
        found = Path(given).expanduser().absolute()
    except RuntimeError:
        raise UserError(f"{what or given}: there is no such home folder; write the path in full") from None
    sizes = [len(os.fsencode(step)) for step in found.parts]
    if max(sizes) > 255 or sum(sizes) + len(sizes) > 4095:
        longest = max(found.parts, key=lambda step: len(os.fsencode(step)))
        reason = f"the path is too long ({longest[:20]}… has {max(sizes)} bytes, at most 255)"
        raise UserError(f"{(what or given)[:80]}…: {reason}; shorten it")
    return found


def output_folder(profile: str, project: Path = PROJECT) -> Path:
    """Where a profile's document goes: one of a shorter training takes no other's place."""
    return project / OUTPUT.name / ("" if profile == FULL else profile)


def prepared_folder() -> Path:
    """Where prepared arrays live: ``GENMODELS_PREPARED``, else ``data/prepared`` of the project."""
    return place_in("GENMODELS_PREPARED") or PROJECT / "data" / "prepared"


def cache_folder() -> Path:
    """Where results live: ``GENMODELS_CACHE``, else the project's ``cache/``."""
    return place_in("GENMODELS_CACHE") or PROJECT / "cache"
