"""What the moving figures of the HTML page know: each function gives one block of JSON, which only HTML shows.

The scripts in ``assets/html/widgets`` read these blocks and add to a figure or a table that stands without them; the
PDF drops the blocks (raw HTML). Nothing is computed here that the report does not show: masks are read off the model,
formulas off ``attention.cost``, merges off the shipped tokenizer. No Persian: the words are in the scripts.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import sympy as sp
from torch import Tensor

from genmodels.attention.cost import STEPS
from genmodels.attention.quantity import Log2
from genmodels.data.mnist import pack_images
from genmodels.errors import UserError
from genmodels.language.loss_profile import Word
from genmodels.pixelcnn.model import PixelCNN
from genmodels.text.bpe import BPE, BYTE_ORDER, PATTERN, TRACED

if TYPE_CHECKING:
    from IPython.display import Markdown


def block(name: str, content: dict[str, Any]) -> Markdown:
    """``content`` as JSON in a script element ``data-NAME``, as raw HTML that other formats leave out."""
    from IPython.display import Markdown

    text = json.dumps(content, ensure_ascii=False, separators=(",", ":")).replace("<", "\\u003c")
    return Markdown(f'```{{=html}}\n<script type="application/json" id="data-{name}">{text}</script>\n```')


def in_base64(array: np.ndarray) -> str:
    """An array's bytes as text."""
    return base64.b64encode(array.tobytes()).decode("ascii")


def field(model: PixelCNN, image: Tensor, row: int, column: int) -> Markdown:
    """The live taps (dy, dx) of every layer, from which the script computes any pixel's field; ``image`` (28, 28)
    lies under it, and (row, column) is where the point starts."""
    layers = []
    for layer in model.convolutions:
        centre = layer.kernel // 2
        layers.append([[int(y) - centre, int(x) - centre] for y, x in layer.mask.nonzero()])
    height, width = model.image_size
    packed = in_base64(pack_images(image[None]))
    return block("field", {"layers": layers, "height": height, "width": width, "image": packed, "row": row,
                           "column": column})  # fmt: skip


def drawing(images: Tensor, columns: int = 10) -> Markdown:
    """Generated images (N, 1, 28, 28), a bit a pixel (98 bytes an image), to be drawn pixel by pixel."""
    return block("growth", {"images": in_base64(pack_images(images)), "count": len(images), "columns": columns,
                            "side": images.shape[-1]})  # fmt: skip


def merges(bpe: BPE, word: str = TRACED) -> Markdown:
    """The merges as pairs of 16-bit ids (little-endian), the bytes in the order of their ids, and a word to begin
    with (with the space before it). Raises ``UserError`` for a vocabulary that 16 bits cannot number."""
    if bpe.first_id + 256 + len(bpe.merges) > 1 << 16:
        raise UserError(f"{len(bpe.merges)} merges do not fit ids of 16 bits; give a smaller vocabulary")
    pairs = in_base64(np.array(bpe.merges, dtype="<u2"))
    order = in_base64(np.frombuffer(BYTE_ORDER, np.uint8))
    return block("merges", {"pairs": pairs, "bytes": order, "first": bpe.first_id, "pattern": PATTERN, "word": word})


def costs() -> Markdown:
    """The formulas of ``tbl-2-6-summary`` as trees (``["*", "n", ["^", "d", 2]]``), in the table's order."""
    numbers = next(iter(STEPS.values())).numbers
    used = sorted({str(symbol) for step in STEPS.values() for symbol in step.expression.free_symbols})
    setting = {str(symbol): str(value) for symbol, value in numbers.items() if str(symbol) in used}
    return block("costs", {"setting": setting, "steps": [[key, tree(step.expression)] for key, step in STEPS.items()]})


def tree(expression: sp.Expr) -> Any:
    """A formula as nested lists: a symbol's name, a rational as text, or an operator before its operands.

    Raises ``UserError`` for an operation other than sum, product, whole power and ``Log2``.
    """
    if expression.is_Symbol:
        return str(expression)
    if expression.is_Rational:
        return str(expression)
    if isinstance(expression, sp.Pow) and expression.exp.is_Integer:
        return ["^", tree(expression.base), int(expression.exp)]
    for kind, name in ((sp.Add, "+"), (sp.Mul, "*"), (Log2, "log2")):
        if isinstance(expression, kind):
            return [name, *map(tree, expression.args)]
    raise UserError(f"the page cannot compute {expression}; it knows +, ×, whole powers and log2")


def passage(words: Sequence[Word]) -> Markdown:
    """The words of a passage with the loss of each of their tokens under every model (nats, three decimals)."""
    rows = [
        {
            "text": word.text,
            "pieces": word.pieces,
            "losses": [[round(x, 3) for x in nll] for nll in word.by_piece.values()],
        }
        for word in words
    ]
    every = [loss for word in words for loss in word.losses.values()]
    return block("passage", {"words": rows, "models": list(words[0].losses), "top": float(np.quantile(every, 0.95))})
