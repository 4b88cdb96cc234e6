"""Faults tried on purpose: kills, damaged and swapped results, a full disk, no rights, no fonts, no locale, two at once.

Each ends in one clear line, and nothing that was there is lost. What other files try already (one changed byte, Ctrl-C,
a checkpoint that runs code) is not tried again here.
"""

from __future__ import annotations

import ast
import errno
import io
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pandas as pd
import pytest
import torch

from common import PATIENCE
from genmodels import stages, store
from genmodels.__main__ import main
from genmodels.errors import StaleResult, UserError
from genmodels.render import reuse, submission
from genmodels.render.qmd import parse
from genmodels.system import files
from genmodels.training import checkpoints

ROOT = Path(__file__).resolve().parents[1]
TESTS = Path(__file__).resolve().parent
PACKAGE = ROOT / "code" / "genmodels"

# --- kill -9 -----------------------------------------------------------------------------------------------------

# One process imports torch; every run is a forked child of it, with the lock of a training. A kill strikes before a
# step, in the middle of the bytes of a checkpoint, between them and the renaming, or right after it.
KILLS = """
import os, random, signal, sys
sys.path.insert(0, {tests!r})
import torch, test_training as t
from dataclasses import replace
from pathlib import Path
from genmodels.training import checkpoints; 
from genmodels.system import files; 
from genmodels import store; 
from genmodels.training import loop as training

torch.set_num_threads(1)
import torch._dynamo  # the first optimiser would import it: seconds in every child
config, path, draw = replace(t.CONFIG, steps=60), store.checkpoint_path("toy", "full"), random.Random({seed})
die = lambda: os.kill(os.getpid(), signal.SIGKILL)

def run(way, after, out):
    calls = iter(range(10**6))
    now = lambda: next(calls) >= after
    def total(model, batch):
        if way == "step" and now(): die()
        return t.OBJECTIVE.total(model, batch)
    replace_ = os.replace
    def half(descriptor):
        if way == "bytes" and now():
            os.ftruncate(descriptor, os.fstat(descriptor).st_size // 2); die()  # otherwise no waiting for the disk: nobody cuts its power
    def renamed(a, b):
        if way == "before" and now(): die()
        replace_(a, b)
        if way == "after" and now(): die()
    os.fsync, os.replace = half, renamed
    model = t.make_model()
    with store.only_run("toy", "full"):
        record = training.train(model, t.Points(), replace(t.OBJECTIVE, total=total), config, evaluate=lambda m: {{"test_loss": float(m[0].weight.sum())}},
                                checkpoint=path, checkpoint_seconds=-1.0, identity="x")
    history = [[v for k, v in row.items() if k != "seconds"] for row in record.history]
    torch.save({{"weights": t.weights(model), "losses": record.losses, "history": history}}, out)

def child(*arguments):
    pid = os.fork()
    if pid == 0:
        run(*arguments); os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])

assert child("none", 0, "whole.pt") == 0
path.unlink()
steps = [0]
for point in range(24):
    way = ("step", "bytes", "before", "after")[point % 4]
    assert child(way, draw.randrange(3), "never.pt") == -signal.SIGKILL, (point, way)
    steps.append(checkpoints.load_checkpoint(path, "x")["record"]["step"] if path.exists() else 0)
    assert steps[-1] >= steps[-2], steps
assert child("none", 0, "broken.pt") == 0 and not Path("never.pt").exists() and steps[-1] < 60, steps
print(len(steps) - 1, len(set(steps)))
"""


def test_killed_at_24_random_points_it_resumes_to_the_same_weights(tmp_path: Path) -> None:
    script = tmp_path / "kills.py"
    script.write_text(KILLS.format(tests=str(TESTS), seed=11), "utf-8")
    environment = os.environ | {"GENMODELS_CACHE": str(tmp_path / "cache"), "TQDM_DISABLE": "1"}
    done = subprocess.run(
        [sys.executable, script], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=PATIENCE
    )
    assert done.returncode == 0, done.stderr
    kills, places = map(int, done.stdout.split())
    assert kills == 24 and places > 10
    whole, broken = (torch.load(tmp_path / f"{name}.pt", weights_only=True) for name in ("whole", "broken"))
    assert all(torch.equal(a, b) for a, b in zip(whole["weights"], broken["weights"], strict=True))
    assert whole["losses"] == broken["losses"] and whole["history"] == broken["history"] and len(whole["losses"]) == 60


