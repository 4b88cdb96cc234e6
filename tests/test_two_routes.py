"""One source, two routes: ``quarto render`` and the built-in renderer show the same document.

Compared are headings with their numbers, captions with theirs, figures, table cells and equation numbers of both HTML
pages, and the words of both PDFs. The comparison is tried here on pages made by hand; on the report only where Quarto
is present (it executes the document twice: minutes). ``page-one.qmd`` has what the first page and the appendix are
built of; each route must show it.
"""

from __future__ import annotations

import html
import os
import re
import shutil
import subprocess
import sys
import unicodedata
from collections import Counter
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path

import pytest

import browser as chromium
from common import PATIENCE
from genmodels.render.document import render

ROOT = Path(__file__).resolve().parents[1]
VOID = {"area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source", "track", "wbr"}
HEADINGS = {"h1", "h2", "h3", "h4", "h5", "h6"}
OUTSIDE = {"nav", "script", "style", "header"}  # tables of contents, title block, looks
# Measured while the document is made: two executions differ, and only the shape of these tables is compared.
LIVE = ("زمان و حافظهٔ خود توجه", "بازآزمایی نتیجه‌ها", "هر بند صورت مسئله")


def plain(text: str) -> str:
    """What is read: one kind of digit, space and letter, no invisible direction marks."""
    text = unicodedata.normalize("NFKC", html.unescape(text)).translate(str.maketrans("۰۱۲۳۴۵۶۷۸۹", "0123456789"))
    return " ".join(re.sub("[\u200b\u200e\u200f\u202a-\u202e\u2060\u2066-\u2069]", "", text).split())


@dataclass
class Table:
    caption: str = ""
    rows: list[list[str]] = field(default_factory=list)


