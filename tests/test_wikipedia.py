"""The raw corpus: splits, every way a file can be bad (one line each), and fetching with nothing half-written."""

import gzip
import io
import json
import os
import stat
import sys
import types
import zipfile

import pytest

from genmodels.data import fetch_wikipedia, wikipedia
from genmodels.errors import DataError, UserError

REAL_DATA = os.environ.get("GENMODELS_DATA")  # before the fixture hides it


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch, tmp_path):
    for name in ("GENMODELS_DATA", "KAGGLE_USERNAME", "KAGGLE_KEY", "KAGGLE_API_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("KAGGLE_CONFIG_DIR", str(tmp_path / "kaggle"))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))


def write_text(folder, paragraphs=300, name=wikipedia.KAGGLE_FILE):
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    path.write_text("\n\n".join(f"بند شمارهٔ {i} است." for i in range(paragraphs)) + "\n", encoding="utf-8")
    return path


def write_json(folder, records, name="fawiki_docs.jsonl.gz"):
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    path.write_bytes(gzip.compress("\n".join(r if isinstance(r, str) else json.dumps(r) for r in records).encode()))
    return path


RECORDS = [{"split": s, "title": s, "paragraphs": ["یک", "دو"]} for s in ("train", "validation", "test")]


def one_line(error) -> str:
    text = str(error.value)
    assert "\n" not in text
    return text


def test_pseudo_documents_are_contiguous_and_complete(tmp_path):
    corpus = wikipedia.load(write_text(tmp_path, 5000).parent)
    splits = [d.split for d in corpus.documents]
    assert splits == sorted(splits, key=wikipedia.SPLITS.index)
    assert [p for d in corpus.documents for p in d.paragraphs] == [f"بند شمارهٔ {i} است." for i in range(5000)]
    assert {len(d.paragraphs) for d in corpus.documents} == {20}
    assert splits.count("train") / len(splits) == pytest.approx(0.96)
    assert splits.count("validation") == splits.count("test") == 5
    assert corpus.paragraphs == 5000 and corpus.bytes == (tmp_path / wikipedia.KAGGLE_FILE).stat().st_size


def test_short_text_still_has_all_splits(tmp_path):
    corpus = wikipedia.load(write_text(tmp_path, 3).parent)
    assert [d.split for d in corpus.documents] == list(wikipedia.SPLITS)
    write_text(tmp_path, 2)
    with pytest.raises(DataError, match="has no train"):
        wikipedia.load(tmp_path)


def test_json_keeps_its_own_splits_and_the_kaggle_file_comes_first(tmp_path):
    write_json(tmp_path / "fawiki", RECORDS)
    corpus = wikipedia.load(tmp_path)
    assert [(d.split, d.title, d.paragraphs) for d in corpus.documents] == [
        (s, s, ("یک", "دو")) for s in wikipedia.SPLITS
    ]
    write_text(tmp_path / "wikipedia")
    assert wikipedia.load(tmp_path).name == wikipedia.KAGGLE_FILE


def test_lines_of_one_block_and_a_byte_order_mark(tmp_path):
    path = tmp_path / wikipedia.KAGGLE_FILE
    path.write_bytes("\ufeffیک\r\nدو\r\n \r\nسه\n\n\n\nچهار".encode())
    assert [p for d in wikipedia.load(tmp_path).documents for p in d.paragraphs] == ["یک دو", "سه", "چهار"]


def test_missing_file_names_the_ways_out(tmp_path):
    with pytest.raises(DataError) as error:
        wikipedia.load(tmp_path)
    text = one_line(error)
    assert all(way in text for way in ("kaggle datasets download", "--from", "GENMODELS_DATA", str(tmp_path)))


def test_not_utf8_says_the_byte(tmp_path):
    good = "سلام دنیا\n\n".encode()
    (tmp_path / wikipedia.KAGGLE_FILE).write_bytes(good * 3 + b"abc\xff\xfe")
    with pytest.raises(DataError, match=f"not UTF-8 at byte {3 * len(good) + 3}") as error:
        wikipedia.load(tmp_path)
    one_line(error)


def test_a_huge_line_is_an_error_and_no_flood(tmp_path):
    """50 MB without a line end: one clear error after the first megabyte, in the memory of one megabyte."""
    import tracemalloc

    path = tmp_path / wikipedia.KAGGLE_FILE
    path.write_bytes("سلام دنیا\n\n".encode() + b"abcdefghi " * 5_000_000)
    tracemalloc.start()
    with pytest.raises(DataError, match="line 3 .*longer than 1,048,576 bytes.*empty line") as error:
        wikipedia.load(tmp_path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    one_line(error)
    assert peak < 10e6


def test_lines_without_empty_ones_between_are_an_error(tmp_path):
    (tmp_path / wikipedia.KAGGLE_FILE).write_text("یک سطر از متنی بی سطر خالی\n" * 60_000, encoding="utf-8")
    with pytest.raises(DataError, match="separate paragraphs by empty lines") as error:
        wikipedia.load(tmp_path)
    one_line(error)


def test_a_huge_paragraph_in_json(tmp_path):
    write_json(tmp_path, [*RECORDS, {"split": "train", "paragraphs": ["ا" * 2_000_000]}])
    with pytest.raises(DataError, match="line 4 has a paragraph of 2,000,000 characters"):
        wikipedia.load(tmp_path)


def test_the_stream_gives_one_split_at_a_time(tmp_path):
    corpus = wikipedia.load(write_text(tmp_path, 500).parent)
    parts = {split: list(corpus.stream(split)) for split in wikipedia.SPLITS}
    assert [d for split in wikipedia.SPLITS for d in parts[split]] == corpus.documents
    assert corpus.sizes == {split: len(part) for split, part in parts.items()}


@pytest.mark.parametrize("content", [b"", b"\n \n\n"])
def test_empty_text(tmp_path, content):
    (tmp_path / wikipedia.KAGGLE_FILE).write_bytes(content)
    with pytest.raises(DataError, match="holds no text"):
        wikipedia.load(tmp_path)


def test_truncated_gzip(tmp_path):
    path = write_json(tmp_path, RECORDS * 200)
    path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(DataError, match="truncated gzip") as error:
        wikipedia.load(tmp_path)
    one_line(error)
    path.write_bytes(b"plain text, not gzip")
    with pytest.raises(DataError, match="gzip"):
        wikipedia.load(tmp_path)


@pytest.mark.parametrize(
    "line",
    [
        '{"split": "train", ',
        '{"split": "dev", "paragraphs": ["یک"]}',
        '{"title": "x"}',
        "[1]",
        '{"split": "test", "paragraphs": [1]}',
        '{"split": "test", "paragraphs": "یک"}',
    ],
)
def test_broken_json_line_is_named(tmp_path, line):
    write_json(tmp_path, [*RECORDS, line])
    with pytest.raises(DataError, match="line 4") as error:
        wikipedia.load(tmp_path)
    one_line(error)


def test_known_digest_is_compared(tmp_path):
    write_text(tmp_path, name="persian-wikipedia-sample.txt")
    with pytest.raises(DataError, match="sha256") as error:
        wikipedia.load(tmp_path)
    one_line(error)


# --- as Kaggle gives it ------------------------------------------------------------------------------------------


def zipped(**members):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return buffer.getvalue()


NAMED = {
    "__MACOSX/._Persian-WikiText-1.txt": b"\0\5\x16\7",
    "fa/Persian-WikiText-1.txt": b"",
    "fa/Persian-WikiText-2.txt": b"x",
}


@pytest.mark.parametrize(
    "name",
    ["Persian-WikiText-1.txt.zip", "archive.zip", "wikipedia/archive (1).ZIP", wikipedia.KAGGLE_FILE, "fawiki/a.zip"],
)
def test_the_zip_is_the_text_that_is_in_it(tmp_path, name):
    """Whatever it is called and wherever it lies: the same documents, name, size and digest as the text itself."""
    text = write_text(tmp_path / "plain").read_bytes()
    place = tmp_path / "data" / name
    place.parent.mkdir(parents=True)
    place.write_bytes(zipped(**(NAMED | {"fa/Persian-WikiText-1.txt": text})))
    plain, packed = wikipedia.load(tmp_path / "plain"), wikipedia.load(tmp_path / "data")
    assert packed.path == place and packed.documents == plain.documents and packed.summary() == plain.summary()
    assert (packed.name, packed.digest, packed.bytes) == (plain.name, plain.digest, plain.bytes)
    assert wikipedia.load(place).digest == wikipedia.digest(place) == plain.digest
    fetch_wikipedia.fetch(tmp_path / "to", place)
    assert [(p.name, p.read_bytes()) for p in (tmp_path / "to").iterdir()] == [(wikipedia.KAGGLE_FILE, text)]


def test_the_text_itself_comes_before_a_zip_and_gzip_under_a_texts_name_is_read(tmp_path):
    path = write_text(tmp_path / "fawiki")
    (tmp_path / "archive.zip").write_bytes(zipped(**{wikipedia.KAGGLE_FILE: "دیگر"}))
    assert wikipedia.locate(tmp_path) == path
    digest = wikipedia.load(tmp_path).digest
    path.write_bytes(gzip.compress(path.read_bytes()))
    assert wikipedia.load(tmp_path).digest == digest


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"PK", "damaged or truncated zip"), (zipped(**{wikipedia.KAGGLE_FILE: "س\n\n" * 999})[:-30], "damaged or truncated zip"),
        (zipped(**{wikipedia.KAGGLE_FILE: "سلام" * 99}).replace("سلام".encode()[:5], b"x", 1)[:60] + b"\0" * 99, "damaged or truncated zip"),
        (zipped(), "holds no Persian-WikiText-1.txt .but nothing"), (zipped(**{"a.csv": "x"}), r"holds no .*but a.csv"),
        (zipped(**{"a.txt": "x", "b.txt": "y"}), "but a.txt, b.txt"), (zipped(**{"a.txt": "<html><body>x"}), "is a web page"),
    ],
)  # fmt: skip
def test_a_bad_zip_is_one_line(tmp_path, content, message):
    (tmp_path / "archive.zip").write_bytes(content)
    with pytest.raises(DataError, match=message) as error:
        wikipedia.load(tmp_path / "archive.zip")
    one_line(error)


