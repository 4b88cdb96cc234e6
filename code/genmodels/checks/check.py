"""What a check is, what it may look at, and how all of them are run.

A check is a function from the ``Evidence`` to ``(holds, what was found)``, or ``(None, why it was not checked here)``,
registered with its point of the assignment, the section that it stands behind, and its Persian title. It computes:
nothing here is asserted by hand.
Each is given the trained models and shipped arrays as they were read from ``cache/``, so that it can fail where the
code, the weights or the stored numbers change. Not here: the checks themselves (``images``, ``text``, ``language``,
``arithmetic``, ``provenance``), and how they are shown (``tables``).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from functools import cached_property
from importlib import import_module
from typing import Any

import numpy as np
from torch import Tensor, nn

from genmodels.config import PROFILES
from genmodels.data import mnist
from genmodels.store import is_shipped

MODULES = ("images", "text", "language", "arithmetic", "provenance")  # in the order of the table


def max_with_nan(*values: float) -> float:
    """``max`` that a NaN wins: no check may hold on it."""
    return float(np.max(values))


@dataclass(frozen=True)
class Outcome:
    """One check made: ``key`` names it, ``point`` the assignment's point, ``section`` the label of its section.

    ``passed`` is ``None`` where it was not checked here (``result`` says why). ``title`` and ``result`` are Persian text
    for the table; ``seconds`` of processor time.
    """

    key: str
    point: str
    section: str
    title: str
    result: str
    passed: bool | None
    seconds: float


class Evidence:
    """The shipped results by stage name, and what several checks make of them. A test may put anything in its place."""

    def __init__(self, shipped: Mapping[str, Any]) -> None:
        self.shipped = shipped
        self.profile: str = getattr(shipped, "profile", PROFILES[0])

    @cached_property
    def short(self) -> bool:
        """A shorter profile, or a training of somebody's own: an outcome that it does not reach contradicts nothing."""
        stored = [result.stored for result in self.shipped.values() if hasattr(result, "stored")]
        return self.profile != PROFILES[0] or not all(map(is_shipped, stored))

    @cached_property
    def pixelcnn(self) -> nn.Module:
        return self.shipped["pixelcnn"].model()

    @cached_property
    def rnn(self) -> nn.Module:
        return self.shipped["rnn"].model()

    @cached_property
    def transformer(self) -> nn.Module:
        return self.shipped["transformer"].model()

    @cached_property
    def test_images(self) -> Tensor:
        """Test images that were shipped, (N, 1, 28, 28) of zeros and ones."""
        return mnist.unpack_images(self.shipped["pixelcnn"].slice["test_images"])

    @cached_property
    def tokenizer(self) -> Any:
        return self.shipped["text"].tokenizer("fluent")

    @cached_property
    def documents(self) -> tuple[np.ndarray, np.ndarray]:
        """Test documents of the fluent corpus: ids (N,), offsets (D + 1,)."""
        arrays = self.shipped["rnn"].slice
        return arrays["test_ids"], arrays["test_offsets"]

    def document(self, place: int) -> list[int]:
        """Token ids of one test document, ``<bos>`` and ``<eos>`` included."""
        ids, offsets = self.documents
        return [int(i) for i in ids[offsets[place] : offsets[place + 1]]]

    @cached_property
    def networks(self) -> dict[str, nn.Module]:
        """Every shipped network by its stage's name."""
        weights = [
            name
            for name, result in self.shipped.items()
            if "weights.safetensors" in result.manifest["payload"] and hasattr(result, "model")
        ]
        known = ("pixelcnn", "rnn", "transformer")
        return {name: getattr(self, name) if name in known else self.shipped[name].model() for name in weights}

    @property
    def language(self) -> list[str]:
        """The stages of trained language models, measured on test documents."""
        return [name for name, result in self.shipped.items() if "test_document_nll_nats" in result.metrics]


Finding = tuple[bool | None, str]


@dataclass(frozen=True)
class Registered:
    """A check before it is made."""

    key: str
    point: str
    section: str
    title: str
    function: Callable[[Evidence], Finding]
    outcome: bool = False


_CHECKS: dict[str, Registered] = {}


def check(
    key: str, point: str, section: str, title: str, outcome: bool = False
) -> Callable[[Callable[[Evidence], Finding]], Any]:
    """Register a check under ``key`` for a ``point`` of the assignment, told in ``section`` of the report.

    ``outcome``: it judges how well, or with how clean a code, a whole training went (``Evidence.short``).
    """

    def register(function: Callable[[Evidence], Finding]) -> Callable[[Evidence], Finding]:
        if key in _CHECKS:
            raise ValueError(f"two checks are called {key!r}")
        _CHECKS[key] = Registered(key, point, section, title, function, outcome)
        return function

    return register


def registered() -> list[Registered]:
    """Every check, in the order of the table."""
    for name in MODULES:
        import_module(f"genmodels.checks.{name}")
    return sorted(_CHECKS.values(), key=lambda each: MODULES.index(each.function.__module__.rpartition(".")[2]))


def run(shipped: Mapping[str, Any] | Evidence, only: Collection[str] | None = None) -> list[Outcome]:
    """Make all checks (or those whose keys are in ``only``) on the shipped results; nothing is raised.

    A check that raises has failed: its outcome says with what.
    """
    evidence = shipped if isinstance(shipped, Evidence) else Evidence(shipped)
    return [_made(each, evidence) for each in registered() if only is None or each.key in only]


def _made(each: Registered, evidence: Evidence) -> Outcome:
    started = time.process_time()
    try:
        passed, result = each.function(evidence)
    except Exception as error:  # whatever it is, the document must be written and say so
        passed, result = False, f"اجرا نشد: `{type(error).__name__}`"
    seconds = time.process_time() - started
    passed = None if passed is None else bool(passed)
    if each.outcome and passed is False and evidence.short:
        passed, result = None, f"این آموزش به آن نرسیده است: {result}"
    return Outcome(each.key, each.point, each.section, each.title, result, passed, seconds)
