"""Profiles: ``full`` is what ships; ``evening`` and ``smoke`` are the same experiments with less of each.

A stage declares its ``full`` config and, for the other profiles, which of its numbers are smaller: fewer steps, fewer
images or documents to judge on, never fewer kinds. So a result has the same shape in every profile, and the document
shows any of them. ``evening`` is what a student without a GPU does (an hour of processor time on two cores); ``smoke`` says
whether the whole way works, and nothing about any model.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, TypeVar

from genmodels.config import TextConfig, TrainingConfig

Less = Mapping[str, Mapping[str, Any]]  # profile -> names of a config, of its training or of its text -> smaller values
ConfigT = TypeVar("ConfigT")
DOCUMENTS = {"full": 0, "evening": 0, "smoke": 40}  # of the training text (``TextConfig.documents``)


def at(profile: str, full: ConfigT, less: Less) -> ConfigT:
    """``full`` in a profile: what ``less`` names is replaced, the text is that of the profile, the plan stays in proportion."""
    if profile == "full":
        return full
    changes = dict(less[profile])
    for field in dataclasses.fields(full):  # type: ignore[arg-type]
        part = getattr(full, field.name)
        if isinstance(part, TrainingConfig):
            inner = {f.name for f in dataclasses.fields(part)} & changes.keys()
            changes["training"] = shorter(part, **{name: changes.pop(name) for name in inner})
        elif isinstance(part, TextConfig):
            changes[field.name] = replace(part, documents=DOCUMENTS[profile])
    return replace(full, **changes)  # type: ignore[type-var]


def shorter(plan: TrainingConfig, **changes: Any) -> TrainingConfig:
    """A plan with fewer steps: never more evaluations or a larger batch than before, warm-up and decay in proportion."""
    brief = replace(plan, **changes)
    return replace(
        brief,
        batch_size=min(plan.batch_size, brief.batch_size),
        evaluations=min(plan.evaluations, brief.evaluations),
        warmup_steps=min(plan.warmup_steps, max(1, brief.steps // 5)),
        weight_decay_from=plan.weight_decay_from * brief.steps // plan.steps,
    )
