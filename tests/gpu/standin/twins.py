"""What must not be, each put into the project's own code: the tests have to notice."""

from collections.abc import Callable
from typing import Any

import onnx
from onnx import helper

from dragoman.bundle.graphs import DEVICE_STEP, DEVICE_STRIDE, TOPK_LOGP, file_of
from dragoman.bundle.reader import Bundle
from dragoman.server.batches import warm_up
from dragoman.server.batches.factory import GroupFactory
from dragoman.server.runtime.slabs import Slabs, SlabSet


def _rewritten(change: Callable[[Any], None]) -> None:
    """Have the step and the stride of each bundle changed while they are read."""
    read = Bundle.read

    def twin(bundle: Bundle, name: str) -> bytes:
        content = read(bundle, name)
        if name not in (file_of(DEVICE_STEP), file_of(DEVICE_STRIDE)):
            return content
        model = onnx.load_from_string(content)
        change(model.graph)
        changed: bytes = model.SerializeToString()
        return changed

    Bundle.read = twin  # type: ignore[method-assign]


def _behind_the_best(op: str) -> Callable[[Any], None]:
    """One more node between a step and what it says."""

    def change(graph: Any) -> None:
        (node,) = [node for node in graph.node if TOPK_LOGP in node.output]
        node.output[[*node.output].index(TOPK_LOGP)] = "before"
        graph.node.append(helper.make_node(op, ["before"], [TOPK_LOGP]))

    return change


def a_node_without_a_kernel() -> None:
    """CUDA's provider has no such kernel: ONNX Runtime puts it on the processor."""
    _rewritten(_behind_the_best("Asin"))


def one_node_more() -> None:
    """A step grows by a node."""
    _rewritten(_behind_the_best("Neg"))


def a_pointer_of_the_host() -> None:
    """A step reads a number that the processor computes: a capture would hold its address there."""

    def change(graph: Any) -> None:
        (node,) = [node for node in graph.node if TOPK_LOGP in node.output]
        node.output[[*node.output].index(TOPK_LOGP)] = "before"
        graph.node.extend(
            [
                helper.make_node("Size", ["before"], ["size"]),
                helper.make_node("Cast", ["size"], ["factor"], to=onnx.TensorProto.FLOAT),
                helper.make_node("Mul", ["before", "factor"], [TOPK_LOGP]),
            ]
        )

    _rewritten(change)


def addresses_that_move() -> None:
    """Tensors never come back to where others of their kind were."""

    kept: list[SlabSet] = []

    def take(self: Slabs, kind: object) -> SlabSet:
        kept.append((kind, len(kept), {}))
        return kept[-1]

    Slabs.take = take  # type: ignore[method-assign]


def steps_instead_of_strides() -> None:
    """The host chooses each word."""
    GroupFactory._strides = lambda *_: False  # type: ignore[method-assign]


def no_rehearsal() -> None:
    """A lane starts without having run anything."""
    warm_up._rehearsed = lambda *_: iter(())


TWINS: dict[str, Callable[[], None]] = {
    made.__name__: made
    for made in (
        *(a_node_without_a_kernel, one_node_more, a_pointer_of_the_host),
        *(addresses_that_move, steps_instead_of_strides, no_rehearsal),
    )
}
