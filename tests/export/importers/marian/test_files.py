"""Marian's file forms: what is read, and every way a file can be damaged or lie."""

import io
import struct
import zipfile

import numpy as np
import pytest

from dragoman.export.importers.marian.bin import FLOAT16, FLOAT32, INT8, INTGEMM8, Item, MarianFileError, write_items
from dragoman.export.importers.marian.files import read_model

MATRIX = np.arange(6, dtype=np.float32).reshape(2, 3)


VALUES = MATRIX.tobytes()


CONFIG = Item("special:model.yml", INT8, (8,), memoryview(b"type: t\0"))


def item(name="W", kind=FLOAT32, shape=(2, 3), data=VALUES) -> Item:
    return Item(name, kind, shape, memoryview(data))


@pytest.fixture
def written(tmp_path):
    """A file of the given entries."""

    def write(*items: Item):
        write_items(tmp_path / "model.bin", items)
        return tmp_path / "model.bin"

    return write


def test_floats_are_read_with_padding_that_is_garbage(written):
    """What follows the values is not looked at."""
    path = written(item(data=MATRIX.tobytes() + b"\xff" * 232), CONFIG)

    model = read_model(path)

    np.testing.assert_array_equal(model.floats["W"], MATRIX)
    assert (model.config, model.integers) == ("type: t", {})


def test_half_precision_becomes_single(written):
    """Marian also saves float16."""
    path = written(item(kind=FLOAT16, data=MATRIX.astype("<f2").tobytes()), CONFIG)

    assert read_model(path).floats["W"].dtype == np.float32


def test_int8_is_turned_unless_it_is_an_embedding(written):
    """The same six bytes, as a weight [2, 3] and as an embedding [2, 3]."""
    data = struct.pack("<6bf", -127, 2, 3, 4, 5, 127, 4.0)
    path = written(item("l1_W1", INTGEMM8, data=data), item("Wemb", INTGEMM8, data=data), CONFIG)

    integers = read_model(path).integers

    assert integers["l1_W1"].values.tolist() == [[-127, 3, 5], [2, 4, 127]]
    assert integers["Wemb"].values.tolist() == [[-127, 2, 3], [4, 5, 127]]
    assert integers["Wemb"].floats().tolist() == [[-31.75, 0.5, 0.75], [1.0, 1.25, 31.75]]


@pytest.mark.parametrize(
    ("entries", "expected"),
    [
        ([item(), item(), CONFIG], "tensors that come twice: W"),
        ([item()], "holds no special:model.yml"),
        ([item(kind=0x5101), CONFIG], "W has the type 0x5101, which is packed for one kind of processor"),
        ([item(kind=0x4102), CONFIG], r"convert it with marian-conv --gemm-type float32"),
        ([item(kind=INT8), CONFIG], "W is plain int8"),
        ([item(data=MATRIX.tobytes()[:-1]), CONFIG], r"W \[2, 3\] needs 24 bytes, it has 23"),
        ([item(kind=INTGEMM8, data=b"123456789"), CONFIG], r"W \[2, 3\] needs 10 bytes, it has 9"),
        ([item(kind=INTGEMM8, data=struct.pack("<6xf", 0.0)), CONFIG], "quantisation multiplier 0.0"),
        ([item(kind=INTGEMM8, data=struct.pack("<6xf", 1e-44)), CONFIG], "quantisation multiplier"),
        ([item(kind=INTGEMM8, data=struct.pack("<6xf", float("nan"))), CONFIG], "quantisation multiplier nan"),
        ([item(data=np.full(6, np.inf, "<f4").tobytes()), CONFIG], "W holds values that are not finite"),
        ([item(), Item("special:model.yml", INT8, (1,), memoryview(b"\xff"))], "not UTF-8 at byte 0"),
    ],
)
def test_what_cannot_be_used_is_refused_by_name(written, entries, expected):
    """The message says which tensor, and what about it."""
    with pytest.raises(MarianFileError, match=expected):
        read_model(written(*entries))


@pytest.mark.parametrize("head", [b"", b"\x89HDF\r\n\x1a\n" + bytes(8), bytes(16)])
def test_another_kind_of_file_is_refused(tmp_path, head):
    """Empty, HDF5, zeros."""
    (tmp_path / "model.bin").write_bytes(head)

    with pytest.raises(MarianFileError, match=r"not a Marian model|cut short"):
        read_model(tmp_path / "model.bin")


def test_a_file_that_is_not_there_is_an_export_error(tmp_path):
    """Not a traceback."""
    with pytest.raises(MarianFileError, match="cannot be read: No such file"):
        read_model(tmp_path / "model.bin")


def archive(path, **members: bytes):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for name, data in members.items():
            file.writestr(f"{name}.npy", data)
    return path


def npy(array) -> bytes:
    stream = io.BytesIO()
    np.save(stream, array, allow_pickle=True)
    return stream.getvalue()


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (npy(np.array([{"a": 1}], dtype=object)), "needs 8 bytes, it has"),
        (npy(MATRIX.astype(np.float64)), "W is float64, expected float32 or float16"),
        (npy(MATRIX * np.nan), "W holds values that are not finite"),
        (npy(MATRIX)[:-1], r"W \[2, 3\] of float32 needs 24 bytes, it has 23"),
        (npy(MATRIX).replace(b"(2, 3)", b"(2,9**9)"), "not a readable .npz archive"),
        (npy(MATRIX).replace(b"(2, 3), }      ", b"(2, 3000000), }"), "needs 24000000 bytes, it has 24"),
        (npy(MATRIX).replace(b"(2, 3), }", b"(2, 3), ("), "not a readable .npz archive"),
        (b"no array", "not a readable .npz archive"),
        (b"\x93NUMPY\x03\x00", "version"),
    ],
)
def test_a_bad_array_in_an_archive_is_refused(tmp_path, data, expected):
    """Pickles are never loaded, and numpy allocates nothing on a header's word."""
    path = archive(tmp_path / "model.npz", W=data)

    with pytest.raises(MarianFileError, match=expected):
        read_model(path)


def test_an_archive_that_is_cut_short_is_refused(tmp_path):
    """At any byte of its second half; the first holds no directory either."""
    path = tmp_path / "model.npz"
    np.savez(path, W=MATRIX, **{"special:model.yml": np.frombuffer(b"a: 1\0", np.int8)})
    content = path.read_bytes()

    for length in range(2, len(content), 7):
        path.write_bytes(content[:length])
        with pytest.raises(MarianFileError, match=r"not a readable \.npz archive"):
            read_model(path)


def test_an_archive_made_to_fill_the_memory_is_refused(tmp_path):
    """A hundred megabytes of zeros pack into a hundred kilobytes."""
    path = archive(tmp_path / "model.npz", W=bytes(100 * 1024 * 1024))

    with pytest.raises(MarianFileError, match="would grow to 104857600 bytes when unpacked, the limit is"):
        read_model(path)


def test_a_name_that_comes_twice_in_an_archive_is_refused(tmp_path):
    """Which one counts is not a thing to guess."""
    path = tmp_path / "model.npz"
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("W.npy", npy(MATRIX))
        file.writestr("W", npy(MATRIX))

    with pytest.raises(MarianFileError, match="W comes twice"):
        read_model(path)
