"""What all stages share: run and publish, load, and verify (try to contradict); and all of them verified at once."""

from __future__ import annotations

import traceback
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from genmodels import stages, store
from genmodels.config import chosen_profile, to_plain
from genmodels.errors import UserError, WeightsAbsent
from genmodels.system.processes import Workers, cores
from genmodels.system.proof import CONTRADICTED, kind

METRIC_TOLERANCE = 1e-4  # relative; the same weights on the same slice


@dataclass(frozen=True)
class Check:
    """One attempt at contradiction: what was compared, whether it holds, what was found.

    ``passed`` is ``None`` where it was not checked here; ``detail`` then says why (no data, no bf16).
    """

    name: str
    passed: bool | None
    detail: str


class ShippedResult:
    """A shipped result opened for the report: settings, manifest, measures, curve and evaluation slice."""

    def __init__(self, stored: store.StoredResult, config: Any) -> None:
        self.stored, self.config = stored, config
        self.manifest, self.metrics = stored.manifest, stored.metrics

    @property
    def history(self) -> pd.DataFrame:
        return self.stored.history

    @property
    def slice(self) -> dict[str, np.ndarray]:
        return self.stored.slice


class Stage(ABC):
    """What can be run, loaded and verified under a name."""

    name: str
    shares_work = False  # among the processes of a torchrun; where not, rank 0 works alone
    result: Callable[[store.StoredResult, Any], Any] = ShippedResult
    reads = ""  # what it is made from: "text", "images", or nothing that could be another's
    needs: tuple[str, ...] = ()  # stages whose results it reads
    with_data: str | None = None  # the check of ``contradict_with_data``, of a stage that has one

    @abstractmethod
    def config(self, profile: str) -> Any:
        """The frozen settings of a profile."""

    @abstractmethod
    def run(self, profile: str, folder: Path | None = None, restart: bool = False) -> Path:
        """Make the result from the data in ``folder`` and publish it. Returns the result's folder."""

    def load(self, profile: str) -> Any:
        """Open the shipped result; ``StaleResult`` where it does not belong to today's config or was altered."""
        config = self.config(profile)
        return self.result(store.load(self.name, profile, config), config)

    def publish(
        self,
        profile: str,
        config: Any,
        data: dict[str, Any],
        spent: dict[str, float],
        *,
        manifest: dict[str, Any] | None = None,
        **payload: Any,
    ) -> Path:
        """Write a result: ``data`` says what it was made from, ``spent`` what it took, ``payload`` is ``store.publish``'s."""
        whole = {"config": to_plain(config), "data": data} | spent | (manifest or {}) | store.provenance()
        return store.publish(self.name, profile, manifest=whole, **payload)

    def verify(self, profile: str) -> list[Check]:
        """Payload and config first, then what the files hold; what else can be contradicted only if those hold."""
        checks: list[Check] = []
        try:
            result = self.load(profile)
            detail = f"{len(result.manifest['payload'])} files match their sha256; settings are today's"
            checks = [Check("manifest", True, detail)]
            if own := self._trained_since(result, profile):
                reason = f"made before the new training of {', '.join(own)}; train {self.name} again"
                return [*checks, Check("weights", None, reason)]
            self.belongs(result)
            return checks + self.contradict(result)
        except WeightsAbsent as error:
            return [*checks, Check("weights", None, told(error))]
        except Exception as error:  # what is wrong with one result is its own failed check, not the end of all
            return [*checks, Check("contents" if checks else "manifest", False, told(error))]

    @abstractmethod
    def belongs(self, result: Any) -> None:
        """Parse every file of the payload, see that it is of this result (``payload.py``); ``StaleResult`` if not."""

    @abstractmethod
    def contradict(self, result: Any) -> list[Check]:
        """Make again what can be made again without the data, and compare."""

    def made_from(self, data: dict[str, Any]) -> dict[str, str]:
        """Of each stage in ``needs``, the digest of its weights that a manifest's ``data`` names."""
        found = data.get("weights")
        return found if isinstance(found, dict) else {}

    def changed_sources(self, manifest: dict[str, Any], sources: Mapping[str, Any]) -> list[str]:
        """Which of ``needs`` are others than when the result was made. ``sources``: today's results by stage (anything
        with a ``manifest``); one that is ``None`` or missing counts as another."""
        made = self.made_from(manifest["data"])
        return [name for name in self.needs if _weights(sources.get(name)) != made.get(name)]

    def sources(self, profile: str) -> dict[str, store.StoredResult | None]:
        """Today's results of ``needs``, not read yet; ``None`` where one cannot be opened."""
        return {name: _stored(name, profile) for name in self.needs}

    def _trained_since(self, result: ShippedResult, profile: str) -> list[str]:
        """Which of ``needs`` are a user's own, trained after this result was made: it is of others, and contradicts nothing.
        Among the shipped results none may be."""
        today = self.sources(profile)
        changed = self.changed_sources(result.manifest, today) if today else []
        return [name for name in changed if (source := today[name]) is not None and not store.is_shipped(source)]

    def same_sources(self, result: ShippedResult, sources: Mapping[str, Any], made: str = "made with") -> Check:
        """The check that a result was made from the networks that are shipped beside it."""
        changed = self.changed_sources(result.manifest, sources)
        told = f"{made} other weights: {', '.join(changed)}" if changed else f"{made} the shipped networks"
        return Check("weights", not changed, told)

    def contradict_with_data(self, profile: str, folder: Path | None) -> list[Check]:
        """The check ``with_data``, or that it was not made here where the data are absent; most stages have none: their
        slice is all there is to say."""
        return []


