"""The route without Quarto: a sample document that uses every construct once, and every way to get it wrong.

The kernel starts once for the sample and once per test that needs a failing chunk; the rest stops before execution or
runs on documents without chunks.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path

import pypandoc
import pytest
import typst
import yaml

from genmodels.errors import UserError
from genmodels.render import document as rendering
from genmodels.render import options
from genmodels.render.document import render, uncovered
from genmodels.render.qmd import parse
from genmodels.render.weave import weave

ROOT = Path(__file__).resolve().parents[1]
TESTS = Path(__file__).resolve().parent


def make_project(folder: Path) -> Path:
    """A project with our configuration and assets, and no document."""
    config = (ROOT / "_quarto.yml").read_text("utf-8")
    assert "references.bib" in config
    (folder / "_quarto.yml").write_text(config.replace("references.bib", "sample.bib"), "utf-8")
    (folder / "assets").symlink_to(ROOT / "assets")
    for name in ("sample.bib", "sample.svg"):
        shutil.copy(TESTS / name, folder)
    return folder


@pytest.fixture
def project(tmp_path: Path) -> Path:
    return make_project(tmp_path)


class Page(HTMLParser):
    """Tags with their attributes, and the text outside code, mathematics and style."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.skipping = 0
        self.feed(html)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attributes)))
        self.skipping += tag in ("code", "math", "style", "script")

    def handle_endtag(self, tag: str) -> None:
        self.skipping -= tag in ("code", "math", "style", "script")

    def handle_data(self, data: str) -> None:
        if not self.skipping:
            self.text += data


@pytest.fixture(scope="module")
def rendered(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, bytes]:
    folder = make_project(tmp_path_factory.mktemp("sample"))
    shutil.copy(TESTS / "sample.qmd", folder)
    html, pdf = render(folder, source="sample.qmd")
    assert [path.name for path in folder.joinpath("_output").iterdir()] != []
    assert {path.name for path in folder.joinpath("_output").iterdir()} == {"sample.html", "sample.pdf"}
    return html.read_text("utf-8"), pdf.read_bytes()


@pytest.fixture(scope="module")
def page(rendered: tuple[str, bytes]) -> Page:
    return Page(rendered[0])


def test_page_is_right_to_left_and_self_contained(page: Page, rendered: tuple[str, bytes]) -> None:
    html = dict(page.tags)["html"]
    assert (html["lang"], html["dir"]) == ("fa", "rtl")
    for tag, attributes in page.tags:
        for name in ("src", "poster", "data") + (("href",) if tag == "link" else ()):
            assert (attributes.get(name) or "data:").startswith("data:"), (tag, attributes)
    styles = "".join(re.findall(r"<style[^>]*>(.*?)</style>", rendered[0], re.S))
    urls = set(re.findall(r"url\(([^)]{1,40})", rendered[0]))
    assert urls and all(url.strip("'\"").startswith("data:") for url in urls), urls
    assert "@import" not in styles and rendered[0].count('<script type="module">') > 5
    assert "import " not in "".join(re.findall(r"<script[^>]*>(.*?)</script>", rendered[0], re.S))


def test_numbers_labels_and_references(page: Page) -> None:
    text = page.text.replace("\u00a0", " ")
    for expected in (
        "شکل ۱:", "شکل ۲:", "شکل ۳:", "جدول ۱:", "جدول ۲:", "جدول ۳:", "برنامه ۱:",
        "در شکل ۱ و جدول ۱", "رابطهٔ ۱ و رابطهٔ ۲",
        "بخش ۲ روش", "۲.۱", "(۱)", "۲۵ دی ۱۴۰۴", "(۴۰۱۲۳۴۵۶۷)", "[نیز ببینید ۱، ۲، ۳]",
        "فهرست مطالب", "هشدار", "Python 3.11",
        "در ۱۰ دور", "\u2066−۳٫۵۰\u2069", "\u2066۱٫۲۰×۱۰−۵\u2069", "۱٬۲۳۴٬۵۶۷", "تنها در HTML",
    ):  # fmt: skip
        assert expected in text, expected
    assert "@" not in text and "??" not in text and "{#" not in text and "Traceback" not in text


def test_every_link_inside_the_page_has_its_target(page: Page) -> None:
    identifiers = {attributes.get("id") for _, attributes in page.tags}
    links = [a["href"][1:] for tag, a in page.tags if tag == "a" and (a.get("href") or "").startswith("#")]
    assert len(links) > 20
    from urllib.parse import unquote

    assert [link for link in links if unquote(link) not in identifiers] == []


