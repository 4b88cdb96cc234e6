"""Carrying a network over: what is frozen stays, what is low-rank is a low rank, and both begin as the network they adapt."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from genmodels.config import TrainingConfig, TransformerModelConfig
from genmodels.errors import UserError
from genmodels.language import adaptation
from genmodels.language.adaptation import LoRALinear, adapt, averaged, merge, restore, trained
from genmodels.language.transformer import TransformerLM
from genmodels.training import loop
from genmodels.training.loop import Objective
from genmodels.training.optimizers import make_optimizer, rate_share

SMALL = TransformerModelConfig(width=16, layers=3, heads=2, kv_heads=2, hidden=24, dropout=0.0, context=16)
OBJECTIVE = Objective(total=lambda m, b: m(b[0], targets=b[1])[0], count=lambda b: b[1].numel())


class Tokens:
    """Eight fixed sequences."""

    def __len__(self) -> int:
        return 8

    def __getitems__(self, indices: list[int]) -> tuple[torch.Tensor, ...]:
        whole = torch.randint(0, 30, (8, 13), generator=torch.Generator().manual_seed(1))[indices]
        return whole[:, :-1], whole[:, 1:]


def network(seed: int = 0) -> TransformerLM:
    torch.manual_seed(seed)
    return TransformerLM(SMALL, 30)


def train(model: TransformerLM, steps: int = 4, **changes: float) -> loop.Record:
    plan = TrainingConfig(batch_size=4, steps=steps, learning_rate=1e-2, warmup_steps=1, weight_decay=0.1, bf16=False)
    return loop.train(model, Tokens(), OBJECTIVE, plan, alone=True)


MOVED = {  # of each method: which parameters may move
    "full": lambda name, p: True,
    "bias": lambda name, p: p.ndim == 1,
    "embedding": lambda name, p: name == "embedding.weight",
    "last-block": lambda name, p: name.startswith("blocks.2.") or name in ("final_norm.gain", "output_bias"),
    "lora": lambda name, p: name.endswith((".down", ".up")),
}


@pytest.mark.parametrize("method", MOVED)
def test_what_is_frozen_does_not_move_and_the_rest_does(method: str) -> None:
    model = adapt(network(), method, rank=2)
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    train(model)
    for name, p in model.named_parameters():
        assert torch.equal(p, before[name]) != MOVED[method](name, p), name


def test_a_low_rank_update_begins_as_nothing_and_merges_into_the_same_function() -> None:
    plain, adapted = network().eval(), adapt(network(), "lora", rank=3)
    tokens = torch.randint(0, 30, (2, 10))
    with torch.no_grad():
        assert torch.equal(adapted.eval()(tokens)[0], plain(tokens)[0])
    count = sum(p.numel() for p in adapted.parameters() if p.requires_grad)
    assert count == sum(3 * sum(m.inner.weight.shape) for m in adapted.modules() if isinstance(m, LoRALinear))
    train(adapted)
    with torch.no_grad():
        apart = adapted.eval()(tokens)[0]
        assert not torch.allclose(apart, plain(tokens)[0], atol=1e-3)
        torch.testing.assert_close(merge(adapted)(tokens)[0], apart, rtol=1e-5, atol=1e-5)
    assert [name for name, _ in adapted.named_parameters()] == [name for name, _ in plain.named_parameters()]


@pytest.mark.parametrize(("out", "inner"), [(6, 4), (4, 6), (5, 5)])
def test_at_full_rank_it_reaches_every_update(out: int, inner: int) -> None:
    """By the singular value decomposition of any wanted difference; at a lower rank it reaches the nearest one only."""
    torch.manual_seed(1)
    difference = torch.randn(out, inner, dtype=torch.float64)
    u, s, v = torch.linalg.svd(difference, full_matrices=False)
    for rank in range(1, min(out, inner) + 1):
        layer = LoRALinear(nn.Linear(inner, out, bias=False).double(), rank)
        start = layer.inner.weight.clone()
        with torch.no_grad():
            layer.up.copy_(u[:, :rank] * s[:rank] / layer.scale)
            layer.down.copy_(v[:rank])
        left = (layer.merged().weight - start - difference).norm()
        assert float(left) == pytest.approx(float(s[rank:].norm()), abs=1e-9)


@pytest.mark.parametrize("rank", [0, 17, -1])
def test_a_rank_that_is_none_is_refused(rank: int) -> None:
    with pytest.raises(UserError, match=f"rank {rank} is no rank of a matrix"):
        adapt(network(), "lora", rank=rank)


def test_an_unknown_method_names_the_known_ones() -> None:
    with pytest.raises(UserError, match="'half'; the ways are full, bias"):
        adapt(network(), "half")


def test_gradual_unfreezing_moves_one_block_after_the_other() -> None:
    """At the step before its own a parameter has not moved by a bit, after it it has; the lower, the slower."""
    steps = 16
    first = {}
    for stop in range(1, 9):
        model = adapt(network(), "gradual", steps=steps)
        before = {name: p.detach().clone() for name, p in model.named_parameters()}
        train(model, steps=stop)
        for name, p in model.named_parameters():
            if not torch.equal(p, before[name]):
                first.setdefault(name, stop - 1)
    depths = {"blocks.2.attention.output.weight": 0, "blocks.1.attention.output.weight": 1, "embedding.weight": 3}
    for name, depth in depths.items():
        assert first[name] == depth * steps // 8
        assert dict(model.named_parameters())[name].rate_share == pytest.approx(2.6**-depth)


def test_groups_follow_the_pace_of_their_parameters() -> None:
    model = adapt(network(), "gradual", steps=8)
    groups = make_optimizer(model, TrainingConfig(learning_rate=1.0)).param_groups
    assert sum(len(group["params"]) for group in groups) == len(list(model.parameters()))
    slow = next(group for group in groups if any(p is model.embedding.weight for p in group["params"]))
    assert rate_share(slow, 2) == 0 and rate_share(slow, 3) == pytest.approx(2.6**-3)
    plain = make_optimizer(network(), TrainingConfig(learning_rate=1.0)).param_groups
    assert len(plain) == 2 and all(rate_share(group, 0) == 1 for group in plain)
    assert rate_share({}, 5) == 1  # of a checkpoint that knows no pace


def test_averages_lie_between_and_what_is_kept_comes_back() -> None:
    old, new = network(0).state_dict(), network(1).state_dict()
    for share, wanted in ((0.0, old), (1.0, new)):
        assert all(torch.equal(averaged(old, new, share)[name], tensor) for name, tensor in wanted.items())
    half = averaged(old, new, 0.5)["embedding.weight"]
    torch.testing.assert_close(half, (old["embedding.weight"] + new["embedding.weight"]) / 2)
    model = adapt(network(), "last-block")
    kept = trained(model)
    train(model)
    restore(model, kept)
    assert all(torch.equal(tensor, trained(model)[name]) for name, tensor in kept.items())
    with pytest.raises(UserError, match="another network's"):
        restore(adapt(network(), "bias"), kept)
    assert adaptation.METHODS[0] == "full"
