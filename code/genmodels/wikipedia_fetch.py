"""Getting the Persian Wikipedia text: from a file or folder, or from Kaggle by ``kagglehub``.

The order: what ``source`` names; what already lies in the data folder; what ``GENMODELS_DATA`` holds; the network.
Whatever the way, the text is read once as a corpus (so a damaged file never gets in place) and arrives whole or not
at all.

Kaggle: an API token from ``KAGGLE_USERNAME``/``KAGGLE_KEY`` or ``kaggle.json`` (in ``KAGGLE_CONFIG_DIR``, by default
``~/.kaggle``), else anonymously. A ``kaggle.json`` that would be used is checked first, because ``kagglehub`` reports
a bad one only as a refused download. Written for kagglehub 1.0 (``dataset_download(handle, path, output_dir=…)``).
"""

from __future__ import annotations

import hashlib
import json
import os
import stat
import tempfile
from pathlib import Path

from genmodels.datafolder import VARIABLE
from genmodels.errors import DataError
from genmodels.files import atomic_writer
from genmodels.progress import progress_bar
from genmodels.wikipedia import FILE_NAMES, KAGGLE_DATASET, KAGGLE_FILE, KNOWN_DIGESTS, LICENCE, WAYS_OUT, load, locate

_BLOCK = 1 << 20


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
    """Name, size, digest, counts and licence of a corpus file, read whole."""
    corpus = load(path)
    known = "as published" if corpus.name in KNOWN_DIGESTS else "no published digest to compare with"
    return [
        f"{path}: {corpus.bytes:,} bytes, sha256 {corpus.digest} ({known})",
        f"{corpus.paragraphs:,} paragraphs, {corpus.characters:,} characters; licence: {LICENCE}",
    ]


def _present(destination: Path) -> Path | None:
    """A known file that needs no fetching: in the data folder itself, or in ``GENMODELS_DATA`` (then it is copied)."""
    try:
        return locate(destination.parent)
    except DataError:
        pass
    elsewhere = os.environ.get(VARIABLE, "")
    if not elsewhere:
        return None
    try:
        found = locate(Path(elsewhere).expanduser())
    except DataError:
        return None
    return _copy(found, destination)


def _copy(source: Path, destination: Path) -> Path:
    """Check ``source`` as a corpus, then copy it; the copied bytes have its digest, or never take their place."""
    if source.name not in FILE_NAMES:
        raise DataError(f"{source} is not one of {', '.join(FILE_NAMES)}; give it the name of the kind of file it is")
    target = destination / source.name
    digest = load(source).digest
    if target.exists() and target.resolve() == source.resolve():
        return target
    copied = hashlib.sha256()
    with open(source, "rb") as stream, atomic_writer(target) as output:
        with progress_bar(total=source.stat().st_size, desc=source.name, unit="B", unit_scale=True) as bar:
            while block := stream.read(_BLOCK):
                output.write(block)
                copied.update(block)
                bar.update(len(block))
        if copied.hexdigest() != digest:
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
        if not found.is_file():
            raise DataError(f"Kaggle did not give {KAGGLE_FILE} (nothing at {found}); {WAYS_OUT}")
        return _copy(found, destination)


def check_credentials() -> Path | None:
    """The ``kaggle.json`` that kagglehub would use, checked; ``None`` where there is none or variables replace it.

    Raises ``DataError`` where it is no JSON object with a non-empty ``username`` and ``key``, or others may read it.
    """
    if os.environ.get("KAGGLE_API_TOKEN") or (os.environ.get("KAGGLE_USERNAME") and os.environ.get("KAGGLE_KEY")):
        return None
    path = Path(os.environ.get("KAGGLE_CONFIG_DIR") or Path.home() / ".kaggle") / "kaggle.json"
    if not path.exists():
        return None
    again = "download it again (kaggle.com, Settings, API, Create New Token) or move it away"
    try:
        mode = stat.S_IMODE(path.stat().st_mode)
        content = json.loads(path.read_text("utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path} cannot be read ({error}); {again}") from None
    except json.JSONDecodeError as error:
        raise DataError(f"{path} is not JSON (line {error.lineno}: {error.msg}); {again}") from None
    for name in ("username", "key"):
        value = content.get(name) if isinstance(content, dict) else None
        if not isinstance(value, str) or not value.strip():
            raise DataError(f"{path} has no {name!r} (wanted {{\"username\": …, \"key\": …}}); {again}")
    if os.name == "posix" and mode & 0o077:
        raise DataError(f"{path} can be read by others (mode {mode:04o}, wanted 0600); run: chmod 600 {path}")
    return path
