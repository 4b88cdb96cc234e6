"""Persian as a careful typist writes it: in the report's prose, headings, captions, and in every label made by code.

Each rule has its own example of what it refuses and what it lets pass, so that no rule is dead and none is blind.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from genmodels.report.glossary import terms

PROJECT = Path(__file__).resolve().parents[1]
REPORT = PROJECT / "report.qmd"
PACKAGE = PROJECT / "code" / "genmodels"
# Modules whose Persian is data or a pattern, not something the report says.
DATA = {
    "text/rules.py", "text/scripts.py", "text/characters.py", "text/markup.py", "text/fast_hazm.py", "text/bpe.py", "text/normalization.py", "stages/text_study.py", "stages/text.py", "report/persian.py",
    "report/plotting.py", "report/glossary.py", "checks/text.py",
}  # fmt: skip
L = r"[\u0621-\u063a\u0641-\u06d3\u0654\u064b-\u0652]"  # a Persian letter or one of its marks
WORD = rf"(?:{L}|\u200c)"
HALF = "\u200c"

# name -> (pattern, what it refuses, what it lets pass)
RULES: dict[str, tuple[str, str, str]] = {
    "an Arabic letter": (r"[يكىةۀ]", "كتاب", "کتاب"),
    "Arabic digits or a tatweel": (r"[٠-٩ـ]", "٣ تا", "۳ تا"),
    "a space after می": (rf"(?<!{WORD})ن?می (?={L})", "او می رود", f"او می{HALF}رود"),
    "می without its half-space": (
        rf"(?<!{WORD})ن?می(?:شود|شوند|شویم|کند|کنند|کنیم|کرد|دهد|دهند|دهیم|تواند|توان|توانند|گیرد|گیرند|رسد|رسند|ماند|"
        rf"مانند|آید|آیند|بیند|بینند|گوید|گویند|سازد|سازند|خواهد|خواند|باشد|رود|روند|داند|شمارد|سنجد|سنجیم|"
        rf"گذارد)(?!{WORD})",
        "میشود",
        f"می{HALF}شود و میان و میدان",
    ),
    "a space before ها": (rf"(?<={L}) ها(?:ی|یی|یش|یشان|ست)?(?!{WORD})", "کتاب های نو", f"کتاب{HALF}های نو"),
    # After ا د ذ ر ز ژ و nothing joins, and the report writes none: one spelling for each word.
    "ها without its half-space": (
        rf"(?<!{WORD})(?!(?:تنها(?:یی)?|منها(?:ی)?)(?!{WORD})){L}+[بپتثجچحخسشصضطظعغفقکگلمنهیئ]ها(?:ی|یی|یش)?(?!{WORD})",
        "کتابهای نو",
        f"تنها کتاب{HALF}های نو و سندهای آن",
    ),
    "a half-space that joins nothing": (rf"[ادذرزژو]{HALF}ها", f"سند{HALF}ها", "سندها"),
    "a space before تر": (rf"(?<={L}) تر(?:ین)?(?!{WORD})", "بزرگ ترین", f"بزرگ{HALF}ترین"),
    "a space before ای": (rf"(?<=ه) (?:ای|ام|اند)(?!{WORD})(?! )", "شده اند.", f"شده{HALF}اند."),
    "ه‌ی for هٔ": (rf"ه{HALF}ی(?!{WORD})", f"خانه{HALF}ی ما", "خانهٔ ما"),
    "a stray half-space": (rf"{HALF}(?!{L})|(?<!{L}){HALF}", f"کتاب{HALF} ها", f"کتاب{HALF}ها"),
    "straight quotes": (rf'"(?={L})|(?<={L})"', '"کتاب"', "«کتاب»"),
    "a Latin comma, semicolon or question mark": (rf"(?<={L})[,;?]", "این, آن", "این، آن"),
    "doubled spaces": (rf"(?<={L})  +(?=\S)", "این  آن", "این آن"),
    "a space before punctuation": (rf"(?<={L}) [،؛؟!.:»](?!\w)", "این ، آن", "این، آن"),
    "no space after punctuation": (rf"[،؛؟:](?={L})", "این،آن", "این، آن"),
    "a space inside guillemets": (r"« | »", "« این »", "«این»"),
    "doubled punctuation": (r"[،؛]\s*[،؛.]|(?<!\.)\.\.(?!\.)", "این،، آن", "این، آن…"),
    "a Latin digit": (r"(?<![A-Za-z0-9._{-])[0-9]+(?![A-Za-z0-9}])", "در 12 سند", "در ۱۲ سند و sha256 و UTF-8 و GPT-2"),
}


def plain(text: str) -> str:
    """Markdown without what is no Persian: code, mathematics, identifiers, links, citations, the report's example."""
    patterns = (r"\$\$.*?\$\$", r"\$[^$\n]*\$", r"`[^`\n]*`", r"\{[#.@][^}\n]*\}", r"\]\([^)\n]*\)", r"\[?-?@[\w-]+")
    for pattern in patterns:
        text = re.sub(pattern, "§", text, flags=re.DOTALL)
    text = re.sub(r"^\d+\. ", "", text, flags=re.MULTILINE)  # Markdown's own numbering, set in Persian
    return text.replace("«می نویسند»", "§")


