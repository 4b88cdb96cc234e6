"""Sentences that turn: made-up numbers in every direction, and nothing of anybody's run in the text."""

from __future__ import annotations

import math
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from genmodels.data.wikipedia_file import KAGGLE_CHARACTERS, KAGGLE_FILE
from genmodels.language.comparison import Comparison, Texts, paired
from genmodels.language.perplexity import summarize
from genmodels.report import circumstances, continuations, image_training, sentences, transformer


@pytest.mark.parametrize(
    ("ours", "told"),
    [
        (79.0, "۲٫۰۰ نات از آن بهتر است، بسیار بیش از پراکندگی"), (80.5, "۰٫۵۰ نات از آن بهتر است، بیش از پراکندگی"),
        (81.1, "از آن جداشدنی نیست: اختلاف ۰٫۱۰ نات است، نه بیش از پراکندگی"), (83.0, "۲٫۰۰ نات از آن بدتر است، بسیار بیش از"),
        (float("nan"), "جداشدنی نیست"),
    ],
)  # fmt: skip
def test_the_improved_network_against_the_assignments(ours: float, told: str) -> None:
    assert told in sentences.improved(81.0, ours, 0.2).data


def test_published_likelihoods_stand_beside_ours_on_the_same_test_set_only() -> None:
    others = ["PixelCNN", "Row LSTM"]
    told = [sentences.beside_published(nll, 0.1, "static", others).data for nll in (80.0, 80.5, 82.0)]
    assert told[0].startswith("از PixelCNN مقاله ۱٫۳۰ نات بهتر است و از Row LSTM ۰٫۵۴ نات بهتر است")
    assert (
        "با Row LSTM هم‌تراز است" in told[1] and told[2].count("بدتر است") == 2 and "خطای معیار میانگین ۰٫۱۰" in told[2]
    )
    other = sentences.beside_published(80.0, 0.1, "seeded", others).data
    assert "مقایسه‌پذیر نیست" in other and "PixelCNN" not in other


def test_our_losses_stand_in_the_table_of_published_ones_where_the_test_set_is_theirs() -> None:
    ours, other = (SimpleNamespace(metrics={"test_nll_nats": 80.0, "test_set": name}) for name in ("static", "seeded"))
    head, rule, *rows = image_training.published(ours, other).data.splitlines()
    assert len(rows) == len(sentences.PUBLISHED) + 2 and ":-" in rule and all("| @" in row for row in rows)
    assert "| PixelCNN | ۸۱٫۳۰ | @oord2016pixel |" in rows and "DRAW (کران بالا)" in rows[3]
    assert "| **۸۰٫۰۰** |" in rows[-2] and "| **آزمون دیگر** |" in rows[-1]


def test_which_perplexity_is_lower() -> None:
    names = ["شبکهٔ بازگشتی", "ترنسفورمر"]
    assert sentences.lower(names, [90.0, 80.0]).data == "سرگشتگی **ترنسفورمر** کمتر است: ۸۰٫۰ در برابر ۹۰٫۰"
    assert "**شبکهٔ بازگشتی** کمتر" in sentences.lower(names, [80.0, 90.0]).data
    assert sentences.lower(names, [80.01, 80.02]).data == "سرگشتگی دو مدل برابر است: ۸۰٫۰"


def comparison(low: float, high: float) -> Comparison:
    return Comparison(SimpleNamespace(), SimpleNamespace(), (low + high) / 2, low, high)  # type: ignore[arg-type]


APART = paired(*(summarize(np.ones(n), np.full(n, 3), np.full(n, 9)) for n in (2, 3)))  # of different documents


