"""Prepared token arrays: deterministic, cached, checked, train-only vocabulary, whole or absent."""

import gc
import importlib.metadata
import itertools
import json
import os
import random
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import numpy as np
import pytest

from genmodels.config import TextConfig
from genmodels.data.wikipedia import KAGGLE_FILE, SPLITS
from genmodels.errors import DataError, UserError
from genmodels.system import processes
from genmodels.system.files import read_json
from genmodels.text import prepare, streaming
from genmodels.text.prepare import prepared

NOUNS = "کتاب خانه شهر دانشگاه تاریخ ایران رود کوه جنگل دریا باغ پل بازار مسجد مدرسه کارخانه موزه راه".split()
VERBS = "می‌رود می‌بیند ساخت نوشت خرید داشت دید گفت شد بود".split()
CONFIG = TextConfig(vocabulary=400)


def raw_text(folder, seed=0, paragraphs=150, last=""):
    choice = random.Random(seed).choice
    blocks = [
        " ".join(" ".join((choice(NOUNS), "در", choice(NOUNS), choice(VERBS))) + "،" for _ in range(12)) + f" {n}."
        for n in range(paragraphs)
    ]
    if last:
        blocks[-1] = last
    folder.mkdir(exist_ok=True)
    (folder / KAGGLE_FILE).write_text("\n\n".join(blocks), encoding="utf-8")
    return folder


@pytest.fixture
def places(tmp_path, monkeypatch):
    monkeypatch.setenv("GENMODELS_PREPARED", str(tmp_path / "prepared"))
    return raw_text(tmp_path / "raw"), tmp_path / "prepared"


def test_a_result_says_which_preparation_made_its_text(places):
    """One of an earlier version is neither refused nor blessed: today's cleaning has nothing to say of it."""
    from genmodels.checks import tables
    from genmodels.stages.text import TextStage

    identity = prepared(CONFIG, places[0]).identity
    assert identity["preparation"] == prepare.PREPARATION_VERSION > 1
    stage = TextStage()
    fingerprint = stage.fingerprint(CONFIG)
    for data, made, passed in (
        ({}, fingerprint, None), (identity | {"preparation": 1}, [1], None), (identity, fingerprint, True), (identity, [1], False)
    ):  # fmt: skip
        check = stage._behaviour(SimpleNamespace(config=CONFIG, manifest={"data": data, "fingerprint": made}))
        assert check.passed is passed and (
            passed is not None or tables._persian_detail(check.detail).startswith("از نسخهٔ ۱ آماده‌سازی است")
        )


def test_documents_and_arrays_agree(places):
    text = prepared(CONFIG, places[0])
    for split in SPLITS:
        tokens, offsets = text.tokens[split], text.offsets[split]
        assert tokens.dtype == np.uint16 and offsets.dtype == np.int64
        assert offsets[0] == 0 and offsets[-1] == len(tokens)
        assert (tokens[offsets[:-1]] == text.tokenizer.bos).all()
        assert (tokens[offsets[1:] - 1] == text.tokenizer.eos).all()
        assert (np.isin(tokens, (0, 1)).sum()) == 2 * (len(offsets) - 1)
        texts = text.held_out_texts(split)
        assert [len(t) for t in texts] == text.characters[split].tolist() == text.fluent_characters[split].tolist()
        assert text.statistics["splits"][split]["tokens"] == len(tokens)
        encoded = [[0, *text.tokenizer.encode(t), 1] for t in texts]
        assert [i for row in encoded for i in row] == tokens.tolist()
    assert text.tokenizer.vocabulary_size <= 400
    assert text.held_out_texts("test", 1) == text.held_out_texts("test")[:1]
    assert text.corpus_name == KAGGLE_FILE and len(text.corpus_digest) == len(text.digest) == 64


def test_second_time_comes_from_the_folder(places, monkeypatch):
    first = prepared(CONFIG, places[0])
    monkeypatch.setattr(prepare, "_build", lambda *_: pytest.fail("built again"))
    second = prepared(CONFIG, places[0])
    assert second.digest == first.digest and second.statistics == first.statistics


def test_workers_and_repetition_do_not_change_the_result(places, monkeypatch, tmp_path):
    first = prepared(CONFIG, places[0])
    monkeypatch.setenv("GENMODELS_PREPARED", str(tmp_path / "again"))
    monkeypatch.setattr(streaming, "CHUNK_CHARACTERS", 5000)
    monkeypatch.setattr(processes, "START_METHOD", "fork")  # hazm is imported already: seconds faster than spawn
    second = prepared(CONFIG, places[0], workers=2)
    assert second.digest == first.digest and second.tokenizer.to_bytes() == first.tokenizer.to_bytes()
    timeless = [{key: value for key, value in text.statistics.items() if key != "seconds"} for text in (first, second)]
    assert timeless[0] == timeless[1]


