"""A causal model of Hugging Face ``transformers`` behind the interface that our evaluation and our training loop know.

``load`` takes a name of the model hub or a folder, and refuses what is no causal model by trying it: what a position says
must not change with what comes after it. ``transformers`` is asked for here alone, and only when a model is loaded (extra
``pretrained``). Not here: which text the model is carried over to.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from genmodels.errors import UserError

CONTEXT = 512  # tokens, where a model does not say how many it can take, or can take more


class PretrainedLM(nn.Module):
    """``inner`` with what ``perplexity.evaluate`` asks of a model; its "features" are the logits themselves."""

    def __init__(self, inner: Any, tokenizer: Any) -> None:
        super().__init__()
        self.inner, self.tokenizer = inner, tokenizer
        self.context = min(CONTEXT, getattr(inner.config, "max_position_embeddings", None) or CONTEXT)
        self.vocabulary = inner.get_input_embeddings().num_embeddings

    @property
    def output_bias(self) -> Tensor:
        """Any parameter: ``evaluate`` asks it for the device."""
        return next(self.inner.parameters())

    def features(self, tokens: Tensor, state: None = None) -> tuple[Tensor, None]:
        """(B, T) ids -> logits (B, T, V)."""
        return self.inner(input_ids=tokens, use_cache=False).logits, None

    def logits(self, features: Tensor) -> Tensor:
        """Scores before the softmax: what ``features`` gave, in fp32."""
        return features.float()

    def check_tokens(self, tokens: Tensor) -> None:
        """``UserError`` where the tokenizer gives ids that the model has no embedding for."""
        if tokens.numel() and int(tokens.max()) >= self.vocabulary:
            raise UserError(
                f"the tokenizer gives id {int(tokens.max())}, the model knows {self.vocabulary}: not its own"
            )

    def encode(self, texts: list[str]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Ids (N,) int64, offsets (D + 1,), characters (D,): each document between the tokenizer's begin and end."""
        ends = [self.tokenizer.bos_token_id, self.tokenizer.eos_token_id]
        first, last = (next((i for i in (one, *ends) if i is not None), None) for one in ends)
        if first is None:
            raise UserError("the model's tokenizer has neither a begin nor an end token; choose another model")
        rows = [[first, *self.tokenizer(text, add_special_tokens=False)["input_ids"], last] for text in texts]
        return np.concatenate(rows), np.cumsum([0, *map(len, rows)]), np.array([len(text) for text in texts])

    def unknown_share(self, ids: np.ndarray) -> float:
        """Share of tokens that stand for text which the tokenizer cannot write: their bits are too few."""
        special = {self.tokenizer.bos_token_id, self.tokenizer.eos_token_id}
        unknown = self.tokenizer.unk_token_id
        return 0.0 if unknown is None or unknown in special else float(np.mean(ids == unknown))


def load(source: str) -> PretrainedLM:
    """The causal model ``source`` (a name of the hub, or a folder) and its tokenizer, in fp32.

    ``UserError`` in one line where ``transformers`` is absent, where there is no such model or no way to it, and where it is
    not a causal language model.
    """
    try:
        from transformers import AutoModelForCausalLM, AutoTokenizer
    except ImportError as error:
        raise UserError(f"public models need transformers ({error}): pip install 'genmodels[pretrained]'") from None
    try:
        tokenizer = AutoTokenizer.from_pretrained(source)
        model = AutoModelForCausalLM.from_pretrained(source, dtype=torch.float32)
    except OSError as error:
        where = "a folder with a model, a name of the hub with the network, or a model fetched before"
        raise UserError(f"there is no model {source!r} to be had ({_short(error)}); give {where}") from None
    except (ValueError, KeyError, RuntimeError, ImportError) as error:
        raise UserError(f"{source!r} cannot be read as a causal language model: {_short(error)}") from None
    found = PretrainedLM(model.eval(), tokenizer)
    if not _is_causal(found):
        raise UserError(f"{source!r} looks at what comes after: no causal language model; choose one such as GPT-2")
    return found


def _short(error: Exception) -> str:
    return " ".join(str(error).split())[:160]


@torch.no_grad()
def _is_causal(model: PretrainedLM) -> bool:
    """Whether another last token leaves what earlier positions say as it was."""
    tokens = torch.arange(8)[None] % model.vocabulary
    other = tokens.clone()
    other[0, -1] = (tokens[0, -1] + 1) % model.vocabulary
    one, two = (model.features(each)[0][0, :-1] for each in (tokens, other))
    return bool(torch.allclose(one, two, rtol=1e-4, atol=1e-4))