def complaints(text: str) -> list[str]:
    found = []
    for name, (pattern, _, _) in RULES.items():
        for match in re.finditer(pattern, text):
            around = text[max(0, match.start() - 25) : match.end() + 25].replace(HALF, "|").replace("\n", " ")
            found.append(f"{name}: …{around}…")
    return found


@pytest.mark.parametrize("name", RULES)
def test_each_rule_refuses_and_lets_pass(name: str) -> None:
    pattern, wrong, right = RULES[name]
    assert re.search(pattern, wrong), f"the rule is blind: {wrong}"
    assert not complaints(right), complaints(right)


def prose() -> str:
    text = re.sub(r"\A---\n.*?\n---\n", "", REPORT.read_text("utf-8"), flags=re.DOTALL)
    return plain(re.sub(r"^```.*?^```\s*$", "", text, flags=re.DOTALL | re.MULTILINE))


def test_the_prose_is_clean() -> None:
    assert not complaints(prose()), "\n".join(complaints(prose()))


def test_headings_and_captions_are_clean() -> None:
    source = REPORT.read_text("utf-8")
    options = re.findall(r"^#\| (?:fig-cap|fig-alt|tbl-cap|code-summary): *(.*)$", source, re.MULTILINE)
    words = [plain(yaml.safe_load(value)) for value in options]
    front = re.match(r"---\n(.*?)\n---\n", source, re.DOTALL)
    words += [str(value) for value in yaml.safe_load(front[1]).values()] if front else []
    found = [line for text in words for line in complaints(text)]
    assert len(words) > 30 and not found, "\n".join(found)


def labels(path: Path) -> Iterator[tuple[int, str]]:
    """Line and text of every string with Persian letters that is no docstring; a formatted value reads «§»."""
    tree = ast.parse(path.read_text("utf-8"))
    quiet, inside = set(), set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            quiet.add(node.value)
        if isinstance(node, ast.JoinedStr):
            inside |= {part for part in node.values}
            text = "".join(str(part.value) if isinstance(part, ast.Constant) else "§" for part in node.values)
            if re.search(L, text):
                yield node.lineno, text
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and node not in quiet | inside:
            if re.search(L, node.value):
                yield node.lineno, node.value


def sources() -> list[Path]:
    return sorted(path for path in PACKAGE.rglob("*.py") if path.relative_to(PACKAGE).as_posix() not in DATA)


def test_labels_made_by_code_are_clean() -> None:
    found, count = [], 0
    for path in sources():
        for line, text in labels(path):
            count += 1
            found += [f"{path.relative_to(PROJECT)}:{line}: {complaint}" for complaint in complaints(plain(text))]
    assert count > 200 and not found, "\n".join(found)


def test_word_lists_are_clean() -> None:
    words = [f"{term.fa} {term.gloss}".strip() for term in terms()]
    words += [str(value) for value in yaml.safe_load((PROJECT / "assets" / "fa.yml").read_text("utf-8")).values()]
    found = [line for text in words for line in complaints(text)]
    assert not found, "\n".join(found)
