"""The report's generated tables: settings, parameters, provenance, checks. Numbers in, Markdown out.

No table of the document is written by hand: each is read off a config, a module, a manifest or a check.
"""

from __future__ import annotations

import dataclasses
import math
import re
from collections import Counter
from collections.abc import Mapping
from typing import Any

from IPython.display import Markdown
from torch import nn

from genmodels.report.persian import fa, fa_int, table
from genmodels.checks.tables import SAID, coloured, tally
from genmodels.system.kinds import HOLDS, kind

LAYER_NUMBER = re.compile(r"\.\d+\.")
STAGE_NAMES = {
    "text": "آماده‌سازی متن", "pixelcnn": "شبکهٔ خواسته‌شده", "pixelcnn-gated": "شبکهٔ دوپشته‌ای",
    "pixelcnn-threshold": "خواسته‌شده، آستانه‌ای", "pixelcnn-homework": "خواسته‌شده، آموزش رایج",
    "pixelcnn-study": "اجزای PixelCNN", "ngram": "کنسر–نی", "rnn": "شبکهٔ بازگشتی",
    "rnn-classic": "بازگشتی، پیکرهٔ کلاسیک", "transformer": "ترنسفورمر",
    "rnn-best": "بازگشتی، بهترین تنظیم", "transformer-best": "ترنسفورمر، بهترین تنظیم",
    "rnn-study": "اندازه‌های شبکهٔ بازگشتی", "rnn-study-small": "اندازه‌های کوچک‌تر", "transformer-study": "اجزای ترنسفورمر",
    "mnist-classifier": "رده‌بند رقم‌ها", "pixelcnn-samples": "نمونه‌های تصویر",
    "generation": "نمونه‌های متن", "vocabularies": "اندازه‌های واژگان", "speed-decoding": "سرعت تولید",
    "speed-sampling": "سرعت نمونه‌گیرها",
    "speed-peers": "سرعت در برابر PyTorch", "speed-text": "سرعت آماده‌سازی", "speed-bpe": "سرعت BPE",
    "speed-training": "سرعت آموزش PixelCNN",
}


def show(value: Any) -> str:
    """A setting as the tables print it: Persian digits, yes/no, lists joined; names stay as they are."""
    if isinstance(value, bool):
        return "بله" if value else "نه"
    if isinstance(value, (tuple, list)):
        return "، ".join(map(show, value))
    if isinstance(value, int):
        return fa_int(value)
    if isinstance(value, float):
        return fa(value)
    return f"`{value}`"


def _settings(config: Any) -> dict[str, tuple[str, Any, str]]:
    """Name in the code -> (Persian label, value, unit or reason) of every leaf."""
    found: dict[str, tuple[str, Any, str]] = {}
    for item in dataclasses.fields(config):
        value = getattr(config, item.name)
        if dataclasses.is_dataclass(value):
            found |= _settings(value)
        else:
            found[item.name] = (item.metadata["label"], value, item.metadata["unit"])
    return found


def hyperparameters(configs: Mapping[str, Any]) -> Markdown:
    """Every field of the (nested) configs of some stages: Persian label, name in the code, a column of values each, unit or
    reason. A setting that a config does not have is a dash there."""
    found = {name: _settings(config) for name, config in configs.items()}
    rows = []
    for name in dict.fromkeys(name for settings in found.values() for name in settings):
        said = [settings[name] for settings in found.values() if name in settings]
        label = " / ".join(dict.fromkeys(label for label, _, _ in said))
        unit = "؛ ".join(dict.fromkeys(unit for _, _, unit in said if unit))
        values = {
            "مقدار" if len(found) == 1 else STAGE_NAMES[stage]: show(settings[name][1]) if name in settings else "—"
            for stage, settings in found.items()
        }
        rows.append({"تنظیم": label, "نام در کد": f"`{name}`"} | values | {"یکا یا دلیل": unit or "—"})
    return table(rows)


