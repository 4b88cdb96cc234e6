"""The tables of speeds on what is shipped."""

from __future__ import annotations

import pytest

from genmodels import stages
from genmodels.errors import StaleResult
from genmodels.report import speed_tables


def measured(stage: str) -> dict:
    try:
        return stages.load(stage).metrics
    except StaleResult as error:
        pytest.skip(str(error))


def test_a_row_for_each_length_and_each_network() -> None:
    found = measured("speed-decoding")
    rows = speed_tables.cache_rows(found)
    assert len(rows) == len(found["rows"]) and all(len(row) == 6 for row in rows)
    assert rows[0]["توکن"] == "۲۵۶" and rows[0]["نسبت"] == "۵٫۳"


def test_a_peer_beside_each_network() -> None:
    found = measured("speed-peers")
    first, second = speed_tables.peer_rows(found)
    assert "nn.TransformerEncoderLayer" in first["همتا"] and "nn.LSTM" in second["همتا"]
    assert first["همتا، زیان PyTorch (نسبت ما)"].endswith("(۲٫۱۵×)")
