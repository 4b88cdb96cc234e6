"""All points: the shipped files are those the manifests name, made by clean code with today's settings."""

from __future__ import annotations

import re

from genmodels.config import differences
from genmodels.system.files import file_digest
from genmodels.report.persian import fa, fa_int
from genmodels.checks.check import Evidence, Finding, check
from genmodels.store import payload_names

COMMIT = re.compile(r"[0-9a-f]{40}|unknown")  # never "…+changes"; unknown where there was no git, as in a zip


@check("payload", "all", "sec-provenance", "sha256 پرونده‌ها = شناسنامه")
def payload(e: Evidence) -> Finding:
    whole = total = 0
    for result in e.shipped.values():
        folder, wanted = result.stored.folder, result.manifest["payload"]
        present = payload_names(folder)
        total += len(present | set(wanted))
        whole += sum(name in present and file_digest(folder / name) == digest for name, digest in wanted.items())
    return whole == total > 0, f"{fa_int(whole)} پرونده از {fa_int(total)}"


@check("settings", "all", "sec-provenance", "تنظیم‌ها = تنظیم‌های امروز کد")
def settings(e: Evidence) -> Finding:
    results = e.shipped.values()
    fields = [line for r in results for line in differences(r.config, r.manifest["config"])]
    return not fields, f"{fa_int(len(fields))} اختلاف"


@check("commits", "all", "sec-provenance", "کامیت پاک")
def commits(e: Evidence) -> Finding:
    """Of every result, of every process that trained a part of it, and of a fingerprint that was made anew later."""
    of = lambda m: {m["commit"], *m.get("commits", []), m.get("fingerprint_commit", m["commit"])}  # noqa: E731
    named = [name for r in e.shipped.values() for name in of(r.manifest)]
    known = sum(commit != "unknown" for commit in named)
    return all(map(COMMIT.fullmatch, named)), f"{fa_int(known)} از {fa_int(len(named))}"


@check("one-corpus", "all", "sec-provenance", "یک پروندهٔ خام برای همهٔ متن")
def one_corpus(e: Evidence) -> Finding:
    digests = {r.manifest["data"]["corpus_sha256"] for r in e.shipped.values() if "corpus_sha256" in r.manifest["data"]}
    stated = e.shipped["text"].metrics["fluent"]["corpus"]["sha256"]
    return digests == {stated}, f"`{stated[:10]}`"


@check("sizes", "all", "sec-provenance", "شمار پارامترها = وزن‌های همراه")
def sizes(e: Evidence) -> Finding:
    counts = {name: sum(p.numel() for p in network.parameters()) for name, network in e.networks.items()}
    stored = {name: e.shipped[name].metrics["parameters"] for name in counts}
    finite = all(bool(p.isfinite().all()) for network in e.networks.values() for p in network.parameters())
    return counts == stored and finite, f"{fa(sum(counts.values()) / 1e6, 1)} میلیون"
