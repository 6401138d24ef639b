"""From canonical modules to ONNX: tracing, names, int8, and one weights file for all graphs of a bundle."""

from __future__ import annotations

import hashlib
import logging
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

import numpy as np
import onnx_ir as ir
import torch
from onnx_ir.passes.common import RemoveUnusedNodesPass
from onnxscript import optimizer
from torch import Tensor, nn

from dragoman.bundle.manifest import Architecture, Nat
from dragoman.bundle.manifest import Graph as Signature
from dragoman.bundle.manifest import Tensor as TensorType
from dragoman.export.graphs import (
    OPSET,
    SHORTLIST_BLOCK,
    CandidatesGraph,
    EncoderGraph,
    ShortlistStepGraph,
    StepGraph,
)
from dragoman.export.nat import decoders
from dragoman.export.nat_graphs import decoder_name, is_nat, nat_module, nat_signature
from dragoman.export.network import Network
from dragoman.export.quantize import (
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
DTYPES: dict[ir.DataType | None, Literal["float32", "float16", "int64", "uint8"]] = {
    ir.DataType.FLOAT: "float32",
    ir.DataType.FLOAT16: "float16",
    ir.DataType.INT64: "int64",
    ir.DataType.UINT8: "uint8",
}
Shape = tuple[int | str, ...]


def signature(arch: Architecture, graph: str, nat: Mapping[str, Nat] = MappingProxyType({})) -> Signature:
    """Names, types and axes of a graph's inputs and outputs: the one place where they are declared.

    `nat` are the network's non-autoregressive decoders. G sources, S source positions, T pool slots, q new nodes a
    source, n words or nodes of all sources, k best words, m named words, C candidate words.
    """
    layers = range(arch.decoder_layers)
    cross = _cross(arch)
    src_mask = TensorType("src_mask", "float32", ("G", 1, 1, "S"))
    if graph == "encoder":
        packed = [TensorType(name, "int64", ("n",)) for name in ("ids", "depth", "rows")]
        first = [TensorType(f"initial.{n}", "float32", ("G", width)) for n, width in enumerate(_states(arch)[0])]
        hidden = [TensorType("hidden", "float32", ("n", arch.of_encoder.d_model))] if nat else []
        places = TensorType("places", "int64", ("G", "S"))
        return Signature("encoder.onnx", (*packed, places, src_mask), (*cross, *first, *hidden))
    candidates, words = TensorType("candidates", "int64", ("C",)), TensorType(WORDS, "float32", ("C", arch.d_model))
    allowed = TensorType("allowed", "float32", ("G", "C"))
    if is_nat(graph):
        return nat_signature(arch, graph, nat[decoder_name(graph)], (candidates, allowed, words))
    if graph == "candidates":
        return Signature("candidates.onnx", (candidates,), (words, TensorType("word_bias", "float32", ("C",))))
    inputs = [TensorType("ids", "int64", ("G", "q")), TensorType("depth", "int64", ("G", "q"))]
    if arch.keeps_states:
        widths = [width for part in _states(arch) for width in part]
        inputs += [TensorType(f"state.{n}", "float32", ("G", "q", width)) for n, width in enumerate(widths)]
        kept = [TensorType(f"new_state.{n}", "float32", ("n", width)) for n, width in enumerate(widths)]
    else:
        pool: Shape = ("G", arch.heads, "T", arch.head_dim)
        new: Shape = ("G", arch.heads, "q", arch.head_dim)
        inputs.append(TensorType("mask", "float32", ("G", 1, "q", "T+q")))
        if arch.is_relative:
            inputs.append(TensorType("slot_depth", "int64", ("G", "T")))
        inputs += [TensorType(f"self_{x}.{n}", "float32", pool) for n in layers for x in "kv"]
        kept = [TensorType(f"new_{x}.{n}", "float32", new) for n in layers for x in "kv"]
    inputs += [*cross, src_mask]
    if arch.copies:
        inputs.append(TensorType("extended", "int64", ("G", "S")))
    found = [
        TensorType("topk_logp", "float32", ("n", "k")),
        TensorType("topk_id", "int64", ("n", "k")),
        TensorType("chosen_logp", "float32", ("n", "m")),
        TensorType("normaliser", "float32", ("n", 1)),
        TensorType("attention", "float32", ("G", "q", "S")),
    ]
    if graph == "step_shortlist":
        inputs += [candidates, allowed, words]
    inputs += [TensorType("chosen", "int64", ("G", "q", "m")), TensorType("top", "int64", ("k",))]
    return Signature(f"{graph}.onnx", tuple(inputs), (*found, *kept))


def _cross(arch: Architecture) -> list[TensorType]:
    """What attention reads of a source; keys come turned."""
    heads, key, value, count = arch.heads, 0, 0, arch.decoder_layers
    if arch.recurrent is None:
        key = value = arch.head_dim
    else:
        heads, key, value, count = 1, arch.recurrent.key_width, arch.recurrent.memory_width, 1
    turned: Shape = ("G", heads, key, "S")
    memory: Shape = ("G", heads, "S", value)
    return [TensorType(f"cross_{x}.{n}", "float32", s) for n in range(count) for x, s in (("k", turned), ("v", memory))]


def _states(arch: Architecture) -> tuple[list[int], list[int]]:
    """Widths of a node's states: of those that a root has from the encoder, and of those that begin with zeros."""
    own = arch.recurrent
    if own is None:
        return [], [arch.d_model] * arch.decoder_layers if arch.keeps_states else []
    states = arch.decoder_layers * (2 if arch.decoder == "lstm" else 1)
    return [own.decoder_hidden] * states, [own.decoder_hidden] * own.input_feeding


def remembered(arch: Architecture, outputs: Sequence[Any]) -> dict[str, Any]:
    """The encoder graph's outputs, under the names that the step takes them by."""
    named = zip((t.name for t in signature(arch, "encoder").outputs), outputs, strict=True)
    return {
        name.replace("initial.", "state."): value[:, None] if name.startswith("initial.") else value
        for name, value in named
    }


def signature_of(model: ir.Model, file: str) -> Signature:
    """Names, types and axes as they are after the passes."""

    def read(values: Sequence[ir.Value]) -> tuple[TensorType, ...]:
        return tuple(TensorType(str(v.name), DTYPES[v.dtype], tuple(map(_axis, v.shape or ()))) for v in values)

    return Signature(file, read(model.graph.inputs), read(model.graph.outputs))


def _axis(size: int | ir.SymbolicDim) -> int | str:
    return size if isinstance(size, int) else str(size.value)


def example(inputs: tuple[TensorType, ...], sizes: dict[str, int]) -> dict[str, Tensor]:
    """Inputs of these sizes, all zero."""
    types = {"float32": torch.float32, "int64": torch.int64}
    sizes = {**sizes, "T+q": sizes.get("T", 0) + sizes.get("q", 0)}
    return {
        t.name: torch.zeros([sizes[a] if isinstance(a, str) else a for a in t.shape], dtype=types[t.dtype])
        for t in inputs
    }


def arguments(given: dict[str, Any]) -> dict[str, Any]:
    """Named tensors as the modules' forward takes them: states and cross keys and values as lists."""
    state = [v for n, v in given.items() if n.startswith(("state.", "self_"))]
    cross = [v for n, v in given.items() if n.startswith("cross_")]
    rest = {n: v for n, v in given.items() if not n.startswith(("state.", "self_", "cross_"))}
    lists = {"state": state, "mask": given.get("mask")} if state else {}
    return {**rest, **lists, **({"cross": cross} if cross else {})}


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
