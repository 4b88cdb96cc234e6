"""Two commands from a fresh clone: what is declared, pinned and written in the Makefile agrees with the code."""

from __future__ import annotations

import ast
import os
import re
import shlex
import shutil
import socket
import subprocess
import sys
import tomllib
import unicodedata
from importlib.metadata import PackageNotFoundError, packages_distributions, requires, version
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import genmodels
from common import PATIENCE
from conftest import NetworkUsed
from genmodels import store
from genmodels.errors import StaleResult
from genmodels.system.files import is_system_file

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
PYTHONS = ("3.11", "3.12", "3.13")
TARGETS = ("report", "install", "test", "train", "verify", "bench", "data", "clean", "help")


def declared(python: str) -> dict[str, Requirement]:
    lines = PROJECT["dependencies"] + PROJECT["optional-dependencies"]["test"]
    requirements = [Requirement(line) for line in lines]
    here = {"python_version": python}
    return {canonicalize_name(r.name): r for r in requirements if r.marker is None or r.marker.evaluate(here)}


def pinned(python: str) -> dict[str, str]:
    pins: dict[str, str] = {}
    for line in (ROOT / "constraints.txt").read_text("utf-8").splitlines():
        if line and not line.startswith("#"):
            requirement = Requirement(line)
            if requirement.marker is None or requirement.marker.evaluate({"python_version": python}):
                (specifier,) = requirement.specifier
                assert specifier.operator == "==", line
                name = canonicalize_name(requirement.name)
                assert name not in pins, f"{name} is pinned twice for Python {python}"
                pins[name] = specifier.version
    return pins


@pytest.mark.parametrize("python", PYTHONS)
def test_every_dependency_is_pinned_within_its_bounds(python: str) -> None:
    pins = pinned(python)
    for name, requirement in declared(python).items():
        assert requirement.specifier, f"{name} has no lower bound"
        assert name in pins, f"{name} has no exact version for Python {python}"
        assert requirement.specifier.contains(pins[name]), f"{name}: {pins[name]} is outside {requirement.specifier}"


def test_python_range() -> None:
    wanted = Requirement(f"python {PROJECT['requires-python']}").specifier
    assert [v for v in ("3.10", *PYTHONS, "3.14") if wanted.contains(v)] == list(PYTHONS)


def test_hazm_as_the_issue_wants_it() -> None:
    assert [pinned(python)["hazm"] for python in PYTHONS] == ["0.10.0", "0.12.1", "0.12.1"]
    assert pinned("3.11")["numpy"] == "1.24.3"  # hazm 0.10.0 takes no other


def test_the_pins_are_what_runs_here() -> None:
    """In the environment that `make` builds, everything declared has exactly its pinned version."""
    if Path(sys.prefix).resolve() != (ROOT / ".venv").resolve():
        pytest.skip("not running in the project's .venv")
    python = f"{sys.version_info[0]}.{sys.version_info[1]}"
    wrong = {
        name: (version(name), pinned(python)[name])
        for name in declared(python)
        if version(name).partition("+")[0] != pinned(python)[name]
    }
    assert wrong == {}


def test_constraints_cover_the_whole_environment() -> None:
    """Nothing that the declared packages pull in, however far down, is left to chance."""
    python = f"{sys.version_info[0]}.{sys.version_info[1]}"
    pins, seen, queue = pinned(python), set(), list(declared(python).values())
    while queue:
        requirement = queue.pop()
        name = canonicalize_name(requirement.name)
        extras = tuple(requirement.extras) or ("",)
        if (name, extras) in seen:
            continue
        seen.add((name, extras))
        try:
            lines = requires(name) or []
        except PackageNotFoundError:
            continue  # for another platform
        assert name in pins or name in ("setuptools", "pip"), f"{name} is installed but not in constraints.txt"
        for line in lines:
            below = Requirement(line)
            if below.marker is None or any(below.marker.evaluate({"extra": extra}) for extra in extras):
                queue.append(below)
    assert len(seen) > 60


def test_environment_yml_is_in_step() -> None:
    environment = yaml.safe_load((ROOT / "environment.yml").read_text("utf-8"))
    assert environment["channels"][0] == "conda-forge"
    *conda, pip = environment["dependencies"]
    lines = {re.split(r"[<>=]", line)[0]: line for line in conda}
    assert set(lines) == {"python", "quarto", "pip"}
    assert lines["python"] == f"python{PROJECT['requires-python']}"
    assert lines["quarto"] == "quarto>=1.9"
    # Everything else comes from pyproject.toml with the exact versions of constraints.txt: no second list of pins.
    assert pip == {"pip": ["-c constraints.txt", "-e .[test]"]}


