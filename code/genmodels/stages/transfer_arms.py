"""The arms of stage ``transfer``: which text, how much of it, from which start, what is trained.

Everything that costs processor time stands here: the whole is to take about an hour of one core without bf16. What was
made smaller for that: two rates an arm, one seed where ways to adapt are compared, two sizes of the near target, and small
networks from scratch, which on so little text are no worse than one of the pre-trained model's size (``*-large``).
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from genmodels.config import TrainingConfig, TransferConfig, TransformerModelConfig
from genmodels.stages.language import TransformerStage

BATCH = 8
EVALUATIONS = {"pretrained": 3, "scratch": 5}  # a network from scratch is soon past its best
# Steps of the pre-trained network and of one from scratch, by target and kilobytes of training text (0: all). In this
# order: should a training be stopped for good, what says most is there.
STEPS = {
    ("verse", 25): (24, 35), ("verse", 100): (64, 120), ("verse", 0): (140, 320), ("prose", 0): (100, 260),
    ("verse", 50): (40, 64), ("verse", 200): (96, 200), ("prose", 50): (40, 64),
}  # fmt: skip
AT = ("verse", 100)  # where ways to adapt are compared
OWN_VOCABULARY = 1000
SMALL = TransformerModelConfig(width=128, layers=2, heads=4, kv_heads=4, hidden=256)
SHIPPED = f"{AT[0]}-{AT[1]}-lora8"
RATES = {"full": (1e-3, 3e-3), "scratch": (3e-3, 6e-3)}
WAYS: dict[str, dict[str, Any]] = {  # beside training all weights
    "bias": {"method": "bias", "rates": (1e-2, 3e-2)},
    "embedding": {"method": "embedding", "rates": (1e-3, 3e-3)},
    "last-block": {"method": "last-block", "rates": (1e-3, 3e-3)},
    "lora4": {"method": "lora", "rank": 4, "rates": (3e-3, 1e-2)},
    "lora8": {"method": "lora", "rank": 8, "rates": (3e-3, 1e-2)},
    "lora32": {"method": "lora", "rank": 32, "rates": (3e-3, 1e-2)},
    "gradual": {"method": "gradual", "rates": (3e-3, 6e-3)},
    "replay": {"replay": 0.25, "rates": (1e-3, 3e-3)},
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
    """Every arm by its name, ``target-size-kind``."""
    found = {}
    for (target, size), (steps, longer) in STEPS.items():
        name, network = f"{target}-{size or 'all'}", TransformerStage.full.model
        tuned = TransferConfig(network, _plan(steps, "pretrained"), target, size, rates=RATES["full"])
        fresh = replace(tuned, model=SMALL, training=_plan(longer, "scratch"), start="scratch", rates=RATES["scratch"])
        compared = (target, size) == AT
        found[f"{name}-full"] = replace(tuned, averages=(0.25, 0.5, 0.75) if compared else ())
        found[f"{name}-scratch"] = fresh
        found[f"{name}-own"] = replace(fresh, start="own", vocabulary=OWN_VOCABULARY)
        if compared:
            found |= {f"{name}-{way}": replace(tuned, seeds=1, **changes) for way, changes in WAYS.items()}
            longer = round(steps / (1 - found[f"{name}-replay"].replay))  # as many windows of the target as the others
            found[f"{name}-replay"] = replace(found[f"{name}-replay"], training=_plan(longer, "pretrained"))
            large = replace(fresh, model=network, rates=RATES["full"], seeds=1)
    return found | {"-".join(map(str, AT)) + "-large": large}


def brief(config: TransferConfig) -> TransferConfig:
    """The arm in the ``smoke`` profile: two steps, two rates, one seed, two documents to judge on, one short poem."""
    stage = config.source.partition("/")[0]
    plan = replace(config.training, steps=2, warmup_steps=1, batch_size=2, evaluations=1)
    return replace(
        config,
        poems=1,
        poem_tokens=20,
        training=plan,
        source=f"{stage}/smoke",
        rates=config.rates[:2],
        seeds=1,
        evaluation_documents=2,
    )
