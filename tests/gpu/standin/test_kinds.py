"""What every kind of bundle asks of a GPU. Apart from the large model, so that two processes have a file each."""

from dragoman.bundle.graphs import DEVICE_POOL_FIT, DEVICE_STEP


def check_loads(lines) -> None:
    """Every way of decoding runs, and nothing is done that a capture forbids."""
    assert lines
    for line in lines:
        assert line["violations"] == 0, line


def test_every_graph_of_every_kind_and_precision_runs_on_cuda_and_is_captured(lab, kinds):
    """One lane and two, each way of decoding that a bundle has."""
    lines = lab("loads", *(bundle.directory for bundle in kinds))

    check_loads(lines)
    assert {line["lanes"] for line in lines} == {1, 2}
    assert {line["bundle"] for line in lines} == {bundle.directory.name for bundle in kinds}


def test_other_kinds_are_refused_with_what_to_do(lab, kinds):
    """int8, recurrent networks, models that copy, and bundles from before there was a step for devices."""
    lines = lab("refusals", next(bundle.directory for bundle in kinds if DEVICE_STEP in bundle.manifest.graphs))

    assert {line["kind"] for line in lines} == {"int8", "lstm", "gru", "copies", "older"}
    for line in lines:
        assert line["refusal"] is not None, line
        assert "--provider cpu" in line["refusal"] or "export it again" in line["refusal"], line


def test_bfloat16_lacks_kernels(lab, kinds):
    """So what float16 cannot hold is exported as fp32, which a GPU runs, too. Where this fails, more can be had."""
    lines = lab(
        "bfloat16",
        next(b.directory for b in kinds if DEVICE_STEP in b.manifest.graphs and b.manifest.precision == "fp16"),
    )
    problems = {line["graph"]: line["problem"] for line in lines}

    assert "ReduceMax" in problems[DEVICE_STEP]
    assert "Pad" in problems[DEVICE_POOL_FIT]


def test_a_pass_without_autoregression_keeps_to_the_device(lab, kinds):
    """Encoder, what it made to its place, and the pass: a launch each; between them nothing comes to the host, and
    behind them the best words alone.
    """
    for bundle in (bundle for bundle in kinds if bundle.manifest.nat):
        for line in lab("canvases", bundle.directory, "1", "64"):
            assert line["launches"] == line["violations"] == 0, line
            assert line["replays"] <= 3, line
            assert line["copies_out"] == 1, line
            assert line["bytes_out"] <= 4 * line["words"] * 8 * 12 + 4096, line
