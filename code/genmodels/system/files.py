"""Files that are either whole or absent: atomic writes, locks, digests, canonical JSON.

Every write goes to a temporary file beside its target, is flushed to the disk, and is then
renamed over the target. A crash, a full disk or Ctrl-C leaves the old file or none, never half a file.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from genmodels.errors import UserError

try:
    import fcntl
except ImportError:  # Windows: there is no lock then
    fcntl = None  # type: ignore[assignment]

_BLOCK = 1 << 20
# What macOS, Windows, Linux's desktops, network drives and Jupyter leave in any folder that is looked at.
_SYSTEM_FILE = re.compile(
    r"\.DS_Store|\._.*|\.AppleDouble|\.Spotlight-V100|\.Trashes|\.fseventsd|__MACOSX|Icon\r"
    r"|desktop\.ini|(?:eh)?thumbs\.db|\$RECYCLE\.BIN|\.directory|\.nfs.*|\.~lock\..*|\.ipynb_checkpoints|__pycache__", re.IGNORECASE,
)  # fmt: skip


def is_system_file(name: str) -> bool:
    """Is a file or folder of this name nobody's work, but left by the system? Such are neither read nor handed in."""
    return _SYSTEM_FILE.fullmatch(name) is not None


@contextmanager
def atomic_writer(path: Path | str, mode: str = "wb", **options: Any) -> Iterator[IO[Any]]:
    """Open a temporary file that replaces ``path`` when the block ends without an exception.

    Raises ``UserError`` where the folder cannot be made or written, or the disk is full.
    """
    path = Path(path)
    if "b" not in mode:
        options.setdefault("encoding", "utf-8")
        options.setdefault("newline", "\n")
    temporary: str | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, temporary = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".tmp", dir=path.parent)
        with os.fdopen(descriptor, mode, **options) as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        umask = os.umask(0)
        os.umask(umask)
        os.chmod(temporary, 0o666 & ~umask)  # mkstemp makes it private; give it the usual mode
        os.replace(temporary, path)
        temporary = None
    except OSError as error:
        reason = error.strerror or str(error)
        raise UserError(
            f"cannot write {path}: {reason}; free some space or choose a folder you can write to"
        ) from error
    finally:
        if temporary is not None:
            Path(temporary).unlink(missing_ok=True)


@contextmanager
def atomic_folder(path: Path, way_out: str) -> Iterator[Path]:
    """A folder to write into that takes the place of ``path`` when the block ends well: it is whole or absent.

    Raises ``UserError``, which ends in ``way_out``, where it cannot be written.
    """
    temporary: str | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = tempfile.mkdtemp(prefix=f".{path.name}.", dir=path.parent)
        os.chmod(temporary, 0o755)
        yield Path(temporary)
        if path.exists():
            shutil.rmtree(path)
        os.replace(temporary, path)
        temporary = None
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror or error}; {way_out}") from error
    finally:
        if temporary is not None:
            shutil.rmtree(temporary, ignore_errors=True)


@contextmanager
def exclusive_lock(
    path: Path | str, busy: str | None = None, way_out: str = "free some space or choose a folder you can write to"
) -> Iterator[None]:
    """Hold the lock file ``path``: one process at a time is inside the block; the file goes when the block ends.

    The system frees the lock when its holder ends, however it ends (``flock(2)``): a file left by a killed process
    holds nobody up.
    Where another process holds it: without ``busy`` wait for it, with ``busy`` raise ``UserError`` with that text
    and the holder's process id. Raises ``UserError``, which ends in ``way_out``, where the folder cannot be made or
    written.
    """
    path = Path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = _locked(path, wait=busy is None)
    except BlockingIOError:
        holder = path.read_text("ascii", errors="replace").strip() if path.exists() else ""
        raise UserError(f"{busy} (process {holder or 'unknown'})") from None
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror}; {way_out}") from error
    try:
        yield
    finally:
        path.unlink(missing_ok=True)  # while it is still held: see _locked
        os.close(descriptor)


