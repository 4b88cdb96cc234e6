"""Images from a PixelCNN, pixel by pixel, by three exact samplers: the same random numbers, the same images.

Ancestral sampling: pixel i is 1 where u_i < p(x_i = 1 | x_1 .. x_{i-1}); all uniforms u are drawn up front, so that the
result depends on the generator alone, not on the method. What differs is how the one new probability is computed:
* ``naive``: the whole network on the whole image, for each of the H W pixels. The reference.
* ``cropped``: at each layer only the patch that the pixel depends on. Zeros are padded at the true border of the image
  only: anywhere else the neighbours are real features, and a padded zero would be a different network.
* ``incremental``: nothing twice. A layer's output at one pixel splits into the taps in the rows above (known before the
  row begins: one convolution for the whole row) and the few taps in its own row (one matrix product a pixel). Finished
  features are kept, so that an image costs the multiplications of one forward pass. The idea of caching is that of
  Ramachandran et al. 2017 (arXiv 1704.06001); splitting by rows is what makes the kernels large enough to be fast.

None of them knows a network: a ``PixelModel`` calls its layers through ``apply``; a sampler decides what that does.

The three agree up to rounding of p; a pixel can differ only if u falls into that gap (about 1e-7 wide in fp32, 1e-16
for a model in fp64). Not here: drawing figures, and layers other than ``MaskedConv2d``.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from genmodels.errors import UserError
from genmodels.pixelcnn.masked_conv import MaskedConv2d
from genmodels.pixelcnn.model import PixelModel
from genmodels.system.processes import progress_bar
from genmodels.system.proof import Again


class Naive:
    """One full forward pass a pixel."""

    def __init__(self, model: PixelModel, canvas: Tensor) -> None:
        self.model, self.canvas = model, canvas

    def logit(self, row: int, column: int) -> Tensor:
        """(N,) logits of pixel (row, column), given all earlier pixels of the canvas."""
        return self.model(self.canvas)[:, 0, row, column]


class Cropped:
    """Per pixel and layer, the rectangle of features that the pixel's logit depends on."""

    def __init__(self, model: PixelModel, canvas: Tensor) -> None:
        self.model, self.canvas = model, canvas
        self.reaches: list[tuple[int, int, int]] = []  # left, right, up: of each applied layer, in order
        model.along(canvas[:1], model.above(canvas[:1], self._note), self._note)

    def _note(self, conv: MaskedConv2d, x: Tensor) -> Tensor:
        left, right, up, _ = conv.reach
        self.reaches.append((left, max(0, right), up))
        return conv(x)

    def logit(self, row: int, column: int) -> Tensor:
        """(N,) logits of pixel (row, column), given all earlier pixels of the canvas."""
        width = self.model.image_size[1]
        # What each layer must give, from the last to the first: at most what all the later ones reach for.
        boxes = [(row, column, column)]  # top row, left and right column; the bottom is ``row``
        for left, right, up in reversed(self.reaches):
            top, first, last = boxes[0]
            boxes.insert(0, (max(0, top - up), max(0, first - left), min(width - 1, last + right)))
        self.row, self.window, self.wanted = row, boxes[0], iter(boxes[1:])
        top, first, last = self.window
        x = self.canvas[:, :, top : row + 1, first : last + 1]
        logits = self.model.along(x, self.model.above(x, self._patch), self._patch)  # as large as the window
        return logits[:, 0, -1, column - first]

    def _patch(self, conv: MaskedConv2d, x: Tensor) -> Tensor:
        """The layer where its output is wanted, zero elsewhere in the window, so that sums of features fit."""
        (left, right, up, down), (top, first, last) = conv.reach, next(self.wanted)
        origin, side, height = self.window[1], x.shape[3], x.shape[2]
        above, start, end = height - 1 - (self.row - top), first - origin, last - origin  # in the window's coordinates
        # Beyond the window lies the image's border, where zeros are right, or what no wanted output depends on.
        patch = F.pad(x, (left, max(0, right), up, 0))[:, :, above : height + up + down, start : end + 1 + left + right]
        bias = conv.biases(*self.model.image_size)[:, top : self.row + 1, first : last + 1]
        out = F.conv2d(patch, conv.live_weight) + bias  # (N, C, rows, columns)
        return F.pad(out, (start, side - 1 - end, above, 0))


