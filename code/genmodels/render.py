"""The report without Quarto: the same ``report.qmd``, by the engines that Quarto itself uses (Pandoc and Typst, from PyPI).

One execution serves both formats. Options come from ``_quarto.yml`` and the front matter, as Quarto merges them; labels,
styles, Lua filters and the Typst look are the files in ``assets/`` that Quarto uses too. An option outside the subset, a
failing chunk, an unresolved reference, a missing image: each is a ``UserError`` of one line, and no output is written.
What it does not do: websites, books, other formats, or Quarto's caches.
"""

from __future__ import annotations

import datetime
import json
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from genmodels.errors import UserError
from genmodels.execution import execute
from genmodels.files import write_bytes
from genmodels.persian import PERSIAN_DIGITS, jalali
from genmodels.qmd import parse, split_front_matter
from genmodels.weave import weave

ASSETS = Path(__file__).resolve().parents[2] / "assets"
OUTPUTS = {"html": "html", "pdf": "typst"}  # our names of the formats, and Quarto's
EXECUTE = {"echo", "eval", "include", "output", "warning", "error", "enabled", "daemon", "code-fold"}
TOP = {
    "title", "subtitle", "author", "student-id", "date", "date-format", "abstract", "description", "keywords", "lang", "dir",
    "language", "bibliography", "csl", "nocite", "link-citations", "number-sections", "toc", "toc-depth", "toc-title",
    "jupyter", "execute", "format", "filters", "project", "crossref", "code-fold",
}  # fmt: skip
FORMAT = {
    "html": {"embed-resources", "html-math-method", "theme", "css", "appendix-style", "fig-format", "code-copy", "grid",
             "code-overflow", "anchor-sections", "smooth-scroll", "link-external-newwindow", "minimal", "lightbox"},
    "typst": {"papersize", "margin", "section-numbering", "page-numbering", "font-paths", "include-in-header", "keep-typ",
              "fig-format", "mainfont", "fontsize"},
}  # fmt: skip


def render(
    project: Path | str,
    formats: Sequence[str] = ("html", "pdf"),
    output_dir: Path | str | None = None,
    source: str = "report.qmd",
) -> list[Path]:
    """Execute ``source`` once and write it to ``output_dir`` in each of ``formats``; returns the files written.

    ``project``: the folder of ``_quarto.yml``; chunks run in it. The files appear together at the end, or not at all.
    Seconds per step go to stderr. Raises ``UserError`` for everything the author can mend.
    """
    project = Path(project).resolve()
    output_dir = Path(output_dir) if output_dir else project / "_output"
    for name in formats:
        if name not in OUTPUTS:
            raise UserError(f"cannot render to {name!r}; the formats are {', '.join(OUTPUTS)}")
    path = project / source
    if not path.is_file():
        raise UserError(f"{path} is missing; there is nothing to render")
    text = path.read_text("utf-8")
    front, body, first_line = split_front_matter(text, source)
    options = merged(_config(project), front)
    check_options(options, text, source)
    clock = _Clock()
    with tempfile.TemporaryDirectory(prefix="gm-") as temporary:
        scratch = Path(temporary).resolve()
        parts = parse(body, first_line, source)
        settings = {**{k: options[k] for k in ("code-fold",) if k in options}, **(options.get("execute") or {})}
        execute(parts, project, scratch, settings, source)
        clock.lap("execute")
        figures = scratch / "figures"
        figures.mkdir()
        document = _Document(project, scratch, options, weave(parts, figures, settings, source), text, source)
        written = {}
        for name in formats:
            written[output_dir / f"{path.stem}.{name}"] = document.html() if name == "html" else document.pdf(clock)
            clock.lap(name)
    for target, content in written.items():
        write_bytes(target, content)
    return list(written)


