"""Stage ``text``: what preparation did to the corpus, the tokenizers, and a few held-out texts.

The token arrays themselves stay in the data folder; shipped are the statistics of both corpora (for the report's tables),
both tokenizers, and the beginnings of some test documents, on which ``verify`` makes its headline metric (tokens per word)
again. The fingerprint is what today's cleaning and today's BPE make of a fixed passage: compared exactly.
"""

from __future__ import annotations

import json
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from genmodels import store
from genmodels.config import TextConfig
from genmodels.data.wikipedia import SPLITS
from genmodels.errors import UserError
from genmodels.stages import payload
from genmodels.stages.base import Check, ShippedResult, Stage, compare_metrics
from genmodels.stages.profiles import DOCUMENTS
from genmodels.stages.text_study import first_merges, text_statistics
from genmodels.system.files import data_digest, read_json
from genmodels.system.meters import Clock
from genmodels.text import bpe
from genmodels.text.cleaning import clean_paragraph
from genmodels.text.prepare import CORPORA, PREPARATION_VERSION, prepared, version_of
from genmodels.text.tokenizer import Tokenizer

STUDIES = ("normalization", "half_spaces", "example", "lemmas", "windows", "left_by_classic")
NETWORKS = {"fluent": "rnn", "classic": "rnn-classic"}  # trained on each corpus
HELD_OUT_DOCUMENTS = 40
HELD_OUT_CHARACTERS = 600
PASSAGE = (
    "علي (Ali) كتاب‌ها را در سال 1398 خوانده‌است.[۱] او   می‌گفت: «زبان فارسی شیرین است!!!» و كتاب خانه‌ی او، "
    "در نشانی https://example.org بود؛ {{الگو}} کتاب و کتابخانه و کتابدار و کتابداری از یک ریشه‌اند."
)


class TextResult(ShippedResult):
    """The shipped statistics (``metrics[corpus]``), tokenizers and held-out texts."""

    def tokenizer(self, corpus: str = "fluent") -> Tokenizer:
        return Tokenizer.load(self.stored.folder / f"{corpus}-tokenizer.json")

    def tokenizer_digest(self, corpus: str) -> str:
        return self.manifest["payload"][f"{corpus}-tokenizer.json"]

    @cached_property
    def held_out(self) -> list[str]:
        """Beginnings of the first test documents, prepared as in the fluent corpus."""
        return read_json(self.stored.folder / "held-out.json")


def _as_the_networks(result: TextResult) -> None:
    """``StaleResult`` where a network that was trained on this very text has another tokenizer.

    The digest of the data is made of those of both corpora, which the networks have: where they make it, the text is one.
    """
    profile = result.manifest["profile"]
    try:
        shipped = {corpus: store.load(NETWORKS[corpus], profile).manifest for corpus in result.config}
    except UserError:  # not trained, or altered: their own checks will say so
        return
    if result.manifest["data"]["digest"] != data_digest(*(manifest["data"]["digest"] for manifest in shipped.values())):
        return
    for corpus, manifest in shipped.items():
        same = manifest["payload"].get("tokenizer.json") == result.tokenizer_digest(corpus)
        payload.require(same, f"{corpus}-tokenizer.json is not that of {manifest['stage']}, trained on this text")


def slice_metrics(tokenizer: Tokenizer, texts: list[str]) -> dict[str, float]:
    """Tokens per word on the held-out texts, and the share of texts that decode to themselves (must be one)."""
    encoded = [tokenizer.encode(text) for text in texts]
    same = np.mean([tokenizer.decode(ids) == text for ids, text in zip(encoded, texts, strict=True)])
    words = sum(len(text.split()) for text in texts)
    return {"tokens_per_word": sum(map(len, encoded)) / words, "round_trip_share": float(same)}


