"""Cleaning rules: each one by example; idempotent, never longer, linear, no exception on any text.

What public bug reports found, and neighbours of it, is in ``test_cleaning_keeps.py``.
"""

import os
import re
import time

import pytest
from hypothesis import HealthCheck, assume, example, given, settings
from hypothesis import strategies as st

from genmodels.data.wikipedia import Document
from genmodels.system import processes
from genmodels.text import streaming
from genmodels.text.cleaning import Cleaning, clean_documents, clean_paragraph, excerpt
from genmodels.text.rules import RULES

RULE = {rule.name: rule.apply for rule in RULES}
CLEAN = "کتاب‌های «تاریخ ایران» در سال ۱۳۵۷ (پس از انقلاب) نوشته شد؛ آیا تأثیر آن‌ها ۲٫۵٪ بود؟"


@pytest.mark.parametrize(
    "rule, before, after",
    [
        ("entities", "آب &amp;amp; نان &lt;", "آب & نان <"),
        ("tags", "متن<ref name=a>منبع</ref> و <b>پررنگ</b>", "متن  و پررنگ"),
        ("links", "در https://fa.wikipedia.org/wiki/x و a.b@c.ir و www.x.com است", "در   و   و   است"),
        ("markup", "[[تهران|شهر تهران]] {{سخ}} == عنوان ==", "شهر تهران     عنوان  "),
        ("markup", "عدد {\\displaystyle (\\pi )} است", "عدد   است"),
        ("markup", "چپ|۳۰۰px|thumb| تانک", "    تانک"),
        ("citations", "است. [۳][۱۲] او [نیازمند منبع] گفت [این] را[persian-alpha 2]", "است.  او  گفت [این] را"),
        ("invisible", "ه\u200d.ق \u200eمتن\ufeff", "ه.ق متن"),
        ("spaces", "یک\xa0دو\tسه\u2009چهار", "یک دو سه چهار"),
        ("endless", f"یک {'ه' * 200} دو {'و' * 199}", f"یک  دو {'و' * 199}"),
        ("composition", "ا\u0653ن مسي\u0654له رو\u0654یا", "آن مسئله رؤیا"),
        ("arabic_letters", "كتابي برای أحمد و تأثیر رحمة", "کتابی برای احمد و تأثیر رحمه"),
        ("compatibility", "ﻪ ﺍﻟﺴﻼﻡ", "ه السلام"),
        ("tatweel", "ســـلام", "سلام"),
        ("diacritics", "مُعَلِّم دههٔ قرآن", "معلم دههٔ قرآن"),
        ("digits", "123 ٤٥ ۶", "۱۲۳ ۴۵ ۶"),
        ("punctuation", "یک, دو; سه? ۵۵,۰۰۰", "یک، دو؛ سه؟ ۵۵٬۰۰۰"),
        ("originals", "استکهلم (به سوئدی: Stockholm) پایتخت", "استکهلم پایتخت"),
        ("originals", "لویی (Louis؛ زادهٔ ۱۶۳۸) و (به ) و (پس از او)", "لویی (زادهٔ ۱۶۳۸) و و (پس از او)"),
        ("foreign", "روسیه Россия و DNA و Live In The UK", "روسیه   و DNA و  "),
        ("bullets", "• یک", "یک"),
        ("bullets", "۱۲- یک", "یک"),
        ("bullets", "۱۲-۱۴ نفر", "۱۲-۱۴ نفر"),
        ("repeated", "چه!!! خب.... () «» یک ، دو", "چه! خب… یک، دو"),
        ("half_spaces", "می‌‌رود ‌کتاب‌ ‌", "می‌رود کتاب "),
        ("space_runs", "  یک   دو ", "یک دو"),
        ("headings", "زندگی شخصی", ""),
        ("headings", "آثار او در موزه", ""),
        ("headings", "او به موزه رفت.", "او به موزه رفت."),
        ("not_persian", "Some English words و یک", ""),
    ],
)
def test_rule(rule, before, after):
    assert RULE[rule](before) == after


def test_clean_persian_is_left_alone():
    assert clean_paragraph(CLEAN) == CLEAN
    for rule in RULES:
        assert rule.apply(CLEAN) == CLEAN, rule.name


def test_rules_are_documented():
    assert len({rule.name for rule in RULES}) == len(RULES)
    assert all(rule.label_fa and rule.reason_fa.endswith((".", "؟")) for rule in RULES)


