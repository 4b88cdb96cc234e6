"""The results as a whole: the main ones, and where each comes from, read off its manifest."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from IPython.display import Markdown

from genmodels.report.names import STAGE_NAMES
from genmodels.report.persian import fa, fa_int, table
from genmodels.store import cpu_minutes


def raw_texts(results: Mapping[str, Any]) -> dict[str, str]:
    """Stage -> the raw text it was made from (name and digest), where ``results`` were made from more than one; else empty."""
    data = {name: result.manifest["data"] for name, result in results.items()}
    found = {name: each["corpus_sha256"] for name, each in data.items() if "corpus_sha256" in each}
    if len(set(found.values())) < 2:
        return {}
    return {name: f"`{data[name]['name']}`، `{digest[:8]}`" for name, digest in found.items()}


def origins(results: dict[str, Any]) -> Markdown:
    """Where each shipped result comes from, read off its manifest."""
    rows = []
    for name, result in results.items():
        manifest = result.manifest
        device = manifest["device"]
        rows.append(
            {
                "مرحله": STAGE_NAMES.get(name, f"`{name}`"),
                "داده": "—"
                if manifest["data"]["name"] == "none"
                else f"{manifest['data']['name']}، `{manifest['data']['digest'][:8]}`",
                "کامیت": f"`{manifest['commit'][:8]}`",
                "دستگاه": f"`{device['name']}`، {fa_int(device['threads'])} رشته"
                + ("" if in_bf16(manifest) else "، `fp32`"),
                "دقیقهٔ پردازنده": fa(cpu_minutes(manifest), 1),
                "پایان (UTC)": f"`{manifest['finished_utc'][:16]}`",
            }
        )
    return table(rows)


def in_bf16(manifest: dict[str, Any]) -> bool:
    """Whether the device of a run multiplied in bf16; the first manifests, of machines that did, do not say."""
    return bool(manifest["device"].get("bf16", True))
