"""What rarer kinds of bundles ask of a GPU: decoders without autoregression, several, rotary positions and Shaw's."""

import pytest


@pytest.mark.parametrize("kind", ["nat", "joined", "rotary", "shaw"])
def test_every_graph_of_each_precision_runs_on_cuda_and_is_captured(check_loads, bundles_of, kind):
    """One lane and two, each way of decoding that a bundle has."""
    check_loads(bundles_of(kind))


def test_passes_without_autoregression_keep_to_the_device(lab, bundles_of):
    """Encoder, what it made to its place, and each pass: a launch each. What comes to the host between them are the
    lengths that a decoder predicts, a number for each, and behind each pass the best words alone.
    """
    for bundle in bundles_of("nat"):
        lines = lab("canvases", bundle.directory, "1", "64")
        assert {line["decoder"] for line in lines} == {*bundle.manifest.nat}
        for line in lines:
            passes, predicts = line["passes"], line["predicts"]
            assert line["launches"] == line["violations"] == 0, line
            assert line["replays"] <= 2 + passes, line
            assert line["copies_out"] <= passes + bool(predicts), line
            assert line["bytes_out"] <= (4 * line["words"] * 8 * 12 + 4096) * passes + 4 * predicts * 256, line
