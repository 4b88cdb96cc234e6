"""Point 2.1: cleaned text, BPE, held-out documents."""

from __future__ import annotations

import re
from collections import Counter

import numpy as np

from genmodels.checks.check import Evidence, Finding, check
from genmodels.report.persian import fa_int, fa_percent
from genmodels.report.provenance import raw_texts
from genmodels.stages.text import HELD_OUT_CHARACTERS, PASSAGE

AWKWARD = (
    "می‌نویسند می نویسند", "كتاب علي ۱۲۳ 123", "a\n\n b\t  ", "😀👩‍👩‍👧 é ﷼", "<bos> <eos>", "\u200c\u200f\ufeff", "",
)  # fmt: skip
# What no cleaned text may hold: Arabic letters, addresses, templates, footnote marks, Latin names in brackets.
REFUSE = re.compile(r"[كيى]|https?:|\{\{|\[[0-9۰-۹]{1,3}\]|(?<![A-Za-z0-9])\([A-Z]?[a-z]{2,}[A-Za-z .]*\)| {2}")
MIXED = "نتیجه‌ها از یک متن نیستند"  # page 1 says so
KNOWN_GRAM, ALARM = 5, 0.5  # a document that was trained on would have all its 5-grams known


@check("clean-corpus", "2.1", "sec-2-1-cleaning", "بازماندهٔ نشانه‌گذاری در متن آزمون")
def clean_corpus(e: Evidence) -> Finding:
    text = e.tokenizer.decode(e.documents[0])
    left = REFUSE.findall(text)
    return not left and bool(REFUSE.search(PASSAGE)), f"{fa_int(len(left))} در {fa_int(len(text))} نویسه"


@check("bpe-encodes", "2.1", "sec-2-1-bpe", "رمزگذاری ما = `tokenizers`")
def bpe_encodes(e: Evidence) -> Finding:
    ours, texts = e.tokenizer.as_bpe(), [*e.shipped["text"].held_out, *AWKWARD]
    mine, theirs = ([coder.encode(text) for text in texts] for coder in (ours, e.tokenizer))
    return mine == theirs, f"{fa_int(sum(map(len, theirs)))} توکن"


@check("tokens-are-text", "2.1", "sec-2-1-tokens", "توکن‌های آزمون = متن کنارگذاشته")
def tokens_are_text(e: Evidence) -> Finding:
    held = e.shipped["text"].held_out
    same = sum(e.tokenizer.decode(e.document(d))[:HELD_OUT_CHARACTERS] == text for d, text in enumerate(held))
    return same == len(held), f"{fa_int(same)} سند"


@check("vocabulary", "2.1", "sec-2-1-tokens", "یک توکن‌ساز، یک پیکره و یک متن آزمون برای همه")
def vocabulary(e: Evidence) -> Finding:
    """Of all models of the fluent corpus: what makes their perplexities comparable."""
    models = {name: e.shipped[name] for name in (*e.language, "ngram")}
    if raw_texts(models):
        return None, MIXED
    fluent = [r for r in models.values() if r.metrics["corpus"] == "fluent"]
    used = {r.manifest["payload"].get("tokenizer.json") for r in fluent} - {None}  # the counts have none of their own
    one = used == {e.shipped["text"].manifest["payload"]["fluent-tokenizer.json"]}
    digests = {r.manifest["data"]["digest"] for r in fluent}
    same = all(np.array_equal(e.documents[0], r.slice["test_ids"]) for r in fluent)
    size = e.tokenizer.vocabulary_size
    holds = one and same and len(digests) == 1 and size == e.shipped["rnn"].config.text.vocabulary
    return holds, f"{fa_int(len(fluent))} مدل، {fa_int(size)} نماد"


@check("documents-disjoint", "2.1", "sec-2-1-data", "سندهای آزمون در آموزش نیستند، بیشترین سهم پنج‌تایی آشنا")
def documents_disjoint(e: Evidence) -> Finding:
    """By the shipped counts of the training text: all 5-grams of a document that was in it would be known."""
    ids, offsets = e.documents
    longest = e.shipped["ngram"].model().matches(ids, offsets)  # (targets,): length of the longest known n-gram
    borders = np.concatenate([[0], np.cumsum(np.diff(offsets) - 1)])
    shares = []
    for begin, end in zip(borders[:-1], borders[1:]):
        whole = longest[begin + KNOWN_GRAM - 1 : end]  # targets that have four tokens before them
        shares.append(float((whole >= KNOWN_GRAM).mean()) if len(whole) else 0.0)
    return 0 < max(shares) < ALARM, fa_percent(max(shares))


@check("stop-words-gone", "2.1", "sec-2-1-stop-words", "ایست‌واژه‌های پربسامد در پیکرهٔ کلاسیک")
def stop_words_gone(e: Evidence) -> Finding:
    if raw_texts({name: e.shipped[name] for name in ("text", "rnn-classic", "rnn")}):
        return None, MIXED
    common = [word for word, _ in e.shipped["text"].metrics["classic"]["words"]["stop_words"]["most_common"]]
    classic = Counter(e.shipped["text"].tokenizer("classic").decode(e.shipped["rnn-classic"].slice["test_ids"]).split())
    fluent = Counter(e.tokenizer.decode(e.documents[0]).split())
    before, after = (sum(counts[word] for word in common) for counts in (fluent, classic))
    return after == 0 < before, f"{fa_int(after)} بار، در روان {fa_int(before)}"
