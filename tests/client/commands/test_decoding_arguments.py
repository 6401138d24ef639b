"""Arguments that say how to decode, and the options that they stand for."""

import argparse
from pathlib import Path

import pytest

from dragoman.client.commands import decoding_arguments
from dragoman.client.types import (
    Alternatives,
    Diversity,
    DraftSource,
    EnginePreference,
    Grammar,
    Labels,
    Lossy,
    Nat,
    Options,
    Protection,
    Sampling,
    SpanKind,
    Speculation,
    Splitting,
)


def options(*line: str) -> Options:
    parser = argparse.ArgumentParser()
    decoding_arguments.register(parser)
    return decoding_arguments.options(parser.parse_args(line))


def test_nothing_given_asks_for_nothing() -> None:
    """Every option stays the model's own."""
    assert options() == Options()


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("--beam-size 4 --length-penalty 0", Options(beam_size=4, length_penalty=0.0)),
        ("--engine beam --splitting lines", Options(engine=EnginePreference.BEAM, splitting=Splitting.LINES)),
        ("--shortlist", Options(shortlist=True)),
        ("--no-shortlist", Options(shortlist=False)),
        ("--suppress a --suppress b", Options(suppressed_tokens=("a", "b"))),
        ("--choice a --choice b", Options(choice=Labels(("a", "b")))),
        ("--choice a --most-choices 1 --choice-separator ;", Options(choice=Labels(("a",), 1, ";"))),
        ("--regex a|b", Options(grammar=Grammar(regex="a|b"))),
        ("--sampling", Options(sampling=Sampling())),
        ("--top-k 5", Options(sampling=Sampling(top_k=5))),
        ("--temperature 0.5 --seed 0", Options(sampling=Sampling(temperature=0.5, seed=0))),
        ("--diversity-groups 2", Options(diversity=Diversity(groups=2))),
        ("--alternatives 3 --min-probability 0.1", Options(alternatives=Alternatives(3, 0.1))),
        ("--passes 2 --rescore", Options(nat=Nat(passes=2, rescore=True))),
        ("--nat-decoder ctc", Options(nat=Nat(decoder="ctc"))),
        ("--draft source", Options(speculation=Speculation(DraftSource.SOURCE))),
        ("--pattern a+ --pattern b", Options(protection=Protection(patterns=("a+", "b")))),
        ("--protect url --protect email", Options(protection=Protection((SpanKind.URL, SpanKind.EMAIL)))),
        ("--protect url --no-protect url", Options(protection=Protection(off=True))),
        ("--no-protect all --pattern a", Options(protection=Protection(None, ("a",), off=True))),
        ("--lossy-top 3", Options(speculation=Speculation(lossy=Lossy(top=3)))),
    ],
)
def test_arguments_become_the_options_that_they_stand_for(line: str, expected: Options) -> None:
    """One of a group is enough to ask for the group."""
    assert options(*line.split()) == expected


@pytest.mark.parametrize("line", ["--beam-size 0", "--engine fastest", "--top-p 0", "--splitting unknown"])
def test_what_means_nothing_is_bad_usage(line: str) -> None:
    """Before anything is sent."""
    with pytest.raises(SystemExit) as ended:
        options(*line.split())

    assert ended.value.code == 2


def test_every_argument_has_a_help_text() -> None:
    """And stands in a group that says what it is about."""
    parser = argparse.ArgumentParser(add_help=False)
    decoding_arguments.register(parser)

    actions = [action for group in parser._action_groups[2:] for action in group._group_actions]

    assert len(actions) == len(parser._actions)
    assert all(action.help for action in actions)


def test_a_kind_that_is_left_out_leaves_the_others() -> None:
    """All that a server looks for by itself; patterns and terms are named elsewhere."""
    protection = options("--no-protect", "symbol", "--no-protect", "path").protection

    assert protection is not None
    assert protection.off is None
    assert set(protection.kinds or ()) == set(SpanKind) - {
        SpanKind.SYMBOL,
        SpanKind.PATH,
        SpanKind.PATTERN,
        SpanKind.TERM,
        SpanKind.UNKNOWN,
    }


def test_grammars_are_read_from_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """And what is no file is said."""
    (tmp_path / "g").write_text("start: é", "utf-8")

    assert options("--lark", f"{tmp_path}/g").grammar == Grammar(lark="start: é")
    assert options("--json-schema", f"{tmp_path}/g").grammar == Grammar(json_schema="start: é")
    with pytest.raises(SystemExit):
        options("--lark", f"{tmp_path}/none")
    assert "none" in capsys.readouterr().err
