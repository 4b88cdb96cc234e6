"""Stage ``ngram``: modified Kneser-Ney models of each order, counted on the training tokens of the networks.

Measured on the same targets as the networks (``language/perplexity.py``): whole held-out documents, every token once. The
training tokens are not shipped; shipped are the counts that scoring the test documents touches (``counts.npz``), from
which ``verify`` makes the test perplexity of the highest order again, anywhere, to rounding. The fingerprint is the
log-probabilities that today's code gives on a fixed tiny stream.
"""

from __future__ import annotations

import time
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from genmodels import store
from genmodels.config import NgramConfig
from genmodels.errors import DataError, UserError
from genmodels.language.kneser_ney import KneserNey, per_document
from genmodels.language.perplexity import Perplexity, summarize
from genmodels.stages import payload
from genmodels.stages.base import Check, ShippedResult, Stage
from genmodels.stages.profiles import at
from genmodels.stages.trained import same_behaviour
from genmodels.system.meters import Clock
from genmodels.text.prepare import PreparedText, prepared
from genmodels.text.tokenizer import Tokenizer

TOLERANCE = 1e-9  # relative: counts are exact, only the order of sums may differ
COMMON = 500  # occurrences of the tokens compared by what they follow


class NgramResult(ShippedResult):
    """A shipped result with its tables and the counted model."""

    @cached_property
    def orders(self) -> pd.DataFrame:
        """One row an order: sizes, sparsity, perplexities, seconds."""
        return pd.DataFrame(self.metrics["orders"])

    @cached_property
    def continuations(self) -> pd.DataFrame:
        """Common words that follow the fewest, and the most, different tokens for their number of occurrences."""
        return pd.DataFrame(self.metrics["continuations"])

    @cached_property
    def matches(self) -> pd.DataFrame:
        """Of the highest order: test tokens by the length of the longest known n-gram that ends in them; their loss."""
        return pd.DataFrame(self.metrics["matches"])

    def test(self, order: int | None = None) -> Perplexity:
        """The test measures of an order (default: the highest), document by document: for a paired bootstrap."""
        order = self.config.orders[-1] if order is None else order
        if order not in self.config.orders:
            raise UserError(f"order {order} was not counted; the orders are {', '.join(map(str, self.config.orders))}")
        nll = self.slice["document_nll_nats"][self.config.orders.index(order)]
        return summarize(nll, np.diff(self.slice["test_offsets"]) - 1, self.slice["test_characters"])

    def model(self) -> KneserNey:
        """The highest order, restricted to what the shipped test documents need: meaningless on any other text."""
        return self._model

    @cached_property
    def _model(self) -> KneserNey:
        try:
            model = KneserNey.from_arrays(self.stored.arrays("counts.npz"))
        except (KeyError, IndexError, TypeError, ValueError) as error:
            raise DataError(
                f"counts.npz holds no n-gram model ({type(error).__name__}: {error}); make the result again"
            ) from error
        if (model.vocabulary, model.order) != (self.config.text.vocabulary, self.config.orders[-1]):
            found = f"counts.npz holds {model.order}-grams of {model.vocabulary} symbols"
            raise DataError(f"{found}, not the settings'; make the result again")
        return model


