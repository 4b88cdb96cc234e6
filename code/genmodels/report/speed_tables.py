"""Measured speeds as the report's tables: decoding with and without a cache, training beside PyTorch's own layers.

The numbers come from the stages ``speed-decoding`` and ``speed-peers``; nothing is measured here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from genmodels.report.persian import fa, fa_int

PEERS = {  # our network -> its label, PyTorch's class beside it
    "transformer": ("ترنسفورمر", "nn.TransformerEncoderLayer"),
    "rnn": ("بازگشتی", "nn.LSTM"),
}


def cache_rows(measured: Mapping[str, Any]) -> list[dict[str, str]]:
    """One row a length and number of key and value heads: seconds with and without the cache, its size, the ratio."""
    return [
        {
            "سر کلید و مقدار": fa_int(row["kv_heads"]), "توکن": fa_int(row["tokens"]),
            "با حافظه": fa(row["cache_seconds"], 2), "بی حافظه": fa(row["plain_seconds"], 1),
            "نسبت": fa(row["ratio"], 1), "حافظه (مگابایت)": fa(row["cache_bytes"] / 1e6, 1),
        }
        for row in measured["rows"]
    ]


def peer_rows(measured: Mapping[str, Any]) -> list[dict[str, str]]:
    """One row a network: trained tokens a second, ours, the peer's, and the peer's with our loss; ratios in brackets."""
    found = measured["training"]

    def told(key: str) -> str:
        return f"{fa_int(round(found[key]['tokens_per_second']))} ({fa(found[key]['ratio'], 2)}×)"

    return [
        {
            "شبکه": label, "ما": fa_int(round(found[name]["tokens_per_second"])), "همتا": f"`{peer}`",
            "همتا، زیان PyTorch (نسبت ما)": told(f"{name}_peer"), "همتا، زیان ما (نسبت ما)": told(f"{name}_peer_own_loss"),
        }
        for name, (label, peer) in PEERS.items()
    ]
