"""The HTML page in a headless Chromium, from a file, without network: what its scripts compute, and whom it serves.

Skipped without a browser; the accessibility tests also without axe-core, whose ``axe.min.js`` the variable ``AXE_CORE``
names (``.ci/run`` fetches it).
"""

from __future__ import annotations

import json
import os
import random
import re
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
import torch

import browser as chromium
from genmodels import stages
from genmodels.attention.cost import STEPS, exact
from genmodels.config import PixelCNNModelConfig
from genmodels.pixelcnn.evaluation import receptive_field
from genmodels.pixelcnn.model import PixelCNN
from genmodels.report.attention import fa_exact
from genmodels.report.persian import fa_sci
from genmodels.text.bpe import TRACED

pytestmark = pytest.mark.skipif(chromium.PROGRAM is None, reason="no Chromium here")
AXE = Path(os.environ.get("AXE_CORE", "no such file"))
WIDGETS = {
    "fig-field": "canvas",
    "fig-samples": "canvas",
    "fig-trace": "input",
    "fig-passage": "button",
    "tbl-2-6-summary": "input",
}
MARKS = re.compile("[\u2066-\u2069]")


@pytest.fixture(scope="module")
def window() -> Iterator[chromium.Browser]:
    with chromium.Browser() as found:
        yield found


@pytest.fixture(scope="module")
def path(rendered: dict[str, Path]) -> Path:
    return rendered["html"]


@pytest.fixture
def page(window: chromium.Browser, path: Path) -> chromium.Browser:
    window.open(path)
    return window


def text(page: chromium.Browser, selector: str) -> str:
    return page.evaluate(f"document.querySelector({json.dumps(selector)}).textContent")


def style(page: chromium.Browser, selector: str, name: str) -> str:
    return page.evaluate(f"getComputedStyle(document.querySelector({json.dumps(selector)})).{name}")


def data(page: chromium.Browser, name: str) -> Any:
    return json.loads(text(page, f"#data-{name}"))


def go_to(page: chromium.Browser, identifier: str) -> None:
    """Scroll there at once, and give the page two frames to follow."""
    frames = "new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))"
    page.evaluate("document.documentElement.style.scrollBehavior = 'auto'")
    page.evaluate(f"document.getElementById('{identifier}').scrollIntoView(), {frames}.then(() => null)")


# the page as a whole --------------------------------------------------------------------------------------------------


def test_every_widget_stands_by_its_figure_and_nothing_fails(page: chromium.Browser) -> None:
    assert page.errors() == []
    for identifier, control in WIDGETS.items():
        assert page.evaluate(f"document.querySelectorAll('#{identifier} .widget {control}').length") > 0, identifier
    assert (
        page.evaluate("performance.getEntriesByType('resource').filter(r => !r.name.startsWith('data:')).length") == 0
    )


def test_without_scripts_the_static_figures_stay(window: chromium.Browser, path: Path) -> None:
    window.open(path, scripts=False)
    tree = window.send("DOM.getDocument", depth=0)["root"]["nodeId"]
    assert window.send("DOM.querySelectorAll", nodeId=tree, selector=".widget, .theme-toggle")["nodeIds"] == []
    for identifier in WIDGETS:
        selector = f"#{identifier} figure > div " + ("img" if identifier.startswith("fig-") else "table")
        node = window.send("DOM.querySelector", nodeId=tree, selector=selector)["nodeId"]
        assert window.send("DOM.getBoxModel", nodeId=node)["model"]["height"] > 50, identifier
    window.send("Emulation.setScriptExecutionDisabled", value=False)


def test_paper_shows_the_static_figures_in_light_colours(window: chromium.Browser, path: Path) -> None:
    window.open(path, dark=True)
    window.send("Emulation.setEmulatedMedia", media="print")
    assert style(window, ".widget", "display") == style(window, ".theme-toggle", "display") == "none"
    assert style(window, "#fig-passage figure > [aria-describedby]", "display") == "block"
    assert style(window, "body", "backgroundColor") == "rgb(255, 255, 255)"
    window.send("Emulation.setEmulatedMedia", media="")


