"""The trained models inside the HTML page: each function gives a block of JSON that ``assets/html/widgets`` can run.

A network travels as one text: fp32 numbers (vectors, and the scales of the matrices' rows) and after them the matrices as
whole numbers (``system/whole_weights.py``), deflated and ``written``. The numbers of levels are the fewest that keep the
page below 12 MB and the losses within the aims of stage ``page``. A mask's dead taps are left out. Nothing is decoded
before a reader touches the figure; other formats than HTML, and documents with ``live: false``, drop the blocks.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from matplotlib.figure import Figure
from torch import Tensor

from genmodels.data.mnist import pack_images
from genmodels.language.base import LanguageModel
from genmodels.language.kneser_ney import KneserNey
from genmodels.language.recurrent import OUTPUT_SCALE, RecurrentLM
from genmodels.pixelcnn.gated import GatedPixelCNN
from genmodels.pixelcnn.masked_conv import MaskedConv2d, PlacedMaskedConv2d
from genmodels.pixelcnn.model import PixelModel
from genmodels.pixelcnn.sampling import draw
from genmodels.report.canvas import BLUE, new_figure
from genmodels.report.image_samples import completions
from genmodels.report.names import STAGE_NAMES
from genmodels.report.persian import fa, fa_int
from genmodels.report.plotting import persian_text, persian_ticks
from genmodels.report.widgets import block, in_base64
from genmodels.system.whole_weights import is_matrix, quantise, rounded, uniforms
from genmodels.text.characters import ARABIC, ARABIC_LETTERS, LATIN, LOOK_ALIKES, VOWEL_MARKS
from genmodels.text.tokenizer import Tokenizer

if TYPE_CHECKING:
    from IPython.display import Markdown


WITHOUT_SCRIPTS = "این شکل در مرورگری که اسکریپت‌ها را اجرا کند با خود مدل‌ها کار می‌کند."
# 91 printable signs: without what ends a text or an element, and without /, so that no chance text is a path or an address.
SIGNS = bytes(code for code in range(32, 127) if chr(code) not in '"/<\\')


class Parcel:
    """Arrays on their way into the page: ``vectors`` fp32 first, then ``matrices`` of whole numbers, each named."""

    def __init__(self, levels: int) -> None:
        self.levels = levels
        self.names: list[list[Any]] = []  # [name, rows, columns], columns 0 for a vector
        self.vectors: list[np.ndarray] = []
        self.matrices: list[np.ndarray] = []

    def add(self, name: str, weight: Tensor) -> None:
        """A parameter: a matrix (R, ...) with its scales, or a vector."""
        if not is_matrix(weight):
            self.vectors.append(weight.detach().numpy().astype("<f4").reshape(-1))
            self.names.append([name, self.vectors[-1].size, 0])
            return
        whole, scale = quantise(weight, self.levels)
        self.vectors.append(scale.numpy().astype("<f4"))
        self.matrices.append(whole.numpy().reshape(len(whole), -1))
        self.names.append([name, *self.matrices[-1].shape])

    def packed(self) -> dict[str, Any]:
        parts = [part.tobytes() for part in (*self.vectors, *self.matrices)]
        return {"tensors": self.names, "weights": deflated(b"".join(parts))}


def written(content: bytes) -> list[Any]:
    """Bytes as [how many, text]: thirteen bits, the lowest first, in two of ``SIGNS``; 8% shorter than base64."""
    bits = np.unpackbits(np.frombuffer(content, np.uint8), bitorder="little")
    groups = np.pad(bits, (0, -len(bits) % 13)).reshape(-1, 13) @ (1 << np.arange(13))
    pairs = np.column_stack(np.divmod(groups, len(SIGNS)))
    return [len(content), np.frombuffer(SIGNS, np.uint8)[pairs].tobytes().decode("ascii")]


def deflated(content: bytes) -> list[Any]:
    """zlib's format, ``written``. Weights never repeat, so that the search for repetitions is left out."""
    coder = zlib.compressobj(9, zlib.DEFLATED, 15, 9, zlib.Z_HUFFMAN_ONLY)
    return written(coder.compress(content) + coder.flush())


