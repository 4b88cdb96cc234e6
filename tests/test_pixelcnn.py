"""PixelCNN: the assignment's architecture, causality at all 784 positions, a sum of one over all images, evaluation."""

from __future__ import annotations

import itertools
import math

import pytest
import torch

from genmodels.config import PixelCNNModelConfig
from genmodels.errors import UserError
from genmodels.pixelcnn.evaluation import (
    binarization_entropy_nats,
    bits_per_pixel,
    calibration,
    mask_trials,
    nll_nats,
    receptive_field,
    sight,
    unseen_nearby,
)
from genmodels.pixelcnn.masked_conv import MaskedConv2d, to_naive
from genmodels.pixelcnn.model import PixelCNN, loss_nats
from genmodels.report.network import layer_rows, mask_rows


def small(kernels: tuple[int, ...] = (7, 7, 7, 7, 7, 7, 1, 1), channels: int = 6, **options: object) -> PixelCNN:
    """The assignment's kernels with few channels; biases off zero so that a leak through them would show."""
    torch.manual_seed(0)
    model = PixelCNN(PixelCNNModelConfig(channels=channels, kernels=kernels), **options)
    for conv in model.convolutions:
        torch.nn.init.normal_(conv.bias, std=0.2)
    return model


def images(count: int, *size: int, seed: int = 3) -> torch.Tensor:
    height, width = size or (28, 28)
    return (torch.rand(count, 1, height, width, generator=torch.Generator().manual_seed(seed)) < 0.3).float()


def test_architecture_is_the_assignments() -> None:
    model = PixelCNN()
    convolutions = [module for module in model.modules() if isinstance(module, MaskedConv2d)]
    assert [conv.kernel for conv in convolutions] == [7] * 6 + [1] * 2
    assert [conv.mask_type for conv in convolutions] == ["A"] + ["B"] * 7
    assert [conv.out_channels for conv in convolutions] == [64] * 7 + [1]
    table = model.layer_table()
    assert [row["activation"] for row in table] == ["ReLU"] * 7 + ["Sigmoid"]
    assert [row["kernel"] for row in table] == ["7×7"] * 6 + ["1×1"] * 2
    assert table[-1]["rows_up"] == table[-1]["columns_aside"] == 18
    by_hand = (24 * 64 + 64) + 5 * (25 * 64 * 64 + 64) + (64 * 64 + 64) + (64 + 1)
    assert sum(row["parameters"] for row in table) == model.live_parameters() == by_hand