def test_only_arrays_and_the_tokenizer_stay(places):
    folder = prepared(CONFIG, places[0]).folder
    expected = {f"{split}-{array}.npy" for split in SPLITS for array in prepare.ARRAYS}
    assert {path.name for path in folder.iterdir()} == expected | {"tokenizer.json", "preparation.json"}


def test_other_data_or_settings_are_other_folders(places, tmp_path):
    first = prepared(CONFIG, places[0])
    assert prepared(TextConfig(vocabulary=300), places[0]).folder != first.folder
    other = prepared(CONFIG, raw_text(tmp_path / "other", seed=1))
    assert other.folder != first.folder and other.digest != first.digest


def test_test_text_does_not_reach_the_tokenizer(places, tmp_path):
    plain = prepared(CONFIG, places[0])
    strange = "ژژپپ " * 60 + "ژژپپ است."
    leaking = prepared(CONFIG, raw_text(tmp_path / "leak", last=strange))
    assert "ژژپپ" in leaking.held_out_texts("test")[-1]
    assert leaking.tokenizer.to_bytes() == plain.tokenizer.to_bytes()


def test_classic_is_shorter_and_knows_its_fluent_length(places):
    fluent, classic = prepared(CONFIG, places[0]), prepared(TextConfig(corpus="classic", vocabulary=400), places[0])
    for split in SPLITS:
        assert classic.fluent_characters[split].tolist() == fluent.characters[split].tolist()
        assert (classic.characters[split] < fluent.characters[split]).all()
        assert "،" not in classic.held_out_texts(split)[0] and " در " not in classic.held_out_texts(split)[0]
    text_study = classic.statistics["words"]
    assert text_study["words"]["tokens"] > text_study["content"]["tokens"] >= text_study["lemmas"]["tokens"] > 0
    assert 0 < text_study["stop_words"]["share"] < 1


