"""Results that were made elsewhere (a notebook with a GPU), brought home: ``genmodels results import ZIP``.

The zip is a stranger's: no member may leave the folder it is unpacked in, be a link, or be larger than any result of ours,
and what is no result's folder is left where it is. A result is looked at before it takes its place: the manifest, the sha256
of every file, today's settings of its stage. One that does not fit refuses the whole zip, and nothing has changed; those
that do take their places one by one, each as a whole. Whether the numbers hold is ``verify``'s business, as at home.
"""

from __future__ import annotations

import shutil
import stat
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

from genmodels import stages, store
from genmodels.config import PROFILES
from genmodels.errors import UserError
from genmodels.system.files import is_system_file, shown
from genmodels.system.places import cache_folder

MOST_FILES, MOST_BYTES, MOST_PROPORTION = (
    2000,
    1 << 30,
    200,
)  # unpacked; the shipped results: 150 files, 0.1 GB, 8 times
BLOCK = 1 << 20


def import_results(path: Path) -> list[Path]:
    """Check and place every result (``…/<stage>/<profile>/``) in the zip ``path``; returns their folders.

    Raises ``UserError`` (one line) where the file is no zip, holds no result, or holds one that does not fit.
    """
    with _opened(path) as archive:
        members = _members(archive, path)
        results = sorted({(place.parts[-3], place.parts[-2]) for place in members if place.name == "manifest.json"})
        if not results:
            raise UserError(f"{shown(path)} holds no result (a folder <stage>/<profile> with a manifest.json)")
        for name, profile in results:
            stages.known([name])
            if profile not in PROFILES:
                raise UserError(f"{shown(path)}: {name}/{profile}: the profiles are {', '.join(PROFILES)}")
        homes = [p.parent for p in members if p.name == "manifest.json"]
        if len(homes) != len(results):
            raise UserError(f"{shown(path)} holds a result twice; which of them is meant?")
        cache = cache_folder()
        try:
            cache.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(prefix=".import.", dir=cache) as scratch:
                fresh = [_unpacked(archive, members, home, Path(scratch)) for home in sorted(homes, key=str)]
                for folder in fresh:
                    _check(folder)
                return [_place(folder) for folder in fresh]
        except OSError as error:
            raise UserError(f"cannot write {cache}: {error.strerror or error}; {store.WAY_OUT}") from error


@contextmanager
def _opened(path: Path) -> Iterator[zipfile.ZipFile]:
    """The zip; whatever is wrong with its bytes, where it is read or unpacked, is one ``UserError``."""
    try:
        with zipfile.ZipFile(path) as archive:
            yield archive
    except FileNotFoundError:
        raise UserError(f"{shown(path)} is missing") from None
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, ValueError) as error:
        raise UserError(f"{shown(path)} cannot be unpacked ({error}); download it again") from None
    except (IsADirectoryError, PermissionError) as error:
        raise UserError(f"cannot read {shown(path)}: {error.strerror}") from error


def _members(archive: zipfile.ZipFile, path: Path) -> dict[PurePosixPath, zipfile.ZipInfo]:
    """Place in the zip -> member, of every file that lies as a result's do; ``UserError`` for what no honest zip holds."""
    found: dict[PurePosixPath, zipfile.ZipInfo] = {}
    size = 0
    for member in archive.infolist():
        place = PurePosixPath(member.filename.replace("\\", "/"))
        if place.is_absolute() or ".." in place.parts or ":" in member.filename or "\0" in member.filename:
            raise UserError(f"{shown(path)}: the name {member.filename[:80]!r} leaves the folder; nothing was unpacked")
        if stat.S_ISLNK(member.external_attr >> 16):
            raise UserError(f"{shown(path)}: {member.filename[:80]!r} is a link; nothing was unpacked")
        size += member.file_size
        bomb = member.file_size > BLOCK and member.file_size > MOST_PROPORTION * member.compress_size
        if size > MOST_BYTES or bomb or len(found) > MOST_FILES:
            most = f"at most {MOST_FILES} files and {MOST_BYTES >> 30} GB"
            raise UserError(f"{shown(path)} unpacks to more than results take ({most}); nothing was unpacked")
        hidden = any(part.startswith(".") or is_system_file(part) for part in place.parts)
        if not member.is_dir() and len(place.parts) >= 3 and not hidden:
            if place in found:
                raise UserError(f"{shown(path)} holds {place} twice; nothing was unpacked")
            found[place] = member
    return found


def _unpacked(
    archive: zipfile.ZipFile, members: dict[PurePosixPath, zipfile.ZipInfo], home: PurePosixPath, scratch: Path
) -> Path:
    """One result's files in ``scratch/<stage>/<profile>``; no more bytes of each than its entry says."""
    folder = scratch / home.parts[-2] / home.parts[-1]
    folder.mkdir(parents=True)
    for place, member in members.items():
        if place.parent == home:
            with archive.open(member) as source, open(folder / place.name, "wb") as target:
                shutil.copyfileobj(source, target, BLOCK)
    return folder


def _check(folder: Path) -> None:
    """``StaleResult`` where the unpacked folder is not what its stage asks for today."""
    name, profile = folder.parts[-2:]
    store.load(name, profile, stages.get(name).config(profile), folder=folder)


def _place(folder: Path) -> Path:
    """Put an unpacked result over the one of its stage and profile."""
    target = store.result_folder(*folder.parts[-2:])
    target.parent.mkdir(parents=True, exist_ok=True)
    fresh = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
    fresh.rmdir()
    folder.rename(fresh)
    try:
        store.put(fresh, target)
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
    return target
