"""The options of a document, as Quarto merges them from ``_quarto.yml`` and the front matter; which of them we know.

An option that the route without Quarto would ignore is a ``UserError``: the two routes must not drift apart unseen.
What it does not do: act on any option (``render``, ``weave``).
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml

from genmodels.errors import UserError
from genmodels.system.files import read_text, require_whole_characters

EXECUTE = {"echo", "eval", "include", "output", "warning", "error", "enabled", "daemon"}
TOP = {
    "title", "subtitle", "author", "student-id", "collaborators", "ai-statement", "date", "date-format", "abstract", "description", "keywords", "lang",
    "dir", "language", "bibliography", "csl", "nocite", "link-citations", "number-sections", "toc", "toc-depth",
    "toc-title", "jupyter", "execute", "format", "filters", "project", "code-fold", "live",
}  # fmt: skip
FORMAT = {
    "html": {
        "embed-resources",
        "html-math-method",
        "minimal",
        "theme",
        "template",
        "css",
        "appendix-style",
        "fig-format",
        "include-in-header",
    },
    "typst": {"papersize", "section-numbering", "font-paths", "include-in-header", "keep-typ"},
}


FLAGS = {
    "toc", "number-sections", "link-citations", "embed-resources", "keep-typ", "echo", "eval", "include", "warning", "error",
    "enabled", "live",
}  # fmt: skip
TEXTS = {
    "title", "subtitle", "student-id", "abstract", "description", "date", "date-format", "toc-title", "lang", "dir", "language",
    "csl",
}  # fmt: skip
# What YAML 1.1 (PyYAML), YAML 1.2 and Quarto read alike and keep: whole numbers below 10**15, true and false, null.
_ALIKE = re.compile(r"-?[1-9][0-9]{0,14}|0|[Tt]rue|TRUE|[Ff]alse|FALSE|[Nn]ull|NULL|~|")
_NUMBER_TO_QUARTO = re.compile(r"[-+]?[0-9]*\.?[0-9]+[eE][-+]?[0-9]+|0o[0-7]+")  # and a text to PyYAML


def merged(base: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    """``over`` laid on ``base``, mapping by mapping, as Quarto lays the front matter on ``_quarto.yml``."""
    result = dict(base)
    for key, value in over.items():
        both = isinstance(value, dict) and isinstance(result.get(key), dict)
        result[key] = merged(result[key], value) if both else value
    return result


def check_options(options: dict[str, Any], text: str, source: str) -> None:
    """Refuse every option that this route would ignore."""
    formats = options.get("format") or {}
    _check_values(options, text, source)
    if not isinstance(formats, dict) or not all(isinstance(value, dict) for value in formats.values()):
        raise UserError(f"{source}: write format: as a mapping of formats to their options (best left to _quarto.yml)")
    known = {"": TOP, "execute": EXECUTE, "format": set(FORMAT)}
    known |= {f"format.{name}": keys | TOP for name, keys in FORMAT.items()}
    for place, keys in known.items():
        section: Any = options
        for step in filter(None, place.split(".")):
            section = section.get(step) or {}
        if not isinstance(section, dict):
            raise UserError(f"{source}: {place}: must be a mapping of options")
        for key in section:
            if key not in keys:
                where = place + "." if place else ""
                raise UserError(f"{source}{line_of(f'{key}:', text)}: the option {where}{key} is outside the subset")
    if formats.get("html", {}).get("html-math-method", "mathml") != "mathml":
        raise UserError(f"{source}: html-math-method must be mathml (nothing may be fetched when the page is read)")


def _check_values(options: dict[str, Any], text: str, source: str) -> None:
    """Refuse values that the title page or a setting cannot have, at the top and below ``execute`` and ``format``."""
    for key, value in options.items():
        wanted = ""
        if key in FLAGS and not isinstance(value, bool):
            wanted = "true or false"
        elif key == "toc-depth" and not (isinstance(value, int) and 1 <= value <= 6 and not isinstance(value, bool)):
            wanted = "a whole number from 1 to 6"
        elif key in TEXTS and value is not None and not _is_text(value):
            wanted = "one text (in quotes, where YAML reads something else in it)"
        elif key == "keywords" and not all(map(_is_text, as_list(value))):
            wanted = "a text or a list of texts"
        elif key == "author" and not all(_is_text(a.get("name") if isinstance(a, dict) else a) for a in as_list(value)):
            wanted = "a name, or a list of names or of `name: …`, each as one text in quotes"
        if wanted:
            raise UserError(f"{source}{line_of(f'{key}:', text)}: {key}: must be {wanted}, not {_short(value)}")
        for inner in value.values() if key == "format" and isinstance(value, dict) else [value]:
            if key in ("execute", "format") and isinstance(inner, dict):
                _check_values(inner, text, source)


def _is_text(value: Any) -> bool:
    return value is not None and not isinstance(value, (bool, list, dict))


def _short(value: Any) -> str:
    told = repr(value)
    return told if len(told) < 60 else f"{told[:60]}…"


def parse_yaml(text: str, where: str, first_line: int = 1, what: str = "this is") -> Any:
    """The value of YAML ``text``, whose first line is ``first_line`` of ``where``. Raises ``UserError`` with the line.

    Refused beside broken YAML: a key that stands twice, half a character, and a plain scalar that one reader of YAML
    takes for another thing than the next, or that is not kept as it is written (``0401``, ``98_12``, ``12:30:45``,
    ``1.10``, ``yes``, an impossible date): Quarto would print another title page. In quotes each is a text.
    """
    try:
        tree = yaml.compose(text, yaml.SafeLoader)
        if tree is not None:
            _check_scalars(tree, where, first_line)
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f", line {mark.line + first_line}" if mark else ""
        problem = " ".join(str(getattr(error, "problem", None) or error).split())
        raise UserError(f"{where}{line}: {what} not YAML: {problem}") from error
    except RecursionError:
        raise UserError(f"{where}: {what} not YAML that can be read: nested without end") from None
    except (ValueError, OverflowError) as error:  # a number of thousands of digits
        raise UserError(f"{where}: {what} not YAML that can be read: {error}") from None


def _check_scalars(node: yaml.Node, where: str, first_line: int, key: str = "") -> None:
    line = f"{where}, line {node.start_mark.line + first_line}"
    if isinstance(node, yaml.MappingNode):
        names: set[str] = set()
        for name, value in node.value:
            if str(name.value) in names:
                at = f"{where}, line {name.start_mark.line + first_line}"
                raise UserError(f"{at}: {name.value}: stands twice; write it once")
            names.add(str(name.value))
            _check_scalars(value, where, first_line, str(name.value))
    elif isinstance(node, yaml.SequenceNode):
        for value in node.value:
            _check_scalars(value, where, first_line, key)
    else:
        require_whole_characters(node.value, line)
        kind, written = node.tag.rpartition(":")[2], node.value
        other = kind in ("int", "float", "bool", "timestamp", "null") or _NUMBER_TO_QUARTO.fullmatch(written)
        if node.style is None and other and not _ALIKE.fullmatch(written):
            try:
                same = kind in ("float", "timestamp") and str(yaml.safe_load(written)) == written
            except (ValueError, OverflowError):
                same = False
            if not same:
                way_out = "true or false, or as one text" if kind == "bool" else "one text"
                raise UserError(
                    f"{line}: write {key}: as {way_out} in quotes: YAML does not keep {written[:40]} as it is"
                )


def read_yaml(path: Path) -> dict[str, Any]:
    """The mapping in a YAML file. Raises ``UserError`` where it is missing or broken."""
    found = parse_yaml(read_text(required(path)), str(path)) or {}
    if not isinstance(found, dict):
        raise UserError(f"{path} must hold `name: value` lines")
    return found


def required(path: Path) -> Path:
    """``path``, which must be a file. Raises ``UserError`` otherwise."""
    if not path.is_file():
        raise UserError(f"the file {path} is missing")
    return path


def as_list(value: Any) -> list[Any]:
    """A YAML value that may be one thing or a list of them."""
    return [] if value is None else value if isinstance(value, list) else [value]


def line_of(token: str, text: str) -> str:
    """ ", line N" of the first line that holds ``token``, or nothing."""
    number = next((i for i, line in enumerate(text.splitlines(), 1) if token and token in line), 0)
    return f", line {number}" if number else ""
