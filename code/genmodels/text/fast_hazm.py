r"""hazm's ``Normalizer.normalize`` without its waste: the same text to the byte, several times as fast.

Where hazm's time goes (cProfile of hazm 0.10.0 on this project's corpus; ``docs/LOG.md``):

* two translation tables are built anew for every call, and ``str.translate`` looks every character up in them, though
  hardly a paragraph holds one of their characters;
* some forty regular expressions run over the whole text one after the other; most of them find nothing;
* ``token_spacing`` builds and looks up the pair (previous token, token) for every token, though few tokens can ever be
  the right part of a joined word.

The remedy keeps hazm's semantics by construction. Every step has a *guard*: a cheap search for something without
which the step cannot change the text (a necessary condition). Where the guard finds nothing the step is skipped; where
it finds something, hazm's own method or pattern does the step. Only the pass over the tokens is written anew: a token is
joined to the one before it if the two are the sides of a half-space in one of hazm's words or verbs (a table of the left
sides by the right side, built once), or as hazm joins suffixes.

Patterns, word lists and suffixes are read from hazm. For a version of hazm that was not examined ``fast_normalizer``
gives hazm's own function back. Proof of equality: ``tests/test_fast_hazm.py``, and stage ``speed-text`` on the corpus.
"""

from __future__ import annotations

import importlib.metadata
import re
from collections.abc import Callable, Iterable
from functools import lru_cache, partial
from typing import Any

from genmodels.text.rules import ZWNJ

EXAMINED = ("0.10.0", "0.12.1")  # versions whose ``normalize`` takes the steps that are taken here
KEPT = 1 << 16  # words that are remembered; then all are forgotten, so that memory is bounded
_LETTERS = "آابپتثجچحخدذرزژسشصضطظعغفقکگلمنوهی"
_AFTER, _BEFORE = r"\.:!،؛؟»\]\)\}", r"«\[\(\{"  # hazm's classes of marks that close and that open

# A superset of `\d`, as a class of characters: faster than the category.
_DIGIT = f"[{''.join(filter(str.isdecimal, map(chr, range(0x10000))))}\U00010000-\U0010ffff]"

Guard = Callable[[str], Any]
Step = Callable[[str], str]


def _finds(pattern: str) -> Guard:
    return re.compile(pattern).search


def _any_of(*groups: Iterable[str]) -> Guard:
    return _finds(f"[{re.escape(''.join(sorted({c for group in groups for c in group})))}]")


def _holds(part: str) -> Guard:
    return lambda text: part in text


# Guards by hazm's own pattern (a line end written as ``\n``); a pattern that is not here is its own guard.
# A half-space alone between two word characters is a border (`\b`) on both sides: hazm's `\b\u200c*\B` finds nothing there.
_LOOSE_ZWNJ = _finds(rf"{ZWNJ}(?:(?!\w)|(?<!\w{ZWNJ}))")
_GUARDS: dict[str, Guard] = {
    " {2,}": _holds("  "),
    r"\n{3,}": _holds("\n\n\n"),
    **dict.fromkeys((r"\u200c{2,}", r"\u200c{1,} ", r" \u200c{1,}", r"\b\u200c*\B", r"\B\u200c*\b"), _LOOSE_ZWNJ),
    r"[ـ\r]": lambda text: "ـ" in text or "\r" in text,
    "([^ ]ه) ی ": _holds("ه ی "),
    "(^| )(ن?می) ": _finds("می (?<![^ ن]می )"),
    rf"(?<=[^\n\d {_AFTER}{_BEFORE}]{{2}}) (تر(ین?)?|گری?|های?)(?=[ \n{_AFTER}{_BEFORE}]|$)": _finds(
        rf" (?:[تگ]ر(?:ین?)?|های?)(?=[ \n{_AFTER}{_BEFORE}]|$)"
    ),
    rf"([^ ]ه) (ا(م|یم|ش|ند|ی|ید|ت))(?=[ \n{_AFTER}]|$)": _finds(rf"ه ا(?:م|یم|ش|ند|ی|ید|ت)(?=[ \n{_AFTER}]|$)"),
    "(ه)(ها)": _holds("هها"),
    r'" ([^\n"]+) "': _holds('" '),
    rf"([^ {_BEFORE}])([{_BEFORE}])": _finds(rf"[{_BEFORE}](?<=[^ {_BEFORE}][{_BEFORE}])"),
    rf"(\d)([{_LETTERS}])": _finds(rf"{_DIGIT}(?=[{_LETTERS}])"),
    rf"([{_LETTERS}])(\d)": _finds(rf"{_DIGIT}(?<=[{_LETTERS}].)"),
}
# The same replacement in a form that the regex engine does faster: a mark is no space, so looking at it is enough.
_EQUIVALENTS = {
    (rf" ([{_AFTER}])", r"\1"): (rf" (?=[{_AFTER}])", ""),
    (rf"([{_BEFORE}]) ", r"\1"): (rf"(?<=[{_BEFORE}]) ", ""),
}
_TRIPLE = _finds(rf"([{_LETTERS}])\1\1")
_JOINT_MI = re.compile(rf"می(?=[{_LETTERS}])(?:(?<=\bمی)|(?<=\bنمی))[{_LETTERS}]+")  # hazm's, from its «می» on
# `persian_style` wants a quotation mark (among the rare characters), three dots, or a dot between digits.
_DOTS = _finds(r"\.(?:\.\.|(?<=[\d+]\.)(?=[\d+]))")


