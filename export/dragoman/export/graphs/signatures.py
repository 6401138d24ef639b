"""Inputs and outputs of every graph: names, types and axes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, Literal

import onnx_ir as ir
import torch
from torch import Tensor

from dragoman.bundle.manifest import Architecture, Nat
from dragoman.bundle.manifest import Graph as Signature
from dragoman.bundle.manifest import Tensor as TensorType
from dragoman.export.passes.quantize import (
    WORDS,
)

PREFIX = "nat."


MEMORY, SHORTLIST = ".memory", ".shortlist"


def is_nat(graph: str) -> bool:
    """Whether a graph is a non-autoregressive decoder's."""
    return graph.startswith(PREFIX)


def decoder_name(graph: str) -> str:
    """Which decoder a graph is of."""
    return graph.removeprefix(PREFIX).removesuffix(MEMORY).removesuffix(SHORTLIST)


def nat_signature(arch: Architecture, graph: str, nat: Nat, words: tuple[TensorType, ...]) -> Signature:
    """Names, types and axes, as `trace.signature`; T places of a canvas, r rows of all canvases.

    `words` are the inputs that every graph over a shortlist has.
    """
    turned = ("G", arch.heads, arch.head_dim, "S")
    memory = ("G", arch.heads, "S", arch.head_dim)
    cross = tuple(
        TensorType(f"cross_{x}.{n}", "float32", s) for n in range(nat.layers) for x, s in (("k", turned), ("v", memory))
    )
    src_mask = TensorType("src_mask", "float32", ("G", 1, 1, "S"))
    hidden = TensorType("hidden", "float32", ("n", arch.of_encoder.d_model))
    source = (hidden, TensorType("places", "int64", ("G", "S")), src_mask)
    shown = (TensorType("shown", "float32", ("G", "S", arch.d_model)),) if nat.canvas == "shown" else ()
    if graph.endswith(MEMORY):
        lengths = (TensorType("length_logp", "float32", ("G", nat.length_classes)),) if nat.length_classes else ()
        return Signature(f"{graph}.onnx", source, (*cross, *shown, *lengths))
    canvas = (
        TensorType("ids", "int64", ("G", "T")),
        TensorType("canvas_mask", "float32", ("G", 1, 1, "T")),
        *cross,
        *shown,
        src_mask,
    )
    said = (TensorType("ids", "int64", ("G", "S", nat.upsample)),) if nat.refines else ()
    inputs = (
        *((*source, *said) if nat.kind == "ctc" else canvas),
        *(words if graph.endswith(SHORTLIST) else ()),
        TensorType("rows", "int64", ("r",)),
        TensorType("top", "int64", ("k",)),
    )
    return Signature(
        f"{graph}.onnx",
        inputs,
        (TensorType("topk_logp", "float32", ("r", "k")), TensorType("topk_id", "int64", ("r", "k"))),
    )


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
