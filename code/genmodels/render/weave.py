"""Parts and their outputs, woven into one Markdown text for Pandoc, by Quarto's rules of what a chunk shows.

Figures go to a folder as files; text output becomes a code block without a language, inside a div ``cell-output``; a
chunk labelled ``fig-…`` or ``tbl-…`` becomes a div with that label whose last paragraph is the caption. Results of
inline expressions are escaped, unless they are Markdown objects. What it does not do: number, refer, or lay out (the
Lua filters).
"""

from __future__ import annotations

import base64
import re
from pathlib import Path
from typing import Any

from genmodels.errors import UserError
from genmodels.render.execution import option
from genmodels.render.qmd import Part

_SPECIAL = re.compile(r"([\\`*_{}\[\]()>#+,\-.!])")  # exactly what Quarto escapes in a string (jupyter-inline.ts)
_ANSI = re.compile(r"\x1b\[[0-9;]*m")
_METADATA = re.compile(r"\s*<metadata>.*?</metadata>", re.DOTALL)
_FRAME = re.compile(r'<table[^>]*class="dataframe".*?</table>', re.DOTALL)  # of pandas
_IMAGES = {"image/svg+xml": "svg", "image/png": "png", "image/jpeg": "jpg"}


def weave(parts: list[Part], figures: Path, settings: dict[str, Any], name: str) -> str:
    """Markdown of the whole document. ``figures``: an existing folder that takes the images.

    Raises ``UserError`` for an output that the subset cannot show the same in both formats (a bare HTML table).
    """
    return "".join(_piece(part, figures, settings, name) for part in parts)


def _piece(part: Part, figures: Path, settings: dict[str, Any], name: str) -> str:
    if part.kind == "markdown":
        return part.text
    if part.kind == "inline":
        return inline(part)
    if not option(part, "include", settings, True):
        return ""
    blocks = []
    if option(part, "echo", settings, True) and part.text:
        blocks.append(_source(part, settings))
    return "\n\n" + "\n\n".join(blocks + _outputs(part, figures, settings, name)) + "\n\n"


def inline(part: Part) -> str:
    """The Markdown of an inline expression's value, as Quarto escapes it."""
    result = part.outputs[0]
    return result["text"] if result["markdown"] else _SPECIAL.sub(r"\\\1", result["text"])


def _source(part: Part, settings: dict[str, Any]) -> str:
    fold = option(part, "code-fold", settings, False)
    attributes = ".python .cell-code"
    if fold:
        attributes += f' code-fold="{"show" if fold == "show" else "true"}"'
        if "code-summary" in part.options:
            attributes += f' code-summary="{part.options["code-summary"]}"'
    return _fenced(part.text, "{" + attributes + "}")


def _outputs(part: Part, figures: Path, settings: dict[str, Any], name: str) -> list[str]:
    mode = option(part, "output", settings, True)
    if mode is False:
        return []
    where = f"{name}, line {part.line}: chunk {part.label or '(no label)'}"
    blocks: list[tuple[bool, str]] = []  # whether it was displayed (a float holds just that) or printed; and the text
    for index, output in enumerate(part.outputs):
        kind = output["output_type"]
        if kind == "stream":
            if output["name"] == "stdout" or option(part, "warning", settings, True):
                text = _ANSI.sub("", output["text"]).rstrip("\n")
                blocks.append((False, text if mode == "asis" else _cell_output(text, output["name"])))
        elif kind == "error":  # persian.lua makes the marked line of it
            blocks = [(True, _cell_output(part.died, "error"))]
        elif kind in ("display_data", "execute_result"):
            images = sum(text.startswith("![") for _, text in blocks)
            blocks.append((True, _display(output["data"], part, index, figures, mode, where, images)))
    return _arranged(part, blocks, where)


