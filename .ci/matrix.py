"""Do the proofs hold on other machines? python .ci/matrix.py: each row of its table is a process that sees less of this
processor, computes with other threads, or decides as if bf16 were native. Exit code 1 where a row contradicts a result.

Every row makes the fingerprints of all stages and verifies one stage of each kind of arithmetic (``KINDS``). The row of
the fewest instructions, the machine furthest from those that trained, verifies ``FURTHER`` stages and makes the
document's checks, too. What this machine itself finds, ``make`` and ``make verify`` say in full.
Where the processor is not x86 there is nothing to take away, and only the threads differ.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Collection
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

PROJECT = Path(__file__).resolve().parents[1]
THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
LIMITS = {  # name -> processor flags it takes, and what PyTorch, oneDNN and MKL are told
    "SSE4.1": ("sse4_1", "default", "SSE41", "SSE4_2"),
    "AVX2": ("avx2 fma", "avx2", "AVX2", "AVX2"),
    "AVX-512": ("avx512f avx512bw avx512dq avx512vl", "avx512", "AVX512_CORE", "AVX512"),
    "AMX": ("avx512f avx512bw avx512dq avx512vl amx_tile amx_bf16 amx_int8", "avx512", "AVX512_CORE_AMX", "AVX512_E4"),
}
NATIVE = ("AVX-512", "AMX")  # PyTorch asks the processor, whatever oneDNN was told
KINDS = ("text", "ngram", "mnist-classifier", "pixelcnn-threshold", "rnn-classic")
FURTHER = ("pixelcnn", "pixelcnn-gated", "pixelcnn-study", "rnn-study-small", "transformer")


@dataclass(frozen=True)
class Row:
    """One emulated machine."""

    limit: str
    threads: int = 1
    bf16: bool = False  # decide as where bf16 is native; products at full size, which would take minutes, stay fp32
    whole: bool = False  # also the further stages and the document's checks

    @property
    def name(self) -> str:
        return f"{self.limit}, {self.threads} thread{'s' * (self.threads > 1)}{', bf16' * self.bf16}"

    def environment(self) -> dict[str, str]:
        variables = dict.fromkeys(THREADS, str(self.threads)) | {"OMP_WAIT_POLICY": "PASSIVE"}
        if self.limit in LIMITS:
            _, torch, onednn, mkl = LIMITS[self.limit]
            variables |= {"ATEN_CPU_CAPABILITY": torch, "ONEDNN_MAX_CPU_ISA": onednn, "MKL_ENABLE_INSTRUCTIONS": mkl}
        return os.environ | variables | {"PYTHONPATH": str(PROJECT / "code")}


def rows(flags: Collection[str]) -> list[Row]:
    """All that a processor of these flags can be taken for, the longest first."""
    limits = [name for name, (needed, *_) in LIMITS.items() if set(needed.split()) <= set(flags)] or ["as it is"]
    one = [Row(limits[0], whole=True), *map(Row, limits[1:])]
    decided = [] if set(NATIVE) & set(limits) else [Row(limits[-1], bf16=True)]
    ends = dict.fromkeys((limits[0], limits[-1]))  # other sums of other threads are the same whatever the instructions
    return one + decided + [Row(name, threads=2) for name in ends]


def apart(now: Any, then: Any) -> float:
    """The largest relative difference; infinite where the two differ in length, NaN where either has one."""
    import numpy as np

    now, then = (np.asarray(values, np.float64) for values in (now, then))
    return float(np.max(np.abs(now - then) / (np.abs(then) + (then == 0)))) if now.shape == then.shape else np.inf


def fingerprints(name: str) -> float:
    """How far a stage's fingerprints, made here, are from the shipped ones."""
    from genmodels import stages

    stage = stages.get(name)
    result = stage.load("full")
    kept = result.manifest.get("fingerprint", [0])
    make = getattr(stage, "tiny_losses", None) or getattr(stage, "fingerprint", lambda _: [0])
    if isinstance(kept, dict):
        return max(apart(make(run), kept[key]) for key, run in result.config.items())
    return apart(make(result.config), kept)


