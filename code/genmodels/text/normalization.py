"""Persian normalisation, words, lemmas and stop words: a thin layer over hazm (0.10.0 and 0.12.x).

One object of each hazm class is made and reused (on 0.12.1 making one costs half a second), and hazm itself, whose
import takes seconds, is imported at first use. Two corpora come out of here:

* ``normalize``: fluent text, one spelling for each word. This is what the language models learn.
* ``classic``: what the assignment's preparation leaves: normalised, tokenised, stop words and punctuation out,
  lemmatised, joined with spaces.

Faults of hazm met on Wikipedia and mended here: ``۱۲۰۶-۱۲۴۸``, ``۵۵٬۰۰۰``, ``-۵`` and ``H2O`` come back with spaces, پښتو with
a Persian س; parts of a verb are joined by ``_``; lemmas of verbs are pairs ``past#present``. Wrong lemmas of nouns
(فرهنگی → فرهیخت#فرهنگ) are only avoided where the word is in hazm's own list of words. Two of its steps take time in
proportion to the square of a text with many words like سلاممم, so that a very long paragraph is given to it in pieces.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from functools import lru_cache
from itertools import chain

from genmodels.text import fast_hazm
from genmodels.text.characters import ARABIC, LATIN, LETTERS, LOOK_ALIKES, MARKS, ZWNJ

LONGEST_PIECE, LONGEST_WORD = 10_000, 500  # characters; in the real files: a paragraph of 9,888, a word of 166
_D = "0-9۰-۹"
_SPLIT = r"؟!?.:،؛»\])}\"«\[({/\\\\…"  # hazm parts these, and numbers, from what they touch
_SIGN = rf"[^\s{_SPLIT}{ARABIC}{MARKS}{ZWNJ}{_D}]"
_HAS_COMPOUND = re.compile(rf"(?:{_SIGN}(?=[{_D}])|[{_D}](?={_SIGN}|[./][{_D}]))").search
_COMPOUND = re.compile(rf"(?:{_SIGN}|[{_D}]|(?<=[{_D}])[./:](?=[{_D}]))+")  # H2O, -۵, ۱۲۰۶-۱۲۴۸, ۱۰^۶, ۷٪
_PLAIN = re.compile(rf"[{_D}:]+|[^{_D}]+")
_DECIMAL = re.compile(r"(?<![\d.])(\d+)\.(?=\d+(?![\d.]))")
_HAS_LATIN = re.compile(f"[{LATIN}]").search
_PERSIAN = str.maketrans("0123456789", "۰۱۲۳۴۵۶۷۸۹")
_PLACE = 0xE000  # private-use characters stand in for those that hazm is not to touch
_HIDDEN = {ord(sign): chr(_PLACE + ord(sign)) for sign in "0123456789۰۱۲۳۴۵۶۷۸۹./:"}
_RARE = re.compile(f"(?![{LETTERS}{LOOK_ALIKES}])[{ARABIC}]")  # of other languages: ښ, ڕ; hazm would write س, ر
_STAND_IN = re.compile("[\ue000-\uf8ff]")
_TOUCHING = re.compile(rf"(?<=[{LETTERS}])(?=[\ue6f0-\ue6f9])|(?<=[\ue6f0-\ue6f9])(?=[{LETTERS}])")
_PERCENT = re.compile(r"(?<=[۰-۹]) (?=٪)")
_MAY = re.compile(rf"\bمی{ZWNJ}(?=[۰-۹])")
_PART_BORDER = re.compile(f"[_{ZWNJ}]")
_SPACES = re.compile(r" {2,}")


@lru_cache(maxsize=1)
def _hazm_normalize() -> Callable[[str], str]:
    return fast_hazm.fast_normalizer()


@lru_cache(maxsize=1)
def _hazm_tokenize() -> Callable[[str], list[str]]:
    return fast_hazm.fast_tokenizer()


@lru_cache(maxsize=1)
def stop_words() -> frozenset[str]:
    """hazm's list of Persian stop words, in the spelling that ``normalize`` gives."""
    from hazm import stopwords_list

    return frozenset(word for word in map(str.strip, stopwords_list()) if word)


def normalize(text: str) -> str:
    """One paragraph in hazm's normal form: letters, digits, spacing, half-spaces of affixes, guillemets.

    Numbers with a sign, ranges, fractions, powers and names like H2O are kept as written, letters of other languages in Arabic
    script too, and «می ۱۹۶۸» (May) stays a month. Source: hazm's ``Normalizer`` with its defaults.
    """
    return normalize_by(_hazm_normalize(), text)


def normalize_by(hazm: Callable[[str], str], text: str) -> str:
    """``normalize`` with any function that gives hazm's normal form."""
    words = text.split(" ")
    if len(text) <= LONGEST_PIECE and max(map(len, words)) <= LONGEST_WORD:
        return mend(_show(hazm(_hide(text))))
    pieces: list[list[str]] = [[]]
    length = 0
    for word in words:
        length += len(word) + 1
        if length > LONGEST_PIECE or len(word) > LONGEST_WORD:  # what is no word is left as it is
            pieces += ([word], []) if len(word) > LONGEST_WORD else ([word],)
            length = len(pieces[-1]) and len(word) + 1
        else:
            pieces[-1].append(word)
    is_word = [len(piece) > 1 or len("".join(piece)) <= LONGEST_WORD for piece in pieces]
    texts = [_show(hazm(_hide(" ".join(piece)))) if known else piece[0] for piece, known in zip(pieces, is_word)]
    return mend(" ".join(texts))


