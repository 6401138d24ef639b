"""Files of `torch.save` that hold more than tensors, read without running anything that they name.

A training checkpoint is a pickle: beside its tensors lie options, as objects of the toolkit's own classes, and to
unpickle an object is to call what the file names. So every name is looked at before anything is loaded. Names that
stand for options become inert objects, which keep what they are given and do nothing; tensors and plain containers are
left to torch's own restricted unpickler; any other name refuses the file. Nothing is ever unpacked to a disk.
"""

from __future__ import annotations

import io
import mmap
import pickle
import pickletools
import re
import warnings
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, Self

import torch

from dragoman.export.reasons import Reasons, short

LEGACY_MAGIC = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."
"""How files begin that PyTorch wrote before 1.6, and later where it was asked to: a pickled number."""
LEGACY_PICKLES = 4
"""Magic number, version, system, and what was saved; the tensors' bytes follow."""
TAR_MAGIC = 257, b"ustar"
LARGEST_PICKLE = 1 << 28
MOST_VALUES = 1 << 20
MOST_NESTED = 100
"""Of one pickled object: a small file may nest its parts in one another so often that they never end."""

TENSORS = re.compile(
    r"collections\.(OrderedDict|Counter)|_codecs\.encode|builtins\.(set|bytearray|complex)|"
    r"torch\.(cuda\.)?(\w+Storage|Size|device|Tensor|u?int\d+|b?float\w*|half|double|long|bool)|"
    r"torch\.nn\.parameter\.Parameter|torch\.(_utils\._rebuild_(tensor|tensor_v2|parameter)|serialization\._get_layout)"
)
INERT = re.compile(
    r"argparse\.Namespace|(omegaconf|fairseq|typing)\.[\w.]+|_?operator\.getitem|"
    r"builtins\.(object|str|bytes|int|float|bool|list|dict|tuple)|pathlib\.(Pure)?(Posix|Windows)?Path|"
    r"numpy\.(_?core\.multiarray\.(scalar|_reconstruct)|dtype|ndarray|float\d+|int\d+|bool_?)"
)


class Inert:
    """What is left of an object: the name of its class, what it was made of, and its state."""

    name = ""
    args: tuple[Any, ...]
    state: Any

    def __new__(cls, *args: Any) -> Self:
        """Keep the arguments."""
        made = super().__new__(cls)
        made.args, made.state = args, None
        return made

    def __setstate__(self, state: Any) -> None:
        self.state = state

    def __repr__(self) -> str:
        return f"<{self.name}>"


def read_pickle(path: Path, reasons: Reasons) -> Any:
    """What was saved in a file, with inert objects; None when there is a reason against it."""
    before = len(reasons)
    try:
        names = sorted(set(_names(path, reasons)))
    except (OSError, ValueError, OverflowError, MemoryError, LookupError, zipfile.BadZipFile, RuntimeError) as error:
        reasons.add(_damaged(path, error))
        return None
    foreign = [name for name in names if not (TENSORS.fullmatch(name) or INERT.fullmatch(name))]
    if foreign:
        reasons.add(
            f"{path.name} is not loaded: it names {', '.join(foreign[:5])}"
            f"{f' and {len(foreign) - 5} more' if len(foreign) > 5 else ''}, which loading it would call. Where you "
            "trust it, load it with the toolkit that it is from and save its options and tensors alone"
        )
    if len(reasons) > before:
        return None
    stubs = [(type("Inert", (Inert,), {"name": name}), name) for name in names if INERT.fullmatch(name)]
    try:
        with warnings.catch_warnings(), torch.serialization.safe_globals([*stubs]):
            warnings.simplefilter("ignore")  # of storages that are called differently now
            # Maps an archive into memory: the state of an optimiser is never read.
            return torch.load(path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path))
    except (
        pickle.UnpicklingError,
        OSError,
        RuntimeError,
        EOFError,
        ValueError,
        LookupError,
        AttributeError,
        TypeError,
        AssertionError,
        MemoryError,
        OverflowError,
    ) as error:
        reasons.add(_damaged(path, error))
        return None


