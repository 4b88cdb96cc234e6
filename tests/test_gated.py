"""The two-stack network: causality at all 784 positions, no blind spot, a sum of one, masks against their reference."""

from __future__ import annotations

import itertools

import pytest
import torch

from genmodels.config import GatedModelConfig, PixelCNNModelConfig
from genmodels.errors import UserError
from genmodels.pixelcnn.evaluation import nll_nats, receptive_field
from genmodels.pixelcnn.gated import GatedPixelCNN, gate
from genmodels.pixelcnn.masked_conv import (
    MaskedConv2d,
    NaiveMaskedConv2d,
    PlacedMaskedConv2d,
    causal_mask,
    from_naive,
    to_naive,
)
from genmodels.pixelcnn.model import PixelCNN, loss_nats

TINY = GatedModelConfig(channels=8, layers=3, first_kernel=5, kernel=3, residual=True, placed=False)
PLACED = GatedModelConfig(channels=8, layers=3, first_kernel=5, kernel=3)


def small(config: GatedModelConfig = TINY, **options: object) -> GatedPixelCNN:
    """Biases off zero so that a leak through them would show."""
    torch.manual_seed(0)
    model = GatedPixelCNN(config, **options)
    for name, parameter in model.named_parameters():
        if name.endswith(("bias", "slopes")):
            torch.nn.init.normal_(parameter, std=0.2)
    return model


def images(count: int, height: int = 28, width: int = 28) -> torch.Tensor:
    return (torch.rand(count, 1, height, width, generator=torch.Generator().manual_seed(3)) < 0.3).float()


def test_masks_of_the_parts_written_out() -> None:
    assert causal_mask("A", 3, "above").tolist() == [[1, 1, 1], [0, 0, 0], [0, 0, 0]]
    assert causal_mask("B", 3, "above").tolist() == [[1, 1, 1], [1, 1, 1], [0, 0, 0]]
    assert causal_mask("A", 3, "left").tolist() == [[0, 0, 0], [1, 0, 0], [0, 0, 0]]
    assert causal_mask("B", 3, "left").tolist() == [[0, 0, 0], [1, 1, 0], [0, 0, 0]]
    for kernel, kind in itertools.product((3, 5, 7), "AB"):
        both = causal_mask("A", kernel, "above") + causal_mask(kind, kernel, "left")
        assert torch.equal(both, causal_mask(kind, kernel))  # together they are the mask they were cut from
    with pytest.raises(UserError, match="below"):
        causal_mask("A", 3, "below")
    with pytest.raises(UserError, match="mask A"):
        MaskedConv2d("A", 1, 1, 1, part="above")


