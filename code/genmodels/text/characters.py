"""Characters: the classes that the cleaning rules speak of, and the rules that write one sign in one way.

Nothing here deletes a letter, a digit or a sign of a formula: ligatures and presentation forms become the letters that they
stand for, look-alikes of other keyboards become Persian, and only what is never seen (control characters) or never
needed (vowel marks) goes. Superscripts, subscripts and fractions stay what they are: ``NFKC`` would make ``10²`` 102.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable

ZWNJ = "\u200c"
LETTERS = "ءآأؤئابپتثجچحخدذرزژسشصضطظعغفقکگلمنوهی"  # Persian, with the hamza carriers of Persian spelling
ARABIC = "\u0620-\u063f\u0641-\u064a\u066e\u066f\u0671-\u06d3\u06d5\u06ee\u06ef\u06fa-\u06ff\u0750-\u077f\u08a0-\u08c9"
MARKS = "\u0653-\u0655"  # madda, hamza above and below (هٔ)
LATIN, GREEK = "A-Za-zÀ-ÖØ-öø-ɏḀ-ỿ", "Ͱ-Ͽἀ-῿"
DIGITS = "0-9۰-۹٠-٩"

Transformation = Callable[[str], str]


def substitution(
    pattern: str, replacement: str | Callable[[re.Match[str]], str], only_with: str = "", flags: int = 0
) -> Transformation:
    """``re.sub``, tried only on texts that hold one of the strings in ``only_with`` (a far cheaper search)."""
    compiled, hints = re.compile(pattern, flags), only_with.split()
    if not hints:
        return lambda text: compiled.sub(replacement, text)
    return lambda text: compiled.sub(replacement, text) if any(map(text.__contains__, hints)) else text


def _as_class(characters: Iterable[str]) -> str:
    """The characters as ranges for a class of a regular expression."""
    ranges: list[list[int]] = []
    for code in sorted(map(ord, characters)):
        if ranges and code == ranges[-1][1] + 1:
            ranges[-1][1] = code
        else:
            ranges.append([code, code])
    return "".join(f"{re.escape(chr(first))}-{re.escape(chr(last))}" for first, last in ranges)


def mapping(table: dict[str, str]) -> Transformation:
    """Replace single characters: one search for any of them (``str.translate`` looks up every character)."""
    compiled = re.compile(f"[{_as_class(table)}]")
    return lambda text: compiled.sub(lambda match: table[match.group()], text)


def then(*steps: Transformation) -> Transformation:
    def apply(text: str) -> str:
        for step in steps:
            text = step(text)
        return text

    return apply


def _each(groups: dict[str, str]) -> dict[str, str]:
    return {character: new for group, new in groups.items() for character in group}


def _span(*ranges: tuple[int, int]) -> str:
    return "".join(chr(code) for first, last in ranges for code in range(first, last + 1))


# Signs that Python's ``\w`` counts among the letters, though they are numbers (½ ² ₂ Ⅳ ①) or stand above or below the
# line (xⁿ, vₓ, 1º). No letters of another script.
NUMERALS = _as_class(c for c in map(chr, range(0xB2, 0x3400)) if unicodedata.category(c) in ("No", "Nl"))
RAISED = "ªºⁱⁿ\u2090-\u209c"

# --- compatibility forms --------------------------------------------------------------------------------------------

_FOLDED = {"<initial>", "<medial>", "<final>", "<isolated>", "<compat>", "<font>", "<wide>", "<square>"}
_BLOCKS = (  # micro sign; letterlike and Roman numerals; squared units; ligatures, Arabic and Hebrew forms; wide; mathematical
    (0xB5, 0xB5), (0x2100, 0x214F), (0x2160, 0x217F), (0x3371, 0x33DF), (0xFB00, 0xFDFC), (0xFE70, 0xFEFC), (0xFF01, 0xFF5E),
    (0x1D400, 0x1D7FF),
)  # fmt: skip


def _unfolded(character: str) -> str:
    """The letters that a compatibility form stands for; superscripts, subscripts, fractions and é are left alone."""
    tag, *codes = unicodedata.decomposition(character).split() or [""]
    if tag and not tag.startswith("<"):
        tag, codes = ("<font>", [tag]) if not codes else ("", [])  # Å (angstrom) is Å; é is no form of e
    return "".join(_unfolded(chr(int(code, 16))) for code in codes) if tag in _FOLDED else character


def _forms() -> dict[str, str]:
    table = {"﷽": " بسم الله الرحمن الرحیم "}
    for form in _span(*_BLOCKS):
        letters = _unfolded(form).strip()  # the isolated form of a mark stands on a space
        if letters != form:
            table[form] = f" {letters} " if " " in letters or form == "﷼" else letters  # ﷺ is a sentence, ﷲ a word
    return table


_FORMS = _forms()
# Whatever is no other character of the first plane: such a class is a table look-up, one with ranges beyond it is not.
_FORM = re.compile(f"[^{_as_class(c for c in map(chr, range(0x10000)) if c not in _FORMS)}]")


def compatibility(text: str) -> str:
    """Ligatures, presentation forms, wide and mathematical letters as the letters that they stand for."""
    return _FORM.sub(lambda match: _FORMS.get(match.group(), match.group()), text)


# --- look-alikes ----------------------------------------------------------------------------------------------------

INVISIBLE = then(
    substitution(rf"(?<=[{ARABIC}])\s?¬(?=[{ARABIC}])", ZWNJ, "¬"),  # a stand-in for the half-space in pasted text
    mapping(
        _each(
            {
                _span(
                    (0x00, 0x08),
                    (0x0E, 0x1F),
                    (0x7F, 0x84),
                    (0x86, 0x9F),
                    (0xAD, 0xAD),
                    (0x200D, 0x200F),
                    (0x202A, 0x202E),
                    (0x2060, 0x206F),
                    (0xFE00, 0xFE0F),
                    (0xFEFF, 0xFEFF),
                    (0xFFF9, 0xFFFD),
                    (0xE000, 0xF8FF),
                    (0x061C, 0x061C),
                    (0xD800, 0xDFFF),
                    (0xFDD0, 0xFDEF),
                ): "",
                "\u200b": ZWNJ,
            }
        )
    ),
)
SPACES = mapping(_each({"\t\n\v\f\r\x85\xa0\u1680\u2028\u2029\u202f\u205f\u3000" + _span((0x2000, 0x200A)): " "}))

# «آ» written as ا + madda: hazm removes the mark, and «آن» becomes «ان». The same for ئ, ؤ, أ. Latin é likewise.
_PAIRS = {
    "ه\u0674": "ه\u0654",
    "ا\u0653": "آ",
    "ا\u0654": "أ",
    "و\u0654": "ؤ",
    "ی\u0654": "ئ",
    "ي\u0654": "ئ",
    "ى\u0654": "ئ",
}
COMPOSITION = then(
    substitution("|".join(_PAIRS), lambda match: _PAIRS[match.group()], "\u0653 \u0654 \u0674"),
    substitution(rf"[{LATIN}{GREEK}][\u0300-\u036f]", lambda match: unicodedata.normalize("NFC", match.group())),
)

_ARABIC = _each({"يىېۍے": "ی", "كڪ": "ک", "ګ": "گ", "ةەۀہھۂۃ": "ه", "إٱٲٳ": "ا", "ۆۇۈ": "و"})
LOOK_ALIKES = "".join(_ARABIC)
_LOOK_ALIKE = re.compile(  # منطقةالبروج stays: with ه its two words would be read as one
    rf"[ةۃ](?![\u064b-\u0652]?[{ARABIC}])|[{''.join(c for c in LOOK_ALIKES if c not in 'ةۃ')}]"
)
_INITIAL_HAMZA = substitution(rf"(?<![{ARABIC}{ZWNJ}])أ", "ا", "أ")  # أحمد → احمد, while تأثیر keeps its letter
ARABIC_LETTERS = then(lambda text: _LOOK_ALIKE.sub(lambda match: _ARABIC[match.group()], text), _INITIAL_HAMZA)
_DASH = re.compile(rf"(?<=[{DIGITS}])ـ++(?=[{DIGITS}])|(?<= )ـ++(?= )")


def tatweel(text: str) -> str:
    """A stretched letter is the letter; between two numbers (۱۹۳۹ـ۱۹۴۵) or by itself the sign is a dash."""
    return _DASH.sub("-", text).replace("ـ", "") if "ـ" in text else text


VOWEL_MARKS = _span((0x064B, 0x0652), (0x0656, 0x065F), (0x0610, 0x061A), (0x06D6, 0x06ED), (0x0670, 0x0670))
DIACRITICS = mapping(dict.fromkeys(VOWEL_MARKS, ""))

_TO_PERSIAN = str.maketrans("0123456789٠١٢٣٤٥٦٧٨٩", "۰۱۲۳۴۵۶۷۸۹" * 2)
_NUMBER = re.compile(  # a name or a unit of Latin letters keeps its digits: H2O, COVID-19, UTF-8, 4G, 2.5km
    rf"[{LATIN}0-9](?:[{LATIN}0-9]|[-_^.](?=[{LATIN}0-9])|(?<=[0-9]),(?=[0-9]))*+|[٠-٩]++"
)
_FOREIGN_DIGIT = re.compile("[0-9٠-٩]").search
_HAS_LATIN = re.compile(f"[{LATIN}]").search


def digits(text: str) -> str:
    """Latin and Arabic digits as Persian ones, but for those of Latin words."""
    if not _FOREIGN_DIGIT(text):
        return text
    return _NUMBER.sub(lambda m: m.group() if _HAS_LATIN(m.group()) else m.group().translate(_TO_PERSIAN), text)


PUNCTUATION = then(
    substitution(r"(?<=[0-9۰-۹])[,،](?=[0-9۰-۹]{3}(?![0-9۰-۹]))", "٬", ", ،"),  # 55,000 → ۵۵٬۰۰۰
    mapping(_each({",": "،", ";": "؛", "?": "؟", "“”„‟": '"', "‐‑‒−": "-", "―": "—"})),
)
