"""The LSTM: equal to its equations and to ``torch.nn.LSTM``, in values and gradients; tied weights, locked dropout,
state."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from common import check_dropout_follows_the_seed
from genmodels.config import RecurrentModelConfig
from genmodels.errors import UserError
from genmodels.language.base import IGNORED, linear_cross_entropy, locked_dropout
from genmodels.language.recurrent import LSTMLayer, RecurrentLM, lstm_reference

TINY = RecurrentModelConfig(embedding=6, hidden=9, layers=3, dropout=0.0)


def layer_and_input(
    dtype: torch.dtype = torch.float64,
) -> tuple[LSTMLayer, torch.Tensor, tuple[torch.Tensor, torch.Tensor]]:
    torch.manual_seed(0)
    layer = LSTMLayer(5, 7).to(dtype)
    x = torch.randn(11, 3, 5, dtype=dtype, requires_grad=True)
    return layer, x, (torch.randn(3, 7, dtype=dtype), torch.randn(3, 7, dtype=dtype))


def gradients(outputs: tuple[torch.Tensor, ...], inputs: list[torch.Tensor]) -> tuple[torch.Tensor, ...]:
    generator = torch.Generator().manual_seed(5)
    weights = [torch.randn(o.shape, generator=generator, dtype=torch.float64).to(o.dtype) for o in outputs]
    return torch.autograd.grad(sum((o * w).sum() for o, w in zip(outputs, weights)), inputs)


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-10), (torch.float32, 1e-5)])
def test_layer_equals_its_equations(dtype: torch.dtype, tolerance: float) -> None:
    layer, x, state = layer_and_input(dtype)
    written, (h, c) = lstm_reference(x, state, layer.input_weight, layer.hidden_weight, layer.bias)
    fast, (fast_h, fast_c) = layer(x, state)
    inputs = [x, layer.input_weight, layer.hidden_weight, layer.bias]
    for a, b in zip((written, h, c), (fast, fast_h, fast_c)):
        torch.testing.assert_close(a, b, rtol=0, atol=tolerance)
    for a, b in zip(gradients((written, h, c), inputs), gradients((fast, fast_h, fast_c), inputs)):
        torch.testing.assert_close(a, b, rtol=tolerance, atol=tolerance)


def test_lean_kernel_equals_the_equations() -> None:
    """The kernel of bf16 training, run in fp32 so that rounding does not hide a mistake."""
    from genmodels.language.recurrent import _LeanLSTM

    layer, x, state = layer_and_input(torch.float32)
    written, (h, c) = lstm_reference(x, state, layer.input_weight, layer.hidden_weight, layer.bias)
    lean = _LeanLSTM.apply(F.linear(x, layer.input_weight, layer.bias), layer.hidden_weight, *state)
    inputs = [x, layer.input_weight, layer.hidden_weight, layer.bias]
    for a, b in zip((written, h, c), lean):
        torch.testing.assert_close(a, b, rtol=0, atol=1e-5)
    for a, b in zip(gradients((written, h, c), inputs), gradients(lean, inputs)):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=2e-5)


def test_bf16_training_path_is_the_same_network() -> None:
    torch.manual_seed(1)
    model = RecurrentLM(TINY, 30).train()
    tokens, targets = torch.randint(30, (4, 12)), torch.randint(30, (4, 12))
    exact = model(tokens, targets=targets)[0]
    exact_gradients = torch.autograd.grad(exact, list(model.parameters()))
    with torch.autocast("cpu", torch.bfloat16):
        rounded = model(tokens, targets=targets)[0]
    rounded_gradients = torch.autograd.grad(rounded, list(model.parameters()))
    assert rounded.item() == pytest.approx(exact.item(), rel=2e-3)
    for a, b in zip(exact_gradients, rounded_gradients):
        assert b.dtype == torch.float32
        assert F.cosine_similarity(a.flatten(), b.flatten(), dim=0) > 0.995


def test_layer_equals_torch_nn_lstm() -> None:
    layer, x, (h, c) = layer_and_input()
    theirs = torch.nn.LSTM(5, 7).double()
    with torch.no_grad():
        theirs.weight_ih_l0.copy_(layer.input_weight)
        theirs.weight_hh_l0.copy_(layer.hidden_weight)
        theirs.bias_ih_l0.copy_(layer.bias)
        theirs.bias_hh_l0.zero_()
    expected, (last_h, last_c) = theirs(x, (h[None], c[None]))
    outputs, (our_h, our_c) = layer(x, (h, c))
    for a, b in zip((expected, last_h[0], last_c[0]), (outputs, our_h, our_c)):
        torch.testing.assert_close(a, b, rtol=0, atol=1e-12)


def test_state_carries_the_sequence_on() -> None:
    torch.manual_seed(0)
    model = RecurrentLM(TINY, 20).eval()
    tokens = torch.randint(20, (2, 13))
    whole, _ = model(tokens)
    state, parts = model.initial_state(2), []
    for piece in tokens.split([4, 1, 8], dim=1):
        logits, state = model(piece, state)
        parts.append(logits)
    torch.testing.assert_close(torch.cat(parts, 1), whole, rtol=0, atol=1e-6)


def test_no_token_sees_the_future() -> None:
    torch.manual_seed(0)
    model = RecurrentLM(TINY, 20).double().eval()
    embedded = model.embedding(torch.randint(20, (1, 8))).detach().requires_grad_()
    model.embedding.forward = lambda _tokens: embedded.transpose(0, 1)  # the layers run time first
    features, _ = model.features(torch.zeros(1, 8, dtype=torch.long))
    for t in range(8):
        (gradient,) = torch.autograd.grad(features[0, t].sum(), embedded, retain_graph=True)
        reach = gradient[0].abs().sum(1)
        assert (reach[t + 1 :] == 0).all() and (reach[: t + 1] > 0).all()


def test_weights_are_tied_and_stored_once() -> None:
    model = RecurrentLM(TINY, 20)
    layers = 4 * 9 * (6 + 9 + 1) + 4 * 9 * (9 + 9 + 1) + 4 * 6 * (9 + 6 + 1)
    assert sum(p.numel() for p in model.parameters()) == 20 * 6 + 20 + layers
    assert not any("decoder" in name or "head" in name for name in model.state_dict())
    before = model(torch.tensor([[3]]))[0][0, 0]
    with torch.no_grad():
        model.embedding.weight[7] *= 2  # token 7 is not read: only its score may change
    after = model(torch.tensor([[3]]))[0][0, 0]
    changed = (before != after).nonzero().flatten().tolist()
    assert changed == [7]


def test_dropout_mask_is_locked_in_time() -> None:
    torch.manual_seed(0)
    x = locked_dropout(torch.ones(9, 4, 50), 0.5, training=True)
    assert (x == x[0]).all()
    assert set(x.unique().tolist()) == {0.0, 2.0}
    assert (x[0, 0] != x[0, 1]).any()  # each sequence its own mask
    assert (locked_dropout(torch.ones(2, 2, 2), 0.5, training=False) == 1).all()


def test_dropout_follows_the_global_seed_and_stops_in_evaluation() -> None:
    model = RecurrentLM(RecurrentModelConfig(embedding=6, hidden=9, layers=2, dropout=0.5), 20)
    check_dropout_follows_the_seed(model, torch.randint(20, (2, 5)))


def test_initialisation() -> None:
    torch.manual_seed(0)
    layer = LSTMLayer(50, 16)
    assert layer.hidden_weight.abs().max() <= 0.25  # 1 / sqrt(16)
    assert layer.bias.reshape(4, 16).sum(1).tolist() == [0, 16, 0, 0]
    model = RecurrentLM(TINY, 20)
    log_unigram = torch.log_softmax(torch.randn(20), 0)
    model.initialize_output_bias(log_unigram)
    assert torch.equal(model.output_bias, log_unigram)
    with pytest.raises(UserError, match=r"\(20,\)"):
        model.initialize_output_bias(torch.zeros(19))


@pytest.mark.parametrize("positions", [1, 7, 600])  # 600: more than one block
def test_blockwise_cross_entropy_is_exact(positions: int) -> None:
    torch.manual_seed(0)
    features = torch.randn(positions, 5, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(40, 5, dtype=torch.float64, requires_grad=True)
    bias = torch.randn(40, dtype=torch.float64, requires_grad=True)
    targets = torch.randint(40, (positions,))
    targets[1::3] = IGNORED
    expected = F.cross_entropy(F.linear(features, weight, bias), targets, ignore_index=IGNORED, reduction="sum")
    found = linear_cross_entropy(features, weight, bias, targets)
    assert found.item() == pytest.approx(expected.item(), rel=1e-12)
    inputs = [features, weight, bias]
    for a, b in zip(torch.autograd.grad(expected / 7, inputs), torch.autograd.grad(found / 7, inputs)):
        torch.testing.assert_close(a, b, rtol=0, atol=1e-11)
    with torch.no_grad():
        assert linear_cross_entropy(features, weight, bias, targets).item() == pytest.approx(expected.item(), rel=1e-12)


def test_bad_input_is_one_line() -> None:
    model = RecurrentLM(TINY, 20)
    with pytest.raises(UserError, match="shape"):
        model(torch.tensor([1, 2, 3]))
    with pytest.raises(UserError, match="token id 20 is outside"):
        model.check_tokens(torch.tensor([[3, 20]]))
    with pytest.raises(UserError, match="layers"):
        RecurrentLM(RecurrentModelConfig(layers=0), 20)