def test_models_on_different_documents_are_not_compared() -> None:
    same = paired(*(summarize(np.full(3, loss), np.full(3, 3), np.full(3, 9)) for loss in (1.0, 2.0)))
    assert same.comparable and not APART.comparable and not APART.certain
    assert sentences.reading(APART).data == sentences.APART
    assert (
        sentences.difference(APART, "زیان الف منهای زیان ب").data
        == f"زیان الف منهای زیان ب گفتنی نیست: {sentences.APART}"
    )
    interval = "زیان الف منهای زیان ب −۰٫۳۳۳ نات بر توکن است، با بازهٔ ۹۵٪ از −۰٫۳۳۳ تا −۰٫۳۳۳"
    told = sentences.difference(same, "زیان الف منهای زیان ب").data
    assert told.replace("\u2066", "").replace("\u2069", "") == interval
    told = sentences.lower(["الف", "ب"], [90.0, 80.0], found=APART).data
    assert told == f"سرگشتگی الف ۹۰٫۰ و سرگشتگی ب ۸۰٫۰ است، اما {sentences.APART}"
    assert "کمتر" in sentences.lower(["الف", "ب"], [90.0, 80.0], found=same).data
    rows = transformer.against_counts_rows({"rnn": APART}, APART.theirs)
    assert [rows[1][name] for name in ("کاهش سرگشتگی", "اختلاف زیان و بازهٔ ۹۵٪")] == ["—", "بر متنی دیگر"]
    assert "کنار ترتیب دو مدل اصلی نمی‌توان گذاشت" in sentences.heavier(APART, same, [float("nan"), 0.2]).data
    heavier = sentences.heavier(same, APART, [float("nan"), 0.2]).data
    assert heavier == f"سود آن در این اجرا سنجیدنی نیست و دربارهٔ ترتیب دو مدل چیزی نمی‌گوید، چون {sentences.APART}"


def result(name: str, digest: str | None, of_project: bool, **metrics: object) -> SimpleNamespace:
    data = {"name": name} | ({"corpus_sha256": digest} if digest else {})
    return SimpleNamespace(manifest={"data": data}, metrics=metrics, stored=of_project)


def test_page_one_says_whose_the_results_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(circumstances, "is_shipped", lambda stored: stored)
    shipped = {"rnn": result("a.txt", "aaaaaaaaaa", True), "ngram": result("a.txt", "aaaaaaaaaa", True)}
    assert circumstances.whose(shipped).data == ""
    assert (
        "هیچ عدد" in circumstances.whose(shipped, "smoke").data
        and "کوتاه" in circumstances.whose(shipped, "evening").data
    )
    own = shipped | {"rnn": result("b.txt", "bbbbbbbbbb", False), "transformer": result("a.txt", "aaaaaaaaaa", True)}
    told = circumstances.whose(own).data
    assert "«شبکهٔ بازگشتی» از این اجراست؛ هر نتیجهٔ دیگر همراه پروژه بوده است" in told and "سنجیده نمی‌شوند" in told
    assert "`b.txt`، `bbbbbbbb`: «شبکهٔ بازگشتی»؛" in told and told.startswith("::: {.callout-warning")
    most = {name: result("b.txt", "bbbbbbbbbb", False) for name in ("rnn", "ngram")} | {
        "speed-bpe": result("none", None, True)
    }
    told = circumstances.whose(most).data
    assert "«سرعت BPE» همراه پروژه بوده است؛ هر نتیجهٔ دیگر از این اجراست" in told and "متن همهٔ" not in told
    images = {n: result("MNIST", None, False, test_set=n) for n in ("static", "seeded", "threshold")}
    assert (
        "دو آزمون"
        in circumstances.whose(dict(zip(("pixelcnn", "pixelcnn-gated", "pixelcnn-threshold"), images.values()))).data
    )


def test_what_was_made_before_a_new_training_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(circumstances, "is_shipped", lambda stored: stored)
    shipped = {"rnn": result("a.txt", "a", True), "generation": result("a.txt", None, True)}
    told = circumstances.whose(shipped, outdated={"generation": ["rnn", "transformer"]}).data
    assert "«نمونه‌های متن» پیش از آموزش تازهٔ «شبکهٔ بازگشتی» یا «ترنسفورمر» ساخته شده است" in told


