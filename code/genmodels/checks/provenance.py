"""All points: the results were made by clean code from one raw file."""

from __future__ import annotations

import re

from genmodels.checks.check import Evidence, Finding, check
from genmodels.report.persian import fa_int

COMMIT = re.compile(r"[0-9a-f]{40}|unknown")  # never "…+changes"; unknown where there was no git, as in a zip


@check("commits", "all", "sec-provenance", "کامیت پاک", outcome=True)
def commits(e: Evidence) -> Finding:
    """Of every result, of every process that trained a part of it, and of a fingerprint that was made anew later."""
    of = lambda m: {m["commit"], *m.get("commits", []), m.get("fingerprint_commit", m["commit"])}  # noqa: E731
    named = [name for r in e.shipped.values() for name in of(r.manifest)]
    known = sum(commit != "unknown" and bool(COMMIT.fullmatch(commit)) for commit in named)
    return all(map(COMMIT.fullmatch, named)), f"{fa_int(known)} از {fa_int(len(named))}"


@check("one-corpus", "all", "sec-provenance", "یک پروندهٔ خام برای همهٔ متن")
def one_corpus(e: Evidence) -> Finding:
    """Results of several raw files are a mixture, of which the document tells; but what is one text cannot be of two."""
    data = [r.manifest["data"] for r in e.shipped.values() if "corpus_sha256" in r.manifest["data"]]
    digests = {each["corpus_sha256"] for each in data}
    stated = e.shipped["text"].metrics["fluent"]["corpus"]["sha256"]
    pairs = {(each["digest"], each["corpus_sha256"]) for each in data}
    if len(digests) > 1 and stated in digests and len(pairs) == len({digest for digest, _ in pairs}):
        return None, f"آمیخته از {fa_int(len(digests))} پرونده"
    return digests == {stated}, f"`{stated[:10]}`"