class _Ring:
    """The last rows of a layer's input, channels last, and the convolution over all of them.

    Row r lies in slot r mod ``rows``, with zero columns on either side. The ring is never shifted: the kernel's rows are
    rotated instead, and every rotation is made beforehand.
    """

    def __init__(self, weight: Tensor, margins: tuple[int, int], count: int, width: int) -> None:
        self.left, self.width, self.rows = margins[0], width, weight.shape[2]
        self.rotations = [
            weight.roll(shift, dims=2).contiguous(memory_format=torch.channels_last) for shift in range(self.rows)
        ]
        self.values = weight.new_zeros(count, max(1, self.rows), width + sum(margins), weight.shape[1])

    def convolve(self, oldest: int) -> Tensor:
        """The rows of the ring, of which number ``oldest`` is the first: (N, C_out, 1, W)."""
        return F.conv2d(self.values.permute(0, 3, 1, 2), self.rotations[oldest % self.rows])


class _Rows:
    """A layer of part "above", row after row."""

    def __init__(self, conv: MaskedConv2d, count: int, height: int, width: int) -> None:
        left, right, *_ = conv.reach
        self.ring, self.row = _Ring(conv.live_weight.detach(), (left, right), count, width), 0
        self.biases = conv.biases(height, width).detach()

    def output(self, x: Tensor) -> Tensor:
        """(N, C_in, 1, W) -> (N, C_out, 1, W): the next row of the input; the output hangs on it and those before."""
        ring = self.ring
        ring.values[:, self.row % ring.rows, ring.left : ring.left + ring.width] = x[:, :, 0].transpose(1, 2)
        self.row += 1
        return ring.convolve(self.row) + self.biases[:, self.row - 1 : self.row]


class _Pixels:
    """A layer of part "raster" or "left", pixel after pixel: its weights cut in rows above and own row.

    When row r begins, its slot of the ring still holds row r - up, which ``begin_row`` uses for the last time; then row
    r overwrites it from left to right.
    """

    def __init__(self, conv: MaskedConv2d, count: int, height: int, width: int) -> None:
        left, right, self.up, _ = conv.reach
        weight = conv.live_weight.detach()  # (C_out, C_in, up + 1, columns)
        self.hidden = conv.mask_type == "A"  # the input at the pixel itself is not known yet, and not needed
        self.taps = left + (0 if self.hidden else 1)  # live taps in the pixel's own row
        own_row = weight[:, :, self.up, : self.taps]  # (C_out, C_in, taps)
        self.own_row = own_row.permute(2, 1, 0).reshape(self.taps * conv.in_channels, conv.out_channels).contiguous()
        self.count, self.biases = count, conv.biases(height, width).detach().permute(1, 2, 0)  # (H, W, C_out)
        self.ring = _Ring(weight[:, :, : self.up], (left, max(0, right)), count, width)

    def begin_row(self, row: int) -> None:
        """The share of the rows above in every output of this row, bias included: ``above``, (N, W, C_out)."""
        self.slot = row % self.up if self.up else 0
        self.above = self.biases[row].expand(self.count, -1, -1)
        if self.up and row:
            self.above = self.above + self.ring.convolve(row)[:, :, 0].transpose(1, 2)

    def put(self, column: int, value: Tensor) -> None:
        """Store the layer's input at (current row, column): (N, C_in)."""
        self.ring.values[:, self.slot, column + self.ring.left] = value

    def output(self, column: int, value: Tensor) -> Tensor:
        """The layer's output at (current row, column), (N, C_out); ``value`` is its input there."""
        if self.ring.left:
            if not self.hidden:
                self.put(column, value)
            value = self.ring.values[:, self.slot, column : column + self.taps].flatten(1)  # (N, taps * C_in): a view
        return torch.addmm(self.above[:, column], value, self.own_row)


