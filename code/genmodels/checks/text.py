"""Points 2.1 and 2.2, the text's side: cleaning, BPE, held-out documents, n-gram windows, counted n-grams."""

from __future__ import annotations

import re
from collections import Counter

import numpy as np

from genmodels.language.kneser_ney import KneserNey
from genmodels.report.persian import fa, fa_int, fa_percent
from genmodels.checks.check import Evidence, Finding, check, largest
from genmodels.stages.text import HELD_OUT_CHARACTERS, PASSAGE
from genmodels.text import bpe
from genmodels.text.cleaning import clean_paragraph
from genmodels.text.windows import IGNORED, PADDING, NgramDataset, loader
from genmodels.text.tokenizer import Tokenizer

AWKWARD = (
    "می‌نویسند می نویسند", "كتاب علي ۱۲۳ 123", "a\n\n b\t  ", "😀👩‍👩‍👧 é ﷼", "<bos> <eos>", "\u200c\u200f\ufeff", "",
)  # fmt: skip
# What no cleaned text may hold: Arabic letters, addresses, templates, footnote marks, Latin names in brackets.
REFUSE = re.compile(r"[كيى]|https?:|\{\{|\[[0-9۰-۹]{1,3}\]|(?<![A-Za-z0-9])\([A-Z]?[a-z]{2,}[A-Za-z .]*\)| {2}")
KNOWN_GRAM, ALARM = 5, 0.5  # a document that was trained on would have all its 5-grams known


@check("clean-twice", "2.1", "sec-2-1-cleaning", "پاک‌سازی دوباره بی‌اثر")
def clean_twice(e: Evidence) -> Finding:
    texts = [PASSAGE, *(line for text in e.shipped["text"].held_out for line in text.split("\n"))]
    once = [clean_paragraph(text) for text in texts]
    stable = all(clean_paragraph(text) == text for text in once)
    shorter = all(len(after) <= len(before) for before, after in zip(texts, once))
    return stable and shorter and once[0] != PASSAGE, f"{fa_int(len(texts))} بند"


@check("clean-corpus", "2.1", "sec-2-1-cleaning", "بازماندهٔ نشانه‌گذاری در متن آزمون")
def clean_corpus(e: Evidence) -> Finding:
    text = e.tokenizer.decode(e.documents[0])
    left = REFUSE.findall(text)
    return not left and bool(REFUSE.search(PASSAGE)), f"{fa_int(len(left))} در {fa_int(len(text))} نویسه"


@check("round-trip", "2.1", "sec-2-1-bpe-verdict", "رمزگشایی دقیق")
def round_trip(e: Evidence) -> Finding:
    texts = [*e.shipped["text"].held_out, *AWKWARD]
    exact = sum(e.tokenizer.decode(e.tokenizer.encode(text)) == text for text in texts)
    return exact == len(texts), f"{fa_int(exact)} متن از {fa_int(len(texts))}"


@check("bpe-encodes", "2.1", "sec-2-1-bpe", "رمزگذاری ما = `tokenizers`")
def bpe_encodes(e: Evidence) -> Finding:
    ours, texts = e.tokenizer.as_bpe(), [*e.shipped["text"].held_out, *AWKWARD]
    mine, theirs = ([coder.encode(text) for text in texts] for coder in (ours, e.tokenizer))
    return mine == theirs, f"{fa_int(sum(map(len, theirs)))} توکن"


@check("bpe-learns", "2.1", "sec-2-1-bpe", "ادغام‌های آموختهٔ ما = `tokenizers`")
def bpe_learns(e: Evidence) -> Finding:
    texts = e.shipped["text"].held_out
    theirs = Tokenizer.train(texts, 450).as_bpe().merges
    mine = bpe.train(texts, 450, first_id=2).merges
    return mine == theirs and len(mine) == 450 - 258, f"{fa_int(len(mine))} ادغام"


@check("tokens-are-text", "2.1", "sec-2-1-tokens", "توکن‌های آزمون = متن کنارگذاشته")
def tokens_are_text(e: Evidence) -> Finding:
    held = e.shipped["text"].held_out
    same = sum(e.tokenizer.decode(e.document(d))[:HELD_OUT_CHARACTERS] == text for d, text in enumerate(held))
    ends = all((e.document(d)[0], e.document(d)[-1]) == (e.tokenizer.bos, e.tokenizer.eos) for d in range(len(held)))
    return same == len(held) and ends, f"{fa_int(same)} سند"