def test_latin_digits_stay_only_where_they_belong(page: Page) -> None:
    body = page.text[: page.text.rindex("منابع")]
    left = [word for word in body.split() if re.search(r"\d", word.translate(str.maketrans("۰۱۲۳۴۵۶۷۸۹", "x" * 10)))]
    assert {re.sub(r"[.،]$", "", word) for word in left} <= {"3.11", "https://example.org/a?b=1"}


def test_code_is_left_to_right_and_folded_where_asked(page: Page, rendered: tuple[str, bytes]) -> None:
    for pre, attributes in re.findall(r"(<pre[^>]*>)?<code([^>]*)>", rendered[0]):
        assert pre or 'dir="ltr"' in attributes
    directed = re.findall(r'<pre dir="ltr"|<div class="sourceCode"[^>]* dir="ltr"', rendered[0])
    assert len(directed) == len(re.findall(r"<pre\b", rendered[0])) > 5
    assert rendered[0].count('<details class="code-fold">') == 1
    assert "\u2068شبکهٔ ساده\u2069" in rendered[0]


def test_images_have_alternative_texts(page: Page) -> None:
    texts = [a["alt"] for tag, a in page.tags if tag == "img"]
    assert texts == ["نمودار خطی کاهش زیان", "دو جعبه و یک پیکان", "شکلی پهن‌تر از متن"]


def test_references_are_set_in_their_own_direction(page: Page) -> None:
    entries = [(a["dir"], a["lang"]) for tag, a in page.tags if tag == "div" and a.get("class") == "bib-text"]
    assert entries == [("ltr", "en"), ("ltr", "en"), ("rtl", "fa")]


def test_pdf(rendered: tuple[str, bytes], tmp_path: Path) -> None:
    pdf = rendered[1]
    assert pdf.startswith(b"%PDF-") and pdf.rstrip().endswith(b"%%EOF")
    assert b"pdfuaid:part" in pdf or b"pdfuaid" in pdf  # PDF/UA-1
    assert b"/Keywords" in pdf
    fonts = {name.split(b"+")[-1].split(b"-")[0] for name in re.findall(rb"/BaseFont\s*/([^\s/]+)", pdf)}
    assert fonts <= {b"Vazirmatn", b"JetBrainsMono", b"NewCM10", b"NewCMMath"} and b"Vazirmatn" in fonts
    if not shutil.which("pdftotext"):
        pytest.skip("pdftotext is not here to read the PDF back")
    path = tmp_path / "sample.pdf"
    path.write_bytes(pdf)
    text = subprocess.run(["pdftotext", str(path), "-"], capture_output=True, check=True).stdout.decode("utf-8")
    for expected in (
        "PixelCNN",
        "۱۴۰۴",
        "transforms.Normalize",
        "accuracy: 98.7",
        "مدل‌های مولد",
        "شبکه‌های",
        "پیکسل‌به‌پیکسل",
    ):
        assert expected in text, expected  # those with a half-space: found and copied as they are written
    assert "\ufffd" not in text
    boxes = subprocess.run(["pdftotext", "-bbox", str(path), "-"], capture_output=True, check=True).stdout.decode(
        "utf-8"
    )
    words = re.findall(r'xMin="([\d.]+)" yMin="([\d.]+)"[^>]*>(.*?)</word>', boxes)
    line = next(y for _, y, word in words if word == "top-k")
    there = [
        word.strip("[]:،.")
        for x, y, word in sorted(words, key=lambda word: -float(word[0]))
        if y == line and re.search("[A-Z]|-|۲", word)
    ]
    assert there == ["top-k", "۲", "MNIST", "PyTorch", "Adam", "SGD"]  # from right to left, as they are read


def test_sample_has_no_character_without_a_glyph() -> None:
    assert uncovered((TESTS / "sample.qmd").read_text("utf-8")) == []
    assert uncovered("سلام 漢") == ["漢"]


