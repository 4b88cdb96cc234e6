"""Stage ``speed-text``: preparation against hazm called the plain way, on one core and two, and memory against length.

*Plain* is what hazm's manual shows: one ``Normalizer``, one ``WordTokenizer``, one ``Lemmatizer``, and a call for each
paragraph or word. Both ways are timed interleaved in this process, in processor seconds (median of the repeats), on the same
cleaned paragraphs, and must give the same text. The whole preparation (``prepare.prepared``) is timed in processes of its own
with one worker and with two, on a text in the format of the Kaggle file and on one ``times`` as long; the long one is the
same paragraphs with their words shuffled, so that no paragraph repeats another. Peak memory is that of the largest process.
"""

from __future__ import annotations

import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

from genmodels.data import wikipedia
from genmodels.stages.base import Check
from genmodels.text import normalization
from genmodels.text.cleaning import clean_paragraph
from genmodels.text.fast_hazm import hazm_object

SETTINGS: dict[str, dict[str, Any]] = {
    "full": {"paragraphs": 500, "repeats": 3, "whole_paragraphs": 800, "times": 4},
    "smoke": {"paragraphs": 60, "repeats": 1, "whole_paragraphs": 150, "times": 2},
}
KAGGLE_BYTES = 101e6  # of the assignment's file
_RUN = r"""
import json, re, resource, sys, time
from genmodels.config import TextConfig
from genmodels.text.prepare import prepared
if __name__ == "__main__":
    started = time.perf_counter()
    digest = prepared(TextConfig(), sys.argv[1], int(sys.argv[2])).digest
    own, children = map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    # Linux: ru_maxrss of a child counts its parent's memory before exec; VmHWM begins anew.
    peak = int(re.search(r"VmHWM:\s+(\d+)", open("/proc/self/status").read())[1]) if sys.platform == "linux" else own.ru_maxrss
    print(json.dumps({
        "digest": digest, "seconds": time.perf_counter() - started,
        "cpu_seconds": sum(r.ru_utime + r.ru_stime for r in (own, children)),
        "peak_megabytes": max(peak, children.ru_maxrss) / 1024,
    }))
"""


def plain_normalize(normalizer: Any) -> Callable[[str], str]:
    """``normalization.normalize`` with hazm's own ``normalize`` inside."""

    return partial(normalization.normalize_by, normalizer.normalize)


def plain_classic(normalizer: Any) -> Callable[[str], str]:
    """``normalization.classic`` with hazm's own ``normalize``, and every word looked at every time it occurs."""
    stops, normalize = normalization.stop_words(), plain_normalize(normalizer)
    tokenize = hazm_object("WordTokenizer").tokenize
    is_content, lemma = normalization.is_content.__wrapped__, normalization.lemma.__wrapped__

    def classic(text: str) -> str:
        words = map(lemma, filter(is_content, normalization.words_by(tokenize, normalize(text))))
        return " ".join(word for word in words if word not in stops)

    return classic


def measure(settings: dict[str, Any], folder: Path | None = None) -> dict[str, Any]:
    """Rows ``steps`` (plain and ours) and ``whole`` (preparation by size and workers), as plain JSON values."""
    corpus = wikipedia.load(folder)
    raw = [p for document in corpus.stream("test", "validation") for p in document.paragraphs]
    chosen = [text for p in raw[: settings["paragraphs"]] if (text := clean_paragraph(p))]
    return {
        "data": {"name": corpus.name},
        "steps": _steps(chosen, settings["repeats"]),
        "whole": _whole(islice(_train(corpus), settings["whole_paragraphs"]), settings["times"]),
    }


def _train(corpus: wikipedia.Corpus) -> Iterator[str]:
    return (p for document in corpus.stream("train") for p in document.paragraphs)


