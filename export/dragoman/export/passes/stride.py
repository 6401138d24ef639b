"""The stride: several steps of greedy search in one run of one graph, made from the traced step.

A small decoder's step takes less time than what surrounds it: handing tensors over, choosing a word, handing it back.
The stride is the step graph as the body of a loop that reads its own best word next, one node a source. It decides
nothing: what it says of a place holds given the words before it, and whoever wants another word than the best there
throws away the rest. Where a step takes long anyway, a stride would only make newcomers wait, and there is none.

It is made in two parts. `widened` lets new nodes attend to those of the same run (`recent_*`), in
the flat form that the int8 passes know; `looped` closes the loop, and leaves outside whatever is the same each time.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
import onnx_ir as ir
from onnx_ir.passes.common import RemoveUnusedNodesPass

from dragoman.bundle.graphs import (
    ALLOWED,
    CANDIDATE_IDS,
    COUNT,
    DEPTH,
    IDS,
    MASK,
    NEW,
    OWN,
    OWN_BIAS,
    RECENT,
    SELF,
    STATE,
    TOPK_ID,
    TOPK_LOGP,
    WORDS,
)
from dragoman.bundle.manifest import Architecture, Precision
from dragoman.export.passes.reshapes import with_size_one

MOST_WEIGHTS = 12_000_000
"""The most that a decoder with a stride has, those of the output layer over the whole vocabulary included: a processor
multiplies with so many in less than a millisecond. Where that takes longer, sources that end within a stride cost more
than it saves."""
BEST = (TOPK_LOGP, TOPK_ID)


def has_stride(arch: Architecture, precision: Precision, *, shortlist: bool) -> bool:
    """Whether a bundle has a stride. None in fp16, which is for devices: a loop there waits for the host each round.
    Nor with linear attention: a stride puts out the states of each round, and these are large.
    """
    d, layers = arch.d_model, arch.decoder_layers
    weights = layers * (6 * d * d + 2 * d * arch.ffn) + (0 if shortlist else d * arch.target_vocabulary)
    is_plain = arch.decoder in ("self-attention", "ssru") and arch.rotary is None
    is_plain = is_plain and not arch.is_relative and not arch.copies
    return is_plain and layers > 0 and precision != "fp16" and weights <= MOST_WEIGHTS


def widened(step: ir.Model) -> ir.Model:
    """A copy of a step graph, in float32, for one node a source that also reads the nodes of earlier rounds (`RECENT`).

    Its outputs `NEW` are then those nodes and the new one.
    """
    model = step.clone()
    graph = model.graph
    graph.outputs[:] = [value for value in graph.outputs if value.name in BEST or str(value.name).startswith(NEW)]
    RemoveUnusedNodesPass()(model)
    graph.inputs[:] = [value for value in graph.inputs if value.uses()]
    for index, new in enumerate(graph.outputs):
        if str(new.name).startswith(NEW + STATE):
            continue
        producer, shape = new.producer(), [str(a) if isinstance(a, ir.SymbolicDim) else a for a in new.shape or ()]
        if new.name in BEST or producer is None:
            continue
        recent = ir.Value(name=str(new.name).replace(NEW, RECENT), type=new.type)
        recent.shape = ir.Shape(["R" if axis == "q" else axis for axis in shape])
        graph.inputs.append(recent)
        node = ir.node("Concat", [recent, recent], attributes={"axis": 2})
        graph.insert_after(producer, node)
        (both,) = node.outputs
        both.name, both.type, both.shape = new.name, new.type, recent.shape
        graph.outputs[index] = both
        new.name = f"{new.name}.one"
        new.replace_all_uses_with(both)
        node.replace_input_with(1, new)
    with_size_one(model, "q")
    if any(value.name == ALLOWED for value in graph.inputs):
        _choose_among_own_words(graph)
        RemoveUnusedNodesPass()(model)
        graph.inputs[:] = [value for value in graph.inputs if value.name != ALLOWED]
    return model


def _choose_among_own_words(graph: ir.Graph) -> None:
    """Have each source's best words found among its own instead of all candidates, which are those of all sources.

    A batch has several times as many, and the exact normaliser is the dearest of what is made of them.
    """
    given = {str(value.name): value for value in graph.inputs}
    product, biased, ids, index = _choice(given)
    own, bias = (
        ir.Value(name=name, type=ir.TensorType(kind), shape=ir.Shape(["G", "W"]))
        for name, kind in ((OWN, ir.DataType.INT64), (OWN_BIAS, ir.DataType.FLOAT))
    )
    graph.inputs.extend([own, bias])
    front = _Builder(graph, graph, before=biased)
    picked = front.add("GatherElements", product, front.add("Transpose", own, perm=[1, 0]), axis=0)
    logits = front.add("Add", front.add("Transpose", picked, perm=[1, 0]), bias)
    words = front.add("Gather", given[CANDIDATE_IDS], own, axis=0)
    for size in [use.node for use in given[WORDS].uses() if use.node.op_type == "Shape"]:
        size.outputs[0].replace_all_uses_with(front.add("Shape", own, start=1, end=2))
    logits.shape, logits.type = bias.shape, bias.type
    biased.outputs[0].replace_all_uses_with(logits)
    chosen = _Builder(graph, graph, before=ids).add("GatherElements", words, index, axis=1)
    (found,) = ids.outputs
    chosen.shape, chosen.type = found.shape, found.type
    found.replace_all_uses_with(chosen, replace_graph_outputs=True)
    chosen.name, found.name = found.name, f"{found.name}.of_all"


def _choice(given: Mapping[str, ir.Value]) -> tuple[ir.Value, ir.Node, ir.Node, ir.Value]:
    """The logits of all candidates [C, G], what adds biases to them [G, C], what looks the best words up, and where
    they stand.
    """
    (biased,) = [use.node for use in given[ALLOWED].uses()]
    turned = next(value.producer() for value in biased.inputs if value is not given[ALLOWED] and value is not None)
    (ids,) = [use.node for use in given[CANDIDATE_IDS].uses()]
    assert turned is not None, "the logits are transposed"
    assert (biased.op_type, turned.op_type, ids.op_type) == ("Add", "Transpose", "GatherND")
    deeper = ids.inputs[1].producer() if ids.inputs[1] is not None else None
    product, index = turned.inputs[0], None if deeper is None else deeper.inputs[0]
    assert product is not None and index is not None, "places have got an axis for the look-up"  # noqa: PT018
    return product, biased, ids, index


def looped(model: ir.Model, last_place: int) -> None:
    """Close the loop around a graph of `widened`, in place, after all passes.

    Besides the step's inputs there is `COUNT` [], how many rounds. The mask [G, 1, 1, T + count] opens the pool's
    nodes and all of the run's. Best words [count, G, k] and new states [count, G, d] come from each round; keys and
    values are [G, H, count, e]. Positions end at `last_place`.
    """
    graph = model.graph
    inside = {str(value.name): value for value in graph.inputs}
    made = {str(value.name): value for value in graph.outputs}
    states = [name for name in inside if name.startswith(STATE)]
    recent = [name for name in inside if name.startswith(RECENT)]
    carried = [IDS, DEPTH, *states, *recent]
    twins = {*carried, MASK} & {*inside}
    given = {name: _twin(value) if name in twins else value for name, value in inside.items()}
    for name in (flat := [IDS, DEPTH, *states]):
        _flatten(inside[name])
    graph.inputs[:], graph.outputs[:] = [], []
    number, goes_on = _value("round", ir.DataType.INT64), _value("goes_on", ir.DataType.BOOL)
    body = ir.Graph([number, goes_on, *(inside[name] for name in carried)], [], nodes=[], name="body")
    outside, inner = _Builder(graph, graph), _Builder(graph, body)
    varying = {inside[name] for name in twins}
    moved = [node for node in graph if _varies(node, varying)]
    starts = [given[name] for name in carried]
    starts[: len(flat)] = [outside.add("Squeeze", start, outside.row(1)) for start in starts[: len(flat)]]
    if recent:
        pools = [inside[name.replace(RECENT, SELF)] for name in recent]
        starts[-len(recent) :] = [outside.add("Slice", pool, *map(outside.row, (0, 0, 2))) for pool in pools]
        # The mask as far as there are nodes by now: the pool's, those of earlier rounds, this one's.
        first = outside.add("Add", outside.add("Shape", pools[0], start=2, end=3), outside.row(1))
        size = inner.add("Add", first, number)
        inside[MASK].replace_all_uses_with(inner.add("Slice", given[MASK], outside.row(0), size, outside.row(3)))
    for node in moved:
        graph.remove(node)
        body.append(node)
    each_round = [made[name] for name in (*BEST, *map(NEW.__add__, states))]
    following = [
        inner.add("Gather", made[TOPK_ID], outside.constant("const.first", np.array(0)), axis=1),
        inner.add("Min", inner.add("Add", inside[DEPTH], outside.row(1)), outside.row(last_place)),
        *(made[NEW + name] for name in states),
        *(made[name.replace(RECENT, NEW)] for name in recent),
    ]
    body.outputs[:] = [inner.add("Identity", goes_on), *following, *each_round]
    count, yes = _value(COUNT, ir.DataType.INT64), outside.constant("const.yes", np.ones((), np.bool_))
    outputs = len(following) + len(each_round)
    loop = ir.node("Loop", [count, yes, *starts], attributes={"body": body}, num_outputs=outputs)
    graph.append(loop)
    graph.inputs[:] = [value for name, value in given.items() if name not in recent] + [count]
    kept = loop.outputs[len(carried) - len(recent) : len(carried)]
    graph.outputs[:] = [*loop.outputs[len(carried) :], *kept]
    for value, now in zip(graph.outputs, [*each_round, *following[len(carried) - len(recent) :]], strict=True):
        shape = list(now.shape or ())
        value.name, now.name = now.name, f"{now.name}.now"
        value.type = now.type
        value.shape = ir.Shape([COUNT if a == "R" else a for a in shape] if now in following else [COUNT, *shape])
    RemoveUnusedNodesPass()(model)


class _Builder:
    """Adds nodes at the end of one graph, or before one of its nodes, and constants to the graph around it."""

    def __init__(self, around: ir.Graph, graph: ir.Graph, before: ir.Node | None = None) -> None:
        self.around, self.graph, self._before = around, graph, before

    def add(self, op: str, *inputs: ir.Value, **attributes: int | Sequence[int]) -> ir.Value:
        node = ir.node(op, inputs, attributes=attributes or None)
        value: ir.Value = node.outputs[0]
        # Two graphs that number their values by themselves would both begin at 0.
        value.name = f"{self.graph.name}.{op}.{len(self.graph)}"
        if self._before is None:
            self.graph.append(node)
        else:
            self.graph.insert_before(self._before, node)
        return value

    def constant(self, name: str, array: npt.NDArray[np.generic]) -> ir.Value:
        if name not in self.around.initializers:
            tensor = ir.tensor(array, name=name)
            shape, kind = ir.Shape(array.shape), ir.TensorType(tensor.dtype)
            self.around.register_initializer(ir.Value(name=name, const_value=tensor, shape=shape, type=kind))
        return self.around.initializers[name]

    def row(self, number: int) -> ir.Value:
        """One number, as an axis."""
        return self.constant(f"const.row.{number}", np.array([number]))


def _varies(node: ir.Node, varying: set[ir.Value]) -> bool:
    """Whether a node reads what changes from round to round; its outputs then change as well."""
    if not any(value in varying for value in node.inputs if value is not None):
        return False
    varying.update(node.outputs)
    return True


def _value(name: str, kind: ir.DataType) -> ir.Value:
    return ir.Value(name=name, shape=ir.Shape([]), type=ir.TensorType(kind))


def _flatten(value: ir.Value) -> None:
    """Leave the axis of nodes, of which there is one, outside of the loop: the network takes it away at once."""
    value.shape = ir.Shape([axis for n, axis in enumerate(value.shape or ()) if n != 1])
    for node in [use.node for use in value.uses()]:
        assert node.op_type == "Reshape", f"{value.name} is read by a {node.op_type}"
        node.outputs[0].replace_all_uses_with(value)
        node.graph.remove(node, safe=True)  # type: ignore[union-attr]


def _twin(value: ir.Value) -> ir.Value:
    """An input of the same name outside of the loop; the one inside gets another."""
    twin = ir.Value(name=value.name, type=value.type, shape=value.shape)
    value.name = f"{value.name}.now"
    return twin
