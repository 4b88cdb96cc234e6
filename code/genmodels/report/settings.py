"""What is read off code and configs, for every section: settings, learned parameters, a function's own source."""

from __future__ import annotations

import dataclasses
import inspect
import math
import re
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

from IPython.display import Markdown
from torch import nn

from genmodels.report.names import STAGE_NAMES
from genmodels.report.persian import fa, fa_int, table

LAYER_NUMBER = re.compile(r"\.\d+\.")


def hyperparameters(configs: Mapping[str, Any]) -> Markdown:
    """Every field of the (nested) configs of some stages: Persian label, name in the code, a column of values each,
    unit or reason. A setting that a config does not have is a dash there."""
    found = {name: _settings(config) for name, config in configs.items()}
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


def source(function: Callable[..., Any]) -> Markdown:
    """A function of the package as the reader sees it: its own source text, without the docstring."""
    text = inspect.getsource(function)
    if function.__doc__:
        head, _, rest = text.partition('"""')
        text = head.rstrip() + "\n" + rest.partition('"""')[2].lstrip("\n")
    return Markdown(f"```python\n{text.rstrip()}\n```")
