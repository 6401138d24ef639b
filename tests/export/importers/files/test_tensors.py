"""The files of a Hugging Face directory: every way to store weights, and every way to spoil them."""

import json
import os
import pickle
import shutil
import struct

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from dragoman.export.core.errors import UnsupportedModel
from dragoman.export.core.reasons import Reasons
from dragoman.export.importers.files.tensors import open_tensors
from dragoman.export.importers.hf.importer import read_model

WEIGHTS = "model.safetensors"


def weights_in(folder):
    """Canonical weights of a directory that is in order."""
    reasons = Reasons()
    model = read_model(folder, reasons)
    reasons.raise_if_any(folder)
    return model.weights


def refusal(folder) -> str:
    """What is said of a directory that is not."""
    reasons = Reasons()
    assert read_model(folder, reasons) is None
    with pytest.raises(UnsupportedModel) as refused:
        reasons.raise_if_any(folder)
    return str(refused.value)


def shard(folder, write, suffix) -> None:
    """Spread the weights over two files with an index."""
    tensors = load_file(folder / WEIGHTS)
    (folder / WEIGHTS).unlink()
    table = {name: f"part-{n % 2}{suffix}" for n, name in enumerate(sorted(tensors))}
    for file in set(table.values()):
        write({n: t for n, t in tensors.items() if table[n] == file}, folder / file)
    index = "model.safetensors.index.json" if suffix == ".safetensors" else "pytorch_model.bin.index.json"
    (folder / index).write_text(json.dumps({"metadata": {}, "weight_map": table}), encoding="utf-8")


def to_pickle(folder, **options) -> None:
    torch.save(load_file(folder / WEIGHTS), folder / "pytorch_model.bin", **options)
    (folder / WEIGHTS).unlink()


WAYS = {
    "safetensors in parts": lambda folder: shard(folder, save_file, ".safetensors"),
    "pickle": to_pickle,
    "pickle of before torch 1.6": lambda folder: to_pickle(folder, _use_new_zipfile_serialization=False),
    "pickles in parts": lambda folder: shard(folder, torch.save, ".bin"),
    "links, as in the hub's cache": lambda folder: (
        (folder / WEIGHTS).rename(folder.parent / "blob") and (folder / WEIGHTS).symlink_to("../blob")
    ),
}


@pytest.mark.parametrize("way", WAYS)
def test_weights_are_the_same_however_they_are_stored(t5, way):
    """One safetensors file, several with an index, pickles of either format and links give equal numbers."""
    expected = {name: weight.copy() for name, weight in weights_in(t5).items()}

    WAYS[way](t5)

    found = weights_in(t5)
    assert found.keys() == expected.keys()
    assert all(np.array_equal(found[name], expected[name]) for name in expected)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_floats_become_float32(t5, dtype):
    """Half, bfloat16 and double weights are read as the float32 numbers that they stand for."""
    tensors = {name: tensor.to(dtype) for name, tensor in load_file(t5 / WEIGHTS).items()}
    save_file(tensors, t5 / WEIGHTS)

    reasons = Reasons()
    opened = open_tensors(t5, reasons)

    for name, tensor in tensors.items():
        assert np.array_equal(opened.read(name, reasons), tensor.float().numpy())
    assert not len(reasons)


@pytest.mark.parametrize(
    "name",
    ["../stolen.safetensors", "/etc/passwd", "a/../../stolen.safetensors", "..", "", "part.bin", "..\\x.safetensors"],
)
def test_an_index_names_files_of_its_own_folder_only(t5, name):
    """A name that leads elsewhere, or to no safetensors file, is refused before anything is opened."""
    shutil.copy(t5 / WEIGHTS, t5.parent / "stolen.safetensors")
    (t5 / WEIGHTS).unlink()
    index = {"weight_map": {"shared.weight": name}}
    (t5 / "model.safetensors.index.json").write_text(json.dumps(index), encoding="utf-8")

    assert "which is not a .safetensors file of its own folder" in refusal(t5)


def test_a_part_that_is_absent_is_named(t5):
    """What the index promises and the folder lacks is said, with what to do."""
    shard(t5, save_file, ".safetensors")
    (t5 / "part-1.safetensors").unlink()

    assert "names part-1.safetensors, which is not in the folder: fetch it again" in refusal(t5)


