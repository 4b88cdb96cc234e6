"""The models in a page of their own, in a headless Chromium, from a file, without network: typed, drawn, equal to Python.

The page is made by the real renderer from tiny networks with random weights, so that no shipped result decides. Skipped
without a browser; the accessibility test also without axe-core (``test_html_browser.py``).
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

import browser as chromium
import tiny_models
from genmodels.language.generation import Sampling
from genmodels.pixelcnn.sampling import draw
from genmodels.render.document import render
from genmodels.system.whole_weights import rounded, uniforms
from test_html_browser import AXE, MARKS, style, text
from test_render import make_project

pytestmark = pytest.mark.skipif(chromium.PROGRAM is None, reason="no Chromium here")
LEVELS, ROWS, BEGINNING = 15, 11, "ایران کشوری"
PERSIAN = str.maketrans("۰۱۲۳۴۵۶۷۸۹٫", "0123456789.")
DOCUMENT = f"""---
title: "مدل‌ها در صفحه"
---

```{{python}}
#| include: false
import sys
sys.path.insert(0, {str(Path(__file__).parent)!r})
import tiny_models
from genmodels.report import live, widgets
from genmodels.report.canvas import new_figure
from IPython.display import Markdown
```

# متن

@fig-writers و @fig-painters.

```{{python}}
#| label: merges
widgets.merges(tiny_models.tokenizer(), " ایران")
```

```{{python}}
#| label: fig-writers
#| fig-cap: "نوشتن"
#| fig-alt: "شکل ایستا"
new_figure(3, 2)[0]
```

```{{python}}
#| label: writers
live.writers(tiny_models.language(context=64), {LEVELS}, "{BEGINNING}")
```

```{{python}}
#| label: fig-painters
#| fig-cap: "کشیدن"
#| fig-alt: "شکل ایستا"
new_figure(3, 2)[0]
```

