"""A .qmd file taken apart: front matter, prose, ``{python}`` chunks with their options, inline expressions.

The syntax is the subset of Quarto's that the report uses; a chunk option, language or shortcode outside it is a
``UserError`` with its line, never silence. What it does not do: run anything (``execution``), put the parts together
again (``weave``), or look inside the prose (``assets/filters/subset.lua`` judges what Pandoc reads there).
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

from genmodels.errors import UserError
from genmodels.render.options import parse_yaml

CHUNK_OPTIONS = {
    "label", "echo", "eval", "include", "output", "warning", "code-fold", "code-summary",
    "fig-cap", "fig-subcap", "fig-alt", "fig-width", "fig-height", "layout-ncol", "tbl-cap", "out-width",
}  # fmt: skip
CHUNK_TEXTS = {"label", "code-summary", "fig-cap", "fig-alt", "tbl-cap", "out-width"}
SHORTCODES = {"include": "put the file's text here", "video": "put a link", "embed": "put its chunk here"}
_FENCE = re.compile(r"^(?P<fence>`{3,}|~{3,})\s*(?P<info>.*?)\s*$")
# Group ``head``: up to the first option.
FRONT_MATTER = re.compile(
    r"(?P<head>(?:[ \t]*\n)*---[ \t]*\n)(?![ \t]*\n)(?P<yaml>(?:.*\n)*?)(?:---|\.\.\.)[ \t]*(?:\n|\Z)"
)  # fmt: skip
_BEGUN = re.compile(r"(?:[ \t]*\n)*[ \t]*---[ \t]*\n(?=[ \t]*\S|\s*\n[\w-]+[ \t]*:)")
_OPTION = re.compile(r"[\w-]+[ \t]*:(?:\s|$)")
_INLINE = re.compile(r"(?<!`)`\{(?P<language>\w+)\}[ \t]+(?P<expression>[^`]+)`")
_SHORTCODE = re.compile(r"\{\{<\s*(?P<name>[\w-]+)(?P<rest>[^>]*)>\}\}")


@dataclass
class Part:
    """A stretch of the document: ``text`` (kind ``markdown``), a chunk's code, or an inline expression."""

    kind: str  # "markdown" | "chunk" | "inline"
    text: str
    line: int  # of its beginning, counted from 1 in the file
    options: dict[str, Any] = field(default_factory=dict)
    outputs: list[dict[str, Any]] = field(default_factory=list)  # notebook outputs; for inline one {"text", "markdown"}
    seconds: float = 0.0  # of wall time that running it took
    died: str = ""  # the error, in one line, of what raised

    @property
    def label(self) -> str:
        return str(self.options.get("label", ""))


def split_front_matter(source: str, name: str) -> tuple[dict[str, Any], str, int]:
    """(metadata, body, first line of the body). A byte order mark and empty lines may stand before it.

    Raises ``UserError`` where its YAML is broken or it has no end.
    """
    source = source.removeprefix("\ufeff")
    match = FRONT_MATTER.match(source)
    if not match:
        if begun := _BEGUN.match(source):
            where = f"{name}, line {begun[0].count(chr(10))}"
            raise UserError(
                f"{where}: the front matter needs a --- at the start of the lines right before and after it"
            )
        return {}, source, 1
    metadata = parse_yaml(match["yaml"], name, match["head"].count("\n") + 1, "the front matter is") or {}
    if not isinstance(metadata, dict):
        raise UserError(f"{name}: the front matter must be `name: value` lines")
    return metadata, source[match.end() :], match[0].count("\n") + 1


def parse(body: str, first_line: int, name: str, quarto: bool = False) -> list[Part]:
    """The parts of ``body`` in order. Raises ``UserError`` for what lies outside the subset, with its line; with
    ``quarto`` what Quarto is to show stays in the prose, and chunk options are its own business.
    """
    parts: list[Part] = []
    prose: list[str] = []
    prose_line = first_line
    lines = body.split("\n")
    index = 0
    while index < len(lines):
        opening = _FENCE.match(lines[index])
        if not opening:
            if re.match(r"^\s+(`{3,}|~{3,})\s*\{\w", lines[index]):
                raise UserError(f"{name}, line {first_line + index}: a chunk begins at the start of its line")
            prose.append(lines[index])
            index += 1
            continue
        fence, info, start = opening["fence"], opening["info"], index
        end = start + 1
        while end < len(lines) and not re.match(rf"^{re.escape(fence[0])}{{{len(fence)},}}\s*$", lines[end]):
            end += 1
        where = f"{name}, line {first_line + start}"
        if end == len(lines):
            raise UserError(f"{where}: the code block is never closed")
        if re.match(r"^\{\w", info) and (info == "{python}" or not quarto):
            if info != "{python}":
                drawing = info in ("{mermaid}", "{dot}")
                way_out = "draw it with matplotlib, or show an image" if drawing else "write it in Python"
                raise UserError(f"{where}: only {{python}} chunks are executed, not {info}; {way_out}")
            parts += _prose("\n".join(prose) + "\n", prose_line, name, quarto)
            parts += _sized(_chunk(lines[start + 1 : end], first_line + start, name, quarto))
            prose, prose_line = [], first_line + end + 1
        else:
            prose += [f"\0{line}" for line in lines[start : end + 1]]  # code shown as it is: no expressions in it
        index = end + 1
    parts += _prose("\n".join(prose), prose_line, name, quarto)
    labels: dict[str, int] = {}
    for part in parts:
        if part.kind == "chunk" and part.label:
            if part.label in labels:
                taken = labels[part.label]
                raise UserError(f"{name}, line {part.line}: the label {part.label} is taken by line {taken}")
            labels[part.label] = part.line
    return parts


