"""What a manifest may say of non-autoregressive decoders."""

from dataclasses import replace

import pytest

from dragoman.bundle.codec import from_json, to_json
from dragoman.bundle.graphs import nat_graphs
from dragoman.bundle.manifest import File, Graph, Manifest, Nat
from dragoman.bundle.rules import manifest_problems

MASKED = Nat("mask-predict", 1, 64, mask_id=10, last_id=0, length_classes=8, block=4)
CTC = Nat("ctc", 1, 200, canvas="split", upsample=2, blank_id=10)


@pytest.fixture
def whole(manifest: Manifest) -> Manifest:
    """Both decoders, with all their graphs."""
    decoders = {"mask-predict": MASKED, "ctc": CTC}
    names = [graph for name, nat in decoders.items() for graph in nat_graphs(name, nat, shortlist=False)]
    graphs = {**manifest.graphs, **{name: Graph(f"{name}.onnx", (), ()) for name in names}}
    named = {graph.file for graph in graphs.values()} | {manifest.tokenizer.source}
    files = {name: File("0" * 64, 1) for name in named}
    return replace(manifest, graphs=graphs, files=files, nat=decoders)


def test_a_manifest_with_decoders_is_whole_and_comes_back(whole: Manifest):
    """Every field is written and read again."""
    assert manifest_problems(whole) == []
    assert from_json(Manifest, to_json(whole)) == whole


def test_every_graph_of_a_decoder_is_needed(whole: Manifest):
    """With a shortlist, the graphs over its candidates besides."""
    without = {name: graph for name, graph in whole.graphs.items() if name != "nat.mask-predict.memory"}
    assert manifest_problems(replace(whole, graphs=without)) == [
        "graphs.nat.mask-predict.memory: missing, and nat.mask-predict needs it"
    ]
    more = {name: Graph("step.onnx", (), ()) for name in ("candidates", "step_shortlist")}
    problems = manifest_problems(replace(whole, graphs={**whole.graphs, **more}))
    assert sorted(problems) == [
        "graphs.nat.ctc.shortlist: missing, and nat.ctc needs it",
        "graphs.nat.mask-predict.shortlist: missing, and nat.mask-predict needs it",
    ]


@pytest.mark.parametrize(
    ("name", "changes", "expected"),
    [
        ("ctc", {"kind": "mask-predict"}, ".kind: mask-predict; the decoders are mask-predict, ctc, each of the kind"),
        ("mask-predict", {"layers": 0}, ".layers: 0 is less than 1"),
        ("mask-predict", {"passes": 0}, ".passes: 0 is less than 1"),
        ("mask-predict", {"length_candidates": 0}, ".length_candidates: 0 is less than 1"),
        ("mask-predict", {"block": -1}, ".block: -1 is less than 0"),
        ("mask-predict", {"mask_id": 11}, ".mask_id: 11 is not between 0 and 10"),
        ("mask-predict", {"mask_id": None}, ".mask_id: every kind has one, but ctc whose canvas is split"),
        ("mask-predict", {"first_id": 10}, ".first_id: 10 is not between 0 and 9"),
        ("mask-predict", {"last_id": -1}, ".last_id: -1 is not between 0 and 9"),
        ("mask-predict", {"blank_id": 3}, ".blank_id: ctc has one, and no other kind has"),
        (
            "mask-predict",
            {"canvas": "shown", "mask_id": 1},
            ".mask_id: 1, and a mask that shows a source position is no word",
        ),
        (
            "mask-predict",
            {"canvas": "shown", "length_classes": 0},
            ".length_classes: 0, and positions are shown at the pace",
        ),
        ("mask-predict", {"canvas": "split"}, ".canvas: split, which mask-predict does not have"),
        ("mask-predict", {"canvas": "late"}, ".canvas: late, which mask-predict does not have"),
        ("ctc", {"canvas": "late", "mask_id": 1}, ".mask_id: every kind has one, but ctc whose canvas is split from"),
        ("mask-predict", {"canvas_factor": 0.0}, ".canvas_factor: 0 is not above 0 and at most 100"),
        ("mask-predict", {"max_canvas": 1025}, ".max_canvas: 1025 is more than the network's 1024 positions"),
        ("mask-predict", {"refines": True}, ".refines: true, which ctc alone has to learn"),
        ("ctc", {"passes": 2}, ".passes: 2, and refines is false"),
        ("ctc", {"blank_id": None}, ".blank_id: ctc has one, and no other kind has"),
        ("ctc", {"canvas": "source"}, ".mask_id: every kind has one"),
        ("ctc", {"mask_id": 1}, ".mask_id: every kind has one, but ctc whose canvas is split from the source"),
        ("ctc", {"last_id": 0}, ": ctc has no first_id, last_id, length_classes or block"),
        ("ctc", {"max_canvas": 199}, ".max_canvas: 199 is less than 2 places for each of 100 source tokens"),
    ],
)
def test_what_does_not_fit_is_told(whole: Manifest, name: str, changes: dict[str, object], expected: str):
    """By its place."""
    decoders = {**whole.nat, name: replace(whole.nat[name], **changes)}  # type: ignore[arg-type]

    problems = manifest_problems(replace(whole, nat=decoders))

    assert any(problem.startswith(f"nat.{name}{expected}") for problem in problems), problems


def test_a_canvas_of_the_source_needs_one_vocabulary(whole: Manifest):
    """Its words are read as target words."""
    decoders = {**whole.nat, "mask-predict": replace(MASKED, canvas="source")}
    apart = replace(whole, nat=decoders, architecture=replace(whole.architecture, tying="decoder"))

    assert manifest_problems(replace(whole, nat=decoders)) == []
    assert manifest_problems(apart) == [
        "nat.mask-predict.canvas: source, which needs one vocabulary for both sides, and tying is decoder"
    ]


def test_a_late_canvas_needs_an_encoder_as_wide_as_the_decoder(whole: Manifest):
    """Its layers are the decoder's in size, and read the encoder's rows."""
    decoders = {**whole.nat, "ctc": replace(CTC, canvas="late")}
    wider = replace(whole.architecture, encoder_width=24, encoder_heads=2, encoder_ffn=8)

    assert manifest_problems(replace(whole, nat=decoders)) == []
    problems = manifest_problems(replace(whole, nat=decoders, architecture=wider))
    assert any(problem.startswith("nat.ctc.canvas: late, which needs an encoder as wide as") for problem in problems)