# Module name -> distribution, where they differ.
DISTRIBUTIONS = {
    "yaml": "pyyaml",
    "pypandoc": "pypandoc-binary",
    "bidi": "python-bidi",
    "IPython": "ipython",
    "fontTools": "fonttools",
}


def imports(path: Path) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"), str(path))):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            found.add(node.module.partition(".")[0])
    return found - set(sys.stdlib_module_names) - {"genmodels"}


def test_every_import_of_the_package_is_declared() -> None:
    names = {canonicalize_name(Requirement(line).name) for line in PROJECT["dependencies"]}
    extras = {"shards.py": "shards", "pretrained.py": "pretrained"}  # module -> the extra that it is for
    optional = {module: PROJECT["optional-dependencies"][extra] for module, extra in extras.items()}
    modules = {
        module
        for path in (ROOT / "code").rglob("*.py")
        for module in imports(path)
        if module not in {Requirement(line).name for line in optional.get(path.name, ())}
    }
    assert {"torch", "numpy", "matplotlib"} <= modules
    undeclared = {m for m in modules if canonicalize_name(DISTRIBUTIONS.get(m, m)) not in names}
    assert undeclared == set()


def test_every_import_of_the_tests_is_installed_by_make() -> None:
    names = set(declared("3.11")) | set(declared("3.13"))
    own = {path.stem for path in (ROOT / "tests").glob("*.py")}
    modules = {module for path in (ROOT / "tests").glob("*.py") for module in imports(path)} - own
    providers = packages_distributions()
    # `packaging` is a dependency of pytest itself.
    undeclared = {
        m
        for m in modules - {"packaging"}
        if not {canonicalize_name(d) for d in (*providers.get(m, []), DISTRIBUTIONS.get(m, m))} & names
    }
    assert undeclared == set()


def test_one_version() -> None:
    assert "version" in PROJECT["dynamic"]
    assert re.fullmatch(r"\d+\.\d+\.\d+", genmodels.__version__)
    try:
        assert version("genmodels") == genmodels.__version__
    except PackageNotFoundError:
        pytest.skip("the package is not installed here")


def test_code_is_a_plain_folder() -> None:
    """A package called `code` shadows the standard library's; any module straight in it shadows something else."""
    entries = {path.name for path in (ROOT / "code").iterdir() if not path.name.startswith((".", "__pycache__"))}
    assert entries - {"genmodels.egg-info"} == {"genmodels"}
    import code

    assert hasattr(code, "InteractiveConsole")


# --- the Makefile ------------------------------------------------------------------------------------------------


def make(*arguments: str, folder: Path = ROOT, **environment: str) -> subprocess.CompletedProcess[str]:
    if shutil.which("make") is None:
        pytest.skip("make is not installed")
    clean = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
    return subprocess.run(
        ["make", *arguments],
        cwd=folder,
        env={**clean, **environment},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )


def test_makefile_targets() -> None:
    text = (ROOT / "Makefile").read_text("utf-8")
    for target in TARGETS:
        assert re.search(rf"^{target}:", text, re.M), target
    assert re.search(r"^report:.*", text, re.M).start() < text.index("\ninstall:")  # the first target is the default
    help_text = make("help")
    assert help_text.returncode == 0
    for target in TARGETS[2:]:
        assert f"make {target}" in help_text.stdout or target == "help"
    dry = make("-n", "train", "PROFILE=smoke", "STAGE=rnn")
    assert "-m genmodels train rnn --profile smoke" in dry.stdout


LITERAL = [
    "A$B",
    "$(HOME)",
    "$(shell touch expanded)",
    "-x",
    "${HOME}",
    "A$$B",
    "a#b",
    "O'B\"x `id`",
    "$@ %",
    "a\\b",
    "--id=3",
]


@pytest.mark.parametrize("way", ["command line", "environment"])
def test_a_name_is_taken_letter_by_letter(tmp_path: Path, way: str) -> None:
    shutil.copy(ROOT / "Makefile", tmp_path)
    python = tmp_path / ".venv/bin/python"
    python.parent.mkdir(parents=True)
    python.write_text('#!/bin/sh\nfor each in "$@"; do printf \'%s\\n\' "$each"; done\n')
    python.chmod(0o755)
    for name in ("pyproject.toml", "constraints.txt", ".venv/.installed"):
        (tmp_path / name).write_text("")
    for name in LITERAL:
        given = {"STUDENT": name, "ID": name}
        arguments = [f"{key}={value}" for key, value in given.items()] if way == "command line" else []
        run = make(
            "-s", "-o", ".venv/.installed", "submission", *arguments, folder=tmp_path, **({} if arguments else given)
        )
        assert run.stdout.splitlines()[-2:] == [f"--student={name}", f"--id={name}"], run.stderr
    assert not (tmp_path / "expanded").exists()


