"""The options of a document, as Quarto merges them from ``_quarto.yml`` and the front matter; which of them we know.

An option that the route without Quarto would ignore is a ``UserError``: the two routes must not drift apart unseen.
What it does not do: act on any option (``render``, ``weave``).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from genmodels.errors import UserError
from genmodels.files import read_text

EXECUTE = {"echo", "eval", "include", "output", "warning", "error", "enabled", "daemon"}
TOP = {
    "title", "subtitle", "author", "student-id", "date", "date-format", "abstract", "description", "keywords", "lang",
    "dir", "language", "bibliography", "csl", "nocite", "link-citations", "number-sections", "toc", "toc-depth",
    "toc-title", "jupyter", "execute", "format", "filters", "project", "code-fold",
}  # fmt: skip
FORMAT = {
    "html": {"embed-resources", "html-math-method", "minimal", "theme", "template", "css", "appendix-style", "fig-format", "include-in-header"},
    "typst": {"papersize", "section-numbering", "font-paths", "include-in-header", "keep-typ"},
}


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


def read_yaml(path: Path) -> dict[str, Any]:
    """The mapping in a YAML file. Raises ``UserError`` where it is missing or broken."""
    try:
        found = yaml.safe_load(read_text(required(path))) or {}
    except yaml.YAMLError as error:
        raise UserError(f"{path} is not YAML: {getattr(error, 'problem', error)}") from error
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
    """", line N" of the first line that holds ``token``, or nothing."""
    number = next((i for i, line in enumerate(text.splitlines(), 1) if token and token in line), 0)
    return f", line {number}" if number else ""
