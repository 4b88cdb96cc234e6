"""Sentences of the document, held against the results of this very execution; and what of the execution died.

``holds(key, condition, found)`` stands in a chunk beside the sentence, ``note(key)`` at the sentence's end: nothing is
shown where the condition holds; where it does not, or cannot be computed, a marked span says what was found. The
document appears in any case: the Lua filter counts the marks on page 1, the exit code is ``render.verdict``'s.

An inline expression that fails (a name of a chunk that died) reads «؟», marked. Not here: proofs (``genmodels.checks``,
``verify``), and sentences that are written in either direction (``genmodels.report.sentences``).
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping, Sequence
from numbers import Real
from typing import TYPE_CHECKING, Any

from genmodels.report.persian import fa

if TYPE_CHECKING:
    from IPython.display import Markdown

HELD = "[]{.claim}"  # for the filter, which counts it and takes it away
REFUTED = " [**✗ این جمله با نتیجهٔ این اجرا نمی‌خواند: {}.**]{{.unclaimed}}"
UNTRIED = " [**✗ این جمله در این اجرا سنجیدنی نبود: {}.**]{{.unclaimed}}"
UNKNOWN = "[**؟**]{.unknown}"  # instead of the value of an inline expression that failed

_marks: dict[str, str | None] = {}  # key -> the mark (Markdown), None where the claim holds
_dead: list[str] = []


def holds(key: str, condition: Any, found: str | Callable[[], str] = "") -> None:
    """Claim ``key``: its sentence stands where ``condition`` is true.

    ``condition`` and ``found`` (Persian, what was found instead) may be functions without arguments: one that raises
    makes the claim one that cannot be computed, and the chunk goes on.
    """
    try:
        if bool(condition() if callable(condition) else condition):
            _marks[key] = None
        else:
            _marks[key] = REFUTED.format((found() if callable(found) else found) or "شرط آن برقرار نیست")
    except Exception as error:  # whatever it is, the sentence is marked and the next one is looked at
        _marks[key] = UNTRIED.format(f"`{_words(error)}`")


def note(key: str) -> Markdown:
    """What stands at the end of the sentence of claim ``key``: nothing to see, or the mark."""
    from IPython.display import Markdown

    mark = _marks.setdefault(key, UNTRIED.format("قطعهٔ کد آن اجرا نشد"))
    return Markdown(HELD if mark is None else mark)


def unmet() -> list[str]:
    """``key: what its mark says`` of every claim that does not hold or could not be computed."""
    return [f"{key}: {mark.strip(' []').split('**')[1]}" for key, mark in _marks.items() if mark is not None]


def dead() -> list[str]:
    """What died in this kernel since ``watch``: chunks by their first line, and inline expressions, with the error."""
    return list(_dead)


def watch() -> None:
    """Count what dies in this kernel (Quarto tells nobody), and let its inline expressions fail softly, too.

    Quarto stops at an inline expression that raises, whatever ``execute: error`` says; here the kernel answers for it.
    """
    from IPython import get_ipython

    shell = get_ipython()
    if shell is None:
        return
    evaluate = shell.user_expressions

    def finished(result: Any) -> None:
        error = result.error_before_exec or result.error_in_exec
        if error is not None:
            first = (result.info.raw_cell.strip().splitlines() or [""])[0]
            _dead.append(f"the chunk beginning {first!r}: {_words(error)}")

    def answered(expressions: Mapping[str, str]) -> dict[str, Any]:
        replies = evaluate(expressions)
        for name, reply in replies.items():
            if reply["status"] == "error":
                _dead.append(f"`{expressions[name]}`: {reply['ename']}: {reply['evalue']}")
                text = {"text/plain": UNKNOWN, "text/markdown": UNKNOWN}
                replies[name] = {"status": "ok", "data": text, "metadata": {}}
        return replies

    shell.events.register("post_run_cell", finished)
    shell.user_expressions = answered


def answers(expressions: Sequence[str], namespace: dict[str, Any]) -> str:
    """JSON of the values of inline ``expressions``, for the route without Quarto: [{"text", "markdown", "died"}, …].

    A number reads as ``fa`` writes it. ``text`` is ``None`` where a value is neither, nor text nor Markdown, and ``died`` the type's name then.
    """
    return json.dumps([_answer(expression, namespace) for expression in expressions])


def _answer(expression: str, namespace: dict[str, Any]) -> dict[str, Any]:
    try:
        value = eval(f"(\n{expression}\n)", namespace)  # the document's own code
        if hasattr(value, "_repr_markdown_"):
            return {"text": value._repr_markdown_(), "markdown": True, "died": ""}
    except Exception as error:
        return {"text": UNKNOWN, "markdown": True, "died": _words(error)}
    if isinstance(value, Real) and not isinstance(value, bool):
        value = fa(value)
    if isinstance(value, str):
        return {"text": value, "markdown": False, "died": ""}
    return {"text": None, "markdown": False, "died": type(value).__name__}


def _words(error: BaseException) -> str:
    """The error in one line that may stand in Markdown code; no folder of this machine in it."""
    message = f"{type(error).__name__}: {error}".strip().rstrip(":").split("\n")[-1]
    return message.replace("`", "'").replace("**", "*").replace(os.getcwd(), ".")[:200]
