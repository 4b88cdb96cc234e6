"""Transfer learning, at the end of section 2.5: what the pre-trained model brings, what is trained, what is forgotten.

Everything takes the shipped result of stage ``transfer``; an arm that it has not is left out. Bits per character
throughout: tokenizers differ between the arms. Sentences turn with the results; "no difference" is one direction.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from IPython.display import Markdown
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from genmodels.language.adaptation import arm_name
from genmodels.language.comparison import Comparison, paired
from genmodels.report.canvas import BLACK, GREY, new_figure, styles
from genmodels.report.persian import fa, fa_int, fa_percent
from genmodels.report.plotting import persian_text, persian_ticks
from genmodels.report.sentences import joined

BITS = 1 / math.log(2)
STARTS = {"full": "از مدل ویکی‌پدیا", "scratch": "از صفر، توکن‌ساز ما", "own": "از صفر، توکن‌ساز خودش"}
WAYS = {  # of adapting, by the amount that is trained
    "bias": "بایاس‌ها و ضریب‌ها", "lora4": "LoRA، رتبهٔ ۴", "lora8": "LoRA، رتبهٔ ۸", "lora32": "LoRA، رتبهٔ ۳۲",
    "last-block": "بلوک آخر", "embedding": "بردارهای توکن", "gradual": "همه، گام‌به‌گام", "full": "همهٔ وزن‌ها",
    "replay": "همه، با بازپخش",
}  # fmt: skip
PUBLIC = [  # as their own pages say
    ("HooshvareLab/gpt2-fa", "GPT-2، خودبازگشتی", "ادامه دادن متن", "@parsgpt2021"),
    ("bolbolzaban/gpt2-persian", "GPT-2 medium، بافت ۲۵۶", "شعر فارسی؛ رقم و لاتین را نمی‌خواند", "@khashei2020"),
    ("HooshvareLab/bert-fa-base-uncased", "BERT، دوسویه", "رده‌بندی و برچسب‌زنی، نه ادامه دادن", "@farahani2021"),
]


def sizes(result: Any, target: str = "verse") -> list[int]:
    """Kilobytes of training text at which all starts were compared, rising; 0, all of it, is the last."""
    found = {c.experiment.kilobytes for c in result.config.values() if c.experiment.target == target}
    whole = [size for size in found if all(arm_name(target, size, start) in result.config for start in STARTS)]
    return sorted(whole, key=lambda size: size or math.inf)


def bits(result: Any, key: str) -> float:
    """Test bits per character of an arm, the mean of its seeds."""
    return float(np.mean(result.metrics["runs"][key]["test_bits_per_character"]))


def remembered(result: Any, key: str) -> float:
    """Bits per character on Wikipedia after an arm's training, the mean of its seeds."""
    return float(np.mean(result.metrics["runs"][key]["wikipedia_bits_per_character"]))


def before(result: Any, what: str) -> float:
    """Bits per character of the pre-trained model as it is on ``verse``, ``prose`` or ``wikipedia``."""
    return result.metrics["before"][what]["bits_per_character"]


def against(result: Any, key: str, other: str) -> Comparison:
    """Two arms on the same ghazals, in bits per character, with the bootstrap interval over ghazals."""
    found = paired(result.on_test(key), result.on_test(other))
    return Comparison(found.ours, found.theirs, *(BITS * value for value in (found.difference, found.low, found.high)))


def gains(result: Any, target: str = "verse") -> dict[int, Comparison]:
    """By size: the pre-trained start against the best one from scratch (negative: the pre-trained one is better)."""
    found = {}
    for size in sizes(result, target):
        others = [key for kind in ("scratch", "own", "large") if (key := arm_name(target, size, kind)) in result.config]
        best = min(others, key=lambda key: bits(result, key))
        found[size] = against(result, arm_name(target, size, "full"), best)
    return found


def passes(result: Any, key: str) -> float:
    """How many times an arm's training went over its text."""
    plan = result.config[key].experiment.training
    return plan.steps * plan.batch_size / result.metrics["runs"][key]["train_windows"]


def size_label(size: int) -> str:
    """«۲۵ کیلوبایت», or all of it."""
    return f"{fa_int(size)} کیلوبایت" if size else "همهٔ متن"


