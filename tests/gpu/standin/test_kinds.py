"""What the common kinds of bundles ask of a GPU. The rare ones have a file for whichever process is free first."""

import pytest

from dragoman.bundle.graphs import DEVICE_POOL_FIT, DEVICE_STEP


@pytest.mark.parametrize("kind", ["self-attention", "ssru"])
def test_every_graph_of_each_precision_runs_on_cuda_and_is_captured(check_loads, bundles_of, kind):
    """One lane and two, each way of decoding that a bundle has."""
    check_loads(bundles_of(kind))


def test_other_kinds_are_refused_with_what_to_do(lab, bundles_of):
    """int8, recurrent networks, alone and as siblings, models that copy, bundles from before there was such a step."""
    lines = lab("refusals", bundles_of("self-attention")[0].directory)

    assert {line["kind"] for line in lines} == {"int8", "lstm", "gru", "a sibling", "copies", "older"}
    for line in lines:
        assert line["refusal"] is not None, line
        assert "--provider cpu" in line["refusal"] or "export it again" in line["refusal"], line


def test_bfloat16_lacks_kernels(lab, bundles_of):
    """So what float16 cannot hold is exported as fp32, which a GPU runs, too. Where this fails, more can be had."""
    (half,) = [bundle for bundle in bundles_of("self-attention") if bundle.manifest.precision == "fp16"]

    problems = {line["graph"]: line["problem"] for line in lab("bfloat16", half.directory)}

    assert "ReduceMax" in problems[DEVICE_STEP]
    assert "Pad" in problems[DEVICE_POOL_FIT]