class NgramStage(Stage):
    name = "ngram"
    reads = "text"
    result = NgramResult

    def config(self, profile: str) -> NgramConfig:
        return at(profile, NgramConfig(), {"evening": {}, "smoke": {}})

    def fingerprint(self, config: NgramConfig) -> list[float]:
        """-ln p of a fixed held-out stream, for a model of the highest order counted on another."""
        rng = np.random.RandomState(0)
        stream = np.minimum(rng.geometric(0.25, 600), 29)
        offsets = np.array([0, 5, 150, 420, 600])
        stream[offsets[:-1]] = 0
        model = KneserNey.fit(stream[:420], offsets[:-1], config.orders[-1], 30)
        return (-model.log_probabilities(stream, offsets[-2:])[:40]).tolist()

    def run(self, profile: str, folder: Path | None = None, restart: bool = False) -> Path:
        """Count, measure, publish; a few seconds an order, so there is no checkpoint (``restart`` changes nothing)."""
        config = self.config(profile)
        if not config.orders or any(b <= a for a, b in pairwise(config.orders)):
            raise UserError(f"the orders {config.orders} must rise; give for example (1, 2, 3)")
        clock = Clock()
        text = prepared(config.text, folder)
        offsets = np.asarray(text.offsets["train"][: config.train_documents + 1 if config.train_documents else None])
        tokens = np.asarray(text.tokens["train"][: offsets[-1]])
        rows, document_nll, samples = [], [], []
        for order in config.orders:
            fitting = time.process_time()
            model = KneserNey.fit(tokens, offsets, order, config.text.vocabulary, bos=text.tokenizer.bos)
            row, test = _measure(model, text, time.process_time() - fitting)
            rows.append(row)
            document_nll.append(test.document_nll_nats)
            drawn = sample(model, config.sample_tokens, np.random.RandomState([config.seed, order]), text.tokenizer.eos)
            samples.append({"order": order, "text": "\n".join(map(text.tokenizer.decode, drawn))})
        ids, borders = (np.asarray(part["test"]) for part in (text.tokens, text.offsets))
        shipped = model.restricted(ids, borders)
        metrics = {
            "corpus": config.text.corpus,
            "vocabulary": config.text.vocabulary,
            "train_tokens": int(len(tokens)),
            "train_targets": int(len(tokens) - len(offsets) + 1),
            "orders": rows,
            "matches": _matches(model, ids, borders),
            "samples": samples,
            "continuations": _continuations(model, tokens, text.tokenizer),
            "shipped_ngrams": [int(len(level.keys)) for level in shipped.levels],
        } | {key: value for key, value in rows[-1].items() if key.startswith(("test_", "validation_"))}
        arrays = {
            "test_ids": ids,
            "test_offsets": borders,
            "test_characters": np.asarray(text.characters["test"]),
            "document_nll_nats": np.stack(document_nll),  # (orders, documents)
        }
        metrics["slice"] = slice_metrics(shipped, arrays)
        data = text.identity | {"train_tokens": int(len(tokens)), "test_tokens": int(len(ids))}
        manifest = {"fingerprint": self.fingerprint(config)}
        files = {"counts.npz": store.array_bytes(**shipped.to_arrays())}
        return self.publish(
            profile, config, data, clock.spent(), manifest=manifest, metrics=metrics, arrays=arrays, files=files
        )

    def belongs(self, result: NgramResult) -> None:
        """All but the counts, which are next: each order's row says what the shipped losses of the documents say."""
        payload.files(result.manifest, "counts.npz", "metrics.json", "slice.npz")
        payload.like(result.manifest, {"fingerprint": list}, "manifest.json")
        config, data, metrics = result.config, result.manifest["data"], result.metrics
        ids, _, characters = payload.documents(result.slice, config.text.vocabulary, data.get("test_tokens"))
        shapes = {f"test_{name}": payload.Array((None,)) for name in ("ids", "offsets", "characters")}
        losses = payload.Array((len(config.orders), len(characters)), "f")
        payload.arrays(result.slice, shapes | {"document_nll_nats": losses})
        rows = []
        for order in config.orders:
            found = result.test(order)
            rows.append(
                {
                    "order": order,
                    "ngrams": int,
                    "once_share": float,
                    "discounts": payload.Each(float),
                    "fit_cpu_seconds": float,
                    "unseen_test_share": float,
                    "add_one_test_perplexity": float,
                    "test_tokens": found.tokens,
                    "test_perplexity": payload.About(found.perplexity),
                    "test_loss_nats": payload.About(found.loss),
                    "test_bits_per_character": payload.About(found.bits_per_character),
                    "validation_perplexity": float,
                }
            )
        payload.like(
            metrics,
            {
                "corpus": config.text.corpus,
                "vocabulary": config.text.vocabulary,
                "orders": rows,
                "train_tokens": data.get("train_tokens"),
                "matches": payload.Each({"length": int, "share": float, "loss_nats": float}),
                "samples": [{"order": order, "text": str} for order in config.orders],
                "continuations": list,
                "shipped_ngrams": [int] * config.orders[-1],
                "slice": payload.Each(float),
            },
            "metrics.json",
        )
        last = {key: value for key, value in metrics["orders"][-1].items() if key.startswith(("test_", "validation_"))}
        payload.like(metrics, last, "metrics.json")

    def contradict(self, result: NgramResult) -> list[Check]:
        """Today's behaviour, then the test perplexity from the shipped counts, then each document's share of it."""
        checks = [same_behaviour(self.fingerprint(result.config), result.manifest["fingerprint"])]
        try:
            model = result.model()
        except UserError as error:
            return [*checks, Check("counts", False, str(error))]
        again, stored = slice_metrics(model, result.slice), result.metrics["slice"]
        for key, value in again.items():
            wanted = stored.get(key, float("nan"))
            same = abs(value - wanted) <= TOLERANCE * abs(wanted) and result.metrics.get(key) == wanted
            checks.append(Check(key, same, f"{value:.12g}, stored {wanted:.12g}"))
        found, kept = model.evaluate(*_documents(result.slice)).document_nll_nats, result.slice["document_nll_nats"][-1]
        same = found.shape == kept.shape and np.allclose(found, kept, rtol=TOLERANCE, atol=0)
        detail = f"the losses of {len(kept)} documents are {'as' if same else 'not as'} stored"
        return [*checks, Check("documents", same, detail)]


