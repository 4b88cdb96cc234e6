"""The Transformer: its blocks against their formulas, causality by gradients, cache = no cache, tied weights,
limits."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F

from common import check_dropout_follows_the_seed
from genmodels.config import TransformerModelConfig
from genmodels.errors import UserError
from genmodels.language.attention import attention_reference
from genmodels.language.transformer import RMSNorm, SwiGLU, TransformerLM

TINY = TransformerModelConfig(width=16, layers=2, heads=4, kv_heads=2, hidden=24, dropout=0.0, context=16)


def tiny(dropout: float = 0.0, seed: int = 0) -> TransformerLM:
    torch.manual_seed(seed)
    model = TransformerLM(TransformerModelConfig(**{**vars(TINY), "dropout": dropout}), 30)
    torch.nn.init.normal_(model.output_bias)
    return model


def written_out(model: TransformerLM, tokens: torch.Tensor) -> torch.Tensor:
    """The whole network once more from the formulas alone."""

    def norm(x: torch.Tensor, gain: torch.Tensor) -> torch.Tensor:
        return x / (x.square().mean(-1, keepdim=True) + 1e-6).sqrt() * gain

    def turn(x: torch.Tensor) -> torch.Tensor:  # (B, H, T, D): complex multiplication by e^{i t theta}
        half = x.shape[-1] // 2
        theta = 10_000.0 ** (-torch.arange(half, dtype=torch.float64) / half)
        angle = torch.arange(x.shape[2])[:, None] * theta
        turned = torch.complex(x[..., :half], x[..., half:]) * torch.polar(torch.ones_like(angle), angle)
        return torch.cat([turned.real, turned.imag], -1)

    weights = model.state_dict()
    x = weights["embedding.weight"][tokens] * 4  # sqrt(16)
    for layer in range(2):
        w = {name.split(".", 2)[2]: value for name, value in weights.items() if name.startswith(f"blocks.{layer}.")}
        joint = norm(x, w["attention_norm.gain"]) @ w["attention.query_key_value.weight"].T
        q, k, v = (part.unflatten(-1, (-1, 4)).transpose(1, 2) for part in joint.split([16, 8, 8], -1))
        mixed = attention_reference(turn(q), turn(k), v).transpose(1, 2).flatten(2)
        x = x + mixed @ w["attention.output.weight"].T
        gate, up = (norm(x, w["feed_forward_norm.gain"]) @ w["feed_forward.gate_up.weight"].T).chunk(2, -1)
        x = x + (gate * torch.sigmoid(gate) * up) @ w["feed_forward.down.weight"].T
    return norm(x, weights["final_norm.gain"]) @ weights["embedding.weight"].T + weights["output_bias"]


def test_network_equals_its_formulas() -> None:
    model = tiny().double().eval()
    tokens = torch.randint(30, (2, 11))
    torch.testing.assert_close(model(tokens)[0], written_out(model, tokens), rtol=0, atol=1e-6)  # RoPE's table is fp32


def test_norm_and_swiglu() -> None:
    torch.manual_seed(0)
    x = torch.randn(3, 5, 8, dtype=torch.float64) * 4
    norm = RMSNorm(8, eps=0.0).double()
    torch.testing.assert_close(norm(x).square().mean(-1), torch.ones(3, 5, dtype=torch.float64))
    torch.testing.assert_close(norm(7 * x), norm(x))
    part = SwiGLU(8, 12).double()
    gate, up = part.gate_up.weight.split(12)
    torch.testing.assert_close(part(x), (F.silu(x @ gate.T) * (x @ up.T)) @ part.down.weight.T)


def test_no_token_sees_the_future() -> None:
    model = tiny().double().eval()
    embedded = torch.randn(1, 10, 16, dtype=torch.float64, requires_grad=True)
    model.embedding.forward = lambda _tokens: embedded
    features, _ = model.features(torch.zeros(1, 10, dtype=torch.long))
    for t in range(10):
        (gradient,) = torch.autograd.grad(
            features[0, t].square().sum() + features[0, t].sum(), embedded, retain_graph=True
        )
        reach = gradient[0].abs().sum(1)
        assert (reach[t + 1 :] == 0).all()
        assert (reach[: t + 1] > 0).all()


@pytest.mark.parametrize("pieces", [[16], [1] * 16, [5, 1, 1, 6, 3]])
def test_cache_equals_no_cache(pieces: list[int]) -> None:
    model = tiny().double().eval()
    tokens = torch.randint(30, (3, 16))
    whole, nothing = model(tokens)
    assert nothing is None
    state, parts = model.initial_state(3), []
    for piece in tokens.split(pieces, dim=1):
        logits, state = model(piece, state)
        parts.append(logits)
    torch.testing.assert_close(torch.cat(parts, 1), whole, rtol=0, atol=1e-12)


def test_weights_are_tied_and_counted() -> None:
    model = tiny()
    block = 16 * (16 + 2 * 8) + 16 * 16 + 3 * 16 * 24 + 2 * 16
    assert sum(p.numel() for p in model.parameters()) == 30 * 16 + 30 + 2 * block + 16
    assert set(model.state_dict()) == {name for name, _ in model.named_parameters()}  # no second copy, no tables
    before = model(torch.tensor([[3, 4]]))[0]
    with torch.no_grad():
        model.embedding.weight[7] += 1.0
    changed = (before != model(torch.tensor([[3, 4]]))[0]).any(1).any(0).nonzero().flatten().tolist()
    assert changed == [7]


def test_loss_equals_cross_entropy_of_the_logits() -> None:
    model = tiny().train()
    tokens, targets = torch.randint(30, (2, 9)), torch.randint(30, (2, 9))
    targets[0, 4:] = -100
    expected = F.cross_entropy(model(tokens)[0].flatten(0, 1), targets.flatten(), ignore_index=-100, reduction="sum")
    found, _ = model(tokens, targets=targets)
    assert found.item() == pytest.approx(expected.item(), rel=1e-6)
    for a, b in zip(
        torch.autograd.grad(expected, list(model.parameters())), torch.autograd.grad(found, list(model.parameters()))
    ):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)


def test_bf16_training_step_is_close_and_finite() -> None:
    model = tiny().train()
    tokens, targets = torch.randint(30, (2, 9)), torch.randint(30, (2, 9))
    exact, _ = model(tokens, targets=targets)
    with torch.autocast("cpu", torch.bfloat16):
        rounded, _ = model(tokens, targets=targets)
    rounded.backward()
    assert rounded.item() == pytest.approx(exact.item(), rel=1e-2)
    assert all(torch.isfinite(p.grad).all() for p in model.parameters())


def test_it_learns_to_copy() -> None:
    """Attention must carry information: the second half of each sequence repeats the first."""
    torch.manual_seed(0)
    model = TransformerLM(
        TransformerModelConfig(width=32, layers=2, heads=2, kv_heads=2, hidden=48, dropout=0.0, context=16), 12
    )
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    generator = torch.Generator().manual_seed(0)
    for _ in range(150):
        half = torch.randint(12, (32, 6), generator=generator)
        sequence = torch.cat([half, half], 1)
        targets = sequence[:, 1:].clone()
        targets[:, :5] = -100
        loss = model(sequence[:, :-1], targets=targets)[0] / (targets != -100).sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss.item() < 0.25 * math.log(12)


def test_initialisation_starts_near_the_output_bias() -> None:
    torch.manual_seed(0)
    model = TransformerLM(
        TransformerModelConfig(width=64, layers=4, heads=4, kv_heads=4, hidden=96, dropout=0.1, context=32), 500
    ).eval()
    log_unigram = torch.log_softmax(torch.randn(500), 0)
    model.initialize_output_bias(log_unigram)
    tokens = torch.randint(500, (4, 32))
    loss = model(tokens[:, :-1], targets=tokens[:, 1:])[0] / (4 * 31)
    plain = F.nll_loss(log_unigram.expand(124, -1), tokens[:, 1:].flatten())
    assert abs(loss - plain) < 0.1


def test_dropout_follows_the_global_seed_and_stops_in_evaluation() -> None:
    check_dropout_follows_the_seed(tiny(dropout=0.5), torch.randint(30, (2, 5)))


def test_limits_are_named() -> None:
    model = tiny()
    with pytest.raises(UserError, match="17 tokens exceeds the context of 16"):
        model(torch.zeros(1, 17, dtype=torch.long))
    _, state = model(torch.zeros(1, 16, dtype=torch.long), model.initial_state(1))
    with pytest.raises(UserError, match="context of 16"):
        model(torch.zeros(1, 1, dtype=torch.long), state)
    with pytest.raises(UserError, match="dropout"):
        TransformerLM(TransformerModelConfig(dropout=1.0), 30)