def _hide(text: str, only_names: bool = False) -> str:
    """``text`` with stand-ins for what hazm would part or write otherwise."""

    def hidden(match: re.Match[str]) -> str:
        token = match.group()
        if _PLAIN.fullmatch(token):
            return token
        if not _HAS_LATIN(token):
            token = token if only_names else _DECIMAL.sub(r"\1٫", token.translate(_PERSIAN))
        return token if only_names and not _HAS_LATIN(token) else token.translate(_HIDDEN)

    text = _STAND_IN.sub("", text)
    if _HAS_COMPOUND(text):
        text = _COMPOUND.sub(hidden, text)
    return _RARE.sub(lambda match: chr(_PLACE + ord(match.group())), text)


def _show(text: str) -> str:
    """``_hide`` undone."""
    if not _STAND_IN.search(text):
        return text
    return _STAND_IN.sub(lambda match: chr(ord(match.group()) - _PLACE), _TOUCHING.sub(" ", text))


def mend(text: str) -> str:
    """What ``normalize`` does after hazm."""
    text = _MAY.sub("می ", _PERCENT.sub("", text))
    return _SPACES.sub(" ", text).strip(f" {ZWNJ}")


def words(text: str) -> list[str]:
    """Words and punctuation marks of normalised text; parts of one verb stay together (``گفته_شده_است``)."""
    return words_by(_hazm_tokenize(), text)


def words_by(hazm: Callable[[str], list[str]], text: str) -> list[str]:
    """``words`` with any function that gives hazm's tokens; names with digits (H2O) are one of them."""
    hidden = _hide(text, only_names=True)
    tokens = hazm(hidden.replace("…", " … "))
    return tokens if hidden == text else list(map(_show, tokens))


@lru_cache(maxsize=1 << 18)
def lemma(word: str) -> str:
    """The dictionary form of a word; kept per word type, because types are a hundred times fewer than tokens.

    For verbs hazm gives ``past#present``. The past stem stands for the verb: it is a word of its own (the third person
    singular), the infinitive is it plus «ن», and unlike many present stems (رو، کن، دار) it rarely looks like a noun.
    """
    if not word:
        return ""
    found = fast_hazm.hazm_object("Lemmatizer").lemmatize(word)
    past, _, present = found.partition("#")
    return readable(past or present or word)


def readable(word: str) -> str:
    """A hazm token as text: the ``_`` between the parts of a verb becomes a half-space."""
    return word.replace("_", ZWNJ)


@lru_cache(maxsize=1 << 18)
def is_content(token: str) -> bool:
    """Whether a token is no stop word and no punctuation."""
    stops = stop_words()
    return token not in stops and any(map(str.isalnum, token)) and not stops.issuperset(_PART_BORDER.split(token))


def content_words(tokens: list[str]) -> list[str]:
    """The tokens that hold a letter or a digit and are no stop words (``شده‌است`` is one: all its parts are)."""
    return list(filter(is_content, tokens))


def lemmas(content: list[str]) -> list[str]:
    """The lemmas of content words; a lemma that is itself a stop word (کرد from می‌کنند) goes."""
    stops = stop_words()
    return [found for found in map(lemma, content) if found not in stops]


def classic_words(tokens: list[str]) -> list[str]:
    """Content words of ``tokens`` as lemmas."""
    return lemmas(content_words(tokens))


def classic(text: str) -> str:
    """The assignment's preparation of one paragraph: normalised, without stop words and punctuation, lemmatised."""
    return " ".join(classic_words(words(normalize(text))))


def prepare_chunk(job: tuple[str, list[tuple[str, ...]]]) -> tuple[list[tuple[str, int]], dict[str, Counter[str]]]:
    """Cleaned documents of a corpus (``fluent`` or ``classic``) -> for each its text and the length of its fluent text.

    For ``classic`` also the counted words at three stages: all, without stop words and punctuation, as lemmas.
    """
    corpus, documents = job
    counts: dict[str, Counter[str]] = {}
    rows = []
    for document in documents:
        paragraphs = [text for text in map(normalize, document) if text]
        length = len("\n".join(paragraphs))
        if corpus == "classic":
            tokens = [words(paragraph) for paragraph in paragraphs]
            content = [content_words(row) for row in tokens]
            found = [lemmas(row) for row in content]
            for stage, parts in (("words", tokens), ("content", content), ("lemmas", found)):
                counts.setdefault(stage, Counter()).update(chain.from_iterable(parts))
            paragraphs = [" ".join(row) for row in found if row]
        rows.append(("\n".join(paragraphs), length))
    return rows, counts
