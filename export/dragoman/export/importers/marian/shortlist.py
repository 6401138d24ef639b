"""Marian's binary lexical shortlist: for each source word, the target words worth considering.

Little-endian 64-bit numbers: magic, checksum, firstNum, bestNum, number of offsets (source vocabulary + 1), number of
ids; then the offsets (64 bit) and the target ids (32 bit). Target ids below firstNum are candidates for every
source. The checksum runs over the whole 64-bit words that follow it.
"""

import struct
from pathlib import Path

import numpy as np

from dragoman.export.core.checkpoint import Shortlist
from dragoman.export.importers.marian.bin import MarianFileError

MAGIC = 0xF11A48D5013417F5
_HEADER = struct.Struct("<6Q")
_UNSUMMED = 16  # magic and checksum
_MASK = (1 << 64) - 1


def checksum(data: bytes) -> int:
    """Marian's hash of the 64-bit words of `data`; what is left over at the end does not count."""
    value = 0
    for (word,) in struct.iter_unpack("<Q", data[: len(data) // 8 * 8]):
        value ^= (word + 0x9E3779B9 + (value << 6) + (value >> 2)) & _MASK
    return value


def read_shortlist(path: Path, *, source_vocabulary: int, target_vocabulary: int) -> Shortlist:
    """Read and verify a shortlist that fits the two vocabularies."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise MarianFileError(path, f"cannot be read: {error.strerror}") from error
    if len(data) < _HEADER.size or _HEADER.unpack_from(data)[0] != MAGIC:
        raise MarianFileError(
            path,
            "not a binary lexical shortlist; the text form (one pair and its probability a line) is not read: "
            "convert it with marian-conv --shortlist, or remove it to decode over the whole vocabulary",
        )
    _, expected_sum, first, _, offset_count, id_count = _HEADER.unpack_from(data)
    size = _HEADER.size + 8 * offset_count + 4 * id_count
    if size != len(data):
        raise MarianFileError(path, f"cut short or damaged: {size} bytes announced, the file has {len(data)}")
    if checksum(data[_UNSUMMED:]) != expected_sum:
        raise MarianFileError(path, "damaged: its checksum is wrong; fetch it again")
    if offset_count != source_vocabulary + 1:
        message = f"made for {offset_count - 1} source words, the model has {source_vocabulary}"
        raise MarianFileError(path, message)
    offsets = np.frombuffer(data, dtype="<u8", count=offset_count, offset=_HEADER.size)
    ids = np.frombuffer(data, dtype="<u4", count=id_count, offset=_HEADER.size + 8 * offset_count)
    if int(offsets[0]) != 0 or int(offsets[-1]) != id_count or np.any(offsets[1:] < offsets[:-1]):
        raise MarianFileError(path, "damaged: its offsets do not rise from 0 to the number of ids")
    largest = max(int(ids.max(initial=0)), first - 1)
    if largest >= target_vocabulary:
        raise MarianFileError(path, f"names the target word {largest}, the model has {target_vocabulary}")
    return Shortlist(first=first, offsets=offsets.astype(np.int64), ids=ids.astype(np.int32))
