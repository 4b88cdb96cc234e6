"""Shards through Dask: two workers give what the local route gives, shard by shard."""

import sys

import pytest

from genmodels.data.wikipedia import KAGGLE_FILE
from genmodels.errors import DataError, UserError
from genmodels.text.shards import prepare_shard, prepare_shards
from genmodels.text.streaming import read_spool

pytest.importorskip("dask.bag", reason="Dask (the extra 'shards') is not installed")


@pytest.fixture
def shards(tmp_path):
    paths = []
    for number in range(3):
        path = tmp_path / str(number) / KAGGLE_FILE
        path.parent.mkdir()
        blocks = [f"كتاب ها در سال {1300 + i} نوشته شد و مردم شهر {number}{i} آن را مي خوانند [۱]." for i in range(60)]
        path.write_text("\n\n".join([*blocks, blocks[0]]), encoding="utf-8")
        paths.append(path)
    return paths


def test_two_workers_give_what_the_local_route_gives(shards, tmp_path):
    corpus = "classic"  # all that is done to a text
    counts = prepare_shards(shards, tmp_path / "dask", corpus, workers=2)
    for number, (path, count) in enumerate(zip(shards, counts)):
        local = prepare_shard(path, tmp_path / "local.jsonl", corpus)
        assert (tmp_path / "dask" / f"{number:05d}.jsonl").read_bytes() == (tmp_path / "local.jsonl").read_bytes()
        assert count == local and count["documents"] > 20
    rows = list(read_spool(tmp_path / "local.jsonl"))
    assert {split for split, _, _ in rows} == {"train", "validation", "test"}
    assert all("[" not in text and "ك" not in text and length > 0 for _, text, length in rows)


def test_a_bad_shard_is_one_clear_error(shards, tmp_path):
    shards[1].write_bytes(b"\xff")
    with pytest.raises(DataError, match="not UTF-8 at byte 0"):
        prepare_shards(shards, tmp_path / "out", workers=2)
    with pytest.raises(UserError, match="no shards"):
        prepare_shards([], tmp_path / "out")


def test_without_dask(shards, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "dask.bag", None)
    with pytest.raises(UserError, match="pip install"):
        prepare_shards(shards, tmp_path / "out")
