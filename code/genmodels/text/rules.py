"""Noise in Wikipedia text: the rules that remove it, one named transformation each, with its reason.

``RULES`` is applied in order to a paragraph (``cleaning.py``). A rule returns its argument where there is nothing to
do, and never a longer text. Label and reason are Persian, for the report's table, which is generated from here.

Not here: spacing, lost half-spaces, joining «می»: that is ``normalization.py`` (hazm).
"""

from __future__ import annotations

import html
import re
import unicodedata
from collections.abc import Callable, Iterable
from dataclasses import dataclass

ZWNJ = "\u200c"
LETTERS = "ءآأؤئابپتثجچحخدذرزژسشصضطظعغفقکگلمنوهی"  # Persian, with the hamza carriers of Persian spelling
MARKS = "\u0653-\u0655"  # madda, hamza above and below (هٔ)
LATIN, GREEK = "A-Za-zÀ-ÖØ-öø-ɏḀ-ỿ", "Ͱ-Ͽἀ-῿"
MINIMUM_WORDS, HEADING_WORDS = 3, 6

Transformation = Callable[[str], str]


@dataclass(frozen=True)
class Rule:
    """One transformation; ``label_fa`` and ``reason_fa`` are its row in the report."""

    name: str
    label_fa: str
    reason_fa: str
    apply: Transformation


# --- building blocks ------------------------------------------------------------------------------------------------


def _substitution(
    pattern: str, replacement: str | Callable[[re.Match[str]], str], only_with: str = "", flags: int = 0
) -> Transformation:
    """``re.sub``, tried only on texts that hold one of the strings in ``only_with`` (a far cheaper search)."""
    compiled, hints = re.compile(pattern, flags), only_with.split()
    if not hints:
        return lambda text: compiled.sub(replacement, text)
    return lambda text: compiled.sub(replacement, text) if any(map(text.__contains__, hints)) else text


def _mapping(table: dict[str, str]) -> Transformation:
    """Replace single characters: one search for any of them (``str.translate`` looks up every character)."""
    compiled = re.compile(f"[{re.escape(''.join(table))}]")
    return lambda text: compiled.sub(lambda match: table[match.group()], text)


def _each(groups: dict[str, str]) -> dict[str, str]:
    return {character: new for group, new in groups.items() for character in group}


def _span(*ranges: tuple[int, int]) -> str:
    return "".join(chr(code) for first, last in ranges for code in range(first, last + 1))


def _then(*steps: Transformation) -> Transformation:
    def apply(text: str) -> str:
        for step in steps:
            text = step(text)
        return text

    return apply


# --- residue of the web page and of wikitext ------------------------------------------------------------------------


def _entities(text: str) -> str:
    while "&" in text and len(plain := html.unescape(text)) < len(text):
        text = plain
    return text


_TAGS = _substitution(r"<!--.*?-->|<(ref|math|style|script)\b[^<>]*>.*?</\1>|</?[a-zA-Z][^<>]{0,200}>", " ", "<", re.S)
_LINKS = _substitution(
    r"(?:https?|ftp)://[^\s«»()\[\]|]+|\bwww\.[^\s«»()\[\]|]+|[\w.+-]+@[\w-]+\.[\w.-]+"
    r"|\b[a-zA-Z0-9-]+\.(?:com|org|net|edu|gov|info|ir)\b(?:/[^\s«»()\[\]|]*)?",
    " ", "://  www. @ .com .org .net .edu .gov .info .ir",
)
_TEMPLATE = re.compile(r"\{\{[^{}]*\}\}|\{\\[^{}]*(?:\{[^{}]*\}[^{}]*)*\}")  # {{…}} and {\displaystyle …}
_WIKI_FILE = re.compile(r"\[\[(?:پرونده|تصویر|رده|File|Image|Category|[a-z]{2,3}):[^\[\]]*\]\]", re.I)
_WIKI_LINK = re.compile(r"\[\[(?:[^\[\]|]*\|)?([^\[\]|]*)\]\]")
_PICTURE = re.compile(
    r"(?:[\w.-]+\.(?:jpg|png|svg|gif)|[\d۰-۹]+px|thumb|frame|farme|left|right|بندانگشتی|چپ|راست|وسط)\s*\|", re.I
)
_RESIDUE = re.compile(r"'{2,}|={2,}|[{}|^_~\\#*<>`]+")


