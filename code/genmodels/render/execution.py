"""The chunks and inline expressions of a document, run once, in order, in one Python kernel (nbclient).

The kernel is this very interpreter, whatever kernels are installed, and speaks through sockets in a private folder
instead of TCP ports. What it does not do: decide what a chunk shows (``weave``), or cache anything (Quarto's freeze
and cache serve stale numbers; the results worth keeping are in ``genmodels.store``).
"""

from __future__ import annotations

import ast
import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from genmodels.errors import UserError
from genmodels.render.qmd import Part
from genmodels.system.files import read_text, require_whole_characters
from genmodels.system.places import CODE

CELL_SECONDS = 7200  # a guard against what never ends, not a judgement of speed
_ANSI = re.compile(r"\x1b\[[0-9;]*m")
_KERNELS_NAME = re.compile(r"\(\d+\.py, (?=line)")  # of a chunk, in a syntax error
_UNICODE_ESCAPE = re.compile(r"\\u[0-9a-f]{4}|\\x[89a-f][0-9a-f]")  # what persian.lua turns back into characters

_EVALUATE = "__import__('genmodels.report.claims', fromlist=['claims']).answers({}, globals())"


def execute(
    parts: list[Part],
    project: Path,
    scratch: Path,
    settings: dict[str, Any],
    name: str,
    variables: dict[str, str] | None = None,
) -> None:
    """Run every chunk and inline expression in one kernel, in order, and keep their outputs in the parts.

    The kernel is this very interpreter, started in ``project`` with the variables of ``_environment`` (those already
    set win, as in Quarto) and ``variables`` on top; it speaks through sockets in ``scratch`` (a short path) and needs no
    installed kernel.
    What raises takes nothing else with it: its part says so (``Part.died``) and the next one is run. Raises ``UserError``
    where a value is no text, a chunk runs too long, or the kernel dies.
    """
    groups = _groups(parts, settings)
    if not groups:
        return
    from nbclient.exceptions import CellTimeoutError, DeadKernelError

    kernel = _Kernel(project, scratch, name)
    environment = {**environment_file(project), **os.environ, "IPYTHONDIR": str(scratch / "ipython")}
    environment["MPLBACKEND"] = "module://matplotlib_inline.backend_inline"  # whatever the caller's says
    paths = [str(CODE), environment.get("PYTHONPATH", "")]  # the same genmodels as here
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, paths))
    environment |= variables or {}
    current: list[Part] = []
    quiet = {"stderr": subprocess.DEVNULL}  # the kernel's last words
    try:
        with kernel.client.setup_kernel(cleanup_kc=True, env=environment, cwd=str(project), **quiet):
            for group in groups:
                current = group
                kernel.evaluate(group) if group[0].kind == "inline" else kernel.chunk(group[0])
    except CellTimeoutError:
        raise UserError(f"{_where(current[0], name)} ran longer than {CELL_SECONDS} s") from None
    except (DeadKernelError, RuntimeError) as error:
        raise UserError(f"{name}: the Python kernel died ({str(error).strip().splitlines()[-1]})") from error


class _Kernel:
    """The kernel, as a notebook that grows by what is run; ``name`` is the document's, for messages."""

    def __init__(self, project: Path, scratch: Path, name: str) -> None:
        import nbformat
        from jupyter_client.kernelspec import KernelSpecManager
        from jupyter_client.manager import AsyncKernelManager
        from nbclient import NotebookClient

        spec = scratch / "kernels" / "report"
        spec.mkdir(parents=True)
        start = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
        start.append("--InlineBackend.figure_formats=svg")
        description = {"argv": start, "display_name": "report", "language": "python"}
        spec.joinpath("kernel.json").write_text(json.dumps(description))
        # Windows has no sockets of files
        sockets = {"transport": "ipc", "ip": str(scratch / "s")} if os.name == "posix" else {}
        manager = AsyncKernelManager(
            kernel_name="report",
            kernel_spec_manager=KernelSpecManager(kernel_dirs=[str(spec.parent)], ensure_native_kernel=False),
            connection_file=str(scratch / "c.json"),
            **sockets,
        )
        self.project, self.name, self.cell = project, name, nbformat.v4.new_code_cell
        self.notebook = nbformat.v4.new_notebook()
        place = {"metadata": {"path": str(project)}}
        self.client = NotebookClient(self.notebook, km=manager, timeout=CELL_SECONDS, resources=place)

    def run(self, source: str) -> list[dict[str, Any]]:
        cell = self.cell(source)
        cell.metadata["tags"] = ["raises-exception"]
        self.notebook.cells.append(cell)
        return self.client.execute_cell(cell, len(self.notebook.cells) - 1).outputs

    def chunk(self, part: Part) -> None:
        """Fill in the outputs, the seconds and the death of a chunk."""
        started = time.monotonic()
        part.outputs = self.run(part.text)
        part.seconds = time.monotonic() - started
        errors = [output for output in part.outputs if output["output_type"] == "error"]
        if errors:
            message = f"{errors[0]['ename']}: {errors[0]['evalue']}".strip().split("\n")[-1]
            message = _KERNELS_NAME.sub("(", _ANSI.sub("", message))
            part.died = message.replace(str(self.project), ".")

    def evaluate(self, inlines: list[Part]) -> None:
        """Fill in the texts of inline expressions, all by one message."""
        outputs = self.run(_EVALUATE.format(repr([part.text for part in inlines])))
        answers = json.loads(ast.literal_eval(outputs[-1]["data"]["text/plain"]))
        for part, answer in zip(inlines, answers, strict=True):
            text, markdown, where = answer["text"], answer["markdown"], f"{self.name}, line {part.line}"
            if text is None:
                raise UserError(f"{where}: `{part.text}` is a {answer['died']}, not text; wrap it in fa(…)")
            require_whole_characters(text, f"{where}: the text of `{part.text}`")
            if not markdown and "\\" in _UNICODE_ESCAPE.sub("", repr(text)):
                raise UserError(f"{where}: Quarto cannot show the text of `{part.text}` ({text!r}); return Markdown(…)")
            part.outputs, part.died = [{"text": text, "markdown": markdown}], answer["died"]


def environment_file(project: Path) -> dict[str, str]:
    """The variables of Quarto's ``_environment`` file (``NAME=value`` lines), or none."""
    path = project / "_environment"
    rows = read_text(path).splitlines() if path.is_file() else []
    return dict(row.split("=", 1) for row in rows if "=" in row and not row.startswith("#"))


def _groups(parts: list[Part], settings: dict[str, Any]) -> list[list[Part]]:
    """Chunks one by one; the inline expressions between two chunks together (one message each would be slow)."""
    groups: list[list[Part]] = []
    for part in parts:
        if part.kind == "markdown" or (part.kind == "chunk" and not option(part, "eval", settings, True)):
            continue
        if part.kind == "inline" and groups and groups[-1][0].kind == "inline":
            groups[-1].append(part)
        else:
            groups.append([part])
    return groups


def deaths(parts: list[Part], name: str) -> list[str]:
    """Each chunk and inline expression that raised, with its line and the error."""
    return [f"{_where(part, name)} failed: {part.died}" for part in parts if part.died]


def _where(part: Part, name: str) -> str:
    what = f"the inline expression `{part.text}`" if part.kind == "inline" else f"the chunk {part.label}".strip()
    return f"{name}, line {part.line}: {what}"


def option(part: Part, name: str, settings: dict[str, Any], default: Any) -> Any:
    """A chunk's option: its own, else the document's (``execute:``), else Quarto's default."""
    return part.options.get(name, settings.get(name, default))