def growth(result: Any) -> Figure:
    """Left: test bits against the size of the target text, a line a start, bars from the best seed to the worst. Right:
    the plane of what was learned and what was forgotten, a point a way to adapt."""
    figure, (left, right) = new_figure(6.6, 3.1, 1, 2)
    places = sizes(result)
    for (start, label), (colour, style, marker) in zip(STARTS.items(), styles(len(STARTS)), strict=True):
        runs = [result.metrics["runs"][arm_name("verse", size, start)] for size in places]
        x = [run["train_characters"] / 1000 for run in runs]
        rows = [run["test_bits_per_character"] for run in runs]
        y = np.array([np.mean(row) for row in rows])
        spread = [y - [min(row) for row in rows], [max(row) for row in rows] - y]
        look = {"color": colour, "linestyle": style, "marker": marker, "markersize": 4, "capsize": 2}
        left.errorbar(x, y, yerr=spread, label=persian_text(label), linewidth=1.6, **look)
    left.axhline(before(result, "verse"), color=GREY, linewidth=1, linestyle=":")
    left.text(x[0], before(result, "verse"), persian_text("مدل ویکی‌پدیا، بی آموزش"), va="top", fontsize=7.5)
    left.set_xscale("log")
    left.set_xticks(x, [fa_int(round(value)) for value in x])
    left.minorticks_off()
    left.set_xlabel(persian_text("هزار نویسهٔ شعر در آموزش"))
    left.set_ylabel(persian_text("بیت بر نویسه، غزل‌های آزمون"))
    left.legend(fontsize=7.5)
    _plane(right, result)
    for ax in (left, right):
        persian_ticks(ax)
    return figure


def ways(result: Any) -> dict[str, str]:
    """The ways to adapt that were compared, and the key of each one's arm."""
    at = arm_name("verse", compared(result), "")
    return {way: f"{at}{way}" for way in WAYS if f"{at}{way}" in result.config}


def compared(result: Any) -> int:
    """The size of the text at which ways to adapt were compared."""
    return next(run.experiment.kilobytes for run in result.config.values() if run.experiment.method == "lora")


def _plane(ax: Axes, result: Any) -> None:
    """Wikipedia across, verse up: what lies further down has learned more, what lies further left has forgotten less."""
    found = ways(result)
    points = {WAYS[way]: (remembered(result, key), bits(result, key)) for way, key in found.items()}
    for (label, (x, y)), (colour, _, marker) in zip(points.items(), styles(len(points)), strict=True):
        ax.plot(x, y, color=colour, marker=marker, linestyle="", markersize=5, label=persian_text(label))
    start = (before(result, "wikipedia"), before(result, "verse"))
    for key, run in result.config.items():
        if run.experiment.averages:
            rows = result.metrics["runs"][key]["averages"].values()
            line = [(row["wikipedia_bits_per_character"], row["test_bits_per_character"]) for row in rows]
            line = [start, *line, (remembered(result, key), bits(result, key))]
            ax.plot(*zip(*line), color=BLACK, linewidth=1, linestyle="--", marker=".", markersize=4)
            size = fa_int(run.experiment.kilobytes)
            look = {"xytext": (4, 4), "textcoords": "offset points", "fontsize": 7}
            ax.annotate(persian_text(f"میانگین وزن‌ها ({size} کیلوبایت)"), line[1], **look)
    ax.plot(*start, color=GREY, marker="*", linestyle="", markersize=9, label=persian_text("پیش از آموزش"))
    ax.set_xlabel(persian_text("بیت بر نویسه، ویکی‌پدیا"))
    ax.set_ylabel(persian_text("بیت بر نویسه، شعر"))
    ax.legend(fontsize=6.5, ncols=1)


def way_rows(result: Any) -> list[dict[str, str]]:
    """A row a way to adapt: trained parameters, rate, verse, Wikipedia; before any training first."""
    columns = ("آنچه آموزش می‌بیند", "پارامتر", "نرخ", "شعر", "ویکی‌پدیا")
    start = (fa(before(result, what), 3) for what in ("verse", "wikipedia"))
    rows = [("هیچ", "۰", "—", *start)]
    for way, key in ways(result).items():
        run = result.metrics["runs"][key]
        ends = (fa(bits(result, key), 3), fa(remembered(result, key), 3))
        rows.append((WAYS[way], fa_int(run["trained_parameters"]), fa(run["rate"]), *ends))
    return [dict(zip(columns, row)) for row in rows]