def test_colours_follow_the_system_and_the_button_is_remembered(window: chromium.Browser, path: Path) -> None:
    def is_dark() -> bool:
        return sum(map(int, re.findall(r"\d+", style(window, "body", "backgroundColor")))) < 200

    click = "document.querySelector('.theme-toggle').click()"
    window.open(path, dark=True)
    assert is_dark() and window.evaluate("document.querySelector('.theme-toggle').ariaPressed") == "true"
    window.evaluate(click)
    assert not is_dark()
    window.open(path, dark=True)
    assert not is_dark(), "the choice was forgotten"
    window.evaluate(click + "; localStorage.clear()")
    window.open(path)
    assert not is_dark()


@pytest.mark.parametrize("identifier", ["sec-1-2", "sec-2-3", "sec-2-6"])
def test_the_contents_follow_the_reader(page: chromium.Browser, identifier: str) -> None:
    go_to(page, identifier)
    marked = page.evaluate("[...document.querySelectorAll('#TOC [aria-current]')].map(link => link.hash)")
    assert len(marked) == 1 and marked[0].startswith(f"#{identifier}")  # its first part may stand close below
    inside = """(() => { const nav = document.querySelector('#TOC').getBoundingClientRect(),
        link = document.querySelector('#TOC [aria-current]').getBoundingClientRect();
        return link.top >= nav.top - 1 && link.bottom <= nav.bottom + 1; })()"""
    assert page.evaluate(inside), "the marked line is out of sight"


def test_a_citation_stands_after_the_latin_word_that_it_follows(page: chromium.Browser) -> None:
    """In rendered positions: to the left of it, or on the next line."""
    places = """[...document.querySelectorAll('main p .citation, main li .citation')].flatMap(mark => {
        const before = mark.previousSibling;
        if (before?.nodeType !== Node.TEXT_NODE || !/[A-Za-z]\\s*$/.test(before.data)) return [];
        const at = before.data.trimEnd().length, range = document.createRange();
        range.setStart(before, at - 1), range.setEnd(before, at);
        const letter = range.getBoundingClientRect(), number = mark.querySelector('a').getBoundingClientRect();
        return [[letter.left, letter.top, number.right, number.top, mark.textContent]]; })"""
    found = page.evaluate(places)
    assert len(found) > 5
    assert [mark for left, top, right, below, mark in found if right > left + 1 and below < top + 15] == []


@pytest.mark.parametrize("dark", [False, True])
def test_a_phone_needs_no_sideways_scroll(window: chromium.Browser, path: Path, dark: bool) -> None:
    window.open(path, width=360, height=740, dark=dark)
    assert window.evaluate("document.documentElement.scrollWidth") <= 360
    sticking_out = """[...document.querySelectorAll('main *')].filter(element => {
        const { left, right } = element.getBoundingClientRect();
        if (right <= 361 && left >= -1) return false;
        for (let box = element; box; box = box.parentElement)
            if (/auto|scroll|hidden/.test(getComputedStyle(box).overflowX)) return false;
        return true;
    }).map(element => element.outerHTML.slice(0, 100))"""
    assert window.evaluate(sticking_out) == []
    assert window.evaluate("document.querySelector('#TOC details').open") is False


