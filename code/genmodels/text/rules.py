"""Noise in Wikipedia text: the rules that remove it, one named transformation each, with its reason.

``RULES`` is applied in order to a paragraph (``cleaning.py``). A rule returns its argument where there is nothing to
do, takes time in proportion to the length of the text whatever stands in it, and never makes it longer (but for
``compatibility``: ﷲ is four letters). Markup is in ``markup.py``, single characters in ``characters.py``, other scripts in
``scripts.py``. Label and reason are Persian, for the report's table, which is generated from here.

How a pattern stays linear: it can begin only where a run begins (a look-behind), and what a run took it never gives back
(possessive quantifiers); nested brackets are counted on a stack.

Not here: spacing, lost half-spaces, joining «می»: that is ``normalization.py`` (hazm).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from genmodels.text import characters, markup, scripts
from genmodels.text.characters import ARABIC, DIGITS, LATIN, MARKS, ZWNJ, Transformation, substitution, then

MINIMUM_WORDS, HEADING_WORDS = 3, 6


@dataclass(frozen=True)
class Rule:
    """One transformation; ``label_fa`` and ``reason_fa`` are its row in the report."""

    name: str
    label_fa: str
    reason_fa: str
    apply: Transformation


# --- marks of citation ----------------------------------------------------------------------------------------------

_NOTE = r"یادداشت|پانویس|پانوشت|توضیح|برابرها?|منبع|ارجاع|persian-alpha|(?:lower|upper)-[a-z]+|latin|note|nb|ref|[A-Z]|[آ-ی]"
_DEMAND = (
    r"(?:نیازمند|نیاز به) [^\[\]]{1,30}|پیوند (?:مرده|شکسته)|یادکرد[^\[\]]{0,30}|منبع(?: (?:بهتر|معتبر|نامعتبر|دست اول))?"
    r"|کدام|چه کسی|چه زمانی|کجا|مشکوک|مبهم|citation needed|dead link"
)
_NUMBER = rf"[{DIGITS}]{{1,3}}"
_CITATION = substitution(
    rf"\[\s{{0,3}}(?:(?<!\W[A-Za-z]\[)(?:(?:(?:{_NOTE})\s)?{_NUMBER}(?:\s?[–-]\s?{_NUMBER})?|الف|[آبپتثجچحخدذ]"
    rf"|(?-i:[a-z]{{1,2}}))|(?:{_DEMAND})\s?[؟?]?)\s{{0,3}}\]"
    rf"|(?:(?<=[^\sA-Za-z0-9])|(?<=[.،؛:»)]\s))\[{_NUMBER}(?:\s?[,،]\s?{_NUMBER})+\]",  # an interval stands by itself
    "",
    "[",
    re.I,
)
_BRACKET = re.compile(r"[\[\]]|\w++")
_END = r"[^\[\]()،,]{1,20}"
_INTERVAL = re.compile(rf"\[{_END}[،,؛;]{_END}\)|\({_END}[،,؛;]{_END}\]")


def _brackets(text: str) -> str:
    """Brackets without a partner or without a word in them go; words in brackets are the author's and stay."""
    if "[" not in text and "]" not in text:
        return text
    lone: set[int] = set()
    opened: list[int] = []
    last_word = -1
    for match in _BRACKET.finditer(text):
        if match.group() == "[":
            opened.append(match.start())
        elif match.group() != "]":
            last_word = match.start()
        elif not opened:
            lone.add(match.start())
        elif (begin := opened.pop()) > last_word:
            lone |= {begin, match.start()}
    lone.update(opened)
    lone -= {place for match in _INTERVAL.finditer(text) for place in (match.start(), match.end() - 1)}  # [0, 1)
    return "".join(" " if place in lone else sign for place, sign in enumerate(text)) if lone else text


# --- what the other rules leave behind ------------------------------------------------------------------------------

_BULLETS = substitution(  # a minus before a number is no bullet, nor is the number of 3-methyl
    rf"^\s*+(?:[•·▪●○◦■□★☆►]++\s*+|[–—-]++(?:\s++|(?=[{ARABIC}«]))|[۰-۹]{{1,2}}\s?[.)–-]\s++(?=[^\s۰-۹]))++", ""
)
_MARK = re.compile(r"[()«»]|[^\s()«»،؛:.\-–—/\"]++")
_PARTNER = {")": "(", "»": "«"}