def language_model(model: LanguageModel, levels: int) -> dict[str, Any]:
    """What the page needs to run an LSTM or a Transformer: shape and weights, under PyTorch's names."""
    parcel = Parcel(levels)
    for name, parameter in model.named_parameters():
        parcel.add(name, parameter)
    config = model.config
    if isinstance(model, RecurrentLM):
        shape = {"kind": "lstm", "layers": config.layers, "outputScale": OUTPUT_SCALE}
    else:
        shape = {"kind": "transformer", "layers": config.layers, "heads": config.heads, "kvHeads": config.kv_heads,
                 "context": config.context, "epsilon": model.final_norm.eps}  # fmt: skip
    return shape | {"width": model.width, "vocabulary": model.vocabulary} | parcel.packed()


def counts(model: KneserNey) -> dict[str, Any]:
    """The counts of a ``pruned`` model, orders 1 … n: keys as differences, every number in groups of seven bits."""
    streams = []
    for level in model.levels:
        streams += [_sevens(np.diff(level.keys, prepend=0)), _sevens(level.counts), _sevens(level.totals)]
    return {"kind": "ngram", "vocabulary": model.vocabulary, "discounts": model.discounts[:, :3].tolist(),
            "sizes": [[len(level.keys), len(level.totals)] for level in model.levels],
            "weights": written(zlib.compress(b"".join(streams), 9))}  # fmt: skip


def _sevens(values: np.ndarray) -> bytes:
    """Whole numbers >= 0, seven bits a byte, the lowest first; the eighth bit says that more follow."""
    out = bytearray()
    for value in values.tolist():
        while value >= 128:
            out.append(value & 127 | 128)
            value >>= 7
        out.append(value)
    return bytes(out)


