"""Tiny networks with random weights, one of every kind that the page can be given, and what Python draws from them."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from genmodels.config import GatedModelConfig, PixelCNNModelConfig, RecurrentModelConfig, TransformerModelConfig
from genmodels.language.generation import Sampling
from genmodels.language.kneser_ney import KneserNey
from genmodels.language.recurrent import RecurrentLM
from genmodels.language.transformer import TransformerLM
from genmodels.pixelcnn.gated import GatedPixelCNN
from genmodels.pixelcnn.model import PixelCNN
from genmodels.system.whole_weights import rounded, uniforms
from genmodels.text.bpe import BPE, train

VOCABULARY = 300


def shaken(model: torch.nn.Module, seed: int, by: float) -> Any:
    """Weights and biases that are none of them zero, so that nothing can hide, of a seed; dead taps stay dead."""
    draws = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.copy_(
                torch.randn(parameter.shape, generator=draws) * by + (1.0 if name.endswith("gain") else 0.0)
            )
        for module in model.modules():
            if hasattr(module, "live_weight"):
                module.weight.copy_(module.live_weight)
    return model.eval()


def language(context: int = 16) -> dict[str, Any]:
    stream = np.minimum(np.random.RandomState(0).geometric(0.02, 4000), VOCABULARY - 1)
    offsets = np.array([0, 500, 1700, 4000])
    stream[offsets[:-1]] = 0
    attention = {"width": 24, "layers": 2, "heads": 4, "kv_heads": 2, "hidden": 20, "context": context}
    return {
        "rnn": shaken(RecurrentLM(RecurrentModelConfig(embedding=10, hidden=14, layers=2), VOCABULARY), 1, 0.4),
        "transformer": shaken(TransformerLM(TransformerModelConfig(**attention), VOCABULARY), 2, 0.3),
        "ngram": KneserNey.fit(stream, offsets, 3, VOCABULARY).pruned((1, 1, 2)),
    }


def images() -> dict[str, Any]:
    gated = {"channels": 4, "layers": 2, "first_kernel": 5, "kernel": 3}
    return {
        "stack": shaken(PixelCNN(PixelCNNModelConfig(channels=5, kernels=(7, 3, 1, 1))), 3, 0.3),
        "gated": shaken(GatedPixelCNN(GatedModelConfig(**gated, residual=True, placed=True)), 4, 0.4),
        "plain": shaken(GatedPixelCNN(GatedModelConfig(**gated, residual=False, placed=False)), 5, 0.4),
    }


@torch.no_grad()
def logits(model: Any, levels: int, ids: list[int]) -> np.ndarray:
    """Of the token after ``ids``, (V,), by the model as the page has it."""
    if isinstance(model, KneserNey):
        with np.errstate(divide="ignore"):
            return np.log(model.distribution(ids))
    return rounded(model, levels)(torch.tensor([ids]))[0][0, -1].numpy()


def drawn(logits: np.ndarray, u: float, sampling: Sampling) -> int:
    """As ``generation.generate`` draws, with the random number given."""
    p = sampling.probabilities(torch.from_numpy(logits)[None])[0].double().cumsum(0)
    return int(torch.searchsorted(p, u * p[-1], right=True))


def continued(model: Any, levels: int, ids: list[int], seed: int, count: int, sampling: Sampling) -> list[int]:
    """``count`` more tokens, with the page's random numbers; <eos> (1) ends."""
    new: list[int] = []
    for u in uniforms(seed, np.arange(count)):
        new.append(drawn(logits(model, levels, [*ids, *new]), u, sampling))
        if new[-1] == 1:
            break
    return new


def tokenizer() -> BPE:
    """Of ids that ``language`` has; it has some more, and shows them as nothing."""
    return train(["ایران کشوری است که در آسیا است", "کتاب در ایران"], VOCABULARY, first_id=2)


def digit() -> torch.Tensor:
    """(28, 28): an upright stroke."""
    image = torch.zeros(28, 28)
    image[4:24, 12:15] = 1
    return image
