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

The three agree up to rounding of p; a pixel can differ only if u falls into that gap (about 1e-7 wide in fp32, 1e-16
for a model in fp64). Not here: drawing figures, and other architectures than a plain stack of ``MaskedConv2d``.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from genmodels.errors import UserError
from genmodels.pixelcnn.masked_conv import MaskedConv2d
from genmodels.pixelcnn.model import PixelCNN
from genmodels.progress import progress_bar


class Naive:
    """One full forward pass a pixel."""

    def __init__(self, model: PixelCNN, canvas: Tensor) -> None:
        self.model, self.canvas = model, canvas

    def logit(self, row: int, column: int) -> Tensor:
        """(N,) logits of pixel (row, column), given all earlier pixels of the canvas."""
        return self.model(self.canvas)[:, 0, row, column]


class Cropped:
    """Per pixel and layer, the rectangle of features that the pixel's logit depends on."""

    def __init__(self, model: PixelCNN, canvas: Tensor) -> None:
        self.model, self.canvas = model, canvas

    def logit(self, row: int, column: int) -> Tensor:
        """(N,) logits of pixel (row, column), given all earlier pixels of the canvas."""
        height, width = self.model.image_size
        boxes = [(row, column, column)]  # top row, left, right of what each layer must give; the bottom is ``row``
        for conv in reversed(self.model.convolutions):
            half = conv.kernel // 2
            top, left, right = boxes[0]
            boxes.insert(0, (max(0, top - half), max(0, left - half), min(width - 1, right + half)))
        top, left, right = boxes[0]
        x = self.canvas[:, :, top : row + 1, left : right + 1]
        for conv, inner, outer in zip(self.model.convolutions, boxes[:-1], boxes[1:]):
            half = conv.kernel // 2
            missing_top = half - (outer[0] - inner[0])  # beyond the image's true border: zeros, as in the full pass
            missing_left, missing_right = half - (outer[1] - inner[1]), half - (inner[2] - outer[2])
            x = F.pad(x, (missing_left, missing_right, missing_top, 0))
            x = F.conv2d(x, conv.weight * conv.mask, conv.bias)  # (N, C, rows, columns)
            x = F.relu(x) if conv is not self.model.convolutions[-1] else x
        return x[:, 0, 0, 0]


class _RowCache:
    """One layer of the incremental sampler: the last k//2 rows of its input, and its weights cut in two.

    The rows lie in a ring: row r in slot r mod (k//2), channels last, with k//2 zero columns on either side. When row
    r begins, its slot still holds row r - k//2, which ``begin_row`` uses for the last time; then row r overwrites it
    from left to right. The ring is never shifted: the kernel's rows are rotated instead, and every rotation is made
    beforehand.
    """

    def __init__(self, conv: MaskedConv2d, count: int, width: int) -> None:
        self.half, self.width = conv.kernel // 2, width
        weight = (conv.weight * conv.mask).detach()  # (C_out, C_in, half + 1, k)
        self.taps = self.half + (1 if conv.mask_type == "B" else 0)  # live taps in the pixel's own row
        own_row = weight[:, :, self.half, : self.taps]  # (C_out, C_in, taps)
        self.own_row = own_row.permute(2, 1, 0).reshape(self.taps * conv.in_channels, conv.out_channels).contiguous()
        self.bias = conv.bias.detach()
        self.above = self.bias.expand(count, width, conv.out_channels)  # (N, W, C_out)
        if self.half:
            rows_above = weight[:, :, : self.half]  # (C_out, C_in, half, k)
            self.rotations = [
                rows_above.roll(shift, dims=2).contiguous(memory_format=torch.channels_last)
                for shift in range(self.half)
            ]
            self.ring = weight.new_zeros(count, self.half, width + 2 * self.half, conv.in_channels)

    def begin_row(self, row: int) -> None:
        """The share of the rows above in every output of this row, bias included: ``above``, (N, W, C_out)."""
        self.slot = row % self.half if self.half else 0
        if self.half and row:
            result = F.conv2d(self.ring.permute(0, 3, 1, 2), self.rotations[self.slot], self.bias)  # (N, C_out, 1, W)
            self.above = result[:, :, 0].transpose(1, 2)  # (N, W, C_out)

    def put(self, column: int, value: Tensor) -> None:
        """Store the layer's input at (current row, column): (N, C_in)."""
        if self.half:
            self.ring[:, self.slot, column + self.half] = value

    def output(self, column: int, value: Tensor) -> Tensor:
        """The layer's output at (current row, column), (N, C_out); ``value`` is its input there (used by 1x1 only)."""
        if self.half:
            value = self.ring[:, self.slot, column : column + self.taps].flatten(1)  # (N, taps * C_in): a view, no copy
        return torch.addmm(self.above[:, column], value, self.own_row)


