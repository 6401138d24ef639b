"""The names that a file of `torch.save` would have loaded, found without loading anything, and without torch."""

import io
import mmap
import pickle
import pickletools
import struct
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from dragoman.export.core.reasons import Reasons, short

LEGACY_MAGIC = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."
"""How files begin that PyTorch wrote before 1.6, and later where it was asked to: a pickled number."""
LEGACY_PICKLES = 4
"""Magic number, version, system, and what was saved; the tensors' bytes follow."""
TAR_MAGIC = 257, b"ustar"
RENAMED = {"__builtin__": "builtins", "copy_reg": "copyreg"}
RENAMED_TYPES = {"builtins.long": "builtins.int", "builtins.unicode": "builtins.str"}
"""Python 2's names, which pickles of protocol 2 still have, and today's."""
LARGEST_PICKLE = 1 << 28
# What pickle, zipfile and torch raise over damaged bytes.
UNREADABLE = (
    pickle.UnpicklingError,
    zipfile.BadZipFile,
    zlib.error,
    struct.error,
    ArithmeticError,
    AssertionError,
    AttributeError,
    EOFError,
    LookupError,
    MemoryError,
    OSError,
    RuntimeError,
    TypeError,
    ValueError,
)


def names_in(path: Path, reasons: Reasons) -> Iterator[str]:
    """Every name that the pickles of a file would load, dots in between."""
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            yield from globals_of(io.BytesIO(main_pickle(archive)))
        return
    with path.open("rb") as file:
        head = file.read(512)
        if head.startswith(LEGACY_MAGIC):
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as view:
                for _ in range(LEGACY_PICKLES):
                    yield from globals_of(view)
            return
    at, magic = TAR_MAGIC
    if head[at:].startswith(magic):
        reasons.add(
            f"{path.name} has the form of PyTorch before 0.2, a tar: load it with PyTorch 1.x and save it again"
        )
    else:
        reasons.add(f"{path.name} is no file of torch.save, or its beginning is damaged: fetch it again")


def main_pickle(archive: zipfile.ZipFile) -> bytes:
    """What was saved in an archive, without the tensors' bytes; an archive that would grow is refused."""
    records = archive.infolist()
    squeezed = [record.filename for record in records if record.compress_type != zipfile.ZIP_STORED]
    if squeezed:
        raise ValueError(f"{short(squeezed[0])} is compressed, which torch.save never does")
    [main] = [record for record in records if record.filename.split("/")[1:] == ["data.pkl"]]
    if main.file_size > LARGEST_PICKLE:
        raise ValueError(f"{main.file_size} bytes of options, of which {LARGEST_PICKLE} are read at most")
    return archive.read(main)


def globals_of(stream: IO[bytes] | mmap.mmap) -> Iterator[str]:
    """The names in one pickle, which begins where the stream is."""
    for opcode, arg, _ in pickletools.genops(stream):  # type: ignore[arg-type] # it reads, and no more
        if opcode.name == "GLOBAL":
            module, _, name = str(arg).rpartition(" ")
            full = f"{RENAMED.get(module, module)}.{name}"
            yield RENAMED_TYPES.get(full, full)
        elif opcode.name in ("STACK_GLOBAL", "INST", "EXT1", "EXT2", "EXT4"):
            # torch.save names what it needs in one way only; what it does not write is not read.
            yield f"something in a way of its own ({opcode.name})"