def form_rows(result: Any) -> list[dict[str, str]]:
    """A row a start on the whole text (or the largest there is): length of lines and rhyme of what it writes, and people's."""
    size = sizes(result)[-1]
    forms = {f"{label}، {size_label(size)}": result.metrics["runs"][arm_name("verse", size, start)]["form"]
             for start, label in STARTS.items()}  # fmt: skip
    forms |= {
        "غزل‌های آزمون": result.metrics["form"]["people"],
        "همان سطرها، بُرخورده": result.metrics["form"]["shuffled"],
    }
    return [
        {
            "متن": label,
            "بیت": fa_int(round(form["couplets"])),
            "نویسه در مصراع (انحراف)": f"{fa(form['line_characters'], 1)} ({fa(form['line_characters_deviation'], 1)})",
            "هم‌قافیه": fa_percent(form["rhyme_rate"]),
        }
        for label, form in forms.items()
    ]


def public_rows() -> list[dict[str, str]]:
    """Pre-trained Persian models that anyone can fetch."""
    columns = ("نام", "گونه", "به چه کار می‌آید", "مرجع")
    return [dict(zip(columns, (f"`{row[0]}`", *row[1:]))) for row in PUBLIC]


def sample(result: Any, key: str, lines: int = 6) -> Markdown:
    """The first lines of the first poem that an arm wrote, not chosen."""
    rows = result.metrics["runs"][key]["sample"].strip().split("\n")[:lines]
    return Markdown("\n".join(f"> {row.strip()}\\" for row in rows).rstrip("\\"))


# --- sentences ----------------------------------------------------------------------------------------------------------


def worth(found: Mapping[int, Comparison]) -> Markdown:
    """What the pre-trained start brings at each size."""
    better = [size for size, one in found.items() if one.high < 0]
    worse = [size for size, one in found.items() if one.low > 0]
    if not better and not worse:
        return Markdown(
            "در هیچ اندازه‌ای میان آغاز از مدل ویکی‌پدیا و آغاز از صفر فرقی دیده نمی‌شود: همهٔ بازه‌ها صفر را در بر دارند."
        )
    if len(better) == len(found):
        first, last = found[better[0]], found[better[-1]]
        told = f"در همهٔ اندازه‌ها آغاز از مدل ویکی‌پدیا بهتر است: با {size_label(better[0])} {fa(-first.difference, 2)} بیت بر نویسه"
        end = f" و با {size_label(better[-1])} {fa(-last.difference, 2)} بیت" if len(better) > 1 else ""
        return Markdown(f"{told}{end}؛ هیچ بازه‌ای صفر را در بر ندارد.")
    parts = [f"با {joined([size_label(size) for size in better])} آغاز از مدل ویکی‌پدیا بهتر است"] if better else []
    parts += [f"با {joined([size_label(size) for size in worse])} آغاز از صفر بهتر است"] if worse else []
    if still := [size for size in found if size not in (*better, *worse)]:
        parts.append(f"با {joined([size_label(size) for size in still])} فرقی دیده نمی‌شود")
    return Markdown("؛ ".join(parts) + ".")


def shrinking(found: Mapping[int, Comparison]) -> Markdown:
    """Whether the gain falls as the target text grows; judged by the intervals of the smallest and the largest."""
    ends = list(found.values())
    if len(ends) < 2:
        return Markdown("تنها یک اندازه سنجیده شده است و دربارهٔ روند چیزی نمی‌توان گفت")
    first, last = ends[0], ends[-1]
    if last.low > first.high:
        return Markdown("هرچه متن هدف بزرگ‌تر می‌شود، این سود کمتر می‌شود")
    if last.high < first.low:
        return Markdown("با بزرگ شدن متن هدف این سود بیشتر هم می‌شود")
    return Markdown("در این اندازه‌ها کم شدن سود دیده نمی‌شود: بازه‌های دو سر روی هم می‌افتند")


def slower(result: Any, first: float) -> Markdown:
    """The rates chosen for fine-tuning, by size, beside that of the first training."""
    chosen = {size: result.metrics["runs"][arm_name("verse", size, "full")]["rate"] for size in sizes(result)}
    lower = [size_label(size) for size, rate in chosen.items() if rate < 0.99 * first]
    if not lower:
        return Markdown(f"نرخ برگزیده در هیچ اندازه‌ای کمتر از نرخ آموزش نخست ({fa(first)}) نیست")
    every = "در همهٔ اندازه‌ها" if len(lower) == len(chosen) else f"با {joined(lower)}"
    return Markdown(f"نرخ برگزیده {every} کمتر از نرخ آموزش نخست ({fa(first)}) است")