def _empty_pairs(text: str) -> str:
    """Parentheses and guillemets around nothing but spaces and marks, however deep."""
    spans: list[tuple[int, int]] = []
    stack: list[tuple[str, int, bool]] = []  # sign, place, whether anything before it counts for the one around it
    count = {"(": 0, "«": 0}
    filled = False  # since the innermost open sign
    for match in _MARK.finditer(text):
        sign, place = match.group(), match.start()
        if sign in count:
            stack.append((sign, place, filled))
            count[sign] += 1
            filled = False
        elif sign in _PARTNER and count[_PARTNER[sign]]:
            while True:
                opening, begin, before = stack.pop()
                count[opening] -= 1
                if opening == _PARTNER[sign]:
                    break
                filled = True
            inner = text[begin + 1 : begin + 3]
            single = place == begin + 2 and not inner[0].isspace()  # the comma (،), the minus (-)
            called = (
                place == begin + 1 and text[begin - 1 : begin].isascii() and text[begin - 1 : begin].isalpha()
            )  # main()
            if filled or single or called:
                filled = True
            else:
                spans.append((begin, place + 1))
                filled = before
        else:
            filled = True
    return _without(text, spans)


def _empty_quotes(text: str) -> str:
    """Quotation marks around nothing; they are paired from the left, so that the space between "a" "b" is none."""
    places = [place for place, sign in enumerate(text) if sign == '"']
    pairs = zip(places[::2], places[1::2])
    return _without(text, [(begin, end + 1) for begin, end in pairs if not text[begin + 1 : end].strip()])


def _without(text: str, spans: list[tuple[int, int]]) -> str:
    parts, position = [], 0
    for begin, end in sorted(spans):
        if begin >= position:
            parts.append(text[position:begin])
            position = end
    return "".join([*parts, text[position:]]) if spans else text


_REPEATED = then(
    substitution(r"\.{2,}|…[.…]+", "…", ".. …"),
    substitution(r"([!؟،؛:])(?:\s*+\1)++|([٪—–])\2++", r"\1\2"),
    substitution(r"(?<![A-Za-z<-])--++(?![A-Za-z>])", "-", "--"),
    substitution(r"(?<!«)«{2,}+([^«»]*)»{2,}", r"«\1»", "««"),
    substitution(r'(?<=[^\s"])"{2,}|(?<!")"{2,}+(?=\S)', '"', '""'),
    lambda text: _empty_pairs(text) if "(" in text or "«" in text else text,
    lambda text: _empty_quotes(text) if '"' in text else text,
    substitution(" {2,}", " ", "  "),
    substitution(r" (?=[،؛!؟)»]|[:.](?![A-Za-z0-9۰-۹]))", ""),
    substitution(r"([(«])(?: |[،؛]++(?![)»])|[:.]++(?=\s))", r"\1", "( «"),
    substitution(r"،++(?=[.؛:؟!)])(?<![(«]،)", "", "،"),
)
_HALF_SPACES = then(
    substitution(rf"{ZWNJ}{{2,}}", ZWNJ, ZWNJ * 2),
    substitution(rf"{ZWNJ}(?:(?<![{ARABIC}{MARKS}].)|(?![{ARABIC}{LATIN}]))", "", ZWNJ),
)
_ENDLESS = substitution(r"(?<!\S)\S{200,}+", "")
_SPACE_RUN = re.compile(r" {2,}")
_APPARATUS = re.compile(
    r"(?:منابع(?: و مآخذ)?|پانویس(?:‌ها)?|پی‌نوشت(?:‌ها)?|جستارهای وابسته|پیوند به بیرون|همچنین ببینید|نگارخانه) ?[.:…]?"
)


def _drop_headings(text: str) -> str:
    words = text.count(" ") + 1
    heading = words <= HEADING_WORDS and text[-1:] not in ".!؟:؛…»"
    return "" if words < MINIMUM_WORDS or heading or _APPARATUS.fullmatch(text) else text


