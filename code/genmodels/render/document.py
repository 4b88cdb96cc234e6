"""``report.qmd`` made into HTML and PDF: by Quarto (``quarto``), or without it by the engines that it uses (``engines``).

One execution serves both formats, and the next rendering too while nothing that decides its outputs has changed
(``reuse``). Options come from ``_quarto.yml`` and the front matter, as Quarto merges them. Without Quarto an option outside
the subset, an unresolved reference, a missing image: each is a ``UserError`` of one line, and no
output is written. A chunk that raises is marked where it stands and told on stderr, and so is what misses its names. What it does not do: websites, books, other formats, or Quarto's caches.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from genmodels.errors import UserError
from genmodels.render import handed, reuse, title_page
from genmodels.render.engines import Built, Clock
from genmodels.render.execution import deaths, execute
from genmodels.render.options import check_options, merged, read_yaml
from genmodels.render.qmd import Part, parse, split_front_matter
from genmodels.render.quarto import OUTPUTS, by_quarto
from genmodels.render.title_page import uncovered
from genmodels.render.verdict import NAME as VERDICT
from genmodels.render.verdict import VARIABLE
from genmodels.render.weave import weave
from genmodels.system.files import atomic_writer, read_text, shown, write_text


def render(
    project: Path | str,
    formats: Sequence[str] = ("html", "pdf"),
    output_dir: Path | str | None = None,
    source: str = "report.qmd",
    front: dict[str, Any] | None = None,
    reuse_from: Path | None = None,
    as_shown: bool = False,
    timings: bool = False,
    quarto: bool = False,
) -> list[Path]:
    """Execute ``source`` once and write it to ``output_dir`` in each of ``formats``; returns the files written.

    ``project``: the folder of ``_quarto.yml``; chunks run in it. The files appear together at the end, or not at all,
    and beside them the verdict of a document that ran checks (``genmodels.render.verdict``), to be judged by the caller.
    ``front``: options laid on the document's front matter. ``reuse_from``: a file whose kept execution is used where
    it is of the same code, package and results, and that keeps this one (``reuse``); ``None`` executes, and keeps nothing.
    ``as_shown``: an execution in which something died or was contradicted, too; else that one is made again.
    ``quarto``: Quarto writes the documents. Seconds per step go to stderr, with ``timings`` those of each chunk too. Raises ``UserError`` for everything the
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
    if not quarto:
        check_options(options, text, source)
    title_page.check(options, text, source)
    print(f"rendering with {'Quarto' if quarto else 'Pandoc and Typst'}", file=sys.stderr)
    clock = Clock()
    # A socket's path has about a hundred characters.
    short = None if len(tempfile.gettempdir()) < 60 or os.name == "nt" else "/tmp"
    with tempfile.TemporaryDirectory(prefix="gm-", dir=short) as temporary:
        scratch = Path(temporary).resolve()
        parts = parse(body, first_line, source, quarto)
        html = merged(options, (options.get("format") or {}).get("html") or {})
        settings = {"code-fold": html.get("code-fold", False), **(options.get("execute") or {})}
        verdict = _executed(parts, project, scratch, settings, source, reuse_from, as_shown, clock)
        if timings:
            _show_timings(parts)
        if quarto:
            made = by_quarto(parts, own | (front or {}), project, scratch, formats)
            clock.lap("quarto")
        else:
            made = _built(parts, project, scratch, options, settings, text, source, formats, clock)
    written = {output_dir / f"{path.stem}.{name}": content for name, content in made.items()}
    _put(written, output_dir / VERDICT, verdict)
    return list(written)


def _built(
    parts: list[Part],
    project: Path,
    scratch: Path,
    options: dict[str, Any],
    settings: dict[str, Any],
    text: str,
    source: str,
    formats: Sequence[str],
    clock: Clock,
) -> dict[str, bytes]:
    """The documents by Pandoc and Typst, which pip installed."""
    figures = scratch / "figures"
    figures.mkdir()
    woven = weave(parts, figures, settings, source)
    if missing := uncovered(woven):
        names = " ".join(f"{c} (U+{ord(c):04X})" for c in missing)
        print(f"warning: no font of the report has {names}", file=sys.stderr)
    document, made = Built(project, scratch, options, woven, text, source), {}
    for name in formats:
        made[name] = document.html() if name == "html" else document.pdf(clock)
        clock.lap(name)
    return made


def _put(written: dict[Path, bytes], verdict_file: Path, verdict: str | None) -> None:
    """All documents into their places together, and the verdict on them."""
    verdict_file.unlink(missing_ok=True)  # an older document's
    with ExitStack() as places:  # all bytes are on the disk before the first file takes its place
        for target, content in written.items():
            stream = places.enter_context(atomic_writer(target))
            stream.write(content)
            stream.flush()
    if verdict is not None:
        write_text(verdict_file, verdict)


def _executed(
    parts: list[Part],
    project: Path,
    scratch: Path,
    settings: dict[str, Any],
    source: str,
    kept: Path | None,
    as_shown: bool,
    clock: Clock,
) -> str | None:
    """Fill in the outputs of ``parts``, from the execution in ``kept`` where it fits; the verdict's text, if there is one."""
    key = reuse.identity(parts, settings, project) if kept else ""
    done = handed.restore(project, parts, settings)
    if not done and kept and (done := reuse.restore(kept, key, parts, with_dead=as_shown)):
        print(
            f"nothing that the outputs depend on has changed since {done.finished_utc}: they are used again",
            file=sys.stderr,
        )
    if done:
        clock.lap("execute")
        return done.verdict
    if kept:
        kept.unlink(missing_ok=True)
    started = time.monotonic()
    execute(parts, project, scratch, settings, source, {VARIABLE: str(scratch / VERDICT)})
    verdict = (scratch / VERDICT).read_text("utf-8") if (scratch / VERDICT).is_file() else None
    found = json.loads(verdict) if verdict else {}
    if dead := deaths(parts, source):
        print("\n".join(f"warning: {each}" for each in dead), file=sys.stderr)
        verdict = json.dumps(found | {"dead": dead}, ensure_ascii=False, indent=2)
    # The key of before the execution: what changed meanwhile was perhaps not seen by every chunk. A failed check is made
    # again, and what died is run again: for want of room, perhaps.
    if kept and key == reuse.identity(parts, settings, project):
        ended = reuse.Execution.ended(verdict, time.monotonic() - started)
        reuse.keep(kept, key, parts, settings, ended, sound=not (found.get("failed") or dead))
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
