"""One file over HTTP(S): progress bar, time limit, length and checksum, written whole or not at all.

Uses the standard library alone. It does not retry, resume or follow more than ordinary redirects: a caller
with several sources tries them in turn.
"""

from __future__ import annotations

import hashlib
import http.client
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

from genmodels.errors import DataError
from genmodels.system.files import atomic_writer
from genmodels.system.processes import progress_bar

_BLOCK = 1 << 16


def download(
    url: str,
    path: Path | str,
    md5: str | None = None,
    sha256: str | None = None,
    timeout: float = 30.0,
) -> Path:
    """Fetch ``url`` into ``path`` and return ``path``.

    ``timeout`` (seconds) bounds the connection and every single wait for data, not the whole transfer.
    ``md5`` / ``sha256`` are hex digests that the content must have.
    Raises ``DataError`` when the address does not answer, answers with an error, stops early, or sends other
    content than the digest says; ``UserError`` when ``path`` cannot be written. ``path`` is then left as it was.
    """
    path = Path(path)
    if urlsplit(url).scheme not in ("http", "https"):
        raise DataError(f"{url} is not an http(s) address; give one, or a local file with --from")
    wanted = {name: digest.lower() for name, digest in (("md5", md5), ("sha256", sha256)) if digest}
    digests = {name: hashlib.new(name, usedforsecurity=False) for name in wanted}
    with atomic_writer(path) as stream:
        for block in _blocks(url, path.name, timeout):
            stream.write(block)
            for digest in digests.values():
                digest.update(block)
        for name, digest in digests.items():
            if digest.hexdigest() != wanted[name]:
                raise DataError(
                    f"{url} sent a file with {name} {digest.hexdigest()}, wanted {wanted[name]}; "
                    "it is damaged or another file: try again, or fetch it by hand"
                )
    return path


def _blocks(url: str, label: str, timeout: float) -> Iterator[bytes]:
    """The response body block by block; every network failure becomes a one-line ``DataError``.

    The conversion happens here, not around the caller's ``write``: most network errors are ``OSError`` too,
    and a lost connection must not read "disk full".
    """
    request = urllib.request.Request(url, headers={"User-Agent": "genmodels", "Accept-Encoding": "identity"})
    received = 0
    try:
        with urllib.request.urlopen(request, timeout=timeout) as response:
            length = response.headers.get("Content-Length")
            total = int(length) if length and length.isdigit() else None
            with progress_bar(total=total, desc=label, unit="B", unit_scale=True) as bar:
                while block := response.read(_BLOCK):
                    received += len(block)
                    bar.update(len(block))
                    yield block
    except urllib.error.HTTPError as error:
        raise DataError(f"{url} answered {error.code} {error.reason}; try later, or fetch it by hand") from error
    except urllib.error.URLError as error:
        raise DataError(f"{url} cannot be reached: {error.reason}; check the network, or fetch it by hand") from error
    except (OSError, http.client.HTTPException, ValueError) as error:
        reason = str(error) or type(error).__name__
        raise DataError(f"{url} broke off after {received} bytes: {reason}; try again") from error
    if total is not None and received != total:
        raise DataError(f"{url} broke off after {received} of {total} bytes; try again")
