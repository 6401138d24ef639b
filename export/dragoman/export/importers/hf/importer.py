"""Import a Hugging Face directory of an encoder-decoder.

    1. config.json -> architecture        config, a table of families
    2. the file -> tensors                files/tensors: safetensors, or a pickle read for its tensors alone
    3. tensors -> canonical weights       weights, a table of names
    4. generation_config.json             generation
    5. tokenizer                          tokenizer: directory, families, vocabulary, frame

transformers itself is not needed. Every step adds what stands against the model to the same reasons, and the import is
refused with all of them.
"""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from dragoman.bundle.manifest import Architecture, Limits
from dragoman.export.core.checkpoint import Checkpoint, Oracle
from dragoman.export.core.errors import UnsupportedModel
from dragoman.export.core.reasons import Reasons
from dragoman.export.importers.files.json_files import model_folder, read_json, read_json_if_there
from dragoman.export.importers.files.model_card import CARD, licence_of
from dragoman.export.importers.files.tensors import open_tensors
from dragoman.export.importers.hf.bert import flattened
from dragoman.export.importers.hf.config import Config, overridden, pad_id, read_architecture
from dragoman.export.importers.hf.folder import CONFIG, GENERATION
from dragoman.export.importers.hf.generation import Generation, read_generation
from dragoman.export.importers.hf.oracle import NEVER, oracle_of
from dragoman.export.importers.hf.tokenizer import TokenizerSource, read_tokenizer
from dragoman.export.importers.hf.weights import place_weights


@dataclass(frozen=True)
class Task:
    """What a model is used for, other than translation."""

    settings: dict[str, Any]
    """Decoding defaults, which go before all others."""
    prompt: str


@dataclass(frozen=True)
class HfModel:
    """Everything of a directory but its tokenizer and languages."""

    folder: Path
    kind: str
    architecture: Architecture
    weights: dict[str, npt.NDArray[np.float32]]
    generation: Generation
    files: tuple[Path, ...]
    notes: tuple[str, ...]
    oracle: Oracle | None


def read_hf(
    path: Path, source_language: str | None, target_language: str | None, task: Task | None = None
) -> Checkpoint:
    """Read the model in the directory `path`, as it is used for `task`. Raises `ExportError`."""
    reasons = Reasons()
    folder = model_folder(path)
    model = read_model(folder, reasons, task)
    text = _read_tokenizer(folder, source_language, target_language, reasons, task)
    reasons.raise_if_any(path)
    assert model is not None, "a model that is not read has a reason"
    assert text is not None, "a tokenizer that is not read has a reason"
    tokenizer, generation, arch = text.tokenizer, model.generation, model.architecture
    if tokenizer.forced_first is None:
        tokenizer = replace(tokenizer, forced_first=generation.forced_first_id)
    licence = licence_of(folder / CARD)
    return Checkpoint(
        name=str(text.pairs[0]) if len(text.pairs) == 1 else model.kind.replace("_", "-"),
        pairs=text.pairs,
        architecture=arch,
        weights=model.weights,
        quantized={},
        tokenizer=replace(
            tokenizer, eos_id=generation.eos_id, start_id=generation.start_id, suppressed_ids=generation.suppressed_ids
        ),
        tokenizer_files=dict(text.files),
        decoding=generation.decoding,
        limits=Limits(max_source_tokens=arch.source_positions, max_target_tokens=arch.max_positions),
        source_format=f"huggingface-{model.kind}",
        source_files=tuple(dict.fromkeys((*model.files, *text.read))),
        licence=licence,
        notes=(*model.notes, *text.notes, *(() if licence else ("the files state no licence",))),
        oracle=model.oracle,
    )


def read_task(path: Path, name: str) -> Task:
    """What `config.json` says of a task (`task_specific_params`): settings of its own, and a prompt."""
    told = read_json(model_folder(path) / CONFIG, Reasons()).get("task_specific_params")
    own = told.get(name) if isinstance(told, dict) else None
    settings = own if isinstance(own, dict) else {}
    prompt = settings.get("prefix")
    settings = {key: value for key, value in settings.items() if key != "prefix"}
    return Task(settings, prompt if isinstance(prompt, str) else "")


def read_model(folder: Path, reasons: Reasons, task: Task | None = None) -> HfModel | None:
    """Configuration and weights; None when there is a reason against them."""
    options = flattened(read_json(folder / CONFIG, reasons))
    if not options:
        return None
    config = Config(options, reasons)
    arch = read_architecture(config, reasons)
    tensors = open_tensors(folder, reasons)
    if arch is None:
        return None
    generation_file = folder / GENERATION
    settings = read_json_if_there(generation_file, reasons) | ({} if task is None else task.settings)
    assert config.family is not None, "an architecture has a family"
    generation = read_generation(settings, options, config.family, arch, reasons)
    placed = place_weights(tensors, config, arch, reasons) if tensors is not None else None
    if placed is None or tensors is None or len(reasons):
        return None
    arch, weights = placed.architecture, placed.weights
    left_out = generation.suppressed_ids if generation.renormalizes else ()
    if left_out:
        bias = weights.get("output_bias", np.zeros(arch.target_vocabulary, np.float32)).copy()
        bias[list(left_out)] += NEVER
        arch, weights = replace(arch, output_bias=True), {**weights, "output_bias": bias}
    first = 0 if arch.encoder_window is None else arch.encoder_window.first
    oracle = oracle_of(folder, pad_id(config), left_out, overridden(config), first)
    without = () if oracle is not None else ("transformers is not installed, so nothing was compared with it",)
    return HfModel(
        folder,
        kind=str(config.kind),
        architecture=arch,
        weights=weights,
        generation=generation,
        files=(folder / CONFIG, *([generation_file] if settings else []), *tensors.files),
        notes=(*placed.notes, *generation.notes, *without),
        oracle=oracle,
    )


def _read_tokenizer(
    folder: Path, source: str | None, target: str | None, reasons: Reasons, task: Task | None
) -> TokenizerSource | None:
    """The tokenizer; None, with its reasons among the others, where it cannot be read. What has a task of its own has
    no prompts of translation.
    """
    config = flattened(read_json(folder / CONFIG, Reasons()))
    config = config if task is None else {key: each for key, each in config.items() if key != "task_specific_params"}
    try:
        return read_tokenizer(folder, config, source=source, target=target)
    except UnsupportedModel as error:
        for reason in error.reasons:
            reasons.add(reason)
        return None
