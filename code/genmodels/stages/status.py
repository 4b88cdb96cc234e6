"""Where the results stand: whose each is, of which data, what is stale, what else a training concerns, and what it costs.

``train`` says beforehand what must follow (``plan``), ``genmodels status`` shows all (``rows``). Nothing is trained or
judged here: a result is *stale* where its stage's settings, or the results it reads, are others today; it is *of other
data* where the data folder holds another text or test set than it was made from. Whose: the manifests that the project
was handed over with are listed in ``assets/shipped.json``; any other is its user's own.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from genmodels import stages, store
from genmodels.config import PROFILES, to_plain
from genmodels.data import mnist, wikipedia
from genmodels.errors import StaleResult, UserError
from genmodels.system.places import data_folder
from genmodels.system.precision import bf16_is_native

FP32_COST = 2.7  # of a training that ran in bf16, where there is none: docs/LOG.md, a machine without bf16
WHOLE_TEXT = 3000  # documents, where a config says all: about those of the text that the shipped results are of
STARTING = 0.1  # minutes of any stage: imports, reading, measuring
FULL = PROFILES[0]


@dataclass(frozen=True)
class Row:
    """One stage in a profile. ``state``: shipped, own, stale or absent; ``source`` of its data (None: of none);
    ``why`` it is stale; ``minutes``: of a processor core, to make it (again), where known."""

    name: str
    state: str
    source: str | None
    why: str
    needs: tuple[str, ...]
    minutes: float | None

    @property
    def present(self) -> bool:
        return self.state in ("shipped", "own")


def row(name: str, profile: str) -> Row:
    """How the result of a stage stands. Files are hashed, nothing is computed."""
    stage, shown = stages.get(name), stages.profile_of(name, profile)
    cost = minutes(name, profile)
    if not (store.result_folder(name, shown) / "manifest.json").is_file():
        return Row(name, "absent", None, "", stage.needs, cost)
    try:
        result = stage.load(shown)
    except UserError as error:
        return Row(name, "stale", None, str(error).split(";")[0], stage.needs, cost)
    data = result.manifest["data"]
    other = stage.changed_sources(result.manifest, stage.sources(shown))
    state = "stale" if other else "shipped" if store.is_shipped(result.stored) else "own"
    why = f"made with other results of {', '.join(other)} than there are now" if other else ""
    return Row(name, state, source(stage.reads, data), why, stage.needs, cost)


def source(reads: str, data: dict[str, Any]) -> str | None:
    """What a manifest's ``data`` says that two comparable results must share: the raw text, or the set of test images."""
    if reads == "images":
        return found if (found := data.get("test_set")) in ("static", "seeded") else None
    return data.get("corpus_sha256") if reads == "text" else None


def at_hand(reads: str, folder: Path | None) -> str | None:
    """The ``source`` that a training would have today; None where the data folder holds none."""
    try:
        if reads == "text":
            return wikipedia.digest(wikipedia.locate(folder))
        place = data_folder(folder)
        whole = reads == "images" and all(mnist.find(place, name) for name in mnist.RAW_MD5)
        return ("static" if mnist.find_static(place) else "seeded") if whole else None
    except UserError:
        return None


def minutes(name: str, profile: str) -> float | None:
    """Minutes of a processor core that a stage takes here with today's settings: in proportion to what its result says
    that it took with its own, else to the full one's.

    An estimate: work is counted in training examples alone, and machines differ. None where no result says.
    """
    for known in (profile, FULL):
        try:
            manifest = store.load(name, known).manifest
        except StaleResult:
            continue
        config = stages.get(name).config(profile)
        share = _work(to_plain(config)) / _work(manifest["config"])
        ran_in_bf16 = manifest["device"].get("bf16", True) and manifest["device"]["kind"] == "cpu"
        here = "cuda" if torch.cuda.is_available() else "cpu"
        trained = getattr(_first(config), "training", None)
        slower = trained is not None and trained.bf16 and ran_in_bf16 and not bf16_is_native(here)
        judging = manifest.get("evaluation_seconds", 0) / 60 * _judged(to_plain(config)) / _judged(manifest["config"])
        return store.cpu_minutes(manifest) * share * (FP32_COST if slower else 1) + judging + STARTING
    return None


def _first(config: Any) -> Any:
    """A config, or what the first run of a study trains."""
    first = next(iter(config.values())) if isinstance(config, dict) else config
    return getattr(first, "experiment", first)


def _work(config: dict[str, Any]) -> float:
    """About what the time of a stage is proportional to, in a unit of its own; ``config`` in plain values."""
    config = config.get("experiment", config)
    if (plan := config.get("training")) is not None:
        return plan["steps"] * plan["batch_size"] * config.get("window", 1)
    if runs := [run for run in config.values() if isinstance(run, dict) and run.keys() & {"experiment", "training"}]:
        return float(sum(map(_work, runs)))
    if texts := [text for text in config.values() if isinstance(text, dict) and "corpus" in text]:
        return sum(text.get("documents") or WHOLE_TEXT for text in texts)
    return config.get("samples", 1) * config.get("new_tokens", 1)


def _judged(config: dict[str, Any]) -> int:
    """What the time of the final measures, which are in fp32 everywhere, is proportional to."""
    return config.get("test_images") or config.get("text", {}).get("documents") or WHOLE_TEXT


@dataclass(frozen=True)
class Plan:
    """``asked``, and with a reason each: what else must be trained for it, before or after."""

    asked: tuple[str, ...]
    needed: dict[str, str]

    def names(self) -> list[str]:
        """All, in the order in which they can be made."""
        return [name for name in stages.STAGES if name in self.asked or name in self.needed]


def plan(names: Iterable[str], profile: str, folder: Path | None = None) -> Plan:
    """What a training of ``names`` brings with it: what they read and is not there, what was made from their earlier
    results, what of the same data is stale, and what is of another text or test set than they will be, so that the document
    cannot compare them."""
    asked, needed = tuple(names), dict[str, str]()
    table = {name: row(name, profile) for name in stages.STAGES if name not in stages.SPEEDS}
    kinds = {stages.get(name).reads for name in asked} - {""}
    for kind in sorted(kinds):
        here = at_hand(kind, folder)
        for name in (name for name in table if stages.get(name).reads == kind):
            if here and table[name].source not in (None, here):
                needed[name] = f"of another {'text' if kind == 'text' else 'test set'} than the data folder's"
            elif table[name].state == "stale":
                needed[name] = table[name].why
    while True:
        whole = {*asked, *needed}
        fresh = {
            name: f"read by {user}, and {table[name].state}"
            for user in whole & table.keys()
            for name in table[user].needs
            if not table[name].present
        }
        fresh |= {
            name: f"made from {', '.join(sorted(set(one.needs) & whole))}"
            for name, one in table.items()
            if set(one.needs) & whole and one.state != "absent"
        }
        if not (fresh := {name: why for name, why in fresh.items() if name not in whole}):
            return Plan(asked, {name: why for name, why in needed.items() if name not in asked})
        needed |= fresh


def told(names: Sequence[str], profile: str) -> str:
    """The estimate that is printed before a training starts."""
    costs = {name: minutes(name, profile) for name in names}
    known = [cost for cost in costs.values() if cost is not None]
    unknown = [name for name, cost in costs.items() if cost is None]
    beside = f", and {', '.join(unknown)}, of which no result says how long" if unknown else ""
    return f"{len(names)} stages, profile {profile}: about {sum(known):.0f} minutes of one processor core{beside}"