def _guarded(patterns: Iterable[tuple[str, str]]) -> Step:
    """``hazm.utils.regex_replace`` with the patterns compiled once, each behind its guard."""
    rows = []
    for pattern, new in patterns:
        guard = _GUARDS.get(pattern.replace("\n", r"\n"))
        pattern, new = _EQUIVALENTS.get((pattern, new), (pattern, new))
        rows.append((guard, partial(re.compile(pattern).sub, new)))

    def apply(text: str) -> str:
        for guard, substitute in rows:
            if guard is None or guard(text):
                text = substitute(text)
        return text

    return apply


@lru_cache
def hazm_object(kind: str) -> Any:
    """The one object of hazm's class ``kind``, with hazm's defaults; importing hazm takes seconds, so it is done here."""
    import hazm

    return getattr(hazm, kind)()


def fast_normalizer() -> Step:
    """``Normalizer().normalize`` (hazm's defaults): text in, the same text out as hazm's own, faster."""
    normalizer = hazm_object("Normalizer")
    examined = importlib.metadata.version("hazm") in EXAMINED
    return FastNormalizer(normalizer).normalize if examined else normalizer.normalize


def fast_tokenizer() -> Callable[[str], list[str]]:
    """``WordTokenizer().tokenize`` (hazm's defaults), without a template filled for every mark."""
    tokenizer = hazm_object("WordTokenizer")
    if importlib.metadata.version("hazm") not in EXAMINED:
        return tokenizer.tokenize
    parts, join_verbs = tokenizer.pattern.split, tokenizer.join_verb_parts

    def tokenize(text: str) -> list[str]:
        text = " ".join(parts(text.replace("\n", " ").replace("\t", " ")))
        return join_verbs([word for word in text.split(" ") if word])

    return tokenize


