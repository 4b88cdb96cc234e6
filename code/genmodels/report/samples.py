"""The beginnings that are continued, the ways of choosing a token, and the samples as the report's tables show them.

Every sample shown is the first one of its seed; none is picked. They are drawn by the stage ``generation``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from genmodels.report.persian import fa, fa_percent

PROMPTS = {
    "تاریخ": "در سدهٔ نوزدهم میلادی، پادشاه",
    "جغرافیا": "این روستای کوهستانی در شمال استان",
    "دانش": "دانشمندان برای اندازه‌گیری دمای",
    "ورزش": "در فینال جام جهانی، تیم",
    "هنر": "نخستین فیلم بلند این کارگردان جوان دربارهٔ",
    "زیست‌شناسی": "این گونهٔ کمیاب از پرندگان آبزی در",
    "اقتصاد": "با افزایش قیمت نفت، دولت",
    "رایانه": "این نرم‌افزار تازه برای کاربران تلفن همراه",
}
"""Beginnings of eight subjects, written for this report; the stage refuses one that stands in the training text."""

SETTINGS: dict[str, dict[str, Any]] = {
    "temperature-0.5": {"temperature": 0.5, "top_p": 0.95},
    "temperature-0.8": {"temperature": 0.8, "top_p": 0.95},
    "temperature-1.1": {"temperature": 1.1, "top_p": 0.95},
    "greedy": {"greedy": True},
    "greedy-penalty": {"greedy": True, "repetition_penalty": 1.3},
    "plain": {},
    "top-k": {"top_k": 40},
    "top-p": {"top_p": 0.9},
    "min-p": {"min_p": 0.05},
}
"""Name -> options of ``generate``."""

SETTING_NAMES = {
    "temperature-0.5": "دمای ۰٫۵، top-p برابر ۰٫۹۵", "temperature-0.8": "دمای ۰٫۸، top-p برابر ۰٫۹۵",
    "temperature-1.1": "دمای ۱٫۱، top-p برابر ۰٫۹۵", "greedy": "حریصانه", "greedy-penalty": "حریصانه، جریمهٔ تکرار ۱٫۳",
    "plain": "دمای ۱، بی برش", "top-k": "دمای ۱، top-k برابر ۴۰", "top-p": "دمای ۱، top-p برابر ۰٫۹",
    "min-p": "دمای ۱، min-p برابر ۰٫۰۵",
}
NETWORKS = {"rnn": "بازگشتی", "transformer": "ترنسفورمر", "rnn-classic": "بازگشتی، کلاسیک"}
CORPORA = {"fluent": "متن راستین، روان", "classic": "متن راستین، کلاسیک"}


def sample_rows(result: Any, setting: str, networks: Sequence[str], subjects: Sequence[str]) -> list[dict[str, str]]:
    """Beginning x network: first samples under one setting. ``result``: what the stage ``generation`` ships."""
    texts = {network: result.texts(network, setting) for network in networks}
    return [
        {"آغاز": PROMPTS[subject]} | {NETWORKS[network]: plain_line(texts[network][subject]) for network in networks}
        for subject in subjects
    ]


def temperature_rows(result: Any, networks: Sequence[str], subject: str) -> list[dict[str, str]]:
    """Temperature x network: first samples of one beginning."""
    rows = []
    for setting in [name for name in result.config.settings if name.startswith("temperature")]:
        texts = {NETWORKS[network]: plain_line(result.texts(network, setting)[subject]) for network in networks}
        rows.append({"دما": fa(float(setting.removeprefix("temperature-")), 1)} | texts)
    return rows


def measure_rows(result: Any, choices: Mapping[str, Sequence[str]]) -> list[dict[str, str]]:
    """Network x setting: the measures of all samples, then those of real text. ``choices``: network -> settings."""
    rows = [
        {"شبکه": NETWORKS[network], "روش": SETTING_NAMES[name]} | _measures(result.measures[network][name])
        for network, names in choices.items() for name in names
    ]
    return rows + [{"شبکه": CORPORA[name], "روش": "—"} | _measures(found) for name, found in result.metrics["reference"].items()]


def _measures(found: Mapping[str, float]) -> dict[str, str]:
    """A dash where the texts are too short for a measure."""
    shares = {"تکرار": "repetition", "رونوشت": "copied_8"}
    return {
        **{f"distinct-{n}": fa(found[key], 2) if (key := f"distinct_{n}") in found else "—" for n in (1, 2, 3)},
        **{label: fa_percent(found[key], 1) if key in found else "—" for label, key in shares.items()},
        "بلندترین رونوشت": fa(int(found["longest_copy"])),
    }


def plain_line(text: str) -> str:
    """Generated text as one line of a Markdown table, with nothing in it that Markdown would read."""
    whole = text.rstrip("\ufffd")  # the last token may hold half a letter, whose other half was never drawn
    plain = " ".join(whole.replace("\n", " ¶ ").split())
    for mark in "\\`*_{}[]<>#|$@~^":
        plain = plain.replace(mark, "\\" + mark)
    return plain or "—"
