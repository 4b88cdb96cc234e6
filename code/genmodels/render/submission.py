"""A hand-in as one zip: the report as PDF and HTML with name and number, and the project that makes it again.

Layout of ``submission-<number>.zip``, all below a folder of that name::

    report.pdf  report.html  rubric.json      what was rendered, and the verdict of its checks
    project/                                  everything that a fresh ``make`` needs: document, package, assets,
                                              shipped results with their manifests, tests, benchmarks
    SHA256SUMS                                digest of every file above, for ``sha256sum -c``

The document in ``project/`` carries the same name and number in its front matter: rendering it there gives the same
title page. The tests go along because they are the proofs that the report speaks of.

*What is reproducible.* The zip is a function of the files in it: names sorted, one time for all (``SOURCE_DATE_EPOCH``,
else that of the last commit, else 1980), fixed permissions, stored without compression (so that no version of zlib shows
in the bytes). PDF and HTML are functions of the executed document. Two executions differ in the times that the report
measures (question 2.6) and the verdict's seconds; one execution, kept in ``_output/.execution`` (``reuse``), gives the
same zip as often as it is asked.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
import sys
import time
import unicodedata
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path

from genmodels.errors import ClaimsUnmet, UserError
from genmodels.render import reuse, verdict
from genmodels.render.document import render
from genmodels.render.qmd import FRONT_MATTER, split_front_matter
from genmodels.system.files import atomic_writer, is_system_file, read_text, shown
from genmodels.system.places import PROJECT

SOURCE = "report.qmd"
# Front matter key -> (what a person calls it, the document's own placeholder).
FIELDS = {"author": ("name of the student", "نام دانشجو"), "student-id": ("student number", "شمارهٔ دانشجویی")}
PARTS = (
    ".ci", ".gitattributes", ".gitignore", "LICENSE", "Makefile", "README.md", "_environment", "_quarto.yml", "assets",
    "benchmarks", "cache", "code", "constraints.txt", "docs", "environment.yml", "pyproject.toml", "references.bib", SOURCE,
    "tests",
)  # fmt: skip
LIGHT = {"manifest.json", "metrics.json", "history.csv"}  # of a result, where its weights and arrays stay behind
_LEFT = re.compile(r".*\.egg-info|.*\.py[cod]|.*\.tmp|\.(?!ci$|gitignore$|gitattributes$).*")
# Quotes, -- and ... for Pandoc's "smart".
_MARKDOWN = re.compile(r"([\\`*_{}\[\]<>$@^~|#&'\"]|-(?=-)|(?<=-)-|\.(?=\.)|(?<=\.)\.)")


def submit(
    student: str | None = None,
    number: str | None = None,
    output: Path | None = None,
    light: bool = False,
    fresh: bool = False,
    project: Path = PROJECT,
) -> Path:
    """Render the report for ``student`` with ``number`` and pack the hand-in into the folder ``output``; the zip's path.

    What is not given comes from the document's front matter. ``light`` leaves weights and arrays behind, in the page
    too (the project in the zip then cannot render without training). Raises ``UserError`` where a name or number is missing or cannot stand
    on a title page, and where a check of the document fails: no zip is written then.
    Sentences that do not fit the results are marked in the document; they are told on stderr and hinder nothing.
    """
    text = read_text(project / SOURCE)
    own = split_front_matter(text, SOURCE)[0]
    who = {key: _person(given, own, key) for key, given in zip(FIELDS, (student, number))}
    name = f"submission-{_file_name(who['student-id'])}"
    # What is given is meant letter by letter; in the front matter a name is Markdown, and stays what `make` shows.
    given = dict(zip(FIELDS, (student, number)))
    front: dict[str, str | bool] = {
        key: _MARKDOWN.sub(r"\\\1", value) if given[key] else value for key, value in who.items()
    }
    front |= {"live": False} if light else {}  # the models inside the page are weights, too
    output = Path(output) if output else project / "_output"
    place, kept = output / name, project / "_output" / reuse.FOLDER
    if fresh:
        (kept / reuse.NAME).unlink(missing_ok=True)
    pages = render(project, output_dir=place, source=SOURCE, front=front, reuse_from=kept)
    try:
        verdict.judge(place / verdict.NAME)
    except ClaimsUnmet as told:  # the document marks them: it may be handed in
        print(f"warning: {told}", file=sys.stderr)
    members: dict[str, bytes | Path] = {path.name: path for path in (*pages, place / verdict.NAME)}
    members |= {f"project/{inner}": path for inner, path in project_files(project, light)}
    members[f"project/{SOURCE}"] = with_front(text, front).encode("utf-8")
    return pack(output / f"{name}.zip", name, members, project)


def pack(target: Path, folder: str, members: Mapping[str, bytes | Path], project: Path = PROJECT) -> Path:
    """Write ``members`` (name inside ``folder`` -> its bytes or its file) and their SHA256SUMS to the zip ``target``.

    Equal members give equal bytes. Raises ``UserError`` where a member names a folder of this machine.
    """
    stamp, sums = _moment(project), []
    with atomic_writer(target) as stream, zipfile.ZipFile(stream, "w", zipfile.ZIP_STORED) as archive:

        def add(name: str, content: bytes) -> None:
            entry = zipfile.ZipInfo(f"{folder}/{name}", stamp)
            entry.create_system = 3  # Unix, wherever it is made
            entry.external_attr = (0o100755 if content.startswith(b"#!") else 0o100644) << 16
            archive.writestr(entry, content)

        for name, source in sorted(members.items()):
            content = source if isinstance(source, bytes) else source.read_bytes()
            if found := machine_path(content, project):
                raise UserError(f"{name} names the folder {found} of this machine; nothing absolute may be handed in")
            sums.append(f"{hashlib.sha256(content).hexdigest()}  {name}\n")
            add(name, content)
        add("SHA256SUMS", "".join(sums).encode("utf-8"))
    return target


def project_files(project: Path = PROJECT, light: bool = False) -> Iterator[tuple[str, Path]]:
    """Path inside the project and file of everything that is handed in, sorted.

    By a list of names, not by git: a hand-in that was unpacked can be handed in again.
    """
    for part in PARTS:
        top = project / part
        if not top.exists():
            raise UserError(f"{part} is missing in {project}; restore it before handing in")
        for path in [top] if top.is_file() else sorted(top.rglob("*")):
            inner = path.relative_to(project)
            made = inner.parts[0] == "cache" and (inner.parts[1] == "checkpoints" or inner.parts[2:3] == ("smoke",))
            if not path.is_file() or made or any(_LEFT.fullmatch(step) or is_system_file(step) for step in inner.parts):
                continue
            if not (light and inner.parts[0] == "cache" and path.name not in LIGHT):
                yield inner.as_posix(), path


def with_front(text: str, values: Mapping[str, str | bool]) -> str:
    """The document ``text`` with ``values`` in its front matter, the rest of it as it was."""
    front = FRONT_MATTER.match(text)
    head, own = (front["head"], front["yaml"]) if front else ("---\n", "")
    rest = text[front.end("yaml") :] if front else f"---\n\n{text}"
    for key, value in values.items():
        line = f"{key}: {json.dumps(value, ensure_ascii=False)}\n"
        old = re.compile(rf"^{key}[ \t]*:.*\n(?:[ \t]+.*\n|- .*\n)*", re.MULTILINE)
        own, done = old.subn(lambda _: line, own, count=1)
        own = own if done else line + own
    text = head + own + rest
    found = split_front_matter(text, SOURCE)[0]
    if wrong := [key for key, value in values.items() if found.get(key) != value]:
        raise UserError(f"{SOURCE}: cannot set {', '.join(wrong)} in the front matter; write each on one line there")
    return text


def machine_path(content: bytes, project: Path = PROJECT) -> str | None:
    """The project's folder or the user's home, if ``content`` names one of them."""
    for folder in (str(project), os.path.expanduser("~")):
        if len(folder) > 1 and re.search(re.escape(os.fsencode(folder)) + rb"(?![\w.-])", content):
            return folder
    return None


def _person(given: str | None, own: Mapping[str, object], key: str) -> str:
    """What was given, else the front matter's; ``UserError`` where both are missing or it is more than a line of text."""
    what, placeholder = FIELDS[key]
    value = given or own.get(key, "")
    if isinstance(value, (bool, list, dict)):
        raise UserError(f"{SOURCE}: write {key}: as one text in quotes")
    value = "" if value is None else str(value)
    value = unicodedata.normalize("NFC", " ".join(shown(value).split(" ")).strip())
    if not value or value == placeholder:
        raise UserError(f'the {what} is missing: make submission STUDENT="…" ID="…", or write {key}: in {SOURCE}')
    if "\ufffd" in value:
        way_out = f"set the terminal to UTF-8, or write {key}: in {SOURCE}"
        raise UserError(f"the {what} is not UTF-8 ({value[:40]}); {way_out}")
    if not value.replace("\u200c", "").isprintable() or len(value) > 100:  # the half-space is no printable character
        raise UserError(f"the {what} must be one line of at most 100 printable characters, not {value[:40]!r}")
    return value


def _file_name(number: str) -> str:
    """``number`` as part of a file name, on any system: letters, digits, ``-`` and ``_``."""
    name = re.sub(r"[^\w-]+", "-", number).strip("-_")
    while len(name.encode("utf-8")) > 200:  # a file name has 255 bytes
        name = name[:-1]
    if not name:
        raise UserError(f"the student number {number!r} has no letter or digit")
    return name


def _moment(project: Path) -> tuple[int, int, int, int, int, int]:
    """The time that every member of the zip carries, in UTC and within what a zip can say."""
    stamp = os.environ.get("SOURCE_DATE_EPOCH", "")
    if not stamp:
        try:
            asked = ["git", "-C", str(project), "log", "-1", "--format=%ct"]
            stamp = subprocess.run(asked, capture_output=True, text=True, timeout=10).stdout.strip()
        except (OSError, subprocess.TimeoutExpired):
            stamp = ""
    if not re.fullmatch(r"\d{1,11}", stamp):
        stamp = "315532800"  # 1980, the first year of a zip
    return time.gmtime(min(max(int(stamp), 315532800), 4354819199))[:6]