class Incremental:
    """Every feature once: rows above by one convolution a row and layer, the pixel's own row by one product a pixel."""

    def __init__(self, model: PixelModel, canvas: Tensor) -> None:
        self.model, self.canvas = model, canvas
        layers = [module for module in model.modules() if isinstance(module, MaskedConv2d)]
        size = (len(canvas), *model.image_size)
        self.rows = {conv: _Rows(conv, *size) for conv in layers if conv.part == "above"}
        self.pixels = {conv: _Pixels(conv, *size) for conv in layers if conv.part != "above"}
        self.inputs = [layer for layer in self.pixels.values() if layer.hidden]  # those that read the image itself

    def logit(self, row: int, column: int) -> Tensor:
        """(N,) logits of pixel (row, column). Must be called for every pixel, in raster order."""
        if column:  # the pixel drawn last; the row's last pixel is stored when the next row begins
            self._drawn(row, column - 1)
        else:
            self._begin_row(row)
        self.column = column
        told = [rows[:, :, 0, column] for rows in self.told]  # each (N, C)
        return self.model.along(self.canvas[:, :, row, column], told, self._pixel)[:, 0]

    def _drawn(self, row: int, column: int) -> None:
        for layer in self.inputs:
            layer.put(column, self.canvas[:, :, row, column])

    def _begin_row(self, row: int) -> None:
        if row:
            self._drawn(row - 1, self.canvas.shape[3] - 1)
        for layer in self.pixels.values():
            layer.begin_row(row)
        finished = self.canvas[:, :, row - 1 : row] if row else torch.zeros_like(self.canvas[:, :, :1])
        self.told = self.model.above(finished, self._row)  # each (N, C, 1, W)

    def _row(self, conv: MaskedConv2d, x: Tensor) -> Tensor:
        return self.rows[conv].output(x) if conv in self.rows else conv(x)  # a 1x1 needs no memory

    def _pixel(self, conv: MaskedConv2d, value: Tensor) -> Tensor:
        return self.pixels[conv].output(self.column, value)


METHODS = {"naive": Naive, "cropped": Cropped, "incremental": Incremental}


def sample(
    model: PixelModel,
    count: int,
    generator: torch.Generator,
    method: str = "incremental",
    temperature: float = 1.0,
    given: Tensor | None = None,
    mask: Tensor | None = None,
) -> Tensor:
    """``count`` images of zeros and ones, (N, 1, H, W) float32 on the CPU, drawn from the model by ``method``.

    ``temperature`` divides the logits: below 1 safer, above 1 wilder; only 1 draws from the model's own distribution.
    ``given`` ((H, W), (1, 1, H, W) or (N, 1, H, W), zeros and ones) and ``mask`` (same shapes, bool, True = keep the
    given pixel) complete images. A kept pixel conditions only those after it in raster order: that is exact for masks
    that keep a beginning of the image, and for others it is not the conditional distribution given all kept pixels.
    Random numbers come from ``generator`` (a CPU generator), (N, H W) float64 at once.

    Raises ``UserError`` for an unknown method, a count < 1, a temperature that is not a finite number above 0, and
    ``given`` or ``mask`` of another shape, type or range, or one without the other.
    """
    if count < 1:
        raise UserError(f"asked for {count} images; ask for at least 1")
    uniforms = torch.rand(count, *model.image_size, generator=generator, dtype=torch.float64)
    return draw(model, uniforms, method, temperature, given, mask)


