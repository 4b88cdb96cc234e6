"""Sentences about the circumstances of a run: its machine, its test set, its corpus, the course of its curve.

Each takes what a manifest or a measure says and returns Persian Markdown, so that the document tells the reader of the
results at hand and of nobody else's. Comparisons of models: ``genmodels.report.sentences``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from types import MappingProxyType
from typing import Any

from IPython.display import Markdown

from genmodels.config import PROFILES
from genmodels.data.wikipedia_file import KAGGLE_CHARACTERS, KAGGLE_FILE, is_published_length
from genmodels.report.names import STAGE_NAMES
from genmodels.report.persian import fa, fa_int, fa_percent
from genmodels.report.provenance import in_bf16, raw_texts
from genmodels.report.sentences import STATIC, joined
from genmodels.store import is_shipped
from genmodels.text.prepare import PREPARATION_VERSION, version_of

FULL = PROFILES[0]
SHORT = {
    "smoke": "**نتیجه‌های آزمون دود.** آموزش‌ها چند گام بوده‌اند تا دیده شود که همهٔ راه کار می‌کند؛ هیچ عدد این سند "
    "چیزی دربارهٔ مدل‌ها نمی‌گوید.",
    "evening": "**نتیجه‌های آموزش کوتاه.** همهٔ مدل‌ها در همین اجرا آموزش دیده‌اند، اما با گام‌های بسیار کمتر از آموزش کامل.",
}
TEST_SETS = {
    STATIC: "آزمون ایستا", "seeded": "آزمونی که با دانه‌ای ثابت یک بار دودویی شده است", "threshold": "آزمون آستانه‌ای",
}  # fmt: skip
WITHOUT_SHARED_TEXT = 3  # version of the preparation
UNREAD = "این داوری از خواندن نمونه‌های همراه پروژه است؛ نمونه‌های این اجرا برای آن خوانده نشده‌اند"
MARKED_HUMP = 1.0  # nats that a hump stands above the curve on both of its sides
RESTS, SLIGHT = 0.003, 0.0125  # of the loss: a curve that has come to rest; a slight gap to the training loss


def whose(
    results: Mapping[str, Any], profile: str = FULL, outdated: Mapping[str, Sequence[str]] = MappingProxyType({})
) -> Markdown:
    """Page 1, as a block: what kind of results the document is made of, where they are not all of one hand and one text.

    A short training says so in every case; a whole one only where the results are a mixture. ``outdated``: results made
    from others than stand here, and those others. Nothing otherwise.
    """
    said = [SHORT[profile]] if profile in SHORT else []
    shipped = {name: is_shipped(result.stored) for name, result in results.items()}
    own = [name for name, of_project in shipped.items() if not of_project]
    if own and len(own) < len(results):
        few, others = sorted((own, [name for name in results if name not in own]), key=len)
        told, rest = ("از این اجراست", "همراه پروژه بوده است")[:: 1 if few is own else -1]
        said.append(
            f"**آمیخته است.** {joined([f'«{STAGE_NAMES[name]}»' for name in few])} {told}؛ هر نتیجهٔ دیگر {rest}."
        )
    said += [f"«{STAGE_NAMES[name]}» {before(others)}." for name, others in outdated.items()]
    if of := raw_texts(results):
        groups: dict[str, list[str]] = {}
        for name, text in of.items():
            groups.setdefault(text, []).append(f"«{STAGE_NAMES[name]}»")
        each = "؛ ".join(f"{text}: {joined(names)}" for text, names in groups.items())
        said.append(f"متن همهٔ نتیجه‌ها یکی نیست، و نتیجه‌های دو متن با هم سنجیده نمی‌شوند. {each}.")
    sets = {result.metrics.get("test_set") for result in results.values()} & {STATIC, "seeded"}
    if len(sets) > 1:
        said.append("زیان تصویرها بر دو آزمون است، و میان آن دو سنجیدنی نیست.")
    body = "\n\n".join(said)
    return Markdown(f'::: {{.callout-warning title="نتیجه‌های این سند"}}\n{body}\n:::' if said else "")


def before(others: Sequence[str]) -> str:
    """Of a result that was made from ``others``, which have been trained again since."""
    again = " یا ".join(f"«{STAGE_NAMES[name]}»" for name in others)
    return f"پیش از آموزش تازهٔ {again} ساخته شده است و دربارهٔ نتیجهٔ تازه چیزی نمی‌گوید"


def read(result: Any) -> bool:
    """Whether somebody has read these samples or curves for the sentences about them: those of the project."""
    return is_shipped(result.stored)


def chosen(gated: Any) -> Markdown:
    """By what the settings were chosen."""
    told = "تنظیم‌های پروژه با اعتبارسنجی برگزیده شده‌اند"
    if not read(gated):
        return Markdown(f"{told}.")
    but = "تنها تصمیمی که به آزمون هم نگاه کرد، درازتر کردن آموزش شبکهٔ بهبودیافته بود (@sec-gated)"
    return Markdown(f"{told}؛ {but}.")


def lengthened(gated: Any) -> Markdown:
    """What the improved network's number of the project has behind it; of another training nothing is known."""
    if not read(gated):
        return Markdown("")
    return Markdown(
        "آموزش کوتاه‌تر آن هم روی آزمون سنجیده شده و به هدف نرسیده بود؛ آموزش را از همین رو درازتر کردیم. پس این یک عدد، "
        "برخلاف دیگر تنظیم‌ها، بی نگاه به آزمون به دست نیامده است."
    )


