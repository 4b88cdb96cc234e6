"""Getting the Persian Wikipedia text: from a file or folder, or from Kaggle by ``kagglehub``.

The order: what ``source`` names; what already lies in the data folder; what ``GENMODELS_DATA`` holds; what Kaggle or
Colab attached to the notebook; the network.
Whatever the way, the text is read once as a corpus (so a damaged file never gets in place) and arrives whole or not
at all.

Kaggle: the credential is the first of what kagglehub looks for: ``KAGGLE_API_TOKEN`` (a token, or a file that holds
one), ``~/.kaggle/access_token`` (or ``.txt``), ``KAGGLE_USERNAME`` with ``KAGGLE_KEY``, ``kaggle.json`` (in
``KAGGLE_CONFIG_DIR``, by default ``~/.kaggle``); without one the download is anonymous.
The file that would be used is checked first, because
kagglehub reports a bad one only as a refused download. Written for kagglehub 1.0 (``dataset_download(handle, path,
output_dir=…)``).
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import stat
import tempfile
from pathlib import Path

from genmodels.data.wikipedia import KNOWN_DIGESTS, LICENCE, load
from genmodels.data.wikipedia_file import (
    FILE_NAMES,
    KAGGLE_DATASET,
    KAGGLE_FILE,
    WAYS_OUT,
    attached,
    locate,
    raw_bytes,
    text_name,
)  # fmt: skip
from genmodels.errors import DataError
from genmodels.system.files import atomic_writer
from genmodels.system.places import VARIABLE, place_in
from genmodels.system.processes import progress_bar

_BLOCK = 1 << 20
_AGAIN = "make it again (kaggle.com, Settings, API, Create New Token) or move it away"


def fetch(destination: Path, source: Path | None = None) -> list[str]:
    """Put the text file into ``destination``; returns lines that say what it is, and prints them.

    Raises ``DataError`` (one line, with the ways out) for a source that is absent or damaged, a bad ``kaggle.json``, a
    network that does not answer; ``UserError`` for a folder that cannot be written.
    """
    if source is not None:
        path = _copy(locate(source), destination)
    elif (path := _present(destination)) is None:
        path = _download(destination)
    lines = describe(path)
    print("\n".join(lines))
    return lines


def describe(path: Path) -> list[str]:
    """Name, size, digest, counts, plausibility and licence of a corpus file, read whole."""
    corpus = load(path)
    known = "as published" if corpus.name in KNOWN_DIGESTS else "no published digest to compare with"
    return [
        f"{path}: sha256 {corpus.digest} ({known})",
        f"{corpus.summary()}; licence: {LICENCE}",
    ]


def _present(destination: Path) -> Path | None:
    """A known file that needs no fetching: in the data folder; in ``GENMODELS_DATA`` or attached (then it is copied)."""
    try:
        return locate(destination.parent)
    except DataError:
        pass
    elsewhere, found = place_in(VARIABLE), None
    if elsewhere:
        try:
            found = locate(elsewhere)
        except DataError:
            pass
    found = found or attached()
    return _copy(found, destination) if found else None


def _copy(source: Path, destination: Path) -> Path:
    """Check ``source`` as a corpus, then copy its text, unpacked; the copy has its digest, or never takes its place."""
    name = text_name(source)
    if name not in FILE_NAMES:
        raise DataError(f"{source} is not one of {', '.join(FILE_NAMES)}; give it the name of the kind of file it is")
    target = destination / name
    corpus = load(source)
    if target.exists() and target.resolve() == source.resolve():
        return target
    copied = hashlib.sha256()
    with raw_bytes(source) as stream, atomic_writer(target) as output:
        with progress_bar(total=corpus.bytes, desc=name, unit="B", unit_scale=True) as bar:
            while block := stream.read(_BLOCK):
                output.write(block)
                copied.update(block)
                bar.update(len(block))
        if copied.hexdigest() != corpus.digest:
            raise DataError(f"{source} changed while it was copied; try again")
    return target


def _download(destination: Path) -> Path:
    """The one file from Kaggle, into the system's temporary folder, then checked and copied like any other source."""
    check_credentials()
    with tempfile.TemporaryDirectory(prefix="genmodels-kaggle-") as folder:
        try:
            import kagglehub

            found = Path(kagglehub.dataset_download(KAGGLE_DATASET, KAGGLE_FILE, output_dir=folder))
        except Exception as error:  # kagglehub raises requests', urllib3's, its own and plain ValueError
            reason = next((line for line in str(error).splitlines() if line.strip()), "") or type(error).__name__
            raise DataError(f"Kaggle did not give {KAGGLE_FILE} ({reason[:160]}); {WAYS_OUT}") from error
        if not found.exists():
            raise DataError(f"Kaggle did not give {KAGGLE_FILE} (nothing at {found}); {WAYS_OUT}")
        return _copy(locate(found), destination)


def check_credentials() -> Path | None:
    """The file with the credential that kagglehub would use, checked; ``None`` where a variable or nothing holds it.

    Raises ``DataError`` where the file holds no token or is no JSON object with a non-empty ``username`` and ``key``,
    or others may read it. A credential that is not used is not looked at.
    """
    home = Path(os.path.expanduser("~")) / ".kaggle"  # never raises: without a home it is a folder that is not there
    if given := os.environ.get("KAGGLE_API_TOKEN"):
        tokens = [Path(given)] if len(given) < 256 else []
        if not any(path.is_file() for path in tokens):
            return None
    else:
        tokens = [home / "access_token", home / "access_token.txt"]
    for path in tokens:
        if path.exists() and (content := _content(path).strip()):
            if not re.fullmatch(r"[!-~]+", content):
                raise DataError(f"{path} holds no token (wanted one word of letters and digits); {_AGAIN}")
            return path
    if os.environ.get("KAGGLE_USERNAME") and os.environ.get("KAGGLE_KEY"):
        return None
    path = Path(os.environ.get("KAGGLE_CONFIG_DIR") or home) / "kaggle.json"
    if not path.exists():
        return None
    try:
        content = json.loads(_content(path))
    except json.JSONDecodeError as error:
        raise DataError(f"{path} is not JSON (line {error.lineno}: {error.msg}); {_AGAIN}") from None
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path} is not JSON ({error}); {_AGAIN}") from None
    for name in ("username", "key"):
        value = content.get(name) if isinstance(content, dict) else None
        if not isinstance(value, str) or not value.strip():
            raise DataError(f'{path} has no {name!r} (wanted {{"username": …, "key": …}}); {_AGAIN}')
    return path


def _content(path: Path) -> str:
    """The text of a credential's file, which must be the user's alone."""
    try:
        mode = stat.S_IMODE(path.stat().st_mode)
        content = path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path} cannot be read ({error}); {_AGAIN}") from None
    if os.name == "posix" and mode & 0o077 and content.strip():
        raise DataError(f"{path} can be read by others (mode {mode:04o}, wanted 0600); run: chmod 600 {path}")
    return content