def parameters(model: nn.Module) -> Markdown:
    """Every learned tensor: name, shape, count, share; the last row is the sum. Tied tensors appear once.

    Tensors that repeat from layer to layer (same name but for the layer's number, same shape) share one row.
    """
    total = sum(p.numel() for p in model.parameters())
    named = [(name, tuple(p.shape)) for name, p in model.named_parameters()]
    repeats = Counter((LAYER_NUMBER.sub(".*.", name), shape) for name, shape in named)
    rows = []
    for name, shape in named:
        times = repeats.pop((LAYER_NUMBER.sub(".*.", name), shape), 0)
        if not times:
            continue  # already in the row of the first layer
        rows.append({
            "پارامتر": f"`{LAYER_NUMBER.sub('.*.', name) if times > 1 else name}`",
            "شکل": " × ".join(fa_int(side, grouping=False) for side in shape),
            "تکرار": fa_int(times),
            "شمار": fa_int(times * math.prod(shape)),
            "سهم (٪)": fa(100 * times * math.prod(shape) / total, 1),
        })
    last = {"پارامتر": "**مجموع**", "شکل": "", "تکرار": "", "شمار": f"**{fa_int(total)}**", "سهم (٪)": fa(100.0, 1)}
    return table([*rows, last])


def summary(pixelcnn: Any, gated: Any, ngram: Any, rnn: Any, transformer: Any) -> Markdown:
    """The main results, one row a model."""
    rows = [
        {
            "مدل": STAGE_NAMES[name], "داده": "MNIST دودویی", "پارامترها": fa_int(result.metrics["live_parameters"]),
            "سنجه": "منفی لگاریتم درست‌نمایی (نات بر تصویر)", "آزمون": fa(result.metrics["test_nll_nats"], 2),
        }
        for name, result in (("pixelcnn", pixelcnn), ("pixelcnn-gated", gated))
    ]
    best = ngram.test()
    rows.append({
        "مدل": f"{STAGE_NAMES['ngram']} (n\u00a0=\u00a0{ngram.config.orders[-1]})", "داده": "ویکی‌پدیای فارسی", "پارامترها": "—",
        "سنجه": "سرگشتگی بر توکن", "آزمون": fa(best.perplexity, 1),
    })
    for name, result in (("rnn", rnn), ("transformer", transformer)):
        rows.append({
            "مدل": STAGE_NAMES[name], "داده": "ویکی‌پدیای فارسی", "پارامترها": fa_int(result.metrics["parameters"]),
            "سنجه": "سرگشتگی بر توکن", "آزمون": fa(result.metrics["test_perplexity"], 1),
        })
    return table(rows)


def cpu_minutes(manifest: dict[str, Any]) -> float:
    """Processor minutes of a run: the leading process's, times the processes that shared each of its batches evenly."""
    return manifest["cpu_seconds"] * manifest["device"].get("processes", 1) / 60


def in_bf16(manifest: dict[str, Any]) -> bool:
    """Whether the device of a run multiplied in bf16; the first manifests, of machines that did, do not say."""
    return bool(manifest["device"].get("bf16", True))


def provenance(results: dict[str, Any]) -> Markdown:
    """Where each shipped result comes from, read off its manifest."""
    rows = []
    for name, result in results.items():
        manifest = result.manifest
        device = manifest["device"]
        rows.append({
            "مرحله": STAGE_NAMES.get(name, f"`{name}`"),
            "داده": "—" if manifest["data"]["name"] == "none" else f"{manifest['data']['name']}، `{manifest['data']['digest'][:8]}`",
            "کامیت": f"`{manifest['commit'][:8]}`",
            "دستگاه": f"`{device['name']}`، {fa_int(device['threads'])} رشته" + ("" if in_bf16(manifest) else "، `fp32`"),
            "دقیقهٔ پردازنده": fa(cpu_minutes(manifest), 1),
            "پایان (UTC)": f"`{manifest['finished_utc'][:16]}`",
        })
    return table(rows)


