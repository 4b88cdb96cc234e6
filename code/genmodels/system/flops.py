"""Counting the floating-point operations that a function runs: one counter for all claims about operations."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode


def count_flops(function: Callable[[], Any]) -> int:
    """FLOPs of the matrix products and convolutions that ``function`` runs, two a multiply-add, by ``torch.utils.flop_counter``."""
    added = dict.fromkeys((torch.ops.aten.addmm_, torch.ops.aten.baddbmm_), _product_added_in_place)
    with FlopCounterMode(display=False, custom_mapping=added) as counter:
        function()
    return counter.get_total_flops()


def _product_added_in_place(_: Any, left: torch.Size, right: torch.Size, **options: Any) -> int:
    """FLOPs of (F, M, K) times (F, K, N), or without F, which PyTorch's counter overlooks where the sum is formed in place."""
    return 2 * math.prod(left) * right[-1]