def test_a_zip_that_others_damaged_does_not_hide_the_text(tmp_path):
    for name, content in (("a.zip", b"PK\3\4"), ("b.zip", zipped(x="y"))):
        (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match="no Persian Wikipedia text"):
        wikipedia.load(tmp_path)
    path = write_json(tmp_path, RECORDS)
    assert wikipedia.locate(tmp_path) == path


SIGN_IN = (
    '<!DOCTYPE html>\n<html lang="en">\n\n<head><title>Kaggle</title></head>\n\n<body>\n\nSign in\n\n</body></html>\n'
)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (SIGN_IN, "is a web page"), ("\ufeff\n\n" + SIGN_IN.lower(), "is a web page"),
        (SIGN_IN.replace("Sign in", "\n\n".join(["ورود به حساب"] * 50)), "is a web page"),
        ('<?xml version="1.0"?>\n\n<Error>AccessDenied</Error>\n', "is a web page"),
        ('{"code": 403,\n\n"message":\n\n"denied"}', "no Persian text .0.0%"), ("some text\n\n" * 99, "no Persian text"),
        ("version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "no Persian text"), ("12345\n\n" * 99, "no Persian text"),
    ],
)  # fmt: skip
def test_another_text_is_refused_with_what_it_is(tmp_path, text, message):
    (tmp_path / wikipedia.KAGGLE_FILE).write_text(text, encoding="utf-8")
    with pytest.raises(DataError, match=message) as error:
        wikipedia.load(tmp_path)
    one_line(error)