def _markup(text: str) -> str:
    if "{" in text:
        text = _TEMPLATE.sub(" ", text)
    if "[[" in text:
        text = _WIKI_LINK.sub(r"\1", _WIKI_FILE.sub(" ", text))
    if "|" in text:
        text = _PICTURE.sub(" ", text)
    return _RESIDUE.sub(" ", text)


_CITATION = _substitution(
    r"\[(?=[^\[\]]{0,24}\])(?:[^\[\]]*[\d۰-۹٠-٩][^\[\]]*|\s*(?:الف|[آبپتثجچحخ]|[a-z]{1,2})\s*"
    r"|[^\[\]]*(?:منبع|یادکرد|پیوند مرده|کدام|چه کسی|نیازمند|یادداشت|پانویس)[^\[\]]*)\]", "", "[",
)
_BRACKETS = _mapping({"[": " ", "]": " "})

# --- characters -----------------------------------------------------------------------------------------------------

_INVISIBLE = _mapping(_each({
    _span((0x00, 0x08), (0x0E, 0x1F), (0x7F, 0x84), (0x86, 0x9F), (0xAD, 0xAD), (0x200D, 0x200F), (0x202A, 0x202E),
          (0x2060, 0x206F), (0xFE00, 0xFE0F), (0xFEFF, 0xFEFF), (0xFFF9, 0xFFFD), (0xE000, 0xF8FF), (0x061C, 0x061C),
          (0xD800, 0xDFFF)): "",
    "\u200b¬": ZWNJ,  # two stand-ins for the half-space in pasted text
}))
_SPACES = _mapping(_each({"\t\n\v\f\r\x85\xa0\u1680\u2028\u2029\u202f\u205f\u3000" + _span((0x2000, 0x200A)): " "}))

# «آ» written as ا + madda: hazm removes the mark, and «آن» becomes «ان». The same for ئ, ؤ, أ.
_PAIRS = {"ا\u0653": "آ", "ا\u0654": "أ", "و\u0654": "ؤ", "ی\u0654": "ئ", "ي\u0654": "ئ", "ى\u0654": "ئ"}
_COMPOSITION = _substitution("|".join(_PAIRS), lambda match: _PAIRS[match.group()], "\u0653 \u0654")


def _glyphs() -> dict[str, str]:
    """Arabic presentation forms (ﺎ ﻪ …), where such a glyph stands for one letter."""
    codes = [*range(0xFB50, 0xFE00), *range(0xFE70, 0xFEFD)]
    forms = {chr(code): unicodedata.normalize("NFKC", chr(code)) for code in codes}
    return {glyph: letter for glyph, letter in forms.items() if len(letter) == 1 and letter != glyph}


_ARABIC = _each({"يىېۍے": "ی", "كڪګ": "ک", "ةەۀہھۂۃ": "ه", "إٱٲٳ": "ا", "ۆۇۈ": "و"})
_ARABIC |= {glyph: _ARABIC.get(letter, letter) for glyph, letter in _glyphs().items()}
_INITIAL_HAMZA = _substitution(rf"(?<![{LETTERS}{ZWNJ}])أ", "ا", "أ")  # أحمد → احمد, while تأثیر keeps its letter
_ARABIC_LETTERS = _then(_mapping(_ARABIC), _INITIAL_HAMZA)
_VOWEL_MARKS = _span((0x064B, 0x0652), (0x0656, 0x065F), (0x0610, 0x061A), (0x06D6, 0x06ED), (0x0670, 0x0670))
_DIACRITICS = _mapping(dict.fromkeys(_VOWEL_MARKS, ""))
_DIGITS = _mapping({old: new for digits in ("0123456789", "٠١٢٣٤٥٦٧٨٩") for old, new in zip(digits, "۰۱۲۳۴۵۶۷۸۹")})
_PUNCTUATION = _then(
    _substitution(r"(?<=[۰-۹])[,،](?=[۰-۹]{3}(?![۰-۹]))", "٬", ", ،"),  # 55,000 → ۵۵٬۰۰۰
    _mapping(_each({",": "،", ";": "؛", "?": "؟", "“”„‟": '"', "‐‑‒−": "-", "―": "—"})),
)

