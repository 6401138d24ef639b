"""Files of tensors that are not what a package of letters has."""

import io
import zipfile

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from dragoman.export.core.reasons import Reasons
from dragoman.export.importers.letters.arrays import read_arrays

AXES = {"a": 2, "b": 1}
GOOD = {"a": np.arange(6, dtype=np.float32).reshape(2, 3), "b": np.ones(2, np.float16)}


def read(path):
    reasons = Reasons()
    return read_arrays(path, AXES, reasons), reasons._unmet


def saved(folder, **arrays):
    np.savez(folder / "m.npz", **{**GOOD, **arrays})
    return folder / "m.npz"


def npy(array, **head) -> bytes:
    """An array as its file has it; `head` is what it says of itself instead."""
    stream = io.BytesIO()
    np.lib.format.write_array_header_1_0(stream, {**np.lib.format.header_data_from_array_1_0(array), **head})
    return stream.getvalue() + array.tobytes()


def test_tensors_are_read_as_float32(tmp_path):
    """Of archives in either order of axes and bytes, and of safetensors in bfloat16."""
    path = saved(tmp_path, a=np.asfortranarray(GOOD["a"]).astype(">f8"))
    save_file({"a": torch.arange(6.0).reshape(2, 3).bfloat16(), "b": torch.ones(2)}, tmp_path / "m.safetensors")

    for file in (path, tmp_path / "m.safetensors"):
        arrays, said = read(file)
        assert said == []
        np.testing.assert_array_equal(arrays["a"], GOOD["a"])
        assert {array.dtype for array in arrays.values()} == {np.dtype(np.float32)}


@pytest.mark.parametrize(
    ("arrays", "reason"),
    [
        ({"a": np.float32(1)}, "a has the shape [], and must have 2 axes"),
        ({"b": np.zeros((0,), np.float32)}, "b has the shape [0], and must have 1 axes"),
        ({"b": np.full(2, 1e300)}, "b holds numbers that are not finite"),
        ({"b": np.ones(2, np.int8)}, "b is stored as int8"),
        ({"c_l1": np.ones(2)}, "c_l1 is not known to this model"),
        ({"b": np.array(["x", "y"])}, "damaged or cut off"),
        ({"b": np.array([{}, {}])}, "damaged or cut off"),
    ],
)
def test_what_is_no_tensor_of_the_network_is_a_reason(tmp_path, arrays, reason):
    """Of another form, of no numbers, or of another network."""
    assert reason in " ".join(read(saved(tmp_path, **arrays))[1])


def test_all_that_is_missing_is_named(tmp_path):
    """Not the first alone."""
    np.savez(tmp_path / "m.npz", x=np.ones(1))

    assert read(tmp_path / "m.npz")[1] == [
        "x is not known to this model",
        "a is missing: fetch the file again",
        "b is missing: fetch the file again",
    ]


@pytest.mark.parametrize(
    "entry",
    [
        ("b.npy", npy(np.ones(2, np.float32), shape=(10**12,))),
        ("b.npy", npy(np.ones(2, np.float32), shape=(1,))),
        ("b.npy", b"no head"),
        ("b.txt", b"words"),
    ],
)
def test_heads_are_believed_only_where_the_file_holds_as_much(tmp_path, entry):
    """Nothing is made room for before that."""
    with zipfile.ZipFile(tmp_path / "m.npz", "w") as archive:
        archive.writestr("a.npy", npy(GOOD["a"]))
        archive.writestr(*entry)

    assert "damaged or cut off" in read(tmp_path / "m.npz")[1][0]


@pytest.mark.parametrize(("at", "value"), [(6, 1), (8, 99)])
def test_encryption_and_methods_that_there_are_not_are_refused(tmp_path, at, value):
    """The flag, and the number, in every record of the archive."""
    data = bytearray(saved(tmp_path).read_bytes())
    for magic, extra in ((b"PK\3\4", 0), (b"PK\1\2", 2)):
        start = data.find(magic)
        while start >= 0:
            data[start + at + extra] = value
            start = data.find(magic, start + 4)
    (tmp_path / "m.npz").write_bytes(data)

    assert "damaged or cut off" in read(tmp_path / "m.npz")[1][0]


def test_a_byte_that_was_changed_is_noticed(tmp_path):
    """In an array that was squeezed, too."""
    np.savez_compressed(tmp_path / "s.npz", **GOOD)
    for path in (saved(tmp_path), tmp_path / "s.npz"):
        data = bytearray(path.read_bytes())
        data[data.find(b"PK\1\2") - 9] ^= 0xFF
        path.write_bytes(data)

        assert "damaged or cut off" in read(path)[1][0]
