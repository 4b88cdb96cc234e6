"""MNIST: find, verify and read the four IDX files; turn grey images into bits.

LeCun, Cortes and Burges, "The MNIST database of handwritten digits" (1998). Binarisation: ``dynamic`` draws each
pixel anew with its grey value as probability (Salakhutdinov and Murray, 2008); ``static`` is the fixed draw of
Larochelle and Murray (2011), in which most published likelihoods are stated; ``threshold`` cuts at one half.
The reader is our own and strict: it accepts the canonical files, known by the md5 of their raw bytes, and nothing
else. Where the files come from when they are absent is the business of ``data/fetch_mnist.py``.
"""

from __future__ import annotations

import gzip
import hashlib
import os
import struct
import zlib
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from genmodels.errors import DataError, UserError
from genmodels.system.files import data_digest
from genmodels.system.places import VARIABLE, data_folder

SIDE = 28
PIXELS = SIDE * SIDE
LICENCE = "MNIST by Y. LeCun, C. Cortes and C. J. C. Burges; CC BY-SA 3.0 as commonly stated"
COMMAND = "python -m genmodels data mnist"

# md5 of the raw (decompressed) bytes: the same for every mirror, whatever the gzip settings. (Issue 2 prints the last
# one with a slip, ...04c6296...; the file whose .gz md5 torchvision pins, ec29112d..., has the value below.)
RAW_MD5 = {
    "train-images-idx3-ubyte": "6bbc9ace898e44ae57da46a324031adb",
    "train-labels-idx1-ubyte": "a25bea736e30d166cdddb491f175f624",
    "t10k-images-idx3-ubyte": "2646ac647ad5339dbf082846283269ea",
    "t10k-labels-idx1-ubyte": "27ae3e4e09519cfbb04c329615203637",
}
# sha256 over the four, as in ``MNIST.digest``
DIGEST = "d2d06393f587fc4019e0ca5562ec7d4b86e96c144b865e97c576b4d23f7c130d"
# Name -> dimensions that the IDX header must state.
SHAPES: dict[str, tuple[int, ...]] = {
    "train-images-idx3-ubyte": (60_000, SIDE, SIDE),
    "train-labels-idx1-ubyte": (60_000,),
    "t10k-images-idx3-ubyte": (10_000, SIDE, SIDE),
    "t10k-labels-idx1-ubyte": (10_000,),
}
STATIC_NPZ = "binarized_mnist_static.npz"
STATIC_AMAT = "binarized_mnist_test.amat"  # as its authors distribute it: a line of 784 digits per image
NO_STATIC = (
    f"absent ({STATIC_NPZ} or {STATIC_AMAT}, which no mirror has): likelihoods are of a seeded binarisation, "
    "and compare to published ones only up to the noise of the draw"
)
STATIC_TEST_COUNT = 10_000
STATIC_TEST_MEAN = 0.13251  # share of ones in the test part of Larochelle and Murray (2011)
STATIC_MEAN_TOLERANCE = 1e-4


@dataclass(frozen=True)
class MNIST:
    """The whole set, as read: ``*_images`` (N, 28, 28) uint8 0..255, ``*_labels`` (N,) uint8 0..9."""

    train_images: Tensor = field(repr=False)  # (60000, 28, 28)
    train_labels: Tensor = field(repr=False)  # (60000,)
    test_images: Tensor = field(repr=False)  # (10000, 28, 28)
    test_labels: Tensor = field(repr=False)  # (10000,)
    digest: str  # sha256 over the four raw files


def load(folder: str | os.PathLike[str] | None = None) -> MNIST:
    """Read MNIST from ``folder`` (or the data folder), ``folder/mnist`` or ``folder/MNIST/raw``.

    Files may be gzipped or raw. Raises ``DataError`` when one is absent, truncated, or not the canonical file.
    """
    return from_raw(read_all(data_folder(folder)))


def read_all(folder: Path) -> dict[str, bytes]:
    """The verified raw bytes of the four files in ``folder`` or below it, by name; ``DataError`` as in ``load``."""
    return {name: read_verified(path) for name, path in _find_all(folder).items()}


def from_raw(raw: dict[str, bytes]) -> MNIST:
    """The data set from the raw bytes of the four IDX files, keyed by name as in ``RAW_MD5``."""
    arrays = [torch.from_numpy(parse_idx(raw[name], name).copy()) for name in RAW_MD5]
    return MNIST(*arrays, digest=data_digest(*(raw[name] for name in RAW_MD5)))


def folders(folder: Path) -> list[Path]:
    """Where MNIST files are looked for, in order (the last is torchvision's own layout)."""
    return [folder, folder / "mnist", folder / "MNIST" / "raw"]


