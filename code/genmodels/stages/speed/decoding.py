"""How much the KV cache saves, measured: the shipped Transformer's sizes with room for longer texts, on one thread.

Speed does not depend on the weights, so they are random. With the cache a whole text is generated and timed; without it every
token reads all tokens before it again, whose passes are timed at evenly spaced lengths and summed between them by the
trapezoidal rule (all of them would take minutes at 1024 tokens). Seconds are processor seconds, medians.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch

from genmodels.config import RecurrentModelConfig, TransformerModelConfig
from genmodels.language.base import LanguageModel
from genmodels.language.generation import generate, replay
from genmodels.language.recurrent import RecurrentLM
from genmodels.language.transformer import TransformerLM
from genmodels.stages.base import Check
from genmodels.system.meters import interleaved, one_thread

SETTINGS: dict[str, dict[str, Any]] = {
    "full": {
        "lengths": [256, 512, 1024],
        "kv_heads": [4, 2, 1],
        "vocabulary": 8000,
        "points": 17,
        "repeats": 3,
        "batches": [1, 16],
    },
    "smoke": {"lengths": [16, 32], "kv_heads": [4, 1], "vocabulary": 300, "points": 3, "repeats": 1, "batches": [1, 2]},
}


def measure(settings: dict[str, Any], folder: Path | None = None) -> dict[str, Any]:
    """``rows``: one per number of key/value heads and length; ``networks``: generated tokens a second by batch size."""
    with one_thread():
        rows = [
            row for heads in settings["kv_heads"] for row in _cache_rows(_transformer(settings, heads), heads, settings)
        ]
        networks = {
            "rnn": RecurrentLM(RecurrentModelConfig(), settings["vocabulary"]).eval(),
            "transformer": TransformerLM(TransformerModelConfig(), settings["vocabulary"]).eval(),
        }
        length = min(settings["lengths"][0], TransformerModelConfig().context - 1)
        speeds = {
            name: {
                str(batch): batch * length / _generation(network, length, settings["repeats"], batch)
                for batch in settings["batches"]
            }
            for name, network in networks.items()
        }
    return {"rows": rows, "networks": speeds, "generated": length}


def agree() -> list[Check]:
    """The same tokens with the cache and without it, for every way of sharing key/value heads, past the context too."""
    checks, prompts = [], [[0, 3, 5], [0, 8, 2]]
    for heads in (4, 2, 1):
        torch.manual_seed(heads)
        config = TransformerModelConfig(width=32, layers=2, heads=4, kv_heads=heads, hidden=48, dropout=0.0, context=24)
        model = TransformerLM(config, 50).eval()
        drawn = generate(model, prompts, 40, torch.Generator().manual_seed(1), use_cache=True)
        again = replay(model, prompts, drawn, torch.Generator().manual_seed(1), use_cache=False)
        checks.append(Check(f"cache {heads}", again.holds, f"{again} without the cache"))
    return checks


def cpu_seconds(run: Callable[[], Any], repeats: int) -> float:
    """Median processor time of ``run``, called once before to warm up."""
    return interleaved({"run": run}, 1, repeats)["run"]


def evenly(length: int, points: int) -> list[int]:
    """About ``points`` lengths from 1 to ``length``."""
    return sorted({round(1 + k * (length - 1) / (points - 1)) for k in range(points)})


def summed(places: list[int], seconds: list[float]) -> float:
    """The sum over every length 1 … of a time that was measured at ``places``: trapezoids between them."""
    between = zip(places, places[1:], seconds, seconds[1:])
    return seconds[0] + sum((b - a) * (x + y) / 2 + (y - x) / 2 for a, b, x, y in between)


def _transformer(settings: dict[str, Any], kv_heads: int) -> TransformerLM:
    torch.manual_seed(0)
    config = replace(TransformerModelConfig(), kv_heads=kv_heads, context=max(settings["lengths"]) + 1)
    return TransformerLM(config, settings["vocabulary"]).eval()


def _generation(model: LanguageModel, length: int, repeats: int, batch: int = 1) -> float:
    return cpu_seconds(lambda: generate(model, [[0]] * batch, length, torch.Generator(), greedy=True), repeats)


def _cache_rows(model: TransformerLM, kv_heads: int, settings: dict[str, Any]) -> list[dict[str, Any]]:
    rows = []
    for length in settings["lengths"]:
        with_cache = _generation(model, length, settings["repeats"])
        places = evenly(length, settings["points"])
        with torch.no_grad():
            passes = [cpu_seconds(partial(_one_token, model, n), settings["repeats"]) for n in places]
        without = summed(places, passes)
        rows.append(
            {
                "kv_heads": kv_heads,
                "tokens": length,
                "cache_seconds": with_cache,
                "plain_seconds": without,
                "ratio": without / with_cache,
                "cache_bytes": sum(cache.bytes() for cache in model.initial_state(1, length)),
                "positions_ratio": (length + 1) / 2,  # positions computed without the cache, per position with it
            }
        )
    return rows


def _one_token(model: TransformerLM, length: int) -> torch.Tensor:
    """The logits after ``length`` tokens, from nothing."""
    features, _ = model.features(torch.zeros(1, length, dtype=torch.int64))
    return model.logits(features[:, -1])
