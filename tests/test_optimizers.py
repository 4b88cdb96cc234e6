"""Which optimiser cares for which parameter, and that both halves learn, stop and resume."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import nn

from genmodels.config import GatedModelConfig, PixelCNNModelConfig, RecurrentModelConfig, TrainingConfig
from genmodels.errors import UserError
from genmodels.language.recurrent import RecurrentLM
from genmodels.pixelcnn.gated import GatedPixelCNN
from genmodels.pixelcnn.masked_conv import PlacedMaskedConv2d
from genmodels.pixelcnn.model import PixelCNN, loss_nats
from genmodels.training.optimizers import Muon, MuonWithAdamW, as_matrix, half_orthogonal, make_optimizer

MUON = TrainingConfig(learning_rate=1e-2, weight_decay=0.1, momentum=0.95)


def model() -> RecurrentLM:
    torch.manual_seed(0)
    return RecurrentLM(RecurrentModelConfig(embedding=6, hidden=8, layers=2, dropout=0.0), 20)


def step(network: nn.Module, optimizer: object) -> None:
    tokens = torch.arange(20).view(2, 10) % 20
    network(tokens[:, :-1], targets=tokens[:, 1:])[0].backward()
    optimizer.step()
    optimizer.zero_grad()


def test_muon_takes_the_inner_matrices_and_nothing_else() -> None:
    network = model()
    optimizer = make_optimizer(network, MUON)
    assert isinstance(optimizer, MuonWithAdamW)
    names = {id(p): name for name, p in network.named_parameters()}
    muon, adamw = ([names[id(p)] for group in part.param_groups for p in group["params"]] for part in optimizer.parts)
    assert sorted(muon) == sorted(n for n in names.values() if n.endswith(("input_weight", "hidden_weight")))
    assert sorted(muon + adamw) == sorted(names.values()) and "embedding.weight" in adamw


def test_without_muon_it_is_adamw() -> None:
    assert isinstance(make_optimizer(model(), TrainingConfig()), torch.optim.AdamW)


def test_an_update_of_muon_is_half_orthogonal() -> None:
    network = model()
    before = {name: p.detach().clone() for name, p in network.named_parameters()}
    optimizer = make_optimizer(network, replace(MUON, weight_decay=0.0))
    step(network, optimizer)
    change = before["layers.0.hidden_weight"] - network.layers[0].hidden_weight.detach()
    values = torch.linalg.svdvals(change)  # eight, of a gradient that hardly has the last direction
    assert values[0] / values[-2] < 2  # five Newton-Schulz steps are rough
    rms = change.pow(2).mean().sqrt() / MUON.learning_rate
    assert 0.1 < rms < 0.4  # matched to AdamW's usual 0.2


def test_the_learning_rate_reaches_both_halves() -> None:
    network = model()
    optimizer = make_optimizer(network, MUON)
    before = [p.detach().clone() for p in network.parameters()]
    for group in optimizer.param_groups:
        group["lr"] = 0.0
    step(network, optimizer)
    assert all(torch.equal(a, b) for a, b in zip(before, network.parameters()))


def test_its_state_can_be_put_away_and_taken_up() -> None:
    whole, stopped = model(), model()
    first, second = make_optimizer(whole, MUON), make_optimizer(stopped, MUON)
    step(whole, first), step(stopped, second)
    fresh = make_optimizer(stopped, MUON)
    fresh.load_state_dict(second.state_dict())
    step(whole, first), step(stopped, fresh)
    assert all(torch.equal(a, b) for a, b in zip(whole.parameters(), stopped.parameters()))


def test_a_model_without_inner_matrices_is_refused() -> None:
    with pytest.raises(UserError, match="no inner matrices"):
        make_optimizer(nn.Embedding(4, 3), MUON)


@pytest.mark.parametrize("shape", [(5, 9), (9, 5), (6, 6)])
def test_singular_values_come_near_one_and_the_directions_stay(shape: tuple[int, int]) -> None:
    left, _ = torch.linalg.qr(torch.randn(shape[0], min(shape), generator=torch.Generator().manual_seed(1)))
    right, _ = torch.linalg.qr(torch.randn(shape[1], min(shape), generator=torch.Generator().manual_seed(2)))
    values = torch.linspace(0.3, 1.0, min(shape))
    found = half_orthogonal(left @ torch.diag(values) @ right.T)
    inside = left.T @ found @ right  # diagonal where the singular vectors are kept
    assert (inside - torch.diag(inside.diagonal())).abs().max() < 0.02
    assert 0.6 < inside.diagonal().min() and inside.diagonal().max() < 1.3


@pytest.mark.skipif(
    not hasattr(torch.optim, "Muon"), reason="this torch has no Muon to compare with (2.9 and newer do)"
)
def test_the_same_steps_as_pytorchs_own() -> None:
    ours, theirs = (nn.Parameter(torch.ones(8, 12)) for _ in range(2))
    mine = Muon([ours], lr=0.1, weight_decay=0.2, momentum=0.9)
    other = torch.optim.Muon([theirs], lr=0.1, weight_decay=0.2, momentum=0.9, adjust_lr_fn="match_rms_adamw")
    for seed in range(4):
        ours.grad = torch.randn(8, 12, generator=torch.Generator().manual_seed(seed))
        theirs.grad = ours.grad.clone()
        mine.step(), other.step()
    assert (ours - theirs).abs().max() < 0.02 * (ours - 1).abs().max()  # theirs rounds to bf16


@pytest.mark.parametrize(
    "build",
    [
        lambda: PixelCNN(PixelCNNModelConfig(channels=6)),
        lambda: GatedPixelCNN(GatedModelConfig(channels=6, layers=2)),
    ],
)
def test_kernels_are_matrices_and_dead_taps_stay_dead(build: object) -> None:
    torch.manual_seed(0)
    network = build()  # type: ignore[operator]
    optimizer = make_optimizer(network, replace(MUON, weight_decay=0.0))
    kernels = {id(p) for group in optimizer.parts[0].param_groups for p in group["params"]}
    before = {name: p.detach().clone() for name, p in network.named_parameters()}
    images = (torch.rand(3, 1, 28, 28) > 0.7).float()
    loss_nats(network, images).mean().backward()
    optimizer.step()
    for name, module in network.named_modules():
        if getattr(module, "kernel", None) is None:
            continue
        assert (id(module.weight) in kernels) == (min(module.weight.shape[:2]) > 1), name
        assert not module.weight[:, :, module.mask == 0].any()
        change = module.weight.detach() - before[f"{name}.weight"]
        assert change.any(), name
        if isinstance(module, PlacedMaskedConv2d):  # two directions, down the rows and along the columns
            assert id(module.slopes) in kernels
        assert id(module.bias) not in kernels
        if id(module.weight) in kernels:  # every direction that the gradient has moves about as far
            values = torch.linalg.svdvals(as_matrix(change))
            assert values[0] / values[1] < 2, name
