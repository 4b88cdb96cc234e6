"""Generated text for the report: eight beginnings, continued under fixed seeds, as table rows with Persian headings.

Every sample shown is the first one of its seed; none is picked. Numbers beside the reading come from
``text_measures.py``. Nothing here trains or reads a file.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

import torch

from genmodels.lm.base import LanguageModel
from genmodels.lm.demonstration import CORPUS_NAMES, MODEL_NAMES
from genmodels.lm.generation import generate
from genmodels.lm.text_measures import distinct_n, repetition_rate
from genmodels.persian import fa, fa_percent

PROMPTS = {
    "تاریخ": "در سدهٔ نوزدهم میلادی، پادشاه",
    "جغرافیا": "این روستا در شمال استان",
    "دانش": "دانشمندان برای اندازه‌گیری دمای",
    "ورزش": "در فینال جام جهانی، تیم",
    "هنر": "نخستین فیلم این کارگردان دربارهٔ",
    "زیست‌شناسی": "این گونه از پرندگان در",
    "اقتصاد": "با افزایش قیمت نفت، دولت",
    "رایانه": "این نرم‌افزار برای کاربران",
}
"""Beginnings of eight subjects, written for this report."""


def continuations(
    model: LanguageModel, tokenizer: Any, subjects: Sequence[str], new_tokens: int = 30, seed: int = 1, **sampling: Any
) -> tuple[list[str], list[list[int]]]:
    """The first sample of ``seed`` for each subject's prompt: texts without the prompt, and their ids."""
    ids = []
    for subject in subjects:  # each prompt its own generator: adding a prompt changes no other sample
        prompt = [tokenizer.bos, *tokenizer.encode(PROMPTS[subject])]
        generator = torch.Generator().manual_seed(1000 * seed + list(PROMPTS).index(subject))
        ids += generate(model, prompt, new_tokens, generator, stop=tokenizer.eos, **sampling)
    return [plain_line(tokenizer.decode(row)) for row in ids], ids


def temperature_rows(
    model: LanguageModel, tokenizer: Any, temperatures: Sequence[float], subjects: Sequence[str], seed: int = 1
) -> list[dict[str, str]]:
    """Prompt x temperature, first samples of ``seed``."""
    rows = []
    columns = {
        t: continuations(model, tokenizer, subjects, seed=seed, temperature=t, top_p=0.95)[0] for t in temperatures
    }
    for place, subject in enumerate(subjects):
        for temperature in temperatures:
            rows.append(
                {"آغاز": PROMPTS[subject], "دما": fa(temperature, 1), "ادامهٔ مدل": columns[temperature][place]}
            )
    return rows


def measure_rows(
    model: LanguageModel, tokenizer: Any, settings: Mapping[str, Mapping[str, Any]], seed: int = 1, new_tokens: int = 30
) -> list[dict[str, str]]:
    """Variety and repetition of the continuations of all prompts under each setting (label -> options of
    ``generate``)."""
    rows = []
    for label, options in settings.items():
        _, ids = continuations(model, tokenizer, list(PROMPTS), new_tokens, seed, **options)
        rows.append(
            {
                "روش": label,
                "distinct-1": fa(distinct_n(ids, 1), 2),
                "distinct-2": fa(distinct_n(ids, 2), 2),
                "distinct-3": fa(distinct_n(ids, 3), 2),
                "تکرار سه‌تایی‌ها": fa_percent(repetition_rate(ids, 3)),
            }
        )
    return rows


DECODING = {
    "حریصانه": {"greedy": True},
    "دمای ۰٫۷": {"temperature": 0.7},
    "دمای ۱": {},
    "دمای ۱ و top-k برابر ۴۰": {"top_k": 40},
    "دمای ۱ و top-p برابر ۰٫۹": {"top_p": 0.9},
    "دمای ۱ و min-p برابر ۰٫۰۵": {"min_p": 0.05},
    "حریصانه با جریمهٔ تکرار ۱٫۳": {"greedy": True, "repetition_penalty": 1.3},
}
"""Label -> options: the rows of ``measure_rows``."""


def side_by_side_rows(
    results: Mapping[str, Any], tokenizer: Any, subjects: Sequence[str], seed: int = 1
) -> list[dict[str, str]]:
    """The same prompts and settings through both models."""
    columns = {
        name: continuations(result.model(), tokenizer, subjects, seed=seed, temperature=0.8, top_p=0.95)[0]
        for name, result in results.items()
    }
    return [
        {"آغاز": PROMPTS[subject]} | {MODEL_NAMES[name]: texts[place] for name, texts in columns.items()}
        for place, subject in enumerate(subjects)
    ]


def generation_speed(model: LanguageModel, new_tokens: int = 100, use_cache: bool = True) -> float:
    """Generated tokens a second, one sequence, this machine, now."""
    started = time.perf_counter()
    generate(model, [0], new_tokens, torch.Generator().manual_seed(1), use_cache=use_cache)
    return new_tokens / (time.perf_counter() - started)


def plain_line(text: str) -> str:
    """Generated text as one line of a Markdown table, with nothing in it that Markdown would read."""
    whole = text.rstrip("\ufffd")  # the last token may hold half a letter, whose other half was never drawn
    plain = " ".join(whole.replace("\n", " ¶ ").split())
    for mark in "\\`*_{}[]<>#|$@~^":
        plain = plain.replace(mark, "\\" + mark)
    return plain or "—"


def opening_rows(
    networks: Mapping[str, tuple[Any, Any]], documents: int = 3, opening: int = 12, seed: int = 1
) -> list[dict[str, str]]:
    """The first words of the first test documents as each corpus has them, and how its own model goes on.

    ``networks``: corpus name -> (shipped result, tokenizer). First samples of ``seed`` at temperature 0.8, top-p 0.95.
    """
    rows = []
    for place in range(documents):
        for name, (result, tokenizer) in networks.items():
            start = int(result.slice["test_offsets"][place])
            prompt = [int(i) for i in result.slice["test_ids"][start : start + 1 + opening]]
            generator = torch.Generator().manual_seed(1000 * seed + place)
            (new,) = generate(result.model(), prompt, 25, generator, temperature=0.8, top_p=0.95, stop=tokenizer.eos)
            rows.append(
                {
                    "پیکره": CORPUS_NAMES[name],
                    "آغاز سند آزمون": plain_line(tokenizer.decode(prompt)),
                    "ادامهٔ مدل": plain_line(tokenizer.decode(new)),
                }
            )
    return rows
