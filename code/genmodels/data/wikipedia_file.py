"""The raw text's file: where it lies, and the bytes of the text in it, whatever it is wrapped in.

Kaggle gives the assignment's file as a zip: of that one file (``Persian-WikiText-1.txt.zip``), of the whole data set
(``archive.zip``), or saved under the text's own name. Each is read as it is; the text's name, size and digest are those of
what is inside, so that it is the same text however it came. What the bytes say is ``data/wikipedia.py``'s business.
"""

from __future__ import annotations

import gzip
import hashlib
import os
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import numpy as np

from genmodels.errors import DataError
from genmodels.system.files import is_system_file
from genmodels.system.places import data_folder, place

KAGGLE_DATASET = "miladfa7/persian-wikipedia-dataset"
KAGGLE_FILE = "Persian-WikiText-1.txt"
KAGGLE_CHARACTERS = 56_695_825  # of the published file, as its public users count them (about 101 MB)
ATTACHED, DEEPEST = "/kaggle/input", 6  # where Kaggle and Colab attach datasets; levels that are searched there
FILE_NAMES = (KAGGLE_FILE, "fawiki_docs.jsonl.gz", "persian-wikipedia-sample.txt")
SUBFOLDERS = ("", "fawiki", "wikipedia")
_BLOCK = 1 << 20
WAYS_OUT = (
    "run `python -m genmodels data wikipedia`, or put the file into the data folder yourself "
    f"(kaggle datasets download -d {KAGGLE_DATASET} -f {KAGGLE_FILE}; its zip is read as it is), "
    "or give its place with --from PATH, or set GENMODELS_DATA to the folder that holds it"
)


def locate(folder: Path | str | None = None) -> Path:
    """The first known file in ``folder`` (a file's own path is taken as it is); ``DataError`` names the ways out.

    Without ``folder``: in the data folder, else where Kaggle or Colab attached it.
    """
    top = data_folder() if folder is None else place(folder)
    if top.is_file():
        return top
    places = [top / sub for sub in SUBFOLDERS]
    plain = {name: next((path for at in places if (path := at / name).is_file()), None) for name in FILE_NAMES}
    found = plain.pop(KAGGLE_FILE) or next(filter(None, map(_kaggle_file, places)), None)
    found = found or next(filter(None, plain.values()), None)
    if folder is None:
        found = found or attached()
    if found is None:
        raise DataError(f"no Persian Wikipedia text in {top} (wanted {', '.join(FILE_NAMES)}); {WAYS_OUT}")
    return found


def attached() -> Path | None:
    """The Kaggle file in a dataset that Kaggle or Colab attached to this notebook, the nearest to the top first."""
    level = [Path(os.environ.get("KAGGLE_CACHE_MOUNT_FOLDER") or ATTACHED)]
    for _ in range(DEEPEST):
        if found := next(filter(None, map(_kaggle_file, level)), None):
            return found
        level = [Path(entry.path) for folder in level for entry in _entries(folder) if entry.is_dir()]
    return None


def _kaggle_file(folder: Path) -> Path | None:
    """The Kaggle file in this very folder: as text, else as its zip, else in any other zip."""
    for name in (KAGGLE_FILE, f"{KAGGLE_FILE}.zip"):
        if (folder / name).is_file():
            return folder / name
    return next((Path(entry.path) for entry in _entries(folder) if _holds_kaggle_file(entry)), None)


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return sorted(entries, key=lambda entry: entry.name)
    except OSError:
        return []


def _holds_kaggle_file(entry: os.DirEntry[str]) -> bool:
    if not entry.name.lower().endswith(".zip") or is_system_file(entry.name):
        return False
    try:
        with zipfile.ZipFile(entry.path) as archive:
            return any(Path(name).name == KAGGLE_FILE for name in archive.namelist())
    except (OSError, zipfile.BadZipFile):
        return False


