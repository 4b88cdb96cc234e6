"""Windows of tokens as a PyTorch Dataset: the n-gram view of a corpus, for training next-token models.

``targets="last"`` is the n-gram sample proper: ``window`` tokens of context and the one token after them,
P(w_t | w_{t-n+1} … w_{t-1}) with n = window + 1. ``targets="all"`` predicts the next token at every position of the
window: about as much work, and ``window`` times as many targets. No window crosses a document's border; what is missing
is padded, and padded targets are ``IGNORED``, the index that ``torch.nn.functional.cross_entropy`` leaves out.

Positions are computed once with numpy, and a whole batch is cut by one indexing (``__getitems__``): no Python loop per
sample. It knows token ids only, no text.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

IGNORED = -100
PADDING = 0  # the id of <bos>


class NgramDataset(Dataset):
    """Windows over ``tokens`` (any integer array, memory-mapped too) of documents ``offsets[d]:offsets[d + 1]``.

    ``window``: tokens of context a sample. ``stride``: tokens between the starts of neighbouring samples; by default
    ``window`` for ``targets="all"`` (each token is a target once) and 1 for ``"last"``.
    """

    def __init__(
        self, tokens: np.ndarray, offsets: np.ndarray, window: int, stride: int | None = None, targets: str = "all"
    ) -> None:
        if targets not in ("all", "last"):
            raise ValueError(f"targets must be 'all' or 'last', not {targets!r}")
        if window < 1 or (stride is not None and stride < 1):
            raise ValueError(f"window and stride must be at least 1, not {window} and {stride}")
        self.tokens, self.window, self.targets = tokens, window, targets
        stride = stride or (window if targets == "all" else 1)
        begins, ends = np.asarray(offsets[:-1], np.int64), np.asarray(offsets[1:], np.int64)  # (D,)
        counts = np.maximum(0, -(-(ends - begins - 1) // stride))  # samples of each document
        first = np.cumsum(counts) - counts  # (D,) index of each document's first sample
        within = np.arange(counts.sum()) - np.repeat(first, counts)  # (N,) sample number inside its document
        self._begin, self._end = np.repeat(begins, counts), np.repeat(ends, counts)  # (N,)
        self._start = self._begin + within * stride  # (N,) first context token; for "last" the token before the target
        if targets == "last":
            self._start -= window - 1  # may lie before the document: padded on the left
        self._steps = np.arange(window + 1)

    def __len__(self) -> int:
        return len(self._start)

    def __getitems__(self, indices: list[int]) -> tuple[torch.Tensor, torch.Tensor]:
        """A batch at once: context (B, window) int64, and target (B, window) or, for ``"last"``, (B,)."""
        chosen = np.asarray(indices, np.int64)
        places = self._start[chosen, None] + self._steps  # (B, window + 1)
        begin, end = self._begin[chosen, None], self._end[chosen, None]  # (B, 1)
        taken = self.tokens[np.clip(places, begin, end - 1)].astype(np.int64)  # (B, window + 1)
        inside = (places >= begin) & (places < end)
        context = np.where(inside, taken, PADDING)[:, :-1]  # (B, window)
        if self.targets == "last":
            return torch.from_numpy(context.copy()), torch.from_numpy(taken[:, -1].copy())
        target = np.where(inside, taken, IGNORED)[:, 1:]  # (B, window)
        context = np.where(inside[:, 1:], context, PADDING)  # a token without a target is no context either
        return torch.from_numpy(context), torch.from_numpy(target.copy())

    def __getitem__(self, index: int) -> tuple[torch.Tensor, torch.Tensor]:
        """One sample: context (window,), target (window,) or ()."""
        if not -len(self) <= index < len(self):
            raise IndexError(f"sample {index} of {len(self)}")
        context, target = self.__getitems__([index % len(self)])
        return context[0], target[0]


class Joined(Dataset):
    """Samples of several data sets as one: ``parts`` are (data set, indices into it), an index as often as wanted."""

    def __init__(self, *parts: tuple[NgramDataset, np.ndarray]) -> None:
        self.parts = [dataset for dataset, _ in parts]
        self._part = np.concatenate([np.full(len(indices), k) for k, (_, indices) in enumerate(parts)])
        self._index = np.concatenate([np.asarray(indices, np.int64) for _, indices in parts])

    def __len__(self) -> int:
        return len(self._index)

    def __getitems__(self, indices: list[int]) -> tuple[torch.Tensor, ...]:
        """A batch at once, as the parts give it."""
        chosen = np.asarray(indices, np.int64)
        whole: list[torch.Tensor] = []
        for k, part in enumerate(self.parts):
            places = np.flatnonzero(self._part[chosen] == k)
            for slot, found in enumerate(part.__getitems__(self._index[chosen[places]].tolist())):
                if slot == len(whole):
                    whole.append(found.new_empty(len(chosen), *found.shape[1:]))
                whole[slot][torch.from_numpy(places)] = found
        return tuple(whole)


def _as_they_are(batch: Any) -> Any:
    """``__getitems__`` has already made tensors of the batch (a named function, so that workers can pickle it)."""
    return batch


def loader(dataset: NgramDataset, batch_size: int, seed: int, shuffle: bool = True, **options: Any) -> DataLoader:
    """Batches of ``dataset``, shuffled by a generator of its own (``seed``); the last, smaller batch is kept."""
    generator = torch.Generator().manual_seed(seed)
    options = {"collate_fn": _as_they_are, "drop_last": False} | options
    return DataLoader(dataset, batch_size, shuffle, generator=generator, **options)


def window_table(
    dataset: NgramDataset, decode: Callable[[list[int]], str], start: int = 0, rows: int = 5
) -> list[dict[str, str]]:
    """Samples ``start`` … as text, ``{"context", "target"}``: what an n-gram model is asked. For ``targets="last"``."""
    if dataset.targets != "last":
        raise ValueError("window_table shows samples with one target: targets='last'")
    contexts, targets = dataset.__getitems__(list(range(start, min(start + rows, len(dataset)))))
    names = {PADDING: "<bos>"}
    return [
        {
            "context": " | ".join(names.get(i) or _visible(decode([i])) for i in context),
            "target": _visible(decode([target])),
        }
        for context, target in zip(contexts.tolist(), targets.tolist())
    ]


def _visible(token: str) -> str:
    return token.replace("\n", "¶").strip(" ") or "_"
