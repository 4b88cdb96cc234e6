r"""What a web page and wikitext leave in a text: tags, addresses, templates, links, tables, formulae of TeX.

Nested markup is matched by a stack, not by regular expressions: one pass pairs every bracket with its partner, one pass
writes what is left, so that depth costs nothing and an opening without its end takes no text with it. What looks like
markup but stands between operands is a formula and stays: ``x < y``, ``10^6``, ``P(A|B)``, ``C#``. Each function is
linear in the length of its argument and never gives a longer text.

Why not mwparserfromhell (0.7): ``{|`` or ``[[a|`` 8,000 times takes it 4 s, four times as much for twice the length; it leaves
``{\displaystyle …}``, tables on one line and the captions of pictures, and makes 102 of ``10<sup>2</sup>``.
"""

from __future__ import annotations

import html
import re

from genmodels.text.characters import ARABIC, DIGITS, GREEK, LATIN, NUMERALS, substitution, then

# --- entities -------------------------------------------------------------------------------------------------------

_AMPERSANDS = re.compile(r"&(?:(?:amp|AMP|#0{0,4}38|#[xX]0{0,4}26);)++")
_ENTITY = re.compile(r"&(?:[A-Za-z][A-Za-z0-9]{1,31}|#[0-9]{1,7}|#[xX][0-9A-Fa-f]{1,6});")


def entities(text: str) -> str:
    """``&amp;amp;lt;`` → ``<``."""
    if "&" not in text:
        return text
    return _ENTITY.sub(lambda match: html.unescape(match.group()), _AMPERSANDS.sub("&", text))


# --- tags -----------------------------------------------------------------------------------------------------------

_LETTER_TAGS = {"a", "b", "i", "q", "s", "u"}  # could be a variable: a tag where it is closed or has attributes
_INLINE = _LETTER_TAGS | set(
    "abbr acronym bdi bdo big cite code data del dfn em font ins kbd lang mark nowiki rb rt rp ruby samp small span strike strong "
    "sub sup time tt var wbr includeonly noinclude onlyinclude".split()
)
_DROPPED = set(
    "ce chem gallery graph hiero imagemap inputbox maplink mapframe math ref score script style timeline".split()
)
_TAG_NAMES = _INLINE | _DROPPED
_TAG_NAMES |= set(
    "address article aside audio blockquote body br button caption center col colgroup dd details div dl dt figcaption figure footer "
    "form h1 h2 h3 h4 h5 h6 head header hr html iframe img input label li link main meta nav ol option p poem pre references section "
    "select source summary syntaxhighlight table tbody td templatedata templatestyles textarea tfoot th thead title tr track ul "
    "video".split()
)
_TAG = re.compile(r"<(/?)([A-Za-z][A-Za-z0-9]{0,20})((?:[\s/][^<>]{0,500})?)>")
_VALUE = re.compile("[A-Za-z0-9]").match
_ATTRIBUTE = re.compile(r"\s+[A-Za-z-]{1,20}\s{0,5}=")
_SCRIPT = re.compile(r"<(su[bp])(?:\s[^<>]{0,100})?>\s{0,5}([^<>\s]{1,20})\s{0,5}</\1\s{0,5}>", re.I)
_ORDINAL = re.compile(rf"st|nd|rd|th|e|er|re|TM|SM|R|.*[{ARABIC}\[\]].*|\W*")
_RAISED = str.maketrans("0123456789۰۱۲۳۴۵۶۷۸۹+-−=()ni", "⁰¹²³⁴⁵⁶⁷⁸⁹⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻⁻⁼⁽⁾ⁿⁱ")
_LOWERED = str.maketrans("0123456789۰۱۲۳۴۵۶۷۸۹+-−=()aehijklmnoprstuvx", "₀₁₂₃₄₅₆₇₈₉₀₁₂₃₄₅₆₇₈₉₊₋₋₌₍₎ₐₑₕᵢⱼₖₗₘₙₒₚᵣₛₜᵤᵥₓ")


