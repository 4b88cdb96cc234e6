"""What the document shows: a module a section (its tables, figures and Persian words), and what they stand on."""

from importlib import import_module
from types import ModuleType


def __getattr__(name: str) -> ModuleType:
    """``report.network`` is imported when the document first names it: names of sections are names of results there."""
    try:
        return import_module(f"{__name__}.{name}")
    except ModuleNotFoundError as error:
        if error.name != f"{__name__}.{name}":
            raise
        raise AttributeError(f"{__name__} has no section {name}") from None
