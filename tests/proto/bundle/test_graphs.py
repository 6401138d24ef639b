"""Names of graphs and tensors."""

import ast
from dataclasses import replace
from pathlib import Path

import pytest

from dragoman.bundle import graphs
from dragoman.bundle.graphs import (
    CANDIDATES,
    ENCODER,
    STEP,
    STEP_SHORTLIST,
    decoder_name,
    is_nat,
    is_nat_memory,
    is_over_shortlist,
    nat_graphs,
    signature,
)
from dragoman.bundle.manifest import Architecture, Graph, Nat, Recurrent

PLAIN = Architecture(32, 4, 24, 2, 3, 320, 320)
NAT = {
    "ctc": Nat("ctc", layers=1, max_canvas=64, canvas="late", upsample=2, blank_id=320, refines=True),
    "mask-predict": Nat("mask-predict", 2, 32, canvas="shown", mask_id=320, length_classes=128),
}
BETWEEN = Recurrent(12, 10, 9, 18, attention="heads", attention_heads=3, before=1, output_reads=(), first="zeros")
NO_ATTENTION = Recurrent(12, 10, 9, 18, attention="none", output_reads=())
NAMES = {name: nat_graphs(name, nat, shortlist=True) for name, nat in NAT.items()}


def shapes(tensors) -> dict[str, tuple[int | str, ...]]:
    return {tensor.name: tensor.shape for tensor in tensors}


def test_a_graph_of_a_decoder_says_whose_it_is():
    """From each name of a decoder's graphs the decoder's is found again, and what the graph does."""
    assert NAMES == {
        "ctc": ("nat.ctc", "nat.ctc.shortlist"),
        "mask-predict": ("nat.mask-predict.memory", "nat.mask-predict", "nat.mask-predict.shortlist"),
    }
    for decoder, names in NAMES.items():
        assert all(is_nat(name) and decoder_name(name) == decoder for name in names)
        assert [name for name in names if is_nat_memory(name)] == [name for name in names if name.endswith("memory")]
        assert [name for name in names if is_over_shortlist(name)] == [f"nat.{decoder}.shortlist"]
    assert [name for name in (ENCODER, STEP, CANDIDATES, STEP_SHORTLIST) if is_over_shortlist(name)] == [STEP_SHORTLIST]


def test_no_two_constants_have_the_same_name_for_different_things():
    """Two constants are equal only where the candidates' graph is named as its input."""
    constants = [value for name, value in vars(graphs).items() if name.isupper() and isinstance(value, str)]

    assert sorted({value for value in constants if constants.count(value) > 1}) == [CANDIDATES]


@pytest.mark.parametrize(
    "arch",
    [
        PLAIN,
        replace(PLAIN, decoder="ssru"),
        replace(PLAIN, positions="shaw", relative_distance=4),
        replace(PLAIN, copies=True),
        replace(PLAIN, encoder_width=16, encoder_heads=2),
        Architecture(20, 0, 0, 2, 2, 320, 320, decoder="lstm", recurrent=Recurrent(12, 10, 9, 18)),
        Architecture(20, 0, 0, 2, 3, 320, 320, decoder="gru", recurrent=BETWEEN),
        Architecture(20, 0, 0, 2, 2, 320, 320, decoder="tanh", recurrent=NO_ATTENTION),
    ],
)
def test_a_step_reads_what_the_encoder_gives(arch):
    """Of a source, with the same shapes: first states under the name of a node's, with an axis for the node."""
    encoder, step = signature(arch, ENCODER), signature(arch, STEP)

    inputs = shapes(step.inputs)
    for tensor in encoder.outputs:
        if tensor.name.startswith("initial."):
            assert inputs[tensor.name.replace("initial.", "state.")] == ("G", "q", tensor.shape[1])
        else:
            assert inputs[tensor.name] == tensor.shape
    assert len(encoder.outputs) >= 2


@pytest.mark.parametrize("arch", [PLAIN, replace(PLAIN, decoder="ssru")])
def test_a_step_gives_what_the_next_one_reads(arch):
    """New keys and values have the shape of the pool's, one for each new node; new states are rows of all nodes."""
    step = signature(arch, STEP)

    kept = {tensor.name: tensor.shape for tensor in step.outputs if tensor.name.startswith("new_")}
    read = {name: shape for name, shape in shapes(step.inputs).items() if name.startswith(("self_", "state."))}
    if arch.keeps_states:
        assert kept == {f"new_{name}": ("n", shape[2]) for name, shape in read.items()}
    else:
        assert kept == {name.replace("self_", "new_"): (*s[:2], "q", s[3]) for name, s in read.items()}
    assert kept


def test_without_attention_a_step_gives_none():
    """And reads nothing of a source but its mask and the first states."""
    step = signature(Architecture(18, 0, 0, 1, 1, 320, 320, decoder="tanh", recurrent=NO_ATTENTION), STEP)

    assert [name for name, shape in shapes(step.inputs).items() if "S" in shape] == ["src_mask"]
    assert "attention" not in shapes(step.outputs)


def test_over_a_shortlist_the_same_is_asked_of_candidates():
    """The graph that looks candidates up takes their ids and gives the rows that the step over them reads."""
    whole, short, lookup = (signature(PLAIN, graph) for graph in (STEP, STEP_SHORTLIST, CANDIDATES))

    more = shapes(short.inputs).items() - shapes(whole.inputs).items()
    assert dict(more) == {"candidates": ("C",), "allowed": ("G", "C"), "words": ("C", 32)}
    assert whole.outputs == short.outputs
    assert {*lookup.inputs, lookup.outputs[0]} <= {*short.inputs}


@pytest.mark.parametrize("graph", [name for names in NAMES.values() for name in names])
def test_other_decoders_read_the_encoder_s_rows(graph):
    """Every tensor that two of the graphs share has one shape, whoever makes it and whoever reads it."""
    encoder = signature(PLAIN, ENCODER, NAT)
    memory = signature(PLAIN, "nat.mask-predict.memory", NAT)
    made: Graph = signature(PLAIN, graph, NAT)

    assert "hidden" in shapes(encoder.outputs)
    assert "hidden" not in shapes(signature(PLAIN, ENCODER).outputs)
    given = {**shapes(encoder.outputs), **shapes(memory.outputs)}
    assert all(given[name] == shape for name, shape in shapes(made.inputs).items() if name in given)
    assert made.file == f"{graph}.onnx"


def test_names_are_said_once():
    """No module of export or server spells one that could mean nothing else; all take it from here."""
    root = Path(__file__).parents[3]
    public = {name: value for name, value in vars(graphs).items() if name.isupper() and name[0] != "_"}
    unmistakable = {value for value in public.values() if isinstance(value, str) and ("_" in value or "." in value)}
    sources = [path for part in ("export", "server") for path in (root / part / "dragoman").rglob("*.py")]

    spelt = {
        f"{path.relative_to(root)}: {node.value}"
        for path in sources
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.Constant) and node.value in unmistakable
    }

    assert len(unmistakable) > 20
    assert spelt == set()
