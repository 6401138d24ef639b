"""Files of weights: safetensors or pickles, whole or in parts with an index, named as Hugging Face names them.

A folder may come from anywhere. So an index names files of its own folder only, a pickle is read for tensors and
nothing else, and JSON is what it says or is refused. Links are followed: the hub's own cache is made of them.
"""

import pickle
import warnings
import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt
import torch
from safetensors import SafetensorError, safe_open

from dragoman.export.core.reasons import Reasons, short
from dragoman.export.importers.files.json_files import read_json

WEIGHTS = ("model.safetensors", "model.safetensors.index.json", "pytorch_model.bin", "pytorch_model.bin.index.json")
"""Files of weights, in the order in which transformers looks for them."""
FOREIGN = ("tf_model.h5", "flax_model.msgpack")
FLOATS = (torch.float32, torch.float16, torch.bfloat16, torch.float64)


class TensorFile(Protocol):
    """The tensors of one file."""

    def keys(self) -> Iterable[str]:
        """Names of its tensors."""

    def get_tensor(self, name: str) -> torch.Tensor:
        """The tensor of that name."""


class Pickled:
    """The `TensorFile` of a file of `torch.save`, which was read for its tensors alone."""

    def __init__(self, tensors: Mapping[str, torch.Tensor]) -> None:
        self._tensors = tensors

    def keys(self) -> Iterable[str]:
        """Names of its tensors."""
        return self._tensors.keys()

    def get_tensor(self, name: str) -> torch.Tensor:
        """The tensor of that name."""
        return self._tensors[name]


class Tensors:
    """The tensors of a checkpoint, each read when it is asked for."""

    def __init__(self, files: tuple[Path, ...], stores: Mapping[str, TensorFile]) -> None:
        self.files = files
        """Everything that was opened, the index included."""
        self._stores = stores

    def __repr__(self) -> str:
        return f"<Tensors {len(self._stores)} in {', '.join(file.name for file in self.files)}>"

    @property
    def names(self) -> set[str]:
        """Every tensor's name."""
        return set(self._stores)

    def read(self, name: str, reasons: Reasons) -> npt.NDArray[np.float32]:
        """A tensor as float32, without a copy where it is that already."""
        tensor = self._stores[name].get_tensor(name)
        if tensor.dtype not in FLOATS or tensor.layout != torch.strided:
            kind = str(tensor.dtype).removeprefix("torch.")
            reasons.add(f"{name} is stored as {kind}: export the model from before it was quantised")
            return np.zeros(tuple(tensor.shape), np.float32)
        values: npt.NDArray[np.float32] = tensor.detach().to(torch.float32).numpy()
        if not np.isfinite(values).all():
            reasons.add(f"{name} holds numbers that are not finite")
        return values


def open_tensors(folder: Path, reasons: Reasons) -> Tensors | None:
    """Open the weights in `folder`; None where there is a reason against them."""
    first = next((folder / name for name in WEIGHTS if (folder / name).is_file()), None)
    if first is None:
        foreign = ", ".join(name for name in FOREIGN if (folder / name).is_file())
        also = f"; {foreign} cannot be read: save the model with transformers as safetensors" if foreign else ""
        reasons.add(f"there are no weights: none of {', '.join(WEIGHTS)}{also}")
        return None
    before = len(reasons)
    listed = _index(first, reasons) if first.suffix == ".json" else {}
    shards = [folder / name for name in sorted(set(listed.values()))] if listed else [first]
    opened = [] if len(reasons) > before else [(file, open_file(file, reasons)) for file in shards]
    stores: dict[str, TensorFile] = {name: store for _, store in opened if store is not None for name in store.keys()}  # noqa: SIM118 - not a mapping
    absent = sorted(listed.keys() - stores.keys())
    if absent and len(reasons) == before:
        few = ", ".join(absent[:3])
        reasons.add(f"{first.name} promises {len(absent)} tensors that its files lack, such as {few}: fetch them again")
    if len(reasons) > before:
        return None
    return Tensors((first, *shards) if listed else (first,), stores)


def _index(file: Path, reasons: Reasons) -> dict[str, str]:
    """Tensor -> name of the file of this folder that holds it."""
    table = read_json(file, reasons).get("weight_map")
    if not isinstance(table, dict) or not table or not all(isinstance(name, str) for name in table.values()):
        reasons.add(f"{file.name} does not say which file holds which tensor (weight_map)")
        return {}
    suffix = ".safetensors" if ".safetensors" in file.suffixes else ".bin"
    for name in sorted(set(table.values())):
        if Path(name).name != name or not name.endswith(suffix) or "\\" in name or not name.isprintable():
            reasons.add(f"{file.name} names {short(name)}, which is not a {suffix} file of its own folder")
        elif not (file.parent / name).is_file():
            reasons.add(f"{file.name} names {name}, which is not in the folder: fetch it again")
    return table


def open_file(file: Path, reasons: Reasons) -> TensorFile | None:
    """The tensors of one file, of safetensors or of `torch.save`; None where there is a reason against it."""
    try:
        if file.suffix == ".safetensors":
            store: TensorFile = safe_open(str(file), framework="pt")
            return store
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of a pickle's version
            # Maps the file into memory, where it has the form that can be.
            loaded = torch.load(file, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(file))
    except SafetensorError as error:
        reasons.add(f"{file.name} is damaged or cut off ({error}): fetch it again")
        return None
    except pickle.UnpicklingError:
        reasons.add(
            f"{file.name} is not loaded: it is damaged, or holds more than tensors and would run code. "
            "Where you trust it, save the model as safetensors and export that"
        )
        return None
    except (OSError, RuntimeError, EOFError, ValueError, LookupError, AttributeError, TypeError) as error:
        reasons.add(f"{file.name} is damaged or cut off ({short(str(error))}): fetch it again")
        return None
    if not isinstance(loaded, dict) or not all(
        isinstance(name, str) and isinstance(value, torch.Tensor) for name, value in loaded.items()
    ):
        reasons.add(f"{file.name} does not hold named tensors")
        return None
    return Pickled(loaded)
