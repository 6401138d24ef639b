"""CTranslate2's variables as they lie in a file."""

import struct

import numpy as np
import pytest

from dragoman.export.core.reasons import Reasons
from dragoman.export.importers.ctranslate2.binary import TYPES, read_variables


def text(value) -> bytes:
    return struct.pack("<H", len(value) + 1) + value.encode() + b"\0"


def variable(name, shape, kind, data) -> bytes:
    head = text(name) + struct.pack(f"<B{len(shape)}I", len(shape), *shape)
    return head + struct.pack("<BI", kind, len(data)) + data


def write(folder, variables, aliases=(), version=6, revision=7) -> None:
    whole = struct.pack("<I", version) + text("TransformerSpec") + struct.pack("<II", revision, len(variables))
    whole += b"".join(variables) + struct.pack("<I", len(aliases))
    (folder / "model.bin").write_bytes(whole + b"".join(text(a) + text(b) for a, b in aliases))


def found(folder):
    reasons = Reasons()
    return read_variables(folder, reasons), reasons


def test_each_type_is_read_as_numbers(tmp_path):
    """Halves of both kinds, integers with a scale for each row or for all, and what only has another name."""
    values = np.array([[1.5, -2.0], [0.25, 4.0]], np.float32)
    brain = (values.view(np.uint32) >> 16).astype("<u2").tobytes()
    bytes_of = {"<f4": values.tobytes(), "<f2": values.astype("<f2").tobytes(), "bfloat16": brain}
    rows = np.array([2.0, 4.0], "<f4")
    stored = [variable(kind, (2, 2), TYPES.index(kind), data) for kind, data in bytes_of.items()]
    stored.append(variable("a", (2, 2), 1, np.array([[3, -4], [1, 16]], np.int8).tobytes()))
    stored.append(variable("a_scale", (2,), 0, rows.tobytes()))
    stored.append(variable("b", (2, 2), 2, (values * 4).astype("<i2").tobytes()))
    stored.append(variable("b_scale", (), 0, np.float32(4).tobytes()))
    write(tmp_path, stored, [("other", "a")])

    variables, reasons = found(tmp_path)

    assert variables is not None
    for name in (*bytes_of, "a", "b", "other"):
        np.testing.assert_array_equal(variables.read(name, 2), values)
    assert not len(reasons)
    assert variables.left() == []


def test_what_is_no_number_or_has_no_scale_is_a_reason(tmp_path):
    """Integers alone, a scale of nought, numbers that are not finite, and what is missing."""
    nan = np.full(2, np.nan, "<f4").tobytes()
    stored = [variable("a", (2,), 1, b"\1\2"), variable("n", (2,), 0, nan), variable("s", (2,), 1, b"\1\2")]
    stored.append(variable("s_scale", (), 0, np.float32(0).tobytes()))
    write(tmp_path, stored)

    variables, reasons = found(tmp_path)
    assert variables is not None
    for name in ("a", "n", "s", "absent"):
        variables.read(name, 1)
    variables.scalar("n", default=0)

    said = " ".join(reasons._unmet)
    for part in ("a holds integers without a_scale", "n holds numbers", "s_scale does not fit", "absent is missing"):
        assert part in said
    assert "n is not one number" in said


@pytest.mark.parametrize("cut", [0, 3, 10, 40, 55, -1])
def test_a_file_that_is_cut_off_is_refused(tmp_path, cut):
    """Wherever it ends."""
    write(tmp_path, [variable("a", (3,), 0, bytes(12))], [("b", "a")])
    data = (tmp_path / "model.bin").read_bytes()
    (tmp_path / "model.bin").write_bytes(data[:cut])

    variables, reasons = found(tmp_path)

    assert variables is None
    assert "damaged or cut off" in reasons._unmet[0]


@pytest.mark.parametrize(
    "stored",
    [
        [variable("a", (4,), 0, bytes(12))],
        [variable("a", (3,), 9, bytes(12))],
        [variable("a", (1, 1, 1, 1, 1), 0, bytes(4))],
    ],
)
def test_a_file_that_contradicts_itself_is_refused(tmp_path, stored):
    """Bytes that are not the shape's, types and ranks that there are not."""
    write(tmp_path, stored)

    assert found(tmp_path)[0] is None


@pytest.mark.parametrize("shape", [(), (4,), (2, 1, 2), (0, 3)])
def test_a_tensor_of_another_form_is_a_reason(tmp_path, shape):
    """Of integers with a scale, too, whose rows there may not be."""
    size = int(np.prod(shape))
    write(tmp_path, [variable("a", shape, 1, bytes(size)), variable("a_scale", (), 0, np.float32(2).tobytes())])
    variables, reasons = found(tmp_path)
    assert variables is not None

    assert variables.read("a", 2) is None
    assert f"a has the shape {list(shape)}, and must have 2 axes" in reasons._unmet


def test_a_revision_of_later_is_refused(tmp_path):
    """Its variables may have other names, or mean something else."""
    write(tmp_path, [], revision=8)

    variables, reasons = found(tmp_path)

    assert variables is None
    assert "is of revision 8: up to 7 is read" in reasons._unmet[0]
