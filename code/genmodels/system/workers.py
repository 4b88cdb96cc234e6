"""Worker processes on one machine: a function of many jobs, in the jobs' order.

``Workers.map`` keeps at most ``AHEAD`` jobs per worker on their way, so that memory does not grow with their number.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import Any, TypeVar

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