@check("vocabulary", "2.1", "sec-2-1-tokens", "یک توکن‌ساز و یک پیکره برای همه")
def vocabulary(e: Evidence) -> Finding:
    payload = {name: result.manifest["payload"] for name, result in e.shipped.items()}
    used = [payload[name]["tokenizer.json"] for name in ("rnn", "transformer")]
    names = {payload["text"]["fluent-tokenizer.json"], *used}
    classic = payload["text"]["classic-tokenizer.json"] == payload["rnn-classic"]["tokenizer.json"]
    digests = {e.shipped[name].manifest["data"]["digest"] for name in ("rnn", "transformer", "ngram")}
    highest, size = int(e.documents[0].max()), e.tokenizer.vocabulary_size
    holds = len(names) == len(digests) == 1 and classic and highest < size == e.shipped["rnn"].config.text.vocabulary
    return holds, f"{fa_int(size)} نماد"


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
    common = [word for word, _ in e.shipped["text"].metrics["classic"]["words"]["stop_words"]["most_common"]]
    classic = Counter(e.shipped["text"].tokenizer("classic").decode(e.shipped["rnn-classic"].slice["test_ids"]).split())
    fluent = Counter(e.tokenizer.decode(e.documents[0]).split())
    before, after = (sum(counts[word] for word in common) for counts in (fluent, classic))
    return after == 0 < before, f"{fa_int(after)} بار، در روان {fa_int(before)}"


@check("windows", "2.2", "sec-2-2-dataset", "پنجره‌ها مرز سند را نمی‌شکنند")
def windows(e: Evidence) -> Finding:
    ids, offsets = e.documents
    size, offsets = 4, offsets[:4]
    wanted = []
    for begin, end in zip(offsets[:-1], offsets[1:]):
        for place in range(begin + 1, end):
            before = ids[max(begin, place - size) : place].tolist()
            wanted.append(([PADDING] * (size - len(before)) + before, int(ids[place])))
    dataset = NgramDataset(ids, offsets, window=size, targets="last")
    context, target = dataset.__getitems__(list(range(len(dataset))))
    return list(zip(context.tolist(), target.tolist())) == wanted, f"{fa_int(len(wanted))} نمونه"


@check("batches", "2.2", "sec-2-2-dataset", "هر هدف یک بار، دستهٔ آخر هم")
def batches(e: Evidence) -> Finding:
    ids, offsets = e.documents
    dataset = NgramDataset(ids, offsets, window=e.shipped["rnn"].config.window)
    sizes, counted = [], Counter()
    for _, target in loader(dataset, batch_size=32, seed=1):
        sizes.append(len(target))
        counted.update(target[target != IGNORED].tolist())
    wanted = Counter(int(i) for d in range(len(offsets) - 1) for i in ids[offsets[d] + 1 : offsets[d + 1]])
    last = len(dataset) % 32 or 32
    return counted == wanted and set(sizes[:-1]) <= {32} and sizes[-1] == last, f"{fa_int(counted.total())} هدف"


@check("kneser-ney-sums", "2.2", "sec-2-2-counts", "جمع احتمال‌های کنسر–نی یک")
def kneser_ney_sums(e: Evidence) -> Finding:
    """On a model counted here: the shipped one keeps only what scoring the test documents touches."""
    ids, offsets = e.documents
    model = KneserNey.fit(ids[: offsets[8]], offsets[:9], 3, e.tokenizer.vocabulary_size, bos=e.tokenizer.bos)
    document = e.document(9)
    rows = [model.distribution(document[:place]) for place in range(1, 40)]  # contexts partly unknown to it
    worst = largest(*(abs(row.sum() - 1) for row in rows))
    scored = model.log_probabilities(np.array(document[:40]), np.array([0, 40]))
    agree = np.allclose(np.exp(scored), [row[token] for row, token in zip(rows, document[1:40])], rtol=1e-9, atol=0)
    return worst < 1e-9 and agree and all(row[e.tokenizer.bos] == 0 for row in rows), f"{fa_int(len(rows))} بافت"


@check("kneser-ney-again", "2.2", "sec-2-2-counts", "سرگشتگی کنسر–نی از شمارها = ذخیره‌شده")
def kneser_ney_again(e: Evidence) -> Finding:
    result = e.shipped["ngram"]
    losses = -result.model().log_probabilities(result.slice["test_ids"], result.slice["test_offsets"])
    again, stored = float(np.exp(losses.mean())), result.metrics["test_perplexity"]
    return abs(again / stored - 1) < 1e-9, fa(again, 1)
