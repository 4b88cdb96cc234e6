"""Weights as whole numbers with one scale a row, as the HTML page carries them; and the page's random numbers.

    w_ij  ~  s_i q_ij,      q_ij in {-levels, ..., levels},      s_i = max_j |w_ij| / levels

A row is what one output is made of (the first dimension), so that its dot product needs one multiplication by s_i. Vectors
(biases, gains, and rows of less than ``SHORTEST``) stay fp32: they are few. ``rounded`` is the same network with the
weights s_i q_ij in fp32: the page multiplies q_ij by fp32 features, sums in fp64 and multiplies by s_i, which is that
network to rounding (``tests/test_live.py``: logits to 1e-3).

``uniforms`` are numbers that JavaScript makes alike: a hash of seed and place, no state. The mixing is "lowbias32" of
C. Wellons' search for 32-bit hashes (2018). Good enough to draw tokens and pixels; not for cryptography.
"""

from __future__ import annotations

import copy

import numpy as np
import torch
from torch import Tensor, nn

from genmodels.errors import UserError

SHORTEST = 8  # numbers; a shorter row would save nothing


def quantise(weight: Tensor, levels: int) -> tuple[Tensor, Tensor]:
    """(R, ...) -> whole numbers of the same shape, int8, and scales (R,), fp32. ``UserError`` for other than 1 … 127."""
    if not 1 <= levels <= 127:
        raise UserError(f"levels {levels} do not fit eight bits; give 1 to 127")
    scale = weight.detach().flatten(1).abs().amax(1).float() / levels  # (R,)
    safe = torch.where(scale > 0, scale, 1.0).view(-1, *[1] * (weight.ndim - 1))
    return (weight.detach() / safe).round().to(torch.int8), scale


def is_matrix(parameter: Tensor) -> bool:
    """Whether a parameter becomes whole numbers; else it stays as it is."""
    return parameter.ndim >= 2 and parameter[0].numel() >= SHORTEST


@torch.no_grad()
def rounded(model: nn.Module, levels: int) -> nn.Module:
    """A copy of ``model`` whose matrices are s_i q_ij."""
    copied = copy.deepcopy(model)
    for parameter in copied.parameters():
        if is_matrix(parameter):
            whole, scale = quantise(parameter, levels)
            parameter.copy_(whole * scale.view(-1, *[1] * (parameter.ndim - 1)))
    return copied


def uniforms(seed: int, places: np.ndarray) -> np.ndarray:
    """Numbers inside (0, 1), fp64, of whole ``places``: (mix(mix(seed) + place) + 1/2) / 2^32, of any shape."""
    start = _mix(np.array([seed & 0xFFFFFFFF], np.uint32))
    return (_mix(start + np.asarray(places).astype(np.uint32)) + 0.5) / 2.0**32


def _mix(x: np.ndarray) -> np.ndarray:
    x = x ^ (x >> np.uint32(16))
    x = x * np.uint32(0x7FEB352D)
    x = x ^ (x >> np.uint32(15))
    x = x * np.uint32(0x846CA68B)
    return x ^ (x >> np.uint32(16))