# what is outside the subset -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("tex", "wanted"),
    [(r"n \log n", r"n\, \log\, n"), (r"c \log_2 n", r"c\, \log_2\, n"), (r"p_{\min}", r"p_{\min}"), (r"\log(x)", r"\log(x)"),
     (r"-\ln \sigma(z)", r"-\ln\, \sigma(z)"), (r"\exp \left(x\right)", r"\exp \left(x\right)")],
)  # fmt: skip
def test_functions_in_mathml_have_their_thin_spaces(tex: str, wanted: str) -> None:
    page = filtered(f"${tex}$", "html")
    assert f'<annotation encoding="application/x-tex">{wanted}</annotation>' in page
    assert page.count("<mspace") == wanted.count(r"\,")


@pytest.mark.parametrize(("version", "accepted"), [("1.8.27", False), ("1.9.0", True), ("1.10.18", True)])
def test_an_old_quarto_is_refused(tmp_path: Path, version: str, accepted: bool) -> None:
    ours = (ROOT / "assets" / "filters" / "callouts.lua").read_text("utf-8")
    (tmp_path / "quarto.lua").write_text(
        f'local quarto = {{ version = pandoc.types.Version("{version}") }}\n{ours}', "utf-8"
    )
    command = [pypandoc.get_pandoc_path(), "--to=html", f"--lua-filter={tmp_path / 'quarto.lua'}"]
    done = subprocess.run(command, input="متن", capture_output=True, encoding="utf-8")
    assert (done.returncode == 0) is accepted and (f"Quarto {version} is too old" in done.stderr) is not accepted


def test_quartos_numbered_formula_gets_its_text_alternative() -> None:
    call = "#math.equation(block: true, numbering: equation-numbering, [ "
    formula = 'Math DisplayMath "a \\\\le b", RawInline (Format "typst") " ])<eq-a>"'
    assert call.replace(", [ ", ', alt: "a \\\\le b", [ ') in filtered(
        f'[Para [RawInline (Format "typst") "{call}", {formula}]]', "typst", "--from=native"
    )
    spelt = call.replace(", [ ", ', alt: "at most", [ ')
    assert filtered(
        f'[Para [RawInline (Format "typst") {json.dumps(spelt)}, {formula}]]', "typst", "--from=native"
    ).startswith(spelt)


@pytest.mark.parametrize(
    ("body", "complaint"),
    [("کار @nobody", "unknown citation key @nobody"), ("در **?@fig-x**", "unresolved cross-reference @fig-x")],
)
def test_under_quarto_an_unknown_name_ends_the_rendering(tmp_path: Path, body: str, complaint: str) -> None:
    """Quarto replaces Lua's ``error`` by a function that only prints, and marks what it cannot resolve with ``?@``."""
    ours = (ROOT / "assets" / "filters" / "bibliography.lua").read_text("utf-8")
    (tmp_path / "quarto.lua").write_text("local error = function() end\n" + ours, "utf-8")
    command = [
        pypandoc.get_pandoc_path(),
        "--to=html",
        f"--bibliography={TESTS / 'sample.bib'}",
        f"--lua-filter={tmp_path / 'quarto.lua'}",
    ]
    done = subprocess.run(command, input=body, capture_output=True, encoding="utf-8")
    assert done.returncode != 0 and complaint in done.stderr


@pytest.mark.parametrize(
    ("body", "complaint"),
    [
        ("::: {.callout-note icon=false}\nمتن\n:::", r"line 1: the callout option icon"),
        ("::: {#nte-x .callout-note}\nمتن\n:::", r"a callout cannot have a label"),
        ("```{python}\n#| column: margin\n1\n```", r"line 1: the chunk option column is outside"),
        ("```{python}\n#| label: fig-x\n1\n```", r"line 1: a chunk needs both fig-cap"),
        ("```{python}\n#| label: a\n1\n```\n\n```{python}\n#| label: a\n1\n```", r"line 6: the label a is taken"),
        ("```{python}\n1", r"line 1: the code block is never closed"),
        ("- مورد\n\n  ```{python}\n  1\n  ```", r"line 3: a chunk begins at the start of its line"),
        ("مقدار `{python} 1 +\n1` است", r"line 1: an inline expression must end on the line"),
        ("مقدار `{r} x` است", r"line 1: only `\{python\}"),
        ("نگاه کنید به @fig-nowhere.", r"line 1: unresolved cross-reference @fig-nowhere"),
        ("## بخش {#sec-a .unnumbered}\n\nدر @sec-a.", r"unresolved cross-reference @sec-a"),
        ("کار @nobody2000 است.", r"line 1: unknown citation key @nobody2000"),
        ("![شرح](nowhere.svg){#fig-a}", r"line 1: the image nowhere.svg is missing"),
        ("![شرح](https://example.org/a.png){#fig-a}", r"is not a local file"),
        ("![شرح](sample.svg){#fig-a .lightbox fig-align=left}", r"the image option fig-align"),
        ("| a |\n|---|\n| b |\n\n: شرح جدول", r"a table with a caption needs a label"),
        ("$$x$$ {#eq-a}\n\n$$y$$ {#eq-a}", r"line 1: the label #eq-a is used twice"),
        ("$\\notamacro{x}$", r"Could not convert TeX math"),
    ],
)  # fmt: skip
def test_outside_the_subset(project: Path, body: str, complaint: str) -> None:
    with pytest.raises(UserError, match=complaint) as error:
        render_text(project, body)
    assert "\n" not in str(error.value)
    assert not (project / "_output").exists()


