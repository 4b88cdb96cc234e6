"""The report without Quarto: the same ``report.qmd``, by the engines that Quarto itself uses (Pandoc and Typst).

One execution serves both formats, and the next rendering too while nothing that decides its outputs has changed
(``reuse``). Options come from ``_quarto.yml`` and the front matter, as Quarto merges them;
labels, styles, Lua filters and the Typst look are the files in ``assets/`` that Quarto uses too. An option outside
the subset, an unresolved reference, a missing image: each is a ``UserError`` of one line, and no
output is written. A chunk that raises is marked where it stands and told on stderr, and so is what misses its names. What it does not do: websites, books, other formats, or Quarto's caches.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from genmodels.errors import UserError
from genmodels.render import reuse, title_page
from genmodels.render.execution import deaths, execute
from genmodels.render.options import as_list, check_options, line_of, merged, read_yaml, required
from genmodels.render.qmd import Part, parse, split_front_matter
from genmodels.render.title_page import uncovered
from genmodels.render.verdict import NAME as VERDICT
from genmodels.render.verdict import VARIABLE
from genmodels.render.weave import weave
from genmodels.report.persian import PERSIAN_DIGITS
from genmodels.system.files import atomic_writer, read_text, shown, write_text
from genmodels.system.places import ASSETS

OUTPUTS = {"html": "html", "pdf": "typst"}  # our names of the formats, and Quarto's


def render(
    project: Path | str,
    formats: Sequence[str] = ("html", "pdf"),
    output_dir: Path | str | None = None,
    source: str = "report.qmd",
    front: dict[str, Any] | None = None,
    reuse_from: Path | None = None,
    timings: bool = False,
) -> list[Path]:
    """Execute ``source`` once and write it to ``output_dir`` in each of ``formats``; returns the files written.

    ``project``: the folder of ``_quarto.yml``; chunks run in it. The files appear together at the end, or not at all,
    and beside them the verdict of a document that ran checks (``genmodels.render.verdict``), to be judged by the caller.
    ``front``: options laid on the document's front matter. ``reuse_from``: a folder whose kept execution is used where
    it is of the same code, package and results, and that keeps this one (``reuse``); ``None`` executes, and keeps nothing.
    Seconds per step go to stderr, with ``timings`` those of each chunk too. Raises ``UserError`` for everything the
    author can mend.
    """
    project = Path(project).resolve()
    if shown(project) != str(project):
        raise UserError(f"the project's folder {shown(project)} has a name that is no UTF-8; rename it")
    output_dir = Path(output_dir) if output_dir else project / "_output"
    for name in formats:
        if name not in OUTPUTS:
            raise UserError(f"cannot render to {name!r}; the formats are {', '.join(OUTPUTS)}")
    path = project / source
    if not path.is_file():
        raise UserError(f"{path} is missing; there is nothing to render")
    text = read_text(path)
    own, body, first_line = split_front_matter(text, source)
    config = project / "_quarto.yml"
    options = merged(read_yaml(config) if config.is_file() else {}, own | (front or {}))
    check_options(options, text, source)
    title_page.check(options, text, source)
    clock = _Clock()
    # A socket's path has about a hundred characters.
    short = None if len(tempfile.gettempdir()) < 60 or os.name == "nt" else "/tmp"
    with tempfile.TemporaryDirectory(prefix="gm-", dir=short) as temporary:
        scratch = Path(temporary).resolve()
        parts = parse(body, first_line, source)
        html = merged(options, (options.get("format") or {}).get("html") or {})
        settings = {"code-fold": html.get("code-fold", False), **(options.get("execute") or {})}
        verdict = _executed(parts, project, scratch, settings, source, reuse_from, clock)
        if timings:
            _show_timings(parts)
        figures = scratch / "figures"
        figures.mkdir()
        woven = weave(parts, figures, settings, source)
        if missing := uncovered(woven):
            names = " ".join(f"{c} (U+{ord(c):04X})" for c in missing)
            print(f"warning: no font of the report has {names}", file=sys.stderr)
        document = _Document(project, scratch, options, woven, text, source)
        written = {}
        for name in formats:
            written[output_dir / f"{path.stem}.{name}"] = document.html() if name == "html" else document.pdf(clock)
            clock.lap(name)
    (output_dir / VERDICT).unlink(missing_ok=True)  # an older document's
    with ExitStack() as places:  # all bytes are on the disk before the first file takes its place
        for target, content in written.items():
            stream = places.enter_context(atomic_writer(target))
            stream.write(content)
            stream.flush()
    if verdict is not None:
        write_text(output_dir / VERDICT, verdict)
    return list(written)


def _executed(
    parts: list[Part],
    project: Path,
    scratch: Path,
    settings: dict[str, Any],
    source: str,
    kept: Path | None,
    clock: _Clock,
) -> str | None:
    """Fill in the outputs of ``parts``, from the execution in ``kept`` where it fits; the verdict's text, if there is one."""
    key = reuse.identity(parts, settings, project) if kept else ""
    done = reuse.restore(kept, key, parts) if kept else None
    if done:
        print(
            f"nothing that the outputs depend on has changed since {done.finished_utc}: they are used again",
            file=sys.stderr,
        )
        clock.lap("execute")
        return done.verdict
    started = time.monotonic()
    execute(parts, project, scratch, settings, source, {VARIABLE: str(scratch / VERDICT)})
    verdict = (scratch / VERDICT).read_text("utf-8") if (scratch / VERDICT).is_file() else None
    found = json.loads(verdict) if verdict else {}
    if dead := deaths(parts, source):
        print("\n".join(f"warning: {each}" for each in dead), file=sys.stderr)
        verdict = json.dumps(found | {"dead": dead}, ensure_ascii=False, indent=2)
    # The key of before the execution: what changed meanwhile was perhaps not seen by every chunk. A failed check is made
    # again, and what died is run again: for want of room, perhaps.
    if kept and not found.get("failed") and not dead and key == reuse.identity(parts, settings, project):
        reuse.keep(kept, key, parts, verdict, time.monotonic() - started)
    clock.lap("execute")
    if found:
        seconds = sum(outcome["seconds"] for outcome in found.get("outcomes", ()))
        print(f"{'  of it rubric':12} {seconds:6.1f} s", file=sys.stderr)
    return verdict