def merged(base: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    """``over`` laid on ``base``, mapping by mapping, as Quarto lays the front matter on ``_quarto.yml``."""
    result = dict(base)
    for key, value in over.items():
        result[key] = merged(result[key], value) if isinstance(value, dict) and isinstance(result.get(key), dict) else value
    return result


def check_options(options: dict[str, Any], text: str, source: str) -> None:
    """Refuse every option that this route would ignore."""
    known = {"": TOP, "execute": EXECUTE} | {f"format.{name}": keys | TOP for name, keys in FORMAT.items()} | {"format": set(FORMAT)}
    for place, keys in known.items():
        section: Any = options
        for step in filter(None, place.split(".")):
            section = section.get(step) or {}
        for key in section:
            if key not in keys:
                where = place + "." if place else ""
                raise UserError(f"{source}{_line_of(f'{key}:', text)}: the option {where}{key} is outside the subset")
    if (options.get("format") or {}).get("html", {}).get("html-math-method", "mathml") != "mathml":
        raise UserError(f"{source}: html-math-method must be mathml (nothing may be fetched when the page is read)")


class _Document:
    """The woven text on its way to one format: metadata, Pandoc, Typst."""

    def __init__(self, project: Path, scratch: Path, options: dict[str, Any], woven: str, text: str, source: str) -> None:
        self.project, self.scratch, self.options, self.text, self.source = project, scratch, options, text, source
        self.woven = scratch / "woven.md"
        self.woven.write_text(woven, "utf-8")
        levels = [len(m[1]) for m in re.finditer(r"^(#{1,6}) ", re.sub(r"^(`{3,}).*?^\1`*$", "", woven, flags=re.M | re.S), re.M)]
        self.shift = min(levels, default=1) - 1
        self.labels = _yaml(project / str(options.get("language") or ASSETS / "fa.yml"))

    def html(self) -> bytes:
        """One self-contained page."""
        settings = self.format_options("html")
        styles = settings.get("css") or []
        styles = [styles] if isinstance(styles, str) else styles
        missing = [s for s in styles if not (self.project / s).is_file()]
        if missing:
            raise UserError(f"the style sheet {self.project / missing[0]} is missing")
        for style in [self.project / s for s in styles]:
            for font in re.findall(r'url\("([^"]+)"\)', style.read_text("utf-8")):
                _required(style.parent / font)
        arguments = ["--to=html5", f"--template={ASSETS / 'html' / 'page.html'}", "--embed-resources", "--mathml"]
        arguments += [f"--css={self.project / style}" for style in styles] + [f"--css={ASSETS / 'html' / 'page.css'}"]
        if settings.get("toc"):
            arguments += ["--toc", f"--toc-depth={int(settings.get('toc-depth', 3)) + self.shift}"]
        page = self.pandoc(arguments, settings).decode("utf-8")
        persian_marks = re.sub(r"(<sup>)(\d+)(</sup>)", lambda m: m[1] + m[2].translate(PERSIAN_DIGITS) + m[3], page)
        return persian_marks.encode("utf-8")

    def pdf(self, clock: _Clock) -> bytes:
        """A tagged PDF, conforming to PDF/UA-1 where Typst agrees that it does."""
        settings = self.format_options("typst")
        look = ASSETS / "typst"
        arguments = ["--to=typst", f"--template={look / 'report.typ'}", f"--include-in-header={look / 'look.typ'}"]
        source = self.scratch / "report.typ"
        source.write_bytes(self.pandoc(arguments, settings))
        clock.lap("pdf: pandoc")
        import typst

        fonts = self.project / str(settings.get("font-paths") or ASSETS / "fonts")
        for name in ("Vazirmatn-Regular", "Vazirmatn-Medium", "Vazirmatn-Bold", "JetBrainsMono-Regular"):
            _required(fonts / f"{name}.ttf")
        common: dict[str, Any] = {"root": source.anchor, "font_paths": [str(fonts)], "ignore_system_fonts": True}
        try:
            try:
                pdf, warnings = typst.compile_with_warnings(str(source), pdf_standards=["ua-1"], **common)
            except typst.TypstError as error:
                if "PDF/UA" not in str(error):
                    raise
                print(f"note: not PDF/UA-1: {_first_line(error)}", file=sys.stderr)
                pdf, warnings = typst.compile_with_warnings(str(source), **common)
        except typst.TypstError as error:
            raise UserError(f"{self.source}: Typst cannot set it: {_first_line(error)}") from error
        if warnings:
            raise UserError(f"{self.source}: Typst warns: {warnings[0].message}")
        return pdf

    def format_options(self, name: str) -> dict[str, Any]:
        """The document's options with those of one format on top."""
        return merged(self.options, (self.options.get("format") or {}).get(name) or {})

    def metadata(self, settings: dict[str, Any]) -> dict[str, Any]:
        """What Quarto would hand to its templates and filters."""
        keep = ("title", "subtitle", "abstract", "description", "keywords", "lang", "dir", "number-sections", "nocite", "toc",
                "student-id", "section-numbering")  # fmt: skip
        names = [a if isinstance(a, str) else a["name"] for a in _as_list(settings.get("author"))]
        data = {key: settings[key] for key in keep if settings.get(key) is not None}
        data |= {
            "by-author": [{"name": {"literal": name}} for name in names],
            "author-meta": names,
            "pagetitle": settings.get("title", self.source),
            "labels": self.labels,
            "shift-headings": str(self.shift),
            "toc-title": settings.get("toc-title", self.labels.get("toc-title-document")),
            "toc-depth": str(settings.get("toc-depth", 3)),
            "abstract-title": self.labels.get("section-title-abstract"),
        }
        strings = _yaml(ASSETS / "strings.yml")
        data["skip-to-content"] = strings["skip-to-content"]
        if settings.get("date"):
            data["date"] = _date(settings["date"], settings.get("date-format"), strings["months"])
        for key in ("bibliography", "csl"):
            if settings.get(key):
                paths = [str(_required(self.project / name)) for name in _as_list(settings[key])]
                data[key] = paths if key == "bibliography" else paths[0]
        return data

    def pandoc(self, arguments: list[str], settings: dict[str, Any]) -> bytes:
        """Run Pandoc with our filters; its warnings count as errors. Raises ``UserError`` with the line where it can tell."""
        import pypandoc

        metadata = self.scratch / "metadata.json"
        metadata.write_text(json.dumps(self.metadata(settings), ensure_ascii=False, default=str), "utf-8")
        filters = [f"--lua-filter={ASSETS / 'filters' / name}.lua" for name in ("subset", "bibliography", "persian")]
        command = [pypandoc.get_pandoc_path(), str(self.woven), "--from=markdown", "--standalone", "--wrap=none",
                   f"--metadata-file={metadata}", *filters, *arguments]  # fmt: skip
        done = subprocess.run(command, cwd=self.project, capture_output=True)
        complaints = done.stderr.decode("utf-8", "replace")
        if done.returncode or "[WARNING]" in complaints:
            raise UserError(self.explained(complaints))
        return done.stdout

    def explained(self, complaints: str) -> str:
        """Pandoc's or a filter's complaint as one line, with the line of the source that it is about."""
        lines = [line.strip() for line in complaints.splitlines() if line.strip()]
        filtered = [lines[i + 1] for i, line in enumerate(lines[:-1]) if line.startswith("Error running filter")]
        warned = [" ".join(lines[i : i + 3]).removeprefix("[WARNING] ") for i, line in enumerate(lines) if line.startswith("[WARNING]")]
        message = (filtered or warned or lines or ["Pandoc failed without a word"])[0]
        wanted = re.search(r"([@#.][\w:-]+\w)|option (\S+)|attribute (\S+)|image (\S+)", message)
        token = next((group for group in wanted.groups() if group), "") if wanted else ""
        return f"{self.source}{_line_of(token, self.text)}: {message}"


class _Clock:
    """Seconds of each step, on stderr."""

    def __init__(self) -> None:
        self.last = time.monotonic()

    def lap(self, step: str) -> None:
        now = time.monotonic()
        print(f"{step:12} {now - self.last:6.1f} s", file=sys.stderr)
        self.last = now


def _config(project: Path) -> dict[str, Any]:
    path = project / "_quarto.yml"
    return _yaml(path) if path.is_file() else {}


def _yaml(path: Path) -> dict[str, Any]:
    try:
        return yaml.safe_load(_required(path).read_text("utf-8")) or {}
    except yaml.YAMLError as error:
        raise UserError(f"{path} is not YAML: {getattr(error, 'problem', error)}") from error


def _required(path: Path) -> Path:
    if not path.is_file():
        raise UserError(f"the file {path} is missing")
    return path


def _as_list(value: Any) -> list[Any]:
    return [] if value is None else value if isinstance(value, list) else [value]


def _line_of(token: str, text: str) -> str:
    """", line N" of the first line that holds ``token``, or nothing."""
    number = next((i for i, line in enumerate(text.splitlines(), 1) if token and token in line), 0)
    return f", line {number}" if number else ""


def _first_line(error: Exception) -> str:
    return str(error).strip().split("\n")[0]


def _date(value: Any, style: str | None, months: list[str]) -> str:
    """An ISO date (or ``today``) in the Persian calendar, as ``date-format: long`` has it in Quarto; other text as it is."""
    if value == "today":
        value = datetime.date.today()
    try:
        day = value if isinstance(value, datetime.date) else datetime.date.fromisoformat(str(value))
    except ValueError:
        return str(value)
    if style not in ("long", None):
        raise UserError(f"the date-format {style} is outside the subset (long is in it)")
    year, month, number = jalali(day)
    return f"{number} {months[month - 1]} {year}".translate(PERSIAN_DIGITS)