def test_a_text_that_was_cut_short_is_refused_or_doubted(tmp_path):
    path = write_text(tmp_path)
    whole = path.read_bytes()
    path.write_bytes(whole[:-3])  # within the last letter
    with pytest.raises(DataError, match="ends there, within a letter: it was cut short"):
        wikipedia.load(tmp_path)
    path.write_bytes(whole[:-2])
    assert "its last line does not end: was it cut short?" in wikipedia.load(tmp_path).summary()
    path.write_bytes(whole)
    summary = wikipedia.load(tmp_path).summary()
    assert "cut short" not in summary and "shorter than the published file of 56,695,825 characters" in summary
    assert (
        f"{len(whole):,} bytes, 100 documents, 300 paragraphs" in summary and "100.0% of the letters Persian" in summary
    )
    assert "\n" not in summary and "doubt" not in wikipedia.load(write_json(tmp_path / "json", RECORDS)).doubts


def test_share_of_persian_letters(tmp_path):
    (tmp_path / "a.txt").write_text("سلام abcd ١۲ «؛» \u200c—\n\n" * 99, encoding="utf-8")
    assert wikipedia.load(tmp_path / "a.txt").persian == pytest.approx(
        0.6, abs=0.05
    )  # digits and ؛ count as the script's


@pytest.mark.parametrize(
    "inner", ["persian-wikipedia-dataset", "datasets/miladfa7/persian-wikipedia-dataset/versions/1", ""]
)
@pytest.mark.parametrize("packed", [False, True])
def test_the_attached_file_is_found_by_itself(tmp_path, monkeypatch, inner, packed):
    folder = tmp_path / "input" / inner
    (tmp_path / "input" / "another" / "deep").mkdir(parents=True)
    path = write_text(folder)
    if packed:
        path = path.rename(folder / "data.txt")
        (folder / "archive.zip").write_bytes(zipped(**{wikipedia.KAGGLE_FILE: path.read_bytes()}))
        path = folder / "archive.zip"
    monkeypatch.setenv("KAGGLE_CACHE_MOUNT_FOLDER", str(tmp_path / "input"))
    monkeypatch.setenv("GENMODELS_DATA", str(tmp_path / "empty"))
    assert wikipedia.locate() == path
    with pytest.raises(DataError, match="no Persian Wikipedia text"):
        wikipedia.locate(tmp_path / "empty")  # a folder that is asked for is the one that is meant
    fetch_wikipedia.fetch(tmp_path / "data" / "wikipedia")
    assert wikipedia.locate(tmp_path / "data").name == wikipedia.KAGGLE_FILE
    own = write_text(tmp_path / "empty", 9)
    assert wikipedia.locate() == own