def mentions(path: Path, words: tuple[bytes, ...]) -> bool:
    """Whether a file of `torch.save` has one of these in its pickle. False for anything else."""
    try:
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                return any(word in _main_pickle(archive) for word in words)
        with path.open("rb") as file:
            head = file.read(1 << 20)
        return head.startswith(LEGACY_MAGIC) and any(word in head for word in words)
    except (OSError, ValueError, LookupError, zipfile.BadZipFile, RuntimeError):
        return False


def plain(value: Any) -> Any:
    """Options as plain values: what is inert becomes the dictionary, list or value that it held.

    Of objects that hold no options their name is left. Raises ValueError where there are too many values.
    """
    return _Plain().of(value)


class _Plain:
    """One conversion, which counts what it makes."""

    def __init__(self) -> None:
        self.made = 0

    def of(self, value: Any, depth: int = 0) -> Any:
        self.made += 1
        if self.made > MOST_VALUES or depth > MOST_NESTED:
            raise ValueError(f"more than {MOST_VALUES} options, or options in one another without end")
        if isinstance(value, dict):
            return {str(key): self.of(each, depth + 1) for key, each in value.items()}
        if isinstance(value, (list, tuple)):
            return [self.of(each, depth + 1) for each in value]
        if not isinstance(value, Inert):
            return value
        state = value.state if isinstance(value.state, dict) else {}
        if value.name == "argparse.Namespace":
            return self.of(state, depth + 1)
        for held in ("_content", "_val"):  # omegaconf's containers and values
            if value.name.startswith("omegaconf.") and held in state:
                return self.of(state[held], depth + 1)
        if value.name.startswith("pathlib."):
            return "/".join(map(str, value.args))
        if value.name.startswith("fairseq.") and len(value.args) == 1 and not state:  # a member of an enumeration
            return self.of(value.args[0], depth + 1)
        return f"<{value.name}>"


def _names(path: Path, reasons: Reasons) -> Iterator[str]:
    """Everything that the pickles of a file name."""
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            yield from _globals(io.BytesIO(_main_pickle(archive)))
        return
    with path.open("rb") as file:
        head = file.read(512)
        if head.startswith(LEGACY_MAGIC):
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as view:
                for _ in range(LEGACY_PICKLES):
                    yield from _globals(view)
            return
    at, magic = TAR_MAGIC
    if head[at:].startswith(magic):
        reasons.add(
            f"{path.name} has the form of PyTorch before 0.2, a tar: load it with PyTorch 1.x and save it again"
        )
    else:
        reasons.add(f"{path.name} is no file of torch.save, or its beginning is damaged: fetch it again")


def _main_pickle(archive: zipfile.ZipFile) -> bytes:
    """What was saved, without the tensors' bytes, of an archive that holds no more than it takes up."""
    records = archive.infolist()
    squeezed = [record.filename for record in records if record.compress_type != zipfile.ZIP_STORED]
    if squeezed:
        raise ValueError(f"{short(squeezed[0])} is compressed, which torch.save never does")
    [main] = [record for record in records if record.filename.split("/")[1:] == ["data.pkl"]]
    if main.file_size > LARGEST_PICKLE:
        raise ValueError(f"{main.file_size} bytes of options, of which {LARGEST_PICKLE} are read at most")
    return archive.read(main)


def _globals(stream: IO[bytes] | mmap.mmap) -> Iterator[str]:
    """Of one pickle, from where the stream is to the pickle's end."""
    for opcode, arg, _ in pickletools.genops(stream):  # type: ignore[arg-type] # it reads, and no more
        if opcode.name == "GLOBAL":
            module, _, name = str(arg).rpartition(" ")
            yield f"{RENAMED.get(module, module)}.{name}"
        elif opcode.name in ("STACK_GLOBAL", "INST", "EXT1", "EXT2", "EXT4"):
            # torch.save names what it needs in one way only; what it does not write is not read.
            yield f"something in a way of its own ({opcode.name})"


RENAMED = {"__builtin__": "builtins", "copy_reg": "copyreg"}
"""Modules that Python 2 called otherwise: pickles of protocol 2 still do."""


def _damaged(path: Path, error: Exception) -> str:
    return f"{path.name} is damaged, cut off or not written by torch.save ({short(str(error))}): fetch it again"