@torch.no_grad()
def draw(
    model: PixelModel,
    uniforms: Tensor,
    method: str = "incremental",
    temperature: float = 1.0,
    given: Tensor | None = None,
    mask: Tensor | None = None,
) -> Tensor:
    """``sample`` from the random numbers themselves, (N, H, W) float64 inside (0, 1)."""
    if method not in METHODS:
        raise UserError(f"sampling method {method!r} is unknown; choose one of {', '.join(METHODS)}")
    if not 0 < temperature < float("inf"):
        raise UserError(f"temperature is {temperature}; give a finite number above 0 (1 draws from the model itself)")
    count, height, width = uniforms.shape
    like = next(model.parameters())
    keep, pixels = _completion(given, mask, count, height, width)
    keep, pixels, uniforms = keep.to(like.device), pixels.to(like), uniforms.to(like.device)
    canvas = torch.zeros(count, 1, height, width, dtype=like.dtype, device=like.device)
    stepper = METHODS[method](model, canvas)
    with torch.autocast(like.device.type, enabled=False):
        for row in progress_bar(range(height), desc=f"sampling ({method})", unit="row"):
            for column in range(width):
                probability = torch.sigmoid(stepper.logit(row, column).double() / temperature)  # (N,)
                drawn = (uniforms[:, row, column] < probability).to(like.dtype)
                kept = keep[:, row, column]
                canvas[:, 0, row, column] = torch.where(kept, pixels[:, row, column], drawn)
    return canvas.float().cpu()


def replay(model: PixelModel, images: Tensor, generator: torch.Generator, temperature: float = 1.0) -> Again:
    """What full forward passes would have drawn at each pixel, had they seen the earlier pixels of ``images``.

    With a generator in the state that ``sample`` began with, the answer holds exactly where ``sample`` was right; and
    if it holds everywhere, then so would 784 naive passes have drawn (by induction over the pixels, the model being
    causal), but for ties within rounding. One forward pass instead of 784: a cheap proof of a sampler on the very
    images that are shown.
    """
    return Again.of(gaps(model, images, generator, temperature))


@torch.no_grad()
def gaps(model: PixelModel, images: Tensor, generator: torch.Generator, temperature: float = 1.0) -> Tensor:
    """(N, 1, H, W): how far each pixel's uniform number lies from where it would have given that pixel; see ``ties``."""
    model.check_images(images)
    like = next(model.parameters())
    uniforms = torch.rand(len(images), *model.image_size, generator=generator, dtype=torch.float64)
    with torch.autocast(like.device.type, enabled=False):
        logits = model(images.to(like)).double().cpu()  # (N, 1, H, W)
    beyond = uniforms[:, None] - torch.sigmoid(logits / temperature)  # below 0: the pixel is lit
    return torch.where((beyond < 0) == (images.cpu() > 0), 0 * beyond, beyond.abs())  # 0 * NaN stays no number


def _completion(
    given: Tensor | None, mask: Tensor | None, count: int, height: int, width: int
) -> tuple[Tensor, Tensor]:
    """(keep, pixels), both (N, H, W), from what the caller gave; nothing kept where nothing was given."""
    if (given is None) != (mask is None):
        raise UserError("a completion needs both `given` (pixels) and `mask` (True where kept); give both or none")
    if given is None or mask is None:
        return torch.zeros(count, height, width, dtype=torch.bool), torch.zeros(count, height, width)
    shapes = [(height, width), (1, 1, height, width), (count, 1, height, width)]
    for name, tensor in (("given", given), ("mask", mask)):
        if tuple(tensor.shape) not in shapes:
            wanted = " or ".join(map(str, dict.fromkeys(shapes)))
            raise UserError(f"`{name}` has shape {tuple(tensor.shape)}; give {wanted}")
    if mask.dtype != torch.bool:
        raise UserError(f"`mask` is {mask.dtype}; give a bool tensor, True where the given pixel is kept")
    if not bool(((given == 0) | (given == 1)).all()):
        raise UserError("`given` holds values that are not 0 or 1; binarise the images first")
    keep, pixels = (t.reshape(-1, height, width).expand(count, height, width) for t in (mask, given))
    return keep, pixels


def independent(mean: Tensor, count: int, seed: int) -> Tensor:
    """The first ``count`` images of the seed with each pixel lit at its own rate, ``mean`` (28, 28): (N, 1, 28, 28)."""
    generator = torch.Generator().manual_seed(seed)
    return (torch.rand(count, 1, *mean.shape, generator=generator) < mean).float()