def _rules(rows: Iterable[tuple[str, str, str, Transformation]]) -> tuple[Rule, ...]:
    return tuple(Rule(*row) for row in rows)


RULES = _rules(
    [
        ("entities", "موجودیت‌های HTML", "بازماندهٔ صفحهٔ وب است؛ نویسهٔ اصلی جای آن می‌نشیند.", markup.entities),
        (
            "compatibility",
            "صورت‌های نمایشی",
            "«ﷲ» و «ﮐ» شکل حرف‌اند؛ خود حرف‌ها جایشان می‌نشیند.",
            characters.compatibility,
        ),
        ("tags", "برچسب‌های HTML", "دستور نمایش است، نه زبان.", markup.tags),
        ("links", "نشانی وب و رایانامه", "رشته‌ای از نویسه‌هاست که در زبان معنایی ندارد.", markup.addresses),
        (
            "markup",
            "نشانه‌گذاری ویکی و فرمول",
            "الگو، پیوند، جدول و فرمول بازمانده از ویکی‌متن، جمله را می‌شکند.",
            markup.markup,
        ),
        (
            "citations",
            "نشان ارجاع",
            "به پانویسی بیرون از جمله اشاره می‌کند که در داده نیست.",
            then(_CITATION, _brackets),
        ),
        ("invisible", "نویسه‌های نادیدنی", "دو واژهٔ یکسان را برای رایانه دو رشتهٔ متفاوت می‌کند.", characters.INVISIBLE),
        ("spaces", "فاصله‌های نامعمول", "همهٔ گونه‌های فاصله یک فاصلهٔ ساده می‌شود.", characters.SPACES),
        (
            "composition",
            "حرف‌های دوتکه",
            "«آ» گاه دو نویسه است؛ hazm دومی را می‌اندازد و «آن» «ان» می‌شود.",
            characters.COMPOSITION,
        ),
        ("arabic_letters", "حرف‌های عربی", "«ي» و «ك» و «ة» یک واژه را دوگونه می‌نویسد.", characters.ARABIC_LETTERS),
        ("tatweel", "کشیده", "تنها آرایش خط است.", characters.tatweel),
        ("diacritics", "اعراب", "کم و نامنظم نوشته می‌شود و واژه را چندگونه می‌کند.", characters.DIACRITICS),
        ("digits", "رقم‌های لاتین و عربی", "سه خط برای یک رقم، شمار نمادها را سه برابر می‌کند.", characters.digits),
        ("punctuation", "نقطه‌گذاری لاتین", "ویرگول و پرسش‌نشان لاتین همتای فارسی دارد.", characters.PUNCTUATION),
        ("originals", "نام‌های بیگانه در پرانتز", "صورت نام به خط دیگر است؛ جمله بی آن هم کامل است.", scripts.originals),
        (
            "foreign",
            "رشته‌های بیگانه",
            "خط دیگر و عبارت بلند لاتین فارسی نیست؛ واژهٔ لاتین تنها می‌ماند.",
            scripts.foreign,
        ),
        ("bullets", "نشان فهرست", "شماره و گلولهٔ آغاز بند، بخشی از جمله نیست.", _BULLETS),
        ("repeated", "نقطه‌گذاری تکراری", "نشانهٔ تکراری و پرانتز خالی، پس‌ماند حذف‌های پیشین است.", _REPEATED),
        ("half_spaces", "نیم‌فاصلهٔ نابجا", "دیده نمی‌شود، ولی واژه را عوض می‌کند.", _HALF_SPACES),
        ("endless", "رشتهٔ بی‌فاصله", "هیچ واژه‌ای به درازی ۲۰۰ نویسه نیست؛ پرونده آنجا خراب است.", _ENDLESS),
        (
            "space_runs",
            "فاصلهٔ تکراری",
            "پس از حذف‌ها یک فاصله بس است.",
            lambda text: _SPACE_RUN.sub(" ", text).strip(" "),
        ),
        ("headings", "عنوان و سطر کوتاه", "عنوان بخش و پارهٔ کمتر از سه واژه جمله نیست.", _drop_headings),
        ("not_persian", "بند نافارسی", "بندی است که دو سوم حرف‌هایش فارسی نیست.", scripts.not_persian),
    ]
)
