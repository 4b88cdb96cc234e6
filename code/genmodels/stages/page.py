"""Stage ``page``: what the models inside the HTML page are worth, beside the models that were measured.

The page's networks have weights of few levels (``system/whole_weights.py``), its Kneser-Ney model the commoner n-grams of
the lower orders. Both are scored here on the slices that the measured models ship: the same test documents, every token
once, and the same test images. Counts are made again from the training text, in the networks' own tokens, and shipped
(``counts.npz``), since the page runs on them; what ``verify`` contradicts are the losses, some documents and images of each.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch

from genmodels import stages, store
from genmodels.config import PageConfig
from genmodels.data.mnist import unpack_images
from genmodels.errors import DataError
from genmodels.language.kneser_ney import KneserNey
from genmodels.language.perplexity import evaluate
from genmodels.pixelcnn.evaluation import nll_nats
from genmodels.pixelcnn.spectral import apply_fastest
from genmodels.stages import payload
from genmodels.stages.base import METRIC_TOLERANCE, Check, ShippedResult, Stage
from genmodels.stages.profiles import at
from genmodels.system.files import data_digest
from genmodels.system.meters import Clock
from genmodels.system.whole_weights import rounded
from genmodels.text.prepare import prepared
from genmodels.text.tokenizer import Tokenizer

TEXT, IMAGES = ("rnn", "transformer"), ("pixelcnn", "pixelcnn-gated")
ALL = ("ngram", *TEXT, *IMAGES)
ASKED = 16  # one document or image in so many is scored again by ``verify``


class PageResult(ShippedResult):
    """A shipped result with the counts that the page runs on."""

    @cached_property
    def counts(self) -> KneserNey:
        """The pruned model, for any text."""
        try:
            return model_of(self.stored.arrays("counts.npz"), len(self.config.least), self.config.text.vocabulary)
        except (KeyError, IndexError, TypeError, ValueError) as error:
            raise DataError(f"counts.npz holds no counts ({type(error).__name__}: {error}); make it again") from error


class PageStage(Stage):
    name = "page"
    result = PageResult
    needs = ALL

    def config(self, profile: str) -> PageConfig:
        return at(profile, PageConfig(), {"evening": {}, "smoke": {}})

    def run(self, profile: str, folder: Path | None = None, restart: bool = False) -> Path:
        """Count, score, publish; a minute or two, so there is no checkpoint (``restart`` changes nothing)."""
        config, clock = self.config(profile), Clock()
        sources = {name: stages.load(name, profile) for name in ALL}
        text = prepared(config.text, folder)
        tokenizer = Tokenizer.load(sources["rnn"].stored.folder / "tokenizer.json")
        documents = [
            [tokenizer.bos, *ids, tokenizer.eos] for ids in tokenizer.encode_batch(text.held_out_texts("train"))
        ]
        stream, offsets = np.concatenate([*map(np.array, documents)]), np.cumsum([0, *map(len, documents)])
        whole = KneserNey.fit(stream, offsets, len(config.least), config.text.vocabulary, bos=tokenizer.bos)
        counts = whole.pruned(config.least)
        losses = {name: scored(name, config, sources[name], counts) for name in ALL}
        metrics = {
            "models": {name: {"measured": measured(sources[name]), "page": mean(name, sources[name], losses[name])} for name in ALL},
            "grams": [len(level.keys) for level in counts.levels],
            "all_grams": [len(level.keys) for level in whole.levels],
        }  # fmt: skip
        data = {"name": text.corpus_name, "digest": identity(sources), "text": text.digest, "train_tokens": len(stream)}
        files = {"counts.npz": store.array_bytes(**arrays_of(counts))}
        return self.publish(profile, config, data, clock.spent(), metrics=metrics, arrays=losses, files=files)

    def changed_sources(self, manifest: dict[str, Any], sources: Mapping[str, Any]) -> list[str]:
        """All of them where one is another: the manifest names them by one digest."""
        here = all(sources.get(name) for name in ALL)
        return [] if here and manifest["data"]["digest"] == identity(sources) else list(ALL)

    def belongs(self, result: PageResult) -> None:
        """Of today's shipped models; every mean is that of its losses."""
        payload.files(result.manifest, "counts.npz", "metrics.json", "slice.npz")
        sources = {name: stages.load(name, result.manifest["profile"]) for name in ALL}
        same = not self.changed_sources(result.manifest, sources)
        payload.require(same, f"it is of other models than those shipped; {store.remake(self.name, 'full')}")
        sizes = {
            name: len(sources[name].slice["test_characters" if name not in IMAGES else "test_images"]) for name in ALL
        }
        payload.arrays(result.slice, {name: payload.Array((size,), "f") for name, size in sizes.items()})
        models = {
            name: {
                "measured": payload.About(measured(sources[name])),
                "page": payload.About(mean(name, sources[name], result.slice[name])),
            }
            for name in ALL
        }
        grams = [len(level.keys) for level in result.counts.levels]
        payload.like(
            result.metrics, {"models": models, "grams": grams, "all_grams": [int] * len(grams)}, "metrics.json"
        )

    def contradict(self, result: PageResult) -> list[Check]:
        """Some documents and images of each model again."""
        checks = []
        for name in ALL:
            source = stages.load(name, result.manifest["profile"])
            again, stored = scored(name, result.config, source, result.counts, ASKED), result.slice[name][::ASKED]
            worst = float(np.abs(again / stored - 1).max())
            checks.append(
                Check(f"rounded {name}", worst <= METRIC_TOLERANCE, f"largest relative difference {worst:.1e}")
            )
        return checks