def _locked(path: Path, wait: bool) -> int:
    """A descriptor that holds the lock on the file that ``path`` names now; ``BlockingIOError`` instead of waiting."""
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            try:
                if fcntl is not None:
                    fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
            except OSError as error:
                if error.errno not in (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP):
                    raise  # those three: a (network) file system that knows no locks, which is no reason not to work
            # The holder before us deletes the file: a lock on a file without a name would shut nobody out.
            if path.exists() and os.path.samestat(os.fstat(descriptor), path.stat()):
                os.ftruncate(descriptor, 0)
                os.write(descriptor, str(os.getpid()).encode())
                return descriptor
        except FileNotFoundError:  # deleted between the two questions
            pass
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)


def write_bytes(path: Path | str, data: bytes) -> None:
    """Write ``data`` to ``path`` atomically."""
    with atomic_writer(path) as stream:
        stream.write(data)


def write_text(path: Path | str, text: str) -> None:
    """Write ``text`` to ``path`` atomically, as UTF-8 with ``\\n`` line ends; ``UserError`` for half a character."""
    require_whole_characters(text, f"the text for {path}")
    with atomic_writer(path, "w") as stream:
        stream.write(text)


def write_json(path: Path | str, value: Any) -> None:
    """Write ``value`` as readable JSON (sorted keys, Persian letters as they are), atomically."""
    write_text(path, json.dumps(value, ensure_ascii=False, indent=1, sort_keys=True, allow_nan=False) + "\n")


def require_whole_characters(text: str, what: str, kind: type[UserError] = UserError) -> None:
    """Raise ``kind`` for a lone surrogate: half a character, which JSON can write (``\\ud800``) and UTF-8 cannot."""
    if not text.isascii() and (found := re.search("[\ud800-\udfff]", text)):
        raise kind(f"{what} holds \\u{ord(found[0]):04x}, half a character (a lone surrogate); write the whole one")


def shown(path: Path | str) -> str:
    """The text of a path or an argument, for messages and manifests: bytes of it that are no UTF-8 become U+FFFD."""
    try:
        return os.fsencode(path).decode("utf-8", "replace")  # also where the locale made another text of it
    except UnicodeEncodeError:
        return re.sub(r"[\ud800-\udfff]", "\ufffd", os.fspath(path))


def read_text(path: Path | str) -> str:
    """The text of a UTF-8 file, without a byte order mark; ``UserError`` where it is none or cannot be read."""
    try:
        return Path(path).read_text("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError(f"{path} is not UTF-8 at byte {error.start}; save it as UTF-8") from None
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}") from error


def read_json(path: Path | str) -> Any:
    """Read a JSON file; ``UserError`` names the file where it is absent or broken."""
    path = Path(path)
    try:
        return json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        raise UserError(f"{path} is missing") from None
    except (OSError, ValueError, RecursionError) as error:  # brackets within brackets, thousands of them
        raise UserError(f"{path} cannot be read as JSON: {error}") from error


def file_digest(path: Path | str, algorithm: str = "sha256") -> str:
    """Hex digest of a file's bytes, read block by block (any size in constant memory)."""
    digest = hashlib.new(algorithm, usedforsecurity=False)
    try:
        with open(path, "rb") as stream:
            while block := stream.read(_BLOCK):
                digest.update(block)
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror or error}") from error
    return digest.hexdigest()


def data_digest(*parts: bytes | memoryview | str) -> str:
    """sha256 over several parts, each preceded by its length so that borders cannot shift."""
    digest = hashlib.sha256()
    for part in parts:
        raw = part.encode("utf-8", "surrogatepass") if isinstance(part, str) else memoryview(part).cast("B")
        digest.update(len(raw).to_bytes(8, "little"))
        digest.update(raw)
    return digest.hexdigest()
