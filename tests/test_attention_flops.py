"""Counted FLOPs against derived ones, to the last; the written-out layers against PyTorch's; leaks by gradients."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from genmodels.attention.cost import exact
from genmodels.attention.growth import core, counted_bytes, fitted_exponent, measure, resident_peak, seconds
from genmodels.attention.layers import (
    KINDS,
    PeakBytes,
    attend,
    attention,
    causality,
    compare,
    count_flops,
    linformer,
    make_weights,
    project,
    sensitivity,
)
from genmodels.attention.scaling import CACHE_BYTES, LAYER_FLOPS, crossings, curves
from genmodels.errors import UserError
from genmodels.report import attention_lengths
from genmodels.report.attention import KIND_LABELS

DOUBLE = {"dtype": torch.float64}


def seeded(seed: int = 1) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("kind", KINDS)
def test_counted_equals_derived(kind: str) -> None:
    for row in compare([kind], lengths=(64, 1024, 4096, 2**20)):
        assert row.counted == row.derived, row


def test_counts_of_the_question() -> None:
    """n = 4096, d = 512, worked out here: 4n²d + 8nd², fewer K/V projections, one step, Linformer."""
    counted = {row.kind: row.counted for row in compare(lengths=(4096,))}
    core_flops, one_projection = 4 * 4096**2 * 512, 2 * 4096 * 512**2
    assert counted == {
        "mha": core_flops + 4 * one_projection,
        "groups64": core_flops + 4 * one_projection,
        "gqa": core_flops + 2 * one_projection + one_projection // 2,
        "mqa": core_flops + 2 * one_projection + one_projection // 4,
        "cached": 8 * 512**2 + 4 * 4096 * 512,
        "linformer64": 4 * one_projection + core_flops // 32,
        "linformer512": 4 * one_projection + core_flops // 4,
    }


def test_score_flops_do_not_depend_on_heads() -> None:
    for heads, kv_heads in ((1, 1), (8, 8), (8, 2), (8, 1), (64, 64), (64, 1)):
        w = make_weights(512, heads, kv_heads, device="meta")
        q, k, v = project(torch.empty(4096, 512, device="meta"), w)
        assert count_flops(lambda: attend(q, k, v)) == 34_359_738_368


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 40), st.integers(0, 3), st.integers(0, 3), st.integers(1, 8))
def test_any_shape_is_counted_right(length: int, power: int, shared: int, per_head: int) -> None:
    heads, kv_heads = 2 ** max(power, shared), 2 ** min(power, shared)
    width = heads * per_head
    w = make_weights(width, heads, kv_heads, device="meta")
    numbers = {"n": length, "d": width, "h": heads, "v": kv_heads}
    counted = count_flops(lambda: attention(torch.empty(length, width, device="meta"), w))
    assert counted == exact(sum(LAYER_FLOPS["attention"]), **numbers)


def test_sixty_four_groups_need_sixty_four_heads() -> None:
    w = make_weights(512, 64, 64, device="meta")
    q, k, _ = project(torch.empty(10, 512, device="meta"), w)
    assert q.shape == k.shape == (64, 10, 8)  # 64 heads of dimension 8: as many key heads as query heads
    for heads in (8, 16, 32):
        with pytest.raises(UserError, match="do not fit"):
            make_weights(512, heads, 64)
    with pytest.raises(UserError, match="heads must divide the width"):
        make_weights(512, 7)


@pytest.mark.parametrize(("heads", "kv_heads"), [(4, 4), (4, 2), (4, 1), (1, 1)])
def test_equals_the_fused_kernel(heads: int, kv_heads: int) -> None:
    generator = seeded()
    x = torch.randn(9, 16, generator=generator, **DOUBLE)
    w = make_weights(16, heads, kv_heads, generator, **DOUBLE)
    q, k, v = project(x, w)
    k, v = (y.repeat_interleave(heads // kv_heads, 0) for y in (k, v))
    for causal in (True, False):
        fused = F.scaled_dot_product_attention(q[None], k[None], v[None], is_causal=causal)[0]
        ours, _ = attention(x, w, causal)
        assert torch.allclose(ours, fused.transpose(0, 1).flatten(1) @ w.output, atol=1e-12)


@pytest.mark.parametrize("pieces", [(1,) * 7, (3, 4), (5, 1, 1)])
def test_cache_gives_the_same(pieces: tuple[int, ...]) -> None:
    generator = seeded()
    x = torch.randn(7, 16, generator=generator, **DOUBLE)
    w = make_weights(16, 4, 2, generator, **DOUBLE)
    whole, _ = attention(x, w)
    cache, parts = None, []
    for piece in x.split(pieces):
        out, cache = attention(piece, w, cache=cache)
        parts.append(out)
    assert torch.allclose(torch.cat(parts), whole, atol=1e-12)
    stored = sum(y.numel() * y.element_size() for y in cache)
    assert stored == exact(CACHE_BYTES, b=8, n=7, d=16, v=2, h=4)


def test_linformer_with_full_rank_is_attention() -> None:
    """With E = F = 1 nothing is shortened: the layer is unmasked attention."""
    generator = seeded()
    x = torch.randn(6, 8, generator=generator, **DOUBLE)
    w = make_weights(8, 2, generator=generator, **DOUBLE)
    eye = torch.eye(6, **DOUBLE)
    assert torch.allclose(linformer(x, w, eye, eye), attention(x, w, causal=False)[0], atol=1e-12)


def test_linformer_leaks_the_future() -> None:
    maps = causality()
    future = torch.ones(12, 12, dtype=torch.bool).triu(1)
    assert maps["causal"][future].max() == 0 and maps["causal"][~future].min() > 0
    assert maps["linformer"].min() > 1e-3  # every output depends on every input


@pytest.mark.parametrize("row", range(4))
def test_no_mask_over_the_mixtures_repairs_linformer(row: int) -> None:
    """With any single mixture left to it, the first output still depends on the last input."""
    generator = seeded()
    x = torch.randn(12, 8, generator=generator, **DOUBLE)
    w = make_weights(8, 2, generator=generator, **DOUBLE)
    e = torch.randn(4, 12, generator=generator, **DOUBLE)[row : row + 1]
    assert sensitivity(lambda x: linformer(x, w, e, e), x)[0, -1] > 1e-3


def test_peak_bytes_by_hand() -> None:
    with PeakBytes() as memory:
        x = torch.zeros(1000, dtype=torch.float32)
        y = x + 1  # two alive
        del x
        z = y.view(10, 100)  # a view costs nothing
        w = z * 2
        assert memory.live == 8000
        del y, z, w
    assert memory.peak == 8000 and memory.live == 0


def test_memory_grows_as_derived() -> None:
    lengths = (2**16, 2**18)
    full = [counted_bytes("full", length) for length in lengths]
    low = [counted_bytes("linformer", length) for length in lengths]
    assert fitted_exponent(lengths, full) == pytest.approx(2, abs=0.01)
    assert fitted_exponent(lengths, low) == pytest.approx(1, abs=0.01)
    assert full[0] >= 2 * 4 * 8 * lengths[0] ** 2  # scores and their softmax, 4 bytes, 8 heads


def test_cores_agree() -> None:
    assert torch.allclose(core("full", 33)(), core("fused", 33)()[0], atol=1e-5)
    assert core("linformer", 33, rank=4)().shape == (8, 33, 64)
    with pytest.raises(UserError, match="no method 'sparse'"):
        core("sparse", 8)


def test_measuring() -> None:
    rows = measure((16, 32), repeats=1)
    assert [row["n"] for row in rows] == [16, 32] and set(rows[0]) == {
        "n",
        "full_seconds",
        "fused_seconds",
        "linformer_seconds",
        "full_bytes",
        "linformer_bytes",
    }
    calls: list[int] = []
    assert seconds(lambda: calls.append(1), repeats=2) >= 0 and len(calls) >= 2
    grown = resident_peak(lambda: torch.ones(20_000_000))
    assert grown is None or grown > 60_000_000


def test_fitted_exponent() -> None:
    assert fitted_exponent([1, 2, 4, 8], [3 * x**1.5 for x in (1, 2, 4, 8)]) == pytest.approx(1.5)
    for lengths, values in (([1], [1]), ([2, 2], [1, 1]), ([1, 2], [0, 1]), ([1, 2, 3], [1, 2])):
        with pytest.raises(UserError, match="make no line"):
            fitted_exponent(lengths, values)


def test_tables_and_figures() -> None:
    assert set(KIND_LABELS) == set(KINDS)
    assert attention_lengths.counted(compare(["mha"], (8,))).data.splitlines()[-1].rstrip(" |").endswith("۰")
    rows = [{"n": x, "full_seconds": x * x * 1e-6, "full_bytes": x * 1e6} for x in (10, 20, 40)]
    last = attention_lengths.measured_growth(rows).data.splitlines()[-1]
    assert "۲٫۰۰" in last and "۱٫۰۰" in last
    lengths = [2**power for power in range(7, 21)]
    figure = attention_lengths.cost_curves(lengths, *curves(lengths), crossings())
    left, right = figure.axes
    assert left.get_xscale() == left.get_yscale() == right.get_yscale() == "log"
    assert len(left.lines) == 5 + 1 + 3 and len(right.lines) == 4 + 1  # curves, the question's length, crossings
    drawn = attention_lengths.sensitivities(causality(length=4))
    assert drawn.axes[0].images[0].get_array().mask.sum() == 6 and not drawn.axes[1].images[0].get_array().mask.any()
