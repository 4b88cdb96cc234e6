"""Masked convolution: the masks' values, the two forms' equality, causality, dead taps that stay dead."""

from __future__ import annotations

import copy

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from genmodels.errors import UserError
from genmodels.pixelcnn.masked_conv import MaskedConv2d, NaiveMaskedConv2d, causal_mask, from_naive, to_naive

FORMS = [MaskedConv2d, NaiveMaskedConv2d]


def test_mask_values_written_out() -> None:
    assert causal_mask("A", 3).tolist() == [[1, 1, 1], [1, 0, 0], [0, 0, 0]]
    assert causal_mask("B", 3).tolist() == [[1, 1, 1], [1, 1, 0], [0, 0, 0]]
    assert causal_mask("B", 1).tolist() == [[1]]
    assert causal_mask("A", 7)[3].tolist() == [1, 1, 1, 0, 0, 0, 0]
    assert causal_mask("B", 7)[3].tolist() == [1, 1, 1, 1, 0, 0, 0]
    assert causal_mask("A", 7).sum() == 24 and causal_mask("B", 7).sum() == 25


@given(st.integers(1, 6))
def test_a_and_b_differ_in_the_centre_alone(half: int) -> None:
    kernel = 2 * half + 1
    difference = causal_mask("B", kernel) - causal_mask("A", kernel)
    assert difference.nonzero().tolist() == [[half, half]]


@pytest.mark.parametrize(
    ("mask_type", "kernel", "words"),
    [("A", 1, "mask A"), ("C", 3, "'C'"), ("B", 4, "side 4"), ("B", 0, "side 0"), ("A", -3, "side -3")],
)
@pytest.mark.parametrize("form", FORMS)
def test_impossible_masks_are_refused(form: type, mask_type: str, kernel: int, words: str) -> None:
    with pytest.raises(UserError, match=words):
        form(mask_type, 1, 1, kernel)


def _with_bias(conv: nn.Module) -> nn.Module:
    nn.init.normal_(conv.bias)
    return conv


@settings(max_examples=25, deadline=None)
@given(
    st.sampled_from([("A", 3), ("B", 3), ("A", 7), ("B", 7), ("B", 1), ("B", 5)]),
    st.integers(1, 5),
    st.integers(1, 5),
    st.integers(1, 9),
    st.integers(1, 9),
    st.integers(0, 2**31),
)
def test_fast_form_equals_reference_with_gradients(
    kind: tuple[str, int], inputs: int, outputs: int, height: int, width: int, seed: int
) -> None:
    torch.manual_seed(seed)
    fast = _with_bias(MaskedConv2d(kind[0], inputs, outputs, kind[1])).double()
    naive = to_naive(fast)
    x = torch.randn(2, inputs, height, width, dtype=torch.float64)
    seen, cotangent = [], torch.randn(2, outputs, height, width, dtype=torch.float64)
    for conv in (fast, naive):
        image = x.clone().requires_grad_(True)
        y = conv(image)
        y.backward(cotangent)
        seen.append((y, image.grad, conv.weight.grad[:, :, : kind[1] // 2 + 1], conv.bias.grad))
    for ours, reference in zip(*seen):
        torch.testing.assert_close(ours, reference, rtol=1e-10, atol=1e-12 * max(1.0, reference.abs().max().item()))


def test_equal_to_1e6_at_the_assignments_size() -> None:
    torch.manual_seed(0)
    fast = _with_bias(MaskedConv2d("B", 64, 64, 7))
    naive = to_naive(fast)
    x = torch.relu(torch.randn(2, 64, 28, 28)).div(8)
    found, reference = fast(x), naive(x)
    exact = naive.double()(x.double())
    assert (fast.double()(x.double()) - exact).abs().max() <= 1e-12
    # In fp32 what is left is rounding, which depends on the order of the processor's sums: up to 7e-7 in the root mean square
    # with AVX2, which begins them at the bias.
    assert (found - reference).square().mean().sqrt() <= 1e-5


@pytest.mark.parametrize("kind", [("A", 5), ("B", 7), ("B", 1)])
def test_conversion_both_ways(kind: tuple[str, int]) -> None:
    naive = _with_bias(NaiveMaskedConv2d(kind[0], 3, 4, kind[1]))
    nn.init.normal_(naive.weight)  # dead taps too: the conversion must drop them
    back = to_naive(from_naive(naive))
    assert torch.equal(back.weight, naive.weight * naive.mask) and torch.equal(back.bias, naive.bias)
    assert from_naive(naive).live_parameters == naive.live_parameters == naive.live_taps * 12 + 4


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("mask_type", ["A", "B"])
def test_every_output_sees_earlier_pixels_only(form: type, mask_type: str) -> None:
    side = 6
    conv = form(mask_type, 1, 1, 5)
    with torch.no_grad():
        conv.weight.fill_(1.0)  # dead taps too: the mask alone must hold them back
    x = torch.zeros(side * side, 1, side, side, requires_grad=True)
    outputs = conv(x).flatten(1)  # (36, 36): image i is asked for its output i
    outputs.diagonal().sum().backward()
    seen = x.grad.flatten(1) != 0  # (output, pixel)
    rows, columns = torch.arange(side * side) // side, torch.arange(side * side) % side
    near = ((rows[:, None] - rows).abs() <= 2) & ((columns[:, None] - columns).abs() <= 2)
    order = torch.ones(side * side, side * side).tril(0 if mask_type == "B" else -1).bool()
    assert torch.equal(seen, near & order)


@pytest.mark.parametrize("form", FORMS)
def test_dead_taps_stay_zero_under_adamw_and_ema(form: type) -> None:
    torch.manual_seed(1)
    conv = form("B", 3, 3, 5)
    dead = (conv.mask == 0).expand_as(conv.weight)
    start, ema = conv.weight.detach().clone(), copy.deepcopy(conv)
    optimizer = torch.optim.AdamW(conv.parameters(), lr=0.1, weight_decay=0.1)
    for _ in range(5):
        optimizer.zero_grad()
        conv(torch.randn(2, 3, 8, 8)).square().sum().backward()
        assert (conv.weight.grad[dead] == 0).all()
        optimizer.step()
        for average, value in zip(ema.parameters(), conv.parameters()):
            average.data.lerp_(value.data, 0.1)
    assert (start[dead] == 0).all() and (conv.weight[dead] == 0).all() and (ema.weight[dead] == 0).all()
    assert (conv.weight[~dead] != start[~dead]).all()


@pytest.mark.parametrize("form", FORMS)
def test_bias_is_not_masked_and_padding_is_zero(form: type) -> None:
    conv = _with_bias(form("A", 2, 3, 7))
    y = conv(torch.zeros(1, 2, 5, 5))
    assert torch.equal(y, conv.bias.view(1, 3, 1, 1).expand(1, 3, 5, 5))


@pytest.mark.parametrize("form", FORMS)
def test_initialisation_keeps_the_scale_of_relu_features(form: type) -> None:
    conv = form("B", 32, 256, 7)
    conv.reset_parameters(torch.Generator().manual_seed(0))
    x = torch.relu(torch.randn(8, 32, 13, 13, generator=torch.Generator().manual_seed(1)))
    inside = conv(x)[:, :, 3:, 3:-3]  # away from the padding
    assert inside.var().item() == pytest.approx(2 * x.square().mean().item(), rel=0.1)
    assert (conv.bias == 0).all()
