"""From canonical modules to ONNX: tracing, names, int8, and one weights file for all graphs of a bundle."""

from __future__ import annotations

import hashlib
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir as ir
import torch
from onnx_ir.passes.common import RemoveUnusedNodesPass
from onnxscript import optimizer
from torch import nn

from dragoman.bundle.manifest import Tensor as TensorType
from dragoman.export.graphs.graphs import (
    OPSET,
    SHORTLIST_BLOCK,
    CandidatesGraph,
    EncoderGraph,
    ShortlistStepGraph,
    StepGraph,
)
from dragoman.export.graphs.nat_graphs import nat_module
from dragoman.export.graphs.signatures import (
    arguments,
    example,
    is_nat,
    signature,
)
from dragoman.export.network.nat import decoders
from dragoman.export.network.network import Network
from dragoman.export.passes.quantize import (
    MS,
    WORDS,
    Int8Weight,
    quantize_candidates,
    quantize_embedding,
    quantize_matrices,
    quantize_words,
)

WEIGHTS_FILE = "weights.bin"
ALIGNMENT = 4096
"""Of each weight in the file, so that it can be mapped into memory."""
SMALL = 1024
"""Constants up to this many bytes stay inside the graph, where shape inference sees them."""
FOLDABLE = 32
"""Nodes whose inputs are constants of up to this many numbers are computed at export."""
MODULES = {
    "encoder": EncoderGraph,
    "step": StepGraph,
    "candidates": CandidatesGraph,
    "step_shortlist": ShortlistStepGraph,
}


def module_of(network: Network, graph: str) -> nn.Module:
    """The torch module that a graph is exported from."""
    return (nat_module(network, graph) if is_nat(graph) else MODULES[graph](network)).eval()


def trace(network: Network, graph: str) -> ir.Model:
    """Export one graph in float32, with the names of its signature."""
    declared = signature(network.arch, graph, decoders(network))
    # Sizes that differ from one another and from every fixed one, so that no two axes are taken for the same.
    sizes = {"G": 3, "S": 7, "T": 5, "q": 2, "k": 4, "m": 6, "n": 13, "r": 11, "C": SHORTLIST_BLOCK * 6}
    automatic = torch.export.Dim.AUTO
    given = example(declared.inputs, sizes)
    axes = {t.name: {n: automatic for n, a in enumerate(t.shape) if isinstance(a, str)} for t in declared.inputs}
    with _quiet():
        program = torch.onnx.export(
            module_of(network, graph),
            (),
            kwargs=arguments(given),
            dynamic_shapes={**arguments(axes)},
            dynamo=True,
            opset_version=OPSET,
            optimize=False,
            verbose=False,
        )
        assert program is not None
        model = program.model
        optimizer.optimize_ir(model, input_size_limit=FOLDABLE, should_fold=_folds)
    # The exporter orders inputs as the arguments were given; lists keep their own order inside.
    order = {id(v): n for n, v in enumerate(_flatten(arguments({t.name: t for t in declared.inputs})))}
    inputs = sorted(declared.inputs, key=lambda t: order[id(t)])
    assert len(model.graph.inputs) == len(inputs), f"{graph}: an input was lost in tracing"
    for value, tensor in [
        *zip(model.graph.inputs, inputs, strict=True),
        *zip(model.graph.outputs, declared.outputs, strict=True),
    ]:
        value.name = tensor.name
        value.shape = ir.Shape(list(tensor.shape))
    _clean(model)
    constant_reshapes(model)
    return model


def _folds(node: ir.Node) -> bool | None:
    """Shapes are folded; weights never are, since the passes look for them under their own names.

    Left to itself the optimiser turns a table that is read once, and the int8 passes would not know it again.
    """
    sizes = [value.const_value.size for value in node.inputs if value is not None and value.const_value is not None]
    return False if max(sizes, default=0) > FOLDABLE else None


def _flatten(given: dict[str, Any]) -> Iterator[TensorType]:
    for value in given.values():
        if isinstance(value, list):
            yield from value
        elif value is not None:
            yield value


