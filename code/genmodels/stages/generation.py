"""Stage ``generation``: the same beginnings continued by every shipped network under every way of choosing a token.

What is shown is the first sample of the seed; what is measured is all of them, beside windows of real test text of the same
length. Needs the results of the networks it samples, and the training tokens, in which copies are looked for. ``verify``
draws one setting of each network again and measures all samples again, except for copies: the training text is not
shipped. A result whose networks have been trained again since is refused.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from genmodels import stages, store
from genmodels.config import setting
from genmodels.errors import UserError
from genmodels.language.continuations import PROMPTS, SETTINGS, copied_share, distinct_n, longest_copy, repetition_rate
from genmodels.language.generation import generate, replay
from genmodels.stages import payload
from genmodels.stages.base import Check, ShippedResult, Stage, weights_of
from genmodels.stages.profiles import at
from genmodels.system.files import data_digest
from genmodels.system.meters import Clock
from genmodels.system.proof import Again
from genmodels.text.prepare import PREPARATION_VERSION, PreparedText, prepared
from genmodels.text.tokenizer import Tokenizer
from genmodels.training import batches

PADDING = -1
COPY = 8  # tokens of a copied n-gram
REPEAT = 3
AGAIN = "temperature-0.8"  # the setting that verify draws again
# One beginning in so many: 640 draws of each network, of which another network, seed or temperature turns many.
ASKED = 4


@dataclass(frozen=True)
class GenerationConfig:
    """What is drawn: every network, every beginning, every setting of ``language/continuations.py``."""

    networks: tuple[str, ...] = setting(("rnn", "transformer", "rnn-classic"), "شبکه‌ها")
    subjects: tuple[str, ...] = setting(tuple(PROMPTS), "موضوع آغازها")
    settings: tuple[str, ...] = setting(tuple(SETTINGS), "روش‌های برداشتن")
    samples: int = setting(8, "نمونهٔ هر آغاز", "نخستین آن‌ها نشان داده می‌شود")
    new_tokens: int = setting(40, "درازای نمونه", "توکن")
    seed: int = setting(1, "دانهٔ تصادفی")


class GenerationResult(ShippedResult):
    """Samples and measures: ``measures[network][setting]``, ``reference[corpus]`` for real text."""

    @property
    def measures(self) -> dict[str, dict[str, dict[str, float]]]:
        return self.metrics["measures"]

    def ids(self, network: str, name: str) -> list[list[list[int]]]:
        """By subject, by sample: the new tokens."""
        return [[[int(i) for i in row if i != PADDING] for row in rows] for rows in self.slice[f"{network}--{name}"]]

    def texts(self, network: str, name: str) -> dict[str, str]:
        """The first sample of each subject."""
        tokenizer = Tokenizer.load(store.result_folder(network, self.manifest["profile"]) / "tokenizer.json")
        return {
            subject: tokenizer.decode(rows[0]) for subject, rows in zip(self.config.subjects, self.ids(network, name))
        }


def continued(
    model: Any, prompts: list[list[int]], name: str, config: GenerationConfig, stop: int
) -> list[list[list[int]]]:
    """Samples of one network under one setting. Each beginning has a generator of its own: another changes nothing."""
    options = SETTINGS[name]
    count = 1 if options.get("greedy") else config.samples  # the likeliest token is the same every time
    found = []
    for index, prompt in enumerate(prompts):
        draws = _draws(config, name, index)
        found.append(generate(model, [prompt] * count, config.new_tokens, draws, stop=stop, **options))
    return found


def _draws(config: GenerationConfig, name: str, index: int) -> torch.Generator:
    """The random numbers of one beginning under one setting."""
    return batches.generator_for(config.seed, f"generation {name}", index)


def measure(texts: list[list[int]]) -> dict[str, float]:
    """Variety and repetition of token sequences."""
    return _known(
        {f"distinct_{n}": distinct_n(texts, n) for n in (1, 2, 3)} | {"repetition": repetition_rate(texts, REPEAT)}
    )


def measure_copies(texts: list[list[int]], training: np.ndarray) -> dict[str, float]:
    """How much of them stands word for word in the training tokens (their borders are ids of their own)."""
    return _known({"copied_8": copied_share(texts, training, COPY), "longest_copy": longest_copy(texts, training)})


def _known(found: dict[str, float]) -> dict[str, float]:
    """Without the measures that texts so short have not: those that are no number."""
    return {name: value for name, value in found.items() if not math.isnan(value)}


def real_windows(text: PreparedText, count: int, length: int) -> list[list[int]]:
    """``count`` windows of the test text, evenly spaced, none over the border of a document."""
    ids, offsets = np.asarray(text.tokens["test"]), np.asarray(text.offsets["test"])
    starts = np.concatenate([np.arange(a + 1, b - length, length) for a, b in zip(offsets[:-1], offsets[1:])])
    if len(starts) < count:
        raise UserError(
            f"the test text has {len(starts)} windows of {length} tokens, {count} are wanted; give a larger one"
        )
    chosen = starts[np.linspace(0, len(starts) - 1, count).round().astype(int)]
    return [ids[start : start + length].tolist() for start in chosen]


class GenerationStage(Stage):
    name = "generation"
    reads = "text"
    needs = GenerationConfig().networks
    result = GenerationResult

    def config(self, profile: str) -> GenerationConfig:
        less = {"evening": {"samples": 4}, "smoke": {"samples": 2, "new_tokens": 8}}
        return at(profile, GenerationConfig(), less)

    def run(self, profile: str, folder: Path | None = None, restart: bool = False) -> Path:
        """Draw, measure, publish; a minute or two, so there is no checkpoint (``restart`` changes nothing)."""
        config = self.config(profile)
        clock = Clock()
        results = {name: stages.load(name, profile) for name in config.networks}
        texts = {r.config.text: prepared(r.config.text, folder) for r in results.values()}
        arrays: dict[str, np.ndarray] = {}
        measures: dict[str, Any] = {}
        prompts = {
            name: [_prompt(PROMPTS[subject], texts[result.config.text]) for subject in config.subjects]
            for name, result in results.items()
        }
        for name, result in results.items():
            text, model = texts[result.config.text], result.model()
            training = np.asarray(text.tokens["train"])
            measures[name] = {}
            for choice in config.settings:
                drawn = continued(model, prompts[name], choice, config, text.tokenizer.eos)
                rows = [row for rows in drawn for row in rows]
                measures[name][choice] = measure(rows) | measure_copies(rows, training)
                arrays[f"{name}--{choice}"] = _padded(drawn, config.new_tokens)
        reference = {}
        for text_config, text in texts.items():
            windows = real_windows(text, config.samples * len(config.subjects), config.new_tokens)
            copies = measure_copies(windows, np.asarray(text.tokens["train"]))
            reference[text_config.corpus] = measure(windows) | copies
        known = {subject for each in texts.values() for subject in config.subjects if _familiar(PROMPTS[subject], each)}
        metrics = {"measures": measures, "reference": reference, "prompts": prompts, "familiar": sorted(known)}
        data = {
            "name": next(iter(texts.values())).corpus_name,
            "digest": data_digest(*(text.digest for text in texts.values())),
            "weights": weights_of(results),
            "preparation": PREPARATION_VERSION,
        }
        return self.publish(profile, config, data, clock.spent(), metrics=metrics, arrays=arrays)

    def belongs(self, result: GenerationResult) -> None:
        config, samples = result.config, {}
        payload.files(result.manifest, "metrics.json", "slice.npz")
        payload.like(result.manifest["data"], {"weights": dict.fromkeys(config.networks, str)}, "manifest.json, data")
        for name in config.networks:
            for choice in config.settings:
                count = 1 if SETTINGS[choice].get("greedy") else config.samples
                shape = (len(config.subjects), count, config.new_tokens)
                samples[f"{name}--{choice}"] = payload.Array(shape, low=PADDING)
        payload.arrays(result.slice, samples)
        payload.like(
            result.metrics,
            {
                "measures": dict.fromkeys(config.networks, dict.fromkeys(config.settings, payload.Each(float))),
                "prompts": dict.fromkeys(config.networks, [payload.Each(int)] * len(config.subjects)),
                "reference": payload.Each(payload.Each(float)),
            },
            "metrics.json",
        )

    def contradict(self, result: GenerationResult) -> list[Check]:
        config, profile = result.config, result.manifest["profile"]
        networks = {name: stages.load(name, profile) for name in config.networks}
        checks = [self.same_sources(result, networks, "drawn from")]
        for name, network in networks.items():
            eos = Tokenizer.load(store.result_folder(name, profile) / "tokenizer.json").eos
            again, model = Again(), network.model()
            drawn = list(zip(result.metrics["prompts"][name], result.ids(name, AGAIN), strict=True))
            for index, (prompt, rows) in list(enumerate(drawn))[::ASKED]:
                draws = _draws(config, AGAIN, index)
                options = SETTINGS[AGAIN] | {"max_new_tokens": config.new_tokens, "stop": eos, "use_cache": True}
                again += replay(model, prompt, rows, draws, **options)
            checks.append(Check(f"samples {name}", again.holds, str(again)))
        same = all(
            value == result.measures[name][choice].get(key)
            for name in networks
            for choice in config.settings
            for key, value in measure([row for rows in result.ids(name, choice) for row in rows]).items()
        )
        return [*checks, Check("measures", same, f"variety and repetition are {'as' if same else 'not as'} stored")]


def _prompt(words: str, text: PreparedText) -> list[int]:
    """A beginning as the corpus would have it, with <bos>."""
    return [text.tokenizer.bos, *text.tokenizer.encode(_plain(words, text))]


def _familiar(words: str, text: PreparedText) -> bool:
    """Whether the training text holds a beginning, at the head of a paragraph or within one."""
    forms = (text.tokenizer.encode(before + _plain(words, text)) for before in ("", " "))
    return any(copied_share([form], np.asarray(text.tokens["train"]), len(form)) for form in forms)


def _plain(words: str, text: PreparedText) -> str:
    from genmodels.text import normalization

    return normalization.classic(words) if text.config.corpus == "classic" else normalization.normalize(words)


def _padded(drawn: list[list[list[int]]], length: int) -> np.ndarray:
    """(subjects, samples, length) int32, ``PADDING`` after the end of a sample."""
    whole = np.full((len(drawn), len(drawn[0]), length), PADDING, np.int32)
    for i, rows in enumerate(drawn):
        for j, row in enumerate(rows):
            whole[i, j, : len(row)] = row
    return whole