# --- damaged results ---------------------------------------------------------------------------------------------


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("GENMODELS_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def publish(stage: str = "toy", value: float = 1.0) -> Path:
    return store.publish(
        stage, "full", manifest={"config": {}, "data": {"digest": "d"}}, metrics={"loss": value},
        history=pd.DataFrame([{"step": 1}]), weights={"w": torch.full((3,), value)},
    )  # fmt: skip


@pytest.mark.parametrize("name", ["metrics.json", "history.csv", "weights.safetensors"])
def test_truncated_payloads_are_refused(cache: Path, name: str) -> None:
    path = publish() / name
    whole = path.read_bytes()
    for length in (0, 1, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:length])
        with pytest.raises(StaleResult, match=f"{name} was altered.*genmodels train toy"):
            store.load("toy", "full")
    path.write_bytes(whole)
    assert store.load("toy", "full").metrics == {"loss": 1.0}


def test_swapped_payloads_and_folders_are_refused(cache: Path) -> None:
    one, two = publish("toy", 1.0), publish("other", 2.0)
    shutil.copy(two / "weights.safetensors", one)
    with pytest.raises(StaleResult, match="weights.safetensors was altered"):
        store.load("toy", "full")
    shutil.rmtree(one)
    shutil.copytree(two, one)
    with pytest.raises(StaleResult, match="holds stage 'other'"):
        store.load("toy", "full")


def test_a_manifest_that_names_files_elsewhere_reads_none_of_them(cache: Path) -> None:
    folder = publish()
    (cache / "outside").write_text("secret")
    manifest = files.read_json(folder / "manifest.json")
    for name in ("../../outside", str(cache / "outside")):
        files.write_json(
            folder / "manifest.json",
            manifest | {"payload": manifest["payload"] | {name: files.file_digest(cache / "outside")}},
        )
        with pytest.raises(StaleResult, match="missing or not in the manifest"):
            store.load("toy", "full")


def test_a_hand_edited_result_fails_verify_in_one_line_each(capsys: pytest.CaptureFixture[str], cache: Path) -> None:
    """The shipped result itself, a number of it edited by hand."""
    shutil.copytree(ROOT / "cache" / "ngram", cache / "ngram")
    path = cache / "ngram" / "full" / "metrics.json"
    path.write_text(re.sub(r"(\d\.\d{3})(\d+)", r"\1", path.read_text("utf-8"), count=1), "utf-8")
    assert main(["verify", "ngram"]) == 5
    out, error = capsys.readouterr()
    assert "FAIL ngram/full manifest" in out and "metrics.json was altered" in out
    assert error.startswith("error: 1 of 1 checks failed") and error.count("\n") == 1


# --- a full disk, no rights --------------------------------------------------------------------------------------

WRITERS: dict[str, Callable[[Path, int], object]] = {
    "bytes": lambda place, version: files.write_bytes(place / "a", b"x" * 100_000 * version),
    "json": lambda place, version: files.write_json(place / "a", {"version": version}),
    "checkpoint": lambda place, version: checkpoints.save_checkpoint(
        place / "a", {"identity": "x", "w": torch.zeros(version)}
    ),
    "result": lambda place, version: publish(value=float(version)),
    "hand-in": lambda place, version: submission.pack(
        place / "a.zip", "a", {"report.pdf": b"x" * 100_000 * version}, place
    ),
    "execution": lambda place, version: reuse.keep(
        place / "a", "k", parse("`{python} x`", 1, "a"), {}, reuse.Execution.ended(str(version), 1.0), True
    ),
}