def sample(model: KneserNey, count: int, rng: np.random.RandomState, eos: int) -> list[list[int]]:
    """``count`` tokens drawn from the model, beginning with a document's first; after ``eos`` a new document begins."""
    documents = [[model.bos]]
    for _ in range(count):
        if documents[-1][-1] == eos:
            documents.append([model.bos])
        chance = np.cumsum(model.distribution(documents[-1]))
        documents[-1].append(int(np.searchsorted(chance, rng.random_sample() * chance[-1], side="right")))
    return documents


def slice_metrics(model: KneserNey, arrays: dict[str, np.ndarray]) -> dict[str, float]:
    """The headline from the shipped arrays alone."""
    found = model.evaluate(*_documents(arrays))
    return {"test_perplexity": found.perplexity, "test_bits_per_character": found.bits_per_character}


def _documents(arrays: dict[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    return arrays["test_ids"], arrays["test_offsets"], arrays["test_characters"]


def _measure(model: KneserNey, text: PreparedText, fit_seconds: float) -> tuple[dict[str, Any], Perplexity]:
    """One order's row of the table, and its test measures."""
    order, counts = model.order, model.levels[-1].counts
    seen = counts > 0  # at order 1 the vocabulary also holds tokens that never occur
    row: dict[str, Any] = {
        "order": order,
        "ngrams": int(seen.sum()),
        "once_share": float((counts == 1).sum() / seen.sum()),
        "discounts": model.discounts[-1].tolist(),
        "fit_cpu_seconds": round(fit_seconds, 3),
    }
    for split in ("validation", "test"):
        documents = [np.asarray(part[split]) for part in (text.tokens, text.offsets, text.characters)]
        clock = time.process_time()
        found = model.evaluate(*documents)
        row |= {
            f"{split}_perplexity": found.perplexity,
            f"{split}_loss_nats": found.loss,
            f"{split}_bits_per_character": found.bits_per_character,
            f"{split}_tokens": found.tokens,
        }
    row["evaluation_cpu_seconds"] = round(time.process_time() - clock, 3)
    ids, borders = documents[:2]
    place = np.concatenate([np.arange(1, size) for size in np.diff(borders)])
    whole = place >= order - 1  # targets with n - 1 tokens before them
    row["unseen_test_share"] = float((model.matches(ids, borders)[whole] < order).mean())
    add_one = per_document(model.add_one_log_probabilities(ids, borders), borders)
    return row | {"add_one_test_perplexity": add_one.perplexity}, found


def _matches(model: KneserNey, ids: np.ndarray, borders: np.ndarray) -> list[dict[str, Any]]:
    """Test targets by the length of their longest known n-gram: share and mean loss of each length that occurs."""
    lengths, nll = model.matches(ids, borders), -model.log_probabilities(ids, borders)
    groups = {int(length): nll[lengths == length] for length in np.unique(lengths)}
    return [
        {"length": length, "share": len(losses) / len(nll), "loss_nats": float(losses.mean())}
        for length, losses in groups.items()
    ]


def _continuations(model: KneserNey, tokens: np.ndarray, tokenizer: Tokenizer, each: int = 4) -> list[dict[str, Any]]:
    """Common words with count and continuation count: the ``each`` with the lowest ratio, and with the highest."""
    counts, contexts = np.bincount(tokens, minlength=model.vocabulary), model.levels[0].counts
    common = np.flatnonzero((counts >= COMMON) & (contexts > 0))  # not <bos>
    ratios = contexts[common] / counts[common]
    names = {int(i): tokenizer.decode([i]) for i in common[np.argsort(ratios, kind="stable")]}
    words = [i for i, name in names.items() if name[0:1] == " " and name.replace("\u200c", "").strip().isalpha()]
    chosen = [*words[:each], *words[max(each, len(words) - each) :]]
    return [{"token": names[i].strip(), "count": int(counts[i]), "contexts": int(contexts[i])} for i in chosen]