@pytest.mark.parametrize("damage", ["cut", "flip", "remove", "record"])
def test_a_damaged_folder_is_built_again(places, damage, capsys):
    first = prepared(CONFIG, places[0])
    path = first.folder / ("preparation.json" if damage == "record" else "test-tokens.npy")
    content = path.read_bytes()
    del first.tokens["test"]
    if damage == "cut" or damage == "record":
        path.write_bytes(content[: len(content) // 2])
    elif damage == "flip":
        path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    else:
        path.unlink()
    again = prepared(CONFIG, places[0])
    assert again.digest == first.digest and path.read_bytes()[:10] == content[:10]
    assert path.name in capsys.readouterr().err
    assert read_json(again.folder / "preparation.json")["files"]


def test_an_interrupted_build_leaves_nothing(places, monkeypatch):
    def fail(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(prepare.ArrayFile, "append", fail)
    with pytest.raises(UserError, match="No space left") as error:
        prepared(CONFIG, places[0])
    assert "\n" not in str(error.value) and list(places[1].iterdir()) == []


def test_two_at_once_build_once(places, monkeypatch):
    """As two processes of a torchrun do: one builds, the other waits and reads the same arrays."""
    built = []
    build = prepare._build
    monkeypatch.setattr(prepare, "_build", lambda *arguments: (built.append(1), build(*arguments))[1])
    with ThreadPoolExecutor(2) as pool:
        one, two = pool.map(lambda _: prepared(CONFIG, places[0]), range(2))
    assert built == [1] and one.digest == two.digest
    assert [path.name for path in places[1].iterdir()] == [one.folder.name]


def test_unwritable_place(places, monkeypatch, tmp_path):
    (tmp_path / "file").write_text("a file, no folder")
    monkeypatch.setenv("GENMODELS_PREPARED", str(tmp_path / "file" / "prepared"))
    with pytest.raises(UserError, match="GENMODELS_PREPARED"):
        prepared(CONFIG, places[0])


@pytest.mark.parametrize(
    "config, message", [(TextConfig(corpus="raw"), "fluent, classic"), (TextConfig(vocabulary=100_000), "65536")]
)
def test_bad_settings(places, config, message):
    with pytest.raises(UserError, match=message):
        prepared(config, places[0])


def test_text_that_cleaning_removes_altogether(places, tmp_path):
    (tmp_path / "english").mkdir()
    (tmp_path / "english" / KAGGLE_FILE).write_text("\n\n".join(f"only English words here {i}" for i in range(50)))
    with pytest.raises(DataError, match="after cleaning"):
        prepared(CONFIG, tmp_path / "english")


def test_study_and_its_tables(places, monkeypatch):
    """Section 2.1 of the report from a tiny corpus: plain JSON, and every table renders."""
    from genmodels.report import preparation
    from genmodels.stages import text_study

    monkeypatch.setattr(text_study, "VOCABULARIES", (300, 400))
    fluent, classic = prepared(CONFIG, places[0]), prepared(TextConfig(corpus="classic", vocabulary=400), places[0])
    found = text_study.preparation_study(fluent, classic, places[0])
    assert json.loads(json.dumps(found, ensure_ascii=False, allow_nan=False)) == found
    assert 0 <= found["half_spaces"]["recall"] <= 1 and 0 < found["left_by_classic"]["tokens"] < 1
    smaller, larger = found["bpe"]["vocabularies"]
    assert smaller["tokens_per_word"] > larger["tokens_per_word"]
    assert found["bpe"]["trace"][-1]["symbols"] == found["bpe"]["shown_words"][2][1]
    for markdown in (
        preparation.cleaning(fluent.statistics["cleaning"]),
        preparation.splits(fluent.statistics),
        preparation.normalization(found["normalization"]),
        preparation.stop_words(classic.statistics["words"]),
        preparation.lemmatization(classic.statistics["words"]),
        preparation.lemmas(found["lemmas"]),
        preparation.toy_bpe()[1],
        preparation.vocabularies(found["bpe"], rest=2_000_000),
        preparation.shown_words(found["bpe"]["shown_words"]),
    ):
        lines = markdown.data.splitlines()
        assert len(lines) > 2 and len({line.replace(r"\|", "").count("|") for line in lines}) == 1


def test_examples_in_the_cleaning_table_stay_as_they_were():
    from genmodels.report import preparation

    row = {"label": "ق", "reason": "د.", "paragraphs": 1234, "removed": 1, "changed": 0, "example": ["12 [a]|_b_*", ""]}
    data = preparation.cleaning({"rules": [row, row | {"example": None}]}).data
    assert r"12 \[a\]\|\_b\_\*" in data and "(حذف)" in data and "۱٬۲۳۴" in data


@pytest.mark.parametrize("corpus, stage", [("fluent", "ngram"), ("classic", "rnn-classic")])
def test_real_text_is_prepared_as_the_shipped_models_saw_it(corpus, stage):
    """The test documents, encoded with the shipped tokenizer: the tokens in the shipped slice."""
    folder = os.environ.get("GENMODELS_DATA") or pytest.skip("GENMODELS_DATA is not set (the real corpus)")
    from genmodels import stages
    from genmodels.data import wikipedia
    from genmodels.text.cleaning import Cleaning
    from genmodels.text.normalization import prepare_chunk

    shipped = stages.load(stage)
    raw = wikipedia.load(folder)
    if raw.digest != shipped.manifest["data"]["corpus_sha256"]:
        pytest.skip("the shipped results are of another corpus")
    if prepare.version_of(shipped.manifest) != prepare.PREPARATION_VERSION:
        pytest.skip("the shipped results are of an earlier version of the preparation")
    prepared_by = shipped.manifest["versions"]["hazm"]
    if importlib.metadata.version("hazm") != prepared_by:
        pytest.skip(f"the shipped text is hazm {prepared_by}'s; other versions join and lemmatise some words otherwise")
    documents = itertools.islice(raw.stream("test"), 10)
    rows, _ = prepare_chunk((corpus, list(Cleaning().stream(documents, held_out=True))))
    tokenizer = stages.load("text").tokenizer(corpus)
    ids, offsets = shipped.slice["test_ids"], shipped.slice["test_offsets"]
    for number, (text, _) in enumerate(rows[: len(offsets) - 1]):
        assert ids[offsets[number] : offsets[number + 1]].tolist() == [0, *tokenizer.encode(text), 1]


def test_memory_does_not_grow_with_the_text(tmp_path, monkeypatch):
    """Preparation of a text and of four times as much of the same kind: no more than the counts of its words is added.

    Held in memory, the text alone would take its size (two bytes a letter, as on disk), raw, clean and normalised thrice that.
    """
    import tracemalloc

    monkeypatch.setenv("GENMODELS_PREPARED", str(tmp_path / "prepared"))
    monkeypatch.setattr(streaming, "CHUNK_CHARACTERS", 20_000)
    prepared(CONFIG, raw_text(tmp_path / "warm"))
    peaks = []
    for times in (1, 4):
        folder = raw_text(tmp_path / str(times), seed=times, paragraphs=400 * times)
        gc.collect()
        tracemalloc.start()
        prepared(CONFIG, folder)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    size = (tmp_path / "4" / KAGGLE_FILE).stat().st_size
    assert size > 600_000 and peaks[1] - peaks[0] < 0.6 * size, peaks  # the text alone: 0.75


def test_workers_must_be_a_number_above_zero(places):
    with pytest.raises(UserError, match="at least 1"):
        prepared(CONFIG, places[0], workers=0)