def render_text(project: Path, body: str, formats: tuple[str, ...] = ("html",)) -> str:
    """Render a document of one's own; the text of the first file written."""
    (project / "own.qmd").write_text(body + "\n", "utf-8")
    return render(project, formats, source="own.qmd")[0].read_text("utf-8", errors="replace")


@pytest.mark.parametrize(
    ("front", "complaint"),
    [
        ("lightbox: true", r"own.qmd, line 2: the option lightbox is outside"),
        ("execute:\n  cache: true", r"line 3: the option execute.cache is outside"),
        ("execute:\n  freeze: auto", r"the option execute.freeze"),
        ("format:\n  docx:\n    toc: true", r"the option format.docx"),
        ("format: html", r"as a mapping of formats"),
        ("format:\n  html:\n    html-math-method: mathjax", r"must be mathml"),
        ("title: [a", r"line 3: the front matter is not YAML"), ("- a", r"must be `name: value` lines"),
        ("execute: 5", r"execute: must be a mapping"), ("author: true", r"line 2: author: must be a name"),
        ("author: yes", r"line 2: write author: .* in quotes"), ("author: [{nam: x}]", r"line 2: author: must be a name, or a list"),
        ("author: [[a]]", r"author: must be a name"), ("toc-depth: دو", r"line 2: toc-depth: must be a whole number from 1 to 6, not 'دو'"),
        ("toc-depth: 0", r"toc-depth: must be a whole"), ("format:\n  html:\n    toc-depth: 2.5", r"line 4: toc-depth: must be a whole"),
        ("toc: no", r"write toc: as true or false"), ("toc: 'no'", r"toc: must be true or false"), ("title: [a, b]", r"title: must be one text"),
        ("date: 2024-13-45", r"line 2: write date: as one text in quotes"), ("date: '2024-13-45'", r"the date 2024-13-45 is in no calendar"),
        ("date: 2024-2-30", r"the date 2024-2-30 is in no calendar"), ("keywords: {a: b}", r"keywords: must be a text or a list"),
        ("author: \"\\ud800\"", r"line 2 holds \\ud800, half a character"), ("author: 中", r"line 2: no font of the report has 中 .U.4E2D. in author:"),
        ("title: a\ntitle: b", r"line 3: title: stands twice"), ("author: &a [*a]", r"nested without end"), ("a: \x07", r"front matter is not YAML"),
        ("author: " + "[" * 5000, r"nested without end"), ("student-id: " + "1" * 5000, r"line 2: write student-id:|not YAML that can be read"),
 ("date: 2026-01-15 10:00:00\ndate-format: short", r"date-format short is outside"),
        ("bibliography: nowhere.bib", r"nowhere.bib is missing"),
        ("language: nowhere.yml", r"nowhere.yml is missing"),
        ("format:\n  html:\n    css: nowhere.css", r"nowhere.css is missing"),
        ("date: 2026-01-15\ndate-format: short", r"date-format short is outside"),
    ],
)  # fmt: skip
def test_front_matter_outside_the_subset(project: Path, front: str, complaint: str) -> None:
    with pytest.raises(UserError, match=complaint):
        render_text(project, f"---\n{front}\n---\n\nمتن")
    assert not (project / "_output").exists()


def test_statements_of_the_student_are_options(project: Path) -> None:
    front = "collaborators: [الف, ب]\nai-statement: یاری گرفته‌ام"
    assert "متن" in render_text(project, f"---\n{front}\n---\n\nمتن")


