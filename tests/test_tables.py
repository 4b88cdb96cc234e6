"""The generated tables say what the objects say."""

from __future__ import annotations

from torch import nn

from genmodels import tables
from genmodels.config import PixelCNNConfig
from genmodels.persian import fa_int
from genmodels.stages import STAGES
from genmodels.stages.base import Check
from genmodels.stages.language import RecurrentStage, TransformerStage


def cells(markdown: object) -> list[list[str]]:
    return [[c.strip() for c in line.strip("|").split("|")] for line in markdown.data.splitlines()]


def test_repeated_layers_share_a_row_and_the_sum_is_right() -> None:
    model = nn.ModuleDict({"blocks": nn.ModuleList(nn.Linear(3, 4) for _ in range(5)), "head": nn.Linear(4, 2)})
    rows = cells(tables.parameters(model))[2:]
    assert [row[0] for row in rows] == ["`blocks.*.weight`", "`blocks.*.bias`", "`head.weight`", "`head.bias`", "**مجموع**"]
    assert rows[0][2:4] == [fa_int(5), fa_int(60)] and rows[-1][3] == f"**{fa_int(5 * 16 + 10)}**"


def test_layers_of_different_shapes_keep_their_rows() -> None:
    model = nn.Sequential(nn.Linear(3, 4, bias=False), nn.Linear(4, 5, bias=False))
    inner = nn.ModuleDict({"layers": model})
    assert [row[0] for row in cells(tables.parameters(inner))[2:4]] == ["`layers.0.weight`", "`layers.1.weight`"]


def test_every_setting_has_its_row() -> None:
    rows = cells(tables.hyperparameters({"pixelcnn": PixelCNNConfig()}))[2:]
    names = {row[1] for row in rows}
    assert {"`channels`", "`kernels`", "`learning_rate`", "`seed`", "`binarization`"} <= names and all(row[0] for row in rows)


def test_settings_of_two_stages_stand_side_by_side() -> None:
    configs = {"rnn": RecurrentStage.full, "transformer": TransformerStage.full}
    head, _, *rows = cells(tables.hyperparameters(configs))
    assert head[2:4] == [tables.STAGE_NAMES["rnn"], tables.STAGE_NAMES["transformer"]]
    values = {row[1].strip("`"): row[2:4] for row in rows}
    assert values["learning_rate"] == ["۰٫۰۰۵", "۰٫۰۰۳"] and values["heads"][0] == "—" and values["embedding"][1] == "—"
    assert values["steps"][0] == values["steps"][1] == fa_int(RecurrentStage.full.training.steps)
    assert len(values) == len(rows)


def test_every_stage_has_a_persian_name() -> None:
    assert STAGES.keys() <= tables.STAGE_NAMES.keys()


def test_checks_take_a_row_a_result_and_name_every_failure() -> None:
    held, failed = Check("manifest", True, "6 files"), Check("test_perplexity", False, "1.0, stored 2.0")
    text = tables.checks({"rnn": [held, failed], "text": [held]}).data
    assert text.count("✗") == 2 and "test_perplexity: 1.0, stored 2.0" in text and "۱ از ۲" in text
    assert "✓ ۱ از ۱" in text and "6 files" not in text