class TextStage(Stage):
    name = "text"
    reads = "text"
    result = TextResult

    def config(self, profile: str) -> dict[str, TextConfig]:
        """The settings of both corpora."""
        return {corpus: TextConfig(corpus=corpus, documents=DOCUMENTS[profile]) for corpus in CORPORA}

    def fingerprint(self, config: Any) -> list[int]:
        """Token ids that today's cleaning and our own BPE give the fixed passage, trained on itself."""
        cleaned = clean_paragraph(PASSAGE)
        return bpe.train([cleaned], 300).encode(cleaned)

    def run(self, profile: str, folder: Path | None = None, restart: bool = False) -> Path:
        clock = Clock()
        config = self.config(profile)
        texts = {corpus: prepared(each, folder) for corpus, each in config.items()}
        fluent = texts["fluent"]
        held_out = [text[:HELD_OUT_CHARACTERS] for text in fluent.held_out_texts("test", HELD_OUT_DOCUMENTS)]
        files = {f"{corpus}-tokenizer.json": text.tokenizer.to_bytes() for corpus, text in texts.items()}
        metrics = text_statistics(fluent, texts["classic"], folder)
        metrics["slice"] = slice_metrics(fluent.tokenizer, held_out)
        source = fluent.statistics["corpus"]
        data = {
            "name": source["name"],
            "corpus_sha256": source["sha256"],
            "digest": data_digest(*(text.digest for text in texts.values())),
            "preparation": PREPARATION_VERSION,
        }
        files["held-out.json"] = json.dumps(held_out, ensure_ascii=False, indent=1).encode()
        manifest = {"fingerprint": self.fingerprint(config)}
        return self.publish(profile, config, data, clock.spent(), manifest=manifest, metrics=metrics, files=files)

    def belongs(self, result: TextResult) -> None:
        """Statistics of these corpora, tokenizers that the networks of the same text have, texts of the right kind."""
        corpora, manifest, metrics = result.config, result.manifest, result.metrics
        payload.files(manifest, "metrics.json", "held-out.json", *(f"{corpus}-tokenizer.json" for corpus in corpora))
        payload.like(manifest, {"fingerprint": list, "data": {"corpus_sha256": str}}, "manifest.json")
        for corpus, config in corpora.items():
            tokenizer = result.tokenizer(corpus)
            raw = {"name": manifest["data"].get("name"), "sha256": manifest["data"]["corpus_sha256"]}
            sizes = {"documents": int, "words": int, "tokens": int, "tokens_per_word": float}
            wanted = {"kind": corpus, "vocabulary": tokenizer.vocabulary_size, "corpus": raw, "cleaning": dict}
            payload.like(
                metrics.get(corpus), wanted | {"splits": dict.fromkeys(SPLITS, sizes)}, f"metrics.json, {corpus}"
            )
            fits = tokenizer.vocabulary_size <= config.vocabulary
            payload.require(fits, f"{corpus}-tokenizer.json has too many symbols")
        apart = len(set(map(result.tokenizer_digest, corpora))) == len(corpora)
        payload.require(apart, "both corpora have one tokenizer")
        _as_the_networks(result)
        texts = result.held_out
        payload.like(texts, payload.Each(str), "held-out.json")
        fits = len(texts) <= HELD_OUT_DOCUMENTS and all(0 < len(text) <= HELD_OUT_CHARACTERS for text in texts)
        payload.require(fits, "held-out.json holds no beginnings of documents")
        payload.like(metrics, {"slice": {"tokens_per_word": float, "round_trip_share": 1.0}}, "metrics.json")
        study = dict.fromkeys(STUDIES, payload.Each(object)) | {
            "bpe": {"first_merges": first_merges(result.tokenizer())}
        }
        payload.like(metrics, {"study": study}, "metrics.json")

    def contradict(self, result: TextResult) -> list[Check]:
        again = slice_metrics(result.tokenizer(), result.held_out)
        return [self._behaviour(result), *compare_metrics(again, result.metrics["slice"])]

    def _behaviour(self, result: TextResult) -> Check:
        if (made := version_of(result.manifest)) != PREPARATION_VERSION:
            reason = f"made by preparation version {made}, today's is {PREPARATION_VERSION}"
            return Check("behaviour", None, reason)
        same = self.fingerprint(result.config) == result.manifest["fingerprint"]
        detail = (
            "the fixed passage gives the same tokens" if same else "the fixed passage gives other tokens: prepare again"
        )
        return Check("behaviour", same, detail)
