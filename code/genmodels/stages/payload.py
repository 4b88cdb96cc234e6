"""Whether the files of a result belong to it: parsed, shaped as its settings say, in agreement with each other.

``verify`` asks this before it makes anything again: it costs little, and whatever is computed later may rely on it.
A stage says in ``belongs`` what it wants; here is how that is said. All raise ``StaleResult`` with file and place.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from genmodels.config import TrainingConfig
from genmodels.errors import StaleResult
from genmodels.text.tokenizer import Tokenizer
from genmodels.training.loop import evaluation_steps
from genmodels.training.optimizers import learning_rate_at

ROUNDING = 1e-6  # relative; numbers that were computed from each other


def require(holds: Any, otherwise: str) -> None:
    """``StaleResult`` with the text ``otherwise`` unless ``holds``."""
    if not holds:
        raise StaleResult(otherwise)


@dataclass(frozen=True)
class Each:
    """A list or table that is not empty, every entry of which is like ``kind``."""

    kind: Any


@dataclass(frozen=True)
class About:
    """A number that another one in the result says."""

    value: float
    relative: float = ROUNDING


def like(found: Any, wanted: Any, where: str) -> None:
    """``wanted`` describes ``found``: tables by entries that they must have, lists entry by entry, ``Each``, ``About``;
    ``float`` is any finite number, another type one of its values, anything else a value to be equal to.
    """
    if isinstance(wanted, Each):
        require(isinstance(found, (list, dict)) and found, f"{where} holds nothing")
        wanted = [wanted.kind] * len(found) if isinstance(found, list) else dict.fromkeys(found, wanted.kind)
    if isinstance(wanted, Mapping):
        require(isinstance(found, dict), f"{where} is no table")
        lacking = [key for key in wanted if key not in found]
        require(not lacking, f"{where} lacks {', '.join(map(str, lacking))}")
        for key, part in wanted.items():
            like(found[key], part, f"{where}, {key}")
    elif isinstance(wanted, list):
        require(isinstance(found, list) and len(found) == len(wanted), f"{where} is no list of {len(wanted)}")
        for place, part in enumerate(wanted):
            like(found[place], part, f"{where}[{place}]")
    elif wanted is float or isinstance(wanted, About):
        require(_finite(found), f"{where} is no finite number")
        if isinstance(wanted, About):
            same = abs(found - wanted.value) <= wanted.relative * abs(wanted.value)
            require(same, f"{where} is {found:.6g}, the rest says {wanted.value:.6g}")
    elif isinstance(wanted, type):
        require(isinstance(found, wanted) and not isinstance(found, bool), f"{where} is no {wanted.__name__}")
    else:
        require(type(found) is type(wanted) and found == wanted, f"{where} is {str(found)[:40]!r}, wanted {wanted!r}")


def _finite(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def files(manifest: Mapping[str, Any], *names: str) -> None:
    """The payload is ``names``, no more and no less."""
    differ = set(names) ^ manifest["payload"].keys()
    require(not differ, f"{', '.join(sorted(differ))} missing from the result, or none of its files")


@dataclass(frozen=True)
class Array:
    """An array: shape (None: any size), kind of dtype (``"iu"`` whole, ``"f"`` floating), least and largest value."""

    shape: tuple[int | None, ...]
    kind: str = "iu"
    low: float = 0
    high: float = math.inf


def arrays(found: Mapping[str, np.ndarray], wanted: Mapping[str, Array], where: str = "slice.npz") -> None:
    """``found`` holds the arrays ``wanted`` and no others; every number is finite."""
    differ = found.keys() ^ wanted.keys()
    require(not differ, f"{where}: {', '.join(sorted(differ)[:3])} missing or unknown")
    for name, kind in wanted.items():
        array = found[name]
        fits = array.ndim == len(kind.shape) and all(b in (a, None) for a, b in zip(array.shape, kind.shape))
        require(fits, f"{where}: {name} has shape {array.shape}, wanted {kind.shape}")
        require(array.dtype.kind in kind.kind, f"{where}: {name} is of {array.dtype}")
        inside = np.isfinite(array).all() and (array >= kind.low).all() and (array <= kind.high).all()
        require(inside, f"{where}: {name} holds values that it cannot have")


def history(
    frame: pd.DataFrame, plan: TrainingConfig, columns: Sequence[str], seconds: float, per_epoch: int | None = None
) -> None:
    """A row an evaluation of ``plan``, its learning rates, ``columns`` beside the training loss.

    It takes no more time than ``seconds``; ``per_epoch``: steps of an epoch, where they are known.
    """
    names = ["step", "epoch", "seconds", "learning_rate", "train_loss", *columns]
    found = sorted(map(str, frame.columns))
    require(found == sorted(names), f"history.csv has the columns {', '.join(found)[:80]}")
    table = {name: np.asarray(frame[name], dtype=float) for name in names}
    require(all(np.isfinite(column).all() for column in table.values()), "history.csv holds what is no finite number")
    steps = evaluation_steps(plan)
    require(table["step"].tolist() == steps, f"history.csv is not of {len(steps)} evaluations in {plan.steps} steps")
    rates = [learning_rate_at(step - 1, plan) for step in steps]
    same = np.allclose(table["learning_rate"], rates, rtol=ROUNDING, atol=1e-18)
    require(same, "history.csv has other learning rates")
    spent = [0.0, *table["seconds"], seconds + 0.1]  # the whole is rounded to a tenth
    require(np.all(np.diff(spent) >= 0), "history.csv: the seconds do not rise, or exceed those of the whole")
    steps_of = table["step"] / table["epoch"]
    even = np.allclose(steps_of, steps_of[:1] if per_epoch is None else per_epoch, rtol=ROUNDING)
    require(even, "history.csv has other epochs than the training set makes")


def documents(
    found: Mapping[str, np.ndarray], vocabulary: int, tokens: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """``test_ids``, ``test_offsets``, ``test_characters`` of a slice: whole documents of ``tokens`` ids altogether."""
    ids, offsets, characters = (found[f"test_{name}"] for name in ("ids", "offsets", "characters"))
    shapes = {"ids": Array((tokens,), high=vocabulary - 1), "offsets": Array((len(characters) + 1,))}
    shapes["characters"] = Array((None,))
    arrays({name: found[f"test_{name}"] for name in shapes}, shapes)
    whole = offsets[0] == 0 and offsets[-1] == len(ids) and (np.diff(offsets) >= 2).all() and len(characters)
    require(whole, "slice.npz: the documents do not cover the tokens")
    return ids, offsets, characters


def tokenized(tokenizer: Tokenizer, ids: np.ndarray, offsets: np.ndarray, characters: np.ndarray) -> None:
    """The tokenizer reads the documents: as many characters as they have, and the same ids of the first few again."""
    texts = [tokenizer.decode(ids[a:b]) for a, b in zip(offsets[:-1], offsets[1:])]
    again = np.concatenate([[tokenizer.bos, *row, tokenizer.eos] for row in tokenizer.encode_batch(texts[:8])])
    same = list(map(len, texts)) == characters.tolist() and np.array_equal(again, ids[: len(again)])
    require(same, "tokenizer.json is another text's: it does not make the shipped tokens")