def test_set(name: str) -> Markdown:
    """The test set that a likelihood was measured on."""
    return Markdown(TEST_SETS.get(name, f"آزمون `{name}`"))


def corpus_line(corpus: Mapping[str, Any]) -> Markdown:
    """The text of problem 2, with its address and what sets it apart, for the first page."""
    size = f"{fa(corpus['characters'] / 1e6, 1)} میلیون نویسه"
    if corpus["name"] == KAGGLE_FILE:
        return Markdown(f"`{KAGGLE_FILE}` از Kaggle [@kaggle-persian-wikipedia]، {size}")
    return Markdown(
        f"متن ویکی‌پدیای فارسی [@wikipedia-fa] از `{corpus['name']}`، {size}؛ پروندهٔ Kaggle "
        "[@kaggle-persian-wikipedia] در دسترس این اجرا نبود"
    )


def processor(manifest: dict[str, Any]) -> Markdown:
    """The processor on which something was timed."""
    return Markdown(f"`{manifest['device']['name']}`")


def precision(manifest: dict[str, Any]) -> Markdown:
    """How a run multiplied."""
    return Markdown("با `bf16`" if in_bf16(manifest) else "۳۲ بیتی")


def machine(manifest: dict[str, Any]) -> Markdown:
    """The device of a run: its name, its precision, and how many processes shared each batch."""
    count = manifest["device"].get("processes", 1)
    shared = f"، با {fa_int(count)} فرایند که هر دسته را میان خود بخش می‌کنند" if count > 1 else ""
    return Markdown(f"روی {processor(manifest).data} ({precision(manifest).data}){shared}")


def overfitting(gap: float, tail: Sequence[float], loss: float) -> Markdown:
    """``gap``: validation minus training loss at the end; ``tail``: the last points of the validation curve; ``loss``:
    the scale of both."""
    moved = max(tail) - min(tail) if len(tail) > 1 else float("inf")
    rests = "تقریباً ایستاده است" if moved < RESTS * loss else "هنوز می‌جنبد"
    where = f"{rests} و روی همهٔ مجموعه {fa(abs(gap), 1)} نات"
    if not gap > 0:
        return Markdown(f"{where} پایین‌تر از زیان آموزش است: بیش‌برازشی دیده نمی‌شود")
    how = "اندک" if gap < SLIGHT * loss else "آشکار"
    return Markdown(f"{where} بالاتر از زیان آموزش است: بیش‌برازش {how} است")


def hump(history: Any, decay_from: int) -> Markdown:
    """A hump of the averaged weights' validation loss while the training loss falls: told where there is one."""
    loss, train = history["validation_loss"].to_numpy(), history["train_loss"].to_numpy()
    for top in range(2, len(loss) - 1):
        if loss[top] > MARKED_HUMP + max(loss[top - 2], loss[top + 1]) and train[top] < train[top - 2]:
            break
    else:
        return Markdown("")
    rate, step = history["learning_rate"].to_numpy(), history["step"].to_numpy()
    told = " منحنی اعتبارسنجی در میانهٔ آموزش برآمدگی دارد، حال آنکه زیان آموزش پایین می‌آید؛ این نمای بیش‌برازش است"
    decay_ends_it = step[top - 1] < decay_from <= step[top] and rate[top] == rate[top + 1]
    ending = "، ولی با آغاز میرایی وزن، و بی تغییر نرخ یادگیری، فرونشست." if decay_ends_it else "، که گذرا بود."
    return Markdown(told + ending)


def legibility(apart: float, error: float) -> Markdown:
    """Entropy of the classifier's answers at the lower temperature minus that at one, bits, and its standard error."""
    if abs(apart) < 2 * error:
        return Markdown("میان دو دما فرقی دیده نمی‌شود")
    return Markdown("با دمای پایین خواناترند" if apart < 0 else "با دمای پایین ناخواناترند")