def find(folder: Path, name: str) -> Path | None:
    """The first existing ``name.gz`` or ``name`` among ``folders(folder)``; None where there is none."""
    candidates = (place / file for place in folders(folder) for file in (f"{name}.gz", name))
    return next((path for path in candidates if path.is_file()), None)


def _find_all(folder: Path) -> dict[str, Path]:
    found = {name: find(folder, name) for name in RAW_MD5}
    if missing := [name for name, path in found.items() if path is None]:
        raise DataError(
            f"MNIST file{'s' * (len(missing) > 1)} {', '.join(missing)} (.gz or raw) not found in "
            f"{', '.join(str(place) for place in folders(folder))}; run `{COMMAND}`, "
            f"or set {VARIABLE} to the folder that holds all four: {', '.join(RAW_MD5)}"
        )
    return {name: path for name, path in found.items() if path is not None}


def read_verified(path: Path) -> bytes:
    """The raw bytes of one IDX file (gunzipped if it ends in ``.gz``), md5 and layout checked."""
    name = path.name.removesuffix(".gz")
    try:
        raw = path.read_bytes()
        if path.suffix == ".gz":
            raw = gzip.decompress(raw)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise DataError(f"{path} is damaged or cut short ({error}); delete it and run `{COMMAND}`") from error
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror or error}") from error
    parse_idx(raw, str(path))  # says more than a wrong md5 when the file is no IDX at all
    verify_raw(name, raw, str(path))
    return raw


def verify_raw(name: str, raw: bytes, source: str) -> None:
    """``DataError`` unless ``raw`` has the canonical md5 of the IDX file ``name``."""
    given = hashlib.md5(raw, usedforsecurity=False).hexdigest()
    if given != RAW_MD5[name]:
        raise DataError(
            f"{source} is not the canonical {name}: md5 of its raw bytes is {given}, wanted {RAW_MD5[name]}; "
            f"delete it and run `{COMMAND}`"
        )


def parse_idx(raw: bytes, source: str) -> np.ndarray:
    """Strict reader of an unsigned-byte IDX file: magic 0x000008DD, DD big-endian sizes, just their product in bytes.

    The name at the end of ``source`` decides the dimensions that are wanted. Returns a read-only uint8 view of ``raw``.
    """
    shape = SHAPES[Path(source).name.removesuffix(".gz")]
    header = 4 * (1 + len(shape))
    if len(raw) < header:
        raise DataError(f"{source} is too short for an IDX file: {len(raw)} bytes, its header alone has {header}")
    magic, *sizes = struct.unpack_from(f">{1 + len(shape)}I", raw)
    if magic != 0x0800 + len(shape):
        raise DataError(
            f"{source} is not an IDX file of {len(shape)}-d bytes: magic {magic:#010x}, "
            f"wanted {0x0800 + len(shape):#010x}; delete it and run `{COMMAND}`"
        )
    if tuple(sizes) != shape:
        raise DataError(f"{source} states the size {tuple(sizes)}, wanted {shape}; delete it and run `{COMMAND}`")
    wanted = header + int(np.prod(shape))
    if len(raw) != wanted:
        raise DataError(f"{source} holds {len(raw)} raw bytes, wanted {wanted}; delete it and run `{COMMAND}`")
    return np.frombuffer(raw, np.uint8, offset=header).reshape(shape)


def static_test_set(folder: str | os.PathLike[str] | None = None) -> Tensor | None:
    """The statically binarised test set of Larochelle and Murray (2011), (10000, 784) uint8 0/1.

    Reads ``binarized_mnist_static.npz`` (array ``test``: ``np.packbits`` rows) or its authors'
    ``binarized_mnist_test.amat``. None where neither file is present; ``DataError`` where one is, but is not it.
    """
    if (path := find_static(data_folder(folder))) is None:
        return None
    return _checked_static(_static_npz(path) if path.name == STATIC_NPZ else _static_amat(path), path)


def find_static(folder: Path) -> Path | None:
    """The file of the static test set in ``folder`` or below it; None where there is none."""
    candidates = (place / name for place in folders(folder) for name in (STATIC_NPZ, STATIC_AMAT))
    return next((path for path in candidates if path.is_file()), None)


def _static_npz(path: Path) -> np.ndarray:
    try:
        with np.load(path, allow_pickle=False) as archive:
            packed = archive["test"]
    except Exception as error:  # numpy and zipfile raise half a dozen kinds for a damaged archive
        raise DataError(f"{path} cannot be read ({error}); delete it or fetch it again") from error
    if packed.dtype != np.uint8 or packed.shape != (STATIC_TEST_COUNT, PIXELS // 8):
        raise DataError(
            f"{path} has `test` of {packed.dtype} {packed.shape}, wanted uint8 {(STATIC_TEST_COUNT, PIXELS // 8)}"
        )
    return np.unpackbits(packed, axis=1)


def _static_amat(path: Path) -> np.ndarray:
    try:
        lines = path.read_bytes().split(b"\n")
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror or error}") from error
    rows = [line.translate(None, b" \t\r") for line in lines]
    rows = [row for row in rows if row]
    if len(rows) != STATIC_TEST_COUNT or any(len(row) != PIXELS for row in rows):
        raise DataError(f"{path} is not {STATIC_TEST_COUNT} lines of {PIXELS} digits 0 or 1; fetch it again")
    return np.frombuffer(b"".join(rows), np.uint8).reshape(-1, PIXELS) - ord("0")


