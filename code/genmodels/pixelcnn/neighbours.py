"""Which training image is nearest to a drawn one, and which grey image a binary one was drawn from.

``nearest`` answers whether a model copies: distances of its samples are read beside those of test images, which nobody can
have copied. ``sources`` gives the static test set its labels: the published files have none and another order than MNIST.
"""

from __future__ import annotations

import torch
from torch import Tensor

from genmodels.errors import UserError


def nearest(images: Tensor, among: Tensor, batch_size: int = 500) -> tuple[Tensor, Tensor]:
    """Hamming distance (N,) int64, in pixels, to the nearest image of ``among``, and its place (N,): the first of equals.

    Both are zeros and ones in any shape, (N, …) and (M, …). ``UserError`` where their sizes differ.
    """
    ours, theirs = images.flatten(1).float(), among.flatten(1).float()
    if ours.shape[1] != theirs.shape[1] or not len(theirs):
        raise UserError(f"no distance between images of shapes {tuple(images.shape)} and {tuple(among.shape)}")
    ink = theirs.sum(1)  # |x - y| = |x| + |y| - 2 x·y for zeros and ones
    distances, places = [], []
    for batch in ours.split(batch_size):
        apart, place = (ink - 2 * batch @ theirs.T).min(1)  # (B, M): whole numbers, exact in fp32
        distances.append((apart + batch.sum(1)).long())
        places.append(place)
    return torch.cat(distances), torch.cat(places)


def sources(bits: Tensor, grey: Tensor, batch_size: int = 500) -> Tensor:
    """Place in ``grey`` (M, 28, 28) uint8 of the image that each of ``bits`` (N, …) most likely was drawn from: (N,).

    The likelihood of a Bernoulli draw of each pixel; a pixel that is lit where the source is black costs so much that no
    number of likely pixels makes up for it.
    """
    p = (grey.flatten(1).double() / 255).clamp(1e-9, 1 - 1e-9)
    gain, base = (p.log() - (-p).log1p()).float(), (-p).log1p().sum(1).float()  # x log p + (1 - x) log(1 - p)
    flat = bits.flatten(1).float()
    return torch.cat([(batch @ gain.T + base).argmax(1) for batch in flat.split(batch_size)])