CHECK_NAMES = {
    "manifest": "درستی پرونده‌ها و تنظیم‌ها",
    "behaviour": "اثر انگشت رفتار",
    "test_nll_nats": "زیان روی برش آزمون (نات بر تصویر)",
    "test_perplexity": "سرگشتگی روی متن آزمون",
    "test_accuracy": "درستی رده‌بند روی آزمون",
    "documents": "زیان، سند به سند",
    "tokens_per_word": "توکن بر واژه در متن دیده‌نشده",
    "round_trip_share": "رمزگشایی دقیق متن",
    "test_bits_per_character": "بیت بر نویسه روی متن آزمون",
    "contents": "آنچه در نتیجه است", "opening": "نخستین گام‌ها در اندازهٔ کامل", "counts": "شمارها",
    "slice": "نام سنجه‌ها", "whole_test_nll_nats": "زیان روی همهٔ آزمون (نات بر تصویر)",
    "weights": "وزن‌ها همان وزن‌های امروزند", "samples": "نمونه‌ها دوباره", "measures": "سنجه‌ها",
    "cool": "دمای پایین‌تر", "independent": "پیکسل‌های مستقل", "real-dynamic": "آزمون واقعی",
    "real-threshold": "آزمون واقعی، آستانه‌ای", "worst": "بدترین نمونه‌ها", "neighbours": "همسایه‌ها",
    "likelihood": "میانگین زیان", "unlikely": "نامحتمل‌ترین‌ها", "merges": "ادغام‌ها", "normalize": "نرمال‌سازی",
    "classic": "پیکرهٔ کلاسیک", "attention": "توجه", "LSTM": "LSTM", "cross-entropy": "آنتروپی متقاطع",
    "cache": "با حافظهٔ نهان و بی آن، سرها", "raster": "نمونه‌گیرها", "two stacks": "نمونه‌گیرها، دو پشته",
    "half-last": "پیچش سریع", "spectral": "پیچش طیفی", "two-stacks": "دو پشته", "one loss": "یک زیان",
    "ngram": "همان کنسر–نی",
}


DETAILS = {  # what a check of ``verify`` says on the command line -> in the document; any other is shown as it is
    r"(\S+), stored (\S+)": "از نو {}، ثبت‌شده {}",
    r"largest relative difference (\S+)": "بیشترین اختلاف نسبی {}",
    r"(\d+) of (\d+) draws come out otherwise.*": "{} از {} قرعه چیز دیگری داد",
    r"takes the data and minutes: make verify": "داده و چند دقیقه می‌خواهد: فرمان verify",
    r"no data: .*": "داده نیست",
    r"no bf16.*": "این پردازنده bf16 ندارد",
}


def checks(found: dict[str, list[Any]]) -> Markdown:
    """How ``verify``'s attempts at contradicting each result ended: a row a result, and one for all that does not hold."""
    rows = []
    for name, attempts in found.items():
        labels = dict.fromkeys(_check_name(check.name) or f"`{check.name}`" for check in attempts)
        stage = STAGE_NAMES.get(name, f"`{name}`")
        rows.append({"مرحله": stage, "بررسی‌ها": "، ".join(labels), "حاصل": tally(attempts)})
        for check in attempts:
            if (ended := kind(check)) != HOLDS:
                words = f"{_check_name(check.name) or _foreign(check.name)}: {_persian_detail(check.detail)}"
                cells = {"مرحله": stage, "بررسی‌ها": words, "حاصل": SAID[ended][1]}
                rows.append({column: coloured(cell, ended) for column, cell in cells.items()})
    return table(rows)


def _check_name(name: str) -> str | None:
    """``samples rnn`` is named by its first word and the stage; ``None`` where a check has no Persian name."""
    first, _, rest = name.partition(" ")
    if name in CHECK_NAMES or not rest or first not in CHECK_NAMES:
        return CHECK_NAMES.get(name)
    return f"{CHECK_NAMES[first]}: {STAGE_NAMES.get(rest, CHECK_NAMES.get(rest, rest))}"


def _persian_detail(detail: str) -> str:
    for pattern, words in DETAILS.items():
        if match := re.fullmatch(pattern, detail):
            return words.format(*(fa(float(number)) for number in match.groups()))
    return _foreign(detail)


def _foreign(text: str) -> str:
    """English words within Persian ones, as Markdown that is nothing but text."""
    return "[" + re.sub(r"([\\`*\[\]{}<>$@^~#])", r"\\\1", text) + "]{dir=ltr}"