def test_a_tensor_that_its_part_lacks_is_named(t5):
    """An index and parts of different models do not pass."""
    shard(t5, save_file, ".safetensors")
    part = load_file(t5 / "part-0.safetensors")
    gone = sorted(part)[0]
    save_file({name: tensor for name, tensor in part.items() if name != gone}, t5 / "part-0.safetensors")

    assert f"promises 1 tensors that its files lack, such as {gone}" in refusal(t5)


@pytest.mark.parametrize("text", ["", "[]", "{", "{}", '{"weight_map": []}', '{"weight_map": {"a": 1}}', "[" * 100_000])
def test_an_index_that_is_none_is_refused(t5, text):
    """Whatever is not an object with a weight_map of names is said to be none."""
    (t5 / WEIGHTS).unlink()
    (t5 / "model.safetensors.index.json").write_text(text, encoding="utf-8")

    assert "does not say which file holds which tensor" in refusal(t5)


@pytest.mark.parametrize("kept", [0, 4, 9, 200, -1, -64])
def test_a_file_that_was_cut_off_is_refused(t5, kept):
    """Cut in its length, its header or its data, a safetensors file is said to be damaged."""
    data = (t5 / WEIGHTS).read_bytes()
    (t5 / WEIGHTS).write_bytes(data[:kept])

    assert "model.safetensors is damaged or cut off" in refusal(t5)


def test_a_header_that_promises_more_than_there_is_is_refused(t5):
    """A header of 2**60 bytes is not believed."""
    data = (t5 / WEIGHTS).read_bytes()
    (t5 / WEIGHTS).write_bytes(struct.pack("<Q", 1 << 60) + data[8:])

    assert "model.safetensors is damaged or cut off" in refusal(t5)


class Bomb:
    """What a hostile pickle holds: a call that is made when it is read."""

    def __init__(self, mark) -> None:
        self.mark = mark

    def __reduce__(self):
        return os.mkdir, (str(self.mark),)


@pytest.mark.parametrize("save", [torch.save, lambda value, file: file.write_bytes(pickle.dumps(value))])
def test_a_pickle_that_wants_to_run_code_is_refused(t5, tmp_path, save):
    """It is not run, and the message says what to do."""
    (t5 / WEIGHTS).unlink()
    save({"shared.weight": Bomb(tmp_path / "ran")}, t5 / "pytorch_model.bin")

    said = refusal(t5)

    assert "holds more than tensors and would run code. Where you trust it, save the model as safetensors" in said
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"\x80", b"not a pickle"])
def test_a_pickle_that_is_none_is_refused(t5, content):
    """Whatever torch cannot read is said to be damaged."""
    (t5 / WEIGHTS).unlink()
    (t5 / "pytorch_model.bin").write_bytes(content)

    assert "pytorch_model.bin is" in refusal(t5)


@pytest.mark.parametrize("value", [[torch.zeros(1)], {"a": 1}, {1: torch.zeros(1)}, torch.zeros(1)])
def test_a_pickle_of_something_else_is_refused(t5, value):
    """A pickle holds tensors by name and nothing else."""
    (t5 / WEIGHTS).unlink()
    torch.save(value, t5 / "pytorch_model.bin")

    assert "pytorch_model.bin does not hold named tensors" in refusal(t5)


def test_no_weights_at_all_are_said_to_be_none(t5):
    """The message lists what was looked for, and what is there instead."""
    (t5 / WEIGHTS).rename(t5 / "tf_model.h5")

    said = refusal(t5)

    assert "none of model.safetensors, model.safetensors.index.json, pytorch_model.bin" in said
    assert "tf_model.h5 cannot be read: save the model with transformers as safetensors" in said


def test_numbers_that_are_none_are_refused(t5):
    """Weights stored as integers, and weights that are not finite, are each named."""
    tensors = load_file(t5 / WEIGHTS)
    tensors["shared.weight"][3, 2] = torch.nan
    tensors["encoder.final_layer_norm.weight"] = tensors["encoder.final_layer_norm.weight"].to(torch.int8)
    save_file(tensors, t5 / WEIGHTS)

    said = refusal(t5)

    assert "shared.weight holds numbers that are not finite" in said
    assert "encoder.final_layer_norm.weight is stored as int8: export the model from before it was quantised" in said