def stated(detail: str) -> float:
    """The relative difference that a metric's check states, "1.23457, stored 1.23456": to six digits."""
    found = re.fullmatch(r"(\S+), stored (\S+)", detail)
    return apart([float(found[1])], [float(found[2])]) if found else 0.0


def examine(row: Row) -> dict[str, Any]:
    """What a row finds, in a process that is what the row says."""
    import torch

    from genmodels.system import precision

    native = row.limit in NATIVE or row.limit not in LIMITS and precision.bf16_is_native("cpu")
    precision.bf16_is_native = lambda kind: native or row.bf16  # before any module takes the names
    precision.autocast = lambda kind, wanted=True: torch.autocast(kind, dtype=torch.bfloat16, enabled=wanted and native)
    torch.set_num_threads(row.threads)
    taken = torch.backends.cpu.get_cpu_capability().lower()
    assert taken == LIMITS.get(row.limit, (0, taken))[1], f"PyTorch computes with {taken}"
    from genmodels import checks, stages
    from genmodels.stages.trained import FINGERPRINT_TOLERANCE

    worst = {name: fingerprints(name) for name in stages.STAGES}
    told = [f"{name}: fingerprint differs by {by:.1e}" for name, by in worst.items() if not by <= FINGERPRINT_TOLERANCE]
    names = KINDS + FURTHER * row.whole
    made = [(name, check) for name in names for check in stages.get(name).verify("full")]
    only = None if row.whole else ()
    outcomes = checks.run({name: stages.load(name) for name in stages.STAGES}, only)
    told += [f"{name} {check.name}: {check.detail}" for name, check in made if check.passed is False]
    told += [f"{found.key}: {found.title}: {found.result}" for found in outcomes if found.passed is False]
    verdicts = [check.passed for _, check in made] + [found.passed for found in outcomes]
    figures = {"fingerprints": max(worst.values()), "slices": max(stated(check.detail) for _, check in made)}
    counts = {"checks": len(worst) + len(verdicts), "unchecked": verdicts.count(None)}
    return figures | counts | {"contradicted": told, "seconds": time.process_time()}


def run(row: Row) -> dict[str, Any]:
    command = [sys.executable, __file__, json.dumps(asdict(row))]
    done = subprocess.run(command, env=row.environment(), cwd=PROJECT, capture_output=True, text=True)
    if done.returncode:
        return {"contradicted": [f"the process ended with {done.returncode}: {done.stderr[-1500:]}"]}
    return json.loads(done.stdout.splitlines()[-1])


def main() -> int:
    cpuinfo = Path("/proc/cpuinfo")
    every = rows(cpuinfo.read_text("utf-8").split() if cpuinfo.exists() else ())
    with ThreadPoolExecutor(os.cpu_count()) as pool:  # the longest begins first and has a core to itself
        found = dict(zip(every, pool.map(run, every), strict=True))
    line = "{:<24} {:>12} {:>8} {:>7} {:>13} {:>12} {:>8}"
    print(line.format("emulated machine", "fingerprints", "slices", "checks", "contradicted", "not checked", "seconds"))
    for row, result in found.items():
        figures = [format(result.get(key, float("nan")), ".1e") for key in ("fingerprints", "slices")]
        counts = [len(result["contradicted"]), result.get("unchecked", 0), round(result.get("seconds", 0))]
        print(line.format(row.name, *figures, result.get("checks", 0), *counts))
    told = [f"{row.name}: {fault}" for row, result in found.items() for fault in result["contradicted"]]
    print(*told, sep="\n", end="\n" * bool(told), file=sys.stderr)
    return int(bool(told))


if __name__ == "__main__":
    if len(sys.argv) > 1:
        print(json.dumps(examine(Row(**json.loads(sys.argv[1])))))
    else:
        sys.exit(main())
