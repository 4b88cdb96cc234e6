"""The processes of one work: this one's place among those that torchrun started, worker processes of its own, and bars that
tell how far they are.

What torchrun's processes do with each other is ``training/batches.py``'s business. ``Workers.map`` maps a function over many
jobs, in the jobs' order, with at most ``AHEAD`` jobs per worker on their way, so that memory does not grow with their number.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import Any, TypeVar

from tqdm import tqdm

from genmodels.errors import UserError

AHEAD = 3  # jobs per worker that are being worked on or wait, their results included
START_METHOD = "spawn"  # of worker processes: a forked copy of a process with threads (torch, tokenizers) may hang

Job, Outcome = TypeVar("Job"), TypeVar("Outcome")


def cores() -> int:
    """Processor cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class Workers:
    """``number`` processes, of one thread each, that apply functions to jobs; with one, this process does it. A context manager."""

    def __init__(self, number: int = 1) -> None:
        if number < 1:
            raise UserError(f"the number of workers must be at least 1, not {number}")
        self.number = number
        self._pool: ProcessPoolExecutor | None = None

    def __enter__(self) -> Workers:
        if self.number > 1:
            context = multiprocessing.get_context(START_METHOD)
            self._pool = ProcessPoolExecutor(self.number, context, initializer=_one_of_several)
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
            way_out = "free some memory and try again, with --workers 1 where the command has it"
            raise UserError(f"a worker process was killed (out of memory?); {way_out}") from error


def _one_of_several() -> None:
    """Ctrl-C is answered by the main process alone; torch, which no worker has imported yet, starts with one thread."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.environ |= {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """A main process that was killed tells its workers nothing, and they would wait for jobs for ever."""
    parent = multiprocessing.parent_process()
    assert parent is not None  # only workers run this
    parent.join()
    os._exit(1)


VARIABLES = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT")  # those of torchrun that are read


def place() -> tuple[int, int, int]:
    """Rank, number of processes and rank on this machine, from torchrun's variables; (0, 1, 0) without them.

    An empty variable counts as unset. Raises ``UserError`` where they contradict each other: left by another program,
    they would make this process wait for ever, or leave its work to a rank 0 that nobody started.
    """
    given = {name: os.environ.get(name, "").strip() for name in VARIABLES}
    try:
        rank, size, local = (int(given[name] or default) for name, default in zip(VARIABLES, (0, 1, 0)))
    except ValueError:
        rank, size, local = -1, 0, 0
    missing = [name for name in VARIABLES if not given[name] and size > 1 and name != "LOCAL_RANK"]
    if missing or not 0 <= rank < size or local < 0:
        found = ", ".join(f"{name}={value}" for name, value in given.items() if value)
        lack = f", {' and '.join(missing)} not set" * bool(missing)
        way_out = f"start with torchrun, or unset {' '.join(VARIABLES)}"
        raise UserError(f"these are not torchrun's variables: {found}{lack}; {way_out}")
    return rank, size, local


def is_leader() -> bool:
    """Whether this process is the one that writes and tells: rank 0 of a ``torchrun``, or the only one."""
    return place()[0] == 0


def progress_bar(iterable: Iterable[Any] | None = None, **options: Any) -> tqdm:
    """A tqdm bar with rate and estimated end; ``disable`` follows whether stderr is a terminal."""
    options.setdefault("disable", not sys.stderr.isatty())
    options.setdefault("file", sys.stderr)
    options.setdefault("dynamic_ncols", True)
    return tqdm(iterable, **options)