def _stored(name: str, profile: str) -> store.StoredResult | None:
    try:
        return store.load(name, profile)
    except UserError:
        return None


def _weights(source: Any) -> str | None:
    """The digest of the weights that a result names."""
    return source.manifest["payload"].get(store.WEIGHTS) if source is not None else None


def weights_of(sources: Mapping[str, Any]) -> dict[str, str | None]:
    """What a result that is made from ``sources`` says of them (``Stage.made_from``)."""
    return {name: _weights(source) for name, source in sources.items()}


def told(error: Exception) -> str:
    """An exception in one line: a ``UserError`` is one already, any other with its kind and place."""
    text = " ".join(str(error).split())
    if isinstance(error, UserError):
        return text
    place = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__}: {text[:200]} ({Path(place.filename).name}:{place.lineno})"


def compare_metrics(again: dict[str, float], stored: dict[str, float]) -> list[Check]:
    """One check a metric, and one that the same metrics were stored."""
    checks = []
    if again.keys() != stored.keys():
        checks.append(Check("slice", False, f"measures {sorted(again)} were stored as {sorted(stored)}"))
    for key, value in again.items():
        wanted = stored.get(key, float("nan"))
        checks.append(
            Check(key, abs(value - wanted) <= METRIC_TOLERANCE * abs(wanted), f"{value:.6g}, stored {wanted:.6g}")
        )
    return checks


Job = tuple[str, str, Path | None, bool]

LONGEST = (
    "pixelcnn-gated",
    "pixelcnn",
)  # where whole test sets are asked: a minute and more each, so they are begun first


def verified(
    names: Sequence[str],
    profile: str | None = None,
    *,
    folder: Path | None = None,
    whole: bool = False,
    workers: int | None = None,
) -> Iterator[tuple[str, list[Check]]]:
    """Each stage's name and checks, the last name first: what takes longest (samples, speeds, studies) stands at the end.

    With ``whole`` also what takes the data, and ``LONGEST`` before all others: the likelihoods of whole test sets, for
    stages whose data are in ``folder`` (the data folder); else those are "not checked here". ``workers``: processes
    (default: one a core with ``whole``; without, the starts of processes would cost more than they save, and this one
    has imported all). The findings do not depend on it.
    """
    profile = profile or chosen_profile()
    number = min((cores() if whole else 1) if workers is None else workers, max(len(names), 1))
    order = sorted(reversed(names), key=lambda name: not (whole and name in LONGEST))
    jobs: list[Job] = [(name, stages.profile_of(name, profile), folder, whole) for name in order]
    with Workers(number) as pool:
        yield from pool.map(_verify, jobs)


def _verify(job: Job) -> tuple[str, list[Check]]:
    name, profile, folder, whole = job
    try:
        stage = stages.get(name)
    except ImportError as error:
        return name, [Check("manifest", False, told(error))]
    checks = stage.verify(profile)
    if stage.with_data and not any(kind(check) == CONTRADICTED for check in checks):
        if not whole:
            return name, [*checks, Check(stage.with_data, None, "takes the data and minutes: make verify")]
        try:
            checks += stage.contradict_with_data(profile, folder)
        except WeightsAbsent as error:  # as in Stage.verify
            checks.append(Check(stage.with_data, None, told(error)))
        except Exception as error:
            checks.append(Check(stage.with_data, False, told(error)))
    return name, checks
