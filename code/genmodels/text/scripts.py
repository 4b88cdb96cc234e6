"""Names and phrases in other scripts: what of them goes, and what belongs to a Persian sentence (a unit, a variable, a word).

Three of the ``RULES``, under their rules: linear time, never a longer text.
"""

from __future__ import annotations

import re

from genmodels.text.characters import ARABIC, DIGITS, GREEK, LATIN, LETTERS, MARKS, NUMERALS, RAISED, ZWNJ

LONGEST_CALL, LONGEST_FORMULA = 12, 40  # characters in the parentheses of f(x, y) and of (E = mc²)

_FOREIGN_LETTER = rf"[^\W\d_{ARABIC}{NUMERALS}{RAISED}]"
_HAS_FOREIGN, _HAS_PERSIAN, _HAS_WORD = re.compile(_FOREIGN_LETTER), re.compile(f"[{LETTERS}]"), re.compile(r"\w")
_ORDINARY = rf" {ZWNJ}.،؛:؟!()«»\"'/…–—=+%٪٫٬۰-۹{LETTERS}{MARKS}-"
_UNUSUAL = re.compile(f"[^{_ORDINARY}]")  # cheap: a text without any of these has no foreign letter
_LABEL = re.compile(rf"[{ARABIC}{MARKS}{ZWNJ} -]+")
_EMPTY_LABEL = re.compile(rf"\s*+(?:به|(?:به )?[{ARABIC}{MARKS}{ZWNJ}]++:)\s*+")  # (به ) (به انگلیسی: )
_UNITS = rf"[{LATIN}{GREEK}°'′″]{{1,5}}[{NUMERALS}]{{0,2}}"
_MEASURE = re.compile(rf"[~≈<>±+-]?\s?[{DIGITS}][{DIGITS}.,،٫٬/–-]{{0,20}}\s?(?:{_UNITS}(?:/{_UNITS})?)?")
_FORMULA = re.compile(rf"[=<>≤≥≠≈±×÷+^∈√#%٪{NUMERALS}]|[A-Z][a-z]?[{DIGITS}]")  # E = mc², LiCoO2
# more than variables: (x), (u, v)
_LONG = re.compile(rf"[{LATIN}{GREEK}]{{2}}|(?![{LATIN}{GREEK}ɐ-ʯ]){_FOREIGN_LETTER}")
_PARENTHESIS = re.compile(r"[()]")
_COMMENT = re.compile(r"\S|[؟!…±+]\S")
_GLUED = re.compile(rf"[{LATIN}{GREEK}{DIGITS}{NUMERALS}{RAISED}']$").search  # f(x), P(A)


def originals(text: str) -> str:
    """(به انگلیسی: Name؛ زادهٔ ۱۹۷۱) → (زادهٔ ۱۹۷۱); a parenthesis with nothing Persian in it goes, the innermost first."""
    if "(" not in text:
        return text
    parts: list[str] = []
    opened: list[int] = []  # where in ``parts`` each open parenthesis stands, but for those that hold one that is kept
    position = 0
    for match in _PARENTHESIS.finditer(text):
        parts.append(text[position : match.start()])
        position = match.end()
        if match.group() == "(":
            opened.append(len(parts))
            parts.append("(")
        elif opened:
            begin = opened.pop()
            content = "".join(parts[begin + 1 :])
            call = len(content) <= LONGEST_CALL and _GLUED(parts[begin - 1][-1:])
            kept = content if call else _without(content)
            del parts[begin:]
            if kept or call:
                parts.append(f"({kept})")
                opened.clear()
            elif parts[-1].endswith(" "):
                parts[-1] = parts[-1][:-1]
        else:
            parts.append(")")
    return "".join([*parts, text[position:]])


def _without(content: str) -> str:
    """What of a parenthesis stays."""
    if _EMPTY_LABEL.fullmatch(content):
        return ""
    if not _HAS_WORD.search(content):  # (؟) (!) (-) say something
        return content if _COMMENT.fullmatch(content) else ""
    if not _HAS_FOREIGN.search(content):
        return content
    short = len(content) <= LONGEST_FORMULA and not _HAS_PERSIAN.search(content)
    if short and (_MEASURE.fullmatch(content.strip()) or _FORMULA.search(content) or not _LONG.search(content)):
        return content
    kept = ""
    for separator, part in zip(*[iter(["", *re.split("([؛;،,/])", content)])] * 2):
        if not _is_original(part):
            kept += separator + part if kept else part
    return kept.strip()


def _is_original(part: str) -> bool:
    label, colon, rest = part.partition(":")
    rest = rest if colon and len(label.split()) <= 5 and _LABEL.fullmatch(label) else part
    if not _HAS_WORD.search(rest):
        return True
    if not _HAS_FOREIGN.search(rest) or _HAS_PERSIAN.search(rest):
        return False
    return not _MEASURE.fullmatch(rest.strip()) and not _FORMULA.search(rest[:LONGEST_FORMULA])


_WORD = rf"[{LATIN}][{LATIN}'’.\d-]*+"
_OTHER = re.compile(  # other scripts, but for what belongs to a Latin word or variable: the mean x̄, the name Qurʾan
    rf"(?:(?![{LATIN}{GREEK}]|(?<=[{LATIN}])[\u02b0-\u02ff]){_FOREIGN_LETTER}"
    rf"|(?<![{LATIN}{GREEK}\u0300-\u036f])[\u0300-\u036f]|[\u0900-\u0dff])+"
)
_HAS_OTHER = re.compile(rf"[^{_ORDINARY}{ARABIC}{LATIN}{DIGITS}\[\]/&°×²³]").search
_GREEK_WORD = re.compile(rf"[{GREEK}]{{3,}}")
# four words in a row
_ENGLISH = re.compile(rf"[{LATIN}](?<![{LATIN}'’.\d-].)[{LATIN}'’.\d-]*+(?:[ :&/]++{_WORD}){{3,}}+")
_LONG_WORD = re.compile(rf"[{LATIN}]{{3,}}+")


def _phrase(match: re.Match[str]) -> str:
    """A phrase goes, the letters of a formula belong to the sentence."""
    return " " if 3 * len(_LONG_WORD.findall(match.group())) >= len(match.group().split()) else match.group()


def foreign(text: str) -> str:
    """Words of other scripts and phrases of Latin words go; a Latin word alone stays."""
    if not _UNUSUAL.search(text):
        return text
    if _HAS_OTHER(text):
        text = _GREEK_WORD.sub(" ", _OTHER.sub(" ", text))
    return _ENGLISH.sub(_phrase, text)


def not_persian(text: str) -> str:
    """The empty string for a paragraph at least two thirds of whose letters are not Persian."""
    foreign = len(_HAS_FOREIGN.findall(text)) if _UNUSUAL.search(text) else 0
    if not foreign:
        return text if _HAS_PERSIAN.search(text) else ""
    return text if 2 * len(_HAS_PERSIAN.findall(text)) > foreign else ""
