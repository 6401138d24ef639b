"""Files of `torch.save` that hold more than tensors, read without running anything that they name.

A training checkpoint is a pickle: beside its tensors lie options, as objects of the toolkit's own classes, and to
unpickle an object is to call what the file names. So every name is looked at before anything is loaded. Names that
stand for options become inert objects, which keep what they are given and do nothing; tensors and plain containers are
left to torch's own restricted unpickler; any other name refuses the file. Nothing is ever unpacked to a disk.
"""

import re
import warnings
import zipfile
from collections import OrderedDict
from pathlib import Path
from typing import Any, Self

import torch

from dragoman.export.core.reasons import Reasons, short
from dragoman.export.importers.files.torch_names import UNREADABLE, names_in

MOST_VALUES = 1 << 18
MOST_NESTED = 100
"""Parts of one pickled object: a small file may nest them in one another so often that they never end."""
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
DEFAULTS = "collections.defaultdict"


def without_default(*_: Any) -> OrderedDict[Any, Any]:
    """What stands for a dictionary that calls something for its missing keys."""
    return OrderedDict()


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
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of escapes in damaged names
            names = sorted(set(names_in(path, reasons)))
    except UNREADABLE as error:
        reasons.add(_damaged(path, error))
        return None
    foreign = [name for name in names if not (name == DEFAULTS or TENSORS.fullmatch(name) or INERT.fullmatch(name))]
    if foreign:
        reasons.add(
            f"{path.name} is not loaded: it names {', '.join(foreign[:5])}"
            f"{f' and {len(foreign) - 5} more' if len(foreign) > 5 else ''}, which loading it would call. Where you "
            "trust it, load it with the toolkit that it is from and save its options and tensors alone"
        )
    if len(reasons) > before:
        return None
    stubs: list[Any] = [(type("Inert", (Inert,), {"name": name}), name) for name in names if INERT.fullmatch(name)]
    stubs.append((without_default, DEFAULTS))
    try:
        with warnings.catch_warnings(), torch.serialization.safe_globals(stubs):
            warnings.simplefilter("ignore")  # of storages that are called differently now
            # Maps an archive into memory: the state of an optimiser is never read.
            return torch.load(path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path))
    except UNREADABLE as error:
        reasons.add(_damaged(path, error))
        return None


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
        if isinstance(value, type) and issubclass(value, Inert):
            return f"<{value.name}>"
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


def _damaged(path: Path, error: Exception) -> str:
    return f"{path.name} is damaged, cut off or not written by torch.save ({short(str(error))}): fetch it again"
