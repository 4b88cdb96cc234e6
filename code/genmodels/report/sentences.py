"""The report's main comparisons as sentences that turn with the results, in every direction.

Each takes numbers and returns Persian Markdown; "no difference" is one of the directions. Lower is better in all of
them (losses, perplexities). A sentence that is true or not is a claim (``genmodels.report.claims``); what hangs on the
machine, the test set or the corpus of a run is in ``genmodels.report.circumstances``.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from IPython.display import Markdown

from genmodels.language.comparison import Comparison, Texts
from genmodels.report.names import STAGE_NAMES
from genmodels.report.persian import fa, fa_percent

STATIC = "static"  # the published binarisation of the test set (Larochelle & Murray, 2011)


@dataclass(frozen=True)
class Published:
    """A test loss as a paper printed it: nats an image, the paper (a citation), and what sets the number apart."""

    nats: float
    source: str
    remark: str = ""


PUBLISHED = {  # on the static test set, as far as a remark does not say otherwise
    "NADE": Published(88.33, "@larochelle2011، به نقل از @oord2016pixel"),
    "MADE": Published(86.64, "@germain2015"),
    "PixelCNN": Published(81.30, "@oord2016pixel"),
    "DRAW": Published(80.97, "@gregor2015", "کران بالا"),
    "Row LSTM": Published(80.54, "@oord2016pixel"),
    "Gated PixelCNN": Published(80.10, "@gulrajani2017"),
    "Diagonal BiLSTM": Published(79.20, "@oord2016pixel"),
    "Gated PixelVAE": Published(80.08, "@gulrajani2017", "کران بالا"),
    "Gated PixelVAE بی بالانمونه‌گیری": Published(79.02, "@gulrajani2017", "برآورد نمونه‌ای؛ کران بالا ۷۹٫۶۶"),
}
APART = "این دو بر متن‌های دیگر سنجیده شده‌اند و با هم سنجیدنی نیستند"
SAME_SPEED = 0.05  # relative: nearer to one than this is no difference
SAME_PASSES = 0.25  # relative: two trainings that went over their texts about as often


def joined(parts: Sequence[str]) -> str:
    """«a، b و c»."""
    return " و ".join(filter(None, ("، ".join(parts[:-1]), parts[-1]))) if parts else ""


def beside_published(nll: float, error: float, name: str, others: Sequence[str]) -> Markdown:
    """Our likelihood against published ones; within one standard error it is called equal."""
    if name != STATIC:
        return Markdown("بر آزمونی دیگر سنجیده شده است و با عددهای منتشرشده مقایسه‌پذیر نیست")
    parts = []
    for other in others:
        gap = PUBLISHED[other].nats - nll
        side = "بهتر" if gap > 0 else "بدتر"
        same, theirs = abs(gap) < error, f"{other} مقاله" if other == "PixelCNN" else other
        parts.append(f"با {theirs} هم‌تراز است" if same else f"از {theirs} {fa(abs(gap), 2)} نات {side} است")
    return Markdown(f"{joined(parts)} (خطای معیار میانگین {fa(error, 2)})")


def improved(spec: float, ours: float, spread: float) -> Markdown:
    """The improved network against the assignment's, with the spread of seeds as the ruler (nats)."""
    gap, ruler = spec - ours, f"پراکندگی سه دانهٔ تصادفی در آموزش کوتاه، {fa(spread, 2)} نات"
    if not abs(gap) > spread:
        return Markdown(f"از آن جداشدنی نیست: اختلاف {fa(abs(gap), 2)} نات است، نه بیش از {ruler}")
    much = "بسیار بیش از" if abs(gap) > 3 * spread else "بیش از"
    return Markdown(f"{fa(abs(gap), 2)} نات از آن {'بهتر' if gap > 0 else 'بدتر'} است، {much} {ruler}")


