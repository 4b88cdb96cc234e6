"""A corpus passed through functions in constant memory: chunks, worker processes, spools, arrays that grow on disk.

A stream of documents is cut into chunks of about ``CHUNK_CHARACTERS``; a chunk is what one worker process is given.
``Workers.map`` keeps at most ``AHEAD`` chunks per worker on their way and gives results in the chunks' order, so neither
memory nor output depends on the number of processes or on the length of the file. What must be read twice goes through
a spool (one JSON line a document), what becomes an array is appended to its ``.npy`` file.

One machine only. For a corpus beyond it see ``shards.py``.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from genmodels.errors import UserError

CHUNK_CHARACTERS = 100_000
AHEAD = 3  # chunks per worker that are being worked on or wait, their results included
START_METHOD = "spawn"  # of worker processes: a forked copy of a process with threads (torch, tokenizers) may hang
SERIAL_CHARACTERS = 2_000_000  # below this, starting processes (each imports hazm) costs more than they save

Job, Outcome, Item = TypeVar("Job"), TypeVar("Outcome"), TypeVar("Item")


def cores() -> int:
    """Processor cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def chunks(items: Iterable[Item], size: Callable[[Item], int], characters: int | None = None) -> Iterator[list[Item]]:
    """Consecutive items in lists, each closed once its ``size`` adds up to ``characters``."""
    characters = CHUNK_CHARACTERS if characters is None else characters
    chunk: list[Item] = []
    total = 0
    for item in items:
        chunk.append(item)
        total += size(item)
        if total >= characters:
            yield chunk
            chunk, total = [], 0
    if chunk:
        yield chunk


class Workers:
    """``number`` processes that apply functions to chunks; with one, this process does it. A context manager."""

    def __init__(self, number: int = 1) -> None:
        if number < 1:
            raise UserError(f"the number of workers must be at least 1, not {number}")
        self.number = number
        self._pool: ProcessPoolExecutor | None = None

    def __enter__(self) -> Workers:
        if self.number > 1:
            context = multiprocessing.get_context(START_METHOD)
            self._pool = ProcessPoolExecutor(self.number, context, initializer=_leave_interrupts)
        return self

    def __exit__(self, *_: object) -> None:
        if self._pool is not None:
            self._pool.shutdown(wait=True, cancel_futures=True)

    def map(self, function: Callable[[Job], Outcome], jobs: Iterable[Job]) -> Iterator[Outcome]:
        """``function`` of every job, in the jobs' order; jobs are taken from their stream only as they are needed."""
        if self._pool is None:
            yield from map(function, jobs)
            return
        waiting: deque[Any] = deque()
        try:
            for job in jobs:
                waiting.append(self._pool.submit(function, job))
                if len(waiting) >= AHEAD * self.number:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        except BrokenProcessPool as error:
            raise UserError("a worker process was killed (out of memory?); try again with --workers 1") from error


def _leave_interrupts() -> None:
    """Ctrl-C is answered by the main process alone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def write_spool(path: Path, records: Iterable[Any]) -> None:
    """One JSON value a line."""
    with path.open("w", encoding="ascii") as stream:
        for record in records:
            stream.write(json.dumps(record) + "\n")


def read_spool(path: Path) -> Iterator[Any]:
    """What ``write_spool`` wrote, one value at a time."""
    with path.open(encoding="ascii") as stream:
        yield from map(json.loads, stream)


class ArrayFile:
    """A one-dimensional ``.npy`` file that grows: the bytes that ``numpy.save`` would write for the whole array."""

    def __init__(self, path: Path, dtype: type[np.generic]) -> None:
        self._dtype, self.length = np.dtype(dtype), 0
        self._stream = path.open("wb")
        self._write_header()

    def append(self, values: Iterable[int] | np.ndarray) -> None:
        array = np.asarray(values, self._dtype)
        self._stream.write(array.tobytes())
        self.length += len(array)

    def close(self) -> None:
        self._stream.seek(0)
        self._write_header()
        self._stream.close()

    def _write_header(self) -> None:
        """numpy pads the header for the largest length, so the one with the final length has the same size."""
        shape = {"descr": self._dtype.str, "fortran_order": False, "shape": (self.length,)}
        np.lib.format.write_array_header_1_0(self._stream, shape)
