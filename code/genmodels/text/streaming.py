"""A corpus passed through functions in constant memory: chunks, worker processes, spools, arrays that grow on disk.

A stream of documents is cut into chunks of about ``CHUNK_CHARACTERS``; a chunk is what one worker process
(``genmodels.system.processes``) is given, so that neither memory nor output depends on the number of processes or on the length
of the file. What must be read twice goes through a spool (one JSON line a document), what becomes an array is appended
to its ``.npy`` file.

One machine only. For a corpus beyond it see ``shards.py``.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

CHUNK_CHARACTERS = 100_000
SERIAL_CHARACTERS = 2_000_000  # below this, starting processes (each imports hazm) costs more than they save

Item = TypeVar("Item")


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