def tags(text: str) -> str:
    """Comments, tags of HTML and MediaWiki in any case, and what ``<ref>``, ``<math>``, ``<style>`` … enclose."""
    if "<" not in text:
        return text
    text = _SCRIPT.sub(_script, _without_comments(text))
    found = [match for match in _TAG.finditer(text) if match[2].lower() in _TAG_NAMES]
    closed = {match[2].lower() for match in found if match[1]}
    spans: list[tuple[int, int, str]] = []
    opened: dict[str, int] = {}  # the last one of a name: one that was never closed takes nothing with it
    for match in found:
        name = match[2].lower()
        if name in _LETTER_TAGS and not match[1] and name not in closed and not _ATTRIBUTE.match(match[3]):
            continue
        if name == "p" and not match[1] and not match[3] and _VALUE(text, max(0, match.start() - 1)):
            continue
        spans.append((*match.span(), "" if name in _INLINE else " "))
        if name in _DROPPED and match[1] and name in opened:
            spans.append((opened.pop(name), match.end(), " "))
        elif name in _DROPPED and not match[1] and not match[3].rstrip().endswith("/"):
            opened[name] = match.start()
    parts, position = [], 0
    for start, end, new in sorted(spans, key=lambda span: (span[0], -span[1])):
        if start >= position:
            parts += text[position:start], new
            position = end
    return "".join([*parts, text[position:]])


def _without_comments(text: str) -> str:
    parts, position = [], 0
    while (start := text.find("<!--", position)) >= 0:
        end = text.find("-->", start + 4)
        if end < 0:  # never closed, as all that follow
            break
        parts += text[position:start], " "
        position = end + 3
    return "".join(parts) + text[position:].replace("<!--", " ")


def _script(match: re.Match[str]) -> str:
    """10<sup>2</sup> → 10², CO<sub>2</sub> → CO₂, 2<sup>k</sup> → 2^k; an ordinal (4<sup>th</sup>) or a note has no power."""
    content, raised = match[2], match[1].lower() == "sup"
    if _ORDINAL.fullmatch(content) and raised or not re.search(r"\w", content):
        return content
    written = content.translate(_RAISED if raised else _LOWERED)
    if not any(a == b for a, b in zip(written, content)):
        return written
    return ("^" if raised else "_") + (content if content.isalnum() else f"({content})")


# --- addresses ------------------------------------------------------------------------------------------------------

_END = r"[^\s«»()\[\]|<>{}]"  # of an address
_TAIL = r"(?<![.,;:!?،؛؟])"  # the sentence's own mark is no part of it
_ADDRESS = re.compile(
    rf"\[?(?:https?|ftp)://{_END}*{_TAIL}|(?<!\w)www\.{_END}+{_TAIL}"
    r"|(?<![A-Za-z0-9._%+-])[A-Za-z0-9._%+-]++@[A-Za-z0-9-]++(?:\.[A-Za-z0-9-]++)++"
    r"|(?<![\w.@-])[A-Za-z0-9-]++(?:\.[A-Za-z0-9-]++)++"
    rf"(?:(?<=\.com|\.org|\.net|\.edu|\.gov)|(?<=\.info)|(?<=\.ir))/{_END}*{_TAIL}"
)
_HINTS = ("://", "www.", "@", ".com/", ".org/", ".net/", ".edu/", ".gov/", ".info/", ".ir/")


def addresses(text: str) -> str:
    """Addresses of the web and of mail; a name of a site alone (bitcoin.org) is a word of its sentence."""
    return _ADDRESS.sub(" ", text) if any(map(text.__contains__, _HINTS)) else text


# --- brackets -------------------------------------------------------------------------------------------------------

_SIGN = re.compile(r"[{}\[\]|]|(?<![:\w\\])\\[A-Za-z]+")
_TEX = re.compile(r"\{\s*\\[A-Za-z]")
_FILE = re.compile(
    r"\s*(?:(?:پرونده|تصویر|نگاره|رده|File|Image|Media|Category)\s*:|[a-z]{2,3}(?:-[a-z]+)?:[^\[\]|]{0,300}\]\])", re.I
)
# {1, 2}, {x | x > 0}
_SET = re.compile(rf"[^{{}}|]*[,،=<>∈][^{{}}|]*|[{LATIN}{GREEK}][^{{}}|{ARABIC}]*[|:][^{{}}|{ARABIC}]*")
_NONSPACE = re.compile(r"\S")
LONGEST_FORMULA = 200


