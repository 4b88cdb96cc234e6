"""The report's terms: one list (``assets/glossary.yml``), its table, and what the text owes to it.

Each term is introduced once, with its English in parentheses, where running prose first uses it; the summary at the
head, headings, captions, tables and code do not count. ``faults`` says what a text does otherwise, in one line each.
Not here: spelling and punctuation (``tests/test_persian_lint.py``).
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import yaml

from genmodels.system.places import ASSETS
from genmodels.errors import UserError

if TYPE_CHECKING:
    from IPython.display import Markdown

LIST = ASSETS / "glossary.yml"
ALPHABET = "آابپتثجچحخدذرزژسشصضطظعغفقکگلمنوهی"
SAME_LETTER = str.maketrans("أإؤئۀة", "ااویهه")
LETTER = r"[\u0621-\u063a\u0641-\u06d3\u200c]"  # of a Persian word; the half-space is inside words
NEAR = 45  # characters: how far before its English a term may stand
# "(perplexity)", "(nat، یکای …)", "(Byte-Pair Encoding, BPE)"; a list of menu entries is none.
INTRODUCED = re.compile(r"\((?P<en>[A-Za-z][A-Za-z\-– ]*(?:, [A-Z][A-Za-z]*)?)(?:، (?:یک|یعنی|همان)[^()]*)?\)")
# What is no running prose; each is replaced by blanks, so that places stay.
_SILENT = (
    r"\A---\n.*?\n---\n", r"^```.*?^```[ \t]*$", r"^# چکیده.*?(?=^# )", r"\$\$.*?\$\$", r"(?<!\$)\$[^$\n]*\$",
    r"`[^`\n]*`", r"\{[#.][^}\n]*\}", r"\]\([^)\n]*\)", r"^#+ [^\n]*", r"^\|[^\n]*", r"^: [^\n]*",
)  # fmt: skip


@dataclass(frozen=True)
class Term:
    """One entry. ``gloss`` tells senses apart; ``everyday``: plain Persian has the word too; ``form`` introduces it."""

    fa: str
    en: str
    gloss: str = ""
    everyday: bool = False
    form: str = ""

    @property
    def introduced_as(self) -> str:
        return self.form or self.fa


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


def running_prose(source: str) -> str:
    """``source`` (a .qmd) with everything but its running prose blanked; as long as before."""
    for pattern in _SILENT:
        source = re.sub(pattern, lambda match: re.sub(r"[^\n]", " ", match[0]), source, flags=re.DOTALL | re.MULTILINE)
    return source


def whole_source(source: str) -> str:
    """As ``running_prose``, with the summary at the head."""
    return running_prose(source.replace("# چکیده", "# خلاصه", 1))


def faults(source: str, entries: Sequence[Term] | None = None) -> list[str]:
    """What the .qmd text ``source`` does against its glossary, a line each; empty where all is well."""
    entries = terms() if entries is None else entries
    prose, head = running_prose(source), whole_source(source)
    by_english = {term.en: term for term in entries}
    introduced: dict[str, list[int]] = {}
    found = []
    for match in INTRODUCED.finditer(head):
        english = match["en"] if match["en"] in by_english else singular(match["en"])
        term, line = by_english.get(english), source.count("\n", 0, match.start()) + 1
        if term is None:
            found.append(f"line {line}: «{match['en']}» is introduced, but not in the glossary")
        elif not (word := seen(term.introduced_as, head[max(0, match.start() - NEAR) : match.start()])):
            found.append(f"line {line}: «{match['en']}» stands for another Persian word than «{term.introduced_as}»")
        else:
            introduced.setdefault(term.fa, []).append(max(0, match.start() - NEAR) + word.start())
    for term in entries:
        places = introduced.get(term.fa, [])
        lines = [source.count("\n", 0, place) + 1 for place in places]
        if not places:
            found.append(f"«{term.fa}» ({term.en}) is never introduced with its English")
        elif len(places) > 1:
            where = ", ".join(map(str, lines))
            found.append(f"«{term.fa}» ({term.en}) is introduced {len(places)} times: lines {where}")
        elif not term.everyday and (first := first_use(term, prose)) < places[0] - NEAR:
            early = source.count("\n", 0, first) + 1
            found.append(f"line {early}: «{term.fa}» is used before its English ({term.en}, line {lines[0]})")
    return found


def first_use(term: Term, prose: str) -> int:
    """Where ``prose`` first has the term, in either form; its length where it never does."""
    matches = [seen(word, prose) for word in (term.fa, term.introduced_as)]
    return min((match.start() for match in matches if match), default=len(prose))


def singular(english: str) -> str:
    """«stop words» as the list has it, «stop word»."""
    return english[:-1] if english.endswith("s") else english


def seen(word: str, text: str) -> re.Match[str] | None:
    """The first place of ``word`` as a whole word, with an ending («ایست‌واژه‌ها», «دسته‌ای») or without."""
    spaced = re.escape(word).replace(r"\ ", r"\s+")
    ending = r"(?:ٔ|\u200c(?:ها|های|هایی|ای|اش))?"
    return re.search(rf"(?<!{LETTER}){spaced}{ending}(?!{LETTER})", text)


def table(columns: int = 3) -> Markdown:
    """The glossary as a Markdown table: ``columns`` pairs of Persian and English a row, the alphabet along the rows."""
    from IPython.display import Markdown

    cells = [f"{term.fa}{f' ({term.gloss})' if term.gloss else ''} | {term.en}" for term in terms()]
    cells += [" | "] * (-len(cells) % columns)
    widths = ["-" * 13, "-" * 16]
    lines = ["| " + " | ".join(["فارسی | انگلیسی"] * columns) + " |", "|" + "|".join(widths * columns) + "|"]
    lines += ["| " + " | ".join(cells[start : start + columns]) + " |" for start in range(0, len(cells), columns)]
    return Markdown("\n".join(lines))