def test_readme_without_make_is_the_makefile() -> None:
    def plain(command: str) -> list[str]:
        """A command without what a person may leave out: quiet options, make's variables, values."""
        command = re.sub(
            r"\$\(if [^()]*(?:\([^()]*\)[^()]*)*\)|\$\((?:STAGE|PROFILE|ONLY)\)", "", command.replace("$(PY)", "python")
        )
        command = re.sub(
            r"=(\"[^\"]*\"|\S+)", "=", command.replace('"$$chosen"', "python").rstrip("; \\").lstrip("@\t ")
        )
        options = ("--disable-pip-version-check", "--no-compile", "--quiet", "--clear", "--profile", "&&")
        return [word for word in shlex.split(command) if word not in options]

    block = re.search(r"\*\*Without make\*\*.*?```sh\n(.*?)```", (ROOT / "README.md").read_text("utf-8"), re.DOTALL)[1]
    own = [plain(line.split(" #")[0]) for line in block.strip().splitlines()]
    of_make = [
        plain(line)
        for line in (ROOT / "Makefile").read_text("utf-8").splitlines()
        if line.startswith("\t") and " -m " in line
    ]
    assert len(own) == 8 and own[1] == [".", ".venv/bin/activate"]
    assert [command for command in own if command not in of_make and command[0] == "python"] == []
    targets = re.findall(r"# make(?: (\w+))?", block)
    assert [target or "report" for target in targets] == ["install", "report", "data", "train", "verify", "submission"]


def tracked() -> list[str]:
    if not (ROOT / ".git").exists() or shutil.which("git") is None:
        pytest.skip("no git checkout")
    done = subprocess.run(["git", "-C", ROOT, "ls-files", "-z"], capture_output=True, check=True)
    return [name for name in done.stdout.decode().split("\0") if name]


def test_a_clone_is_the_same_to_the_byte_on_every_system() -> None:
    """Git for Windows turns line ends unless told otherwise: digests would not hold, make and sh would stumble."""
    command = ["git", "-C", ROOT, "check-attr", "--stdin", "-z", "text"]
    done = subprocess.run(command, input="\0".join(tracked()).encode(), capture_output=True, check=True)
    answers = done.stdout.decode().split("\0")
    assert [name for name, answer in zip(answers[::3], answers[2::3]) if answer != "unset"] == []
    crlf = {".csv", ".json", ".md", ".py", ".qmd", ".typ", ".lua", ".css", ".js", ".yml", ".toml", ".txt", ""}
    texts = [name for name in tracked() if Path(name).suffix in crlf and (ROOT / name).is_file()]
    assert [name for name in texts if b"\r\n" in (ROOT / name).read_bytes()] == [] and len(texts) > 200


def test_every_name_can_be_had_on_windows_and_macos() -> None:
    names = tracked()
    steps = {step for name in names for step in name.split("/")}
    devices = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.IGNORECASE)
    wrong = [
        s
        for s in steps
        if re.search(r'[<>:"\\|?*\x00-\x1f]|[. ]$|^ ', s) or devices.fullmatch(s) or len(s.encode()) > 100
    ]
    assert wrong == []
    assert max(map(len, names)) <= 120  # of Windows' 260, with the folder of a project and the name of a temporary file
    folded = [unicodedata.normalize("NFC", name).casefold() for name in names]
    assert len(set(folded)) == len(names)  # two names that differ in case alone are one file there