def _chunk(lines: list[str], line: int, name: str, quarto: bool) -> Part:
    heads = [text for text in lines if text.startswith("#|")]
    count = next((i for i, text in enumerate(lines) if not text.startswith("#|")), len(lines))
    yaml_text = "\n".join(text[2:].removeprefix(" ") for text in heads[:count])
    options = parse_yaml(yaml_text, name, line + 1, "the chunk's options are") or {}
    if not isinstance(options, dict):
        raise UserError(f"{name}, line {line}: a chunk option is written '#| name: value'")
    for option in () if quarto else options:
        if option not in CHUNK_OPTIONS:
            subset = ", ".join(sorted(CHUNK_OPTIONS))
            raise UserError(f"{name}, line {line}: the chunk option {option} is outside the subset ({subset})")
        if option in CHUNK_TEXTS and (isinstance(options[option], (bool, list, dict)) or options[option] is None):
            raise UserError(f"{name}, line {line}: the chunk option {option} must be one text in quotes")
    part = Part("chunk", "\n".join(lines[count:]).strip("\n"), line, options)
    if not quarto:
        _check(part, f"{name}, line {line}")
    return part


def _check(part: Part, where: str) -> None:
    """Refuse options that do not go together, or whose values say nothing."""
    options = part.options
    for kind in ("fig", "tbl"):
        has_caption, has_label = f"{kind}-cap" in options, part.label.startswith(f"{kind}-")
        if has_label and not has_caption or has_caption and not has_label and kind == "tbl":
            raise UserError(f"{where}: a chunk needs both {kind}-cap and a label that begins with {kind}-")
    for option in ("fig-width", "fig-height"):
        size = options.get(option, 1)
        if isinstance(size, bool) or not isinstance(size, int | float) or not 0.1 <= size <= 50:
            raise UserError(f"{where}: {option} must be a number of inches from 0.1 to 50, not {str(size)[:40]}")
    if isinstance(columns := options.get("layout-ncol", 1), bool) or columns not in range(1, 10):
        raise UserError(f"{where}: layout-ncol must be a number from 1 to 9, not {str(columns)[:40]}")
    parts = options.get("fig-subcap", [""])
    if not (isinstance(parts, list) and parts and all(isinstance(text, str) for text in parts)):
        raise UserError(f"{where}: fig-subcap must be a list of texts, one a figure, each in quotes")
    if "fig-subcap" in options and not part.label.startswith("fig-"):
        raise UserError(f"{where}: fig-subcap needs fig-cap and a label that begins with fig-")


def _sized(part: Part) -> list[Part]:
    """A chunk; between two that show nothing, where its figures have a size of their own."""
    if not part.options.keys() & {"fig-width", "fig-height"}:
        return [part]
    size = [part.options.get("fig-width"), part.options.get("fig-height")]
    hidden = {"include": False}
    before = f"""import matplotlib as _m
_size = list(_m.rcParams["figure.figsize"])
_m.rcParams["figure.figsize"] = [given or default for given, default in zip({size}, _size)]"""
    after = '_m.rcParams["figure.figsize"] = _size'
    return [Part("chunk", before, part.line, hidden), part, Part("chunk", after, part.line, hidden)]


def _prose(text: str, line: int, name: str, quarto: bool) -> list[Part]:
    """Markdown with its inline expressions apart and its shortcodes replaced; lines marked with NUL are left alone."""
    parts: list[Part] = []
    pending: list[str] = []
    start = line
    rows = text.split("\n")
    for offset, row in enumerate(rows):
        around = ["", *rows, ""][offset : offset + 3]
        if line + offset > 1 and row.rstrip() == "---" and not around[0].strip() and _OPTION.match(around[2]):
            where = f"{name}, line {line + offset}"
            raise UserError(f"{where}: a second front matter; write all options at the head of the document")
        if row.startswith("\0"):
            pending.append(row[1:] + "\n")
            continue
        where = f"{name}, line {line + offset}"
        for code in () if quarto else _SHORTCODE.finditer(row):
            if code["name"] != "pagebreak":
                way_out = SHORTCODES.get(code["name"], "pagebreak is in it")
                raise UserError(f"{where}: the shortcode {code['name']} is outside the subset ({way_out})")
        if re.search(r"(?<!`)`\{\w+\}[ \t]+[^`]*$", _INLINE.sub("", row)):
            raise UserError(f"{where}: an inline expression must end on the line it begins on")
        row = row if quarto else _SHORTCODE.sub("\n\n```{=typst}\n#pagebreak(weak: true)\n```\n\n", row)
        position = 0
        for match in _INLINE.finditer(row):
            if match["language"] != "python":
                raise UserError(f"{where}: only `{{python}} …` is evaluated inline, not {{{match['language']}}}")
            pending.append(row[position : match.start()])
            parts.append(Part("markdown", "".join(pending), start))
            parts.append(Part("inline", match["expression"].strip(), line + offset))
            pending, start, position = [], line + offset, match.end()
        pending.append(row[position:] + "\n")
    return [*parts, Part("markdown", "".join(pending)[:-1], start)]