class Page(HTMLParser):
    """Headings, captions, tables and figures of a page, in order, whichever route made it."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self.headings: list[str] = []
        self.captions: list[str] = []
        self.tables: list[Table] = []
        self.images = 0
        self.alternatives: list[str] = []
        self.equations: list[str] = []
        self.caption = ""  # read, and not yet some table's
        self.open: list[tuple[str, dict[str, str | None], list[str]]] = []
        self.feed(source)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        given = dict(attributes)
        if self.outside():
            pass
        elif tag == "img" or (tag == "svg" and not self.within("svg")):
            self.images += 1
            self.alternatives.append(plain(given.get("alt") or given.get("aria-label") or ""))
        elif tag == "table":
            self.tables.append(Table(self.caption))
            self.caption = ""
        elif tag == "tr" and self.tables:
            self.tables[-1].rows.append([])
        if tag not in VOID:
            self.open.append((tag, given, []))

    def handle_data(self, data: str) -> None:
        for _, _, text in self.open:
            text.append(data)

    def handle_endtag(self, tag: str) -> None:
        if tag in VOID or not self.within(tag):
            return
        while self.open:
            name, given, pieces = self.open.pop()
            self.close(name, given, plain("".join(pieces)))
            if name == tag:
                return

    def close(self, tag: str, given: dict[str, str | None], text: str) -> None:
        if self.outside() or tag in OUTSIDE or not text:
            return
        if tag in HEADINGS:
            self.headings.append(text)
        elif tag in ("figcaption", "caption"):
            self.captions.append(text)
            if self.within("table"):
                self.tables[-1].caption = text
            else:
                self.caption = text
        elif tag == "figure":
            self.caption = ""  # a picture's: no table followed within the figure
        elif tag in ("td", "th") and self.tables and self.tables[-1].rows:
            self.tables[-1].rows[-1].append(text)
        elif "eq-number" in (given.get("class") or ""):
            self.equations.append(text)

    def within(self, tag: str) -> bool:
        return any(name == tag for name, _, _ in self.open)

    def outside(self) -> bool:
        return any(name in OUTSIDE for name, _, _ in self.open)


def differences(ours: Page, theirs: Page, live: tuple[str, ...] = LIVE) -> list[str]:
    """What one page shows and the other does not, one line each; live tables are compared by their shape."""
    found = []
    for name in ("headings", "captions", "equations"):
        a, b = Counter(getattr(ours, name)), Counter(getattr(theirs, name))
        found += [f"{name}, only ours: {text[:80]}" for text in a - b] + [
            f"{name}, only Quarto's: {text[:80]}" for text in b - a
        ]
    if ours.images != theirs.images:
        found.append(f"figures: ours {ours.images}, Quarto's {theirs.images}")
    if Counter(ours.alternatives) != Counter(theirs.alternatives):
        found.append("the text alternatives of figures differ")
    if len(ours.tables) != len(theirs.tables):
        found.append(f"tables: ours {len(ours.tables)}, Quarto's {len(theirs.tables)}")
    for a, b in zip(ours.tables, theirs.tables):
        shape = [len(row) for row in a.rows], [len(row) for row in b.rows]
        if shape[0] != shape[1]:
            found.append(f"table {a.caption[:60]}: rows and columns differ")
        elif not any(plain(word) in a.caption for word in live):
            cells = [(x, y) for mine, other in zip(a.rows, b.rows) for x, y in zip(mine, other) if x != y]
            found += [f"table {a.caption[:60]}: ours {x[:40]!r}, Quarto's {y[:40]!r}" for x, y in cells]
    return found


# --- the comparison itself ---------------------------------------------------------------------------------------

OURS = """<html><header><h1>عنوان</h1></header><nav><h2>فهرست</h2></nav>
<h2 id="a"><span class="header-section-number">۱</span> بخش</h2>
<div id="tbl-a"><table><caption>جدول ۱: شرح</caption><tr><th>نام</th></tr><tr><td>\u2066۲\u2069</td></tr></table></div>
<figure><img alt="خط" src="x"><figcaption>شکل&nbsp;۱: خط</figcaption></figure><span class="eq-number">(۱)</span></html>"""
QUARTOS = """<html><body><header><h1 class="title">عنوان</h1></header><nav id="TOC"><h2>فهرست</h2></nav><main>
<section><h2 data-number="1"><span class="header-section-number">1</span> بخش</h2>
<figure class="quarto-float"><figcaption>جدول ۱: شرح</figcaption><div><table><thead><tr><th>نام</th></tr></thead>
<tbody><tr><td>۲</td></tr></tbody></table></div></figure>
<figure><p><img alt="خط" src="y"></p><figcaption>شکل ۱: خط</figcaption></figure><span class="eq-number">(۱)</span></section></main></body></html>"""


def test_equal_pages_are_equal_whatever_their_tags() -> None:
    page = Page(OURS)
    assert page.headings == ["1 بخش"] and page.captions == ["جدول 1: شرح", "شکل 1: خط"] and page.equations == ["(1)"]
    assert page.tables[0].rows == [["نام"], ["2"]] and page.images == 1
    assert differences(page, Page(QUARTOS)) == []


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("> بخش", "> بخشی", "headings"), (">1</span>", ">2</span>", "headings"), ("شکل ۱", "شکل ۲", "captions"),
        ("<td>۲", "<td>۳", "ours '2', Quarto's '3'"), ("(۱)", "(۲)", "equations"), ('alt="خط"', 'alt=""', "alternatives"),
        ('<p><img alt="خط" src="y"></p>', "", "figures"), ("<tr><td>۲</td></tr>", "", "rows and columns"),
        ("شرح", "شرحی", "captions"),
    ],
)  # fmt: skip
def test_each_kind_of_difference_is_seen(old: str, new: str, told: str) -> None:
    assert old in QUARTOS
    found = differences(Page(OURS), Page(QUARTOS.replace(old, new)))
    assert found and any(told in line for line in found), found


def test_a_live_table_is_compared_by_its_shape() -> None:
    assert differences(Page(OURS), Page(QUARTOS.replace("<td>۲", "<td>۳")), live=("شرح",)) == []
    assert differences(Page(OURS), Page(QUARTOS.replace("<tr><td>۲</td></tr>", "")), live=("شرح",))


@pytest.mark.parametrize("live", ["یکم", "دوم"])
def test_a_caption_belongs_to_the_table_that_follows_it(live: str) -> None:
    """Two tables in a row, captions first, as both routes write them: only the live one's cells may differ."""
    one = "<figure><figcaption>جدول {0}: {1}</figcaption><div><table><tr><td>{2}</td></tr></table></div></figure>"
    picture = '<figure><img alt="خط"><figcaption>شکل ۱: یکم و دوم</figcaption></figure>'
    ours = Page(one.format(1, "یکم", 10) + picture + one.format(2, "دوم", 20))
    assert [table.caption for table in ours.tables] == ["جدول 1: یکم", "جدول 2: دوم"]
    theirs = Page(one.format(1, "یکم", 11) + picture + one.format(2, "دوم", 21))
    (found,) = differences(ours, theirs, live=(live,))
    assert live not in found and "ours" in found