def test_what_was_read_or_looked_at_is_told_of_the_projects_results_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(circumstances, "is_shipped", lambda stored: stored)
    ours, own = (SimpleNamespace(stored=stored) for stored in (True, False))
    assert circumstances.read(ours) and not circumstances.read(own)
    assert "درازتر کردن" in circumstances.chosen(ours).data and "درازتر" not in circumstances.chosen(own).data
    assert "بی نگاه به آزمون" in circumstances.lengthened(ours).data and circumstances.lengthened(own).data == ""


def test_parameters_beside_tokens_and_the_main_network_beside_a_smaller_one() -> None:
    assert "بیشترند" in sentences.capacity(20, 10).data and "۲٫۵ توکن" in sentences.capacity(10, 25).data
    told = [sentences.beside_smaller(9.6, ours, 5.0, 1.05).data for ours in (4.5, 5.5, 5.0, float("nan"))]
    assert (
        told[0].startswith("شبکهٔ اصلی با ۹٫۶ برابر")
        and "تقریباً همان توکن‌ها را دیده بهتر است: ۴٫۵۰۰ در برابر ۵٫۰۰۰" in told[0]
    )
    assert "بدتر است" in told[1] and "برابر است: ۵٫۰۰۰" in told[2] and "متنی دیگر" in told[3] and "۵٫۰" not in told[3]
    few, many = (sentences.beside_smaller(0.2, 6.0, 5.0, share).data for share in (0.25, 60.0))
    assert "توکن‌های بیشتری دیده بدتر است" in few and "توکن‌های کمتری دیده" in many


def test_where_in_a_word_networks_and_counts_differ() -> None:
    rows = {
        "word": {"ngram": 6.0, "rnn": 5.0, "transformer": 5.5},
        "continuation": {"ngram": 3.0, "rnn": 3.5, "transformer": 2.5},
    }
    parts = pd.DataFrame.from_dict(rows, orient="index")
    told = sentences.words_and_pieces(parts).data
    assert "در آغاز واژه‌ها شبکه‌ها بهترند (کنسر–نی ۶٫۰۰ نات، شبکهٔ بازگشتی ۵٫۰۰ و ترنسفورمر ۵٫۵۰)" in told
    assert "در ادامهٔ واژه ترتیب یکسان نیست" in told
    assert "در آغاز واژه‌ها کنسر–نی بهتر است" in sentences.words_and_pieces(parts.assign(ngram=2.0)).data
    alone = sentences.words_and_pieces(parts.drop(columns="transformer")).data
    assert "ترنسفورمر" not in alone and "در ادامهٔ واژه کنسر–نی بهتر است" in alone
    assert "هیچ شبکه‌ای" in sentences.words_and_pieces(parts[["ngram"]]).data


def test_beginnings_that_the_training_text_holds_are_named() -> None:
    config = SimpleNamespace(subjects=("تاریخ", "هنر"))
    of = lambda **metrics: continuations.beginnings(SimpleNamespace(config=config, metrics=metrics)).data  # noqa: E731
    assert of().startswith("۲ آغاز") and "هیچ‌یک در متن آموزش نیامده" in of() == of(familiar=[])
    assert "پادشاه» در متن آموزش هم آمده است و بقیه نیامده‌اند" in of(familiar=["تاریخ"])


def margins(**intervals: tuple[float, float]) -> dict[str, Comparison]:
    return {name: comparison(*interval) for name, interval in intervals.items()}


