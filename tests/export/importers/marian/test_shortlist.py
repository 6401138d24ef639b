"""The binary lexical shortlist."""

import struct

import pytest

from dragoman.export.importers.marian.bin import MarianFileError
from dragoman.export.importers.marian.shortlist import MAGIC, checksum, read_shortlist


def shortlist(offsets=(0, 2, 2, 3), ids=(5, 6, 4), first=2, *, magic=MAGIC, change_sum=0) -> bytes:
    body = struct.pack("<4Q", first, 9, len(offsets), len(ids))
    body += struct.pack(f"<{len(offsets)}Q", *offsets) + struct.pack(f"<{len(ids)}I", *ids)
    return struct.pack("<2Q", magic, checksum(body) ^ change_sum) + body


@pytest.fixture
def read(tmp_path):
    def from_bytes(data: bytes, source: int = 3, target: int = 7):
        (tmp_path / "lex.bin").write_bytes(data)
        return read_shortlist(tmp_path / "lex.bin", source_vocabulary=source, target_vocabulary=target)

    return from_bytes


@pytest.mark.parametrize("ids", [(5, 6, 4), (5, 6, 4, 3)])
def test_each_source_word_has_its_own_list(read, ids):
    """Also where an odd number of ids leaves half a word at the end, which no checksum covers."""
    result = read(shortlist(offsets=(0, 2, 2, len(ids)), ids=ids))

    lists = [result.ids[a:b].tolist() for a, b in zip(result.offsets, result.offsets[1:], strict=False)]
    assert (result.first, lists) == (2, [[5, 6], [], list(ids[2:])])


def test_the_checksum_is_marians():
    """Worked by hand for two words: h ^= w + 0x9e3779b9 + (h << 6) + (h >> 2), in 64 bits."""
    first = 1 + 0x9E3779B9
    second = first ^ ((2**64 - 1 + 0x9E3779B9 + (first << 6) + (first >> 2)) % 2**64)

    assert checksum(struct.pack("<2Q", 1, 2**64 - 1)) == second


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"", "not a binary lexical shortlist; the text form"),
        (b"the die 0.5\na ein 0.25\nof von 0.125 and some more text", "convert it with marian-conv --shortlist"),
        (shortlist(magic=1), "not a binary lexical shortlist"),
        (shortlist()[:-1], "cut short or damaged"),
        (shortlist() + b"x", "cut short or damaged"),
        (shortlist(change_sum=1), "its checksum is wrong"),
        (shortlist(offsets=(0, 1, 3)), "made for 2 source words, the model has 3"),
        (shortlist(offsets=(1, 2, 2, 3)), "offsets do not rise"),
        (shortlist(offsets=(0, 3, 2, 3)), "offsets do not rise"),
        (shortlist(offsets=(0, 2, 2, 2)), "offsets do not rise"),
        (shortlist(offsets=(0, 2**63, 2**63, 3)), "offsets do not rise"),
        (shortlist(ids=(5, 6, 7)), "names the target word 7, the model has 7"),
        (shortlist(first=8), "names the target word 7, the model has 7"),
        (shortlist(first=2**64 - 1), "names the target word"),
        (struct.pack("<6Q", MAGIC, 0, 1, 1, 2**61, 2**62), "cut short or damaged"),
    ],
)
def test_a_damaged_or_foreign_shortlist_is_refused(read, data, expected):
    """Before any id of it is used."""
    with pytest.raises(MarianFileError, match=expected):
        read(data)


def test_every_truncation_is_refused(read):
    """At any byte."""
    data = shortlist()

    for length in range(len(data)):
        with pytest.raises(MarianFileError):
            read(data[:length])


def test_a_shortlist_that_is_not_there_is_an_export_error(tmp_path):
    """Not a traceback."""
    with pytest.raises(MarianFileError, match="cannot be read"):
        read_shortlist(tmp_path / "lex.bin", source_vocabulary=1, target_vocabulary=1)
