"""The hand-in: named, complete, nothing of this machine in it, the same bytes from the same rendering."""

from __future__ import annotations

import hashlib
import html
import os
import re
import shutil
import stat
import subprocess
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest

from genmodels.__main__ import main
from genmodels.errors import CheckFailed, UserError
from genmodels.render import document as rendering
from genmodels.render import handed, reuse, submission, verdict
from genmodels.render.qmd import Part, split_front_matter
from genmodels.system import files

ROOT = Path(__file__).resolve().parents[1]
NAME, NUMBER = "زهرا نمونه‌پور", "۴۰۱۲۳۴۵"
DOCUMENT = '---\ntitle: "گزارش"\nauthor: "نام دانشجو"\nstudent-id: "شمارهٔ دانشجویی"\n---\n\n# بخش\n\nمتن\n\n```{python}\n#| label: a\n1\n```\n'


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A small project with every part, under a path with spaces and Persian letters; its chunk is not really run."""
    folder = tmp_path / "پوشهٔ تکلیف (نهایی)"
    for part in handed.PARTS:
        if (ROOT / part).is_dir():
            (folder / part).mkdir(parents=True)
        elif part not in ("_quarto.yml", handed.SOURCE):
            files.write_text(folder / part, f"{part}\n")
    config = (ROOT / "_quarto.yml").read_text("utf-8").replace("bibliography: references.bib\n", "")
    files.write_text(folder / "_quarto.yml", config)
    files.write_text(folder / handed.SOURCE, DOCUMENT)
    files.write_text(folder / ".ci" / "run", "#!/bin/sh\n")
    files.write_text(folder / "code" / "genmodels" / "a.py", "x = 1\n")
    (folder / "assets").rmdir()
    shutil.copytree(ROOT / "assets", folder / "assets")
    for name in ("metrics.json", "weights.safetensors"):
        files.write_text(folder / "cache" / "toy" / "full" / name, name)
    payload = {"payload": {"metrics.json": "", "weights.safetensors": ""}}
    files.write_json(folder / "cache" / "toy" / "full" / "manifest.json", payload)
    for made in ("cache/toy/smoke/metrics.json", "cache/checkpoints/toy.pt", "code/genmodels/__pycache__/a.pyc",
                 "cache/toy/.full.lock", "tests/.DS_Store", "code/genmodels.egg-info/PKG-INFO", "cache/toy/full/Thumbs.db",
                 "assets/__MACOSX/a", "docs/desktop.ini", "assets/fonts/._a", "code/.ipynb_checkpoints/a.py"):  # fmt: skip
        files.write_text(folder / made, "made-by-a-run")

    def execute(parts: list[Part], *rest: object) -> None:
        for part in parts:
            part.outputs = []
        files.write_json(Path(rest[-1][verdict.VARIABLE]), {"checks": 1, "failed": [], "unchecked": [], "outcomes": []})  # type: ignore[index]

    monkeypatch.setattr(rendering, "execute", execute)
    monkeypatch.setenv("GENMODELS_CACHE", str(folder / "cache"))
    monkeypatch.delenv("SOURCE_DATE_EPOCH", raising=False)
    return folder


def contents(path: Path) -> dict[str, bytes]:
    """Member name without its first folder -> bytes; nothing may lie outside that folder."""
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None
        assert all(
            name.startswith(f"{path.stem}/") and ".." not in name and "\\" not in name for name in archive.namelist()
        )
        return {name.removeprefix(f"{path.stem}/"): archive.read(name) for name in archive.namelist()}


def test_a_hand_in_has_everything_once_and_its_sums(project: Path) -> None:
    path = submission.submit(NAME, NUMBER, project=project)
    assert path == project / "_output" / f"submission-{NUMBER}.zip"
    found = contents(path)
    assert {
        "report.pdf",
        "report.html",
        "rubric.json",
        "SHA256SUMS",
        "project/cache/toy/full/manifest.json",
    } <= set(found)
    there = {name.split("/")[1] for name in found if name.startswith("project/")}
    assert there == {*handed.PARTS, handed.NAME} - {"benchmarks", "docs", "tests"}
    assert not any("weights" in name for name in found)
    assert not any(b"made-by-a-run" in content for content in found.values())
    sums = dict(reversed(line.split("  ", 1)) for line in found["SHA256SUMS"].decode().splitlines())
    assert sums == {
        name: hashlib.sha256(content).hexdigest() for name, content in found.items() if name != "SHA256SUMS"
    }
    front = split_front_matter(found["project/report.qmd"].decode(), "report.qmd")[0]
    assert (front["author"], front["student-id"]) == (NAME, NUMBER) and found["report.pdf"].startswith(b"%PDF")
    assert NAME in found["report.html"].decode() and f"({NUMBER})" in found["report.html"].decode()
    assert (project / handed.SOURCE).read_text("utf-8") == DOCUMENT  # the author's own file is left alone


def test_nothing_of_this_machine_is_inside(project: Path) -> None:
    path = submission.submit(NAME, NUMBER, project=project)
    for name, content in contents(path).items():
        for folder in (project, Path.home(), ROOT):
            assert submission.machine_path(content, folder) is None, f"{name} names {folder}"
    if shutil.which("pdftotext"):
        text = subprocess.run(
            ["pdftotext", project / "_output" / path.stem / "report.pdf", "-"], capture_output=True
        ).stdout
        assert text and submission.machine_path(text, project) is None
    files.write_text(project / "docs" / "note.md", f"see {project}/data")
    path.unlink()
    with pytest.raises(UserError, match="project/docs/note.md names the folder .*nothing absolute"):
        submission.submit(NAME, NUMBER, project=project)
    assert not path.exists() and not list(path.parent.glob(".*.tmp"))


def test_the_project_itself_names_no_folder_of_this_machine() -> None:
    inside = list(handed.project_files(ROOT))
    assert [name for name, path in inside if submission.machine_path(path.read_bytes(), ROOT)] == []


def test_the_list_of_parts_is_what_git_keeps() -> None:
    if not (ROOT / ".git").exists() or shutil.which("git") is None:
        pytest.skip("no git checkout")
    done = subprocess.run(
        ["git", "-C", ROOT, "ls-files", "-z", "--cached", "--others", "--exclude-standard"], capture_output=True
    )
    kept = {name for name in done.stdout.decode().split("\0") if name and (ROOT / name).is_file()}
    assert kept ^ {name for name, _ in handed.project_files(ROOT)} == set()


def test_the_same_rendering_gives_the_same_bytes(
    project: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Again, in another folder, with other file times and rights, under another umask and locale: not one byte moves."""
    ended = reuse.Execution.ended("{}", 1.0)
    monkeypatch.setattr(reuse.Execution, "ended", lambda verdict, seconds: replace(ended, verdict=verdict))
    first = submission.submit(NAME, NUMBER, project=project).read_bytes()
    for path in project.rglob("*"):
        if path.is_file():
            os.utime(path, (1e9, 1e9))
            path.chmod(0o600)
    other = tmp_path / "b"
    shutil.copytree(project, other)
    monkeypatch.setenv("GENMODELS_CACHE", str(other / "cache"))
    monkeypatch.setenv("LC_ALL", "C")
    before = os.umask(0o077)
    try:
        again = submission.submit(NAME, NUMBER, output=tmp_path / "elsewhere", project=other)
    finally:
        os.umask(before)
    assert again.read_bytes() == first
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
    with zipfile.ZipFile(submission.submit(NAME, NUMBER, project=other)) as archive:
        members = archive.infolist()
    assert {member.date_time for member in members} == {(2023, 11, 14, 22, 13, 20)}
    names = [member.filename for member in members]
    assert names[:-1] == sorted(names[:-1]) and all(member.compress_type == zipfile.ZIP_DEFLATED for member in members)
    rights = {member.filename.split("/", 1)[1]: stat.S_IMODE(member.external_attr >> 16) for member in members}
    assert rights["project/.ci/run"] == 0o755 and rights["report.pdf"] == 0o644


