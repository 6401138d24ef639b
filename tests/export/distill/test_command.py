"""The command line of `dragoman distill`: what is refused before any work, and what is planned."""

import argparse

import pytest

from dragoman.export.distill.command import recipe_of, register, run


@pytest.fixture
def parser():
    parser = argparse.ArgumentParser(prog="dragoman distill")
    register(parser)
    return parser


@pytest.fixture
def given(tmp_path):
    """Arguments that are right, with files that are there."""
    for name in ("model", "text"):
        (tmp_path / name).write_text("text\n")
    return [str(tmp_path / "model"), "--text", str(tmp_path / "text"), "--output", str(tmp_path / "out")]


def test_defaults_are_those_of_the_help(parser, given, tmp_path):
    """Two decoders; the work lies beside the output."""
    recipe = recipe_of(parser.parse_args(given))

    assert [(one.kind, one.layers, one.epochs) for one in recipe.decoders] == [
        ("autoregressive", 2, 10),
        ("ctc", 2, 10),
    ]
    assert recipe.work == tmp_path / "out.work"
    assert recipe.development is None


def test_decoders_are_trained_in_their_order_whatever_the_arguments(parser, given):
    """With their own numbers of epochs and layers."""
    arguments = [*given, "--decoder", "ctc=0.5", "--decoder", "autoregressive", "--layers", "ctc=1"]

    recipe = recipe_of(parser.parse_args(arguments))

    assert [(one.kind, one.layers, one.epochs) for one in recipe.decoders] == [
        ("autoregressive", 2, 10),
        ("ctc", 1, 0.5),
    ]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--decoder", "nat"], "'nat' is not one of autoregressive, ctc, mask-predict"),
        (["--decoder", "ctc=0"], "EPOCHS above 0"),
        (["--decoder", "ctc=nan"], "EPOCHS above 0"),
        (["--layers", "ctc"], "whole number from 1"),
        (["--batch-words", "0"], "0 is below 1"),
        (["--guided-attention", "0"], "'0' is not above 0"),
        (["--guided-attention", "nan"], "'nan' is not a finite number"),
    ],
)
def test_wrong_arguments_are_refused_by_the_parser(parser, given, capsys, arguments, said):
    """In words."""
    with pytest.raises(SystemExit):
        parser.parse_args([*given, *arguments])

    assert said in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--dev-source", "a"], "go together"),
        (["--layers", "mask-predict=3"], "--decoder does not: it is not trained"),
        (["--text", "missing.en"], "missing.en: no such file"),
        (["--guided-attention", "0.1", "--decoder", "ctc"], "of the autoregressive decoder, which --decoder does not"),
        (["--keep-teacher", "--precision", "fp32"], "--keep-teacher joins int8 decoders, and --precision is fp32"),
        (["--keep-teacher", "--decoder", "ctc"], "without --decoder autoregressive the bundle has the model's own"),
    ],
)
def test_what_does_not_go_together_is_told_before_any_work(parser, given, capsys, tmp_path, arguments, said):
    """With exit code 1, and nothing written."""
    assert run(parser.parse_args([*given, *arguments])) == 1

    assert said in capsys.readouterr().err
    assert sorted(each.name for each in tmp_path.iterdir()) == ["model", "text"]


def test_a_bundle_is_not_written_over(parser, given, capsys, tmp_path):
    """Unless that is asked for; told before hours of training, not after."""
    (tmp_path / "out").mkdir()

    assert run(parser.parse_args(given)) == 1

    assert "replace it with --replace" in capsys.readouterr().err
    assert recipe_of(parser.parse_args([*given, "--replace"])).replace


def test_what_no_importer_knows_is_no_teacher(parser, given, capsys, tmp_path):
    """As in an export; the folder of work is not begun."""
    assert run(parser.parse_args(given)) == 1

    assert "not recognised" in capsys.readouterr().err
    assert not (tmp_path / "out.work").exists()