def forgetting(result: Any, key: str) -> Markdown:
    """What fine-tuning did to Wikipedia."""
    gap = remembered(result, key) - before(result, "wikipedia")
    spread = np.ptp(result.metrics["runs"][key]["wikipedia_bits_per_character"])
    if abs(gap) <= max(spread, 5e-4):
        return Markdown("آنچه از ویکی‌پدیا آموخته بود برجا مانده است")
    much, way = fa(abs(gap), 2), "بدتر" if gap > 0 else "بهتر"
    return Markdown(f"همان مدل ویکی‌پدیا را {much} بیت بر نویسه {way} از پیش می‌خواند")


def trade(result: Any, way: str, other: str = "full") -> Markdown:
    """One way to adapt against another (default: all weights), on both axes of the plane."""
    keys = ways(result)
    if way not in keys or other not in keys:
        return Markdown("این دو روش در این اجرا کنار هم سنجیده نشده‌اند")
    found = against(result, keys[way], keys[other])
    learned = "شعر را به همان خوبی می‌آموزد"
    if found.certain:
        learned = f"شعر را {fa(abs(found.difference), 3)} بیت {'بهتر' if found.high < 0 else 'بدتر'} می‌آموزد"
    gap = remembered(result, keys[way]) - remembered(result, keys[other])
    lost = "به همان اندازه فراموش می‌کند"
    if fa(abs(gap), 3) != fa(0.0, 3):
        lost = f"{fa(abs(gap), 3)} بیت {'کمتر' if gap < 0 else 'بیشتر'} فراموش می‌کند"
    return Markdown(f"«{WAYS[way]}» در برابر «{WAYS[other]}» {learned} و {lost}")


def near_and_far(result: Any) -> Markdown:
    """The gain on modern prose beside that on verse, at the smallest size that both have."""
    common = [size for size in sizes(result, "prose") if size in sizes(result)]
    if not common:
        return Markdown("نثر و شعر در این اجرا به یک اندازه سنجیده نشده‌اند.")
    near, far = (gains(result, target)[common[0]] for target in ("prose", "verse"))
    told = f"با {size_label(common[0])}، سود در نثر {fa(-near.difference, 2)} و در شعر {fa(-far.difference, 2)} بیت بر نویسه است"
    if near.high < far.low:
        return Markdown(f"{told}: متن نزدیک بیشتر سود می‌برد.")
    if near.low > far.high:
        return Markdown(f"{told}: متن دور بیشتر سود می‌برد.")
    return Markdown(f"{told}؛ بازه‌ها روی هم می‌افتند و میان دو متن فرقی دیده نمی‌شود.")


def rhyme(result: Any, keys: Sequence[str]) -> Markdown:
    """Whether any of the arms' poems rhyme more often than lines dealt out by chance; one standard error decides."""
    chance, people = (result.metrics["form"][kind]["rhyme_rate"] for kind in ("shuffled", "people"))
    rates = []
    for key in keys:
        form = result.metrics["runs"][key]["form"]
        error = math.sqrt(max(chance * (1 - chance), 1e-9) / max(form["couplets"], 1))
        rates.append((form["rhyme_rate"], form["rhyme_rate"] - chance > 2 * error))
    best = max(rate for rate, _ in rates)
    ends = f"تصادف {fa_percent(chance)} و حافظ {fa_percent(people)}"
    not_yet = "بیت کمتر هنوز شعر نیست، و قافیه آموخته نشده است"
    told = "قافیه بیش از تصادف است" if any(clear for _, clear in rates) else not_yet
    return Markdown(f"{told}: بیشترین {fa_percent(best)}، در برابر {ends}")


def seeded(result: Any) -> Markdown:
    """How many seeds stand behind a row of the table of ways."""
    more = [f"«{WAYS[way]}»" for way, key in ways(result).items() if result.config[key].experiment.seeds > 1]
    return Markdown("هر سطر @tbl-transfer یک دانه دارد" + (f" مگر {joined(more)}" if more else ""))