def test_weights_go_along_where_they_are_asked_for(project: Path) -> None:
    found = contents(submission.submit(NAME, NUMBER, weights=True, project=project))
    assert found["project/cache/toy/full/weights.safetensors"] == b"weights.safetensors"
    assert f"project/{handed.NAME}" not in found
    (project / "cache" / "toy" / "full" / "weights.safetensors").unlink()
    with pytest.raises(UserError, match="the weights of toy are not here; hand in without weights, or train them"):
        submission.submit(NAME, NUMBER, weights=True, project=project)


def test_a_hand_in_without_weights_shows_its_execution_and_no_other(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def execute(parts: list[Part], *rest: object) -> None:
        for part in parts:
            part.outputs = [{"output_type": "stream", "name": "stdout", "text": "shown once"}] * (part.kind == "chunk")
        files.write_json(Path(rest[-1][verdict.VARIABLE]), {"checks": 1, "failed": [], "unchecked": [], "outcomes": []})  # type: ignore[index]

    monkeypatch.setattr(rendering, "execute", execute)
    path = submission.submit(NAME, NUMBER, project=project)
    there = tmp_path / "grader"
    with zipfile.ZipFile(path) as archive:
        archive.extractall(there)
    unpacked = there / path.stem / "project"
    for empty in ("benchmarks", "docs", "tests"):  # only here: a zip of files has no empty folders
        (unpacked / empty).mkdir()
    monkeypatch.setenv("GENMODELS_CACHE", str(unpacked / "cache"))
    monkeypatch.setattr(rendering, "execute", lambda *_: pytest.fail("it executes without the weights"))
    capsys.readouterr()
    pages = rendering.render(unpacked, output_dir=there / "out", reuse_from=there / "out" / reuse.KEPT)
    assert "this hand-in came without the weights of toy: nothing is executed" in capsys.readouterr().err
    assert {page.suffix[1:]: page.read_bytes() for page in pages} == {
        kind: contents(path)[f"report.{kind}"] for kind in ("html", "pdf")
    }
    assert "shown once" in pages[0].read_text("utf-8")
    again = submission.submit(project=unpacked, output=there / "out")  # an unpacked one is handed in again, the same
    assert contents(again) == contents(path)

    document = (unpacked / handed.SOURCE).read_text("utf-8")
    files.write_text(unpacked / handed.SOURCE, document.replace("متن", "جمله"))
    assert "<p>جمله" in rendering.render(unpacked, ("html",))[0].read_text("utf-8")  # prose may change
    changes = {"code/genmodels/a.py": "x = 2\n", handed.SOURCE: document.replace("\n1\n", "\n2\n"),
               "cache/toy/full/metrics.json": "{}", "code/genmodels/b.py": ""}  # fmt: skip
    for name, changed in changes.items():
        before = (unpacked / name).read_text("utf-8") if (unpacked / name).exists() else None
        files.write_text(unpacked / name, changed)
        with pytest.raises(
            UserError, match="came without the weights of toy; .* has changed .* WITH_WEIGHTS=1"
        ) as error:
            rendering.render(unpacked, ("html",))
        assert "\n" not in str(error.value)
        (unpacked / name).unlink() if before is None else files.write_text(unpacked / name, before)
    files.write_text(unpacked / "cache" / "toy" / "full" / "weights.safetensors", "they came by another way")
    with pytest.raises(pytest.fail.Exception, match="it executes"):
        rendering.render(unpacked, ("html",))


def test_a_profile_is_handed_in_alone_and_shown_there(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("manifest.json", "metrics.json", "weights.safetensors"):
        files.write_bytes(
            project / "cache/toy/evening" / name, (project / "cache/toy/full" / name).read_bytes().replace(b"m", b"m ")
        )
    files.write_text(project / "cache/timed/full/metrics.json", "{}")  # of it there is no other
    files.write_json(project / "cache/toy/evening/manifest.json", {"payload": {"weights.safetensors": ""}})
    monkeypatch.setenv("GENMODELS_PROFILE", "evening")
    path = submission.submit(NAME, NUMBER, project=project)
    found = contents(path)
    results = {name for name in found if name.startswith("project/cache/")}
    assert results == {f"project/cache/{name}" for name in
                       ("toy/evening/manifest.json", "toy/evening/metrics.json", "timed/full/metrics.json")}  # fmt: skip
    assert found["project/_environment"].decode().endswith("GENMODELS_PROFILE=evening\n")
    monkeypatch.delenv("GENMODELS_PROFILE")
    with zipfile.ZipFile(path) as archive:
        archive.extractall(tmp_path / "grader")
    unpacked = tmp_path / "grader" / path.stem / "project"
    monkeypatch.setenv("GENMODELS_CACHE", str(unpacked / "cache"))
    monkeypatch.setattr(rendering, "execute", lambda *_: pytest.fail("it executes without the weights"))
    (page,) = rendering.render(unpacked, ("html",))
    assert page.read_bytes() == found["report.html"]
    assert "came without the weights of toy" in capsys.readouterr().err


def test_results_of_another_folder_are_not_handed_in(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GENMODELS_CACHE", str(project / "elsewhere"))
    with pytest.raises(UserError, match="GENMODELS_CACHE names another folder than cache/"):
        submission.submit(NAME, NUMBER, project=project)


@pytest.mark.parametrize(
    ("student", "number", "complaint"),
    [
        (None, None, "the name of the student is missing"), ("الف", "", "the student number is missing"),
        ("  ", "1", "the name of the student is missing"), ("نام دانشجو", "1", "the name of the student is missing"),
        ("الف\nب", "1", "one line of at most 100"), ("x" * 101, "1", "one line of at most 100"),
        ("الف", "../..", "no letter or digit"), ("الف", "\x1b[1m", "one line of at most 100"),
        ("علی 🎓 中文", "1", r"no font of the report has 中 \(U\+4E2D\), 文 \(U\+6587\), 🎓 \(U\+1F393\) in author:"),
        ("علی", "١②", r"no font .* ② .* in student-id:"), ("กา", "1", "no font of the report has"), ("ק", "1", "no font of the report has"),
        ("ع\udcffلی", "1", "the name of the student is not UTF-8"), ("\ud800", "1", "one line of at most 100|not UTF-8|no font"),
    ],
)  # fmt: skip
def test_a_missing_or_impossible_name_is_one_clear_line(
    project: Path, student: str, number: str, complaint: str
) -> None:
    with pytest.raises(UserError, match=complaint) as error:
        submission.submit(student, number, project=project)
    assert "\n" not in str(error.value) and not (project / "_output").exists()


def test_a_number_that_yaml_would_read_is_asked_for_in_quotes(project: Path) -> None:
    """04012345 is octal in YAML: the report would carry another number, and the hand-in too."""
    for number in ("04012345", "98_12", "12:30:45", "1.10", "4e5", "0x1f", "1234567890123456", "yes", "2024-13-45"):
        (project / "report.qmd").write_text(DOCUMENT.replace('"شمارهٔ دانشجویی"', number), "utf-8")
        for make in (
            lambda: submission.submit("الف", None, project=project),
            lambda: rendering.render(project, ("html",)),
        ):
            with pytest.raises(
                UserError, match="report.qmd, line 4: write student-id: as .*one text in quotes"
            ) as error:
                make()
            assert "\n" not in str(error.value)
    assert not (project / "_output").exists()
    (project / "report.qmd").write_text("\ufeff\n \n" + DOCUMENT.replace('"شمارهٔ دانشجویی"', "4012345"), "utf-8")
    path = submission.submit("الف", None, project=project)
    assert path.name == "submission-4012345.zip" and "(۴۰۱۲۳۴۵)" in contents(path)["report.html"].decode()
    assert "(۴۰۱۲۳۴۵)" in rendering.render(project, ("html",))[0].read_text("utf-8")
    assert submission.submit("الف", "۹" * 100, project=project).stat().st_size  # a file's name has 255 bytes at most


def test_names_and_numbers_are_not_made_smart(project: Path) -> None:
    """Given on the command line or written in the front matter: hyphens, dots and quotes as they are, and no list."""
    for name, number in (('O\'Brien "X"', "4--5"), ("1. Author", "..7...8"), ("- x & y", "---9")):
        page = contents(submission.submit(name, number, project=project))["report.html"].decode()
        shown = html.unescape(re.sub("<[^>]+>", "", re.search('<p class="authors">(.*?)</p>', page, re.DOTALL)[1]))
        assert shown.translate(str.maketrans("۰۱۲۳۴۵۶۷۸۹", "0123456789")).split(" (") == [name, f"{number})"]
        files.write_text(
            project / handed.SOURCE,
            DOCUMENT.replace("نام دانشجو", name.replace('"', '\\"')).replace("شمارهٔ دانشجویی", number),
        )
        again = contents(submission.submit(project=project))["report.html"].decode()
        assert again == page == rendering.render(project, ("html",))[0].read_text("utf-8")
        files.write_text(project / handed.SOURCE, DOCUMENT)


@pytest.mark.parametrize("head", ["author : a\n", "author: >\n  a\n  b\n", "author:\n- a\n- b\n", ""])
def test_a_name_takes_the_place_of_whatever_stood_there(head: str) -> None:
    text = submission.with_front(f"\n---\ntitle: x\n{head}---\n\nauthor: متن\n", {"author": NAME})
    own, body, _ = split_front_matter(text, "a")
    assert own == {"title": "x", "author": NAME} and body == "\nauthor: متن\n"
    assert split_front_matter(submission.with_front("متن\n", {"author": NAME}), "a")[0] == {"author": NAME}


def test_statements_of_the_student_stay(project: Path) -> None:
    told = "collaborators:\n- الف\n- ب\nai-statement: |\n  یاری گرفته‌ام:\n  از دو ابزار\n"
    files.write_text(project / handed.SOURCE, DOCUMENT.replace("---\n\n#", f"{told}---\n\n#"))
    front = split_front_matter(
        contents(submission.submit(NAME, NUMBER, project=project))["project/report.qmd"].decode(), ""
    )[0]
    assert (front["author"], front["collaborators"]) == (NAME, ["الف", "ب"]) and front["ai-statement"].endswith(
        "دو ابزار\n"
    )


def test_the_command_line_says_it_in_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["submission", "--student", "", "--id", ""]) == 2
    error = capsys.readouterr().err
    assert (
        error.startswith("error: the name of the student is missing: make submission STUDENT=")
        and error.count("\n") == 1
    )


def test_odd_names_stay_what_they_are_and_in_their_folder(project: Path) -> None:
    name, number = 'A/B <b>*x*</b> $y$ "O\'Brien" `z` #1 @fig-a', "../۹۹/4 5"
    path = submission.submit(name, number, project=project)
    assert path.parent == project / "_output" and path.name == "submission-۹۹-4-5.zip"
    page = contents(path)["report.html"].decode()
    assert "A/B &lt;b&gt;*x*&lt;/b&gt; $y$" in page and "`z`" in page and "<b>*x*" not in page
    again = contents(path)["project/report.qmd"].decode()
    assert split_front_matter(again, "")[0]["author"] == submission._MARKDOWN.sub(r"\\\1", name)


def test_names_of_the_front_matter_serve_where_none_is_given(project: Path) -> None:
    files.write_text(project / handed.SOURCE, submission.with_front(DOCUMENT, {"author": NAME, "student-id": NUMBER}))
    assert submission.submit(project=project).stem == f"submission-{NUMBER}"


def test_a_failed_check_hands_nothing_in(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def execute(parts: list[Part], *rest: object) -> None:
        files.write_json(
            Path(rest[-1][verdict.VARIABLE]), {"checks": 1, "failed": ["masks"], "unchecked": [], "outcomes": []}
        )  # type: ignore[index]

    monkeypatch.setattr(rendering, "execute", execute)
    with pytest.raises(CheckFailed, match="masks"):
        submission.submit(NAME, NUMBER, project=project)
    assert not list((project / "_output").glob("*.zip"))


def test_a_document_with_marked_sentences_may_be_handed_in(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def execute(parts: list[Part], *rest: object) -> None:
        found = {"checks": 1, "failed": [], "outcomes": [], "claims": ["leak: ب"], "dead": []}
        files.write_json(Path(rest[-1][verdict.VARIABLE]), found)  # type: ignore[index]

    monkeypatch.setattr(rendering, "execute", execute)
    assert submission.submit(NAME, NUMBER, project=project).is_file()
    assert "warning: 1 sentences do not fit these results" in capsys.readouterr().err


def test_the_report_still_has_the_placeholders_that_are_refused() -> None:
    front = split_front_matter((ROOT / handed.SOURCE).read_text("utf-8"), handed.SOURCE)[0]
    assert [front[key] for key in submission.FIELDS] == [placeholder for _, placeholder in submission.FIELDS.values()]


def test_what_make_showed_is_handed_in_whatever_died_in_it(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ran = []

    def execute(parts: list[Part], *rest: object) -> None:
        ran.append(1)
        for part in parts:
            part.outputs, part.died = ([], "") if part.kind == "markdown" else ([{"output_type": "error"}], f"no {ran}")

    monkeypatch.setattr(rendering, "execute", execute)
    kept = project / "_output" / reuse.KEPT
    for _ in range(2):  # what died is run again by `make`: for want of room, perhaps
        rendering.render(project, ("html",), reuse_from=kept)
    page = contents(submission.submit(NAME, NUMBER, project=project))["report.html"].decode()
    assert len(ran) == 2 and "no [1, 1]" in page


def test_one_execution_serves_the_report_and_every_hand_in(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rendering.render(project, output_dir=project / "_output", reuse_from=project / "_output" / reuse.KEPT)
    monkeypatch.setattr(rendering, "execute", lambda *_: pytest.fail("it executes again"))
    submission.submit(NAME, NUMBER, project=project)


def test_the_execution_that_goes_along_has_no_models_in_it(tmp_path: Path) -> None:
    page = [[{"data": {"text/markdown": '<script type="application/json" id="data-writers">{}</script>'}}], 1.0, ""]
    kept = {"parts": [page, [[{"data": {"text/plain": "1"}}], 2.0, ""]], "chunks": "abc"}
    files.write_json(tmp_path / "last.json", kept)
    found = reuse.under(tmp_path / "last.json", lambda chunks: f"key of {chunks}", handed.MODELS)
    assert found["key"] == "key of abc" and found["parts"] == [[[], 1.0, ""], kept["parts"][1]]