def _steps(paragraphs: list[str], repeats: int) -> list[dict[str, Any]]:
    normalizer = hazm_object("Normalizer")
    size = sum(len(p.encode()) for p in paragraphs) / 1e6
    rows = []
    for name, plain, ours in (
        ("normalize", plain_normalize(normalizer), normalization.normalize),
        ("classic", plain_classic(normalizer), normalization.classic),
    ):
        seconds: dict[str, list[float]] = {"plain": [], "ours": []}
        ours(paragraphs[0])  # imports and tables, which are made once
        for _ in range(repeats):
            texts = []
            for way, function in (("plain", plain), ("ours", ours)):
                clock = time.process_time()
                texts.append([function(p) for p in paragraphs])
                seconds[way].append(time.process_time() - clock)
            if texts[0] != texts[1]:
                raise AssertionError(f"{name}: the fast way gives another text than hazm")
        plain_seconds, our_seconds = (statistics.median(seconds[way]) for way in ("plain", "ours"))
        rows.append(
            {
                "step": name,
                "megabytes": size,
                "plain_mb_per_second": size / plain_seconds,
                "mb_per_second": size / our_seconds,
                "ratio": plain_seconds / our_seconds,
            }
        )
    return rows


def _whole(paragraphs: Iterator[str], times: int) -> list[dict[str, Any]]:
    texts = list(paragraphs)
    rows = []
    with tempfile.TemporaryDirectory() as place:
        for factor in (1, times):
            path = Path(place, f"{factor}.txt")
            path.write_text("\n\n".join(longer(texts, factor)), encoding="utf-8")
            digests = []
            for workers in (1, 2):
                found = _run(path, workers, Path(place, f"{factor}-{workers}"))
                digests.append(found.pop("digest"))
                rows.append({"factor": factor, "megabytes": path.stat().st_size / 1e6, "workers": workers} | found)
            if len(set(digests)) != 1:
                raise AssertionError(f"two workers give other arrays than one: {digests}")
    return rows


def longer(paragraphs: list[str], times: int) -> Iterator[str]:
    """The paragraphs, then ``times`` - 1 copies of them with the words of each shuffled (seeded)."""
    yield from paragraphs
    for copy in range(1, times):
        rng = random.Random(copy)
        for paragraph in paragraphs:
            words = paragraph.split(" ")
            yield " ".join(rng.sample(words, len(words)))


def _run(path: Path, workers: int, prepared: Path) -> dict[str, Any]:
    environment = os.environ | {
        "GENMODELS_PREPARED": str(prepared),
        "TOKENIZERS_PARALLELISM": "false" if workers == 1 else "true",
        "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
    }
    script = path.with_suffix(".py")  # a file: spawned workers import their parent's main module
    script.write_text(_RUN, encoding="utf-8")
    command = [sys.executable, str(script), str(path), str(workers)]
    return json.loads(subprocess.run(command, env=environment, check=True, stdout=subprocess.PIPE, text=True).stdout)


def kaggle_seconds(rows: list[dict[str, Any]], workers: int, key: str = "seconds") -> float:
    """Seconds for the assignment's 101 MB, on the straight line through the two sizes measured."""
    small, large = (row for row in rows if row["workers"] == workers)
    slope = (large[key] - small[key]) / (large["megabytes"] - small["megabytes"])
    return large[key] + slope * (KAGGLE_BYTES / 1e6 - large["megabytes"])


def agree(texts: list[str]) -> list[Check]:
    """On every fourth held-out text, with and without its half-spaces, both ways give the same text."""
    normalizer, texts = hazm_object("Normalizer"), texts[::4]
    texts = texts + [text.replace(normalization.ZWNJ, " ") for text in texts]
    checks = []
    for name, plain, ours in (
        ("normalize", plain_normalize(normalizer), normalization.normalize),
        ("classic", plain_classic(normalizer), normalization.classic),
    ):
        differ = sum(plain(text) != ours(text) for text in texts)
        checks.append(Check(name, not differ, f"{differ} of {len(texts)} texts differ from hazm's own"))
    return checks