def class_order(name: str, labels: Sequence[int]) -> Markdown:
    """Where the labels of the test images come from."""
    found = "برچسب هر تصویر از محتمل‌ترین منبع خاکستری آن پیدا شده است"
    if name != STATIC:
        return Markdown(found)
    order = "، و ترتیب پرونده همان ترتیب رده‌هاست" if all(a <= b for a, b in pairwise(labels)) else ""
    return Markdown(f"پروندهٔ آزمون ایستا برچسب ندارد؛ {found}{order}")


def bf16_rows(left_out: Mapping[str, str]) -> Markdown:
    """Whether the table of training speeds has rows in bf16."""
    if not any("bf16" in name for name in left_out):
        return Markdown("ردیف‌های `bf16` را همین پردازنده سنجیده است.")
    told = "پردازندهٔ این سنجش خود در `bf16` ضرب نمی‌کند و ردیف‌های `bf16` در جدول نیست"
    return Markdown(f"{told}؛ `make bench` آن‌ها را روی پردازنده‌ای که چنین ضربی دارد می‌سنجد.")


def word_types(steps: Sequence[Mapping[str, Any]]) -> Markdown:
    """Word types and characters of the raw text, the cleaned one and the normalised one."""
    raw, cleaned, normal = (step["types"] for step in steps)
    before, after = (fa_int(step["characters"]) for step in (steps[0], steps[-1]))
    types = "شمار گونه‌ها"
    characters = f"شمار نویسه‌های متمایز از {before} به {after} می‌رسد"
    if raw > cleaned > normal:
        why = "یکی شدن نوشتارهای گوناگون یک واژه، و حذف واژه‌ها و خط‌های بیگانه"
        less = fa_percent(1 - normal / raw)
        return Markdown(f"{types} {less} کم می‌شود و {characters}. این کاهش دو سرچشمه دارد: {why}.")
    turns = {"پاک‌سازی": cleaned - raw, "نرمال‌سازی": normal - cleaned}
    said = [f"{name} آن را {'کم' if change < 0 else 'زیاد'} کرده" for name, change in turns.items() if change]
    way = f"از {fa_int(raw)} با پاک‌سازی به {fa_int(cleaned)} و با نرمال‌سازی به {fa_int(normal)} می‌رسد"
    rises = " نرمال‌سازی با جدا یا سر هم کردن واژه‌ها گونهٔ تازه هم می‌سازد." if normal > cleaned else ""
    return Markdown(f"{types} {way}{': ' + joined(said) + ' است' if said else ''}. {characters}.{rises}")


def half_spaces(found: Mapping[str, Any]) -> Markdown:
    """What hazm's normaliser brings back of lost half-spaces, or makes of a text that never had any."""
    if not found["in_text"]:
        made, paragraphs = found["after_normalizing"], found["paragraphs"]
        return Markdown(
            "متن این اجرا نیم‌فاصله‌ای ندارد؛ پس نمی‌توان سنجید که نرمال‌ساز چه اندازه از نیم‌فاصله‌ها را بازمی‌گرداند "
            f"و چند تای آن‌ها درست است. همهٔ نیم‌فاصله‌ها از خود نرمال‌ساز است: در {fa_int(paragraphs)} بند متن آزمون "
            f"{fa_int(made)} نیم‌فاصله گذاشته است، {fa(made / max(1, paragraphs), 1)} تا در هر بند."
        )
    told = (
        "نیم‌فاصله‌ها را هم می‌آزماییم: در متن آزمون همه را به فاصله تبدیل می‌کنیم، متن را نرمال می‌کنیم و با نرمال‌شدهٔ "
        "متن اصلی مقایسه می‌کنیم. بازیابی "
        f"{fa_percent(found['recall'])} و دقت {fa_percent(found['precision'])} است: **بازیابی** (recall) سهم نیم‌فاصله‌هایی "
        "است که بازمی‌گردند و **دقت** (precision) سهم درست‌ها در میان آن‌ها."
    )
    if found["recall"] == 1:
        return Markdown(f"{told} همه‌چیز برمی‌گردد.")
    if found["precision"] > found["recall"]:
        return Markdown(f"{told} آنچه برمی‌گردد کم‌وبیش درست است، ولی همه‌چیز برنمی‌گردد.")
    return Markdown(f"{told} نه همه‌چیز برمی‌گردد و نه هر چه برمی‌گردد درست است.")