def _partners(text: str) -> tuple[dict[int, int], dict[int, int]]:
    """The end of every bracket that has one, and the last ``|`` directly inside an opening one, by its place."""
    ends: dict[int, int] = {}
    bars: dict[int, int] = {}
    stack: list[tuple[str, int]] = []
    count = {"{": 0, "[": 0}
    for match in _SIGN.finditer(text):
        sign, place = match.group(), match.start()
        if sign in count:
            stack.append((sign, place))
            count[sign] += 1
        elif sign in "}]":
            wanted = "{" if sign == "}" else "["
            while count[wanted]:
                opening, begin = stack.pop()
                count[opening] -= 1
                if opening == wanted:
                    ends[begin] = place
                    break
        elif sign == "|" and stack:
            bars[stack[-1][1]] = place
    return ends, bars


def brackets(text: str) -> str:
    """Templates, tables, files and TeX go, ``[[page|label]]`` becomes its label; ``{1, 2}`` and ``[…]`` of the prose stay."""
    if not any(map(text.__contains__, "{}\\")) and "[[" not in text:
        return text
    ends, bars = _partners(text)
    parts: list[str] = []
    closing: dict[int, str] = {}  # what a closing bracket becomes, where its opening one decided
    position = 0
    for match in _SIGN.finditer(text):
        place, sign = match.start(), match.group()
        if place < position:
            continue
        end = ends.get(place, -1)
        double = end >= 0 and text[place + 1] == sign and ends.get(place + 1) == end - 1
        if double and sign == "[" and text[place + 2] == sign and ends.get(place + 2) == end - 2:
            double = False  # [[[page]]]: a link in brackets
        new, after = closing.get(place, sign), match.end()
        if sign == "{" and end >= 0 and (double or _is_table(text, place, end) or _TEX.match(text, place)):
            new, after = " ", end + 1
        elif sign == "{":
            new, closing[end] = _braces(text, place, end)
        elif sign == "}":
            new = closing.get(place, " ")
        elif sign == "[" and double and _FILE.match(text, place + 2):
            new, after = " ", end + 1
        elif sign == "[" and double:
            bar = bars.get(place + 1, -1)
            labelled = bar >= 0 and (shown := _NONSPACE.search(text, bar + 1)) and shown.start() < end - 1
            new, after = "", bar + 1 if labelled else place + 2 + (text[place + 2] == ":")
            closing |= {end - 1: "", end: ""}
        elif sign[0] == "\\":
            new, after = " ", _after_groups(text, after, ends)
        parts += text[position:place], new
        position = after
    return "".join([*parts, text[position:]])


def _is_table(text: str, place: int, end: int) -> bool:
    return text[place + 1] == "|" and text[end - 1] == "|" and end - 1 > place + 1


def _braces(text: str, place: int, end: int) -> tuple[str, str]:
    """What becomes of a pair of braces: a set stays, ``x^{n+1}`` is x^(n+1), others are residue."""
    if not 0 <= end - place <= LONGEST_FORMULA:
        return " ", " "
    if place and text[place - 1] in "^_":
        return ("", "") if text[place + 1 : end].isalnum() else ("(", ")")
    return ("{", "}") if _SET.fullmatch(text, place + 1, end) else (" ", " ")


def _after_groups(text: str, position: int, ends: dict[int, int]) -> int:
    """Where the ``{…}`` that belong to a command of TeX end."""
    while text[position : position + 1] == "{" and position in ends:
        position = ends[position] + 1
    return position


# --- residue --------------------------------------------------------------------------------------------------------

