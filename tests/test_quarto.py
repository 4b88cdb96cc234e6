"""Quarto shows an execution that is there already: a notebook with its outputs, in which nothing is left to execute."""

from __future__ import annotations

import os
from pathlib import Path

import nbformat
import pytest

from genmodels.errors import UserError
from genmodels.render import document as rendering
from genmodels.render import quarto, reuse
from genmodels.render.qmd import Part, parse
from test_render import make_project

BODY = (
    'متن `{python} a` و *x*.\n\n```{python}\n#| label: fig-a\n#| fig-cap: "شرح: آ"\n#| column: margin\n1\n2\n```\n\n'
    "::: {.panel-tabset}\n## یک\n:::\n\n```{mermaid}\na --> b\n```\n\n{{< video a.mp4 >}} پایان\n"
)
FRONT = {"title": "گزارش", "student-id": "04", "keywords": ["الف", "ب"]}


def executed() -> list[Part]:
    parts = parse(BODY, 1, "a", quarto=True)
    for part in parts:
        if part.kind == "inline":
            part.outputs = [{"text": "*2* [x]", "markdown": False}]
        elif part.kind == "chunk":
            part.outputs = [{"output_type": "stream", "name": "stdout", "text": "یک\nدو\n"}]
    return parts


def test_the_notebook_holds_all_that_the_document_says() -> None:
    made = nbformat.from_dict(quarto.notebook(executed(), FRONT))
    nbformat.validate(made)
    kinds = [cell.cell_type for cell in made.cells]
    assert kinds == ["raw", "markdown", "code", "markdown"]
    assert rendering.split_front_matter(made.cells[0].source, "a")[0] == FRONT
    assert made.cells[1].source.strip() == r"متن \*2\* \[x\] و *x*."
    chunk = (
        '#| label: "fig-a"\n#| fig-cap: "شرح: آ"\n#| column: "margin"\n1\n2'  # each option, also those of Quarto alone
    )
    assert made.cells[2].source == chunk and made.cells[2].outputs[0].text == "یک\nدو\n"
    rest = made.cells[3].source
    assert "{.panel-tabset}" in rest and "```{mermaid}\na --> b\n```" in rest and "{{< video a.mp4 >}}" in rest
    assert "`{python}" not in "".join(cell.source for cell in made.cells)


def stand_in(folder: Path, script: str) -> None:
    """A ``quarto`` on PATH."""
    (folder / "bin").mkdir()
    (folder / "bin" / "quarto").write_text(f"#!/bin/sh\n{script}\n")
    (folder / "bin" / "quarto").chmod(0o755)


@pytest.mark.skipif(os.name == "nt", reason="a shell script stands in for Quarto")
@pytest.mark.parametrize(
    ("told", "wanted"), [("1.10.18", True), ("1.9.0", True), ("2.0", True), ("1.8.27", False), ("?", False)]
)
def test_an_old_quarto_is_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], told: str, wanted: bool
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    assert quarto.version() is None and capsys.readouterr().err == ""
    stand_in(tmp_path, f"echo {told}")
    assert (quarto.version() == told) is wanted
    assert ("is too old" in capsys.readouterr().err) is not wanted


@pytest.mark.skipif(os.name == "nt", reason="a shell script stands in for Quarto")
def test_one_execution_serves_quarto_and_the_next_rendering(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The stand-in writes what it was given: the notebook, in a project that names it alone."""
    ran = []

    def execute(parts: list[Part], *_: object) -> None:
        ran.append(1)
        for part, done in zip(parts, executed(), strict=True):
            part.outputs = done.outputs

    monkeypatch.setattr(rendering, "execute", execute)
    folder = make_project(tmp_path)
    (folder / "report.qmd").write_text("---\ntitle: گزارش\n---\n" + BODY, "utf-8")
    (folder / "cache").mkdir()
    wanted = 'echo "$@" > _output/report.$kind; ls >> _output/report.$kind; cat report.ipynb _quarto.yml >> _output/report.$kind'
    stand_in(tmp_path, f'mkdir -p _output; kind=pdf; test "$3" = html && kind=html; {wanted}')
    monkeypatch.setenv("PATH", str(tmp_path / "bin"), prepend=os.pathsep)
    kept = folder / "_output" / reuse.KEPT
    for front in (None, {"author": "زهرا"}):
        page, pdf = rendering.render(folder, front=front, reuse_from=kept, quarto=True)
    assert len(ran) == 1 and [page.name, pdf.name] == ["report.html", "report.pdf"]
    text = page.read_text("utf-8")
    assert text.startswith("render --to html --no-execute") and "render --to typst" in pdf.read_text("utf-8")
    assert "author: زهرا" in text and "render:\n  - report.ipynb" in text and "assets\n" in text
    assert "cache\n" not in text.split("{")[0] and sorted(path.name for path in folder.iterdir())[-1] == "sample.svg"
    stand_in_says = 'echo "ERROR: no such thing" >&2; exit 1'
    (tmp_path / "bin" / "quarto").write_text(f"#!/bin/sh\n{stand_in_says}\n")
    with pytest.raises(UserError, match="Quarto cannot render it to html: ERROR: no such thing"):
        rendering.render(folder, reuse_from=kept, quarto=True)
    assert page.read_text("utf-8") == text  # what was there stays


@pytest.mark.skipif(quarto.version() is None, reason="Quarto is not installed")
def test_quarto_itself_shows_the_outputs(tmp_path: Path) -> None:
    folder = make_project(tmp_path)
    (folder / "own.qmd").write_text('---\ntitle: گزارش\n---\n\nعدد `{python} 3.14`\n\n```{python}\n#| label: tbl-a\n'
                                    '#| tbl-cap: شرح\nimport pandas as pd\npd.DataFrame({"نام": [7]})\n```\n\nدر @tbl-a\n', "utf-8")  # fmt: skip
    page, pdf = rendering.render(folder, source="own.qmd", quarto=True)
    text = page.read_text("utf-8")
    assert "عدد ۳٫۱۴" in text and "<td>۷</td>" in text and "جدول ۱" in text.replace("\u00a0", " ")
    assert pdf.read_bytes().startswith(b"%PDF") and "gm-" not in text
