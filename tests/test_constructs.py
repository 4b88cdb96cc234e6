"""What students bring along from Quarto, on the route without it: shown in both formats, or refused with a way out."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from genmodels.errors import UserError
from genmodels.render.document import render
from genmodels.render.qmd import parse
from test_render import make_project

DOCUMENT = """
عدد `{python} 3.14` و `{python} 12345` و `{python} __import__("numpy").float64(-2.5)`.

```{python}
#| label: tbl-frame
#| tbl-cap: "قاب داده"
import pandas as pd
pd.DataFrame({"نام": ["الف", "ب"], "loss": [1.5, 20.25]})
```

```{python}
#| fig-width: 3
#| fig-height: 2
#| fig-cap: "شرح بی‌شماره: ساده"
import matplotlib.pyplot as plt
plt.plot([1, 2]);
```

```{python}
#| echo: false
print("size", plt.rcParams["figure.figsize"])
```

```{python}
#| label: fig-two
#| fig-cap: "دو شکل"
#| fig-subcap: ["سوی نخست", "سوی دوم"]
#| layout-ncol: 2
#| fig-width: 3
plt.plot([1, 2]); plt.show()
plt.plot([2, 1]); plt.show()
```

::: {#fig-pair layout-ncol=2}
![یکی](sample.svg)

![دیگری](sample.svg)

جفت
:::

::: {layout-ncol=3}
![در ستون](sample.svg)

بند کناری

| a |
|---|
| 1 |
:::

![تنها](sample.svg){width=30%}

::: {.callout-note collapse="true"}
## بسته
متن درون
:::

::: {.callout-tip collapse="false"}
متن باز
:::

در @fig-two و @fig-pair و @tbl-frame.
"""


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    """The page and the text of the PDF, in the order it is read."""
    folder = make_project(tmp_path_factory.mktemp("constructs"))
    (folder / "own.qmd").write_text(DOCUMENT, "utf-8")
    html, pdf = render(folder, source="own.qmd")
    text = ""
    if shutil.which("pdftotext"):
        text = subprocess.run(["pdftotext", pdf, "-"], capture_output=True, check=True).stdout.decode("utf-8")
        text = re.sub("[\u200e\u200f\u202a-\u202e\u2066-\u2069]", "", text)
    page = html.read_text("utf-8")
    return page[page.index("<main") :], text


def images(page: str) -> list[str]:
    return re.findall(r'<img[^>]*alt="([^"]*)"', page)


def test_numbers_inline_read_as_the_document_writes_them(both: tuple[str, str]) -> None:
    assert "عدد ۳٫۱۴ و ۱۲٬۳۴۵ و \u2066−۲٫۵\u2069." in both[0]
    assert not both[1] or ("۳٫۱۴" in both[1] and "۱۲٬۳۴۵" in both[1])


def test_a_data_frame_is_a_table(both: tuple[str, str]) -> None:
    table = re.search(r'<div id="tbl-frame".*?</table>', both[0], re.DOTALL)
    assert table and "جدول\u00a0۱:" in table[0] and "data-border" not in table[0]
    assert re.findall(r"<t[hd][^>]*>([^<]*)</t", table[0]) == ["", "نام", "loss", "۰", "الف", "۱٫۵۰", "۱", "ب", "۲۰٫۲۵"]
    assert not both[1] or ("۲۰٫۲۵" in both[1] and "loss" in both[1])


def test_the_size_of_figures_is_that_of_their_chunk(both: tuple[str, str]) -> None:
    assert "size [6.4, 4.8]" in both[0]  # after it, the document's own again
    hidden = parse("```{python}\n#| fig-width: 3\n1\n```", 1, "a")
    assert [part.options.get("include", True) for part in hidden if part.kind == "chunk"] == [False, True, False]


def test_captions_without_a_label_and_of_parts(both: tuple[str, str]) -> None:
    page, text = both
    assert images(page) == ["شرح بی‌شماره: ساده", "سوی نخست", "سوی دوم", "یکی", "دیگری", "در ستون", "تنها"]
    captions = [
        " ".join(re.sub("<[^>]+>", "", found).split())
        for found in re.findall(r"<figcaption.*?</figcaption>", page, re.DOTALL)
    ]
    assert captions == ["جدول ۱: قاب داده", "شرح بی‌شماره: ساده", "(a) سوی نخست", "(b) سوی دوم", "شکل ۱: دو شکل",
                        "یکی", "دیگری", "شکل ۲: جفت", "در ستون", "تنها"]  # fmt: skip
    assert "caption-label" not in re.search(r"[^>]*>\s*شرح بی‌شماره", page)[0]
    assert re.findall('class="quarto-xref">([^<]*)<', page) == ["شکل\u00a0۱", "شکل\u00a0۲", "جدول\u00a0۱"]
    assert not text or all(caption.split(" ", 1)[1] in text.replace("\u00a0", " ") for caption in captions[2:4])


def test_blocks_stand_side_by_side(both: tuple[str, str]) -> None:
    page, text = both
    assert [int(columns) for columns in re.findall('class="layout" style="--columns: (.)"', page)] == [2, 2, 3]
    cells = re.search(r'--columns: 3">(.*?)\n</div>\n<figure class="captioned">\n<img[^>]*alt="تنها"', page, re.DOTALL)
    assert cells and len(re.findall(r"^<div>$", cells[1], re.MULTILINE)) == 3
    assert not text or "بند کناری" in text


def test_a_folded_callout_is_open_on_paper(both: tuple[str, str]) -> None:
    page, text = both
    assert re.findall(r'<details( open)?><summary class="notice-title">\s*(\S+)\s*</summary>', page) == [
        ("", "بسته"),
        (" open", "راهنمایی"),
    ]
    assert not text or ("متن درون" in text and "متن باز" in text)


@pytest.mark.parametrize(
    ("body", "complaint"),
    [
        ("متن\n\n::: {.panel-tabset}\n## یک\n:::", r"line 3: the class \.panel-tabset .*\(tabs\); put the parts one below the other"),
        ("::: {.column-margin}\nمتن\n:::", r"line 1: the class \.column-margin .*\(a margin note\); write a footnote"),
        ("::: {.column-page-inset}\nمتن\n:::", r"line 1: the class \.column-page-inset .*text's width"),
        ("[متن]{.aside}", r"line 1: the class \.aside .*write a footnote"),
        ("::: {#thm-line}\n## خط\nمتن\n:::", r"line 1: the label #thm-line makes a theorem.*write a callout with a title"),
        ("::: {layout=\"[[1,1],[1]]\"}\nمتن\n:::", r"line 1: the attribute layout .*use layout-ncol"),
        ("::: {layout-nrow=2}\nمتن\n:::", r"line 1: the attribute layout-nrow .*use layout-ncol"),
        ("::: {layout-ncol=two}\nمتن\n:::", r"line 1: layout-ncol must be a number from 1 to 9, not two"),
        ("::: {#fig-a}\n![x](sample.svg){#fig-b}\n\nشرح\n:::", r"line 2: a label in a figure \(#fig-b\)"),
        ("متن\n\n```{=latex}\n\\textbf{x}\n```", r"line 4: raw LaTeX \(.textbf\{x\}\) shows nothing.*write Markdown, or"),
        ("\\begin{center}\nx\n\\end{center}", r"line 1: raw LaTeX \(.begin\{center\}\) shows nothing"),
        ("متن \\textit{x} متن", r"line 1: raw LaTeX \(.textit\{x\}\)"),
        ("{{< include a.qmd >}}", r"line 1: the shortcode include .*put the file's text here"),
        ("{{< video a.mp4 >}}", r"line 1: the shortcode video .*put a link"),
        ("```{mermaid}\na\n```", r"line 1: only \{python\} chunks .*not \{mermaid\}; draw it with matplotlib"),
        ("```{r}\n1\n```", r"line 1: only \{python\} chunks .*write it in Python"),
        ("```{python}\n#| fig-width: wide\n1\n```", r"line 1: fig-width must be a number of inches"),
        ("```{python}\n#| layout-ncol: 0\n1\n```", r"line 1: layout-ncol must be a number from 1 to 9, not 0"),
        ("```{python}\n#| fig-subcap: a\n1\n```", r"line 1: fig-subcap must be a list"),
        ("```{python}\n#| fig-subcap: [a]\n1\n```", r"line 1: fig-subcap needs fig-cap and a label"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("target", ["html", "pdf"])
def test_the_rest_is_one_line_with_the_way_out(tmp_path: Path, body: str, complaint: str, target: str) -> None:
    folder = make_project(tmp_path)
    (folder / "own.qmd").write_text(body + "\n", "utf-8")
    with pytest.raises(UserError, match=complaint) as error:
        render(folder, (target,), source="own.qmd")
    assert "\n" not in str(error.value) and not (folder / "_output").exists()


def test_mathematics_and_macros_are_no_raw_latex(tmp_path: Path) -> None:
    folder = make_project(tmp_path)
    body = "\\newcommand{\\R}{\\mathbb{R}}\n\n$x \\in \\R$ و $$\\begin{aligned} a &= b \\end{aligned}$$\n"
    (folder / "own.qmd").write_text(body, "utf-8")
    html, _ = render(folder, source="own.qmd")
    assert "ℝ" in html.read_text("utf-8")


@pytest.mark.parametrize(
    ("options", "complaint"),
    [("label: fig-a\n#| fig-cap: شرح\n#| fig-subcap: [یک]", "has 1 texts in fig-subcap for 2 figures"),
     ("fig-cap: شرح", "has one fig-cap for 2 figures")],
)  # fmt: skip
def test_captions_that_do_not_fit_the_figures(tmp_path: Path, options: str, complaint: str) -> None:
    from genmodels.render.weave import weave

    (chunk,) = (part for part in parse(f"```{{python}}\n#| {options}\n1\n```", 1, "a") if part.kind == "chunk")
    chunk.outputs = [{"output_type": "display_data", "data": {"image/svg+xml": "<svg/>"}}] * 2
    with pytest.raises(UserError, match=complaint):
        weave([chunk], tmp_path, {}, "a")
