"""Kept outputs: used again only while every input is the same to the byte, and never when they were touched."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import genmodels
from genmodels.render import document as rendering
from genmodels.render import reuse
from genmodels.render.document import render
from genmodels.render.qmd import Part, parse

DOCUMENT = "---\ntitle: آزمایش\n---\n\nمتن `{python} str(1)`\n\n```{python}\n#| label: a\nprint(2)\n```\n"


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project of one file, and a package and cache of its own."""
    package = tmp_path / "root" / "code" / "genmodels"
    for path, content in {
        package / "a.py": "x = 1", package.parents[1] / "assets" / "glossary.yml": "[]",
        package.parents[1] / "assets" / "typst" / "look.typ": "", tmp_path / "cache" / "toy" / "full" / "weights": "w",
        tmp_path / "cache" / "checkpoints" / "toy.pt": "",
    }.items():  # fmt: skip
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    monkeypatch.setattr(reuse, "PACKAGE", package)
    monkeypatch.setattr(reuse, "ASSETS", package.parents[1] / "assets")
    monkeypatch.setenv("GENMODELS_CACHE", str(tmp_path / "cache"))
    (tmp_path / "report.qmd").write_text(DOCUMENT, "utf-8")
    return tmp_path


def key(project: Path, text: str = DOCUMENT) -> str:
    return reuse.identity(parse(text, 1, "a.qmd"), {}, project)


def test_the_whole_package_is_hashed() -> None:
    assert reuse.PACKAGE == Path(genmodels.__path__[0]).resolve()


def test_prose_captions_and_looks_leave_the_key_alone(project: Path) -> None:
    before = key(project)
    assert key(project, DOCUMENT.replace("متن", "متنی دیگر")) == before
    assert key(project, DOCUMENT.replace("#| label: a", "#| label: a\n#| echo: false")) == before
    (project / "root" / "assets" / "typst" / "look.typ").write_text("wider")
    (project / "cache" / "checkpoints" / "toy.pt").write_text("step 2")
    (project / "root" / "code" / "genmodels" / "__pycache__").mkdir()
    (project / "root" / "code" / "genmodels" / "__pycache__" / "a.py").write_text("")
    assert key(project) == before


@pytest.mark.parametrize("place", ["root/code/genmodels/a.py", "root/assets/glossary.yml", "cache/toy/full/weights"])
def test_one_byte_of_the_package_the_lists_or_a_payload_moves_it(project: Path, place: str) -> None:
    before = key(project)
    (project / place).write_text("y")
    changed = key(project)
    (project / place).rename((project / place).with_name("new_" + Path(place).name))
    assert len({before, changed, key(project)}) == 3


def test_code_options_and_environment_move_it(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    keys = {
        key(project),
        key(project, DOCUMENT.replace("str(1)", "str(2)")),
        key(project, DOCUMENT.replace("print(2)", "print(3)")),
    }
    keys.add(key(project, DOCUMENT.replace("#| label: a", "#| label: a\n#| eval: false")))
    monkeypatch.setenv("GENMODELS_DATA", "elsewhere")
    keys.add(key(project))
    monkeypatch.setattr(reuse.metadata, "distributions", lambda: [type("D", (), {"name": "torch", "version": "0"})()])
    assert len(keys | {key(project)}) == 6


def test_a_touched_or_truncated_file_is_not_believed(project: Path) -> None:
    parts = parse(DOCUMENT, 1, "a.qmd")
    for part in parts:
        part.outputs = [{"text": "۱"}]
    kept = project / "kept.json"
    reuse.keep(kept, "k", parts, {}, reuse.Execution.ended("{}", 1.0), sound=True)
    fresh = parse(DOCUMENT, 1, "a.qmd")
    assert reuse.restore(kept, "k", fresh) is not None and fresh[1].outputs == [{"text": "۱"}]
    whole = kept.read_text("utf-8")
    for text in (whole.replace("۱", "۲"), whole[:50], "[]", "{}"):
        kept.write_text(text, "utf-8")
        again = parse(DOCUMENT, 1, "a.qmd")
        assert reuse.restore(kept, "k", again) is None and again[1].outputs == []
    kept.write_text(whole, "utf-8")
    assert reuse.restore(kept, "other", fresh) is None


def test_a_prose_edit_renders_without_executing(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ran = []

    def execute(parts: list[Part], *_: object) -> None:
        ran.append(1)
        for part in parts:
            stream = {"output_type": "stream", "name": "stdout", "text": f"run {len(ran)}"}
            part.outputs = [{"text": "x", "markdown": False}] if part.kind == "inline" else [stream]

    monkeypatch.setattr(rendering, "execute", execute)
    pages = []
    for text in (DOCUMENT, DOCUMENT.replace("متن", "جمله"), DOCUMENT.replace("print(2)", "print(22)")):
        (project / "report.qmd").write_text(text, "utf-8")
        (path,) = render(project, ("html",), reuse_from=project / "kept")
        pages.append(path.read_text("utf-8"))
    assert len(ran) == 2 and "run 1" in pages[0] and "run 1" in pages[1] and "run 2" in pages[2]
    assert "<p>جمله" in pages[1] and "<p>متن" not in pages[1]
    render(project, ("html",))
    assert len(ran) == 3  # where nothing is asked to be reused, nothing is


def test_the_chunks_of_the_report_read_nothing_that_the_key_leaves_out() -> None:
    source = (Path(__file__).resolve().parents[1] / "report.qmd").read_text("utf-8")
    chunks = re.findall(r"^```\{python\}\n(.*?)^```", source, re.DOTALL | re.MULTILINE)
    assert chunks
    for body in chunks:
        assert not re.search(
            r"\bopen\(|\bPath\(|\.read_|pathlib|os\.environ|data_folder|mnist\.load\(|wikipedia\.|requests|urllib", body
        ), body
