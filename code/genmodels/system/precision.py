"""bf16 where it is of use: ``autocast`` for a device, switched off on processors that would only emulate it.

PyTorch computes bf16 products on any CPU, but without AVX-512 (or Arm's bf16 instructions) one by one: a product of two
1024 x 1024 matrices ran at 1 GFLOP/s against 76 in fp32, a training 75 times slower. There fp32 is used instead, and
the manifest says so. The choice depends on the processor alone, so a stopped run goes on in the precision it had.

``exact`` is for what must be the same on every machine: fp64, on the processor, from draws that no library decides.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache

import torch
from torch import Tensor


@lru_cache(maxsize=None)
def bf16_is_native(kind: str) -> bool:
    """Does a device of this kind ("cpu", "cuda") multiply in bf16 itself?"""
    if kind == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return kind == "cpu" and bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())  # the test that oneDNN's products use


def why_fp32() -> str:
    """Why trainings here run in fp32, for the one who starts them; nothing where they run in bf16.

    fp16 with scaled losses, which a GPU such as the T4 could do at twice the speed, is not tried: it would be a third
    arithmetic, whose results no machine at hand could contradict.
    """
    if torch.cuda.is_available():
        name = f"the GPU {torch.cuda.get_device_name()}"
        return "" if bf16_is_native("cuda") else f"{name} has no bf16 of its own: all in fp32"
    return "" if bf16_is_native("cpu") else "this processor has no bf16 of its own: all in fp32"


def autocast(kind: str, wanted: bool = True) -> torch.autocast:
    """bf16 autocast on a device of this kind where it is ``wanted`` and native; else fp32."""
    return torch.autocast(kind, dtype=torch.bfloat16, enabled=wanted and bf16_is_native(kind))


@contextmanager
def exact() -> Iterator[None]:
    """Inside the block a training is the same on every machine, up to the rounding of fp64.

    What is made is made in fp64: PyTorch's fp32 normal and uniform numbers differ in their last bit between vector
    units. Trainings stay on the CPU, and dropout masks are drawn as uniform numbers (``lm.base.dropout``).
    """
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


def is_exact() -> bool:
    """Whether this is inside an ``exact`` block."""
    return torch.get_default_dtype() == torch.float64


def widened(x: Tensor) -> Tensor:
    """``x`` in fp32, or in fp64 where it is: what losses are kept in."""
    return x.to(torch.promote_types(x.dtype, torch.float32))


def packed(weights: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Tensors as a file holds them: in fp16, half the bytes, where that is the same numbers."""
    found = {name: tensor.detach().cpu().contiguous() for name, tensor in weights.items()}
    halves = {name: t.half() for name, t in found.items() if t.dtype == torch.float32}
    return found | {name: half for name, half in halves.items() if torch.equal(half.float(), found[name])}


def unpacked(weights: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The tensors that were ``packed``: no halves, fp32."""
    return {name: t.float() if t.dtype == torch.half else t for name, t in weights.items()}
