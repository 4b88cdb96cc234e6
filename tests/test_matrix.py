"""The matrix of emulated machines (``.ci/matrix.py``): which rows a processor has, and that a difference fails it.

What the rows compute takes minutes and is CI's own step.
"""

from __future__ import annotations

import importlib.util
import math
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

AVX2 = ("sse4_1", "avx", "avx2", "fma")
AVX512 = (*AVX2, "avx512f", "avx512bw", "avx512dq", "avx512vl")


@pytest.fixture(scope="module")
def matrix() -> Iterator[ModuleType]:
    path = Path(__file__).resolve().parents[1] / ".ci" / "matrix.py"
    spec = importlib.util.spec_from_file_location("ci_matrix", path)
    assert spec is not None and spec.loader is not None
    sys.modules[spec.name] = module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    yield module
    del sys.modules[spec.name]


@pytest.mark.parametrize(
    ("flags", "limits", "decided"),
    [
        ((), ["as it is"], True),
        (AVX2, ["SSE4.1", "AVX2"], True),
        (AVX512, ["SSE4.1", "AVX2", "AVX-512"], False),  # decides so by itself
        ((*AVX512, "amx_tile", "amx_bf16", "amx_int8"), ["SSE4.1", "AVX2", "AVX-512", "AMX"], False),
    ],
)
def test_rows(matrix: ModuleType, flags: tuple[str, ...], limits: list[str], decided: bool) -> None:
    rows = matrix.rows(flags)
    for threads, wanted in ((1, limits), (2, sorted({limits[0], limits[-1]}, key=limits.index))):
        assert [row.limit for row in rows if row.threads == threads and not row.bf16] == wanted
    assert [row.limit for row in rows if row.whole] == limits[:1]
    assert any(row.bf16 for row in rows) == decided
    for row in rows:
        told = row.environment()
        assert told["OMP_NUM_THREADS"] == str(row.threads)
        assert row.limit == "as it is" or told["ATEN_CPU_CAPABILITY"] == matrix.LIMITS[row.limit][1]


def test_differences_that_nothing_hides(matrix: ModuleType) -> None:
    assert matrix.apart([1, 0, 2], [1, 0, 2]) == 0
    assert matrix.apart([1.0, 2.2], [1.0, 2.0]) == pytest.approx(0.1)
    assert matrix.apart([1.0], [1.0, 2.0]) == math.inf
    assert math.isnan(matrix.apart([1.0, math.nan], [1.0, 2.0]))
    assert matrix.stated("2.2, stored 2") == pytest.approx(0.1)


@pytest.mark.parametrize(("told", "code"), [([], 0), (["rnn: fingerprint differs by 2.0e-01"], 1)])
def test_one_contradiction_fails_the_matrix(
    matrix: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], told: list[str], code: int
) -> None:
    def found(row: Any) -> dict[str, Any]:
        return {"fingerprints": 1e-7, "slices": 0.0, "checks": 9, "contradicted": told * (row.threads == 2)}

    monkeypatch.setattr(matrix, "run", found)
    assert matrix.main() == code
    out, err = capsys.readouterr()
    assert "1.0e-07" in out and all(fault in err for fault in told)


def test_a_row_that_dies_is_a_contradiction(matrix: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(matrix, "__file__", "nowhere.py")
    assert "ended with 2" in matrix.run(matrix.Row("AVX2"))["contradicted"][0]
