"""`dragoman inspect`."""

import argparse
import dataclasses
import json

import pytest

from dragoman.bundle import command_inspect
from dragoman.bundle.graphs import nat_graphs
from dragoman.bundle.manifest import Architecture, Context, Form, Nat, Parity, Recurrent, Texts


@pytest.fixture
def inspect(capsys):
    def run(*arguments: str) -> tuple[int, str, str]:
        parser = argparse.ArgumentParser()
        command_inspect.register(parser)
        status = command_inspect.run(parser.parse_args([*map(str, arguments)]))
        return status, *capsys.readouterr()

    return run


def test_a_good_bundle_is_described_on_one_page(inspect, directory):
    """Every fact that a person asks about is there, and the status is 0."""
    status, out, err = inspect(directory)

    assert (status, err) == (0, "")
    for fact in (
        "opus-tiny",
        "en-pt-BR, en-pt",
        "fp32",
        "1+1 layers, self-attention decoder, width 8, 2 heads",
        "marian, beam 1",
        "sentencepiece text/vocabulary.spm (eos 0, unk 1, start 10, never emitted: 1)",
        "graph step: step.onnx",
        "100 source tokens, 100 target tokens",
        "marian-bin, by dragoman 0.1.0",
        "forms         not known: `dragoman probe` tries which ones come back",
        "fp32 graph, torch, topk_logp: 1.50e-06 of 1.00e-04",
        "4,000",
        "in 3 files",
    ):
        assert fact in out
    assert "EXCEEDED" not in out


def test_forms_are_told_with_their_shares(inspect, bundle_at, manifest, tmp_path):
    """As they look in a text."""
    forms = (Form("X{n}", 0.9857), Form("100{n}", 1.0))

    _, out, _ = inspect(bundle_at(tmp_path / "bundle", dataclasses.replace(manifest, forms=forms)))

    assert "forms         X1 (98.6% come back), 1001 (100.0% come back)" in out


def test_a_context_that_is_read_is_told(inspect, bundle_at, manifest, tmp_path):
    """With how much of it."""
    texts = Texts(context=Context((), 40))

    _, out, _ = inspect(bundle_at(tmp_path / "bundle", dataclasses.replace(manifest, texts=texts)))

    assert "cut into sentences, too long ones split, read behind 40 tokens of context" in out


def test_a_recurrent_network_is_described_in_its_own_terms(inspect, bundle_at, manifest, tmp_path):
    """Neither heads nor norms: cells, directions, attention, and what it copies."""
    sizes = Recurrent(8, 8, 3, 5, attention="additive", bridge=True)
    shape = Architecture(8, 0, 0, 2, 2, 10, 10, decoder="gru", recurrent=sizes, copies=True)
    words = dataclasses.replace(manifest.tokenizer, start_id=0)

    _, out, _ = inspect(
        bundle_at(tmp_path / "bundle", dataclasses.replace(manifest, architecture=shape, tokenizer=words))
    )

    expected = (
        "2+2 layers, gru decoder, 3 both ways to 5 wide, additive attention, input feeding, vocabulary 10, tying all"
    )
    assert f"{expected}, copies from the source\n" in out


def test_decoding_defaults_are_shown_where_they_do_something(inspect, bundle_at, manifest, tmp_path):
    """Every field of the defaults, but for those whose value changes nothing."""
    _, plain, _ = inspect(bundle_at(tmp_path / "plain"))
    decoding = dataclasses.replace(
        manifest.decoding,
        profile="hf",
        length_penalty=0.6,
        length_penalty_kind="gnmt",
        early_stopping="exhaustive",
        word_penalty=-0.5,
        min_length=3,
        repetition_penalty=1.5,
        no_repeat_ngram_size=4,
        unknown_handling="allow",
    )
    _, full, _ = inspect(bundle_at(tmp_path / "full", dataclasses.replace(manifest, decoding=decoding)))

    assert (
        "marian, beam 1, 1 returned, length penalty 1 (power), early stopping first, unknown words: suppress" in plain
    )
    for fact in (
        "hf, beam 1",
        "length penalty 0.6 (gnmt), early stopping exhaustive",
        "word penalty -0.5, min length 3, repetition penalty 1.5, no repeat ngram size 4, unknown words: allow",
    ):
        assert fact in full


def test_an_exceeded_tolerance_is_shouted(inspect, bundle_at, manifest, tmp_path):
    """A bundle whose proof failed says so wherever it is looked at."""
    worse = dataclasses.replace(manifest, parity=(Parity("a", "b", 2e-4, 1e-4),))

    _, out, _ = inspect(bundle_at(tmp_path / "worse", worse))

    assert "2.00e-04 of 1.00e-04  EXCEEDED" in out


def test_a_broken_bundle_gives_the_reasons_and_status_1(inspect, directory):
    """On standard error, all of them."""
    (directory / "step.onnx").unlink()
    (directory / "odd").write_bytes(b"")

    status, out, err = inspect(directory)

    assert (status, out) == (1, "")
    assert "step.onnx is listed in the manifest but missing" in err
    assert "'odd' is not listed in the manifest" in err


def test_json_holds_the_whole_manifest(inspect, directory):
    """For programs: the manifest as it is in the folder, and the digest."""
    status, out, _ = inspect(directory, "--json")
    document = json.loads(out)

    assert (status, document["ok"]) == (0, True)
    assert document["manifest"] == json.loads((directory / "manifest.json").read_text())


def test_json_of_a_broken_bundle_lists_the_problems(inspect, directory, tmp_path):
    """One form for programs, whatever is wrong."""
    (directory / "odd").write_bytes(b"")

    status, out, _ = inspect(directory, "--json")
    missing_status, missing, _ = inspect(tmp_path / "none", "--json")

    assert (status, missing_status) == (1, 1)
    assert json.loads(out)["problems"] == ["'odd' is not listed in the manifest; remove it, or export again"]
    assert len(json.loads(missing)["problems"]) == 1


def test_other_decoders_are_shown(inspect, bundle_at, manifest, tmp_path):
    """What they are, and which ids mean something to them alone."""
    masked = Nat("mask-predict", 2, 64, mask_id=10, last_id=0, length_classes=8, block=4, passes=3)
    nat = {"mask-predict": masked, "ctc": Nat("ctc", 1, 300, canvas="split", upsample=3, blank_id=5, refines=True)}
    named = [graph for name, one in nat.items() for graph in nat_graphs(name, one, shortlist=False)]
    graphs = {**manifest.graphs, **dict.fromkeys(named, manifest.graphs["step"])}
    changed = dataclasses.replace(manifest, nat=nat, graphs=graphs)

    _, out, _ = inspect(bundle_at(tmp_path / "several", changed))

    ctc = "1 layers, 3 places a source token (split), further passes refine, 1 by default, at most 300 places, blank 5"
    assert f"nat           ctc: {ctc}" in out
    assert (
        "mask-predict: 2 layers, 8 lengths told apart (best), 1 tried, 3 passes, at most 64 places, mask its own, "
        "last 0, drafts up to 4 tokens" in out
    )