```{{python}}
#| label: painters
live.painters(tiny_models.images(), 127, tiny_models.digit(), rows={ROWS})
```
"""
WRITING, PAINTING = ".widget:has(.writers)", ".widget:has(.painters)"


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = make_project(tmp_path_factory.mktemp("live"))
    (folder / "report.qmd").write_text(DOCUMENT, "utf-8")
    kept = folder / "kept"
    found = {"live": render(folder, output_dir=folder / "live", reuse_from=kept)[0]}
    return found | {"light": render(folder, ["html"], folder / "light", front={"live": False}, reuse_from=kept)[0]}


@pytest.fixture(scope="module")
def window() -> Iterator[chromium.Browser]:
    with chromium.Browser() as found:
        yield found


@pytest.fixture
def page(window: chromium.Browser, pages: dict[str, Path]) -> chromium.Browser:
    window.open(pages["live"])
    return window


def until(page: chromium.Browser, condition: str, within: str = "") -> None:
    """Do ``within``, then wait until ``condition`` holds."""
    page.evaluate(f"""(() => {{ {within}; return new Promise((done) => {{
        const look = () => (({condition}) ? done(null) : setTimeout(look, 20)); look(); }}); }})()""")


def type_text(page: chromium.Browser, words: str) -> None:
    until(
        page,
        "document.querySelectorAll('.likeliest button').length >= 30",
        "document.getElementById('writers-text').focus()",
    )
    said = f"document.querySelector('{WRITING} .widget-status')"
    within = f"""{said}.textContent = ''; const field = document.getElementById('writers-text');
        field.value = {json.dumps(words)}; field.dispatchEvent(new Event('input'))"""
    until(page, f"{said}.textContent.includes('خوانده شد')", within)


def number(words: str) -> float:
    return float(MARKS.sub("", words).translate(PERSIAN).replace("٪", ""))


def test_nothing_is_unpacked_before_the_first_touch(page: chromium.Browser) -> None:
    assert page.errors() == [] and page.evaluate(f"document.querySelectorAll('{WRITING}, {PAINTING}').length") == 2
    assert page.evaluate("document.querySelectorAll('.likeliest button').length") == 0
    assert style(page, "#fig-writers figure > [aria-describedby]", "display") == "block"
    type_text(page, BEGINNING)
    assert style(page, "#fig-writers figure > [aria-describedby]", "display") == "none"
    assert page.errors() == []
    outside = "performance.getEntriesByType('resource').filter(r => !/^(data|blob):/.test(r.name)).length"
    assert page.evaluate(outside) == 0


def test_typed_words_give_the_losses_and_tokens_of_python(page: chromium.Browser) -> None:
    type_text(page, "كتاب  در ایران")
    said = text(page, f"{WRITING} .widget-status")
    assert "حرف عربی ۱ بار" in said and "فاصله ۱ بار" in said
    ids = [0, *tiny_models.tokenizer().encode("کتاب در ایران")]
    assert page.evaluate("document.querySelectorAll('.token').length") == len(ids) - 1
    for index, model in enumerate(tiny_models.language(context=64).values()):
        logits = tiny_models.logits(model, LEVELS, ids)
        found = page.evaluate(
            f"report.live.ask('logits', {json.dumps(names()[index])}, {ids}).then(z => [...z.map(v => Math.max(v, -1e9))])"
        )
        assert np.allclose(found, np.maximum(logits, -1e9), atol=1e-3)
        p = np.exp(logits - np.logaddexp.reduce(logits))
        shown = page.evaluate(
            f"[...document.querySelectorAll('.writer')[{index}].querySelectorAll('.number')].map(each => each.textContent)"
        )
        assert len(shown) == 10 and abs(number(shown[0]) - 100 * p.max()) < 0.51


def names() -> list[str]:
    return list(tiny_models.language())


def test_a_likely_token_is_added_and_each_model_goes_on_as_python_does(page: chromium.Browser) -> None:
    type_text(page, BEGINNING)
    before = page.evaluate("document.querySelectorAll('.token').length")
    until(page, f"document.querySelectorAll('.token').length === {before + 1}",
          "document.querySelectorAll('.writer')[2].querySelector('button[aria-disabled=false]').click()")  # fmt: skip
    type_text(page, BEGINNING)
    go = f"[...document.querySelectorAll('{WRITING} button')].find(each => each.textContent === 'ادامه بده')"
    until(page, f"/هر مدل تا/.test(document.querySelector('{WRITING} .widget-status').textContent)", f"{go}.click()")
    ids, bpe = [0, *tiny_models.tokenizer().encode(BEGINNING)], tiny_models.tokenizer()
    for index, model in enumerate(tiny_models.language(context=64).values()):
        new = tiny_models.continued(model, LEVELS, ids, 1, 40, Sampling(temperature=0.8, top_p=0.9))
        wanted = b"".join(bpe.symbols.get(token, b"") for token in new).decode("utf-8", "replace")
        found = page.evaluate(f"document.querySelectorAll('.continuation')[{index}].textContent")
        assert found == f"…{wanted}" + (" ∎" if new[-1] == 1 else ""), index


def test_where_the_transformer_looked_is_shown_by_keyboard(page: chromium.Browser) -> None:
    type_text(page, f"{BEGINNING} است که در")  # more than three tokens
    page.evaluate("document.querySelector('.token').focus()")
    page.key("ArrowLeft")
    page.key("ArrowLeft")
    pressed = "[...document.querySelectorAll('.token')].map(each => each.ariaPressed)"
    assert page.evaluate(pressed)[:4] == ["false", "false", "true", "false"]
    shades = page.evaluate(
        "[...document.querySelectorAll('.token')].map(each => Number(each.style.getPropertyValue('--look')))"
    )
    assert max(shades[:2]) == 1 and not any(shades[2:])
    assert "زیان این توکن" in text(page, f"{WRITING} .widget-help[aria-live]")


READ = """[...document.querySelectorAll('.drawn canvas')].map(canvas =>
    [...canvas.getContext('2d').getImageData(0, 0, 28, 28).data].filter((_, i) => i % 4 === 0).map(each => (each < 128 ? 1 : 0)))"""


def test_digits_are_finished_as_python_finishes_them(page: chromium.Browser) -> None:
    """All networks, one after the other; then with a pixel more, by keyboard, and the line further down."""
    go = f"[...document.querySelectorAll('{PAINTING} button')].find(each => each.textContent === 'تمامش کن')"
    done = f"/ادامه کشیده شد/.test(document.querySelector('{PAINTING} .widget-status').textContent)"
    given, mask = tiny_models.digit().clone(), torch.arange(28)[:, None].expand(28, 28) < ROWS
    given[ROWS:] = 0
    for seed, (index, model) in enumerate(enumerate(tiny_models.images().values()), 1):
        until(
            page,
            done,
            f"document.querySelectorAll('{PAINTING} .widget-controls button')[{index}].click(); {go}.click()",
        )
        numbers = torch.from_numpy(uniforms(seed, np.arange(4 * 784))).view(4, 28, 28)
        wanted = draw(rounded(model, 127), numbers, given=given, mask=mask)
        assert page.evaluate(READ) == wanted.flatten(1).int().tolist(), index
    page.evaluate(f"document.querySelector('{PAINTING} canvas').focus()")
    page.key("ArrowDown")
    page.key(" ")
    said = text(page, f"{PAINTING} .widget-status")
    assert (
        said == "سطر ۱۲، ستون ۱۴: روشن."
        and page.evaluate(f"document.querySelector('{PAINTING} [type=range]').value") == "13"
    )


def test_without_the_models_or_scripts_the_figures_stand(window: chromium.Browser, pages: dict[str, Path]) -> None:
    assert b'id="data-writers' not in pages["light"].read_bytes() and b"data-merges" in pages["light"].read_bytes()
    window.open(pages["light"])
    assert window.errors() == [] and window.evaluate("document.querySelectorAll('.widget').length") == 0
    window.open(pages["live"], scripts=False)
    tree = window.send("DOM.getDocument", depth=0)["root"]["nodeId"]
    assert window.send("DOM.querySelectorAll", nodeId=tree, selector=".widget")["nodeIds"] == []
    assert len(window.send("DOM.querySelectorAll", nodeId=tree, selector="noscript p")["nodeIds"]) == 2
    window.send("Emulation.setScriptExecutionDisabled", value=False)


@pytest.mark.parametrize("dark", [False, True])
def test_it_serves_phones_and_everyone(window: chromium.Browser, pages: dict[str, Path], dark: bool) -> None:
    window.open(pages["live"], width=360, height=740, dark=dark)
    type_text(window, BEGINNING)
    window.evaluate("document.querySelector('.token').click()")
    assert window.evaluate("document.documentElement.scrollWidth") <= 360
    if not AXE.is_file():
        pytest.skip("axe-core is not here; AXE_CORE names its axe.min.js")
    window.evaluate(AXE.read_text("utf-8") + "; null")
    found = window.evaluate(f"""axe.run({{ include: [["{WRITING}"], ["{PAINTING}"]] }}, {{ resultTypes: ["violations"] }}).then(
        result => result.violations.map(rule => [rule.id, ...rule.nodes.slice(0, 3).map(node => node.html.slice(0, 150))]))""")
    assert found == []