def test_stack_computes_relu_between_and_sigmoid_last() -> None:
    model, x = small(), images(2)
    y = x
    for index, conv in enumerate(model.convolutions):
        y = to_naive(conv)(y)  # the readable reference
        y = y.clamp(min=0) if index < 7 else y
    torch.testing.assert_close(model(x), y, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(model.probabilities(x), 1 / (1 + torch.exp(-y)), rtol=1e-4, atol=1e-5)


def gradients_at_all_positions(model: PixelCNN, x: torch.Tensor) -> torch.Tensor:
    """(784, 784): d logit i / d pixel j. Image copy i is asked for its logit i, so one backward pass gives all rows."""
    pixels = x.numel()
    batch = x.expand(pixels, *x.shape[1:]).clone().requires_grad_(True)
    model(batch).flatten(1).diagonal().sum().backward()
    return batch.grad.flatten(1)


def test_causality_by_gradients_at_all_784_positions() -> None:
    model = small()
    gradient = gradients_at_all_positions(model, images(1))
    assert gradient.shape == (784, 784)
    assert (gradient.triu(0) == 0).all()  # no output hangs on its own pixel or a later one
    reached = (gradient.tril(-1) != 0).any(1)
    assert not reached[0] and reached[1:].all()  # and all but the first do look at the past


def test_the_causality_test_can_fail() -> None:
    model = small()
    leaky = MaskedConv2d("B", 1, model.config.channels, 7)  # what a careless first layer would be
    model.convolutions[0] = leaky
    gradient = gradients_at_all_positions(model, images(1))
    assert (gradient.triu(1) == 0).all() and (gradient.diagonal() != 0).float().mean() > 0.9


def test_later_pixels_change_nothing_not_even_in_the_last_bit() -> None:
    model, x = small(), images(1)
    changed = x.clone()
    changed[..., 13, 9:] = 1 - changed[..., 13, 9:]
    changed[..., 14:, :] = 1 - changed[..., 14:, :]
    before, after = model(x).flatten(), model(changed).flatten()
    here = 13 * 28 + 9
    assert torch.equal(before[: here + 1], after[: here + 1])
    assert not torch.equal(before[here + 1 :], after[here + 1 :])


@pytest.mark.parametrize("kernels", [(3, 1), (3, 3, 1), (5, 3)])
def test_probabilities_of_all_images_sum_to_one(kernels: tuple[int, ...]) -> None:
    model = small(kernels, image_size=(3, 3)).double()
    every = torch.tensor(list(itertools.product([0.0, 1.0], repeat=9)), dtype=torch.float64).view(512, 1, 3, 3)
    total = torch.exp(-loss_nats(model, every)).sum().item()
    assert total == pytest.approx(1.0, abs=1e-12)


def test_loss_is_the_sum_of_logs_over_the_pixels() -> None:
    model, x = small(), images(3)
    p = model.probabilities(x).double()
    by_hand = -(x * p.log() + (1 - x) * (1 - p).log()).sum((1, 2, 3))
    torch.testing.assert_close(loss_nats(model, x).double(), by_hand, rtol=1e-4, atol=1e-3)
    assert loss_nats(model, x).shape == (3,)


def test_loss_keeps_its_gradient_where_the_sigmoid_saturates() -> None:
    logits = torch.full((1, 1, 2, 2), 40.0, requires_grad=True)
    loss = loss_nats(logits, torch.zeros(1, 1, 2, 2))
    loss.sum().backward()
    assert loss.item() == pytest.approx(160.0) and (logits.grad == 1).all()


def test_bf16_autocast_leaves_logits_and_loss_in_fp32() -> None:
    model, x = small(), images(4)
    with torch.autocast("cpu", torch.bfloat16):
        logits = model(x)
        loss = loss_nats(logits, x)
    assert logits.dtype == loss.dtype == torch.float32
    loss.mean().backward()
    reference = loss_nats(model, x)
    assert ((loss - reference).abs() / reference).max() < 0.02
    assert not torch.equal(loss, reference)  # bf16 was really on
    with torch.autocast("cpu", torch.bfloat16):
        evaluated = nll_nats(model, x)
    torch.testing.assert_close(evaluated, reference.detach(), rtol=1e-6, atol=1e-4)  # evaluation ignores autocast


def test_evaluation_does_not_hang_on_the_batch_size() -> None:
    model, x = small(), images(7)
    torch.testing.assert_close(nll_nats(model, x, batch_size=3), nll_nats(model, x), rtol=1e-6, atol=1e-4)
    assert nll_nats(model, x).shape == (7,) and not nll_nats(model, x).requires_grad


def test_an_untrained_constant_model_costs_one_bit_a_pixel() -> None:
    model = PixelCNN(PixelCNNModelConfig(channels=2, kernels=(3, 1)))
    torch.nn.init.zeros_(model.convolutions[-1].weight)
    nats = nll_nats(model, images(2)).mean().item()
    assert nats == pytest.approx(784 * math.log(2), rel=1e-5) and bits_per_pixel(nats) == pytest.approx(1.0, rel=1e-5)


def spread(kernels: tuple[int, ...], height: int, width: int, row: int, column: int) -> torch.Tensor:
    """The receptive field by going through the masks tap by tap with sets: no network, no gradient."""
    field = {(row, column)}
    for index in reversed(range(len(kernels))):
        half, own = kernels[index] // 2, (0 if index == 0 else 1)
        taps = [(-up, aside) for up in range(1, half + 1) for aside in range(-half, half + 1)]
        taps += [(0, -aside) for aside in range(1, half + 1)] + [(0, 0)] * own
        field = {(r + dr, c + dc) for r, c in field for dr, dc in taps if 0 <= r + dr < height and 0 <= c + dc < width}
    result = torch.zeros(height, width, dtype=torch.bool)
    for r, c in field:
        result[r, c] = True
    return result


@pytest.mark.parametrize(("row", "column"), [(14, 14), (27, 3), (5, 26), (0, 1)])
def test_receptive_field_by_gradients_is_the_masks_reach(row: int, column: int) -> None:
    kernels = (7, 7, 7, 7, 7, 7, 1, 1)
    field = receptive_field(small(), row, column)
    assert torch.equal(field > 0, spread(kernels, 28, 28, row, column))


def test_the_blind_spot_is_there() -> None:
    field = receptive_field(small(), 20, 9) > 0
    assert field[19, :13].all() and not field[19, 13:].any()  # one row up it reaches 3 columns to the right, no more
    assert field[18, :16].all() and not field[18, 16:].any() and not field[20, 9:].any()


def test_calibration_of_a_model_that_is_right_and_one_that_is_not() -> None:
    model = PixelCNN(PixelCNNModelConfig(channels=2, kernels=(3, 1)))
    torch.nn.init.zeros_(model.convolutions[-1].weight)
    model.convolutions[-1].bias.data.fill_(math.log(0.3 / 0.7))
    table = calibration(model, images(50), bins=10)  # the images' pixels are 1 with probability 0.3
    assert len(table) == 1 and table.pixels.sum() == 50 * 784
    assert table.predicted[0] == pytest.approx(0.3, abs=1e-6) and table.observed[0] == pytest.approx(0.3, abs=0.01)


@pytest.mark.parametrize(
    ("bad", "words"),
    [
        (torch.zeros(2, 1, 32, 32), r"\(2, 1, 32, 32\)"),
        (torch.zeros(2, 784), r"\(2, 784\)"),
        (torch.zeros(2, 3, 28, 28), "3, 28, 28"),
        (torch.zeros(2, 1, 28, 28, dtype=torch.uint8), "uint8"),
        (torch.full((2, 1, 28, 28), 0.5), r"0\.5"),
        (torch.full((2, 1, 28, 28), 255.0), "255"),
        (torch.full((2, 1, 28, 28), float("nan")), "nan"),
    ],
)
def test_wrong_images_are_refused_in_one_line(bad: torch.Tensor, words: str) -> None:
    for evaluate in (nll_nats, calibration):
        with pytest.raises(UserError, match=words) as caught:
            evaluate(small((3, 1), 2), bad)
        assert "\n" not in str(caught.value)


def test_other_wrong_uses_are_refused() -> None:
    with pytest.raises(UserError, match="at least one kernel"):
        PixelCNN(PixelCNNModelConfig(kernels=()))
    with pytest.raises(UserError, match="mask A"):
        PixelCNN(PixelCNNModelConfig(kernels=(1, 1)))
    with pytest.raises(UserError, match="outside"):
        receptive_field(small((3, 1), 2), 28, 0)
    with pytest.raises(UserError, match="differ in shape"):
        loss_nats(torch.zeros(1, 1, 28, 28), torch.zeros(2, 1, 28, 28))


def test_mask_trials_show_the_leak_and_the_hunger() -> None:
    trials = mask_trials(images(40), steps=10)
    assert [trials[name].nearest_seen for name in ("ABB", "BBB", "AAA")] == [1, 0, 3]
    assert [trials[name].own_gradient > 0 for name in ("ABB", "BBB", "AAA")] == [False, True, False]
    assert trials["AAA"].pixels_seen < trials["ABB"].pixels_seen
    assert trials["BBB"].nll_nats < trials["ABB"].nll_nats  # copying the answer is easier than predicting it
    assert len(mask_rows(trials)) == 3


def test_sight_counts_every_earlier_pixel_once() -> None:
    model = small()
    for row, column in ((20, 12), (27, 27), (3, 20)):
        seen = sight(model, receptive_field(model, row, column), row, column)
        assert seen.seen + seen.blind + seen.far == seen.earlier == row * 28 + column
        assert seen.seen == spread(model.config.kernels, 28, 28, row, column).sum()


def test_unseen_nearby_is_the_blind_spot_and_nothing_else() -> None:
    model = small()
    for row, column in ((20, 12), (27, 27), (14, 3)):
        field = receptive_field(model, row, column)
        assert unseen_nearby(field, row, column) == sight(model, field, row, column).blind
    whole = torch.ones(5, 6)
    whole.flatten()[3 * 6 + 2 :] = 0  # output (3, 2): all earlier pixels seen, none later
    assert unseen_nearby(whole, 3, 2) == 0
    whole[1, 5] = 0
    assert unseen_nearby(whole, 3, 2) == 1


def test_layer_rows_end_with_the_sum() -> None:
    rows = layer_rows(PixelCNN())
    assert len(rows) == 9 and len({tuple(row) for row in rows}) == 1


def test_entropy_of_one_draw() -> None:
    grey = torch.zeros(2, 28, 28, dtype=torch.uint8)
    assert binarization_entropy_nats(grey) == 0
    grey[0, 0, 0], p = 51, 0.2  # one pixel of one of two images
    by_hand = -(p * math.log(p) + (1 - p) * math.log(1 - p)) / 2
    assert binarization_entropy_nats(grey) == pytest.approx(by_hand)