def test_networks_against_counting() -> None:
    below, above, across = (-0.3, -0.1), (0.1, 0.3), (-0.1, 0.1)
    both = sentences.against_counting(margins(rnn=below, transformer=below)).data
    assert (
        both.startswith("هر دو شبکه از شمارش بهترند") and both.count("۱۸٫۱٪ کمتر") == 2 and "صفر را در بر ندارد" in both
    )
    neither = sentences.against_counting(margins(rnn=above, transformer=above)).data
    assert (
        neither.startswith("هر دو شبکه از شمارش عقب‌ترند")
        and neither.count("۲۲٫۱٪ بیشتر") == 2
        and "بهتر" not in neither
    )
    split = sentences.against_counting(margins(rnn=below, transformer=above)).data
    assert "شبکهٔ بازگشتی ۱۸٫۱٪ کمتر و سرگشتگی ترنسفورمر ۲۲٫۱٪ بیشتر از کنسر–نی است" in split and "هر دو" not in split
    open_ = sentences.against_counting(margins(rnn=across, transformer=below)).data
    assert "ترنسفورمر ۱۸٫۱٪ کمتر" in open_ and "میان کنسر–نی و شبکهٔ بازگشتی این آزمون داوری نمی‌کند" in open_
    apart = sentences.against_counting(margins(rnn=below) | {"transformer": APART}).data
    assert (
        apart
        == "سرگشتگی شبکهٔ بازگشتی ۱۸٫۱٪ کمتر از کنسر–نی است؛ ترنسفورمر بر متنی دیگر سنجیده شده است و با کنسر–نی سنجیدنی نیست."
    )
    none = sentences.against_counting(margins(rnn=across, transformer=across)).data
    assert none.startswith("میان کنسر–نی و شبکهٔ بازگشتی و ترنسفورمر") and "کمتر" not in none


def test_the_heavier_trainings() -> None:
    better, worse, open_ = comparison(-0.3, -0.1), comparison(0.1, 0.3), comparison(-0.1, 0.2)
    assert (
        sentences.heavier(better, better, [0.02, 0.03]).data
        == "سود آن اندک است (۲٫۰٪ و ۳٫۰٪ از سرگشتگی) و ترتیب دو مدل را عوض نمی‌کند"
    )
    assert "آشکار است" in sentences.heavier(better, worse, [0.2, 0.3]).data
    assert "عوض می‌کند" in sentences.heavier(better, worse, [0.2, 0.3]).data
    assert "میان دو مدل داوری نمی‌کند" in sentences.heavier(better, open_, [0.2, 0.3]).data
    assert "در یکی از دو شبکه کم نشده" in sentences.heavier(better, better, [-0.1, 0.3]).data
    assert "در هر دو شبکه کم نشده" in sentences.heavier(better, better, [-0.1, -0.3]).data


def test_the_two_corpora() -> None:
    def told(perplexity: float, bits: float, of: int = 1000, seen: int = 9) -> str:
        classic = {"test_perplexity": perplexity, "test_bits_per_fluent_character": bits, "test_fluent_characters": of}
        fluent = {"test_perplexity": 80.0, "test_bits_per_character": 1.9, "test_tokens": 100}
        fluent |= {"tokens_seen": 10, "train_tokens": 10}
        classic |= {"tokens_seen": seen, "train_tokens": 10}
        return sentences.corpora(classic, fluent | {"test_loss_nats": 19.0 * math.log(2)}).data

    assert "دشوارتر" in told(200.0, 1.0) and "وارونه به نظر می‌آید" in told(200.0, 1.0)
    assert "کمتر مردد" in told(60.0, 1.0) and "دشوارتر" not in told(60.0, 1.0) and "وارونه" not in told(60.0, 1.0)
    other = told(60.0, 1.0, of=999)
    assert "سنجیدنی نیستند" in other and "مردد" not in other and "وارونه" not in other
    short = told(200.0, 1.0, seen=2)
    assert "کلاسیک ۰٫۲ دور و روان ۱٫۰ دور" in short and "دشوارتر" not in short and "وارونه" not in short
    assert "فرقی ندارند" in told(80.0, 1.0) and "هم به سود پیکرهٔ کلاسیک نیست" in told(200.0, 2.5)


def test_speeds_with_and_without_the_cache() -> None:
    assert sentences.ratio(2.14).data == "۲٫۱ برابر سریع‌تر" and sentences.ratio(0.5).data == "۲٫۰ برابر کندتر"
    assert sentences.ratio(1.02).data == sentences.ratio(0.96).data == "کمابیش هم‌سرعت"
    assert "بالا می‌رود" in sentences.cache_growth([5.0, 11.0, 25.0]).data
    assert (
        "یکنواخت بالا نمی‌رود" in sentences.cache_growth([5.0, 4.0]).data
        and "سودی نداشت" in sentences.cache_growth([0.9, 2.0]).data
    )


# the circumstances of a run -------------------------------------------------------------------------------------------


