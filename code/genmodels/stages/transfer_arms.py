"""The arms of stage ``transfer``: which text, how much of it, from which start, what is trained.

Everything that costs processor time stands here: the whole is to take about an hour of one core without bf16. What was
made smaller for that: two or three rates an arm, two seeds for the largest text, one where ways to adapt are compared,
no size between 100 kB and all, one size of the near target, a small network from scratch (arm ``large``: one of the
pre-trained model's size).
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from genmodels.config import TrainingConfig, TransferConfig, TransformerModelConfig
from genmodels.language.adaptation import arm_name
from genmodels.stages.language import TransformerStage
from genmodels.stages.profiles import Less

BATCH = 8
EVALUATIONS = {"pretrained": 3, "scratch": 5}  # a network from scratch is soon past its best
# By target and kilobytes of training text (0: all): steps of the pre-trained network, of one from scratch in its tokens and
# in its own, and seeds. From scratch takes more, up to where validation text says that it has overfitted.
SIZES = {
    ("verse", 25): (24, 56, 84, 3), ("prose", 25): (24, 56, 84, 2), ("verse", 0): (80, 400, 400, 2),
    ("verse", 100): (64, 120, 120, 3), ("verse", 50): (40, 80, 140, 3),
}  # fmt: skip
AT = ("verse", 25)  # where ways to adapt are compared
AVERAGED = {("verse", 100): (0.25, 0.5, 0.75)}  # shares of the new weights
OWN_VOCABULARY = 1000
SMALL = TransformerModelConfig(width=128, layers=2, heads=4, kv_heads=4, hidden=256)
SHIPPED = "verse-25-lora8"
RATES = {"full": (1e-3, 3e-3), "scratch": (3e-3, 6e-3), "fast": (3e-3, 6e-3, 1.2e-2)}  # fast: where steps are few
LESS: Less = {
    "evening": {"steps": 12, "evaluations": 2, "seeds": 1, "evaluation_documents": 10, "poems": 2, "poem_tokens": 60},
    "smoke": {
        "steps": 2, "batch_size": 2, "evaluations": 1, "seeds": 1, "rates": (3e-3,), "evaluation_documents": 2,
        "poems": 1, "poem_tokens": 20,
    },
}  # fmt: skip
WAYS: dict[str, dict[str, Any]] = {  # beside training all weights
    "lora8": {"method": "lora", "rank": 8, "rates": (3e-3, 1e-2, 3e-2)},
    "bias": {"method": "bias", "rates": (1e-2, 3e-2, 1e-1)},
    "replay": {"replay": 0.25, "rates": (1e-3, 3e-3)},
    "last-block": {"method": "last-block", "rates": (1e-3, 3e-3)},
    "embedding": {"method": "embedding", "rates": (1e-3, 3e-3)},
    "gradual": {"method": "gradual", "rates": (3e-3, 6e-3)},
    "lora32": {"method": "lora", "rank": 32, "rates": (3e-3, 1e-2, 3e-2)},
    "lora4": {"method": "lora", "rank": 4, "rates": (3e-3, 1e-2, 3e-2)},
}


def _plan(steps: int, start: str) -> TrainingConfig:
    return TrainingConfig(
        batch_size=BATCH,
        steps=steps,
        learning_rate=0.0,  # one of the arm's ``rates``
        warmup_steps=max(1, steps // 10),
        weight_decay=0.05,
        bf16=False,
        evaluations=EVALUATIONS[start],
    )


def arms() -> dict[str, TransferConfig]:
    """Every arm by its name, ``target-size-kind``; what says most comes first, should there be no time for the rest."""
    sizes = list(SIZES)
    return _by_start(sizes[:4]) | _ways() | _by_start(sizes[4:])


def _tuned(target: str, size: int) -> TransferConfig:
    """The pre-trained network with all its weights trained."""
    steps, *_, seeds = SIZES[target, size]
    plan = _plan(steps, "pretrained")
    averages = AVERAGED.get((target, size), ())
    return TransferConfig(
        TransformerStage.network, plan, target, size, rates=RATES["full"], seeds=seeds, averages=averages
    )


def _fresh(target: str, size: int, start: str) -> TransferConfig:
    """A small network from scratch on the same text, in the pre-trained model's tokens or in its own."""
    _, steps, own_steps, _ = SIZES[target, size]
    rates = RATES["fast" if size == AT[1] else "scratch"]
    fresh = replace(_tuned(target, size), model=SMALL, start=start, rates=rates, averages=())
    if start == "own":
        return replace(fresh, training=_plan(own_steps, "scratch"), vocabulary=OWN_VOCABULARY)
    return replace(fresh, training=_plan(steps, "scratch"))


def _by_start(sizes: list[tuple[str, int]]) -> dict[str, TransferConfig]:
    found = {}
    for place in sizes:
        found[arm_name(*place, "full")] = _tuned(*place)
        found |= {arm_name(*place, start): _fresh(*place, start) for start in ("scratch", "own")}
    return found


def _ways() -> dict[str, TransferConfig]:
    tuned, steps = replace(_tuned(*AT), seeds=1), SIZES[AT][0]
    found = {arm_name(*AT, way): replace(tuned, **changes) for way, changes in WAYS.items()}
    for name, config in found.items():  # as many windows of the target for all
        found[name] = replace(config, training=_plan(round(steps / (1 - config.replay)), "pretrained"))
    large = replace(_fresh(*AT, "scratch"), model=tuned.model, rates=RATES["full"], seeds=1)
    return found | {arm_name(*AT, "large"): large}
