"""A hand-in as one zip: the report as PDF and HTML with name and number, and the project that makes it again.

Layout of ``submission-<number>.zip``, all below a folder of that name::

    report.pdf  report.html  rubric.json      what was rendered, and the verdict of its checks
    project/                                  what a fresh ``make`` needs: document, package, assets, shipped results with
                                              their manifests, tests, benchmarks; weights where asked, else the kept
                                              execution, which shows the same document without them (``handed``)
    SHA256SUMS                                digest of every file above, for ``sha256sum -c``

The document in ``project/`` carries the same name and number in its front matter: rendering it there gives the same
title page. The tests go along because they are the proofs that the report speaks of.

*What is reproducible.* The zip is a function of the files in it: names sorted, one time for all (``SOURCE_DATE_EPOCH``,
else that of the last commit, else 1980), fixed permissions; another version of zlib packs the same contents into other
bytes. PDF and HTML are functions of the executed document. Two executions differ in the times that the report measures
(question 2.6) and the verdict's seconds; one execution, the one that ``make`` kept and showed (``reuse``), gives the same
zip as often as it is asked.
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
from collections.abc import Mapping
from pathlib import Path

from genmodels.errors import ClaimsUnmet, UserError
from genmodels.render import handed, reuse, verdict
from genmodels.render.document import render
from genmodels.render.execution import environment_file
from genmodels.render.handed import SOURCE
from genmodels.render.qmd import FRONT_MATTER, split_front_matter
from genmodels.system.files import atomic_writer, read_text, shown, write_json
from genmodels.system.places import FULL, PROJECT, cache_folder, output_folder

# Front matter key -> (what a person calls it, the document's own placeholder).
FIELDS = {"author": ("name of the student", "نام دانشجو"), "student-id": ("student number", "شمارهٔ دانشجویی")}
# Quotes, -- and ... for Pandoc's "smart".
_MARKDOWN = re.compile(r"([\\`*_{}\[\]<>$@^~|#&'\"]|-(?=-)|(?<=-)-|\.(?=\.)|(?<=\.)\.)")


def submit(
    student: str | None = None,
    number: str | None = None,
    output: Path | None = None,
    weights: bool = False,
    fresh: bool = False,
    quarto: bool = False,
    light: bool = False,
    project: Path = PROJECT,
) -> Path:
    """Render the report for ``student`` with ``number`` and pack the hand-in into the folder ``output``; the zip's path.

    What is not given comes from the document's front matter. Without ``weights`` the execution goes along instead
    (``handed``). Raises ``UserError`` where a name or number is missing or cannot stand on a title page, and where a check
    of the document fails: no zip is written then.
    ``quarto``: by Quarto, as ``make`` where it is. ``light``: a page without its models. Sentences that do not
    fit the results are marked in the document; they are told on stderr and hinder nothing.
    """
    text = read_text(project / SOURCE)
    own = split_front_matter(text, SOURCE)[0]
    _check_results(project, weights)
    who = {key: _person(given, own, key) for key, given in zip(FIELDS, (student, number))}
    name = f"submission-{_file_name(who['student-id'])}"
    # What is given is meant letter by letter; in the front matter a name is Markdown, and stays what `make` shows.
    given = dict(zip(FIELDS, (student, number)))
    front: dict[str, str | bool] = {
        key: _MARKDOWN.sub(r"\\\1", value) if given[key] else value for key, value in who.items()
    }
    front |= {"live": False} if light else {}  # the models inside the page are weights, too
    output = Path(output) if output else project / "_output"
    profile = handed.profile(project)
    kept = output_folder(profile, project) / reuse.KEPT  # where ``make`` kept it
    place = output / name
    if fresh:
        kept.unlink(missing_ok=True)
    pages = render(project, output_dir=place, source=SOURCE, front=front, reuse_from=kept, as_shown=True, quarto=quarto)
    try:
        verdict.judge(place / verdict.NAME)
    except ClaimsUnmet as told:  # the document marks them: it may be handed in
        print(f"warning: {told}", file=sys.stderr)
    members: dict[str, bytes | Path] = {path.name: path for path in (*pages, place / verdict.NAME)}
    members |= {f"project/{inner}": path for inner, path in handed.project_files(project, weights)}
    members[f"project/{SOURCE}"] = with_front(text, front).encode("utf-8")
    if profile != FULL:  # so that ``make`` shows the same results there
        told = environment_file(project) | {handed.PROFILE: profile}
        members["project/_environment"] = "".join(f"{key}={value}\n" for key, value in told.items()).encode("utf-8")
    if not weights:
        members[f"project/{handed.NAME}"] = _execution(project, kept, place / handed.NAME)
    return pack(output / f"{name}.zip", name, members, project)


def _check_results(project: Path, weights: bool) -> None:
    """``UserError`` where the results in the zip would not be those that the document shows, or would lack weights."""
    if cache_folder().resolve() != (project / "cache").resolve():
        raise UserError("GENMODELS_CACHE names another folder than cache/, which is handed in; move the results there")
    if weights and (absent := handed.without_weights()):
        raise UserError(f"the weights of {', '.join(absent)} are not here; hand in without weights, or train them")


def _execution(project: Path, kept: Path, target: Path) -> Path:
    """Write what the document was made from to ``target``, to be shown where the weights are not."""
    came = project / handed.NAME if handed.came_without(project) else kept
    if not came.is_file():
        raise UserError("something changed while the document was executed; hand in again")
    write_json(target, reuse.under(came, lambda chunks: handed.key(chunks, project), handed.MODELS))
    return target


def pack(target: Path, folder: str, members: Mapping[str, bytes | Path], project: Path = PROJECT) -> Path:
    """Write ``members`` (name inside ``folder`` -> its bytes or its file) and their SHA256SUMS to the zip ``target``.

    Equal members give equal bytes. Raises ``UserError`` where a member names a folder of this machine.
    """
    stamp, sums = _moment(project), []
    with atomic_writer(target) as stream, zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:

        def add(name: str, content: bytes) -> None:
            entry = zipfile.ZipInfo(f"{folder}/{name}", stamp)
            entry.compress_type = zipfile.ZIP_DEFLATED
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