def test_machine_precision_and_test_set_are_read_from_the_results() -> None:
    device = {"name": "Tesla T4", "bf16": False, "processes": 1}
    assert circumstances.machine({"device": device}).data == "روی `Tesla T4` (۳۲ بیتی)"
    shared = circumstances.machine({"device": {"name": "X", "bf16": True, "processes": 2}}).data
    assert shared == "روی `X` (با `bf16`)، با ۲ فرایند که هر دسته را میان خود بخش می‌کنند"
    assert [circumstances.test_set(name).data[:5] for name in ("static", "seeded", "new")] == [
        "آزمون",
        "آزمون",
        "آزمون",
    ]
    assert len({circumstances.test_set(name).data for name in ("static", "seeded", "threshold", "new")}) == 4
    assert "ترتیب رده" in circumstances.class_order("static", [0, 0, 1]).data
    assert (
        "ترتیب رده" not in circumstances.class_order("static", [1, 0]).data
        and "ایستا" not in circumstances.class_order("seeded", [0]).data
    )
    assert (
        "در جدول نیست" in circumstances.bf16_rows({"half-bf16": "no"}).data
        and "سنجیده است" in circumstances.bf16_rows({}).data
    )


def test_the_end_of_the_curve() -> None:
    told = circumstances.overfitting(0.7, [81.1, 81.0, 81.0], 81.0).data
    assert told.startswith("تقریباً ایستاده است") and told.endswith(
        "۰٫۷ نات بالاتر از زیان آموزش است: بیش‌برازش اندک است"
    )
    assert "آشکار" in circumstances.overfitting(9.0, [81.0, 81.0], 81.0).data
    assert (
        "پایین‌تر" in circumstances.overfitting(-2.0, [85.0, 81.0], 81.0).data
        and "می‌جنبد" in circumstances.overfitting(1, [85.0], 81.0).data
    )


def history(loss: list[float], rate: list[float] | None = None) -> pd.DataFrame:
    steps = range(100, 100 * len(loss) + 100, 100)
    train = [90.0 - step for step in range(len(loss))]
    return pd.DataFrame(
        {"step": steps, "validation_loss": loss, "train_loss": train, "learning_rate": rate or [1e-3] * len(loss)}
    )


@pytest.mark.parametrize(
    ("repeats", "topic", "told"),
    [
        ((0.3, 0.6), (0.7, 0.8), ("**ب** بیشتر تکرار می‌کند: ۶۰٫۰٪ در برابر ۳۰٫۰٪", "**ب** موضوع را")),
        ((0.6, 0.3), (0.8, 0.7), ("**الف** بیشتر تکرار می‌کند: ۶۰٫۰٪ در برابر ۳۰٫۰٪", "**الف** موضوع را")),
        ((0.3, 0.3), (0.7, 0.7), ("به یک اندازه تکرار می‌کنند (۳۰٫۰٪)", "به یک اندازه بر سر موضوع")),
    ],
)
def test_the_texts_of_two_networks_in_every_direction(
    repeats: tuple[float, float], topic: tuple[float, float], told: tuple[str, str]
) -> None:
    found = {name: Texts(repeats[k], 0.1, 0.8, topic[k], 3.0, 3.5) for k, name in enumerate("ab")}
    said = sentences.texts(found, ["الف", "ب"]).data
    assert all(words in said for words in told), said


def test_the_corpus_is_named_with_its_address() -> None:
    own = circumstances.corpus_line({"name": "docs.jsonl.gz", "characters": 7_560_000}).data
    assert "@wikipedia-fa" in own and "در دسترس این اجرا نبود" in own and "۷٫۶ میلیون" in own
    asked = circumstances.corpus_line({"name": "Persian-WikiText-1.txt", "characters": 56_700_000}).data
    assert "@kaggle-persian-wikipedia" in asked and "نبود" not in asked