_KEYWORDS = (
    "thumb|thumbnail|frame|farme|frameless|left|right|center|none|upright|بندانگشتی|انگشتدان|انگشتی|چپ|راست|وسط|قاب"
)
_PICTURE = substitution(
    r"(?:(?<![\w.-])[\w.-]++(?<=\.jpg|\.png|\.svg|\.gif|jpeg|webp)|(?<![\w.])[\d۰-۹]{1,4}(?:[x×][\d۰-۹]{1,4})?\s?px"
    rf"|(?<!\w)(?:{_KEYWORDS}))\s*+\|",
    " ",
    "|",
    re.I,
)
_TABLE_ATTRIBUTE = substitution(
    r"(?<!\w)(?:class|style|colspan|rowspan|align|valign|width|height|bgcolor|scope|border|cellpadding|cellspacing)\s{0,5}=\s{0,5}"
    r"(?:\"[^\"<>|]{0,100}\"|'[^'<>|]{0,100}'|[\w%#-]{1,20}(?=\s{0,5}\|))(?:\s{0,5}\|-?)?",
    " ",
    "=\" =' |",
    re.I,
)
_TABLE_SIGN = substitution(r"\|\|+|\{\||\|\}|\|[-+](?![\w])|^\s*+!(?=\s)", " ", "|")
_GUILLEMETS = substitution(r"<<(?=\S)([^<>]{1,500})(?<=\S)>>", r"«\1»", "<<")
_HEADING = re.compile(r"^\s*+={2,6}(?!=)|(?<!=)={2,6}\s*$")
_OPERAND = rf"{LATIN}{GREEK}{DIGITS}{NUMERALS}"
_LEFT = re.compile(rf"[{_OPERAND})\]}}°'′%٪]").match
_RIGHT = re.compile(rf"[{_OPERAND}(\[{{√∞\-+−]").match
_WORD = re.compile(r"\w").match
_VARIABLE = re.compile(rf"(?:^|[^\w])[{LATIN}{GREEK}] $").search
_RUN = re.compile(
    rf"(?<![^\s=+*/(<>≤≥-])\|(?=\S)[{_OPERAND}+*/ ^_().-]{{1,20}}(?<=\S)\|(?![\w|])|={{2,}}|'{{2,}}|[|^_~\\#*<>`]+"
)


def _residue(match: re.Match[str]) -> str:
    """A sign between operands is kept: the text would say something else without it."""
    text, run, (start, end) = match.string, match.group(), match.span()
    before, behind = text[start - 1 : start] if start else "", text[end : end + 1]
    far_before = text[start - 2 : start - 1] if before == " " and start > 1 else before
    far_behind = text[end + 1 : end + 2] if behind == " " else behind
    tight, loose = _LEFT(before) and _RIGHT(behind), _LEFT(far_before) and _RIGHT(far_behind)
    latin = before.isascii() and before.isalpha()
    keep = {
        "^": tight, "_": tight, "\\": tight, "==": loose, "`": latin or before.isdecimal(),
        "|": tight or (loose and _VARIABLE(text[max(0, start - 3) : start])),
        "''": (latin and behind == "(") or (before.isdecimal() and not _WORD(behind)),
        "*": loose or latin or (behind.isascii() and behind.isalpha()),
        "#": latin or (before.strip("«( ") == "" and _WORD(behind)),
        "~": loose or behind.isdecimal() or before.isdecimal(),
    }  # fmt: skip
    if run[0] == "|" and len(run) > 2:  # |x - y|
        return run if not re.search(r"[A-Za-z]{3}|\s\d", run) else run.replace("|", " ")
    if run in ("<", ">", "<>"):
        arrow = before in ("-", "=") or behind in ("-", "=")
        even = (before == " ") == (behind == " ")  # x < y and x<y, but not the bracket of <x
        named = before in tuple("'\"«(") and behind in tuple("'\"»)")
        compared = (_WORD(far_before) or _LEFT(far_before)) and (_WORD(far_behind) or _RIGHT(far_behind))
        kept = arrow or named or behind.isdecimal() or bool(even and compared)
    else:
        kept = bool(keep.get(run) or run in ("<<", ">>", "**") and loose)
    return run if kept else " "


_REMOVE = then(
    _PICTURE,
    _TABLE_ATTRIBUTE,
    _TABLE_SIGN,
    _GUILLEMETS,
    lambda text: _HEADING.sub(" ", text),
    lambda text: _RUN.sub(_residue, text),
)
_SUSPECT = re.compile(r"[|^_~\\#*<>`='{}]").search


def residue(text: str) -> str:
    """What is left of tables, captions, headings and emphasis, and their signs wherever they are none of a formula."""
    return _REMOVE(text) if _SUSPECT(text) else text


markup = then(brackets, residue)
