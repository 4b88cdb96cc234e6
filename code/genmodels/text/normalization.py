"""Persian normalisation, words, lemmas and stop words: a thin layer over hazm (0.10.0 and 0.12.x).

One object of each hazm class is made and reused (on 0.12.1 making one costs half a second), and hazm itself, whose
import takes seconds, is imported at first use. Two corpora come out of here:

* ``normalize``: fluent text, one spelling for each word. This is what the language models learn.
* ``classic``: what the assignment's preparation leaves: normalised, tokenised, stop words and punctuation out,
  lemmatised, joined with spaces.

Faults of hazm met on Wikipedia and mended here: ``۱۲۰۶-۱۲۴۸``, ``۵۵٬۰۰۰`` and ``۷٪`` come back with spaces; parts of
a verb are joined by ``_``; lemmas of verbs are pairs ``past#present``. Wrong lemmas of nouns (فرهنگی → فرهیخت#فرهنگ)
are only avoided where the word is in hazm's own list of words.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from functools import lru_cache
from itertools import chain
from typing import Any

from genmodels.text import fast_hazm
from genmodels.text.rules import ZWNJ

_RANGE = re.compile(r"(?<=[۰-۹]) ?([-–/×٬٫]) ?(?=[۰-۹])")
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
def _lemmatizer() -> Any:
    from hazm import Lemmatizer

    return Lemmatizer()


@lru_cache(maxsize=1)
def stop_words() -> frozenset[str]:
    """hazm's list of Persian stop words, in the spelling that ``normalize`` gives."""
    from hazm import stopwords_list

    return frozenset(word for word in map(str.strip, stopwords_list()) if word)


def normalize(text: str) -> str:
    """One paragraph in hazm's normal form: letters, digits, spacing, half-spaces of affixes, guillemets.

    Ranges and fractions between digits are kept together, and «می ۱۹۶۸» (May) stays a month. Source: hazm's
    ``Normalizer`` with its defaults.
    """
    return mend(_hazm_normalize()(text))


def mend(text: str) -> str:
    """What ``normalize`` does after hazm."""
    text = _RANGE.sub(r"\1", text)
    text = _MAY.sub("می ", _PERCENT.sub("", text))
    return _SPACES.sub(" ", text).strip(f" {ZWNJ}")


def words(text: str) -> list[str]:
    """Words and punctuation marks of normalised text; parts of one verb stay together (``گفته_شده_است``)."""
    return _hazm_tokenize()(text.replace("…", " … "))


@lru_cache(maxsize=1 << 18)
def lemma(word: str) -> str:
    """The dictionary form of a word; kept per word type, because types are a hundred times fewer than tokens.

    For verbs hazm gives ``past#present``. The past stem stands for the verb: it is a word of its own (the third person
    singular), the infinitive is it plus «ن», and unlike many present stems (رو، کن، دار) it rarely looks like a noun.
    """
    found = _lemmatizer().lemmatize(word)
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
