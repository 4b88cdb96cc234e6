"""What work costs: seconds, several things timed in one run so that their ratios mean something on a busy machine, and
floating-point operations, counted by one counter for all claims about them."""

from __future__ import annotations

import contextlib
import math
import os
import statistics
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode


class Clock:
    """Runs from its making: wall seconds, and processor seconds of this process and of the workers it has waited for."""

    def __init__(self) -> None:
        self._wall, self._cpu = time.monotonic(), sum(os.times()[:4])

    def spent(self) -> dict[str, float]:
        """``seconds`` and ``cpu_seconds`` so far, as manifests keep them."""
        spent = {"seconds": time.monotonic() - self._wall, "cpu_seconds": sum(os.times()[:4]) - self._cpu}
        return {name: round(value, 1) for name, value in spent.items()}


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """Inside the block PyTorch computes on one thread: what processor seconds of a core mean."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def card_seconds() -> float:
    """Wall seconds when all that a GPU was asked for is done: a clock for ``interleaved``."""
    torch.cuda.synchronize()
    return time.perf_counter()


def interleaved(
    runs: Mapping[str, Callable[[], Any]], steps: int, repeats: int, clock: Callable[[], float] | None = None
) -> dict[str, float]:
    """Median seconds a step of each by ``clock`` (the processor's), one after the other in every repeat, so that noise
    meets all alike."""
    clock = clock or time.process_time
    found: dict[str, list[float]] = {name: [] for name in runs}
    for repeat in range(repeats + 1):
        for name, run in runs.items():
            started = clock()
            for _ in range(steps):
                run()
            if repeat:  # the first round warms up
                found[name].append((clock() - started) / steps)
    return {name: statistics.median(times) for name, times in found.items()}


def count_flops(function: Callable[[], Any]) -> int:
    """FLOPs of the matrix products and convolutions that ``function`` runs, two a multiply-add, by ``torch.utils.flop_counter``."""
    added = dict.fromkeys((torch.ops.aten.addmm_, torch.ops.aten.baddbmm_), _product_added_in_place)
    with FlopCounterMode(display=False, custom_mapping=added) as counter:
        function()
    return counter.get_total_flops()


def _product_added_in_place(_: Any, left: torch.Size, right: torch.Size, **options: Any) -> int:
    """FLOPs of (F, M, K) times (F, K, N), or without F, which PyTorch's counter overlooks where the sum is formed in place."""
    return 2 * math.prod(left) * right[-1]