# --- other scripts --------------------------------------------------------------------------------------------------

_FOREIGN_LETTER = rf"[^\W\d_{LETTERS}]"
_HAS_FOREIGN, _HAS_PERSIAN, _HAS_WORD = re.compile(_FOREIGN_LETTER), re.compile(f"[{LETTERS}]"), re.compile(r"\w")
_ORDINARY = rf" {ZWNJ}.،؛:؟!()«»\"'/…–—=+%٪٫٬۰-۹{LETTERS}{MARKS}-"
_UNUSUAL = re.compile(f"[^{_ORDINARY}]")  # cheap: a text without any of these has no foreign letter
_LABEL = re.compile(rf"^\s*(?:[{LETTERS}{MARKS}{ZWNJ}]+[ {ZWNJ}-]?){{1,5}}[:：]")
_EMPTY_LABEL = re.compile(rf"^\s*(?:به(?: [{LETTERS}{ZWNJ}]+:?)?|[{LETTERS}{ZWNJ}]+:)\s*$")  # (به ) (به انگلیسی: )


def _without_originals(match: re.Match[str]) -> str:
    """(به انگلیسی: Name؛ زادهٔ ۱۹۷۱) → (زادهٔ ۱۹۷۱); a parenthesis with nothing Persian in it goes."""
    content = match.group(1)
    if not _HAS_WORD.search(content) or _EMPTY_LABEL.match(content):
        return ""
    if not _HAS_FOREIGN.search(content):
        return match.group()
    kept = [part for part in re.split("[؛;،,/]", content) if not _is_original(part)]
    return f"{match.group()[: match.group().index('(')]}({'،'.join(kept).strip()})" if kept else ""


def _is_original(part: str) -> bool:
    rest = _LABEL.sub("", part)
    return not _HAS_WORD.search(rest) or (bool(_HAS_FOREIGN.search(rest)) and not _HAS_PERSIAN.search(rest))


_ORIGINALS = _substitution(r" ?\(([^()]*)\)", _without_originals, "(")
_OTHER = rf"(?:(?![{LATIN}{GREEK}]){_FOREIGN_LETTER}|[\u0300-\u036f\u0900-\u0dff])"
_RUN = re.compile(  # letters of other scripts, Greek words, four Latin words in a row
    rf"{_OTHER}+|[{GREEK}]{{2,}}"
    rf"|[{LATIN}][{LATIN}'’.\d۰-۹-]*(?:[ ،:؛&/+-]+[{LATIN}][{LATIN}'’.\d۰-۹-]*){{3,}}"
)


def _foreign(text: str) -> str:
    return _RUN.sub(" ", text) if _UNUSUAL.search(text) else text


def _drop_foreign(text: str) -> str:
    foreign = len(_HAS_FOREIGN.findall(text)) if _UNUSUAL.search(text) else 0
    if not foreign:
        return text if _HAS_PERSIAN.search(text) else ""
    return text if len(_HAS_PERSIAN.findall(text)) > foreign else ""


# --- what the other rules leave behind ------------------------------------------------------------------------------

_BULLET = _substitution(r"^\s*(?:[•·▪●○◦■□★☆►–—\-]+\s*|[۰-۹]{1,2}\s?[.)\-–](?=\s*[^\s۰-۹]))", "")
_REPEATED = _then(
    _substitution(r"\.{2,}|…[.…]+", "…", ".. …"),
    _substitution(r"([!؟،؛:٪\"«»+=—–-])(?:\s*\1)+", r"\1"),
    _substitution(r"\([\s،؛:.\-–—/\"]*\)|«[\s،؛:.\-]*»|\"\s*\"", "", "( « \""),
    _substitution(r"\s+([،؛:.!؟)»])|([(«])\s+|،+(?=[.؛:؟!)])|(?<=[(«])[،؛:.]+", r"\1\2"),
)
_HALF_SPACES = _then(
    _substitution(rf"{ZWNJ}{{2,}}", ZWNJ, ZWNJ * 2),
    _substitution(rf"(?<![{LETTERS}{MARKS}]){ZWNJ}+|{ZWNJ}+(?![{LETTERS}{LATIN}])", "", ZWNJ),
)
_SPACE_RUN = re.compile(r" {2,}")
_APPARATUS = re.compile(
    r"(?:منابع|پانویس|پی‌نوشت‌ها|جستارهای وابسته|پیوند به بیرون|همچنین ببینید|نگارخانه|تغییرمسیر)\b[^.]{0,40}\.?$"
)


