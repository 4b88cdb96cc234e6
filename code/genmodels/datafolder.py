"""Where raw data live: ``--from``/``folder`` option, else ``GENMODELS_DATA``, else ``<project>/data``.

One rule for every module and command, so that a file found by one is found by all. It only names the
folder: whether it exists, and what is in it, is the business of ``mnist.py`` and ``wikipedia.py``.
"""

from __future__ import annotations

import os
from pathlib import Path

VARIABLE = "GENMODELS_DATA"


def project_root() -> Path:
    """The folder that holds ``report.qmd``; the working folder where the package was installed by copy."""
    code = Path(__file__).resolve().parents[1]
    return code.parent if code.name == "code" else Path.cwd()


def data_folder(option: str | os.PathLike[str] | None = None) -> Path:
    """The data folder as an absolute path (it need not exist).

    ``option`` wins over the environment variable ``GENMODELS_DATA``, which wins over ``<project root>/data``.
    Relative values are relative to the working folder; ``~`` is the home folder; an empty value counts as unset.
    """
    chosen = os.fspath(option) if option is not None else ""
    chosen = chosen or os.environ.get(VARIABLE, "")
    return Path(chosen).expanduser().absolute() if chosen else project_root() / "data"
