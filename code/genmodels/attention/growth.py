"""What attention takes on this machine as the sequence grows: seconds, bytes, and the fitted power of n.

Times the core alone (scores, softmax, weighted sum: what 4n²d and 8nkd count), because the projections' 8nd² hides the
power of n until n exceeds 2d. Three ways: written out, PyTorch's fused kernel (which keeps no n × n matrix), Linformer.
Seconds are processor time (other programs disturb it little), the least of a few runs; bytes are counted tensor by
tensor, or read off the operating system.
Seconds belong to the machine that prints them; no claim of the report rests on them.
"""

from __future__ import annotations

import ctypes
import gc
import re
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from genmodels.attention.layers import PeakBytes, attend
from genmodels.errors import UserError

METHODS = ("full", "fused", "linformer")


def seconds(function: Callable[[], Any], repeats: int = 3) -> float:
    """Least processor seconds (all threads together) of ``repeats`` runs after one to warm up."""
    function()
    best = float("inf")
    for _ in range(repeats):
        start = time.process_time()
        function()
        best = min(best, time.process_time() - start)
    return best


def resident_peak(function: Callable[[], Any]) -> int | None:
    """Bytes by which the process grew at most while ``function`` ran; ``None`` where Linux's counters are missing."""
    gc.collect()
    try:
        ctypes.CDLL(None).malloc_trim(0)  # give freed memory back first, or its reuse would go unseen
        Path("/proc/self/clear_refs").write_text("5")
        before = _status("VmRSS")
        function()
        return max(0, _status("VmHWM") - before)
    except (OSError, AttributeError, ValueError):
        return None


def _status(field: str) -> int:
    found = re.search(rf"^{field}:\s+(\d+) kB", Path("/proc/self/status").read_text(), re.MULTILINE)
    if found is None:
        raise ValueError(field)
    return int(found[1]) * 1024


def fitted_exponent(lengths: Sequence[float], values: Sequence[float]) -> float:
    """The power a of the least-squares line log(value) = a log(length) + constant; wants two different lengths."""
    if len(lengths) != len(values) or len(set(lengths)) < 2 or min(*lengths, *values) <= 0:
        raise UserError(f"{len(lengths)} lengths and {len(values)} values make no line; give two or more, all > 0")
    return float(np.polyfit(np.log(lengths), np.log(values), 1)[0])


def core(
    method: str, length: int, heads: int = 8, width: int = 512, rank: int = 128, **options: Any
) -> Callable[[], Tensor]:
    """A function of no arguments that runs the core of one causal layer (Linformer's has no mask) on random tensors."""
    generator = None if options.get("device") == "meta" else torch.Generator().manual_seed(length)
    shape = (heads, length, width // heads)
    q, k, v = (torch.randn(shape, generator=generator, **options) for _ in range(3))  # (H, T, Dh)
    if method == "full":
        return lambda: attend(q, k, v)
    if method == "fused":
        return lambda: F.scaled_dot_product_attention(q[None], k[None], v[None], is_causal=True)
    if method == "linformer":
        e, f = (torch.randn(rank, length, generator=generator, **options) * length**-0.5 for _ in range(2))  # (K, T)
        return lambda: attend(q, e @ k, f @ v, causal=False)
    raise UserError(f"no method {method!r}; choose one of {', '.join(METHODS)}")


def counted_bytes(method: str, length: int, **shape: Any) -> int:
    """Most bytes of tensors alive at once in ``core``, float32: exact, from shapes alone."""
    function = core(method, length, device="meta", **shape)
    with PeakBytes() as memory:
        function()
    return memory.peak


def measure(
    lengths: Sequence[int], methods: Sequence[str] = METHODS, repeats: int = 3, **shape: Any
) -> list[dict[str, Any]]:
    """One row a length: ``n``, ``<method>_seconds`` measured with gradients off, ``<method>_bytes`` counted.

    The fused kernel has no counted bytes: what it keeps inside is not a tensor.
    """
    rows = []
    with torch.inference_mode():
        for length in lengths:
            row: dict[str, Any] = {"n": length}
            row |= {f"{x}_seconds": seconds(core(x, length, **shape), repeats) for x in methods}
            row |= {f"{x}_bytes": counted_bytes(x, length, **shape) for x in methods if x != "fused"}
            rows.append(row)
    return rows
