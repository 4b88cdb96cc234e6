"""``download`` against a server on 127.0.0.1: the whole file, or none and one line that says why."""

from __future__ import annotations

import hashlib
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from genmodels.data.download import download
from genmodels.errors import DataError, UserError

BODY = bytes(range(256)) * 1024
MD5, SHA256 = hashlib.md5(BODY).hexdigest(), hashlib.sha256(BODY).hexdigest()


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        if self.path == "/missing":
            self.send_error(404)
            return
        if self.path == "/moved":
            self.send_response(302)
            self.send_header("Location", "/file")
            self.end_headers()
            return
        self.send_response(200)
        if self.path != "/unsized":
            self.send_header("Content-Length", str(len(BODY)))
        self.end_headers()
        self.wfile.write(BODY[: 100_000 if self.path in ("/cut", "/stalled") else None])
        if self.path == "/stalled":
            self.server.release.wait(10)  # type: ignore[attr-defined]

    def log_message(self, *arguments: object) -> None:
        pass


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as http:
        http.release = threading.Event()  # type: ignore[attr-defined]
        threading.Thread(target=http.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{http.server_port}"
        http.release.set()  # type: ignore[attr-defined]
        http.shutdown()


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "127.0.0.1")


@pytest.mark.parametrize("route", ["file", "moved", "unsized"])
def test_whole_file(server: str, tmp_path: Path, route: str) -> None:
    path = tmp_path / "new" / "file.bin"
    assert download(f"{server}/{route}", path, md5=MD5.upper(), sha256=SHA256) == path
    assert path.read_bytes() == BODY and [p.name for p in path.parent.iterdir()] == ["file.bin"]


@pytest.mark.parametrize(
    ("route", "options", "words"),
    [
        ("missing", {}, "answered 404"),
        ("cut", {}, f"broke off after 100000 of {len(BODY)} bytes"),
        ("stalled", {"timeout": 0.3}, "broke off after"),
        ("file", {"md5": "0" * 32}, f"md5 {MD5}, wanted {'0' * 32}"),
        ("file", {"md5": MD5, "sha256": "0" * 64}, f"sha256 {SHA256}, wanted"),
    ],
)
def test_failure_leaves_the_old_file(server: str, tmp_path: Path, route: str, options: dict, words: str) -> None:
    path = tmp_path / "file.bin"
    path.write_bytes(b"old")
    with pytest.raises(DataError) as error:
        download(f"{server}/{route}", path, **options)
    assert words in str(error.value) and "\n" not in str(error.value)
    assert path.read_bytes() == b"old" and [p.name for p in tmp_path.iterdir()] == ["file.bin"]


def test_nobody_listens(tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with pytest.raises(DataError, match="cannot be reached"):
        download(f"http://127.0.0.1:{port}/file", tmp_path / "file")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("url", ["file:///etc/hostname", "ftp://127.0.0.1/x", "/etc/hostname", "http://"])
def test_only_http(url: str, tmp_path: Path) -> None:
    with pytest.raises(DataError):
        download(url, tmp_path / "file")
    assert list(tmp_path.iterdir()) == []


def test_unwritable_place(server: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot write") as error:
        download(f"{server}/file", tmp_path / "file" / "below")
    assert not isinstance(error.value, DataError)
