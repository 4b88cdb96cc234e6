"""Sentences held against the results: marked where they do not hold, counted, and nothing else lost."""

from __future__ import annotations

import json
import re
from pathlib import Path
from types import SimpleNamespace

import pytest

from common import FRONT
from genmodels import __main__ as command
from genmodels import stages
from genmodels.errors import CheckFailed, ClaimsUnmet, StaleResult, UserError
from genmodels.render import verdict
from genmodels.report import claims

DOCUMENT = (
    FRONT
    + """
```{python}
#| label: setup
#| include: false
from genmodels.report import claims
from genmodels.checks import Outcome
from genmodels.render.verdict import finish
from genmodels.report.persian import fa, table
claims.watch()
claims.holds("good", lambda: 1 < 2)
```

گواه: []{.claims-count}

BODY

```{python}
#| label: end
#| include: false
finish([Outcome("one", "1.1", "sec-1-1", "عنوان", "۳", True, 0.1)], claims=claims)
```
"""
)
LOST = """```{python}
#| label: claims
#| include: false
claims.holds("bad", lambda: 2 < 1, lambda: f"یافته {fa(3.5)} است")
claims.holds("lost", lambda: absent > 1)
```

خوب.`{python} claims.note("good")` بد.`{python} claims.note("bad")` گم.`{python} claims.note("lost")` و `{python} fa(rows, 2)`.

```{python}
#| label: tbl-a
#| tbl-cap: "جدول مرده"
rows = absent["rnn"]
table(rows)
```

```{python}
def (
```

در @tbl-a: `{python} fa(rows)`، `{python} fa(2.5)`.
"""


@pytest.fixture(autouse=True)
def nothing_claimed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(claims, "_marks", {})
    monkeypatch.setattr(claims, "_dead", [])


def test_a_note_is_silent_where_the_claim_holds_and_says_what_was_found_where_not() -> None:
    claims.holds("good", lambda: 1 < 2, lambda: 1 / 0)
    claims.holds("bad", float("nan") > 1, lambda: "ن")
    claims.holds("bare", False)
    claims.holds("lost", lambda: {}["rnn"] > 1)
    claims.holds("silent", False, lambda: 1 / 0)
    assert claims.note("good").data == claims.HELD
    assert "نمی‌خواند: ن." in claims.note("bad").data and ".unclaimed}" in claims.note("bad").data
    assert "نمی‌خواند" in claims.note("bare").data
    assert (
        "سنجیدنی نبود: `KeyError: 'rnn'`" in claims.note("lost").data and "ZeroDivision" in claims.note("silent").data
    )
    assert "سنجیدنی نبود" in claims.note("never made").data
    assert [line.split(":")[0] for line in claims.unmet()] == ["bad", "bare", "lost", "silent", "never made"]


def test_watch_counts_chunks_and_answers_for_inline_expressions_under_quarto(monkeypatch: pytest.MonkeyPatch) -> None:
    from IPython.core.interactiveshell import InteractiveShell

    shell = InteractiveShell()
    monkeypatch.setattr("IPython.get_ipython", lambda: shell)
    claims.watch()
    shell.run_cell("x = 1\nprint(absent)")
    shell.run_cell("def (")
    shell.run_cell("y = 2")
    found = shell.user_expressions({"0": "y", "1": "z + 1"})
    assert found["0"]["data"]["text/plain"] == "2" and found["1"]["status"] == "ok"
    assert found["1"]["data"]["text/markdown"] == claims.UNKNOWN
    assert [re.sub(r" \(\S+, line.*", "", line) for line in claims.dead()] == [
        "the chunk beginning 'x = 1': NameError: name 'absent' is not defined",
        "the chunk beginning 'def (': SyntaxError: invalid syntax", "`z + 1`: NameError: name 'z' is not defined",
    ]  # fmt: skip


def render(folder: Path, body: str, monkeypatch: pytest.MonkeyPatch, to: str = "html") -> tuple[int, str, dict]:
    (folder / "report.qmd").write_text(DOCUMENT.replace("BODY", body), "utf-8")
    monkeypatch.setattr(command, "PROJECT", folder)
    code = command.main(["render", "--to", "html", to, "--output", str(folder / "out")])
    page = re.sub(r"<(script|style).*?</\1>", "", (folder / "out" / "report.html").read_text("utf-8"), flags=re.DOTALL)
    return code, page, json.loads((folder / "out" / verdict.NAME).read_text("utf-8"))


