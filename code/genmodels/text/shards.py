"""A corpus in many files, or larger than one machine: the same functions mapped over shards by Dask.

``prepare_shards`` cleans and normalises every shard with the very functions of the local route
(``cleaning.clean_paragraph``, ``repetitions.mark``, ``normalization.prepare_chunk``) and writes one JSON line a document. Each
shard is a task of a Dask bag; who runs the tasks is Dask's business: processes here, the workers of a cluster where a
``dask.distributed.Client`` exists. There is no scheduler of our own.

Why Dask: its core is pure Python with a handful of small dependencies and takes any Python function over any files; Hugging
Face ``datasets`` copies the corpus into Arrow tables first, and Ray is a service to be started. It is an optional extra
(``pip install '.[shards]'``).

Repetitions are looked for inside each shard only: a set that all tasks share would tie them together. So the result is that
of the local route, shard by shard, and what is repeated across shards stays.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from genmodels.data.wikipedia import load
from genmodels.errors import UserError
from genmodels.text.cleaning import ORDER, Cleaning
from genmodels.text.normalization import prepare_chunk
from genmodels.text.streaming import write_spool


def prepare_shard(source: Path, target: Path, corpus: str = "fluent") -> dict[str, Any]:
    """One raw file to lines ``[split, text, characters of the fluent text]``; returns the documents kept and cleaning's counts."""
    raw, cleaning = load(source), Cleaning()
    kept = 0

    def rows() -> Iterable[tuple[str, str, int]]:
        nonlocal kept
        for split in ORDER:
            for paragraphs in cleaning.stream(raw.stream(split), split != "train"):
                ((text, length),), _ = prepare_chunk((corpus, [paragraphs]))
                if text:
                    kept += 1
                    yield split, text, length

    write_spool(target, rows())
    return {"documents": kept, "cleaning": cleaning.statistics()}


def prepare_shards(
    sources: Iterable[Path], folder: Path, corpus: str = "fluent", workers: int | None = None
) -> list[dict[str, Any]]:
    """``prepare_shard`` of every file, into ``folder/<number>.jsonl`` in the files' order, in parallel.

    ``workers``: processes on this machine (default: one a core); a connected ``dask.distributed`` client takes the work
    instead. Raises ``UserError`` where Dask is not installed, and what ``prepare_shard`` raises.
    """
    try:
        import dask.bag
        from dask.base import get_scheduler
    except ImportError:
        raise UserError("shards need Dask: pip install 'genmodels[shards]', or dask alone") from None
    folder.mkdir(parents=True, exist_ok=True)
    paths = list(map(Path, sources))
    if not paths:
        raise UserError("no shards were given")
    targets = [folder / f"{number:05d}.jsonl" for number in range(len(paths))]
    bag = dask.bag.from_sequence(list(zip(paths, targets)), npartitions=len(paths))
    local = {} if get_scheduler() else {"scheduler": "processes", "num_workers": workers}
    return bag.starmap(prepare_shard, corpus=corpus).compute(**local)