@pytest.mark.parametrize("part", ["above", "left"])
@pytest.mark.parametrize(("kind", "kernel"), [("A", 3), ("B", 3), ("A", 7), ("B", 5), ("B", 1)])
@pytest.mark.parametrize("size", [(1, 1), (1, 5), (6, 1), (5, 8)])
def test_parts_equal_their_reference_with_gradients(part: str, kind: str, kernel: int, size: tuple[int, int]) -> None:
    torch.manual_seed(1)
    fast = MaskedConv2d(kind, 2, 3, kernel, part=part)
    torch.nn.init.normal_(fast.bias)
    assert fast.live_taps == fast.mask.numel() == int(causal_mask(kind, kernel, part).sum())  # no dead tap is computed
    naive = to_naive(fast)
    assert isinstance(naive, NaiveMaskedConv2d) and naive.weight.shape[-2:] == (kernel, kernel)
    x, seen = torch.randn(2, 2, *size), []
    cotangent = torch.randn(2, 3, *size)
    for conv in (fast, naive, from_naive(naive)):
        image = x.clone().requires_grad_(True)
        y = conv(image)
        y.backward(cotangent)
        gradient = conv.stored(conv.weight.grad) if conv is not naive else fast.stored(conv.weight.grad)
        seen.append((y, image.grad, gradient if conv is naive else conv.weight.grad, conv.bias.grad))
    for ours, reference, again in zip(*seen):
        torch.testing.assert_close(ours, reference, rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(ours, again)


def test_gate_by_hand() -> None:
    x = torch.tensor([[0.5, -1.0, 2.0, 0.0]]).view(1, 4, 1, 1)
    by_hand = [torch.tanh(x[0, i]).item() / (1 + torch.exp(-x[0, i + 2]).item()) for i in (0, 1)]
    assert gate(x).flatten().tolist() == pytest.approx(by_hand)


@pytest.mark.parametrize(
    "order", [(0, 1, 2, 3), (2, 3, 0, 1), (0, 2, 3, 1)], ids=["(B, C, H, W)", "(H, W, B, C)", "(B, H, W, C)"]
)
def test_gradient_of_the_gate(order: tuple[int, ...]) -> None:
    """By differences, and written in the order in which the input lies in memory."""
    torch.manual_seed(0)
    sizes, back = (2, 6, 3, 4), [order.index(axis) for axis in range(4)]
    x = torch.randn([sizes[axis] for axis in order], dtype=torch.float64).permute(back).requires_grad_()
    assert torch.autograd.gradcheck(gate, x)
    (gradient,) = torch.autograd.grad(gate(x).sum(), x)
    assert gradient.stride() == x.stride()


def test_a_bias_that_knows_its_place() -> None:
    """Of a black image it is all there is: a plane, from -1 to 1 down the rows and along the columns; of others it is a sum."""
    torch.manual_seed(0)
    conv = PlacedMaskedConv2d("B", 2, 3, 5, part="left")
    torch.nn.init.normal_(conv.bias)
    x, plain = torch.randn(2, 2, 5, 9), MaskedConv2d("B", 2, 3, 5, part="left")
    plain.load_state_dict({"weight": conv.weight, "bias": conv.bias})
    assert torch.equal(conv(x), plain(x))  # at birth it is no other layer
    torch.nn.init.normal_(conv.slopes)
    black = conv(torch.zeros(1, 2, 5, 9))[0]  # (3, 5, 9)
    assert torch.equal(black, conv.biases(5, 9))
    by_hand = [
        b + s * (2 * 1 / 4 - 1) + t * (2 * 6 / 8 - 1) for b, (s, t) in zip(conv.bias.tolist(), conv.slopes.tolist())
    ]
    assert black[:, 1, 6].tolist() == pytest.approx(by_hand, abs=1e-6)
    torch.testing.assert_close(conv(x), plain(x) + black - conv.bias[:, None, None])
    assert conv.live_parameters == plain.live_parameters + 6
    with pytest.raises(UserError, match="no naive form"):
        to_naive(conv)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert conv(x).dtype == plain(x).dtype == torch.bfloat16


@pytest.mark.parametrize("config", [TINY, PLACED], ids=["plain", "placed"])
def test_causality_by_gradients_at_all_784_positions(config: GatedModelConfig) -> None:
    batch = images(1).expand(784, 1, 28, 28).clone().requires_grad_(True)
    small(config)(batch).flatten(1).diagonal().sum().backward()
    gradient = batch.grad.flatten(1)  # (784, 784): d logit i / d pixel j
    assert (gradient.triu(0) == 0).all()
    reached = (gradient.tril(-1) != 0).any(1)
    assert not reached[0] and reached[1:].all()


def test_the_causality_test_can_fail() -> None:
    model = small()
    model.layers[0].horizontal = MaskedConv2d("B", 1, 2 * TINY.channels, 5, part="left")  # sees the pixel itself
    batch = images(1).requires_grad_(True)
    model(batch).flatten()[400].backward()
    assert batch.grad.flatten()[400] != 0
    model = small()
    model.layers[0].vertical = MaskedConv2d(
        "B", 1, 2 * TINY.channels, 5, part="above"
    )  # sees the rest of the pixel's row
    batch = images(1).requires_grad_(True)
    model(batch).flatten()[400].backward()
    assert (batch.grad.flatten()[401:403] != 0).all()


@pytest.mark.parametrize(("row", "column"), [(14, 14), (27, 3), (5, 26), (0, 1), (20, 9)])
def test_no_blind_spot(row: int, column: int) -> None:
    """Every earlier pixel within the stacks' reach is seen: whole rows above, and the row itself to the left."""
    reach = TINY.first_kernel // 2 + (TINY.layers - 1) * (TINY.kernel // 2)
    seen = receptive_field(small(), row, column) > 0
    wanted = torch.zeros(28, 28, dtype=torch.bool)
    wanted[max(0, row - reach) : row, max(0, column - reach) : column + reach + 1] = True
    wanted[row, max(0, column - reach) : column] = True
    assert torch.equal(seen, wanted)
    spec = receptive_field(PixelCNN(PixelCNNModelConfig(channels=3, kernels=(5, 3, 3, 1))), row, column) > 0
    assert (seen | ~spec).all() and (row == 0 or column > 22 or bool((seen & ~spec).any()))


@pytest.mark.parametrize("config", [TINY, PLACED, GatedModelConfig(channels=2, layers=1, first_kernel=3)])
def test_probabilities_of_all_images_sum_to_one(config: GatedModelConfig) -> None:
    model = small(config, image_size=(2, 3)).double()
    every = torch.tensor(list(itertools.product([0.0, 1.0], repeat=6)), dtype=torch.float64).view(64, 1, 2, 3)
    assert torch.exp(-loss_nats(model, every)).sum().item() == pytest.approx(1.0, abs=1e-12)


@pytest.mark.parametrize("residual", [True, False])
def test_the_residual_connection_is_a_choice(residual: bool) -> None:
    """With the last layer's output at zero, what the layers before it know reaches the logits past it or not at all."""
    model = small(GatedModelConfig(channels=8, layers=3, first_kernel=5, kernel=3, residual=residual))
    torch.nn.init.zeros_(model.layers[-1].output.weight)
    first, second = model(images(2)[:1]), model(1 - images(2)[:1])
    assert torch.equal(first, second) is not residual


def test_whole_network_equals_one_of_naive_layers() -> None:
    model, x = small(), images(2)
    expected = model(x)
    for layer in model.layers:
        for name, conv in list(layer.named_children()):
            setattr(layer, name, to_naive(conv))
    torch.testing.assert_close(model(x), expected, rtol=1e-4, atol=1e-5)


def test_parameters_by_formula() -> None:
    c, k = TINY.channels, TINY.kernel
    half, first = k // 2, TINY.first_kernel
    above = 2 * c * (first * (first // 2)) + 2 * c
    left = 2 * c * (first // 2) + 2 * c
    inner = (TINY.layers - 1) * (2 * c * c * k * (half + 1) + 2 * c + 2 * c * c * (half + 1) + 2 * c)
    ones = TINY.layers * (2 * c * c + 2 * c + c * c + c)
    head = c * c + c + c + 1
    model = small()
    assert model.live_parameters() == above + left + inner + ones + head == sum(p.numel() for p in model.parameters())
    assert small(PLACED).live_parameters() == model.live_parameters() + 2 * PLACED.layers * 2 * 2 * c


def test_wrong_uses_are_refused() -> None:
    with pytest.raises(UserError, match="at least one layer"):
        GatedPixelCNN(GatedModelConfig(layers=0))
    with pytest.raises(UserError, match=r"\(2, 1, 32, 32\)"):
        nll_nats(small(), torch.zeros(2, 1, 32, 32))
    with pytest.raises(UserError, match="255"):
        nll_nats(small(), torch.full((2, 1, 28, 28), 255.0))
