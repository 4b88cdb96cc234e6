"""The woven text on its way to one format, by the engines that Quarto itself uses: Pandoc and Typst.

Labels, styles, Lua filters and the Typst look are the files in ``assets/``, which Quarto uses too. What does not come out
as it was written is a ``UserError`` with its line. What it does not do: execute, or write a file of the project.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from genmodels.errors import UserError
from genmodels.render import title_page
from genmodels.render.options import as_list, line_of, merged, read_yaml, required
from genmodels.report.persian import PERSIAN_DIGITS
from genmodels.system.places import ASSETS


class Clock:
    """Seconds of each step, on stderr."""

    def __init__(self) -> None:
        self.last = time.monotonic()

    def lap(self, step: str) -> None:
        now = time.monotonic()
        print(f"{step:12} {now - self.last:6.1f} s", file=sys.stderr)
        self.last = now


class Built:
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
        styles = [self.project / style for style in as_list(settings.get("css") or None)]
        for style in styles:
            if not style.is_file():
                raise UserError(f"the style sheet {style} is missing")
            for font in re.findall(r'url\("([^"]+)"\)', style.read_text("utf-8")):
                required(style.parent / font)
        template = settings.get("template")
        page_file = required(self.project / template) if template else ASSETS / "html" / "page.html"
        arguments = ["--to=html5", f"--template={page_file}", "--embed-resources", "--mathml"]
        arguments += [f"--css={style}" for style in styles]
        headers = as_list(settings.get("include-in-header"))
        arguments += [f"--include-in-header={required(self.project / header)}" for header in headers]
        if settings.get("toc"):
            arguments += ["--toc", f"--toc-depth={int(settings.get('toc-depth', 3)) + self.shift}"]
        page = self.pandoc(arguments, settings).decode("utf-8")
        persian_marks = re.sub(r"(<sup>)(\d+)(</sup>)", lambda m: m[1] + m[2].translate(PERSIAN_DIGITS) + m[3], page)
        return persian_marks.encode("utf-8")

    def pdf(self, clock: Clock) -> bytes:
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
                "toc", "student-id", "collaborators", "ai-statement", "section-numbering", "live")  # fmt: skip
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
            for name in ("callouts", "layout", "subset", "bibliography", "persian")
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


def _first_line(error: Exception) -> str:
    return str(error).strip().split("\n")[0]