def lower(names: Sequence[str], values: Sequence[float], digits: int = 1, found: Comparison | None = None) -> Markdown:
    """Which of two perplexities is the lower: «سرگشتگی **a** کمتر است: ۱ در برابر ۲»; ``found``: their comparison, by
    which it is known whether they have one."""
    if found is not None and not found.comparable:
        told = [f"سرگشتگی {name} {fa(value, digits)}" for name, value in zip(names, values)]
        return Markdown(f"{joined(told)} است، اما {APART}")
    if fa(values[0], digits) == fa(values[1], digits):
        return Markdown(f"سرگشتگی دو مدل برابر است: {fa(values[0], digits)}")
    (best, name), (worst, _) = sorted(zip(values, names))
    return Markdown(f"سرگشتگی **{name}** کمتر است: {fa(best, digits)} در برابر {fa(worst, digits)}")


def reading(found: Comparison) -> Markdown:
    """What the interval of a comparison says."""
    if not found.comparable:
        return Markdown(APART)
    if found.certain:
        return Markdown("این بازه صفر را در بر ندارد، پس اختلاف تنها از گوناگونی سندها نیست")
    return Markdown("این بازه صفر را در بر دارد، پس این آزمون میان دو مدل داوری نمی‌کند")


def difference(found: Comparison, what: str, unit: str = "نات بر توکن") -> Markdown:
    """``what`` (one loss minus another) with its interval, and what the interval says."""
    if not found.comparable:
        return Markdown(f"{what} گفتنی نیست: {APART}")
    low, high = fa(found.low, 3), fa(found.high, 3)
    return Markdown(f"{what} {fa(found.difference, 3)} {unit} است، با بازهٔ ۹۵٪ از {low} تا {high}")


def against_counting(margins: Mapping[str, Comparison]) -> Markdown:
    """Each network against Kneser–Ney, by the interval of the difference of their losses."""
    better, worse, open_, apart = [], [], [], []
    for name, m in margins.items():
        if not m.comparable:
            apart.append(STAGE_NAMES[name])
            continue
        said = f"سرگشتگی {STAGE_NAMES[name]} {fa_percent(abs(m.perplexity_share))}"
        if m.high < 0:
            better.append(f"{said} کمتر")
        elif m.low > 0:
            worse.append(f"{said} بیشتر")
        else:
            open_.append(STAGE_NAMES[name])
    if not worse and not open_ and not apart:
        proof = "از کنسر–نی است و هیچ‌یک از دو بازه صفر را در بر ندارد"
        return Markdown(f"هر دو شبکه از شمارش بهترند: {joined(better)} {proof}.")
    parts = [f"{joined([*better, *worse])} از کنسر–نی است"] if better or worse else []
    parts += [f"میان کنسر–نی و {joined(open_)} این آزمون داوری نمی‌کند: بازه صفر را در بر دارد"] if open_ else []
    verb = "سنجیده شده است" if len(apart) == 1 else "سنجیده شده‌اند"
    parts += [f"{joined(apart)} بر متنی دیگر {verb} و با کنسر–نی سنجیدنی نیست"] if apart else []
    lead = "هر دو شبکه از شمارش عقب‌ترند: " if len(worse) == len(margins) else ""
    return Markdown(f"{lead}{'؛ '.join(parts)}.")


def heavier(plain: Comparison, finest: Comparison, gains: Sequence[float]) -> Markdown:
    """The heavier trainings against the main ones: ``gains`` of the networks are fractions of perplexity, NaN where a network
    and its heavier training were measured on different texts."""
    if any(map(math.isnan, gains)):
        gain = "سود آن در این اجرا سنجیدنی نیست"
    elif min(gains) > 0:
        much = "اندک" if max(gains) < 0.1 else "آشکار"
        gain = f"سود آن {much} است ({joined([fa_percent(gain) for gain in gains])} از سرگشتگی)"
    else:
        gain = f"سرگشتگی با آن {'در هر دو شبکه' if max(gains) <= 0 else 'در یکی از دو شبکه'} کم نشده است"
    if not finest.comparable:
        order = f"دربارهٔ ترتیب دو مدل چیزی نمی‌گوید، چون {APART}"
    elif not plain.comparable:
        order = "ترتیب این دو آموزش را کنار ترتیب دو مدل اصلی نمی‌توان گذاشت، که بر متن‌های دیگر سنجیده شده‌اند"
    elif not finest.certain:
        order = "میان دو مدل داوری نمی‌کند"
    else:
        same = (finest.difference < 0) == (plain.difference < 0)
        order = f"ترتیب دو مدل را عوض {'نمی‌کند' if same else 'می‌کند'}"
    return Markdown(f"{gain} و {order}")