def scored(name: str, config: PageConfig, source: Any, counts: KneserNey, every: int = 1) -> np.ndarray:
    """Nats of each document or image (every ``every``-th) of a source's slice, as the page's model gives them, fp64."""
    if name in IMAGES:
        images = unpack_images(source.slice["test_images"])[::every]
        return nll_nats(rounded(source.model(), config.image_levels), images, apply=apply_fastest).double().numpy()
    ids, offsets = source.slice["test_ids"], source.slice["test_offsets"]
    chosen = [ids[offsets[d] : offsets[d + 1]] for d in range(0, len(offsets) - 1, every)]
    documents = np.concatenate(chosen), np.cumsum([0, *map(len, chosen)])
    if name == "ngram":
        return counts.evaluate(*documents).document_nll_nats
    with torch.no_grad():
        model = rounded(source.model(), config.text_levels)
        return evaluate(model, *documents, context=source.config.window).document_nll_nats


def mean(name: str, source: Any, losses: np.ndarray) -> float:
    """Nats a token, or an image."""
    units = len(losses) if name in IMAGES else len(source.slice["test_ids"]) - len(losses)
    return float(losses.sum() / units)


def measured(source: Any) -> float:
    """The loss on the same slice of the model that was measured, nats a token or an image."""
    found = source.metrics["slice"]
    return float(found["test_nll_nats"] if "test_nll_nats" in found else np.log(found["test_perplexity"]))


def identity(sources: Mapping[str, Any]) -> str:
    """Digest of the files of the shipped models: others make another page."""
    return data_digest(*(repr(sorted(sources[name].manifest["payload"].items())) for name in ALL))


def arrays_of(counts: KneserNey) -> dict[str, np.ndarray]:
    """What ``model_of`` needs, as small as it goes."""
    found = {"bos": np.array(counts.bos), "count_of_counts": counts.count_of_counts}
    for k, level in enumerate(counts.levels, 1):
        small = {"keys": np.diff(level.keys, prepend=0), "counts": level.counts, "totals": level.totals}
        found |= {f"{name}_{k}": values.astype(np.uint32) for name, values in small.items()}
    return found


def model_of(arrays: dict[str, np.ndarray], order: int, vocabulary: int) -> KneserNey:
    """The inverse of ``arrays_of``. ``ValueError`` where the arrays are no counts."""
    parts, contexts = [], 1
    for k in range(1, order + 1):
        keys = np.cumsum(arrays[f"keys_{k}"].astype(np.int64))
        counts, totals = (arrays[f"{name}_{k}"].astype(np.int64) for name in ("counts", "totals"))
        fits = len(keys) == len(counts) and len(totals) == contexts and (np.diff(keys) > 0).all()
        if not fits or (len(keys) and keys[-1] >= contexts * vocabulary):
            raise ValueError(f"the {k}-grams do not fit their contexts")
        parts.append((keys, counts, totals))
        contexts = len(keys)
    return KneserNey.of_kept(vocabulary, int(arrays["bos"]), parts, arrays["count_of_counts"])