def test_a_hump_is_told_only_where_there_is_one() -> None:
    humped = [86.0, 83.0, 82.0, 83.0, 85.0, 82.5, 82.0]
    assert "میرایی وزن" in circumstances.hump(history(humped), 450).data
    assert circumstances.hump(history(humped), 50).data.endswith("که گذرا بود.")
    assert circumstances.hump(history(humped, [1e-3] * 5 + [1e-4] * 2), 450).data.endswith("که گذرا بود.")
    assert (
        circumstances.hump(history([86.0, 84.0, 83.0, 82.5]), 250).data
        == circumstances.hump(history([86.0]), 0).data
        == ""
    )


def test_legibility() -> None:
    told = [circumstances.legibility(apart, 0.05).data for apart in (-0.3, 0.05, 0.3)]
    assert told == ["با دمای پایین خواناترند", "میان دو دما فرقی دیده نمی‌شود", "با دمای پایین ناخواناترند"]


def steps(*types: int) -> list[dict[str, int]]:
    return [{"types": count, "characters": 700 - 100 * place} for place, count in enumerate(types)]


def test_word_types_may_fall_or_rise() -> None:
    assert "۲۰٫۰٪ کم می‌شود" in circumstances.word_types(steps(100, 90, 80)).data
    kaggle = circumstances.word_types(steps(62035, 53851, 61400)).data
    assert (
        "پاک‌سازی آن را کم کرده و نرمال‌سازی آن را زیاد کرده است" in kaggle
        and "گونهٔ تازه" in kaggle
        and "کم می‌شود" not in kaggle
    )
    same = circumstances.word_types(steps(5, 5, 5)).data
    assert "کرده" not in same and "۷۰۰ به ۵۰۰" in same


def test_a_corpus_without_half_spaces_is_told_what_the_normaliser_makes_of_it() -> None:
    found = {"in_text": 5000, "after_normalizing": 300, "paragraphs": 100, "recall": 0.8, "precision": 0.9}
    assert (
        "۸۰٫۰٪" in circumstances.half_spaces(found).data and "همه‌چیز برنمی‌گردد" in circumstances.half_spaces(found).data
    )
    assert "نه همه‌چیز برمی‌گردد و نه" in circumstances.half_spaces(found | {"precision": 0.7}).data
    assert circumstances.half_spaces(found | {"recall": 1.0}).data.endswith("همه‌چیز برمی‌گردد.")
    none = circumstances.half_spaces(found | {"in_text": 0, "recall": 1.0, "precision": 1.0}).data
    assert "۱۰۰" in none and "۳۰۰ نیم‌فاصله" in none and "۳٫۰ تا در هر بند" in none and "٪" not in none


def test_unseen_orders() -> None:
    assert "در همهٔ مرتبه‌ها" in circumstances.unseen_orders({1: 0.1, 2: 0.3}).data
    assert "در مرتبه‌های ۲ و ۳" in circumstances.unseen_orders({1: 0.0, 2: 0.3, 3: 0.5}).data
    assert (
        "در مرتبهٔ ۲ " in circumstances.unseen_orders({1: 0.0, 2: 0.3}).data
        and "متناهی" in circumstances.unseen_orders({1: 0.0}).data
    )


def test_the_corpus_and_the_reading_of_lemmas() -> None:
    assert "همان پرونده‌ای است" in circumstances.corpus_file(KAGGLE_FILE, KAGGLE_CHARACTERS, 0).data
    assert "ولی نویسه‌هایش ۵۰٫۰٪ پروندهٔ" in circumstances.corpus_file(KAGGLE_FILE, KAGGLE_CHARACTERS // 2, 0).data
    assert "با نیم‌فاصله‌ها، با مرز" in circumstances.corpus_file("fawiki_docs.jsonl.gz", 9, 9).data
    assert "بی نیم‌فاصله." in circumstances.corpus_file("persian-wikipedia-sample.txt", 9, 0).data
    assert circumstances.read_text(True).data != circumstances.read_text(False).data
    rows = [{"word": "صنایع", "hazm": "صنایع"}, {"word": "رفاهی", "hazm": "رفاه"}]
    assert circumstances.lemma_errors(rows).data == "برای نمونه «صنایع» دست‌نخورده مانده و «رفاهی» به «رفاه» رسیده است"
