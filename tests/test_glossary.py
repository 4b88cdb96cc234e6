"""The glossary: one list that is whole, in order, and kept by the report's text.

Each term is introduced once, with its English in parentheses, where running prose first uses it; the page of answers
before the first section, the quoted questions, headings, captions, tables and code do not count. Not here: spelling and punctuation (``test_persian_lint.py``).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import pytest

from genmodels.errors import UserError
from genmodels.report import glossary
from genmodels.report.glossary import Term

REPORT = (Path(__file__).resolve().parents[1] / "report.qmd").read_text("utf-8")
LETTER = r"[\u0621-\u063a\u0641-\u06d3\u200c]"  # of a Persian word; the half-space is inside words
NEAR = 45  # characters: how far before its English a term may stand
# "(perplexity)", "(nat، یکای …)", "(Byte-Pair Encoding, BPE)"; a list of menu entries is none.
INTRODUCED = re.compile(r"\((?P<en>[A-Za-z][A-Za-z\-– ]*(?:, [A-Z][A-Za-z]*)?)(?:، (?:یک|یعنی|همان)[^()]*)?\)")
# What is no running prose; each is replaced by blanks, so that places stay.
_SILENT = (
    r"\A---\n.*?\n---\n", r"^```.*?^```[ \t]*$", r"\A.*?(?=^# )", r"^> [^\n]*", r"\$\$.*?\$\$", r"(?<!\$)\$[^$\n]*\$",
    r"`[^`\n]*`", r"\{[#.][^}\n]*\}", r"\]\([^)\n]*\)", r"^#+ [^\n]*", r"^\|[^\n]*", r"^: [^\n]*",
)  # fmt: skip
LOSS, CROSS = Term("زیان", "loss"), Term("آنتروپی متقاطع", "cross-entropy")


def introduced_as(term: Term) -> str:
    return term.form or term.fa


def running_prose(source: str) -> str:
    """``source`` (a .qmd) with everything but its running prose blanked; as long as before."""
    for pattern in _SILENT:
        source = re.sub(pattern, lambda match: re.sub(r"[^\n]", " ", match[0]), source, flags=re.DOTALL | re.MULTILINE)
    return source


def faults(source: str, entries: Sequence[Term] | None = None) -> list[str]:
    """What the .qmd text ``source`` does against its glossary, a line each; empty where all is well."""
    entries = glossary.terms() if entries is None else entries
    prose = running_prose(source)
    by_english = {term.en: term for term in entries}
    introduced: dict[str, list[int]] = {}
    found = []
    for match in INTRODUCED.finditer(prose):
        english = match["en"] if match["en"] in by_english else singular(match["en"])
        term, line = by_english.get(english), source.count("\n", 0, match.start()) + 1
        if term is None:
            found.append(f"line {line}: «{match['en']}» is introduced, but not in the glossary")
        elif not (word := seen(introduced_as(term), prose[max(0, match.start() - NEAR) : match.start()])):
            found.append(f"line {line}: «{match['en']}» stands for another Persian word than «{introduced_as(term)}»")
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
    matches = [seen(word, prose) for word in (term.fa, introduced_as(term))]
    return min((match.start() for match in matches if match), default=len(prose))


def singular(english: str) -> str:
    """«stop words» as the list has it, «stop word»."""
    return english[:-1] if english.endswith("s") else english


def seen(word: str, text: str) -> re.Match[str] | None:
    """The first place of ``word`` as a whole word, with an ending («ایست‌واژه‌ها», «دسته‌ای») or without."""
    spaced = re.escape(word).replace(r"\ ", r"\s+")
    ending = r"(?:ٔ|\u200c(?:ها|های|هایی|ای|اش))?"
    return re.search(rf"(?<!{LETTER}){spaced}{ending}(?!{LETTER})", text)


def test_the_report_introduces_each_term_once_where_it_is_first_used() -> None:
    assert not faults(REPORT), "\n".join(faults(REPORT))


def test_the_report_prints_the_list() -> None:
    assert "glossary.table()" in REPORT


def test_the_list_is_in_persian_order_and_whole() -> None:
    entries = glossary.terms()
    assert len(entries) > 60
    assert sorted(["یک", "پرسش", "بافت", "آنتروپی", "ادغام", "گام", "کلید", "واژگان"], key=glossary.alphabetical) == [
        "آنتروپی", "ادغام", "بافت", "پرسش", "کلید", "گام", "واژگان", "یک",
    ]  # fmt: skip
    assert glossary.alphabetical("لم") < glossary.alphabetical("لم‌یابی")  # a word before what begins with it


def test_the_table_holds_every_term_once() -> None:
    lines = glossary.table(3).data.splitlines()
    cells = [cell.strip() for line in lines[2:] for cell in line.strip("|").split("|")]
    english = [cell for cell in cells[1::2] if cell]
    assert sorted(english) == sorted(term.en for term in glossary.terms())
    assert len({line.count("|") for line in lines}) == 1
    assert english == [term.en for term in glossary.terms()]  # the alphabet runs along the rows


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("**زیان** (loss) کم شد. زیان‌ها.", None),
        ("زیان (loss، یعنی منفی لگاریتم) کم شد.", None),
        ("زیانه (loss) کم شد.", "another Persian word"),
        ("هزینه (loss) کم شد.", "another Persian word"),
        ("کم شد.", "never introduced"),
        ("زیان (loss) و باز زیان (loss).", "introduced 2 times"),
        ("زیان آموزش پیش از همهٔ این‌ها و با فاصله‌ای دراز آمده است. " * 2 + "**زیان** (loss) کم شد.", "used before"),
        ("زیان (loss) و بهره (gain) آمدند.", "not in the glossary"),
        ("```{python}\nزیان\n```\n\n## زیان {#sec-1}\n\n$x$ `زیان` زیان (loss) کم شد.", None),
        ("زیان (losses) کم شد.", "not in the glossary"),
    ],
)
def test_faults_are_found(text: str, fault: str | None) -> None:
    found = faults(text + "\n", [LOSS])
    assert (found == []) if fault is None else any(fault in line for line in found), found


def test_the_page_of_answers_and_the_questions_may_use_terms_early() -> None:
    early = "زیان شبکه کم است.\n\n# بخش\n\n> خواسته: زیان.\n\n" + "واژه " * 20 + "زیان (loss).\n"
    assert not faults(early, [LOSS])
    assert "never introduced" in faults("زیان (loss) کم است.\n\n# بخش\n\nزیان.\n", [LOSS])[0]


def test_everyday_words_may_come_first_and_long_terms_are_one() -> None:
    text = "زیان مالی " * 10 + "زیان (loss) و آنتروپی متقاطع (cross-entropy).\n"
    assert faults(text, [LOSS, CROSS]) and not faults(text, [Term("زیان", "loss", everyday=True), CROSS])


@pytest.mark.parametrize(
    "content",
    [
        "- {fa: زیان, en: loss}\n- {fa: هزینه, en: loss}\n", "- {fa: زیان, en: loss}\n- {fa: زیان, en: cost}\n",
        "- {fa: زیان}\n", "زیان", "- [", "",
    ],
)  # fmt: skip
def test_a_broken_list_is_refused(tmp_path: Path, content: str) -> None:
    path = tmp_path / "glossary.yml"
    path.write_text(content, "utf-8")
    with pytest.raises(UserError, match="glossary.yml"):
        glossary.terms(path)
    with pytest.raises(UserError, match="missing.yml"):
        glossary.terms(tmp_path / "missing.yml")
