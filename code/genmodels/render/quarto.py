"""The document by Quarto, from outputs that are there already: Quarto executes nothing, and both formats show one execution.

By itself Quarto executes a document once a format, and keeps nothing for the next rendering or for the hand-in. It shows a
notebook with its outputs as they are, however; so the executed parts become one, in a folder of its own whose other
entries are links into the project. What lies outside the subset of the other route (``qmd``, ``options``) Quarto knows:
it is left to Quarto.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from genmodels.errors import UserError
from genmodels.render.options import read_yaml
from genmodels.render.qmd import Part
from genmodels.render.weave import inline

OLDEST = (1, 9)  # earlier ones number and colour wrongly, and fetch fonts
OUTPUTS = {"html": "html", "pdf": "typst"}  # our names of the formats, and Quarto's
_LEFT = ("_output", "_quarto.yml", "data", "cache")  # of the project; hidden entries, too
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")


def version() -> str | None:
    """That of the Quarto on PATH, if it is new enough; an older one is told on stderr."""
    command = shutil.which("quarto")
    if command is None:
        return None
    try:
        told = subprocess.run([command, "--version"], capture_output=True, text=True, timeout=60).stdout.strip()
    except (OSError, subprocess.TimeoutExpired):
        told = ""
    found = re.match(r"(\d+)\.(\d+)", told)
    if found and (int(found[1]), int(found[2])) >= OLDEST:
        return told
    print(f"Quarto {told} is too old (1.9 or later) and is not used", file=sys.stderr)
    return None


def by_quarto(
    parts: Sequence[Part], front: dict[str, Any], project: Path, scratch: Path, formats: Sequence[str]
) -> dict[str, bytes]:
    """The document of the executed ``parts`` in each of ``formats``. ``front``: its front matter; ``scratch``: a folder.

    Raises ``UserError`` with what Quarto says where it refuses.
    """
    import nbformat

    place = scratch / "quarto"
    place.mkdir()
    for entry in project.iterdir():
        if entry.name not in _LEFT and not entry.name.startswith(".") and entry.suffix not in (".qmd", ".ipynb"):
            (place / entry.name).symlink_to(entry, target_is_directory=entry.is_dir())
    config = read_yaml(project / "_quarto.yml") if (project / "_quarto.yml").is_file() else {}
    ours = {"render": ["report.ipynb"], "output-dir": "_output"}
    config |= {"project": (config.get("project") or {}) | ours}
    (place / "_quarto.yml").write_text(yaml.safe_dump(config, allow_unicode=True, sort_keys=False), "utf-8")
    made = nbformat.writes(nbformat.from_dict(notebook(parts, front)))  # Quarto wants the lines apart
    (place / "report.ipynb").write_text(made, "utf-8")
    environment = os.environ | {"QUARTO_PYTHON": sys.executable}
    found = {}
    for name in formats:
        command = ["quarto", "render", "--to", OUTPUTS[name], "--no-execute"]
        done = subprocess.run(
            command, cwd=place, env=environment, capture_output=True, encoding="utf-8", errors="replace"
        )
        target = place / "_output" / f"report.{name}"
        if done.returncode or not target.is_file():
            lines = [line.strip() for line in _COLOUR.sub("", done.stderr).splitlines() if line.strip()]
            told = next((line for line in lines if line.startswith("ERROR") or "⟨" in line), " ".join(lines[-2:]))
            raise UserError(f"Quarto cannot render it to {name}: {told[:400]}")
        found[name] = target.read_bytes()
    return found


def notebook(parts: Sequence[Part], front: dict[str, Any]) -> dict[str, Any]:
    """The executed document as a notebook (format 4.5): values of inline expressions in the prose, outputs in the cells."""
    head = f"---\n{yaml.safe_dump(front, allow_unicode=True, sort_keys=False)}---\n"
    cells = [{"cell_type": "raw", "id": "front", "metadata": {}, "source": head}]
    prose = ""
    for number, part in enumerate([*parts, Part("chunk", "", 0)]):  # the last one ends the prose
        if part.kind != "chunk":
            prose += part.text if part.kind == "markdown" else inline(part)
            continue
        if prose.strip():
            cells.append({"cell_type": "markdown", "id": f"prose-{number}", "metadata": {}, "source": prose})
        prose = ""
        options = "".join(f"#| {key}: {json.dumps(value, ensure_ascii=False)}\n" for key, value in part.options.items())
        cell = {"cell_type": "code", "id": f"cell-{number}", "metadata": {}, "execution_count": None}
        cells.append(cell | {"source": options + part.text, "outputs": part.outputs})
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    return {"cells": cells[:-1], "metadata": {"kernelspec": kernel}, "nbformat": 4, "nbformat_minor": 5}