def image_model(model: PixelModel, levels: int) -> dict[str, Any]:
    """A network of masked convolutions: for each its live taps (dy, dx), row by row, and its weights in that order."""
    parcel, layers = Parcel(levels), {}
    for name, conv in model.named_modules():
        if not isinstance(conv, MaskedConv2d):
            continue
        taps = [[int(y) + conv.rows.start - conv.kernel // 2, int(x) + conv.columns.start - conv.kernel // 2]
                for y, x in conv.mask.nonzero()]  # fmt: skip
        live = conv.live_weight[:, :, conv.mask.bool()]  # (C_out, C_in, taps)
        parcel.add(f"{name}.weight", live.transpose(1, 2).flatten(1))  # (C_out, taps C_in)
        parcel.add(f"{name}.bias", conv.bias)
        if isinstance(conv, PlacedMaskedConv2d):
            parcel.add(f"{name}.slopes", conv.slopes)
        layers[name] = {"taps": taps, "inputs": conv.in_channels, "outputs": conv.out_channels}
    kind = (
        {"kind": "gated", "residual": model.config.residual} if isinstance(model, GatedPixelCNN) else {"kind": "stack"}
    )
    return kind | {"side": model.image_size[0], "layers": layers} | parcel.packed()


def writers(models: Mapping[str, Any], levels: int, beginning: str) -> Markdown:
    """The language models by stage, side by side; ``beginning`` is what the field holds at first. The page needs the merges,
    too (``widgets.merges``)."""
    content = {name: counts(m) if isinstance(m, KneserNey) else language_model(m, levels) for name, m in models.items()}
    told = {"names": list(models), "beginning": beginning, "classes": classes()}
    return _live("writers", told, content)


def classes() -> dict[str, Any]:
    """Classes of characters for ``typed.js``, escaped as JavaScript's regular expressions read them: the look-alikes of each
    Persian letter, vowel marks, Latin and Arabic letters."""
    alike: dict[str, str] = {}
    for letter in LOOK_ALIKES:
        alike[ARABIC_LETTERS(letter)] = alike.get(ARABIC_LETTERS(letter), "") + letter
    escaped = {
        name: json.dumps(of)[1:-1] for name, of in (("marks", VOWEL_MARKS), ("latin", LATIN), ("arabic", ARABIC))
    }
    return escaped | {"alike": {letter: json.dumps(others)[1:-1] for letter, others in alike.items()}}


def painters(models: Mapping[str, PixelModel], levels: int, image: Tensor, rows: int) -> Markdown:
    """The networks on images by stage; the first ``rows`` rows of ``image`` (28, 28) lie on the field at first."""
    given = image.clone()
    given[rows:] = 0
    packed = in_base64(pack_images(given[None]))
    content = {name: image_model(model, levels) for name, model in models.items()}
    return _live("painters", {"names": list(models), "image": packed, "rows": rows}, content)


def _live(name: str, told: dict[str, Any], models: dict[str, Any]) -> Markdown:
    """What a figure knows at once, the models that it opens later, and a word for pages without scripts."""
    from IPython.display import Markdown

    word = f'```{{=html}}\n<noscript id="data-{name}_absent"><p>{WITHOUT_SCRIPTS}</p></noscript>\n```'
    return Markdown("\n\n".join([block(name, told).data, block(f"{name}_models", models).data, word]))


def expectations(models: Mapping[str, Any], levels: int, tokenizer: Tokenizer, beginning: str) -> Figure:
    """What the figure of ``writers`` shows first: each model's ten likeliest tokens after ``beginning``, in percent."""
    ids = [tokenizer.bos, *tokenizer.encode(beginning)]
    symbols = tokenizer.as_bpe()
    figure, axes = new_figure(6.6, 2.7, 1, len(models))
    for ax, (name, model) in zip(axes[::-1], models.items()):  # the first on the right
        p = following(model, levels, ids)
        likely = np.argsort(-p, kind="stable")[:10]
        names = ["پایان متن" if i == tokenizer.eos else symbols.text(int(i)) for i in likely]
        ax.barh(range(10), 100 * p[likely], color=BLUE, alpha=0.75, edgecolor="black", linewidth=0.6)
        ax.set_yticks(range(10), [persian_text(each) for each in names])
        ax.set_title(persian_text(STAGE_NAMES[name]), fontsize=9)
        ax.invert_yaxis()
        ax.invert_xaxis()
        ax.yaxis.tick_right()
        ax.grid(False, axis="y")
        persian_ticks(ax)
    return figure


@torch.no_grad()
def following(model: Any, levels: int, ids: list[int]) -> np.ndarray:
    """p of every token after ``ids``, (V,) fp64, as the page's model gives it."""
    if isinstance(model, KneserNey):
        return model.distribution(ids)
    logits, _ = rounded(model, levels)(torch.tensor([ids]))
    return torch.softmax(logits[0, -1].double(), 0).numpy()


def finished(models: Mapping[str, PixelModel], levels: int, image: Tensor, rows: int, count: int = 4) -> Figure:
    """What the figure of ``painters`` draws first: ``count`` completions by each network, a row each, with the page's random
    numbers of seed 1."""
    height, width = image.shape
    mask = (torch.arange(height) < rows)[:, None].expand(height, width)
    numbers = torch.from_numpy(uniforms(1, np.arange(count * image.numel()))).view(count, height, width)
    drawn = [draw(rounded(model, levels), numbers, given=image * mask, mask=mask)[:, 0] for model in models.values()]
    return completions(image.expand(len(models), height, width), mask, torch.stack(drawn))


def exactness_rows(page: Any) -> list[dict[str, str]]:
    """``page`` (result of stage ``page``): the losses of the page's models beside those of the measured models."""
    rows = []
    for name, found in page.metrics["models"].items():
        on_images, counted = name.startswith("pixelcnn"), name == "ngram"
        levels = page.config.image_levels if on_images else page.config.text_levels
        kept = f"مرتبهٔ {fa_int(len(page.config.least))}، {fa_int(sum(page.metrics['grams']))} n-gram"
        difference = found["page"] - found["measured"]
        rows.append(
            {
                "مدل": STAGE_NAMES[name],
                "در صفحه": kept if counted else f"وزن‌های درست با {fa_int(2 * levels + 1)} مقدار",
                "زیان سنجیده": fa(found["measured"], 3),
                "زیان در صفحه": fa(found["page"], 3),
                "اختلاف (نات)": fa(difference, 3),
                "اختلاف (٪)": fa(100 * difference / found["measured"], 2),
            }
        )
    return rows
