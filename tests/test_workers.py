"""Worker processes: a thread each, whatever the environment says; a number that is none is refused."""

from __future__ import annotations

import pytest

from genmodels.errors import UserError
from genmodels.stages.verification import verified
from genmodels.workers import Workers


def threads(_: int) -> int:
    import torch

    return torch.get_num_threads()


def test_one_of_several_computes_on_one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):
        monkeypatch.setenv(name, "2")
    with Workers(2) as pool:
        assert list(pool.map(threads, range(3))) == [1, 1, 1]


def test_no_workers_are_too_few() -> None:
    with pytest.raises(UserError, match="at least 1, not 0"):
        list(verified(["text"], workers=0))