class FastNormalizer:
    """The steps of ``normalizer`` (a hazm ``Normalizer`` with its default settings), behind guards."""

    def __init__(self, normalizer: Any) -> None:
        self._hazm = normalizer
        found = _insides(normalizer)
        self._letters, self._digits = ({ord(a): b for a, b in zip(*pair)} for pair in found["translations"])
        self._extra_spaces, self._affixes, self._marks = map(_guarded, found["spacing"])
        self._words, self._verbs = found["words"], found["verbs"]
        self._parts = found["tokenizer"].pattern.split  # text and marks in turn
        if any("_" in verb for verb in self._verbs):
            raise ValueError("hazm's verbs have joined parts: token_spacing would look at the next token too")
        self._suffixes = frozenset(found["suffixes"])
        self._lefts: dict[str, set[str]] = {suffix: set() for suffix in self._suffixes}  # of each right part
        for word in (*self._verbs, *(word for word, entry in self._words.items() if entry[0] > 0)):
            if ZWNJ in word and " " not in word:  # no token holds a space
                for left, right in _cuts(word):
                    self._lefts.setdefault(right, set()).add(left)
        self._lefts.pop("", None)  # of words that end in a half-space: no token is empty
        # What the steps other than correct_spacing look for; correct_spacing brings none of these characters in anew.
        self._translated = _any_of('"', map(chr, self._letters), map(chr, self._digits))
        self._diacritics, self._specials = (re.compile(pattern) for pattern in found["removed"])
        self._replaced = _any_of({c for old, _ in found["replacements"] for c in old if not c.isascii()})
        self._is_joint_verb: dict[str, bool] = {}

    def normalize(self, text: str) -> str:
        """The steps of ``Normalizer.normalize``, in their order."""
        hazm = self._hazm
        if self._translated(text) or _DOTS(text):
            text = hazm.persian_style(text.translate(self._letters)).translate(self._digits)
        text = self._correct_spacing(self._diacritics.sub("", text))
        if self._replaced(text):
            text = hazm.unicodes_replacement(text)
        text = self._specials.sub("", text)
        if _TRIPLE(text):
            text = hazm.decrease_repeated_chars(text)
        if any(map(self._is_joint, _JOINT_MI.findall(text))):
            text = hazm.seperate_mi(text)
        return text

    def _is_joint(self, verb: str) -> bool:
        """Whether «میرود», or «نمیرود» (of which this is the part from «می» on), is a verb once a half-space is in."""
        if (known := self._is_joint_verb.get(verb)) is None:
            apart = f"می{ZWNJ}{verb[2:]}"
            if len(self._is_joint_verb) >= KEPT:
                self._is_joint_verb.clear()
            known = self._is_joint_verb[verb] = apart in self._verbs or f"ن{apart}" in self._verbs
        return known

    def _correct_spacing(self, text: str) -> str:
        line = self._extra_spaces(text)
        if "\n" in line or not line.strip():
            return self._hazm.correct_spacing(text)  # versions differ about empty lines; our paragraphs have none
        # WordTokenizer's ``sub(r" \1 ", text)``, which fills a template for every mark; joining the parts gives the same.
        tokens = " ".join(self._parts(line.replace("\t", " "))).split(" ")
        return self._marks(self._affixes(" ".join(self._spaced(tokens))))

    def _spaced(self, tokens: list[str]) -> list[str]:
        """hazm's ``token_spacing`` without the empty tokens: two that are one word joined by a half-space."""
        result: list[str] = []
        lefts_of, append = self._lefts.get, result.append
        for token in tokens:
            lefts = lefts_of(token)
            if lefts is not None and result:
                before = result[-1]
                if before in lefts or token in self._suffixes and before in self._words:
                    result[-1] = f"{before}{ZWNJ}{token}"
                    continue
            if token:
                append(token)
        return result


def _cuts(word: str) -> Iterable[tuple[str, str]]:
    """The two sides of each half-space of ``word``."""
    place = word.find(ZWNJ)
    while place >= 0:
        yield word[:place], word[place + 1 :]
        place = word.find(ZWNJ, place + 1)


def _insides(normalizer: Any) -> dict[str, Any]:
    """hazm's tables: attributes of the object up to 0.10, of the module ``hazm.constants`` from 0.11 on."""
    if hasattr(normalizer, "translation_src"):
        n = normalizer
        return {
            "translations": (
                (n.translation_src, n.translation_dst),
                (n.number_translation_src, n.number_translation_dst),
            ),
            "spacing": (n.extra_space_patterns, n.affix_spacing_patterns, n.punctuation_spacing_patterns),
            "removed": [pattern for pattern, _ in n.diacritics_patterns + n.specials_chars_patterns],
            "replacements": n.replacements,
            "suffixes": n.suffixes,
            "words": n.words,
            "verbs": n.verbs,
            "tokenizer": n.tokenizer,
        }
    from hazm import constants as c

    return {
        "translations": ((c.TRANSLATION_SRC, c.TRANSLATION_DST), (c.NUMBERS_SRC, c.NUMBERS_DST)),
        "spacing": (c.EXTRA_SPACE_PATTERNS, c.AFFIX_SPACING_PATTERNS, c.PUNCTUATION_SPACING_PATTERNS),
        "removed": [pattern for pattern, _ in c.DIACRITICS_PATTERNS + c.SPECIAL_CHARS_PATTERNS],
        "replacements": c.UNICODE_REPLACEMENTS,
        "suffixes": c.SUFFIXES,
        "words": normalizer._words,
        "verbs": normalizer._verbs,
        "tokenizer": normalizer._tokenizer,
    }