@pytest.mark.parametrize(
    "name", [".DS_Store", "._metrics.json", "desktop.ini", "Desktop.ini", "Thumbs.db", "__MACOSX", ".ipynb_checkpoints", "Icon\r",
             ".directory", ".nfs0001", ".~lock.a.csv#", ".AppleDouble", "$RECYCLE.BIN", "ehthumbs.db"],
)  # fmt: skip
def test_what_a_system_leaves_is_nobodys_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """One list: beside a payload, in the hand-in, for git; and nothing of ours is on it."""
    folder = tmp_path / "toy" / "full"
    monkeypatch.setenv("GENMODELS_CACHE", str(tmp_path))
    store.publish("toy", "full", manifest={"config": {}, "data": {"digest": "x"}}, metrics={"a": 1})
    (folder / name).write_text("x")
    assert store.load("toy", "full").metrics == {"a": 1} and store.payload_names(folder) == {"metrics.json"}
    (folder / "stray.txt").write_text("x")
    with pytest.raises(StaleResult, match="stray.txt"):
        store.load("toy", "full")
    steps = {step for path in tracked() for step in path.split("/")}
    assert not any(map(is_system_file, steps)) and is_system_file(name)
    ignored = subprocess.run(["git", "-C", ROOT, "check-ignore", "-q", f"assets/fonts/{name}/"], check=False)
    assert ignored.returncode == 0


def test_make_without_a_fitting_python_says_so(tmp_path: Path) -> None:
    for name in ("Makefile", "pyproject.toml", "constraints.txt"):
        shutil.copy(ROOT / name, tmp_path)
    tools = tmp_path / "bin"
    tools.mkdir()
    for tool in ("sh", "make", "find", "mkdir", "touch", "echo"):
        if (where := shutil.which(tool)) is None:
            pytest.skip(f"{tool} is not installed")
        (tools / tool).symlink_to(where)
    run = make("install", folder=tmp_path, PATH=str(tools))
    assert run.returncode != 0
    assert "no Python 3.11, 3.12 or 3.13" in run.stderr and "PYTHON=" in run.stderr
    assert not (tmp_path / ".venv").exists()


def test_make_does_no_needless_work_under_a_strange_path(tmp_path: Path) -> None:
    """A stand-in for Python installs and renders; the second `make` runs nothing, a change or a lost file does."""
    folder = tmp_path / "یک پوشه (با فاصله)"
    for name in ("code/genmodels", "assets", "cache", ".venv/bin", "bin"):
        (folder / name).mkdir(parents=True)
    for name in ("Makefile", "pyproject.toml", "constraints.txt"):
        shutil.copy(ROOT / name, folder)
    for name in ("report.qmd", "_quarto.yml", "references.bib", "code/genmodels/a.py", "assets/style.css"):
        (folder / name).write_text("")
    python = folder / ".venv/bin/python"
    python.write_text(
        '#!/bin/sh\necho "$@" >> calls\n'
        'case "$*" in *render*) echo > _output/report.html; echo > _output/report.pdf;; esac\n'
    )
    python.chmod(0o755)
    for tool in ("sh", "make", "find", "mkdir", "touch", "echo", "rm"):
        (folder / "bin" / tool).symlink_to(shutil.which(tool) or pytest.skip(f"{tool} is not installed"))

    def calls() -> list[str]:
        (folder / "calls").unlink(missing_ok=True)
        run = make(folder=folder, PATH=str(folder / "bin"))
        assert run.returncode == 0, run.stderr
        lines = (folder / "calls").read_text().splitlines() if (folder / "calls").exists() else []
        return [line.split()[1 if line.startswith("-m") else 0] for line in lines if not line.startswith("-c ")]

    def later(name: str) -> None:
        future = (folder / "_output/.rendered").stat().st_mtime + 5
        os.utime(folder / name, (future, future))

    assert calls() == ["pip", "genmodels"]
    assert calls() == []
    for name in ("report.qmd", "code/genmodels/a.py", "assets/style.css", "references.bib"):
        later(name)
        assert calls() == ["genmodels"], name
        os.utime(folder / name, (1, 1))
        os.utime(folder / "_output/.rendered")
        assert calls() == []
    (folder / "_output/report.pdf").unlink()
    assert calls() == ["genmodels"]
    assert calls() == []


def test_ci_script_is_executable_and_sound() -> None:
    script = ROOT / ".ci" / "run"
    assert os.access(script, os.X_OK)
    assert "set -euo pipefail" in script.read_text("utf-8")
    assert subprocess.run(["bash", "-n", script], check=False).returncode == 0


# --- the guards of conftest.py -----------------------------------------------------------------------------------


def test_the_network_is_out_of_reach() -> None:
    with pytest.raises(NetworkUsed):
        socket.create_connection(("192.0.2.1", 80), timeout=1)  # TEST-NET-1: never a real machine
    with pytest.raises(NetworkUsed):
        socket.getaddrinfo("example.org", 80)


def test_the_working_folder_is_not_the_project() -> None:
    assert not Path("pyproject.toml").exists()
