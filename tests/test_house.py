"""The house: which rooms there are, who may import whom, and how large a module and a function may be."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import genmodels

PACKAGE = Path(genmodels.__path__[0])
ROOT = PACKAGE.parents[1]
COMMON = {"errors", "config", "store", "system"}  # any room may import these
BELOW_STAGES = {"data", "text", "pixelcnn", "attention", "training", "language"}
MAY_IMPORT: dict[str, set[str]] = {
    "errors": set(), "system": {"errors"}, "config": {"errors"}, "store": {"errors", "config", "system"},
    "data": COMMON, "pixelcnn": COMMON, "attention": COMMON, "training": COMMON,
    "text": COMMON | {"data"}, "language": COMMON | {"text"},
    "stages": COMMON | BELOW_STAGES,
    "report": COMMON | BELOW_STAGES - {"training"},  # results are handed in
    "checks": COMMON | BELOW_STAGES | {"stages", "report"},
    "render": {"errors", "system", "report.persian"},
}  # fmt: skip
LINES, FUNCTION_LINES = 300, 60
MODULES = {
    ".".join(path.relative_to(PACKAGE).with_suffix("").parts).removesuffix(".__init__"): path
    for path in PACKAGE.rglob("*.py") if path != PACKAGE / "__init__.py"
}  # fmt: skip
TREES = {name: ast.parse(path.read_text("utf-8")) for name, path in MODULES.items()}


def imported(name: str) -> set[str]:
    """The modules of the package that module ``name`` imports anywhere (types alone are no dependence)."""
    tree = TREES[name]
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            node.body = [ast.Pass()]
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] == "genmodels":
            base = node.module.removeprefix("genmodels").lstrip(".")
            for alias in node.names:
                full = f"{base}.{alias.name}".lstrip(".")
                found.add(full if full in MODULES else base)
    return found - {""}


def test_the_root_holds_five_files() -> None:
    assert {path.name for path in PACKAGE.glob("*.py")} == {
        "__init__.py",
        "__main__.py",
        "errors.py",
        "config.py",
        "store.py",
    }


@pytest.mark.parametrize("name", sorted(set(MODULES) - {"__main__"}))
def test_a_room_imports_what_it_may(name: str) -> None:
    room = name.partition(".")[0]
    allowed = MAY_IMPORT[room] | {room}
    assert not {other for other in imported(name) if not {other, other.partition(".")[0]} & allowed}


def test_there_is_no_circle() -> None:
    TopologicalSorter({name: imported(name) - {name} for name in MODULES}).prepare()


@pytest.mark.parametrize("name", sorted(MODULES))
def test_modules_and_functions_are_short_and_have_a_header(name: str) -> None:
    sizes = {name: (len(MODULES[name].read_text("utf-8").splitlines()), LINES)}
    for node in ast.walk(TREES[name]):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            sizes[f"{name}.{node.name}"] = (node.end_lineno - node.lineno + 1, FUNCTION_LINES)
    assert not {what: size for what, (size, most) in sizes.items() if size > most}
    assert ast.get_docstring(TREES[name])


def test_the_map_names_every_room() -> None:
    rooms = dict(re.findall(r"^    (\w+) +(.+)$", genmodels.__doc__ or "", re.MULTILINE))
    assert set(rooms) == {path.parent.name for path in PACKAGE.glob("*/__init__.py")}
    readme = (ROOT / "README.md").read_text("utf-8")
    assert not [room for room, what in rooms.items() if f"| `code/genmodels/{room}/` | {what} |" not in readme]


@pytest.mark.parametrize("command", [("check",), ("format", "--check")])
def test_ruff_finds_nothing(command: tuple[str, ...]) -> None:
    places = [ROOT / name for name in ("code", "tests", "benchmarks", ".ci")]
    done = subprocess.run(
        [sys.executable, "-m", "ruff", *command, "--no-cache", *places], capture_output=True, text=True, cwd=ROOT
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_types_are_those_that_signatures_say(tmp_path: Path) -> None:
    """Of ``training``, ``stages`` and ``store`` (``[tool.mypy]``)."""
    command = [sys.executable, "-m", "mypy", "--cache-dir", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stdout + done.stderr