def _show_timings(parts: list[Part]) -> None:
    """Seconds of each chunk that took some, the slowest first, on stderr."""
    for part in sorted(parts, key=lambda part: -part.seconds):
        if part.seconds >= 0.05:
            print(f"{part.seconds:8.1f} s  line {part.line:5}  {part.label or '(no label)'}", file=sys.stderr)


class _Document:
    """The woven text on its way to one format: metadata, Pandoc, Typst."""

    def __init__(
        self, project: Path, scratch: Path, options: dict[str, Any], woven: str, text: str, source: str
    ) -> None:
        self.project, self.scratch, self.options, self.text, self.source = project, scratch, options, text, source
        self.woven = scratch / "woven.md"
        self.woven.write_text(woven, "utf-8")
        prose = re.sub(r"^(`{3,}).*?^\1`*$", "", woven, flags=re.MULTILINE | re.DOTALL)
        self.shift = min((len(mark) for mark in re.findall(r"^(#{1,6}) ", prose, re.MULTILINE)), default=1) - 1
        self.labels = read_yaml(project / str(options.get("language") or ASSETS / "fa.yml"))

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
                required(style.parent / font)
        template = settings.get("template")
        page_file = required(self.project / template) if template else ASSETS / "html" / "page.html"
        arguments = ["--to=html5", f"--template={page_file}", "--embed-resources", "--mathml"]
        arguments += [f"--css={self.project / style}" for style in styles]
        arguments += [
            f"--include-in-header={required(self.project / f)}" for f in as_list(settings.get("include-in-header"))
        ]
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
            required(fonts / f"{name}.ttf")
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
            where = re.search(r"^ *\d+ │ (.*)$", str(getattr(error, "diagnostic", "")), re.MULTILINE)
            about = f" in: {where[1].strip()[:120]}" if where else ""
            raise UserError(f"{self.source}: Typst cannot set it: {_first_line(error)}{about}") from error
        if warnings:
            raise UserError(f"{self.source}: Typst warns: {warnings[0].message}")
        return pdf

    def format_options(self, name: str) -> dict[str, Any]:
        """The document's options with those of one format on top."""
        return merged(self.options, (self.options.get("format") or {}).get(name) or {})

    def metadata(self, settings: dict[str, Any]) -> dict[str, Any]:
        """What Quarto would hand to its templates and filters."""
        keep = ("title", "subtitle", "abstract", "description", "keywords", "lang", "dir", "number-sections", "nocite",
                "toc", "student-id", "section-numbering", "live")  # fmt: skip
        names = [title_page.literal(a["name"] if isinstance(a, dict) else a) for a in as_list(settings.get("author"))]
        data = {key: settings[key] for key in keep if settings.get(key) is not None}
        if "student-id" in data:
            data["student-id"] = title_page.literal(data["student-id"])
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
        strings = read_yaml(ASSETS / "strings.yml")
        if settings.get("date"):
            data["date"] = title_page.date(settings["date"], settings.get("date-format"), strings["months"])
        for key in ("bibliography", "csl"):
            if settings.get(key):
                paths = [str(required(self.project / name)) for name in as_list(settings[key])]
                data[key] = paths if key == "bibliography" else paths[0]
        return data

    def pandoc(self, arguments: list[str], settings: dict[str, Any]) -> bytes:
        """Run Pandoc with our filters; its warnings are errors. Raises ``UserError``, with the line where known."""
        import pypandoc

        metadata = self.scratch / "metadata.json"
        metadata.write_text(json.dumps(self.metadata(settings), ensure_ascii=False, default=str), "utf-8")
        filters = [
            f"--lua-filter={ASSETS / 'filters' / name}.lua"
            for name in ("callouts", "subset", "bibliography", "persian")
        ]
        command = [pypandoc.get_pandoc_path(), str(self.woven), "--from=markdown", "--standalone", "--wrap=none",
                   f"--metadata-file={metadata}", *filters, *arguments]  # fmt: skip
        locale = os.environ.get("LC_ALL") or os.environ.get("LC_CTYPE") or os.environ.get("LANG") or "C"
        utf8 = {} if "utf" in locale.lower() else {"LC_ALL": "C.UTF-8"}  # in others Pandoc cannot open a Persian path
        done = subprocess.run(command, cwd=self.project, capture_output=True, env=os.environ | utf8)
        complaints = done.stderr.decode("utf-8", "replace")
        if done.returncode or "[WARNING]" in complaints:  # a warning: something is not shown as it was written
            raise UserError(self.explained(complaints))
        return done.stdout

    def explained(self, complaints: str) -> str:
        """Pandoc's or a filter's complaint as one line, with the line of the source that it is about."""
        lines = [line.strip() for line in complaints.splitlines() if line.strip()] or ["Pandoc failed without a word"]
        start = next((i for i, line in enumerate(lines) if line.startswith("Error running filter")), -1) + 1
        message = " ".join(lines[start : start + 1 if start else 3]).removeprefix("[WARNING] ")
        token = ""
        if match := re.search(r" ⟨(.*)⟩", message):  # a filter says what to look for
            message, token = message.replace(match[0], ""), match[1]
        elif match := re.search(r"line (\d+)", message):  # Pandoc counts the lines of the woven text
            woven = self.woven.read_text("utf-8").splitlines()
            token = woven[min(int(match[1]), len(woven)) - 1].strip()
            message = re.sub(r"( at)? ?(\S*woven\.md )?line \d+ column \d+( of \S+)?", "", message)
        return f"{self.source}{line_of(token, self.text)}: {message}"


class _Clock:
    """Seconds of each step, on stderr."""

    def __init__(self) -> None:
        self.last = time.monotonic()

    def lap(self, step: str) -> None:
        now = time.monotonic()
        print(f"{step:12} {now - self.last:6.1f} s", file=sys.stderr)
        self.last = now


def _first_line(error: Exception) -> str:
    return str(error).strip().split("\n")[0]