def _arranged(part: Part, blocks: list[tuple[bool, str]], where: str) -> list[str]:
    """The blocks of a chunk: what it displayed beside each other (``layout-ncol``) or as one figure or table."""
    shown = [text for displayed, text in blocks if displayed]
    images = sum(text.startswith("![") for text in shown)
    parts = part.options.get("fig-subcap")
    if parts and images and len(parts) != images:
        raise UserError(f"{where} has {len(parts)} texts in fig-subcap for {images} figures; give one each")
    float_ = part.label.startswith(("fig-", "tbl-"))
    if "fig-cap" in part.options and not float_ and images > 1:
        raise UserError(f"{where} has one fig-cap for {images} figures; give it a label fig-…, and fig-subcap")
    columns = f"layout-ncol={part.options['layout-ncol']}" if "layout-ncol" in part.options and len(shown) > 1 else ""
    if not float_ and not columns:
        return [text for _, text in blocks]
    if part.label.startswith("fig-") and not part.died and not images:
        raise UserError(f"{where} has a figure's label but made no figure")
    if float_ and not shown:
        raise UserError(f"{where} has a table's label but returned no table")
    attributes = f"#{part.label} {columns}".strip() if float_ else columns
    caption = [str(part.options.get("fig-cap", part.options.get("tbl-cap")))] if float_ else []
    whole = f"::: {{{attributes}}}\n" + "\n\n".join(shown + caption) + "\n:::"
    return [text for displayed, text in blocks if not displayed] + [whole]


def _display(data: dict[str, Any], part: Part, index: int, figures: Path, mode: Any, where: str, images: int) -> str:
    """One displayed object, in the richest form that reads the same in HTML and PDF, after ``images`` others."""
    for mime, suffix in _IMAGES.items():
        if mime in data:
            # matplotlib writes the moment into the file; the same figure is to give the same bytes
            content = _METADATA.sub("", data[mime]).encode() if suffix == "svg" else base64.b64decode(data[mime])
            path = figures / f"{part.label or f'line-{part.line}'}-{index}.{suffix}"
            path.write_bytes(content)
            return _image(path, part, images)
    if "text/markdown" in data:
        return str(data["text/markdown"])
    if frame := _FRAME.search(str(data.get("text/html", ""))):
        return "::: {.dataframe}\n" + _fenced(frame[0], "{=html}") + "\n:::"
    remedies = {
        "text/html": "return a data frame, table(rows), or Markdown(…)",
        "text/latex": "return Markdown('$$…$$')",
    }
    for mime, remedy in remedies.items():
        if mime in data:
            raise UserError(f"{where} returned {mime}, which only one format can show; {remedy}")
    text = str(data.get("text/plain", ""))
    return text if mode == "asis" else _cell_output(text, "display")


def _image(path: Path, part: Part, number: int) -> str:
    """The ``number``-th image of a chunk; under it its own caption: that of a part, or of a figure without a label."""
    captions = part.options.get(
        "fig-subcap", [] if part.label.startswith("fig-") else [part.options.get("fig-cap", "")]
    )
    caption = captions[number] if number < len(captions) else ""
    alternative = str(part.options.get("fig-alt", caption or part.options.get("fig-cap", "")))
    if "fig-subcap" in part.options:
        caption = f"({chr(97 + number)}) {caption}"
    attributes = f'fig-alt="{_quoted(alternative)}"'
    if "out-width" in part.options:
        attributes += f" width={part.options['out-width']}"
    return f"![{caption}](<{path}>){{{attributes}}}"


def _quoted(text: str) -> str:
    return " ".join(re.sub(r"[`*$]", "", text).replace("\\", "").split()).replace('"', "&quot;")


def _cell_output(text: str, kind: str) -> str:
    return f"::: {{.cell-output .cell-output-{kind}}}\n" + _fenced(text, "") + "\n:::"


def _fenced(text: str, attributes: str) -> str:
    """``text`` between fences longer than any run of backticks in it."""
    longest = max((len(run) for run in re.findall("`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}{attributes}\n{text}\n{fence}"
