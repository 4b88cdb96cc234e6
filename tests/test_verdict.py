"""A failed check: the document is written, and the command says so by its exit code."""

from __future__ import annotations

from pathlib import Path

import pytest

from common import FRONT
from genmodels import __main__ as command
from genmodels.errors import CheckFailed
from genmodels.render import document, verdict

DOCUMENT = (
    FRONT
    + """
```{{python}}
#| label: checks
#| echo: false
from genmodels.checks import Outcome, table
from genmodels.render.verdict import finish
outcomes = [Outcome("one", "1.1", "sec-1-1", "عنوان", "۳", {passed}, 0.1)]
finish(outcomes)
table(outcomes)
```

# بخش {{#sec-1-1}}
"""
)


def made(folder: Path, text: str) -> Path:
    (folder / "report.qmd").write_text(text, "utf-8")
    return folder


@pytest.mark.parametrize("passed", [True, False, None])
def test_render_writes_the_document_and_then_judges(
    tmp_path: Path, passed: bool | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(command, "PROJECT", made(tmp_path, DOCUMENT.format(passed=passed)))
    output = tmp_path / "out"
    code = command.main(["render", "--to", "html", "--output", str(output)])
    assert code == (CheckFailed.exit_code if passed is False else 0)
    page = (output / "report.html").read_text("utf-8")
    assert [name for name in ("failed", "unchecked") if f'class="{name}"' in page] == {
        True: [],
        False: ["failed"],
        None: ["unchecked"],
    }[passed]
    assert command.main(["rubric", "--output", str(output)]) == code


def test_a_document_without_checks_leaves_no_verdict(tmp_path: Path) -> None:
    made(tmp_path, '---\ntitle: "سند"\n---\n\nمتن.\n')
    output = tmp_path / "out"
    output.mkdir()
    (output / verdict.NAME).write_text("{}")
    document.render(tmp_path, formats=("html",), output_dir=output)
    assert not (output / verdict.NAME).exists()