@pytest.mark.parametrize("text", ["\ud800", "سلام \udfff", "\ude00\ud83d"])
def test_half_a_character_is_refused_at_the_door(tmp_path, text):
    write_json(tmp_path, [*RECORDS, {"split": "test", "paragraphs": ["یک", text]}])
    with pytest.raises(DataError, match=r"line 4 holds \\ud[8def]00|line 4 holds \\udfff") as error:
        wikipedia.load(tmp_path)
    one_line(error)
    write_json(tmp_path, [*RECORDS, {"split": "test", "paragraphs": ["یک 😀", "\x00\ufffe"]}])
    assert wikipedia.load(tmp_path).paragraphs == 8


@pytest.mark.skipif(sys.platform == "darwin", reason="its file systems know no such names")
def test_a_name_that_is_no_utf8_is_told_with_a_sign_in_its_place(tmp_path):
    path = write_text(tmp_path).rename(os.fsdecode(os.fsencode(tmp_path) + b"/\xff.txt"))
    corpus = wikipedia.load(path)
    assert corpus.name == "\ufffd.txt" and corpus.summary().encode("utf-8")


def test_deep_json_is_one_line(tmp_path):
    write_json(tmp_path, [*RECORDS, "[" * 200_000])
    with pytest.raises(DataError, match="line 4"):
        wikipedia.load(tmp_path)