@pytest.mark.parametrize("before", ["", "\ufeff", "\n", "\ufeff \n\t\n\n"])
@pytest.mark.parametrize("end", ["---\n", "...\n", "--- \r\n"])
def test_front_matter_is_never_lost(project: Path, before: str, end: str) -> None:
    """A byte order mark, empty lines, Windows' line ends: the options count, and so do the lines of what follows."""
    (project / "own.qmd").write_bytes(f"{before}---\ntitle: سرنویس\nauthor: [الف, {{name: 12}}]\n{end}\nمتن\n".encode())
    page = render(project, ("html",), source="own.qmd")[0].read_text("utf-8")
    assert '<h1 class="title">سرنویس</h1>' in page and '<p class="authors">الف، 12</p>' in page
    (project / "own.qmd").write_bytes(f"{before}---\ntitle: x\n{end}\n@fig-no\n".encode())
    with pytest.raises(UserError, match=f"own.qmd, line {before.count(chr(10)) + 5}: unresolved"):
        render(project, ("html",), source="own.qmd")


@pytest.mark.parametrize(
    "text",
    [
        "---\ntitle: x\n\nمتن",
        "---\n\ntitle: x\n---\n",
        " ---\ntitle: x\n---\n",
        "<!-- a -->\n\n---\ntitle: x\n---\n",
        "متن\n\n---\nauthor: x\n...\n",
    ],
)
def test_front_matter_that_would_not_count_is_refused(project: Path, text: str) -> None:
    with pytest.raises(UserError, match=r"line \d: (the front matter needs a ---|a second front matter)"):
        render_text(project, text)
    assert "<hr" in render_text(project, "---\n\nمتن\n\n---\n\nپایان")


@pytest.mark.parametrize(
    "options", ["fig-cap: 12:30", "tbl-cap: 0401", "label: 1_0", "fig-cap:", "tbl-cap: [a]", "fig-alt: true"]
)
def test_chunk_options_are_kept_as_written_or_refused(options: str) -> None:
    with pytest.raises(UserError, match=r"a.qmd, line \d+: (write|the chunk option) .*one text in quotes"):
        parse(
            f"```{{python}}\n#| label: fig-a\n#| {options}\n1\n```\n".replace(
                "#| label: fig-a\n", "" if "label" in options else "#| label: fig-a\n"
            ),
            3,
            "a.qmd",
        )


@pytest.mark.parametrize(
    ("chunk", "complaint"),
    [
        ("#| label: fig-a\n#| fig-cap: شرح\n1", r"chunk fig-a has a figure's label but made no figure"),
        ("#| label: tbl-a\n#| tbl-cap: شرح\nNone", r"chunk tbl-a has a table's label but returned no table"),
        ("from IPython.display import HTML\nHTML('<b>x</b>')", r"returned text/html.*table\(rows\)"),
        ("x = [1]\n```\n\nعدد `{python} x` است.\n\n```{python}\n1", r"line 7: `x` is a list, not text; wrap it in fa"),
        ("x = '\\ud800'\n```\n\nمتن `{python} x` است.\n\n```{python}\n1", r"line 7: the text of `x` holds \\ud800, half a character"),
        ("x = 'a\\nb'\n```\n\nمتن `{python} x` است.\n\n```{python}\n1", r"line 7: Quarto cannot show the text of `x`"),
    ],
)  # fmt: skip
def test_failing_chunks(project: Path, chunk: str, complaint: str) -> None:
    with pytest.raises(UserError, match=complaint) as error:
        render_text(project, f"متن\n\n```{{python}}\n{chunk}\n```")
    assert "\n" not in str(error.value) and not (project / "_output").exists()