def test_what_does_not_hold_or_dies_is_marked_counted_and_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    code, page, found = render(tmp_path, LOST, monkeypatch, to="pdf")
    assert code == ClaimsUnmet.exit_code == 6 and (tmp_path / "out" / "report.pdf").is_file()
    assert (
        page.count("✗ این جمله با نتیجهٔ این اجرا نمی‌خواند: یافته") == 1
        and page.count("در این اجرا سنجیدنی نبود: ") == 1
    )
    assert page.count("✗ این قطعهٔ کد اجرا نشد") == 2 and page.count('class="unknown"') == 2 and "۲٫۵" in page
    assert "۲ جمله از ۳ جملهٔ سنجیده" in page and "؛ ۲ قطعهٔ کد اجرا نشد؛ ۲ مقدار به دست نیامد" in page
    assert "جدول مرده" in page and 'href="#tbl-a"' in page and "Traceback" not in page
    assert len(found["claims"]) == 2 and len(found["dead"]) == 4
    error = capsys.readouterr().err
    assert re.search(r"warning: report.qmd, line \d+: the chunk tbl-a failed: NameError", error)
    assert re.search(r"warning: report.qmd, line \d+: the chunk failed: SyntaxError: .*\(line 1\)", error)
    assert (
        error.rstrip().split("\n")[-1].startswith("error: 2 sentences do not fit these results and 4 chunks or inline")
    )


def test_a_document_whose_claims_hold_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    code, page, found = render(tmp_path, "خوب.`{python} claims.note('good')`", monkeypatch)
    assert code == 0 and found["claims"] == found["dead"] == []
    assert "همهٔ ۱ جملهٔ سنجیده با نتیجهٔ این اجرا می‌خوانند" in page and "✗" not in page


def test_a_contradicted_proof_outranks_a_sentence(tmp_path: Path) -> None:
    path = tmp_path / verdict.NAME
    path.write_text(
        json.dumps({"checks": 3, "failed": ["masks"], "unchecked": [], "claims": ["a: ب"], "dead": []}), "utf-8"
    )
    with pytest.raises(CheckFailed, match="masks; moreover, 1 sentences"):
        verdict.judge(path)
    path.write_text(
        json.dumps({"checks": 0, "failed": [], "unchecked": [], "claims": [], "dead": ["the chunk end"]}), "utf-8"
    )
    with pytest.raises(ClaimsUnmet, match="1 chunks or inline expressions did not run.*the chunk end"):
        verdict.judge(path)


def test_a_result_that_cannot_be_opened_fails_where_it_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    def load(name: str, profile: str = "full") -> SimpleNamespace:
        if name == "rnn":
            raise StaleResult("rnn is not there")
        return SimpleNamespace(metrics={"n": name})

    monkeypatch.setattr(stages, "load", load)
    shipped = stages.Shipped()
    assert len(shipped) == len(stages.STAGES) - 1 and "rnn" not in shipped and shipped["text"].metrics == {"n": "text"}
    rnn = shipped["rnn"]
    with pytest.raises(UserError, match="rnn is not there"):
        rnn.metrics


@pytest.mark.parametrize(
    "output",
    [
        "```\n\x1b[31m-----\x1b[39m\n\x1b[31mKeyError\x1b[39m: 'rnn'\n```",
        "::: {.ansi-escaped-output}\n```{=html}\n<pre><span>----</span>\n<span class=\"ansi-red-fg\">KeyError</span>: &#39;rnn&#39;</pre>\n```\n:::",
    ],
)  # fmt: skip
def test_the_traceback_that_quarto_gives_becomes_one_line(output: str) -> None:
    import subprocess

    import pypandoc

    filters = Path(__file__).resolve().parents[1] / "assets" / "filters" / "persian.lua"
    source = f"[]{{.claims-count}}\n\n::: {{.cell-output .cell-output-error}}\n{output}\n:::\n"
    for to in ("html", "typst"):
        command = [pypandoc.get_pandoc_path(), "--from=markdown", f"--to={to}", f"--lua-filter={filters}"]
        page = subprocess.run(command, input=source.encode(), capture_output=True, check=True).stdout.decode("utf-8")
        assert "KeyError: 'rnn'" in page.replace("&#39;", "'") and "----" not in page and "۱ قطعهٔ کد اجرا نشد" in page