def _checked_static(bits: np.ndarray, path: Path) -> Tensor:
    mean = float(bits.mean())
    if bits.max() > 1 or abs(mean - STATIC_TEST_MEAN) > STATIC_MEAN_TOLERANCE:
        raise DataError(
            f"{path} is not the static binarisation of Larochelle and Murray: "
            f"the share of ones is {mean:.5f}, wanted {STATIC_TEST_MEAN} ± {STATIC_MEAN_TOLERANCE}"
        )
    return torch.from_numpy(bits)  # (10000, 784)


def binarize(images: Tensor, generator: torch.Generator, how: str = "dynamic") -> Tensor:
    """Bits of grey images: (N, 28, 28) uint8 -> (N, 1, 28, 28) float 0/1, by a config's ``binarization``.

    "dynamic": each pixel is 1 with probability grey/255, on the device of ``images``, where the generator must live too;
    "threshold": grey >= 128, and nothing is drawn.
    """
    if how == "threshold":
        return threshold(images)
    if how != "dynamic":
        raise UserError(f"binarization {how!r} is unknown; choose 'dynamic' or 'threshold'")
    chance = lit(images)
    # rand < p, with rand in [0, 1): black never becomes 1, white always does.
    return (torch.rand(chance.shape, generator=generator, device=chance.device) < chance).float()


def lit(images: Tensor) -> Tensor:
    """The probability that ``binarize`` lights each pixel, grey/255. (N, 28, 28) uint8 -> (N, 1, 28, 28) float."""
    return _with_channel(images).float() / 255


def threshold(images: Tensor) -> Tensor:
    """Deterministic bits: grey >= 128. (N, 28, 28) uint8 -> (N, 1, 28, 28) float 0/1."""
    return (_with_channel(images) >= 128).float()


def seeded_static(images: Tensor, seed: int) -> Tensor:
    """One fixed draw of the dynamic binarisation, (N, 28, 28) uint8 -> (N, 784) uint8 0/1, in the given order.

    Stands in where the published static test set is absent: same distribution, other bits, so likelihoods are
    comparable to published ones only up to the noise of the draw.
    """
    return binarize(images.cpu(), torch.Generator().manual_seed(seed)).flatten(1).byte()


def test_bits(images: MNIST, how: str, seed: int, folder: Path | None) -> tuple[str, Tensor]:
    """The name of the binarised test set and its images (N, 1, 28, 28): static, seeded, or threshold."""
    if how == "threshold":
        return how, threshold(images.test_images)
    static = static_test_set(folder)
    name = "seeded" if static is None else "static"
    bits = seeded_static(images.test_images, seed) if static is None else static
    return name, bits.view(-1, 1, SIDE, SIDE).float()


def every(images: Tensor, count: int) -> Tensor:
    """``count`` images evenly spaced through the set (the static test set is sorted by class)."""
    return images[torch.linspace(0, len(images) - 1, min(count, len(images))).round().long()]


def _with_channel(images: Tensor) -> Tensor:
    if images.dtype != torch.uint8:
        raise TypeError(f"grey images are uint8 0..255, not {images.dtype}")
    return images.reshape(-1, 1, SIDE, SIDE)


def pack_images(bits: Tensor) -> np.ndarray:
    """Eight pixels a byte (``np.packbits``, row-major): 0/1 values of N images in any shape -> (N, 98) uint8."""
    flat = bits.detach().cpu().reshape(-1, PIXELS)  # (N, 784)
    if not bool(((flat == 0) | (flat == 1)).all()):
        raise ValueError("only images of zeros and ones can be packed; binarise them first")
    return np.packbits(flat.numpy().astype(np.uint8), axis=1)


def unpack_images(packed: np.ndarray) -> Tensor:
    """The inverse of ``pack_images``: (N, 98) uint8 -> (N, 1, 28, 28) float 0/1."""
    if packed.dtype != np.uint8 or packed.ndim != 2 or packed.shape[1] != PIXELS // 8:
        raise ValueError(f"packed images are uint8 (N, {PIXELS // 8}), not {packed.dtype} {packed.shape}")
    return torch.from_numpy(np.unpackbits(packed, axis=1)).reshape(-1, 1, SIDE, SIDE).float()