@pytest.mark.skipif(not AXE.is_file(), reason="axe-core is not here; AXE_CORE names its axe.min.js")
@pytest.mark.parametrize(
    ("width", "dark", "rules"),
    [
        (1280, False, []),
        (1280, True, ["color-contrast", "link-in-text-block"]),
        (360, False, ["scrollable-region-focusable", "target-size"]),
    ],
)
def test_axe_finds_no_violation(window: chromium.Browser, path: Path, width: int, dark: bool, rules: list[str]) -> None:
    """Every rule once; in the dark and on a phone those that can come out differently there. MathML is left out: thousands
    of elements to which the rules, written for HTML, say nothing."""
    window.open(path, width=width, dark=dark)
    window.evaluate("document.querySelectorAll('details').forEach(fold => { fold.open = true; })")
    window.evaluate(AXE.read_text("utf-8") + "; null")
    options = json.dumps({"resultTypes": ["violations"]} | ({"runOnly": rules} if rules else {}))
    found = window.evaluate(f"""axe.run({{ exclude: [["math"]] }}, {options}).then(result => ({{ checked: result.passes.length, violations: result.violations.map(
        rule => [rule.id, rule.nodes.length, ...rule.nodes.slice(0, 3).map(node => node.html.slice(0, 150))]) }}))""")
    assert found["violations"] == [] and found["checked"] >= (1 if rules else 20)


# what the scripts compute ---------------------------------------------------------------------------------------------


def fields(page: chromium.Browser, places: list[tuple[int, int]]) -> torch.Tensor:
    """What the page's script computes for each (row, column), from the masks in the page: (N, 784) of booleans."""
    page.evaluate("globalThis.given = JSON.parse(document.getElementById('data-field').textContent); null")
    rows = page.evaluate(
        f"{json.dumps(places)}.map(([y, x]) => report.receptiveField(given.layers, y, x, 28, 28).join(''))"
    )
    return torch.tensor([[digit == "1" for digit in row] for row in rows])