def _clean(model: ir.Model) -> None:
    """Drop the exporter's notes (they hold paths and stack traces) and the wrapper's name in front of the weights."""
    model.producer_name, model.producer_version, model.doc_string = "dragoman", None, None
    model.metadata_props.clear()
    model.graph.metadata_props.clear()
    for node in model.graph:
        node.metadata_props.clear()
        node.doc_string = None
        for value in node.outputs:
            value.metadata_props.clear()
    for value in list(model.graph.initializers.values()):
        value.metadata_props.clear()
        if value.name is not None and value.name.startswith("network."):
            model.graph.initializers.pop(value.name)
            value.name = value.name.removeprefix("network.")
            model.graph.register_initializer(value)
    for value in model.graph.inputs:
        value.metadata_props.clear()


@contextmanager
def _quiet() -> Iterator[None]:
    """The exporter warns of things that are not ours (torchvision is absent, its own deprecated calls)."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)


def constant_reshapes(model: ir.Model) -> None:
    """Write a new shape as a constant where every axis is a number, one of the old axes in its place, or the rest."""
    for node in model.graph:
        if node.op_type != "Reshape" or node.inputs[1].is_initializer():  # type: ignore[union-attr]
            continue
        old, new = node.inputs[0].shape, node.outputs[0].shape  # type: ignore[union-attr]
        if old is None or new is None:
            continue
        axes = [a if isinstance(a, int) else 0 if n < len(old) and old[n] == a else -1 for n, a in enumerate(new)]
        if axes.count(-1) <= 1:
            name = "const.shape." + ".".join(map(str, axes))
            shape = model.graph.initializers.get(name)
            if shape is None:
                tensor = ir.tensor(np.array(axes, np.int64), name=name)
                shape = ir.Value(
                    name=name, const_value=tensor, shape=ir.Shape([len(axes)]), type=ir.TensorType(tensor.dtype)
                )
                model.graph.register_initializer(shape)
            node.replace_input_with(1, shape)
            node.attributes.pop("allowzero", None)  # a zero stands for the old axis
    RemoveUnusedNodesPass()(model)


def output_embedding(embeddings: dict[str, Int8Weight]) -> tuple[str, Int8Weight]:
    """The table that gives logits: the last that a tying leaves."""
    name = next(n for n in ("output_embedding", "target_embedding", "source_embedding") if n in embeddings)
    return name, embeddings[name]


def to_int8(
    model: ir.Model, matrices: dict[str, Int8Weight], embeddings: dict[str, Int8Weight], output_scale: float | None
) -> None:
    """Turn a float32 graph into an int8 one, in place."""
    output, weight = output_embedding(embeddings)
    if any(value.name == WORDS for value in model.graph.outputs):
        quantize_candidates(model, output, weight)
    if any(value.name == WORDS for value in model.graph.inputs):
        quantize_words(model, weight, output_scale)
    quantize_matrices(model, matrices)
    for name, table in embeddings.items():
        quantize_embedding(model, name, table, output_scale)
    model.graph.opset_imports[MS] = 1
    RemoveUnusedNodesPass()(model)
    left = [name for name in (*matrices, *embeddings) if name in model.graph.initializers]
    left += [str(n.name) for n in model.graph if n.op_type in ("MatMul", "Gemm") and n.inputs[1].is_initializer()]  # type: ignore[union-attr]
    assert not left, f"still float32 after quantising: {', '.join(left)}"


def save(models: dict[str, ir.Model], directory: Path) -> None:
    """Write every graph, and the weights of all of them once, into one file beside them."""
    places: dict[str, tuple[int, int]] = {}
    with (directory / WEIGHTS_FILE).open("wb") as file:
        for model in models.values():
            for value in model.graph.initializers.values():
                tensor = value.const_value
                assert tensor is not None
                if tensor.nbytes <= SMALL:
                    continue
                data = tensor.tobytes()
                key = f"{hashlib.sha256(data).hexdigest()}:{len(data)}"
                if key not in places:
                    file.write(b"\0" * (-file.tell() % ALIGNMENT))
                    places[key] = file.tell(), len(data)
                    file.write(data)
                offset, length = places[key]
                value.const_value = ir.ExternalTensor(
                    WEIGHTS_FILE,
                    offset,
                    length,
                    tensor.dtype,
                    shape=ir.Shape(tensor.shape.numpy()),
                    name=str(value.name),
                    base_dir=directory,
                )
    for name, model in models.items():
        ir.save(model, directory / f"{name}.onnx")
