"""From a torch module to an ONNX graph with the names and axes of its signature, and back from the graph to those."""

import logging
import re
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Literal

import onnx_ir as ir
import torch
from onnxscript import optimizer

from dragoman.bundle.graphs import SHORTLIST_BLOCK, file_of, is_for_devices, signature
from dragoman.bundle.manifest import Graph as Signature
from dragoman.bundle.manifest import Tensor as TensorType
from dragoman.export.graphs.arguments import arguments, example
from dragoman.export.graphs.device_modules import DEVICE_OPSET
from dragoman.export.graphs.modules import module_of
from dragoman.export.network.nat import decoders
from dragoman.export.network.network import Network
from dragoman.export.network.window import traced_positions
from dragoman.export.passes.reshapes import constant_reshapes

OPSET = 20
"""All graphs but those for devices have it."""
FOLDABLE = 32
"""Nodes whose inputs are constants of up to this many numbers are computed at export."""
DTYPES: dict[ir.DataType | None, Literal["float32", "float16", "int64", "uint8"]] = {
    ir.DataType.FLOAT: "float32",
    ir.DataType.FLOAT16: "float16",
    ir.DataType.INT64: "int64",
    ir.DataType.UINT8: "uint8",
}


def trace(network: Network, graph: str) -> ir.Model:
    """Export one graph in float32, with the names of its signature; one for devices in the network's precision."""
    declared = signature(network.arch, graph, decoders(network))
    # Sizes that differ from each other and from every fixed size, so that no two axes are taken for the same.
    sizes = {
        "G": 3,
        "S": traced_positions(network.arch, 7),
        "T": 5,
        "q": 2,
        "k": 4,
        "m": 6,
        "n": 13,
        "r": 11,
        "C": SHORTLIST_BLOCK * 6,
    }
    automatic = torch.export.Dim.AUTO
    given = example(declared.inputs, sizes)
    if is_for_devices(graph):
        wanted = network.source_embedding.dtype
        given = {name: tensor.to(wanted) if tensor.is_floating_point() else tensor for name, tensor in given.items()}
    axes = {t.name: {n: automatic for n, a in enumerate(t.shape) if isinstance(a, str)} for t in declared.inputs}
    with _quiet():
        program = torch.onnx.export(
            module_of(network, graph),
            (),
            kwargs=arguments(given),
            dynamic_shapes={**arguments(axes)},
            dynamo=True,
            opset_version=DEVICE_OPSET if is_for_devices(graph) else OPSET,
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
    _name_axes(model, inputs)
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
    """Whether a node is computed at export: shapes are, weights never, since the passes look for them by name.

    Left to itself the optimiser transposes a table that is read once, and the int8 passes would not recognise it.
    """
    sizes = [value.const_value.size for value in node.inputs if value is not None and value.const_value is not None]
    return False if max(sizes, default=0) > FOLDABLE else None


def _flatten(given: dict[str, Any]) -> Iterator[TensorType]:
    for value in given.values():
        if isinstance(value, list):
            yield from value
        elif value is not None:
            yield value


def _name_axes(model: ir.Model, inputs: Sequence[TensorType]) -> None:
    """Call each axis by its declared name wherever it is: the exporter numbers those of each input by themselves."""
    names = {
        str(axis.value): name
        for value, tensor in zip(model.graph.inputs, inputs, strict=True)
        for axis, name in zip(value.shape or (), tensor.shape, strict=True)
        if isinstance(axis, ir.SymbolicDim) and isinstance(name, str)
    }

    def named(axis: int | ir.SymbolicDim) -> int | str:
        return axis if isinstance(axis, int) else re.sub(r"\w+", lambda m: names.get(m[0], m[0]), str(axis.value))

    for value in (value for node in model.graph for value in node.outputs):
        if value.shape is not None:
            value.shape = ir.Shape([named(axis) for axis in value.shape])


def _clean(model: ir.Model) -> None:
    """Drop the exporter's notes (they hold paths and stack traces) and the wrapper's name in front of the weights."""
    model.producer_name, model.producer_version, model.doc_string = "dragoman", None, None
    model.metadata_props.clear()
    model.graph.metadata_props.clear()
    for graph in model.graph.subgraphs():
        graph.metadata_props.clear()
        for value in graph.inputs:
            value.metadata_props.clear()
    for node in model.graph.all_nodes():
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
    """Without the exporter's warnings of what is not ours: torchvision is absent, it uses deprecated calls."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)


def signature_of(model: ir.Model, graph: str) -> Signature:
    """Names, types and axes of a graph as they are after the passes."""

    def read(values: Sequence[ir.Value]) -> tuple[TensorType, ...]:
        return tuple(TensorType(str(v.name), DTYPES[v.dtype], tuple(map(_size, v.shape or ()))) for v in values)

    return Signature(file_of(graph), read(model.graph.inputs), read(model.graph.outputs))


def _size(axis: int | ir.SymbolicDim) -> int | str:
    return axis if isinstance(axis, int) else str(axis.value)