def test_every_receptive_field_is_what_gradients_say(page: chromium.Browser) -> None:
    """A network of the report's masks with positive weights, linear for positive images: no path can cancel."""
    model = PixelCNN(PixelCNNModelConfig(channels=1))
    with torch.no_grad():
        for layer in model.convolutions:
            layer.weight.copy_(layer.mask.expand_as(layer.weight) / layer.live_taps)
    model.double()
    image = torch.ones(1, 1, 28, 28, dtype=torch.float64)
    jacobian = torch.autograd.functional.jacobian(lambda x: model(x).flatten(), image).view(784, 784)
    places = [(place // 28, place % 28) for place in range(784)]
    assert torch.equal(fields(page, places), jacobian > 0)


def test_the_trained_network_sees_the_same_pixels(page: chromium.Browser) -> None:
    model = stages.load("pixelcnn").model()
    places = [(20, 12), (8, 27), (27, 27)]
    seen = torch.stack([receptive_field(model, *place, draws=4).flatten() > 0 for place in places])
    assert torch.equal(fields(page, places), seen)


def test_the_point_moves_by_keyboard_and_by_dragging(page: chromium.Browser) -> None:
    said = "#fig-field .widget-status"
    go_to(page, "fig-field")
    page.evaluate("document.querySelector('#fig-field canvas').scrollIntoView({block: 'center'})")
    page.evaluate("document.querySelector('#fig-field canvas').focus()")
    assert "سطر ۲۰، ستون ۱۲:" in text(page, said)
    page.key("ArrowLeft")
    page.key("ArrowUp")
    assert "سطر ۱۹، ستون ۱۱:" in text(page, said)
    box = page.evaluate(
        "(({x, y, width, height}) => [x, y, width, height])(document.querySelector('#fig-field canvas').getBoundingClientRect())"
    )
    corner = (box[0] + 0.5 * box[2] / 28, box[1] + 0.5 * box[3] / 28)
    page.mouse("mousePressed", box[0] + box[2] / 2, box[1] + box[3] / 2)
    assert "سطر ۱۴، ستون ۱۴:" in text(page, said)
    page.mouse("mouseMoved", *corner)
    page.mouse("mouseReleased", *corner)
    assert "سطر ۰، ستون ۰: از ۰ پیکسل پیشین ۰" in text(page, said)


def test_the_images_grow_pixel_by_pixel(page: chromium.Browser) -> None:
    """At the end the canvas shows the bits and hides before the figure; before it, the first rows alone, counted; playing
    moves the slider."""
    read = """(() => { const canvas = document.querySelector('#fig-samples canvas');
        const { data } = canvas.getContext('2d').getImageData(0, 0, 28, 28);
        return Array.from({ length: 784 }, (_, i) => [...data.slice(4 * i, 4 * i + 3)].join()); })()"""
    first = page.evaluate(
        "[...report.bits(JSON.parse(document.getElementById('data-growth').textContent).images).slice(0, 784)]"
    )
    ink = ["0,0,0" if bit else "255,255,255" for bit in first]
    assert 0 < sum(first) < 784 and page.evaluate(read) == ink
    figure, canvas = "#fig-samples figure > [aria-describedby]", "#fig-samples canvas"
    assert (style(page, figure, "display"), style(page, canvas, "display")) == ("block", "none")
    slider = "document.querySelector('#fig-samples [type=range]')"
    page.evaluate(f"{slider}.value = 280; {slider}.dispatchEvent(new Event('input'))")
    shown = page.evaluate(read)
    assert (style(page, figure, "display"), style(page, canvas, "display")) == ("none", "block")
    assert text(page, "#fig-samples .widget-count") == "۲۸۰ پیکسل از ۷۸۴"
    assert shown[:280] == ink[:280] and not {"0,0,0", "255,255,255"} & set(shown[280:]) and shown[280] != shown[281]
    play = "document.querySelector('#fig-samples button')"
    after = f"new Promise(done => setTimeout(() => done(Number({slider}.value)), 400))"
    assert page.evaluate(f"{play}.click(), {after}") > 280
    assert text(page, "#fig-samples .widget-count") != "۲۸۰ پیکسل از ۷۸۴", "the count stands still while playing"
    assert page.evaluate(f"{play}.click(), {play}.textContent") == "پخش"
    page.send("Emulation.setEmulatedMedia", features=[{"name": "prefers-reduced-motion", "value": "reduce"}])
    page.evaluate(f"{slider}.value = 0; {slider}.dispatchEvent(new Event('input'))")
    moved = f"new Promise(done => setTimeout(() => done(Number({slider}.value)), 1000))"
    here = page.evaluate(f"{play}.click(), {moved}")
    assert here > 0 and here % 28 == 0, "a row at a time"


def test_merges_are_those_of_our_tokenizer(page: chromium.Browser) -> None:
    tokenizer = stages.load("text").tokenizer("fluent")
    bpe = tokenizer.as_bpe()
    steps = "report.tokenizer().steps({0}).map(s => [s.rank, s.pieces.flat()])"
    for word in (TRACED, " کتاب‌هایشان", " نانوبیوتکنولوژی", " DNA", " ۱۴۰۳", "آ", " 漢字🙂"):
        found = page.evaluate(steps.format(json.dumps(word)))
        shown = page.evaluate(
            f"(t => t.steps({json.dumps(word)}).map(s => s.pieces.flat().map(t.show)))(report.tokenizer())"
        )
        if len(page.evaluate(f"report.tokenizer().steps({json.dumps(word)})[0].pieces")) == 1:
            trace = bpe.trace(word)
            assert [rank for rank, _ in found] == [row["rank"] for row in trace]
            assert shown == [row["symbols"] for row in trace]
        assert found[-1][1] == tokenizer.encode(word) == bpe.encode(word)
    sentence = " او نمی‌نویسد، ۱۲٪ از «کتاب»-ها (a/b) را [می خواند]!"
    assert page.evaluate(steps.format(json.dumps(sentence)))[-1][1] == tokenizer.encode(sentence)


def test_a_typed_word_is_walked_through(page: chromium.Browser) -> None:
    merges = len(stages.load("text").tokenizer("fluent").as_bpe().trace(TRACED)) - 1  # the first row is the bytes
    page.evaluate("globalThis.keys = [...document.querySelectorAll('#fig-trace .widget button')]; null")
    page.evaluate("keys[2].click()")
    assert page.evaluate("document.querySelector('#fig-trace .widget-status').textContent").startswith("گام")
    last = page.evaluate("document.querySelector('#fig-trace .widget-status').textContent")
    assert re.findall(r"[۰-۹]+", last)[:2] == [str(merges).translate(str.maketrans("0123456789", "۰۱۲۳۴۵۶۷۸۹"))] * 2
    page.evaluate("keys[0].click()")
    assert page.evaluate("document.querySelectorAll('#fig-trace .merged').length") > 0
    page.evaluate(
        "(word => { word.value = 'ایران'; word.dispatchEvent(new Event('input')); })(document.getElementById('merges-word'))"
    )
    assert "۱۱ بایت" in text(page, "#fig-trace .widget-status")  # five letters of two bytes, and the space
    page.evaluate(
        "(word => { word.value = ''; word.dispatchEvent(new Event('input')); })(document.getElementById('merges-word'))"
    )
    assert "بنویسید" in text(page, "#fig-trace .widget-status")


def cells(page: chromium.Browser) -> list[tuple[str, str]]:
    """Exact value and scientific notation of every row of the table of 2.6, without isolates."""
    rows = page.evaluate("""[...document.querySelectorAll('#tbl-2-6-summary figure > [aria-describedby] tbody tr')]
        .map(row => [row.cells[3].textContent, row.cells[4].textContent])""")
    return [tuple(MARKS.sub("", cell).strip() for cell in row) for row in rows]


def written(numbers: dict[str, Any]) -> list[tuple[str, str]]:
    """The same by sympy, exactly."""
    plain = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁻", "۰۱۲۳۴۵۶۷۸۹−")
    values = [exact(step.expression, **numbers) for step in STEPS.values()]
    return [tuple(MARKS.sub("", cell) for cell in (fa_exact(v), fa_sci(float(v)).translate(plain))) for v in values]


def put(page: chromium.Browser, numbers: dict[str, Any]) -> None:
    """Type the numbers into the fields, as ``3/7`` where they are no whole number."""
    values = json.dumps([str(numbers[name]) for name in "ndgrop"])
    page.evaluate(f"""{values}.forEach((value, at) => {{
        const field = document.querySelectorAll('#tbl-2-6-summary [type=text]')[at];
        field.value = value; field.dispatchEvent(new Event('input')); }})""")


def test_costs_of_any_setting_are_sympys(page: chromium.Browser) -> None:
    draw = random.Random(1)
    before = cells(page)
    for case in range(25):
        numbers: dict[str, Any] = {
            "n": draw.choice([2 ** draw.randint(1, 24), draw.randint(2, 10**6)]), "d": draw.randint(1, 8192),
            "g": draw.randint(1, 256), "r": Fraction(draw.randint(1, 100), draw.choice([100, 125, 101])),
            "o": Fraction(draw.randint(0, 99), draw.choice([100, 99])), "p": Fraction(draw.randint(1, 9), draw.choice([10, 9])),
        }  # fmt: skip
        if numbers["r"] > 1 or numbers["p"] > 1 or case == 0:
            numbers |= {"n": 4096, "d": 512, "g": 64, "r": Fraction(1, 5), "o": Fraction(7, 20), "p": Fraction(3, 4)}
        put(page, numbers)
        found = before if numbers["n"] == 4096 and numbers["d"] == 512 else cells(page)
        for (decimal, scientific), wanted, key in zip(found, written(numbers), STEPS):
            assert wanted[0] in decimal, (key, numbers)  # the report's own cell also has the closed form of a fraction
            assert scientific == wanted[1] or exact_tie(key, numbers), (key, numbers)


def exact_tie(key: str, numbers: dict[str, Any]) -> bool:
    """A number that lies just between two roundings: floats may err there, the page's integers do not."""
    value = exact(STEPS[key].expression, **numbers)
    digits = str(value.evalf(30)).replace(".", "").lstrip("0")
    return re.match(r"\d{3}(50{15}|49{15})", digits) is not None


def test_wrong_input_is_refused_and_the_questions_numbers_come_back(page: chromium.Browser) -> None:
    before = page.evaluate("document.querySelector('#tbl-2-6-summary figure > [aria-describedby]').innerHTML")
    good = {"n": 100, "d": 10, "g": 3, "r": "۲۵٪", "o": "۰٫۵", "p": "1/2"}
    put(page, good)
    changed = cells(page)
    assert changed[0][0] == "۱۰۰٬۰۰۰" and changed[1][0] == "۲۵٬۰۰۰"
    assert "۲۵٪ دنباله" in text(page, "#tbl-2-6-summary tbody tr:nth-child(2)")
    assert "پاسخ سؤال نیست" in text(page, "#tbl-2-6-summary .widget-status")
    for name, value in (
        ("n", "۱"),
        ("g", "۰"),
        ("d", "1/2"),
        ("r", "سلام"),
        ("r", "۱٫۵"),
        ("p", "۰"),
        ("o", "1/0"),
        ("n", ""),
    ):
        put(page, good | {name: value})
        assert cells(page) == changed, (name, value)
        assert page.evaluate("document.querySelectorAll('#tbl-2-6-summary [aria-invalid=true]').length") == 1
        assert "بنویسید" in text(page, "#tbl-2-6-summary .widget-status")
    page.evaluate("document.querySelector('#tbl-2-6-summary .widget button').click()")
    assert page.evaluate("document.querySelector('#tbl-2-6-summary figure > [aria-describedby]').innerHTML") == before


def test_a_slider_moves_its_number_and_the_table(page: chromium.Browser) -> None:
    page.evaluate("""(slider => { slider.value = 10; slider.dispatchEvent(new Event('input')); })(
        document.querySelector('#tbl-2-6-summary [type=range]'))""")
    assert page.evaluate("document.querySelector('#tbl-2-6-summary [type=text]').value") == "۱٬۰۲۴"
    setting = {"n": 1024, "d": 512, "g": 64, "r": Fraction(1, 5), "o": Fraction(7, 20), "p": Fraction(3, 4)}
    assert cells(page) == written(setting)


def test_a_words_losses_are_shown_by_keyboard_and_pointer(page: chromium.Browser) -> None:
    words = data(page, "passage")["words"]
    shown = """[...document.querySelectorAll('.passage-detail tbody tr')].map(row => [...row.cells].map(cell => cell.textContent))"""

    def wanted(word: dict[str, Any]) -> list[list[str]]:
        rows = [[piece, *(f"{row[at]:.2f}" for row in word["losses"])] for at, piece in enumerate(word["pieces"])]
        if len(rows) > 1:
            rows.append(["همهٔ واژه", *(f"{sum(row):.2f}" for row in word["losses"])])
        return [[row[0], *(x.translate(str.maketrans("0123456789.", "۰۱۲۳۴۵۶۷۸۹٫")) for x in row[1:])] for row in rows]

    assert len(words) == 60 and page.evaluate("document.querySelectorAll('.passage .word').length") == 60
    assert page.evaluate("document.querySelectorAll('.passage .word[tabindex=\"0\"]').length") == 1
    page.evaluate("document.querySelector('.passage .word').focus()")
    assert page.evaluate(shown) == wanted(words[0])
    page.key("ArrowLeft")
    page.key("ArrowLeft")
    assert page.evaluate(shown) == wanted(words[2])
    page.key("ArrowRight")
    assert page.evaluate(shown) == wanted(words[1])
    pressed = "[...document.querySelectorAll('.passage .word')].map(word => word.ariaPressed === 'true').indexOf(true)"
    assert page.evaluate(pressed) == 1
    page.evaluate("document.querySelectorAll('.passage .word')[40].dispatchEvent(new MouseEvent('mouseenter'))")
    assert page.evaluate(shown) == wanted(words[40])