def text_name(path: Path) -> str:
    """The name of the text in ``path``: the file's own, or that of the member of a zip archive."""
    with _faults(path):
        return Path(_member(path).filename).name if _is_zip(path) else path.name


def digest(path: Path) -> str:
    """sha256 of the bytes of the text in ``path``; ``DataError`` where they cannot be read."""
    return scanned(path, text_name(path))[0]


@contextmanager
def raw_bytes(path: Path) -> Iterator[IO[bytes]]:
    """The bytes of the text in ``path``: out of a zip archive, or out of gzip under a name that does not say so."""
    with _faults(path):
        if _is_zip(path):
            with zipfile.ZipFile(path) as archive, archive.open(_member(path)) as stream:
                yield stream
        elif _begins(path, b"\x1f\x8b") and not is_json(path.name):
            with gzip.open(path, "rb") as stream:
                yield stream
        else:
            with open(path, "rb") as stream:
                yield stream


@contextmanager
def _faults(path: Path) -> Iterator[None]:
    """Every way in which the bytes of a file can be bad becomes one ``DataError``."""
    try:
        yield
    except (zipfile.BadZipFile, EOFError, zlib.error, gzip.BadGzipFile) as error:
        kind = "zip" if _is_zip(path) else "gzip"
        raise DataError(f"{path} is a damaged or truncated {kind} file ({error}); fetch it again") from None
    except (RuntimeError, NotImplementedError) as error:  # of zipfile: a password, a method that is not known
        raise DataError(f"{path} cannot be unpacked ({error}); unpack it yourself") from None
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror or error}") from error


def _begins(path: Path, mark: bytes) -> bool:
    with open(path, "rb") as stream:
        return stream.read(len(mark)) == mark


def _is_zip(path: Path) -> bool:
    return path.suffix.lower() == ".zip" or _begins(path, b"PK\x03\x04")


def _member(path: Path) -> zipfile.ZipInfo:
    """The text in a zip archive: the Kaggle file, or the only .txt file there is."""
    with zipfile.ZipFile(path) as archive:
        inside = [item for item in archive.infolist() if not item.is_dir()]
    inside = [item for item in inside if not any(map(is_system_file, item.filename.split("/")))]
    texts = [item for item in inside if item.filename.lower().endswith(".txt")]
    chosen = [item for item in texts if Path(item.filename).name == KAGGLE_FILE] or texts
    if not chosen or (len(chosen) > 1 and Path(chosen[0].filename).name != KAGGLE_FILE):
        held = ", ".join(item.filename for item in inside[:5]) or "nothing"
        raise DataError(f"{path} holds no {KAGGLE_FILE} (but {held}); unpack the text that is meant, or fetch it again")
    return chosen[0]


def scanned(path: Path, name: str) -> tuple[str, int, str]:
    """sha256 and number of the text's bytes, and what speaks against its being whole."""
    found, size, characters, last = hashlib.sha256(), 0, 0, b"\n"
    with raw_bytes(path) as stream:
        while block := stream.read(_BLOCK):
            found.update(block)
            size += len(block)
            characters += int(np.count_nonzero((np.frombuffer(block, np.uint8) & 0xC0) != 0x80))  # first bytes
            last = block[-1:]
    doubts = ""
    if name == KAGGLE_FILE and not is_published_length(characters):
        than = "shorter" if characters < KAGGLE_CHARACTERS else "longer"
        doubts += (
            f"; {than} than the published file of {KAGGLE_CHARACTERS:,} characters: is it whole, and the one meant?"
        )
    if last != b"\n" and not is_json(name):
        doubts += "; its last line does not end: was it cut short?"
    return found.hexdigest(), size, doubts


def is_published_length(characters: int) -> bool:
    """Whether a text is about as long as the file that Kaggle publishes."""
    return abs(characters / KAGGLE_CHARACTERS - 1) <= 0.02


def is_json(name: str) -> bool:
    return name.endswith(".gz")
