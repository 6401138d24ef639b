"""What every kind of bundle asks of a GPU. Each kind is a group of its own, which one process makes the bundles of."""

import pytest

from dragoman.bundle.graphs import DEVICE_POOL_FIT, DEVICE_STEP


def group(kind):
    """A kind, all of whose tests run in one process."""
    return pytest.param(kind, marks=pytest.mark.xdist_group(kind))


def check_loads(lines) -> None:
    """Every way of decoding runs, and nothing is done that a capture forbids."""
    assert lines
    for line in lines:
        assert line["violations"] == 0, line


@pytest.mark.parametrize("kind", [*map(group, ("nat", "self-attention", "ssru", "rotary", "shaw"))])
def test_every_graph_of_every_kind_and_precision_runs_on_cuda_and_is_captured(lab, bundles_of, kind):
    """One lane and two, each way of decoding that a bundle has."""
    bundles = bundles_of(kind)

    lines = lab("loads", *(bundle.directory for bundle in bundles))

    check_loads(lines)
    assert {line["lanes"] for line in lines} == {1, 2}
    assert {line["bundle"] for line in lines} == {bundle.directory.name for bundle in bundles}


@pytest.mark.parametrize("kind", [group("self-attention")])
def test_other_kinds_are_refused_with_what_to_do(lab, bundles_of, kind):
    """int8, recurrent networks, models that copy, several decoders, and bundles from before there was such a step."""
    lines = lab("refusals", bundles_of(kind)[0].directory)

    assert {line["kind"] for line in lines} == {"int8", "lstm", "gru", "siblings", "copies", "older"}
    for line in lines:
        assert line["refusal"] is not None, line
        assert "--provider cpu" in line["refusal"] or "export it again" in line["refusal"], line


@pytest.mark.parametrize("kind", [group("self-attention")])
def test_bfloat16_lacks_kernels(lab, bundles_of, kind):
    """So what float16 cannot hold is exported as fp32, which a GPU runs, too. Where this fails, more can be had."""
    (half,) = [bundle for bundle in bundles_of(kind) if bundle.manifest.precision == "fp16"]

    problems = {line["graph"]: line["problem"] for line in lab("bfloat16", half.directory)}

    assert "ReduceMax" in problems[DEVICE_STEP]
    assert "Pad" in problems[DEVICE_POOL_FIT]


@pytest.mark.parametrize("kind", [group("nat")])
def test_passes_without_autoregression_keep_to_the_device(lab, bundles_of, kind):
    """Encoder, what it made to its place, and each pass: a launch each. What comes to the host between them are the
    lengths that a decoder predicts, a number for each, and behind each pass the best words alone.
    """
    for bundle in bundles_of(kind):
        lines = lab("canvases", bundle.directory, "1", "64")
        assert {line["decoder"] for line in lines} == {*bundle.manifest.nat}
        for line in lines:
            passes, predicts = line["passes"], line["predicts"]
            assert line["launches"] == line["violations"] == 0, line
            assert line["replays"] <= 2 + passes, line
            assert line["copies_out"] <= passes + bool(predicts), line
            assert line["bytes_out"] <= (4 * line["words"] * 8 * 12 + 4096) * passes + 4 * predicts * 256, line