FRAGMENTS = [
    "[[",
    "]]",
    "{{",
    "}}",
    "|",
    "(به انگلیسی: ",
    ")",
    "(",
    "[۱]",
    "www.a.com",
    "https://x.y/z",
    "سلام",
    "کتاب‌ها",
    "رفت",
    "است.",
    "Hello World Foo Bar",
    " ",
    "..",
    ".",
    "،",
    "&amp;",
    "&lt;",
    "<ref>",
    "</ref>",
    "۱-",
    "• ",
    "«",
    "»",
    '"',
    "== ",
    "عربی:",
    "д",
    "α",
    "αβ",
    "\u200c",
    "!",
    "\u0653",
    "\u0654",
    "ي",
    "12,000",
    "\u200d",
    "\xa0",
]
NASTY = "ابی کيك \u200c\u200d\u200eـًٔٓأ(()[]{}|<>=&;:.،؛,!؟\"«»-–—*#1٢۳abZé дα'/@…\n\t\xa0"
TEXTS = st.one_of(
    st.text(max_size=60),
    st.text(st.sampled_from(NASTY), max_size=60),
    st.lists(st.sampled_from(FRAGMENTS), max_size=25).map("".join),
)


@settings(max_examples=500, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(TEXTS, st.booleans())
@example("\ud800سلام این یک متن است.", False)
def test_idempotent_and_never_longer(text, inside):
    text = f"این یک متن سادهٔ فارسی است که می‌ماند و {text} پایان یافت این متن." if inside else text
    for rule in RULES:
        assert len(rule.apply(text)) <= len(text) or rule.name == "compatibility", rule.name
    cleaned = clean_paragraph(text)
    assert len(cleaned) <= len(RULE["compatibility"](text))
    assert clean_paragraph(cleaned) == cleaned


LETTER_RUNS = (
    "a",
    "ه",
    "é",
    "д",
    "α",
    "ﷲ",
    "²",
    "ـ",
    "e\u0301",
    "ه\u200c",
    "أ",
    "A1",
    "ab cd ",
    "a، ",
    "1,",
    "۱- ",
    "x^",
    "a-",
    "a.",
)
SIGN_RUNS = (
    " ",
    "\u200c",
    "(",
    ")",
    "[",
    "]",
    "{",
    "}",
    "<",
    ">",
    "|",
    "@",
    "«",
    "»",
    '"',
    "'",
    "-",
    "=",
    "!",
    "&",
    "*",
    "#",
    "\\",
    "_",
    "^",
    "/",
    "،",
    ":",
    "…",
    "•",
    "\u0301",
    "( ",
    "! ",
    ". ",
    "• ",
    " -",
    '" ',
    "«(",
    "([",
)
MARKUP_RUNS = (
    "<!--", "{{", "}}", "[[", "]]", "{|", "|}", "[[a|", "{{a|", "\\frac{", "_{", "^{a}", "<b>", "<ref>", "<ref", "<a b=", "<sup>2", "</ref>", "a@",
    "www.", "http://", ".com", "px|", "left |", "(a", "(a (", "(ه oh", "[۱", "&amp;", "amp;", "&#", "a<", "a <", "<<", "''", "|a|", "={", "=\"",
    "«" * 2, '"' * 2,
)  # fmt: skip
LENGTH, SLOW, TOO_STEEP = (
    1 << 14,
    0.3,
    24,
)  # eight times the text: 8 times the steps of a linear rule, 64 of a quadratic one


def seconds(function, text: str) -> float:
    started = time.process_time()
    function(text)
    return time.process_time() - started


def is_linear(function, run: str, before: str, after: str) -> bool:
    """A quadratic rule takes seconds for ``LENGTH``; one that is merely slow there must not grow like one, in any of three tries."""
    long, short = (before + run * (length // len(run)) + after for length in (LENGTH, LENGTH // 8))
    return seconds(function, long) < SLOW or any(
        seconds(function, long) < TOO_STEEP * seconds(function, short) for _ in range(3)
    )


@pytest.mark.parametrize("rule", [*RULE, "all"])
def test_the_time_a_rule_takes_grows_with_the_text_alone(rule):
    function = RULE.get(rule, clean_paragraph)
    frames = [("او بسیار خندید (", " oh) و همه رفتند."), ("", "")]
    for run in (*LETTER_RUNS, *SIGN_RUNS, *MARKUP_RUNS):
        for before, after in frames[: 1 + (rule != "all")]:
            assert is_linear(function, run, before, after), (rule, run, before)


def test_the_measure_of_linear_rules_finds_a_quadratic_one():
    pattern = re.compile(r"(?:\s+)x")
    assert not is_linear(lambda text: [pattern.search(text) for _ in range(3)], " ", "", "")


WORDS = st.sampled_from(
    "کتاب‌ها شهر می‌رود بزرگ‌ترین تأثیر مسئله دههٔ ۱۳۵۷ ۲٫۵٪ ۵۵٬۰۰۰ DNA «ایران» (تهران) نو، است؛ آن: -۵ ۳/۴ ۱۲:۳۰".split()
)


@settings(max_examples=200, deadline=None)
@given(st.lists(WORDS, min_size=7, max_size=40))
def test_clean_prose_is_left_alone(words):
    text = f"این {' '.join(words)} پایان یافت."
    assume("DNA DNA DNA DNA" not in text)  # four Latin words in a row are a foreign phrase, and go by rule
    assert clean_paragraph(text) == text


def test_words_that_vanish_are_counted_and_listed():
    documents = [Document("train", None, (f"{sentence(0)} متن (Some Book) دیگر <ref>منبع یک</ref> كتاب.", "مرگ"))]
    rows = {row["name"]: row for row in clean_documents(documents)[1]["rules"]}
    assert rows["tags"]["words"] == 4 and set(rows["tags"]["vanished"]) == {"ref", "منبع", "یک"}
    assert (rows["originals"]["words"], sorted(rows["originals"]["vanished"])) == (2, ["Book", "Some"])
    assert (rows["headings"]["words"], rows["headings"]["vanished"]) == (1, ["مرگ"])
    assert rows["arabic_letters"]["words"] == 0


def sentence(start: int, count: int = 40) -> str:
    return " ".join(f"واژهٔ{chr(0x0628 + i % 7)}{'ا' * (i // 7)}" for i in range(start, start + count)) + "."


def test_chunks_and_workers_do_not_change_what_is_measured(monkeypatch):
    texts = [f"{sentence(40 * i)} [۱] متن كتاب  دیگر (Book {'x' * (30 - i)})." for i in range(30)] + [sentence(40)] * 3
    documents = [Document("train", None, (text, "عنوان")) for text in texts]
    results = []
    for size, number in ((10**9, 1), (100, 1), (300, 2)):
        monkeypatch.setattr(streaming, "CHUNK_CHARACTERS", size)
        monkeypatch.setattr(processes, "START_METHOD", "fork")
        cleaning = Cleaning()
        with processes.Workers(number) as pool:
            results.append((list(cleaning.stream(documents, False, pool)), cleaning.statistics()))
    assert results[0] == results[1] == results[2]
    assert sum(not kept for kept in results[0][0]) == 3


def test_a_repeated_paragraph_stays_in_the_held_out_split():
    a, b = sentence(0), sentence(100)
    documents = [Document("train", None, (a, b)), Document("train", "empty", ("عنوان",)), Document("test", None, (a,))]
    cleaned, statistics = clean_documents(documents)
    assert [(d.split, d.title, len(d.paragraphs)) for d in cleaned] == [("train", None, 1), ("test", None, 1)]
    rows = {row["name"]: row for row in statistics["rules"]}
    assert rows["duplicates"]["paragraphs"] == 1
    heading = rows["headings"]
    assert (heading["paragraphs"], heading["removed"], heading["changed"]) == (1, 5, 0)
    assert heading["example"] == ["عنوان", ""]
    assert statistics["before"]["paragraphs"] == 4 and statistics["after"]["paragraphs"] == 2
    assert statistics["after"]["characters"] == sum(len(p) for d in cleaned for p in d.paragraphs)


def test_no_training_document_has_the_title_of_a_held_out_one():
    texts = [sentence(number) for number in (0, 100, 200, 300, 400)]
    splits = [("train", "چای"), ("train", None), ("train", "قهوه"), ("test", "چای"), ("validation", None)]
    cleaned, statistics = clean_documents([Document(*name, (text,)) for name, text in zip(splits, texts)])
    assert [(d.split, d.title) for d in cleaned] == splits[1:]
    assert statistics["before"]["documents"] == 5 and statistics["after"]["documents"] == 4
    assert {row["name"]: row["paragraphs"] for row in statistics["rules"]}["duplicates"] == 1


def test_statistics_add_up():
    documents = [Document("train", None, (f"{sentence(0)} [۱] متن كتاب  دیگر (Book).", "مرگ"))]
    cleaned, statistics = clean_documents(documents)
    removed = sum(row["removed"] for row in statistics["rules"])
    assert statistics["before"]["characters"] - statistics["after"]["characters"] == removed


def test_excerpt_shows_the_difference():
    before = "یک جملهٔ بلند که در میان آن (Book) واژه‌ای هست و سپس ادامه می‌یابد"
    shown = excerpt(before, before.replace(" (Book)", ""))
    assert "(Book)" in shown[0] and "Book" not in shown[1] and len(shown[0]) < len(before)
    assert shown[0] in before


def test_real_text_keeps_most_of_itself():
    folder = os.environ.get("GENMODELS_DATA") or pytest.skip("GENMODELS_DATA is not set (the real corpus)")
    from genmodels.data.wikipedia import load

    _, statistics = clean_documents([d for d in load(folder).documents if d.split == "test"][:100])
    assert statistics["after"]["characters"] > 0.9 * statistics["before"]["characters"]