def capacity(parameters: int, tokens: int) -> Markdown:
    """The network's parameters beside the tokens that it is trained on."""
    if parameters > tokens:
        return Markdown("پارامترها از توکن‌های آموزش بیشترند، و این در متن‌های کوچک معمول است [@merity2018]")
    return Markdown(f"برای هر پارامتر {fa(tokens / parameters, 1)} توکن آموزش هست")


def beside_smaller(budgets: float, ours: float, smaller: float, tokens: float) -> Markdown:
    """The main network against a smaller one of the study of sizes: how many times its operations, both losses on the same
    validation documents (NaN: on different ones), and how many times its tokens the main network has seen."""
    told = f"شبکهٔ اصلی با {fa(budgets, 1 if budgets >= 1 else 3)} برابر آن بودجه آموزش دیده است"
    if math.isnan(ours):
        return Markdown(f"{told}، و بر متنی دیگر؛ زیانش کنار این‌ها سنجیدنی نیست")
    seen = "تقریباً همان توکن‌ها را" if abs(tokens - 1) < 0.1 else f"توکن‌های {'کمتری' if tokens > 1 else 'بیشتری'}"
    if fa(ours, 3) == fa(smaller, 3):
        return Markdown(f"{told} و با شبکهٔ کوچک‌تری که {seen} دیده برابر است: {fa(ours, 3)}")
    side = "بهتر" if ours < smaller else "بدتر"
    return Markdown(f"{told} و از شبکهٔ کوچک‌تری که {seen} دیده {side} است: {fa(ours, 3)} در برابر {fa(smaller, 3)}")


def corpora(classic: Mapping[str, float], fluent: Mapping[str, float]) -> Markdown:
    """The same network on the two corpora: perplexity, then bits spread over the fluent text."""
    a, b = classic["test_perplexity"], fluent["test_perplexity"]
    told = f"سرگشتگی پیکرهٔ کلاسیک {fa(a, 1)} است، در برابر {fa(b, 1)} برای پیکرهٔ روان."
    characters = fluent["test_loss_nats"] * fluent["test_tokens"] / math.log(2) / fluent["test_bits_per_character"]
    if classic["test_fluent_characters"] != round(characters):
        return Markdown(f"{told} اما دو پیکره از یک متن ساخته نشده‌اند؛ این دو عدد با هم سنجیدنی نیستند.")
    passes, others = (each["tokens_seen"] / each["train_tokens"] for each in (classic, fluent))
    if abs(passes / others - 1) > SAME_PASSES:
        ends = f"کلاسیک {fa(passes, 1)} دور و روان {fa(others, 1)} دور"
        return Markdown(f"{told} اما دو آموزش هم‌اندازه نیستند ({ends})؛ از این دو عدد چیزی دربارهٔ پیکره‌ها برنمی‌آید.")
    gone = "ایست‌واژه‌ها، که آسان حدس زده می‌شوند، رفته‌اند"
    if fa(a, 1) == fa(b, 1):
        told += " دو پیکره فرقی ندارند، هرچند توکن‌هایشان یکی نیست."
    elif a > b:
        told += f" {gone}؛ آنچه مانده واژه‌های محتوایی است که از روی بافت دشوارتر حدس زده می‌شوند."
    else:
        told += f" {gone}، و با این همه شبکه در پیکرهٔ کلاسیک کمتر مردد است: لم‌ها از صورت‌های صرف‌شده کمترند."
    if classic["test_bits_per_fluent_character"] < fluent["test_bits_per_character"]:
        why = "پیکرهٔ کلاسیک بخشی از متن را اصلاً نمی‌سازد و بیت‌های آن بخش را نمی‌پردازد"
        seems = "وارونه به نظر می‌آید، اما برتری نیست" if a > b else "هم برتری نیست"
        return Markdown(f"{told} ستون آخر {seems}: {why}.")
    return Markdown(f"{told} ستون آخر هم به سود پیکرهٔ کلاسیک نیست.")