def _drop_headings(text: str) -> str:
    words = text.count(" ") + 1
    heading = words <= HEADING_WORDS and text[-1:] not in ".!؟:؛…»"
    return "" if words < MINIMUM_WORDS or heading or _APPARATUS.match(text) else text


def _rules(rows: Iterable[tuple[str, str, str, Transformation]]) -> tuple[Rule, ...]:
    return tuple(Rule(*row) for row in rows)


RULES = _rules([
    ("entities", "موجودیت‌های HTML", "بازماندهٔ صفحهٔ وب است؛ نویسهٔ اصلی جای آن می‌نشیند.", _entities),
    ("tags", "برچسب‌های HTML", "دستور نمایش است، نه زبان.", _TAGS),
    ("links", "نشانی وب و رایانامه", "رشته‌ای از نویسه‌هاست که در زبان معنایی ندارد.", _LINKS),
    ("markup", "نشانه‌گذاری ویکی و فرمول", "الگو، پیوند، جدول و فرمول بازمانده از ویکی‌متن، جمله را می‌شکند.", _markup),
    ("citations", "نشان ارجاع", "به پانویسی بیرون از جمله اشاره می‌کند که در داده نیست.", _then(_CITATION, _BRACKETS)),
    ("invisible", "نویسه‌های نادیدنی", "دو واژهٔ یکسان را برای رایانه دو رشتهٔ متفاوت می‌کند.", _INVISIBLE),
    ("spaces", "فاصله‌های نامعمول", "همهٔ گونه‌های فاصله یک فاصلهٔ ساده می‌شود.", _SPACES),
    ("composition", "حرف‌های دوتکه", "«آ» گاه دو نویسه است؛ hazm دومی را می‌اندازد و «آن» «ان» می‌شود.", _COMPOSITION),
    ("arabic_letters", "حرف‌های عربی", "«ي» و «ك» و «ة» یک واژه را دوگونه می‌نویسد.", _ARABIC_LETTERS),
    ("tatweel", "کشیده", "تنها آرایش خط است.", lambda text: text.replace("ـ", "")),
    ("diacritics", "اعراب", "کم و نامنظم نوشته می‌شود و واژه را چندگونه می‌کند.", _DIACRITICS),
    ("digits", "رقم‌های لاتین و عربی", "سه خط برای یک رقم، شمار نمادها را سه برابر می‌کند.", _DIGITS),
    ("punctuation", "نقطه‌گذاری لاتین", "ویرگول و پرسش‌نشان لاتین همتای فارسی دارد.", _PUNCTUATION),
    ("originals", "نام‌های بیگانه در پرانتز", "صورت نام به خط دیگر است؛ جمله بی آن هم کامل است.", _ORIGINALS),
    ("foreign", "رشته‌های بیگانه", "خط دیگر و عبارت بلند لاتین فارسی نیست؛ واژهٔ لاتین تنها می‌ماند.", _foreign),
    ("bullets", "نشان فهرست", "شماره و گلولهٔ آغاز بند، بخشی از جمله نیست.", _BULLET),
    ("repeated", "نقطه‌گذاری تکراری", "نشانهٔ تکراری و پرانتز خالی، پس‌ماند حذف‌های پیشین است.", _REPEATED),
    ("half_spaces", "نیم‌فاصلهٔ نابجا", "دیده نمی‌شود، ولی واژه را عوض می‌کند.", _HALF_SPACES),
    ("space_runs", "فاصلهٔ تکراری", "پس از حذف‌ها یک فاصله بس است.", lambda text: _SPACE_RUN.sub(" ", text).strip(" ")),
    ("headings", "عنوان و سطر کوتاه", "عنوان بخش و پارهٔ کمتر از سه واژه جمله نیست.", _drop_headings),
    ("not_persian", "بند نافارسی", "بندی است که بیشتر حرف‌هایش فارسی نیست.", _drop_foreign),
])
