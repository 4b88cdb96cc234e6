"""Worker processes: a thread each, whatever the environment says; none outlives its parent; no workers are too few."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from common import PATIENCE
from genmodels.errors import UserError
from genmodels.stages.base import verified
from genmodels.system.processes import Workers


def threads(_: int) -> int:
    import torch

    return torch.get_num_threads()


def test_one_of_several_computes_on_one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):
        monkeypatch.setenv(name, "2")
    with Workers(2) as pool:
        assert list(pool.map(threads, range(3))) == [1, 1, 1]


KILLED = """
import os, signal, sys
from genmodels.system.processes import Workers

def process(_):
    return os.getpid()

if __name__ == "__main__":
    with Workers(2) as pool:
        print(*set(pool.map(process, range(8))), flush=True)
        os.kill(os.getpid(), signal.SIGKILL)
"""


def test_no_worker_outlives_a_killed_parent(tmp_path: Path) -> None:
    """The workers hold the parent's stdout: its end is the end of the last of them."""
    script = tmp_path / "killed.py"
    script.write_text(KILLED, "utf-8")
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=PATIENCE)
    assert done.returncode == -9 and done.stdout.split()


def test_no_workers_are_too_few() -> None:
    with pytest.raises(UserError, match="at least 1, not 0"):
        list(verified(["text"], workers=0))
