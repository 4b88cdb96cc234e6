"""What is read off code and configs, for every section: settings, learned parameters, a function's own source."""

from __future__ import annotations

import ast
import dataclasses
import inspect
import math
import re
import textwrap
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

from IPython.display import Markdown
from torch import nn

from genmodels.report.names import STAGE_NAMES
from genmodels.report.persian import fa, fa_int, table
from genmodels.report.provenance import in_bf16

PAGE = 96  # characters of code in a line of the PDF
LAYER_NUMBER = re.compile(r"\.\d+\.")


def hyperparameters(results: Mapping[str, Any]) -> Markdown:
    """Every field of the (nested) configs of some results: Persian label, name in the code, a column of values each,
    unit or reason. A setting that a config does not have is a dash there; the precision is the one that was computed in."""
    found = {name: _settings(result.config) for name, result in results.items()}
    for name, result in results.items():
        if "bf16" in found[name]:  # asked for, where the processor has it
            label, _, unit = found[name]["bf16"]
            found[name]["bf16"] = label, in_bf16(result.manifest), unit
    rows = []
    for name in dict.fromkeys(name for settings in found.values() for name in settings):
        said = [settings[name] for settings in found.values() if name in settings]
        label = " / ".join(dict.fromkeys(label for label, _, _ in said))
        unit = "؛ ".join(dict.fromkeys(unit for _, _, unit in said if unit))
        values = {
            "مقدار" if len(found) == 1 else STAGE_NAMES[stage]: show(settings[name][1]) if name in settings else "—"
            for stage, settings in found.items()
        }
        rows.append({"تنظیم": label, "نام در کد": f"`{name}`"} | values | {"یکا یا دلیل": unit or "—"})
    return table(rows)


def _settings(config: Any) -> dict[str, tuple[str, Any, str]]:
    """Name in the code -> (Persian label, value, unit or reason) of every leaf."""
    found: dict[str, tuple[str, Any, str]] = {}
    for item in dataclasses.fields(config):
        value = getattr(config, item.name)
        if dataclasses.is_dataclass(value):
            found |= _settings(value)
        elif value != item.metadata.get("off", dataclasses.MISSING):
            found[item.name] = (item.metadata["label"], value, item.metadata["unit"])
    return found


def show(value: Any) -> str:
    """A setting as the tables print it: Persian digits, yes/no, lists joined; names stay as they are."""
    if isinstance(value, bool):
        return "بله" if value else "نه"
    if isinstance(value, (tuple, list)):
        return "، ".join(map(show, value))
    if isinstance(value, int):
        return fa_int(value)
    if isinstance(value, float):
        return fa(value)
    return f"`{value}`"


def parameters(model: nn.Module) -> Markdown:
    """Every learned tensor: name, shape, count, share; the last row is the sum. Tied tensors appear once.

    Tensors that repeat from layer to layer (same name but for the layer's number, same shape) share one row.
    """
    total = sum(p.numel() for p in model.parameters())
    named = [(name, tuple(p.shape)) for name, p in model.named_parameters()]
    repeats = Counter((LAYER_NUMBER.sub(".*.", name), shape) for name, shape in named)
    rows = []
    for name, shape in named:
        times = repeats.pop((LAYER_NUMBER.sub(".*.", name), shape), 0)
        if not times:
            continue  # already in the row of the first layer
        rows.append(
            {
                "پارامتر": f"`{LAYER_NUMBER.sub('.*.', name) if times > 1 else name}`",
                "شکل": " × ".join(fa_int(side, grouping=False) for side in shape),
                "تکرار": fa_int(times),
                "شمار": fa_int(times * math.prod(shape)),
                "سهم (٪)": fa(100 * times * math.prod(shape) / total, 1),
            }
        )
    last = {"پارامتر": "**مجموع**", "شکل": "", "تکرار": "", "شمار": f"**{fa_int(total)}**", "سهم (٪)": fa(100.0, 1)}
    return table([*rows, last])


def source(*functions: Callable[..., Any], begin: str = "", end: str = "") -> Markdown:
    """Functions of the package as they stand in it: each with its module, its signature and its lines, without docstring.

    ``begin`` and ``end`` cut the body: from the first line that holds ``begin`` to the first one after it that holds
    ``end``, both included; an ellipsis stands for what was left out. Raises ``ValueError`` where no line holds them.
    """
    listings = []
    for function in functions:
        module = inspect.getmodule(function)
        lines = inspect.getsource(function).rstrip().split("\n")
        tree = ast.parse(textwrap.dedent("\n".join(lines))).body[0]
        first, body = tree.body[0].lineno - 1, tree.body[0]  # type: ignore[attr-defined]
        head = lines[:first] if first == 1 and len(lines[0]) <= PAGE else [_signature(lines[0], tree)]
        if isinstance(body, ast.Expr) and isinstance(body.value, ast.Constant):
            first = body.end_lineno or first
        owner = function.__qualname__.rpartition(".")[0]
        place = f"# {module.__name__.replace('.', '/')}.py" + (f", {owner}" if owner else "")
        listings.append([place, *head, *_cut(lines[first:], begin, end)])
    return Markdown("```python\n" + "\n\n".join(map(_dedented, listings)) + "\n```")


def _signature(line: str, tree: Any) -> str:
    """A long signature, or one with a decorator, in a line: the names of the arguments alone."""
    names = [arg.arg for arg in (*tree.args.args, *tree.args.kwonlyargs)]
    names += [f"**{tree.args.kwarg.arg}"] if tree.args.kwarg else []
    return f"{line[: len(line) - len(line.lstrip())]}def {tree.name}({', '.join(names)}):"


def _cut(lines: list[str], begin: str, end: str) -> list[str]:
    start = next((i for i, line in enumerate(lines) if begin in line), None)
    stop = None if start is None else next((i for i, line in enumerate(lines) if i >= start and end in line), None)
    if start is None or stop is None:
        raise ValueError(f"no line holds {begin!r}, and {end!r} after it")
    stop = stop if end else len(lines) - 1
    left = [" " * (len(lines[0]) - len(lines[0].lstrip())) + "..."]
    return (left if start else []) + lines[start : stop + 1] + (left if stop < len(lines) - 1 else [])


def _dedented(lines: list[str]) -> str:
    """Without the indentation of its class; a comment that would not fit on the page stands above its line."""
    shown = [lines[0]]
    for line in textwrap.dedent("\n".join(lines[1:])).split("\n"):
        code, mark, comment = line.partition("  # ")
        if len(line) > PAGE and mark:
            shown += [" " * (len(line) - len(line.lstrip())) + f"# {comment}", code]
        else:
            shown.append(line)
    return "\n".join(shown)
