"""The benchmarks of the language models: equal things are timed, ratios are what they say, results verify."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from genmodels.config import RecurrentModelConfig, TransformerModelConfig
from genmodels.language.recurrent import RecurrentLM
from genmodels.language.transformer import TransformerLM
from genmodels.stages.speed import decoding, peers
from genmodels.stages.speed.base import DecodingSpeed, PeerSpeed


def count(model: torch.nn.Module) -> int:
    return sum(p.numel() for p in model.parameters())


def test_peers_are_of_the_same_size() -> None:
    with torch.device("meta"):
        ours = count(TransformerLM(TransformerModelConfig(), 8000)), count(RecurrentLM(RecurrentModelConfig(), 8000))
        theirs = (
            count(peers.PeerTransformer(TransformerModelConfig(), 8000, 128)),
            count(peers.PeerLSTM(RecurrentModelConfig(), 8000)),
        )
    for mine, other in zip(ours, theirs):
        assert abs(other / mine - 1) < 0.02


def test_the_peer_transformer_sees_no_future_and_both_losses_agree() -> None:
    torch.manual_seed(0)
    config = TransformerModelConfig(width=16, layers=2, heads=2, kv_heads=2, hidden=16, dropout=0.0, context=12)
    plain = peers.PeerTransformer(config, 30, 12).eval()
    own = peers.PeerTransformer(config, 30, 12, own_loss=True).eval()
    own.load_state_dict(plain.state_dict())
    tokens = torch.randint(30, (2, 10))
    changed = tokens.clone()
    changed[:, 6:] = 3
    with torch.no_grad():
        assert torch.allclose(plain.features(tokens)[:, :6], plain.features(changed)[:, :6], atol=1e-6)
        assert plain(tokens, tokens).item() == pytest.approx(own(tokens, tokens).item(), rel=1e-5)


def test_what_is_timed_agrees() -> None:
    checks = [*decoding.agree(), *peers.agree()]
    assert len(checks) == 6 and all(check.passed for check in checks)


def test_a_cache_that_forgets_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    from genmodels.language.attention import KVCache

    real = KVCache.append
    monkeypatch.setattr(
        KVCache, "append", lambda self, k, v: tuple(part * (part.shape[2] < 9) for part in real(self, k, v))
    )
    assert not all(check.passed for check in decoding.agree())


def test_a_wrong_part_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(peers, "attention_reference", lambda q, k, v: v)
    assert [check.passed for check in peers.agree()] == [False, True, True]


@pytest.mark.parametrize("stage", [DecodingSpeed(), PeerSpeed()], ids=lambda stage: stage.name)
def test_a_smoke_measurement_is_published_and_verifies(
    stage: DecodingSpeed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GENMODELS_CACHE", str(tmp_path))
    stage.run("smoke")
    assert all(check.passed for check in stage.verify("smoke"))
    metrics = stage.load("smoke").metrics
    if stage.name == "speed-decoding":
        rows = metrics["rows"]
        assert len(rows) == 4 and all(row["ratio"] == row["plain_seconds"] / row["cache_seconds"] for row in rows)
        shared = {(row["kv_heads"], row["tokens"]): row["cache_bytes"] for row in rows}
        assert shared[4, 32] == 4 * shared[1, 32] == 2 * shared[4, 16]
    else:
        assert metrics["training"]["transformer_peer"]["ratio"] > 0 and metrics["generation"]["ratio"] > 0
    assert torch.get_num_threads() >= 1  # threads are given back


def test_a_time_that_is_linear_in_the_length_is_summed_exactly() -> None:
    for points in (3, 7, 20):
        places = decoding.evenly(50, points)
        assert places[0] == 1 and places[-1] == 50
        assert decoding.summed(places, [2.0 + 3.0 * n for n in places]) == pytest.approx(
            sum(2.0 + 3.0 * n for n in range(1, 51))
        )
