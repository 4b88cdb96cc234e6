"""Progress bars: tqdm on stderr, silent when stderr is not a terminal (CI, the report's kernel)."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import Any

from tqdm import tqdm


def progress_bar(iterable: Iterable[Any] | None = None, **options: Any) -> tqdm:
    """A tqdm bar with rate and estimated end; ``disable`` follows whether stderr is a terminal."""
    options.setdefault("disable", not sys.stderr.isatty())
    options.setdefault("file", sys.stderr)
    options.setdefault("dynamic_ncols", True)
    return tqdm(iterable, **options)