def test_the_live_tables_are_in_the_report() -> None:
    captions = re.findall(r'^#\| tbl-cap: "(.*)"', (ROOT / "report.qmd").read_text("utf-8"), re.MULTILINE)
    assert all(any(name in caption for caption in captions) for name in LIVE)


# --- page 1 and the appendix, by each route -------------------------------------------------------------------------

no_quarto = pytest.mark.skipif(
    shutil.which("quarto") is None, reason="Quarto is not installed; the built-in route is tested in test_report.py"
)


def by_quarto(project: Path, source: str) -> tuple[Path, Path]:
    """HTML and PDF of a document, each rendered on its own."""
    environment = os.environ | {"QUARTO_PYTHON": sys.executable}
    for target in ("html", "typst"):
        command = ["quarto", "render", source, "--to", target]
        done = subprocess.run(
            command, cwd=project, env=environment, capture_output=True, text=True, timeout=2 * PATIENCE
        )
        assert done.returncode == 0, done.stderr[-3000:]
    made = project / "_output" / source
    return made.with_suffix(".html"), made.with_suffix(".pdf")


@pytest.fixture(scope="module", params=["built-in", pytest.param("Quarto", marks=no_quarto)])
def page_one(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    project = tmp_path_factory.mktemp("page-one")
    config = (ROOT / "_quarto.yml").read_text("utf-8")
    config = config.replace("references.bib", "sample.bib").replace("report.qmd", "page-one.qmd")
    (project / "_quarto.yml").write_text(config, "utf-8")
    (project / "assets").symlink_to(ROOT / "assets")
    for name in ("page-one.qmd", "sample.bib", "sample.svg"):
        shutil.copy(ROOT / "tests" / name, project)
    if request.param == "Quarto":
        return by_quarto(project, "page-one.qmd")
    page, pdf = render(project, source="page-one.qmd")
    return page, pdf


@dataclass
class Word:
    text: str
    left: float
    top: float
    right: float
    size: float  # height of its line, in points


def printed(pdf: Path) -> list[list[Word]]:
    """The words of each page of a PDF, in points from its left upper corner."""
    boxes = subprocess.run(["pdftotext", "-bbox", pdf, "-"], capture_output=True, check=True).stdout.decode("utf-8")
    place = re.compile(r'<word xMin="([\d.]+)" yMin="([\d.]+)" xMax="([\d.]+)" yMax="([\d.]+)">(.*?)</word>')
    pages = []
    for sheet in boxes.split("<page ")[1:]:
        found = [(*map(float, numbers), plain(text)) for *numbers, text in place.findall(sheet)]
        read = [text[::-1] if re.search("[ء-ی]", text) else text for *_, text in found]  # from left to right there
        pages.append([Word(text, x0, y0, x1, y1 - y0) for text, (x0, y0, x1, y1, _) in zip(read, found)])
    return pages


def test_page_one_and_the_appendix_on_a_screen(page_one: tuple[Path, Path]) -> None:
    source = page_one[0].read_text("utf-8")
    page = Page(source)
    assert page.tables[0].rows == [["بند", "پاسخ"], ["بخش 1", "پاسخ یکم"], ["بخش 2.1", "پاسخ دوم"]]  # and no pages
    assert 'class="collaborators">یکی ۲، دیگری<' in source
    assert 'class="ai-statement">متن را <strong>دستیار</strong> نوشته است<' in source
    first, others = re.search(r'<div class="beside">(.*?)<div>(.*?)</div>', source, re.DOTALL).groups()
    assert "<img" in first and others.count("<p>") == 2 and "contents-here" not in source
    assert page.headings == ["1 بخش یکم", "1.1 زیربخش", "2 فراتر از خواسته", "2.1 بخش دوم", "منابع"]


@pytest.mark.skipif(chromium.PROGRAM is None, reason="no Chromium here")
def test_the_appendix_is_folded_and_a_link_into_it_opens_it(page_one: tuple[Path, Path]) -> None:
    opened = "[...document.querySelectorAll('details.beyond')].map(fold => fold.open)"
    with chromium.Browser() as window:
        for target in ("sec-more", "tbl-more"):  # the heading above the fold, and what is in it
            window.open(page_one[0])
            assert window.evaluate(opened) == [False]
            follow = f"document.querySelector('main p a[href=\"#{target}\"]').click()"
            window.evaluate(f"{follow}, new Promise(done => setTimeout(done))")  # after the page's own turn
            assert window.evaluate(opened) == [True], target
        assert window.errors() == []


@pytest.mark.skipif(not shutil.which("pdftotext"), reason="pdftotext is not here to read the PDF back")
def test_page_one_and_the_appendix_on_paper(page_one: tuple[Path, Path]) -> None:
    pages = printed(page_one[1])
    assert len(pages) == 4
    (column,) = [word for word in pages[0] if word.text == "صفحه"]

    def words(page: int, *texts: str) -> list[Word]:
        return [next(word for word in pages[page] if plain(word.text) == text) for text in texts]

    beside, after = words(0, "کنار", "آن")
    rows = [word for word in pages[0] if column.top < word.top < beside.top]  # the table ends where the picture begins
    in_column = [word for word in rows if word.left < column.right < word.right + 5]
    assert [plain(word.text) for word in in_column] == ["2", "4"]  # where both sections stand
    assert beside.right < 500 and after.top > beside.top  # left of the picture, the second paragraph below the first
    assert "فهرست" in [word.text for word in pages[1]] and "فهرست" not in [word.text for word in pages[0]]
    body, short, wide, appendix = (
        *words(1, "متن", "short"),
        next(w for w in pages[1] if w.text == "wide"),
        words(3, "درآمد.")[0],
    )
    assert wide.left == short.left  # all listings are of one width
    assert appendix.right > body.right + 40 and appendix.size < body.size


# --- where Quarto is ---------------------------------------------------------------------------------------------


def words(pdf: Path) -> Counter[str]:
    """Words of a PDF, without the numbers (pages, and times that were measured live)."""
    text = subprocess.run(["pdftotext", pdf, "-"], capture_output=True, check=True).stdout.decode("utf-8")
    return Counter(word for word in re.findall(r"\w+", plain(text)) if not word.isdigit())


@pytest.mark.slow
@no_quarto
def test_quarto_and_the_built_in_renderer_show_the_same_report(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    project = tmp_path / "project"
    ignore = shutil.ignore_patterns(
        ".git", ".venv", "_output", "data", "checkpoints", "__pycache__", ".pytest_cache", "*.egg-info"
    )
    shutil.copytree(ROOT, project, ignore=ignore)
    monkeypatch.setenv("GENMODELS_CACHE", str(ROOT / "cache"))
    their_page, their_pdf = by_quarto(project, "report.qmd")
    page, pdf = render(project, output_dir=tmp_path / "ours")
    found = differences(Page(page.read_text("utf-8")), Page(their_page.read_text("utf-8")))
    assert not found, "\n".join(found)
    if shutil.which("pdftotext"):
        a, b = words(pdf), words(their_pdf)
        lost = sum(((a - b) + (b - a)).values())
        assert lost <= 0.01 * a.total(), (a - b).most_common(30) + (b - a).most_common(30)
