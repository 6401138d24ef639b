"""Marian's binary form: every number in a file is compared with what is left of it before it is used."""

import struct

import numpy as np
import pytest

from dragoman.export.importers.marian.bin import FLOAT32, INT8, INTGEMM8, Item, MarianFileError, read_items, write_items
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


def test_writing_what_was_read_gives_the_same_bytes(written, tmp_path):
    """Padding included."""
    path = written(item(data=MATRIX.tobytes() + bytes(range(200))), item("b", shape=(1, 6)), CONFIG)

    write_items(tmp_path / "again", read_items(path))

    assert (tmp_path / "again").read_bytes() == path.read_bytes()


def test_data_begin_at_a_multiple_of_256(written):
    """Where Marian maps the file into memory."""
    content = written(item(data=b"\xab" * 24), CONFIG).read_bytes()

    assert content.index(b"\xab" * 24) % 256 == 0


def test_every_truncation_is_an_error_with_a_reason(written):
    """Cut at any byte at all, the file is refused as one that is damaged."""
    path = written(item(), item("b", INTGEMM8, (1, 2), struct.pack("<2bf", 1, 2, 3.0)), CONFIG)
    content = path.read_bytes()

    for length in range(len(content)):
        path.write_bytes(content[:length])
        with pytest.raises(MarianFileError, match=r"cut short|damaged"):
            read_model(path)


def test_any_lying_number_is_an_error_and_never_an_allocation(written):
    """Each 64-bit number of the header is set to small, negative and gigantic values in turn."""
    path = written(item(), CONFIG)
    content = path.read_bytes()
    numbers = 2 + 2 * 4
    lies = (0, 1, 2**31, 2**40, 2**63, 2**64 - 1)

    for index in range(1, numbers):
        for lie in lies:
            changed = bytearray(content)
            struct.pack_into("<Q", changed, 8 * index, lie)
            if changed == content:
                continue
            path.write_bytes(changed)
            with pytest.raises(MarianFileError):
                read_model(path)


@pytest.mark.parametrize("size", [-1, 0, 2**31 - 1])
def test_a_lying_shape_is_refused(written, size):
    """Negative, empty, or more than there are values."""
    path = written(item(shape=(size, 2**31 - 1)), CONFIG)

    with pytest.raises(MarianFileError, match=r"damaged: W .*\["):
        read_model(path)


def test_bytes_after_the_end_are_refused(written):
    """They would be something that nobody has read."""
    path = written(item(), CONFIG)
    path.write_bytes(path.read_bytes() + b"more")

    with pytest.raises(MarianFileError, match="4 bytes follow the last tensor"):
        read_model(path)
