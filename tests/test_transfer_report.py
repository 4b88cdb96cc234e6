"""What the document says of transfer learning, from made-up results in every direction."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from genmodels.language.comparison import Comparison
from genmodels.language.perplexity import summarize
from genmodels.report import circumstances, transfer
from genmodels.stages.transfer_arms import arms

CHARACTERS = np.full(40, 500)
SEEDS = (0.0, -0.01, 0.01)


class Made:
    """A result whose arms have the bits that a test gives them."""

    def __init__(self, **bits: float) -> None:
        self.config = {key: SimpleNamespace(experiment=config) for key, config in arms().items()}
        starts = {"full": 2.9, "scratch": 3.2, "own": 3.3, "large": 3.25}
        runs = {}
        for key, run in self.config.items():
            level = bits.get(key.replace("-", "_"), starts.get(key.rpartition("-")[2], 3.0))
            seeds = [level + shift for shift in SEEDS[: run.experiment.seeds]]
            runs[key] = {
                "test_bits_per_character": seeds,
                "wikipedia_bits_per_character": [value - 0.8 for value in seeds],
                "train_characters": 500 * (run.experiment.kilobytes or 400),
                "trained_parameters": 1000,
                "train_windows": 100,
                "rate": 1e-3,
                "form": {
                    "rhyme_rate": 0.02,
                    "couplets": 100,
                    "line_characters": 30.0,
                    "line_characters_deviation": 5.0,
                },
                "sample": "سطر نخست\nسطر دوم\nسطر سوم",
                "averages": {
                    str(share): {"wikipedia_bits_per_character": 2.0, "test_bits_per_character": 3.5}
                    for share in run.experiment.averages
                },
            }
        people, chance = {"rhyme_rate": 0.95}, {"rhyme_rate": 0.03}
        shape = runs["verse-25-full"]["form"]
        self.metrics: dict[str, Any] = {
            "runs": runs,
            "before": {"verse": {"bits_per_character": 3.9}, "wikipedia": {"bits_per_character": 1.9}},
            "form": {"people": shape | people, "shuffled": shape | chance},
        }

    def on_test(self, key: str, seed: int | None = None) -> Any:
        level = np.mean(self.metrics["runs"][key]["test_bits_per_character"])
        noise = np.random.RandomState(1).normal(0, 0.02, len(CHARACTERS))
        return summarize((level + noise) * CHARACTERS * np.log(2), CHARACTERS, CHARACTERS)


def interval(low: float, high: float) -> Comparison:
    return Comparison(None, None, (low + high) / 2, low, high)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("found", "told"),
    [
        ({25: interval(-0.5, -0.4), 0: interval(-0.2, -0.1)}, "در همهٔ اندازه‌ها آغاز از مدل ویکی‌پدیا بهتر است: با ۲۵ کیلوبایت ۰٫۴۵"),
        ({25: interval(-0.5, -0.4)}, "بهتر است: با ۲۵ کیلوبایت ۰٫۴۵ بیت بر نویسه؛"),
        ({25: interval(-0.1, 0.1), 0: interval(-0.1, 0.2)}, "در هیچ اندازه‌ای"),
        ({25: interval(-0.5, -0.4), 0: interval(0.1, 0.2)}, "با همهٔ متن آغاز از صفر بهتر است"),
        ({25: interval(0.1, 0.2), 0: interval(-0.1, 0.2)}, "با همهٔ متن فرقی دیده نمی‌شود"),
    ],
)  # fmt: skip
def test_what_the_start_is_worth(found: dict[int, Comparison], told: str) -> None:
    assert told in transfer.worth(found).data


@pytest.mark.parametrize(
    ("first", "last", "told"),
    [
        ((-0.5, -0.4), (-0.2, -0.1), "این سود کمتر می‌شود"), ((-0.2, -0.1), (-0.5, -0.4), "بیشتر هم می‌شود"),
        ((-0.5, -0.1), (-0.4, -0.2), "دیده نمی‌شود"),
    ],
)  # fmt: skip
def test_whether_the_gain_shrinks(first: tuple, last: tuple, told: str) -> None:
    assert told in transfer.shrinking({25: interval(*first), 0: interval(*last)}).data
    assert "تنها یک اندازه" in transfer.shrinking({25: interval(*first)}).data


def test_whether_the_rates_are_lower() -> None:
    result = Made()
    assert "در همهٔ اندازه‌ها کمتر از نرخ آموزش نخست (۰٫۰۰۳)" in transfer.slower(result, 3e-3).data
    result.metrics["runs"]["verse-all-full"]["rate"] = 3e-3
    told = transfer.slower(result, 3e-3).data
    assert "با ۲۵ کیلوبایت" in told and "همهٔ متن" not in told
    assert "در هیچ اندازه‌ای" in transfer.slower(result, 1e-3).data
    assert transfer.passes(result, "verse-25-full") == pytest.approx(24 * 8 / 100)


def test_forgetting_in_each_direction() -> None:
    for level, told in ((2.9, "۰٫۲۰ بیت بر نویسه بدتر"), (2.5, "۰٫۲۰ بیت بر نویسه بهتر"), (2.701, "برجا مانده")):
        assert told in transfer.forgetting(Made(verse_25_full=level), "verse-25-full").data


def test_a_way_against_all_weights() -> None:
    worse = transfer.trade(Made(verse_25_lora8=3.0), "lora8").data
    assert "۰٫۱۰۰ بیت بدتر می‌آموزد" in worse and "۰٫۱۰۰ بیت بیشتر فراموش" in worse
    better = transfer.trade(Made(verse_25_lora8=2.8), "lora8").data
    assert "۰٫۱۰۰ بیت بهتر می‌آموزد" in better and "۰٫۱۰۰ بیت کمتر فراموش" in better
    same = transfer.trade(Made(verse_25_lora8=2.9), "lora8").data
    assert "به همان خوبی" in same and "به همان اندازه" in same
    assert "سنجیده نشده‌اند" in transfer.trade(Made(), "lora8", "nothing").data


def test_near_and_far() -> None:
    assert "متن دور بیشتر سود می‌برد" in transfer.near_and_far(Made(prose_25_full=3.1)).data
    assert "متن نزدیک بیشتر سود می‌برد" in transfer.near_and_far(Made(prose_25_full=2.5)).data
    assert "فرقی دیده نمی‌شود" in transfer.near_and_far(Made()).data
    result = Made()
    result.config = {key: run for key, run in result.config.items() if not key.startswith("prose")}
    assert "به یک اندازه سنجیده نشده‌اند" in transfer.near_and_far(result).data


def test_rhyme_against_chance() -> None:
    result = Made()
    assert (
        "هنوز شعر نیست، و قافیه آموخته نشده است: بیشترین ۲٫۰٪"
        in transfer.rhyme(result, ["verse-25-full", "verse-25-own"]).data
    )
    result.metrics["runs"]["verse-25-own"]["form"] = {"rhyme_rate": 0.3, "couplets": 100}
    assert "بیش از تصادف است: بیشترین ۳۰٫۰٪" in transfer.rhyme(result, ["verse-25-full", "verse-25-own"]).data


def test_the_rows_of_several_seeds_are_named() -> None:
    result = Made()
    assert transfer.seeded(result).data.endswith("یک دانه دارد مگر «همهٔ وزن‌ها»")
    for run in result.config.values():
        run.experiment = replace(run.experiment, seeds=1)
    assert transfer.seeded(result).data.endswith("یک دانه دارد")


def test_tables_and_figure() -> None:
    result = Made()
    assert transfer.sizes(result)[0] == 25 and transfer.sizes(result)[-1] == 0
    assert transfer.gains(result)[25].difference == pytest.approx(-0.3, abs=0.02)
    rows = transfer.way_rows(result)
    assert [row["آنچه آموزش می‌بیند"] for row in rows] == ["هیچ", *(transfer.WAYS[way] for way in transfer.ways(result))]
    assert rows[0]["شعر"] == "۳٫۹۰۰" and {"full", "lora8", "bias", "replay"} <= transfer.ways(result).keys()
    assert transfer.form_rows(result)[-2]["هم‌قافیه"] == "۹۵٫۰٪" and len(transfer.public_rows()) == 3
    assert transfer.sample(result, "verse-25-full", 2).data == "> سطر نخست\\\n> سطر دوم"
    left, right = transfer.growth(result).axes
    assert len(left.get_legend().get_texts()) == 3 and len(right.lines) >= len(rows)


def test_an_arm_that_is_not_there_is_left_out() -> None:
    result = Made()
    for gone in ("verse-100-own", "verse-25-gradual"):
        del result.config[gone]
    assert 100 not in transfer.sizes(result) and "gradual" not in transfer.ways(result)
    transfer.growth(result)
    result.config["verse-100-full"] = SimpleNamespace(
        experiment=replace(result.config["verse-100-full"].experiment, averages=())
    )
    transfer.growth(result)


def test_changed_settings_are_told() -> None:
    assert "یک کد" in circumstances.changed({"commits": ["a"]}).data and "یک کد" in circumstances.changed({}).data
    assert "۳ کامیت" in circumstances.changed({"commits": ["a", "b", "c"]}).data
