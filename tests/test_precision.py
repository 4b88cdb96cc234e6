"""bf16 is used where the processor has it, and nowhere else."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from genmodels.system import precision


@pytest.mark.parametrize("native", [True, False])
@pytest.mark.parametrize("wanted", [True, False])
def test_products_are_bf16_only_where_wanted_and_native(monkeypatch, native: bool, wanted: bool) -> None:  # noqa: ANN001
    monkeypatch.setattr(precision, "bf16_is_native", lambda kind: native)
    with precision.autocast("cpu", wanted):
        product = torch.ones(2, 2) @ torch.ones(2, 2)
    assert product.dtype == (torch.bfloat16 if native and wanted else torch.float32)


def test_processors_without_the_instructions_are_recognised() -> None:
    try:
        flags = Path("/proc/cpuinfo").read_text(encoding="utf-8").split("flags")[1].split("\n")[0].split()
    except (OSError, IndexError):
        pytest.skip("/proc/cpuinfo lists no flags on this system")
    assert precision.bf16_is_native("cpu") <= ("avx512f" in flags)  # native needs the flag; oneDNN asks for more


@pytest.mark.parametrize("value, size", [(0.1, 4), (0.5, 2), (1e-9, 4), (1e9, 4), (float("nan"), 4)])
def test_weights_take_half_the_bytes_where_that_loses_nothing(value: float, size: int) -> None:
    weights = {"w": torch.full((1000,), value), "count": torch.arange(3)}
    kept = precision.packed(weights)
    assert kept["w"].element_size() == size and kept["count"].dtype == torch.int64
    found = precision.unpacked(kept)
    assert found["w"].dtype == torch.float32 and torch.equal(found["count"], weights["count"])
    assert torch.equal(found["w"].nan_to_num(7), weights["w"].nan_to_num(7))
