"""Section 2.4: texts that the networks continued, what was measured on them, and one network on two corpora.

Every sample shown is the first one of its seed; none is picked. They are drawn by the stage ``generation``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from IPython.display import Markdown

from genmodels.language.comparison import Texts
from genmodels.language.continuations import PROMPTS
from genmodels.report.names import CORPUS_NAMES, DECODING_NAMES, STAGE_NAMES, short_name
from genmodels.report.persian import fa, fa_int, fa_percent
from genmodels.report.sentences import joined


def sample_rows(result: Any, setting: str, networks: Sequence[str], subjects: Sequence[str]) -> list[dict[str, str]]:
    """Beginning x network: first samples under one setting. ``result``: what the stage ``generation`` ships."""
    texts = {network: result.texts(network, setting) for network in networks}
    return [
        {"آغاز": PROMPTS[subject]} | {short_name(network): plain_line(texts[network][subject]) for network in networks}
        for subject in subjects
    ]


def first(result: Any, network: str, subject: str, setting: str = "temperature-0.8") -> Markdown:
    """The first sample of one beginning, for running text."""
    return Markdown(plain_line(result.texts(network, setting)[subject]))


def beginnings(result: Any) -> Markdown:
    """How many beginnings there are, and which of them the training text holds."""
    known = [f"«{PROMPTS[subject]}»" for subject in result.metrics.get("familiar", ())]
    told = f"{fa_int(len(result.config.subjects))} آغاز از موضوع‌های گوناگون داریم"
    if not known:
        return Markdown(f"{told} که هیچ‌یک در متن آموزش نیامده است")
    return Markdown(f"{told}؛ {joined(known)} در متن آموزش هم آمده است و بقیه نیامده‌اند")


def joined_rows(result: Any, setting: str, networks: Sequence[str], subjects: Sequence[str]) -> list[dict[str, str]]:
    """A column a network: the beginning in bold and its first sample, joined as the network joined them."""
    texts = {network: result.texts(network, setting) for network in networks}
    return [
        {
            short_name(network): plain_line(f"{PROMPTS[subject]}\ue000{texts[network][subject]}")
            .replace(PROMPTS[subject], f"**{PROMPTS[subject]}**", 1)
            .replace("\ue000", "")
            for network in networks
        }
        for subject in subjects
    ]


def compared_rows(told: Mapping[str, Texts], result: Any) -> list[dict[str, str]]:
    """Network: repetition, variety, topic, and what the other network makes of its texts; then real text."""
    real = result.metrics["reference"]["fluent"]
    rows = [
        {
            "متن": STAGE_NAMES[name],
            "تکرار، حریصانه": fa_percent(found.greedy_repetition, 1),
            "تکرار": fa_percent(found.repetition, 1),
            "distinct-2": fa(found.distinct_2, 2),
            "موضوع": fa_percent(found.topic_share),
            "زیان برای خود": fa(found.own_loss, 2),
            "برای دیگری": fa(found.others_loss, 2),
        }
        for name, found in told.items()
    ]
    measured = {"تکرار": fa_percent(real["repetition"], 1), "distinct-2": fa(real["distinct_2"], 2)}
    return [*rows, {key: "—" for key in rows[0]} | {"متن": "متن راستین"} | measured]


def temperature_rows(result: Any, networks: Sequence[str], subject: str) -> list[dict[str, str]]:
    """Temperature x network: first samples of one beginning."""
    rows = []
    for setting in [name for name in result.config.settings if name.startswith("temperature")]:
        texts = {short_name(network): plain_line(result.texts(network, setting)[subject]) for network in networks}
        rows.append({"دما": fa(float(setting.removeprefix("temperature-")), 1)} | texts)
    return rows


def measure_rows(result: Any, choices: Mapping[str, Sequence[str]]) -> list[dict[str, str]]:
    """Network x setting: the measures of all samples, then those of real text. ``choices``: network -> settings."""
    rows = [
        {"شبکه": short_name(network), "روش": DECODING_NAMES[name]} | _measures(result.measures[network][name])
        for network, names in choices.items()
        for name in names
    ]
    return rows + [
        {"شبکه": f"متن راستین، {CORPUS_NAMES[name]}", "روش": "—"} | _measures(found)
        for name, found in result.metrics["reference"].items()
    ]


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


def corpus_rows(results: Mapping[str, Any]) -> list[dict[str, str]]:
    """The same network on the two corpora: corpus name -> shipped result. Bits are spread over the corpus's own
    characters and over those of the fluent text that both were made from."""
    rows = []
    for name, result in results.items():
        own = result.metrics["test_bits_per_character"]
        rows.append(
            {
                "پیکره": CORPUS_NAMES[name],
                "توکن آموزش": fa_int(result.metrics["train_tokens"]),
                "هدف آزمون": fa_int(result.metrics["test_tokens"]),
                "سرگشتگی آزمون": fa(result.metrics["test_perplexity"], 1),
                "بیت بر نویسهٔ خود پیکره": fa(own, 3),
                "بیت بر نویسهٔ متن روان": fa(result.metrics.get("test_bits_per_fluent_character", own), 3),
            }
        )
    return rows