def words_and_pieces(parts: Any) -> Markdown:
    """Where in a word networks and counts differ. ``parts``: rows ``word`` (its first token) and ``continuation``, a column
    of mean losses a model; of the networks those that were measured on the same documents."""
    networks = [name for name in ("rnn", "transformer") if name in parts]
    if not networks:
        return Markdown("هیچ شبکه‌ای بر این متن سنجیده نشده است")

    def side(part: str) -> str:
        losses, counted = parts.loc[part, networks], parts.ngram[part]
        told = joined([f"{STAGE_NAMES[name]} {fa(parts.loc[part, name], 2)}" for name in networks])
        better = (
            "شبکه‌ها بهترند"
            if losses.max() < counted
            else "کنسر–نی بهتر است"
            if losses.min() > counted
            else "ترتیب یکسان نیست"
        )
        return f"{better} (کنسر–نی {fa(counted, 2)} نات، {told})"

    return Markdown(f"در آغاز واژه‌ها {side('word')}؛ در ادامهٔ واژه {side('continuation')}")


def texts(told: Mapping[str, Texts], names: Sequence[str]) -> Markdown:
    """The texts of two networks: who repeats itself more when greedy, who keeps the topic, whose texts both find likelier."""
    one, other = told.values()

    def less(a: float, b: float, digits: int = 0) -> int | None:
        return None if fa_percent(a, digits) == fa_percent(b, digits) else int(b < a)

    parts = []
    repeats = less(one.greedy_repetition, other.greedy_repetition)
    if repeats is None:
        parts.append(f"دو شبکه با روش حریصانه به یک اندازه تکرار می‌کنند ({fa_percent(one.greedy_repetition, 1)})")
    else:
        low, high = sorted((one.greedy_repetition, other.greedy_repetition))
        more = names[1 - repeats]
        parts.append(
            f"با روش حریصانه **{more}** بیشتر تکرار می‌کند: {fa_percent(high, 1)} در برابر {fa_percent(low, 1)}"
        )
    keeps = less(one.topic_share, other.topic_share)
    shares = f"{fa_percent(max(one.topic_share, other.topic_share))} در برابر {fa_percent(min(one.topic_share, other.topic_share))}"
    if keeps is None:
        parts.append(f"هر دو به یک اندازه بر سر موضوع می‌مانند ({fa_percent(one.topic_share)})")
    else:
        parts.append(f"**{names[1 - keeps]}** موضوع را بیشتر نگه می‌دارد ({shares})")
    return Markdown("؛ ".join(parts) + ".")


def ratio(value: float, faster: str = "سریع‌تر", slower: str = "کندتر") -> Markdown:
    """«۲٫۱ برابر سریع‌تر», «۱٫۱ برابر کندتر», or no difference (within five in a hundred)."""
    if abs(value - 1) < SAME_SPEED:
        return Markdown("کمابیش هم‌سرعت")
    return Markdown(f"{fa(value, 1)} برابر {faster}" if value > 1 else f"{fa(1 / value, 1)} برابر {slower}")


def cache_growth(ratios: Sequence[float]) -> Markdown:
    """With the KV cache and without, over growing lengths: does the gain grow?"""
    if min(ratios) <= 1:
        return Markdown("در این اجرا حافظهٔ نهان در همهٔ طول‌ها سودی نداشت")
    rises = all(a < b for a, b in zip(ratios, ratios[1:]))
    return Markdown("نسبت با طول بالا می‌رود" if rises else "نسبت در این اجرا با طول یکنواخت بالا نمی‌رود")