def test_nothing_is_replaced_when_a_later_format_fails(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "نخست" in render_text(project, "نخست")

    def fails(*_: object) -> bytes:
        raise UserError("a font is missing")

    with monkeypatch.context() as patch:
        patch.setattr(rendering.Built, "pdf", fails)
        with pytest.raises(UserError, match="missing"):
            render_text(project, "دوم", ("html", "pdf"))
    assert [path.name for path in (project / "_output").iterdir()] == ["own.html"]
    assert "نخست" in (project / "_output" / "own.html").read_text("utf-8")
    (project / "_output" / "own.pdf").mkdir()  # it cannot be replaced, and the other format is not either
    (project / "_output" / "rubric.json").write_text("{}")
    with pytest.raises(UserError, match="own.pdf"):
        render_text(project, "دوم", ("html", "pdf"))
    assert "نخست" in (project / "_output" / "own.html").read_text("utf-8")
    assert not (project / "_output" / "rubric.json").exists()  # an old verdict blesses no new page


def test_a_document_that_is_not_utf8_is_one_line(project: Path) -> None:
    (project / "own.qmd").write_bytes("متن".encode("cp1256"))
    with pytest.raises(UserError, match="own.qmd is not UTF-8 at byte 0"):
        render(project, ("html",), source="own.qmd")


def test_unknown_format_and_missing_document(project: Path) -> None:
    with pytest.raises(UserError, match="cannot render to 'docx'"):
        render(project, ("docx",))
    with pytest.raises(UserError, match="report.qmd is missing"):
        render(project)


# parsing, weaving, options ------------------------------------------------------------------------------------------


def test_parse_keeps_lines_and_shown_code() -> None:
    shown = "```\n`{python} z` {{< no >}}\n```\n"
    body = "یک `{python} x` دو\n\n```{python}\n#| label: a\n#| echo: false\ny = 1\n```\n" + shown
    parts = parse(body, 10, "a.qmd")
    assert [part.kind for part in parts] == ["markdown", "inline", "markdown", "chunk", "markdown"]
    assert [part.line for part in parts] == [10, 10, 10, 12, 17]
    assert parts[1].text == "x" and parts[3].text == "y = 1" and parts[3].options == {"label": "a", "echo": False}
    assert "`{python} z` {{< no >}}" in parts[4].text
    assert "".join(part.text for part in parts if part.kind == "markdown").count("```") == 2


def test_weave_escapes_inline_text_and_outgrows_fences(tmp_path: Path) -> None:
    parts = parse("`{python} a` `{python} b`\n\n```{python}\nprint(1)\n```\n", 1, "a.qmd")
    parts[1].outputs = [{"text": "*1* | [x], 2.5", "markdown": False}]
    parts[3].outputs = [{"text": "*2*", "markdown": True}]
    parts[5].outputs = [{"output_type": "stream", "name": "stdout", "text": "````\x1b[1mx\n"}]
    text = weave(parts, tmp_path, {}, "a.qmd")
    assert text.startswith(r"\*1\* | \[x\]\, 2\.5 *2*")  # no more and no less than Quarto does
    assert "`````\n````x\n`````" in text


def test_options_merge_and_every_language_label_is_there() -> None:
    assert options.merged({"a": {"b": 1, "c": 2}, "d": 3}, {"a": {"b": 4}}) == {"a": {"b": 4, "c": 2}, "d": 3}
    labels = yaml.safe_load((ROOT / "assets" / "fa.yml").read_text("utf-8"))
    assert len(labels) > 90
    assert [name for name, text in labels.items() if re.search("[A-Za-z]{3}", text.replace("BibTeX", ""))] == []
    options.check_options(yaml.safe_load((ROOT / "_quarto.yml").read_text("utf-8")), "", "_quarto.yml")


# the shared filters, on what Quarto hands them at post-finalize ------------------------------------------------------


def filtered(markdown: str, to: str, *more: str) -> str:
    filters = [f"--lua-filter={ROOT / 'assets' / 'filters' / name}.lua" for name in ("bibliography", "persian")]
    command = [pypandoc.get_pandoc_path(), "--from=markdown", f"--to={to}", "--wrap=none", "--mathml", *filters, *more]
    done = subprocess.run(command, input=markdown.encode(), capture_output=True, check=True, cwd=TESTS)
    assert done.stderr == b""
    return done.stdout.decode("utf-8")


def test_filters_undo_what_quarto_does_to_the_text_of_inline_expressions() -> None:
    """`asEscapedMarkdown` of quarto-cli's jupyter-inline.ts: the repr, its backslashes doubled, then all escaped."""

    def quarto(text: str) -> str:
        return re.sub(r"([\\`*_{}\[\]()>#+-.!])", r"\\\1", repr(text)[1:-1].replace("\\", "\\\\"))

    texts = ("\u2066−۳٫۵\u2069", "می\u200cشود", "«تهران،\u00a0بزرگ» (a_b.txt)", "\u2066۱٫۲×۱۰⁻⁵\u2069", "شبکهٔ 'LSTM'")
    for text in texts:
        part = parse("`{python} a`", 1, "a.qmd")[1]
        part.outputs = [{"text": text, "markdown": False}]
        ours = weave([part], Path(), {}, "a.qmd")
        for to in ("html", "typst"):
            assert filtered(quarto(text), to) == filtered(ours, to)
            assert "\\" not in filtered(ours, "html")


def test_filters_set_quartos_equation_numbers_beside_the_formula() -> None:
    html = filtered(r"[$$ x \qquad(12)$$]{#eq-a}", "html")
    assert "qquad" not in html and '<span class="eq-number">(۱۲)</span>' in html


def test_a_line_that_introduces_a_list_stays_on_its_page(tmp_path: Path) -> None:
    source = "برتری‌ها:\n\n- یک\n- دو\n\nجمله‌ای با دونقطه: و پایان.\n\n- سه\n"
    body = filtered(source, "typst")
    assert body.count("#lead-in[") == 1 and "lead-in" not in filtered(source, "html")
    for led in ("$$ x $$", "```python\nx = 1\n```", "::: {.cell}\n```python\nx = 1\n```\n:::"):
        assert "#lead-in[" in filtered(f"چنین است:\n\n{led}\n", "typst")
    look = (ROOT / "assets" / "typst" / "look.typ").read_text("utf-8")
    small = "#set page(height: 60pt, width: 200pt, margin: 0pt)\n#block(height: {}pt)[]\n"
    marked = body.replace("برتری‌ها:", "برتری‌ها: #context [#metadata(here().page()) <lead>]")
    for above, page in ((5, 1), (38, 2)):  # with room for the line alone it moves to the list's page
        (tmp_path / "a.typ").write_text(look + small.format(above) + marked, "utf-8")
        assert json.loads(typst.query(str(tmp_path / "a.typ"), "<lead>", field="value")) == [page]


def test_an_english_entry_that_is_the_same_in_both_languages_stays_left_to_right(tmp_path: Path) -> None:
    (tmp_path / "a.bib").write_text("@misc{a, author = {Doe, Jo}, title = {{One}}, year = {2020}, langid = {english}}")
    front = f"---\nlang: fa\nbibliography: {tmp_path / 'a.bib'}\ncsl: ../assets/references.csl\n---\n"
    html = filtered(front + "کار [@a].\n", "html")
    assert '<div class="bib-text" lang="en" dir="ltr">' in html and "۲۰۲۰" not in html


def test_filters_leave_nothing_for_pandocs_own_citeproc() -> None:
    front = "---\nlang: fa\nbibliography: sample.bib\ncsl: ../assets/references.csl\n---\n"
    source = front + "کار [@oord2016] در سال 2016.\n"
    html = filtered(source, "html", "--citeproc")
    assert html.count("csl-entry") == 1 and html.count('id="refs"') == 1 and "سال ۲۰۱۶" in html and "1747–1756" in html
    pdf = filtered(source, "typst", "--citeproc")
    assert "#cite" not in pdf and "#bibliography" not in pdf and pdf.count("#bibentry") == 1


def test_formulas_compile_although_pandoc_and_typst_name_symbols_differently(tmp_path: Path) -> None:
    names = "odot otimes ominus oplus cap bigcap sqcap bigodot bigotimes lhd rhd unlhd vDash".split()
    formula = filtered("$" + " ".join(f"a \\{name} b" for name in names) + "$(1)", "typst")
    look = (ROOT / "assets" / "typst" / "look.typ").read_text("utf-8")
    (tmp_path / "a.typ").write_text(look + "\n" + formula, "utf-8")
    assert typst.compile_with_warnings(str(tmp_path / "a.typ"))[1] == []


def test_filters_mind_latin_runs_code_and_alignment() -> None:
    html = filtered("Python 3.11 و 12، `a 1` [x 1]{dir=ltr}\n\n| a | b |\n|:--|--:|\n| 1 | 2 |", "html")
    assert "Python 3.11 و ۱۲" in html and '<code dir="ltr">a 1</code>' in html and 'dir="ltr">x 1</span>' in html
    assert "text-align: left" not in html and "text-align: right" in html
    assert filtered("`a` (1) $x$(2)", "typst").startswith('#raw("a"); (۱) #described("x")[$x$];\\(۲)')
    code = filtered('```python\nprint("سلام")\n```', "typst").strip()
    assert code == '#raw(block: true, lang: "python", "print(\\"\u2068سلام\u2069\\")")'