def unseen_orders(shares: Mapping[int, float]) -> Markdown:
    """Orders whose test n-grams are not all in the training text: raw counts have an infinite perplexity there."""
    orders = [fa_int(n) for n, share in shares.items() if share > 0]
    perplexity = "سرگشتگی مدل خام در"
    unseen = "دست‌کم یک n-gram آزمون نادیده است"
    if len(orders) == len(shares):
        return Markdown(f"چون در همهٔ مرتبه‌ها {unseen}، {perplexity} همهٔ آن‌ها بی‌نهایت است")
    if not orders:
        return Markdown(f"هیچ n-gram آزمون نادیده نیست و {perplexity} همهٔ مرتبه‌ها متناهی است")
    which = f"{'مرتبهٔ' if len(orders) == 1 else 'مرتبه‌های'} {joined(orders)}"
    return Markdown(f"چون در {which} {unseen}، {perplexity} آنجا بی‌نهایت است")


def corpus_file(name: str, characters: int, half_spaces_in_text: int) -> Markdown:
    """What the raw file is, beside the one that the assignment names."""
    if name == KAGGLE_FILE:
        if not is_published_length(characters):
            told = f"نویسه‌هایش {fa_percent(characters / KAGGLE_CHARACTERS)} پروندهٔ منتشرشده است"
            return Markdown(f"نامش همان است که صورت مسئله می‌گوید، ولی {told}.")
        return Markdown("این همان پرونده‌ای است که صورت مسئله نام می‌برد.")
    kept = "با نیم‌فاصله‌ها" if half_spaces_in_text else "بی نیم‌فاصله"
    own = "، با مرز مقاله‌ها و تقسیم سه‌گانهٔ خود" if name.endswith(".jsonl.gz") else ""
    told = f"پروندهٔ Kaggle هنگام این اجرا در دست نبود؛ این پرونده هم ویکی‌پدیای فارسی است، {kept}{own}"
    return Markdown(f"{told}. همان دستورها روی پروندهٔ Kaggle هم کار می‌کنند.")


def older_preparation(manifest: dict[str, Any]) -> Markdown:
    """That the text was prepared by an earlier version than the code's, if it was."""
    made = version_of(manifest)
    if made == PREPARATION_VERSION:
        return Markdown("")
    return Markdown(
        f" متن این اجرا را نسخهٔ {fa_int(made)} آماده‌سازی ساخته است و نمونه‌های جدول از همان است، با خطاهایش: برچسب نادرست "
        f"HTML پاره‌ای از جمله را هم می‌برد. نسخهٔ {fa_int(PREPARATION_VERSION)}، که در کد است، این خطا را ندارد."
    )


def shared_text(manifest: dict[str, Any]) -> Markdown:
    """That training and test texts share passages, where the preparation did not yet take them out of training."""
    if version_of(manifest) >= WITHOUT_SHARED_TEXT:
        return Markdown("")
    return Markdown(
        " چند سند آزمون با متن آموزش عنوان یا پاره‌های مشترک دارند؛ بی آن‌ها زیان هر سه مدل اندکی بیشتر و ترتیبشان همان "
        "است. آماده‌سازی کنونی این پاره‌ها را از آموزش کنار می‌گذارد، ولی این مدل‌ها پیش از آن آموزش دیده‌اند."
    )


def read_text(own: bool) -> Markdown:
    """Whose words were read for the errors of hazm's lemmas."""
    return Markdown("متن آموزش" if own else "متنی دیگر از ویکی‌پدیای فارسی، نه متن این اجرا،")


def lemma_errors(rows: Sequence[Mapping[str, str]]) -> Markdown:
    """Some wrong lemmas of the committed reading."""
    pairs = [(row["word"], row["hazm"]) for row in rows]
    said = [f"«{word}» {'دست‌نخورده مانده' if word == lemma else f'به «{lemma}» رسیده'}" for word, lemma in pairs]
    return Markdown(f"برای نمونه {joined(said)} است")


def changed(manifest: Mapping[str, Any]) -> Markdown:
    """Whether the settings of the arms were changed between their trainings, and what that means for the test set."""
    commits = len(manifest.get("commits", ()))
    if commits < 2:
        return Markdown("همهٔ آموزش‌ها با یک کد و یک فهرست تنظیم انجام شده‌اند.")
    return Markdown(
        f"تنظیم روش‌ها میان آموزش‌ها عوض شده است (شناسنامه {fa_int(commits)} کامیت را نام می‌برد)؛ در نتیجهٔ همراه این پروژه "
        "گاه پس از دیدن عدد آزمون. نرخ و گام هر روش را تنها اعتبارسنجی برگزیده، ولی گزینش روش‌ها کور نبوده است و آزمون برای "
        "چند روش بیش از یک بار خوانده شده."
    )