def tree(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


class Quota(io.RawIOBase):
    """A file on a disk with ``room`` bytes left: takes what fits, then reports the system's error."""

    def __init__(self, stream: io.RawIOBase, room: int) -> None:
        self.stream, self.room = stream, room

    def writable(self) -> bool:
        return True

    def write(self, data: bytes) -> int:  # type: ignore[override]
        fits = min(len(data), self.room)
        if not fits:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self.room -= fits
        return self.stream.write(bytes(data[:fits])) or 0

    def seekable(self) -> bool:
        return True

    def seek(self, *where: int) -> int:
        return self.stream.seek(*where)

    def tell(self) -> int:
        return self.stream.tell()

    def fileno(self) -> int:
        return self.stream.fileno()

    def close(self) -> None:
        self.stream.close()
        super().close()


@pytest.mark.parametrize("writer", WRITERS)
@pytest.mark.parametrize("room", [0, 10])
def test_a_disk_that_fills_up_keeps_what_was_there(
    cache: Path, monkeypatch: pytest.MonkeyPatch, writer: str, room: int
) -> None:
    cache.mkdir()
    WRITERS[writer](cache, 1)
    before, opened = tree(cache), os.fdopen
    assert before

    def limited(descriptor: int, mode: str = "r", **options: object) -> object:
        if "w" not in mode:
            return opened(descriptor, mode, **options)  # type: ignore[call-overload]
        raw = io.BufferedWriter(Quota(io.FileIO(descriptor, "wb"), room), 16)  # type: ignore[arg-type]
        return raw if "b" in mode else io.TextIOWrapper(raw, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(files.os, "fdopen", limited)
    with pytest.raises(UserError, match="cannot write .*No space left on device; free some space") as error:
        WRITERS[writer](cache, 2)
    assert "\n" not in str(error.value) and tree(cache) == before


@pytest.mark.parametrize(
    ("number", "told"),
    [(errno.ENOSPC, "No space left"), (errno.EROFS, "Read-only file system"), (errno.EACCES, "Permission denied")],
)
def test_a_disk_that_fills_up_in_somebody_elses_code_is_one_line(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, number: int, told: str
) -> None:
    def full(*_: object) -> None:
        raise OSError(number, os.strerror(number), "/somewhere/figure.svg")

    monkeypatch.setattr(stages, "get", full)
    assert main(["verify", "text"]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ") and told in error and "/somewhere/figure.svg" in error and error.count("\n") == 1


READ_ONLY = """
import os, sys
from pathlib import Path
from genmodels.errors import UserError
from genmodels.render.document import render
project, out = map(Path, sys.argv[1:])
render(project, ("html",), out)  # what is imported late is there now
if os.geteuid() == 0:  # file rights do not bind root
    os.chown(out, 65534, 65534); os.chown(out / "report.html", 65534, 65534)
    os.setgroups([]); os.setgid(65534); os.setuid(65534)
try:
    render(project, ("html",), reuse_from=project / "_output" / ".execution")
except UserError as error:
    print("error:", error)
print(render(project, ("html",), out)[0].name)
"""


def test_a_read_only_project_says_so_and_renders_elsewhere() -> None:
    with tempfile.TemporaryDirectory() as top:  # pytest's own folders are closed to others
        os.chmod(top, 0o755)
        project, out = Path(top) / "project", Path(top) / "out"
        (project / "assets").mkdir(parents=True)
        shutil.copy(ROOT / "assets" / "fa.yml", project / "assets")
        (project / "_quarto.yml").write_text("lang: fa\ndir: rtl\nlanguage: assets/fa.yml\n")
        (project / "report.qmd").write_text("---\ntitle: آزمایش\n---\n\nمتن\n", "utf-8")
        out.mkdir()
        project.chmod(0o555)
        script = Path(top) / "read_only.py"
        script.write_text(READ_ONLY)
        environment = os.environ | {"HOME": str(out), "PYTHONDONTWRITEBYTECODE": "1"}
        before = tree(project)
        done = subprocess.run(
            [sys.executable, script, project, out], env=environment, capture_output=True, text=True, timeout=PATIENCE
        )
        if "pandoc" in done.stderr and "Permission denied" in done.stderr:
            pytest.skip("the checkout is closed to other users")
        assert done.returncode == 0, done.stderr
        first, second = done.stdout.splitlines()
        assert first.startswith("error: cannot write") and "Permission denied" in first and second == "report.html"
        assert tree(project) == before and (out / "report.html").is_file()
        project.chmod(0o755)


# --- a strange machine -------------------------------------------------------------------------------------------

BARE = """
import sys
from pathlib import Path
from genmodels.render.document import render
print(*(path.name for path in render(Path(sys.argv[1]))))
"""
FIGURE = (
    "---\ntitle: آزمایش\n---\n\nمتن\n\n```{python}\n#| label: fig-a\n#| fig-cap: شکل\n#| fig-alt: خط\nfrom genmodels.report import plotting\n"
    "import matplotlib.pyplot as plt\nplotting.use_style()\nfig, ax = plt.subplots()\nax.set_title(plotting.persian_text('عنوان نمودار'));\n```\n"
)


@pytest.mark.skipif(
    sys.version_info < (3, 13) and not sys.prefix.isascii(),
    reason="Python itself cannot start there (site.py reads .pth files)",
)
def test_no_fonts_no_locale_no_home_and_a_strange_path(tmp_path: Path) -> None:
    """The whole way, kernel and figure included, where the system gives nothing."""
    project = tmp_path / "گزارش من (نسخهٔ ۲)"
    project.mkdir()
    (project / "report.qmd").write_text(FIGURE, "utf-8")
    shutil.copy(ROOT / "_quarto.yml", project)
    config = (ROOT / "_quarto.yml").read_text("utf-8").replace("bibliography: references.bib\n", "")
    (project / "_quarto.yml").write_text(config, "utf-8")
    shutil.copytree(ROOT / "assets", project / "assets")
    (tmp_path / "fonts.conf").write_text('<?xml version="1.0"?><fontconfig></fontconfig>')
    keep = {
        name: os.environ[name] for name in ("PATH", "PYTHONPATH", "OMP_NUM_THREADS", "TMPDIR") if name in os.environ
    }
    environment = keep | {
        "LC_ALL": "C", "HOME": "/nonexistent",
        "FONTCONFIG_FILE": str(tmp_path / "fonts.conf"), "MPLCONFIGDIR": str(tmp_path / "mpl"),
    }  # fmt: skip
    (tmp_path / "bare.py").write_text(BARE)
    done = subprocess.run(
        [sys.executable, tmp_path / "bare.py", project],
        env=environment,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["report.html", "report.pdf"] and "warning" not in done.stderr.lower()
    if shutil.which("pdffonts"):
        table = subprocess.run(["pdffonts", project / "_output" / "report.pdf"], capture_output=True, text=True).stdout
        names = {line.split()[0].partition("+")[2] for line in table.splitlines()[2:]}
        assert names and all(name.startswith(("Vazirmatn", "JetBrainsMono", "NewCM")) for name in names), names


# --- two at once -------------------------------------------------------------------------------------------------

HOLDER = "from genmodels.store import only_run\nwith only_run('pixelcnn', 'smoke'):\n    print('held', flush=True)\n    input()\n"


def test_a_second_make_train_is_turned_away_in_one_line(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, cache: Path
) -> None:
    holder = subprocess.Popen([sys.executable, "-c", HOLDER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        assert holder.stdout is not None and holder.stdout.readline() == "held\n"
        stage = stages.get("pixelcnn")
        monkeypatch.setattr(stage, "material", lambda config, folder: None)
        monkeypatch.setattr(stage, "_run", lambda *_: pytest.fail("it trains"))
        before = tree(cache)
        assert main(["train", "pixelcnn", "--profile", "smoke"]) == 2
        error = capsys.readouterr().err
        assert re.fullmatch(
            rf"error: another training of pixelcnn, profile smoke, is running.*\(process {holder.pid}\)\n", error
        )
        assert tree(cache) == before
    finally:
        holder.communicate("\n", timeout=PATIENCE)
    assert holder.returncode == 0


# --- nothing from outside is trusted -----------------------------------------------------------------------------


def forbidden(source: str) -> Iterator[str]:
    """Calls that run or unpack what a file says."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call):
            name = ast.unparse(node.func)
            options = {word.arg: ast.unparse(word.value) for word in node.keywords}
            if name in (
                "eval",
                "exec",
                "os.system",
                "yaml.load",
                "yaml.unsafe_load",
                "joblib.load",
                "shelve.open",
                "marshal.loads",
            ):
                yield name
            if re.fullmatch(r"(c?pickle|dill|cloudpickle)\.(loads?|Unpickler)|pd\.read_pickle", name):
                yield name
            if name.endswith((".extractall", ".extract", ".unpack_archive")):
                yield name
            if name == "torch.load" and options.get("weights_only") != "True":
                yield "torch.load without weights_only=True"
            if name in ("np.load", "numpy.load") and options.get("allow_pickle") != "False":
                yield "np.load without allow_pickle=False"
            if (
                options.get("allow_pickle") == "True"
                or options.get("shell") == "True"
                or options.get("trust_remote_code") == "True"
            ):
                yield name


@pytest.mark.parametrize(
    "line",
    ["torch.load(p)", "torch.load(p, weights_only=False)", "np.load(p)", "np.load(p, allow_pickle=True)", "pickle.load(f)", "pickle.loads(b)",
     "archive.extractall(p)", "tar.extract(m)", "shutil.unpack_archive(p)", "eval(x)", "subprocess.run(c, shell=True)", "yaml.load(f)"],
)  # fmt: skip
def test_the_guard_sees_each_kind(line: str) -> None:
    assert list(forbidden(line))


def test_no_archive_or_pickle_from_outside_is_trusted() -> None:
    sources = [*PACKAGE.rglob("*.py"), *(ROOT / "benchmarks").glob("*.py")]
    assert len(sources) > 60
    assert {f"{path.name}: {name}" for path in sources for name in forbidden(path.read_text("utf-8"))} == {
        "claims.py: eval"  # the document's own inline expressions, in its own kernel
    }
    # The one unpickler there is knows numpy's array constructors alone (tests/test_mnist.py tries to get past it).
    assert [
        path.name for path in sources if re.search(r"^\s*(import|from) c?pickle", path.read_text("utf-8"), re.MULTILINE)
    ] == ["fetch_mnist.py"]
