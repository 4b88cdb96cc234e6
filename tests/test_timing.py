"""Interleaved timing: who runs when, and which time is kept."""

from __future__ import annotations

import pytest

from genmodels.system import meters


def test_all_take_turns_and_the_median_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[str] = []
    clock = iter([0, 0, 0, 2, 0, 7, 0, 4, 0, 9, 0, 60, 0, 8])  # the first round warms up, unread
    monkeypatch.setattr(meters.time, "process_time", lambda: next(clock))
    found = meters.interleaved({name: lambda name=name: calls.append(name) for name in "ab"}, 2, 3)
    assert calls == list("aabb") * 4
    assert found == {"a": 2.0, "b": 4.0}