def test_fetch_copies_checks_and_does_not_work_twice(tmp_path, capsys):
    source = write_text(tmp_path / "download")
    target = tmp_path / "data" / "wikipedia"
    lines = fetch_wikipedia.fetch(target, source)
    assert (target / source.name).read_bytes() == source.read_bytes()
    assert "300 paragraphs" in lines[1] and "CC0" in lines[1] and "CC0" in capsys.readouterr().out
    before = (target / source.name).stat().st_mtime_ns
    fetch_wikipedia.fetch(target)  # already there: no network
    assert (target / source.name).stat().st_mtime_ns == before
    assert [p.name for p in target.iterdir()] == [source.name]


def test_fetch_takes_the_data_folder_of_the_environment(tmp_path, monkeypatch):
    write_json(tmp_path / "elsewhere" / "fawiki", RECORDS)
    monkeypatch.setenv("GENMODELS_DATA", str(tmp_path / "elsewhere"))
    fetch_wikipedia.fetch(tmp_path / "data" / "wikipedia")
    assert (tmp_path / "data" / "wikipedia" / "fawiki_docs.jsonl.gz").is_file()


def test_fetch_refuses_a_damaged_source_and_leaves_nothing(tmp_path):
    source = write_json(tmp_path / "download", RECORDS)
    source.write_bytes(source.read_bytes()[:-10])
    with pytest.raises(DataError):
        fetch_wikipedia.fetch(tmp_path / "data", source)
    assert not (tmp_path / "data").exists()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_fetch_into_a_read_only_folder(tmp_path):
    source = write_text(tmp_path / "download")
    (tmp_path / "data").mkdir(mode=0o500)
    with pytest.raises(UserError, match="cannot write"):
        fetch_wikipedia.fetch(tmp_path / "data" / "wikipedia", source)


def test_fetch_below_a_file_is_one_line(tmp_path):
    source = write_text(tmp_path / "download")
    (tmp_path / "data").write_text("a file, no folder")
    with pytest.raises(UserError, match="cannot write") as error:
        fetch_wikipedia.fetch(tmp_path / "data" / "wikipedia", source)
    one_line(error)


def kaggle(monkeypatch, download):
    monkeypatch.setitem(sys.modules, "kagglehub", types.SimpleNamespace(dataset_download=download))


def test_kaggle_download_is_checked_and_put_in_place(tmp_path, monkeypatch):
    def download(handle, path, *, output_dir):
        assert (handle, path) == ("miladfa7/persian-wikipedia-dataset", "Persian-WikiText-1.txt")
        return str(write_text(type(tmp_path)(output_dir)))

    kaggle(monkeypatch, download)
    fetch_wikipedia.fetch(tmp_path / "data" / "wikipedia")
    assert [p.name for p in (tmp_path / "data" / "wikipedia").iterdir()] == [wikipedia.KAGGLE_FILE]


@pytest.mark.parametrize(
    "failure", [ConnectionError("no route\nto host"), ValueError("403 Client Error.\n\nno permission")]
)
def test_network_failure_names_the_ways_out(tmp_path, monkeypatch, failure):
    def download(*_, **__):
        raise failure

    kaggle(monkeypatch, download)
    with pytest.raises(DataError) as error:
        fetch_wikipedia.fetch(tmp_path / "data" / "wikipedia")
    text = one_line(error)
    assert str(failure).split("\n")[0] in text and "--from" in text
    assert not (tmp_path / "data").exists()


