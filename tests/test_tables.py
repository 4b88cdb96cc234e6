"""The generated tables say what the objects say."""

from __future__ import annotations

import re
from types import SimpleNamespace
from typing import Any

from torch import nn

from genmodels.checks import tables
from genmodels.config import PixelCNNConfig
from genmodels.report import settings
from genmodels.report.names import STAGE_NAMES
from genmodels.report.persian import fa_int
from genmodels.stages import STAGES
from genmodels.stages.base import Check
from genmodels.stages.language import RecurrentStage, TransformerStage


def cells(markdown: object) -> list[list[str]]:
    return [[c.strip() for c in line.strip("|").split("|")] for line in markdown.data.splitlines()]


def test_repeated_layers_share_a_row_and_the_sum_is_right() -> None:
    model = nn.ModuleDict({"blocks": nn.ModuleList(nn.Linear(3, 4) for _ in range(5)), "head": nn.Linear(4, 2)})
    rows = cells(settings.parameters(model))[2:]
    assert [row[0] for row in rows] == [
        "`blocks.*.weight`",
        "`blocks.*.bias`",
        "`head.weight`",
        "`head.bias`",
        "**مجموع**",
    ]
    assert rows[0][2:4] == [fa_int(5), fa_int(60)] and rows[-1][3] == f"**{fa_int(5 * 16 + 10)}**"


def test_layers_of_different_shapes_keep_their_rows() -> None:
    model = nn.Sequential(nn.Linear(3, 4, bias=False), nn.Linear(4, 5, bias=False))
    inner = nn.ModuleDict({"layers": model})
    assert [row[0] for row in cells(settings.parameters(inner))[2:4]] == ["`layers.0.weight`", "`layers.1.weight`"]


def made(config: Any, bf16: bool = False) -> SimpleNamespace:
    return SimpleNamespace(config=config, manifest={"device": {"bf16": bf16}})


def test_every_setting_has_its_row() -> None:
    rows = cells(settings.hyperparameters({"pixelcnn": made(PixelCNNConfig())}))[2:]
    names = {row[1] for row in rows}
    assert {"`channels`", "`kernels`", "`learning_rate`", "`seed`", "`binarization`"} <= names and all(
        row[0] for row in rows
    )


def test_settings_of_two_stages_stand_side_by_side() -> None:
    results = {"rnn": made(RecurrentStage.full, bf16=True), "transformer": made(TransformerStage.full)}
    head, _, *rows = cells(settings.hyperparameters(results))
    assert head[2:4] == [STAGE_NAMES["rnn"], STAGE_NAMES["transformer"]]
    values = {row[1].strip("`"): row[2:4] for row in rows}
    assert values["learning_rate"] == ["۰٫۰۰۵", "۰٫۰۰۳"] and values["heads"][0] == "—" and values["embedding"][1] == "—"
    assert values["steps"][0] == values["steps"][1] == fa_int(RecurrentStage.full.training.steps)
    assert len(values) == len(rows)
    assert values["bf16"] == ["بله", "نه"], "what was computed in, not what was asked for"


def test_every_stage_has_a_persian_name() -> None:
    assert STAGES.keys() <= STAGE_NAMES.keys()


def test_checks_take_a_row_a_result_and_one_for_all_that_does_not_hold() -> None:
    held, failed = Check("manifest", True, "6 files"), Check("test_perplexity", False, "1.5, stored 2.0")
    left = Check("whole_test_nll_nats", None, "no data: /here holds no MNIST")
    rows = cells(tables.retests({"rnn": [held, failed], "text": [held], "pixelcnn": [held, left]}))[2:]
    name = tables.CHECK_NAMES["test_perplexity"]
    assert rows[0][2] == "[**✗ ۱ نادرست**]{.failed}؛ ✓ ۱ درست"
    assert rows[1][1] == f"[**✗ {name}: از نو ۱٫۵، ثبت‌شده ۲**]{{.failed}}" and all(
        "{.failed}" in cell for cell in rows[1]
    )
    assert rows[2][2] == "✓ ۱ درست" and rows[3][2] == "[– ۱ این‌جا سنجیده نشد]{.unchecked}؛ ✓ ۱ درست"
    assert all("{.unchecked}" in cell for cell in rows[4]) and "داده نیست" in rows[4][1] and len(rows) == 5


def test_a_failure_without_persian_words_is_shown_as_it_is() -> None:
    text = tables.retests({"rnn-study": [Check("size-64", False, "a_b: *asked* `x` | y")]}).data
    assert r"[size-64]{dir=ltr}: [a_b: \*asked\* \`x\` \| y]{dir=ltr}" in text


def test_every_check_of_a_shipped_result_that_is_no_run_has_a_persian_name() -> None:
    """Those of runs are the runs' own names."""
    names = [
        "samples rnn",
        "samples cool",
        "measures real-dynamic",
        "measures independent",
        "cache 4",
        "two stacks",
        "half-last",
    ]
    assert all(re.search("[آ-ی]", tables._check_name(name) or "") for name in names)
    assert tables._check_name("size-64") is None


def test_numbers_of_a_detail_are_persian() -> None:
    assert tables._persian_detail("largest relative difference inf") == "بیشترین اختلاف نسبی ∞"
    assert "×" in tables._persian_detail("largest relative difference 1.1e-07")