class Incremental:
    """Every feature once: rows above by one convolution a row and layer, the pixel's own row by one product a pixel."""

    def __init__(self, model: PixelCNN, canvas: Tensor) -> None:
        self.canvas = canvas
        self.layers = [_RowCache(conv, len(canvas), canvas.shape[3]) for conv in model.convolutions]

    def logit(self, row: int, column: int) -> Tensor:
        """(N,) logits of pixel (row, column). Must be called for every pixel, in raster order."""
        first = self.layers[0]
        if column:  # the pixel drawn last; the row's last pixel is stored when the next row begins
            first.put(column - 1, self.canvas[:, :, row, column - 1])
        else:
            if row:
                first.put(self.canvas.shape[3] - 1, self.canvas[:, :, row - 1, -1])
            for layer in self.layers:
                layer.begin_row(row)
        value = first.output(column, self.canvas[:, :, row, column])  # (N, C)
        for layer in self.layers[1:]:
            value = value.relu_()  # (N, C)
            layer.put(column, value)
            value = layer.output(column, value)
        return value[:, 0]


METHODS = {"naive": Naive, "cropped": Cropped, "incremental": Incremental}


@torch.no_grad()
def sample(
    model: PixelCNN,
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
    if method not in METHODS:
        raise UserError(f"sampling method {method!r} is unknown; choose one of {', '.join(METHODS)}")
    if count < 1:
        raise UserError(f"asked for {count} images; ask for at least 1")
    if not 0 < temperature < float("inf"):
        raise UserError(f"temperature is {temperature}; give a finite number above 0 (1 draws from the model itself)")
    height, width = model.image_size
    like = model.convolutions[0].weight
    keep, pixels = _completion(given, mask, count, height, width)
    uniforms = torch.rand(count, height, width, generator=generator, dtype=torch.float64).to(like.device)
    keep, pixels = keep.to(like.device), pixels.to(like)
    canvas = torch.zeros(count, 1, height, width, dtype=like.dtype, device=like.device)
    stepper = METHODS[method](model, canvas)
    with torch.autocast(like.device.type, enabled=False):
        for row in progress_bar(range(height), desc=f"sampling ({method})", unit="row"):
            for column in range(width):
                probability = torch.sigmoid(stepper.logit(row, column).double() / temperature)  # (N,)
                drawn = (uniforms[:, row, column] < probability).to(like.dtype)
                canvas[:, 0, row, column] = torch.where(keep[:, row, column], pixels[:, row, column], drawn)
    return canvas.float().cpu()


@torch.no_grad()
def replay(model: PixelCNN, images: Tensor, generator: torch.Generator, temperature: float = 1.0) -> Tensor:
    """What full forward passes would have drawn at each pixel, had they seen the earlier pixels of ``images``.

    With a generator in the state that ``sample`` began with, the answer equals ``images`` exactly where ``sample``
    was right; and if it equals them everywhere, then so would 784 naive passes have drawn (by induction over the
    pixels, the model being causal). One forward pass instead of 784: a cheap proof of a sampler on the very images
    that are shown.
    """
    model.check_images(images)
    like = model.convolutions[0].weight
    uniforms = torch.rand(len(images), *model.image_size, generator=generator, dtype=torch.float64)
    with torch.autocast(like.device.type, enabled=False):
        logits = model(images.to(like)).double().cpu()  # (N, 1, H, W)
    return (uniforms[:, None] < torch.sigmoid(logits / temperature)).float()


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
