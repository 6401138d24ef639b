"""A fairseq checkpoint, `.pt`: its tensors, and its options whichever way they were saved.

Until 2020 options were one flat namespace (`args`); since then they are a configuration of sections (`cfg`), whose
`model` is a namespace, or has names such as `encoder.embed_dim` for what was `encoder_embed_dim`. Here they are flat.
Every architecture of fairseq is read with it: `read_file`, then `Options`, then `read_dictionary`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from dragoman.export.core.reasons import Reasons, short
from dragoman.export.importers.files.tensors import Pickled, Tensors
from dragoman.export.importers.files.torch_pickle import plain, read_pickle

MOST_NESTED = 8
SECTIONS = ("task", "model")
"""Sections of a configuration that say how the model computes; a later one goes before an earlier one."""


class Options:
    """The options of a checkpoint with their types checked; what is wrong becomes a reason."""

    def __init__(self, values: Mapping[str, Any], reasons: Reasons) -> None:
        self.values, self._reasons = values, reasons

    def __repr__(self) -> str:
        return f"<Options {len(self.values)} of {self.arch or 'no architecture'}>"

    @property
    def arch(self) -> str:
        """The name of the architecture, or of the model: `transformer_iwslt_de_en`; empty where none is said."""
        return str(self.values.get("arch") or self.values.get("_name") or "")

    @property
    def task(self) -> str:
        """The name of the task that it was trained for; fairseq's own, where none is said."""
        return str(self.values.get("task") or "translation")

    def raw(self, name: str) -> Any:
        """An option as it was saved; None where it is absent."""
        return self.values.get(name)

    def whole(self, name: str, most: int, default: int | None = None, *, least: int = 1) -> int:
        """A whole number within bounds."""
        value = self.values.get(name)
        value = default if value is None else value
        if isinstance(value, str) and value.isdecimal():
            value = int(value)
        if type(value) is int and least <= value <= most:
            return value
        self._reasons.add(f"{name} must be a whole number from {least} to {most}, the checkpoint says {short(value)}")
        return least

    def flag(self, name: str, *, default: bool = False) -> bool:
        """True or false."""
        value = self.values.get(name)
        value = default if value is None else value
        if type(value) in (bool, int) and value in (0, 1):
            return bool(value)
        self._reasons.add(f"{name} must be true or false, the checkpoint says {short(value)}")
        return default

    def number(self, name: str, default: float) -> float:
        """A finite number."""
        value = self.values.get(name)
        value = default if value is None else value
        if type(value) in (int, float) and abs(value) < float("inf"):
            return float(value)
        self._reasons.add(f"{name} must be a number, the checkpoint says {short(value)}")
        return default

    def word(self, name: str, default: str = "") -> str:
        """A name; empty where there is none."""
        value = self.values.get(name)
        return default if value is None else str(value)


@dataclass(frozen=True)
class FairseqFile:
    """What a checkpoint's file holds."""

    path: Path
    tensors: Tensors
    options: Options


def read_file(path: Path, reasons: Reasons) -> FairseqFile | None:
    """Read a checkpoint; None when there is a reason against it."""
    before = len(reasons)
    saved = read_pickle(path, reasons)
    if len(reasons) > before:
        return None
    if not isinstance(saved, dict) or not isinstance(saved.get("model"), dict):
        reasons.add(f"{path.name} is no fairseq checkpoint: it holds no model beside its options")
        return None
    values = _options(path, saved, reasons)
    tensors = _tensors(path, saved["model"], reasons)
    if len(reasons) > before:
        return None
    return FairseqFile(path, tensors, Options(values, reasons))


def _tensors(path: Path, model: dict[Any, Any], reasons: Reasons) -> Tensors:
    size = path.stat().st_size
    tensors: dict[str, torch.Tensor] = {}
    for name, tensor in model.items():
        if not isinstance(name, str) or not isinstance(tensor, torch.Tensor):
            reasons.add(f"{path.name}: {short(name)} of its model is no tensor")
        elif tensor.numel() * tensor.element_size() > size:
            reasons.add(f"{path.name}: {short(name)} claims {tensor.numel()} numbers, more than the file holds")
        else:
            tensors[name] = tensor
    return Tensors((path,), dict.fromkeys(tensors, Pickled(tensors)))


def _options(path: Path, saved: dict[Any, Any], reasons: Reasons) -> dict[str, Any]:
    try:
        args, cfg = plain(saved.get("args")), plain(saved.get("cfg"))
    except ValueError as error:
        reasons.add(f"{path.name}: {error}")
        return {}
    if isinstance(cfg, dict):
        options: dict[str, Any] = {}
        for section in SECTIONS:
            held = cfg.get(section)
            part = flat(held) if isinstance(held, dict) else {}
            name = part.pop("_name", None)
            options |= part
            if name is not None:
                options["task" if section == "task" else "_name"] = name
        return {name: resolved(value, cfg) for name, value in options.items()}
    if isinstance(args, dict):
        return flat(args)
    reasons.add(f"{path.name} has neither args nor cfg: only its weights were saved, and not how to compute with them")
    return {}


def flat(section: Mapping[str, Any], prefix: str = "", depth: int = 0) -> dict[str, Any]:
    """Options without sections: `{"encoder": {"layers": 6}}` becomes `{"encoder_layers": 6}`."""
    options: dict[str, Any] = {}
    for key, value in section.items():
        if isinstance(value, dict) and depth < MOST_NESTED:
            options |= flat(value, f"{prefix}{key}_", depth + 1)
        else:
            options[prefix + key] = value
    return options


def resolved(value: Any, cfg: Mapping[str, Any]) -> Any:
    """The value that `${model.decoder.embed_dim}` refers to; other values as they are, None where there is none."""
    for _ in range(MOST_NESTED):
        if not (isinstance(value, str) and value.startswith("${") and value.endswith("}")):
            return value
        held: Any = cfg
        for key in value[2:-1].split("."):
            held = held.get(key) if isinstance(held, dict) else None
        value = held
    return None
