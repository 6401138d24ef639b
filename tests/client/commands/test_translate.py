"""`dragoman translate`, from its arguments to what it prints."""

from __future__ import annotations

import argparse
import dataclasses
import io
import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest

from dragoman.cli.main import main
from dragoman.client import FinishReason, Hypothesis, Options, Translation
from dragoman.client.commands import local
from dragoman.client.commands import translate as command_translate
from dragoman.v1 import translation_pb2 as pb

Capture = pytest.CaptureFixture[str]


@pytest.fixture
def feed(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Sets what the standard input holds."""
    return lambda data: monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))


def translate(fake: Any, *arguments: str) -> int:
    """Run the command against the fake server."""
    return main(["translate", "--server", fake.address, *arguments])


def test_texts_on_the_command_line_come_back_one_a_line(fake: Any, capsys: Capture) -> None:
    """In order, and nothing else is printed."""
    assert translate(fake, "hello", "world") == 0
    assert capsys.readouterr() == ("HELLO\nWORLD\n", "")


def test_without_flags_nothing_but_the_text_is_sent(fake: Any) -> None:
    """All decisions are left to the server and the bundle."""
    translate(fake, "hello")

    assert fake.requests == [pb.TranslateRequest(texts=[{"text": "hello"}])]


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        (["--from", "en"], {"source_language": "en"}),
        (["--to", "pt"], {"target_language": "pt"}),
        (["--model", "m"], {"model": "m"}),
        (["--format", "html"], {"format": pb.INPUT_FORMAT_HTML}),
        (["--format", "markdown"], {"format": pb.INPUT_FORMAT_MARKDOWN}),
        (["--translate-attributes"], {"translate_attributes": True}),
        (["--splitting", "lines"], {"splitting": pb.SPLITTING_LINES}),
        (["--term", "a=b", "--term-inflected"], {"terms": [{"source": "a", "target": "b", "inflected": True}]}),
        (
            ["--keep", "a", "--term-case"],
            {"terms": [{"source": "a", "do_not_translate": True, "case_sensitive": True}]},
        ),
        (["--glossary", "ui", "--glossary", "law"], {"glossaries": ["ui", "law"]}),
        (["--beam-size", "4"], {"decoding": {"beam_size": 4}}),
        (["--num-hypotheses", "2"], {"decoding": {"num_hypotheses": 2}}),
        (["--length-penalty", "0"], {"decoding": {"length_penalty": 0.0}}),
        (["--length-penalty", "-0.5"], {"decoding": {"length_penalty": -0.5}}),
        (["--max-length", "9"], {"decoding": {"max_length": 9}}),
        (["--max-length-factor", "1.5"], {"decoding": {"max_length_factor": 1.5}}),
        (["--engine", "quality"], {"engine": pb.ENGINE_PREFERENCE_QUALITY}),
        (["--priority", "batch"], {"priority": pb.PRIORITY_BATCH}),
        (["--on-too-long", "reject"], {"on_too_long": pb.ON_TOO_LONG_REJECT}),
        (["--profile", "hf"], {"decoding": {"profile": "hf"}}),
        (["--early-stopping", "exhaustive"], {"decoding": {"early_stopping": pb.EARLY_STOPPING_EXHAUSTIVE}}),
        (["--patience", "2"], {"decoding": {"patience": 2.0}}),
        (["--length-penalty-kind", "gnmt"], {"decoding": {"length_penalty_kind": pb.LENGTH_PENALTY_KIND_GNMT}}),
        (["--word-penalty", "-0.5"], {"decoding": {"word_penalty": -0.5}}),
        (["--coverage-penalty", "0.5"], {"decoding": {"coverage_penalty": 0.5}}),
        (["--min-length", "0"], {"decoding": {"min_length": 0}}),
        (["--repetition-penalty", "1.5"], {"decoding": {"repetition_penalty": 1.5}}),
        (["--no-repeat-ngram-size", "3"], {"decoding": {"no_repeat_ngram_size": 3}}),
        (["--source-no-repeat-ngram-size", "3"], {"decoding": {"source_no_repeat_ngram_size": 3}}),
        (["--suppress", "a", "--suppress", "b"], {"decoding": {"suppressed_tokens": ["a", "b"]}}),
        (["--unknown-handling", "copy"], {"decoding": {"unknown_handling": pb.UNKNOWN_HANDLING_COPY}}),
        (["--sampling"], {"decoding": {"sampling": {}}}),
        (["--top-k", "4"], {"decoding": {"sampling": {"top_k": 4}}}),
        (["--top-p", "0.5"], {"decoding": {"sampling": {"top_p": 0.5}}}),
        (["--mbr-samples", "8"], {"decoding": {"minimum_bayes_risk": {"samples": 8}}}),
        (
            ["--mbr-samples", "8", "--top-k", "3"],
            {"decoding": {"minimum_bayes_risk": {"samples": 8, "sampling": {"top_k": 3}}}},
        ),
        (["--min-p", "0.5", "--epsilon", "0.25"], {"decoding": {"sampling": {"min_p": 0.5, "epsilon": 0.25}}}),
        (["--temperature", "2"], {"decoding": {"sampling": {"temperature": 2.0}}}),
        (["--seed", "0"], {"decoding": {"sampling": {"seed": 0}}}),
        (["--passes", "4", "--exact-length", "9"], {"nat": {"passes": 4, "exact_length": 9}}),
        (["--length-scale", "1.5", "--length-candidates", "3"], {"nat": {"length_scale": 1.5, "length_candidates": 3}}),
        (["--nat-decoder", "ctc", "--rescore"], {"nat": {"decoder": "ctc", "rescore": True}}),
        (["--draft", "source"], {"speculation": {"draft": pb.DRAFT_SOURCE_SOURCE}}),
        (["--draft-tokens", "8"], {"speculation": {"draft_tokens": 8}}),
        (["--lossy-top", "5", "--lossy-margin", "3"], {"speculation": {"lossy": {"top": 5, "margin": 3.0}}}),
        (
            ["--diversity-groups", "2", "--diversity-penalty", "0.5"],
            {"decoding": {"diversity": {"groups": 2, "penalty": 0.5}}},
        ),
        (
            ["--alternatives", "3", "--min-probability", "0.5"],
            {"decoding": {"alternatives": {"count": 3, "min_probability": 0.5}}},
        ),
        (["--json", "--scores"], {"output": {"scores": True}}),
        (["--json", "--token-scores"], {"output": {"token_scores": True}}),
        (["--json", "--alignments"], {"output": {"alignments": True}}),
        (["--json", "--sentence-spans"], {"output": {"sentence_spans": True}}),
        (["--offset-unit", "utf16"], {"output": {"offset_unit": pb.OFFSET_UNIT_UTF16}}),
        (["--regex", "a|b"], {"decoding": {"grammar": {"regex": "a|b"}}}),
        (["--shortlist"], {"decoding": {"shortlist": True}}),
        (["--no-shortlist"], {"decoding": {"shortlist": False}}),
    ],
)
def test_a_flag_arrives_on_the_wire(fake: Any, flags: list[str], expected: dict[str, Any]) -> None:
    """Each flag sets its field and no other."""
    assert translate(fake, "hello", *flags) == 0
    assert fake.requests == [pb.TranslateRequest(texts=[{"text": "hello"}], **expected)]


@pytest.mark.parametrize(("flag", "field"), [("--prefix", "target_prefix"), ("--context", "context")])
def test_a_prefix_or_context_goes_with_every_text(fake: Any, flag: str, field: str) -> None:
    """It is a field of the texts, not of the options."""
    assert translate(fake, "a", "b", flag, "Olá") == 0
    assert fake.requests == [pb.TranslateRequest(texts=[{"text": text, field: "Olá"} for text in ("a", "b")])]


def test_every_option_has_a_flag(fake: Any) -> None:
    """An option that is only to be had from a program was forgotten here; these few are for programs."""
    parser = argparse.ArgumentParser()
    command_translate.register(parser)
    given = {action.dest for action in parser._actions}
    inner = {
        "sampling",
        "diversity",
        "alternatives",
        "minimum_bayes_risk",
        "nat",
        "speculation",
        "protection",
        "grammar",
    }
    fields = {field.name for field in dataclasses.fields(Options)} - inner

    assert fields - given == {"model_version"}


@pytest.mark.parametrize("flag", ["--scores", "--token-scores", "--alignments", "--sentence-spans", "--kept-spans"])
def test_what_plain_lines_have_no_place_for_needs_json(fake: Any, capsys: Capture, flag: str) -> None:
    """It is not asked for and then dropped."""
    assert translate(fake, flag, "a") == 2
    assert f"{flag} has no place in plain lines: add --json" in capsys.readouterr().err
    assert fake.requests == []


def test_json_has_what_was_asked_for(fake: Any, capsys: Capture) -> None:
    """Tokens, alignments and sentences as objects of their own."""
    result = pb.TextResult(text="A", finish_reason=pb.FINISH_REASON_STOP)
    result.hypotheses.add(
        text="A",
        tokens=[pb.TokenScore(token="▁A", log_probability=-0.5)],
        alignments=[pb.Alignment(source={"end": 1}, target={"end": 1}, weight=0.5)],
    )
    result.hypotheses.add(text="B", finish_reason=pb.FINISH_REASON_LENGTH)
    result.sentence_spans.add(source={"end": 1}, target={"end": 1})
    fake.reply = lambda request, context: pb.TranslateResponse(results=[result])

    assert translate(fake, "--json", "--alignments", "--token-scores", "--sentence-spans", "a") == 0

    facts = json.loads(capsys.readouterr().out)
    span = {"start": 0, "end": 1}
    first, second = facts["hypotheses"]
    assert first["tokens"] == [{"token": "▁A", "log_probability": -0.5}]
    assert first["alignments"] == [{"source": span, "target": span, "weight": 0.5}]
    assert facts["sentence_spans"] == [{"source": span, "target": span}]
    assert second == {"text": "B", "log_probability": None, "score": None, "finish_reason": "length"}


def test_the_timeout_is_the_deadline_of_each_call(fake: Any, capsys: Capture) -> None:
    """A server that does not answer in time is reported, not waited for."""
    fake.reply = lambda request, context: fake.cancelled.wait(20)

    assert translate(fake, "--timeout", "0.2", "hello") == 1
    fake.cancelled.set()
    assert "Deadline" in capsys.readouterr().err


def test_each_line_of_a_pipe_is_one_line_out(fake: Any, feed: Any, capsys: Capture) -> None:
    """Order is kept over many calls; blank lines, Windows line ends and an unfinished last line stay so."""
    lines = [f"line {i}" for i in range(100)]
    feed("\n".join([*lines, "", "  \t", "windows\r", "último"]).encode())

    assert translate(fake) == 0

    assert capsys.readouterr().out.split("\n") == [*map(str.upper, lines), "", "  \t", "WINDOWS\r", "ÚLTIMO"]
    assert len(fake.requests) == 4
    (last,) = [request for request in fake.requests if request.texts[-1].text == "último"]
    assert [text.text for text in last.texts[-3:]] == ["  \t", "windows", "último"]


def test_a_separator_that_only_unicode_knows_ends_no_line(fake: Any, feed: Any, capsys: Capture) -> None:
    """Lines end at line feeds, as for every other tool of a pipe."""
    feed("a\u2028b\x0cc\n".encode())

    translate(fake)

    assert capsys.readouterr().out == "A\u2028B\x0cC\n"


def test_a_line_stays_one_line_whatever_the_model_says(fake: Any, feed: Any, capsys: Capture) -> None:
    """Line n out belongs to line n in."""
    fake.reply = lambda request, context: pb.TranslateResponse(
        results=[{"text": "two\nlines", "finish_reason": pb.FINISH_REASON_STOP}]
    )
    feed(b"a\n")

    translate(fake)

    assert capsys.readouterr().out == "two lines\n"


def test_a_text_of_the_command_line_may_have_lines(fake: Any, capsys: Capture) -> None:
    """It is sent and printed as it is."""
    translate(fake, "a\nb")

    assert fake.requests[0].texts[0].text == "a\nb"
    assert capsys.readouterr().out == "A\nB\n"


def test_a_file_is_read_like_a_pipe(fake: Any, tmp_path: Path, capsys: Capture) -> None:
    """One line, one text."""
    (tmp_path / "in.txt").write_bytes(b"a\n\nb\n")

    assert translate(fake, "--file", str(tmp_path / "in.txt")) == 0
    assert capsys.readouterr().out == "A\n\nB\n"


def test_nothing_in_is_nothing_out(fake: Any, feed: Any, capsys: Capture) -> None:
    """An empty pipe is no error and no call."""
    feed(b"")

    assert translate(fake) == 0
    assert (capsys.readouterr().out, fake.requests) == ("", [])


def test_a_line_that_is_not_utf8_is_named(fake: Any, feed: Any, capsys: Capture) -> None:
    """Text is never guessed; the line stays blank, and those around it are translated."""
    feed(b"fine\n\xff\xfe\nalso fine")

    assert translate(fake) == 1

    out, err = capsys.readouterr()
    assert out == "FINE\n\nALSO FINE"
    assert err == "dragoman translate: line 2: not translated: not UTF-8 (invalid start byte at byte 0)\n"


def test_json_holds_everything_that_is_known(fake: Any, capsys: Capture) -> None:
    """One object a line, with the characters as they are."""
    assert translate(fake, "--json", "olá", "") == 0

    first, second = map(json.loads, capsys.readouterr().out.splitlines())
    assert (first["index"], first["text"], first["finish_reason"], first["engine"]) == (0, "OLÁ", "stop", "beam")
    assert first["hypotheses"] == [{"text": "OLÁ", "log_probability": -1.5, "score": -0.5, "finish_reason": "stop"}]
    assert (second["index"], second["finish_reason"], second["engine"]) == (1, "empty_input", None)


def test_several_hypotheses_are_numbered_by_their_text(fake: Any, capsys: Capture) -> None:
    """Position, score and text; a score that is not known is left out."""
    result = pb.TextResult(
        finish_reason=pb.FINISH_REASON_STOP, hypotheses=[{"text": "A", "score": -0.25}, {"text": "B"}]
    )
    fake.reply = lambda request, context: pb.TranslateResponse(results=[result])

    assert translate(fake, "--num-hypotheses", "2", "a") == 0
    assert capsys.readouterr().out == "0\t-0.2500\tA\n0\t\tB\n"


@pytest.mark.parametrize(
    ("facts", "said"),
    [
        ({"finish_reason": pb.FINISH_REASON_LENGTH}, "line 2: the length limit was reached"),
        ({"finish_reason": pb.FINISH_REASON_STOP, "source_truncated": True}, "line 2: the end of the text was dropped"),
        ({"finish_reason": pb.FINISH_REASON_DEADLINE}, "line 2: the translation may be incomplete"),
    ],
)
def test_what_may_be_incomplete_is_reported(
    fake: Any, feed: Any, capsys: Capture, facts: dict[str, Any], said: str
) -> None:
    """On the standard error, by line, and the translation is printed all the same."""
    good = {"index": 0, "text": "A", "finish_reason": pb.FINISH_REASON_STOP}
    fake.reply = lambda request, context: pb.TranslateResponse(results=[good, {"index": 1, "text": "B", **facts}])
    feed(b"a\nb\n")

    assert translate(fake) == 0

    printed = capsys.readouterr()
    assert printed.out == "A\nB\n"
    assert said in printed.err
    assert "line 1" not in printed.err


@pytest.mark.parametrize(("flags", "out"), [([], "\nB\n"), (["--json"], None)])
def test_a_text_that_failed_keeps_its_place(fake: Any, feed: Any, capsys: Capture, flags: list[str], out: str) -> None:
    """The others are printed, the failure is reported by its line, and the exit code is 1."""
    failed = {"index": 0, "status": {"code": 3, "message": "too long"}}
    good = {"index": 1, "text": "B", "finish_reason": pb.FINISH_REASON_STOP}
    fake.reply = lambda request, context: pb.TranslateResponse(results=[failed, good])
    feed(b"a\nb\n")

    assert translate(fake, *flags) == 1

    printed = capsys.readouterr()
    assert "line 1: not translated: too long" in printed.err
    if out is None:
        first = json.loads(printed.out.splitlines()[0])
        assert first == {"index": 0, "error": {"code": "INVALID_ARGUMENT", "message": "too long"}}
    else:
        assert printed.out == out


def test_a_refused_call_says_why(fake: Any, capsys: Capture) -> None:
    """The server's message, without a traceback."""

    def refuse(request: pb.TranslateRequest, context: grpc.ServicerContext) -> pb.TranslateResponse:
        context.abort(grpc.StatusCode.INVALID_ARGUMENT, "decoding.beam_size: 99 is above the limit of 12")

    fake.reply = refuse

    assert translate(fake, "--beam-size", "99", "a") == 1
    assert capsys.readouterr().err == "dragoman translate: decoding.beam_size: 99 is above the limit of 12\n"


def test_a_missing_server_is_reported_with_the_ways_out(capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    """The address, which may come from the environment, and what to do about it."""
    monkeypatch.setenv("DRAGOMAN_SERVER", "127.0.0.1:1")

    assert main(["translate", "a"]) == 1

    said = capsys.readouterr().err
    assert "127.0.0.1:1 does not answer" in said
    assert "--bundle DIR" in said


def test_the_flag_wins_over_the_environment(fake: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """As everywhere in dragoman."""
    monkeypatch.setenv("DRAGOMAN_SERVER", "127.0.0.1:1")

    assert translate(fake, "a") == 0


@pytest.mark.parametrize(
    "arguments",
    [
        ["--file", "x", "text"],
        ["--bundle", "d", "--server", "a:1", "text"],
        ["--bundle", "d", "--model", "m", "text"],
        ["--bundle", "d", "--timeout", "3", "text"],
    ],
)
def test_arguments_that_exclude_each_other_are_bad_usage(arguments: list[str], capsys: Capture) -> None:
    """No argument is read and ignored."""
    assert main(["translate", *arguments]) == 2
    assert "give one of them" in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments",
    [
        ["--beam-size", "0"],
        ["--beam-size", "many"],
        ["--length-penalty", "nan"],
        ["--max-length-factor", "0"],
        ["--timeout", "-1"],
        ["--splitting", "words"],
        ["--length-penalty-kind", "unknown"],
        ["--min-length", "-1"],
        ["--seed", "x"],
    ],
)
def test_values_that_make_no_sense_are_bad_usage(arguments: list[str], capsys: Capture) -> None:
    """They never reach a server, and the message names the value and no function of the program."""
    with pytest.raises(SystemExit) as caught:
        main(["translate", *arguments, "text"])

    assert caught.value.code == 2
    said = capsys.readouterr().err.splitlines()[-1]
    assert said.startswith(f"dragoman translate: error: argument {arguments[0]}: ")
    assert arguments[1] in said
    assert "invalid" not in said


def test_a_file_that_is_not_there_is_named(fake: Any, tmp_path: Path, capsys: Capture) -> None:
    """Without a traceback."""
    assert translate(fake, "--file", str(tmp_path / "nowhere")) == 1
    assert "nowhere" in capsys.readouterr().err


def test_a_line_that_a_server_refuses_costs_no_other(fake: Any, feed: Any, capsys: Capture) -> None:
    """A batch that is refused as a whole is sent again text by text."""
    plain = fake.reply

    def reply(request: pb.TranslateRequest, context: grpc.ServicerContext) -> pb.TranslateResponse:
        if "bad" in [text.text for text in request.texts]:
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, "texts[1].text: too long")
        return plain(request, context)  # type: ignore[no-any-return]

    fake.reply = reply
    feed(b"a\nbad\nc\n")

    assert translate(fake) == 1
    assert capsys.readouterr() == ("A\n\nC\n", "dragoman translate: line 2: not translated: texts[1].text: too long\n")


@pytest.mark.parametrize(
    ("name", "said", "code"),
    [("stdin", "the standard input is closed", 2), ("stdout", "the standard output is closed", 2)],
)
def test_a_closed_standard_stream_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: Capture, name: str, said: str, code: int
) -> None:
    """As after `<&-` or `>&-`: what is missing, not a traceback."""
    monkeypatch.setattr(sys, name, None)

    assert main(["translate"]) == code
    assert said in capsys.readouterr().err


def test_a_bundle_needs_no_server(monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> None:
    """The same options and the same printing, with the texts decoded in this process."""
    asked: list[tuple[Any, ...]] = []

    @contextmanager
    def load(directory: Path) -> Iterator[Path]:
        yield directory

    def translate_batches(service: Path, batches: Iterator[list[str]], options: Options) -> Iterator[Translation]:
        asked.append((service, options))
        return (Translation((Hypothesis(text.upper()),), FinishReason.STOP) for batch in batches for text in batch)

    monkeypatch.setattr(local, "local_service", load)
    monkeypatch.setattr(local, "translate_batches", translate_batches)

    assert main(["translate", "--bundle", "d", "--to", "pt", "--beam-size", "2", "hello"]) == 0
    assert capsys.readouterr().out == "HELLO\n"
    assert asked == [(Path("d"), Options(target_language="pt", beam_size=2))]
