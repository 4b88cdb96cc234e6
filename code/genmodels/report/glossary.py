"""The report's terms: one list (``assets/glossary.yml``) and its table; what the text owes to it, a test says."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import yaml

from genmodels.errors import UserError
from genmodels.system.places import ASSETS

if TYPE_CHECKING:
    from IPython.display import Markdown

LIST = ASSETS / "glossary.yml"
ALPHABET = "آابپتثجچحخدذرزژسشصضطظعغفقکگلمنوهی"
SAME_LETTER = str.maketrans("أإؤئۀة", "ااویهه")


@dataclass(frozen=True)
class Term:
    """One entry. ``gloss`` tells senses apart; ``everyday``: plain Persian has the word too; ``form`` introduces it."""

    fa: str
    en: str
    gloss: str = ""
    everyday: bool = False
    form: str = ""


@cache
def terms(path: Path = LIST) -> tuple[Term, ...]:
    """The list in the order of the Persian alphabet.

    Raises ``UserError`` where it is missing or broken, or where a Persian or an English term stands twice.
    """
    try:
        rows = yaml.safe_load(path.read_text("utf-8"))
        found = [Term(**{"form" if key == "as" else key: value for key, value in row.items()}) for row in rows]
    except (OSError, yaml.YAMLError, TypeError, AttributeError) as error:
        raise UserError(f"{path} is no list of terms (fa, en, gloss, everyday, as): {error}") from error
    for side in ("fa", "en"):
        twice = [word for word, count in Counter(getattr(term, side) for term in found).items() if count > 1]
        if twice:
            raise UserError(f"{path}: {', '.join(twice)} stands twice; one Persian word for one English term")
    return tuple(sorted(found, key=lambda term: alphabetical(term.fa)))


def alphabetical(word: str) -> list[int]:
    """A key that sorts as Persian dictionaries do: letters only, and a space before any of them."""
    plain = re.sub(r"[^ " + ALPHABET + "]", "", word.translate(SAME_LETTER))
    return [ALPHABET.find(letter) for letter in plain]  # a space gives -1


def table(columns: int = 3) -> Markdown:
    """The glossary as a Markdown table: ``columns`` pairs of Persian and English a row, the alphabet along the rows."""
    from IPython.display import Markdown

    cells = [f"{term.fa}{f' ({term.gloss})' if term.gloss else ''} | {term.en}" for term in terms()]
    cells += [" | "] * (-len(cells) % columns)
    widths = ["-" * 13, "-" * 16]
    lines = ["| " + " | ".join(["فارسی | انگلیسی"] * columns) + " |", "|" + "|".join(widths * columns) + "|"]
    lines += ["| " + " | ".join(cells[start : start + columns]) + " |" for start in range(0, len(cells), columns)]
    return Markdown("\n".join(lines))
