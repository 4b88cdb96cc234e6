"""What holds for every test: one thread, no network, no home, no reliance on the folder it is started from."""

from __future__ import annotations

import contextlib
import io
import os
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]

# Before torch and numpy are imported: with two test processes on two cores, more threads only get in each other's way.
for _name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ[_name] = "1"
os.environ["TOKENIZERS_PARALLELISM"] = "false"
os.environ["MPLBACKEND"] = "Agg"
# The package is found in this process and in those that tests start, installed or not, from any folder.
os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(ROOT / "code"), os.environ.get("PYTHONPATH", "")]))
sys.path.insert(0, str(ROOT / "code"))
if os.environ.get("GENMODELS_DATA"):
    os.environ["GENMODELS_DATA"] = str(Path(os.environ["GENMODELS_DATA"]).expanduser().absolute())

import hypothesis  # noqa: E402
import torch  # noqa: E402

torch.set_num_threads(1)
# No test is decided by the clock: neither a slow example nor a slow draw fails.
hypothesis.settings.register_profile(
    "no clock", deadline=None, derandomize=True, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("no clock")


def pytest_report_header() -> str:
    folder = os.environ.get("GENMODELS_DATA")
    if not folder:
        return "GENMODELS_DATA: not set; the tests of the real data are skipped"
    return f"GENMODELS_DATA: {folder}{'' if Path(folder).is_dir() else ' (no such folder)'}"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """For processes side by side, each with whole files: the report's execution takes longest, so it begins first; the
    other file that wants it comes last and finds it kept."""
    places = {"test_report.py": 0, "test_html_browser.py": 2}
    items.sort(key=lambda item: places.get(item.path.name, 1))


class NetworkUsed(AssertionError):
    """A test reached for another machine. Not an ``OSError``: no handler of network failures may swallow it."""


def _is_local(address: object) -> bool:
    if not isinstance(address, tuple):
        return True  # a Unix socket's path
    host = str(address[0])
    return host in ("localhost", "", "0.0.0.0", "::", "::1", "None", socket.gethostname()) or host.startswith("127.")


@pytest.fixture(scope="session", autouse=True)
def no_network() -> Iterator[None]:
    """Connections and name look-ups beyond this machine fail the test; child processes find a dead proxy instead."""
    patch = pytest.MonkeyPatch()
    connect, connect_ex, look_up = socket.socket.connect, socket.socket.connect_ex, socket.getaddrinfo

    def guarded_connect(self: socket.socket, address: object) -> None:
        if not _is_local(address):
            raise NetworkUsed(f"a test connects to {address}")
        return connect(self, address)  # type: ignore[arg-type]

    def guarded_connect_ex(self: socket.socket, address: object) -> int:
        if not _is_local(address):
            raise NetworkUsed(f"a test connects to {address}")
        return connect_ex(self, address)  # type: ignore[arg-type]

    def guarded_look_up(host: object, *arguments: object, **options: object) -> object:
        name = host.decode() if isinstance(host, bytes) else host
        if not _is_local((name,)):
            raise NetworkUsed(f"a test looks up {name}")
        return look_up(host, *arguments, **options)  # type: ignore[arg-type]

    patch.setattr(socket.socket, "connect", guarded_connect)
    patch.setattr(socket.socket, "connect_ex", guarded_connect_ex)
    patch.setattr(socket, "getaddrinfo", guarded_look_up)
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"):
        patch.setenv(name, "http://127.0.0.1:9")
    for name in ("no_proxy", "NO_PROXY"):
        patch.setenv(name, "127.0.0.1,localhost,::1")
    yield
    patch.undo()


@pytest.fixture(scope="session", autouse=True)
def strange_places(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Run in an empty folder, with no Kaggle account: what a test needs it must say."""
    before = Path.cwd()
    patch = pytest.MonkeyPatch()
    patch.setenv("KAGGLE_CONFIG_DIR", str(tmp_path_factory.mktemp("kaggle")))
    patch.setenv("KAGGLE_CACHE_MOUNT_FOLDER", str(tmp_path_factory.mktemp("input")))  # nothing attached, as on Kaggle
    for name in ("KAGGLE_USERNAME", "KAGGLE_KEY", "KAGGLE_API_TOKEN"):
        patch.delenv(name, raising=False)
    os.chdir(tmp_path_factory.mktemp("elsewhere"))
    yield
    os.chdir(before)
    patch.undo()


@pytest.fixture(scope="session")
def rendered(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The real report, rendered once for all tests that look at it: {"html": path, "pdf": path}."""
    from genmodels.render import reuse
    from genmodels.render.document import render
    from genmodels.system.files import exclusive_lock

    # The one execution also serves a `make` after the tests (and the other way round): it is kept under the digest of
    # all that decides it. A test process that comes before it has ended waits for it instead of executing, too.
    kept = ROOT / "_output" / reuse.KEPT
    with exclusive_lock(kept.parent.with_name(".tests.lock")), contextlib.redirect_stderr(io.StringIO()) as told:
        pages = render(ROOT, output_dir=tmp_path_factory.mktemp("output"), reuse_from=kept)
    files = {path.suffix[1:]: path for path in pages}
    assert "warning" not in told.getvalue(), told.getvalue()  # such as a letter that no font of the report can draw
    return files