def test_half_a_download_is_refused(tmp_path, monkeypatch):
    def download(handle, path, *, output_dir):
        found = type(tmp_path)(output_dir) / path
        found.write_bytes("سلام".encode()[:-1])
        return str(found)

    kaggle(monkeypatch, download)
    with pytest.raises(DataError, match="UTF-8"):
        fetch_wikipedia.fetch(tmp_path / "data" / "wikipedia")
    assert not (tmp_path / "data").exists()


def credentials(tmp_path, content, mode=0o600):
    path = tmp_path / "kaggle" / "kaggle.json"
    path.parent.mkdir()
    path.write_text(content)
    path.chmod(mode)
    return path


@pytest.mark.parametrize(
    "content, message",
    [
        ("{", "not JSON"),
        ("[]", "username"),
        ('{"username": "a"}', "'key'"),
        ('{"username": "", "key": "k"}', "'username'"),
        ('{"username": "a", "key": 5}', "'key'"),
    ],
)
def test_bad_kaggle_json(tmp_path, monkeypatch, content, message):
    credentials(tmp_path, content)
    kaggle(monkeypatch, lambda *_, **__: pytest.fail("no download with a bad kaggle.json"))
    with pytest.raises(DataError, match=message) as error:
        fetch_wikipedia.fetch(tmp_path / "data" / "wikipedia")
    one_line(error)


def test_kaggle_json_that_others_may_read(tmp_path):
    path = credentials(tmp_path, '{"username": "a", "key": "k"}', 0o644)
    with pytest.raises(DataError, match=f"chmod 600 {path}"):
        fetch_wikipedia.check_credentials()
    path.chmod(stat.S_IRUSR | stat.S_IWUSR)
    assert fetch_wikipedia.check_credentials() == path


def test_only_the_credential_in_use_is_judged(tmp_path, monkeypatch):
    """As kagglehub looks for them: a token before a name with key before kaggle.json; empty ones count as absent."""
    legacy = credentials(tmp_path, "{")  # broken
    token = tmp_path / "home" / ".kaggle" / "access_token"
    token.parent.mkdir(parents=True)
    token.write_text("\n")
    with pytest.raises(DataError, match="kaggle.json is not JSON"):
        fetch_wikipedia.check_credentials()
    (path := token.with_suffix(".txt")).write_text("KGAT_0123\n")
    path.chmod(0o600)
    assert fetch_wikipedia.check_credentials() == path
    token.write_text("<html>sign in</html>")
    token.chmod(0o644)
    with pytest.raises(DataError, match=f"chmod 600 {token}"):
        fetch_wikipedia.check_credentials()
    token.chmod(0o600)
    with pytest.raises(DataError, match="access_token holds no token"):
        fetch_wikipedia.check_credentials()
    monkeypatch.setenv("KAGGLE_API_TOKEN", "KGAT_4567")
    assert fetch_wikipedia.check_credentials() is None
    monkeypatch.setenv("KAGGLE_API_TOKEN", str(path))
    assert fetch_wikipedia.check_credentials() == path
    monkeypatch.delenv("KAGGLE_API_TOKEN")
    for name in (token, path, legacy):
        name.unlink()
    assert fetch_wikipedia.check_credentials() is None  # anonymous


def test_environment_replaces_kaggle_json(tmp_path, monkeypatch):
    credentials(tmp_path, "{")
    monkeypatch.setenv("KAGGLE_USERNAME", "a")
    monkeypatch.setenv("KAGGLE_KEY", "k")
    assert fetch_wikipedia.check_credentials() is None


def test_real_sample():
    folder = REAL_DATA or pytest.skip("GENMODELS_DATA is not set (the real corpus)")
    corpus = wikipedia.load(folder)
    assert corpus.paragraphs > 1000 and {d.split for d in corpus.documents} == set(wikipedia.SPLITS)
