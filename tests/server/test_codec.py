"""Messages and values; above all, that nothing of a request is ignored."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from dragoman.bundle.manifest import LanguagePair
from dragoman.server import codec
from dragoman.server.domain import (
    DecodingOverrides,
    Engine,
    FinishReason,
    Request,
    Splitting,
    TextHypothesis,
    Timings,
    Translation,
)
from dragoman.server.errors import EngineFailure, InvalidRequest, UnsupportedOption
from dragoman.server.pipeline import Pipeline
from dragoman.v1 import translation_pb2 as pb

PAIR = LanguagePair("de", "fr")
TRANSLATE = pb.TranslateRequest.DESCRIPTOR


def leaves(descriptor: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Every field of a message that holds a value, at any depth, with its path."""
    for field in descriptor.fields:
        if field.message_type is None:
            yield f"{path}{field.name}", field
        else:
            yield from leaves(field.message_type, f"{path}{field.name}.")


def with_field(path: str, value: Any = None) -> pb.TranslateRequest:
    """A request in which one field is set, to something that is not its default."""
    message = request = pb.TranslateRequest()
    *parents, name = path.split(".")
    for parent in parents:
        field = message.DESCRIPTOR.fields_by_name[parent]
        message = getattr(message, parent).add() if field.is_repeated else getattr(message, parent)
    field = message.DESCRIPTOR.fields_by_name[name]
    if value is None:
        value = "x" if field.cpp_type == field.CPPTYPE_STRING else field.cpp_type == field.CPPTYPE_BOOL or 1
    if field.is_repeated:
        getattr(message, name).append(value)
    else:
        setattr(message, name, value)
    return request


PATHS = dict(leaves(TRANSLATE))


@pytest.mark.parametrize("path", PATHS)
def test_every_field_is_supported_or_refused(path: str) -> None:
    """A field that this server does not declare as supported is refused by its name: none is ignored."""
    request = with_field(path, max(codec.SUPPORTED_VALUES.get(path, ()), default=None))

    if path in codec.SUPPORTED:
        codec.check(request)
    else:
        with pytest.raises(UnsupportedOption) as refused:
            codec.check(request)
        assert f"{path}.".startswith(f"{refused.value.field.replace('[0]', '')}.")


def test_what_is_declared_exists() -> None:
    """No path or value is declared that the protocol does not have, and every supported enum declares its values."""
    enums = {path for path, field in PATHS.items() if field.enum_type is not None}

    assert PATHS.keys() >= codec.SUPPORTED
    assert codec.SUPPORTED_VALUES.keys() == enums & codec.SUPPORTED
    for path, values in codec.SUPPORTED_VALUES.items():
        assert values <= set(PATHS[path].enum_type.values_by_number)


@pytest.mark.parametrize(
    ("path", "number"),
    [
        (path, number)
        for path in sorted(codec.SUPPORTED_VALUES)
        for number in [*PATHS[path].enum_type.values_by_number, 99, -1]
    ],
)
def test_every_enum_value_is_supported_or_refused(path: str, number: int) -> None:
    """A known value that is not implemented is unsupported and the others are listed; an unknown one is invalid."""
    request = with_field(path, number)

    if number in codec.SUPPORTED_VALUES[path]:
        codec.check(request)
    elif number in PATHS[path].enum_type.values_by_number:
        with pytest.raises(UnsupportedOption, match=f"{path}: .* does not implement .* it implements .*UNSPECIFIED"):
            codec.check(request)
    else:
        with pytest.raises(InvalidRequest, match=f"{path}: {number} is no value of"):
            codec.check(request)


@pytest.mark.parametrize("within", [b"", b"\x5a\x03"])
def test_fields_of_a_newer_protocol_are_refused(within: bytes) -> None:
    """Also inside of a message: what a newer client asks for is not dropped in silence."""
    unknown = b"\xf8\x07\x01"  # field 127, a number
    message = pb.TranslateRequest.FromString(within + unknown)

    with pytest.raises(UnsupportedOption, match=r"(decoding\.)?field number 127: not known to this server"):
        codec.check(message)


def test_the_place_in_a_list_is_named() -> None:
    """Which of the texts has the unsupported field."""
    segments = [pb.Segment(text="a"), pb.Segment(text="b", target_prefix="c")]

    with pytest.raises(UnsupportedOption) as refused:
        codec.check(pb.TranslateRequest(segments=segments))

    assert refused.value.field == "segments[1].target_prefix"


def test_a_request_is_read_completely() -> None:
    """Each supported field arrives where it belongs; what is not set stays open."""
    message = pb.TranslateRequest(
        segments=[pb.Segment(text="a"), pb.Segment()],
        splitting=pb.SPLITTING_LINES,
        on_too_long=pb.ON_TOO_LONG_REJECT,
        decoding=pb.DecodingOptions(beam_size=0, num_hypotheses=2, length_penalty=0.5, shortlist=False),
    )

    assert codec.request(message, pair=LanguagePair("en", "pt"), deadline_s=1.0) == Request(
        texts=("a", ""),
        overrides=DecodingOverrides(beam_size=0, num_hypotheses=2, length_penalty=0.5, shortlist=False),
        splitting=Splitting.LINES,
        deadline_s=1.0,
        source_language="en",
        target_language="pt",
        split_long=False,
    )
    empty = codec.request(pb.TranslateRequest(), pair=PAIR, deadline_s=None)
    assert empty == Request((), source_language="de", target_language="fr")


@pytest.mark.parametrize(
    ("fields", "overrides"),
    [
        ({"engine": pb.ENGINE_PREFERENCE_GREEDY}, DecodingOverrides(beam_size=1)),
        (
            {"decoding": pb.DecodingOptions(length_penalty_kind=pb.LENGTH_PENALTY_KIND_NONE)},
            DecodingOverrides(length_penalty=0.0),
        ),
    ],
)
def test_choices_that_stand_for_numbers(fields: dict[str, Any], overrides: DecodingOverrides) -> None:
    """Greedy is a beam of one; no length penalty is an exponent of nought."""
    message = pb.TranslateRequest(**fields)

    assert codec.request(message, pair=PAIR, deadline_s=None).overrides == overrides


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"engine": pb.ENGINE_PREFERENCE_GREEDY, "decoding": pb.DecodingOptions(beam_size=4)}, "engine"),
        (
            {"decoding": pb.DecodingOptions(length_penalty_kind=pb.LENGTH_PENALTY_KIND_NONE, length_penalty=1.0)},
            "decoding.length_penalty",
        ),
        ({"request_id": "é" * 65}, "request_id"),
    ],
)
def test_contradictions_are_invalid(fields: dict[str, Any], field: str) -> None:
    """Neither side of a contradiction wins in silence."""
    with pytest.raises(InvalidRequest) as refused:
        codec.request(pb.TranslateRequest(**fields), pair=PAIR, deadline_s=None)

    assert refused.value.violations[0].field == field


def test_a_pipes_texts_are_counted_before_they_are_copied() -> None:
    """A message has room for millions of empty texts."""
    settings = codec.PipeSettings(2)
    settings.request(pb.TranslatePipeRequest(settings=pb.TranslateRequest(), segments=[pb.Segment()] * 2))

    with pytest.raises(InvalidRequest, match="segments: 3 texts, the limit is 2"):
        settings.request(pb.TranslatePipeRequest(segments=[pb.Segment()] * 3))


def test_a_result_says_all_that_is_known() -> None:
    """Every field of a translation is on the wire; timings only where they were asked for."""
    translation = Translation(
        hypotheses=(TextHypothesis("um", -1.5, -0.75), TextHypothesis("uma", -2.0, -1.0)),
        finish_reason=FinishReason.LENGTH,
        engine=Engine.BEAM,
        source_tokens=3,
        target_tokens=4,
        segments=2,
        steps=7,
        timings=Timings(0.001, 0.002, 0.003, 0.004, 0.005),
    )

    result = codec.result(5, translation, timings=True)

    assert (result.index, result.text, result.finish_reason) == (5, "um", pb.FINISH_REASON_LENGTH)
    assert [(one.text, one.log_probability, one.score) for one in result.hypotheses] == [
        ("um", -1.5, -0.75),
        ("uma", -2.0, -1.0),
    ]
    assert (result.engine, result.source_tokens, result.target_tokens) == (pb.ENGINE_BEAM, 3, 4)
    assert (result.decode_steps, result.pieces, result.timings.detokenize.ToMilliseconds()) == (7, 2, 5)
    assert not codec.result(5, translation, timings=False).HasField("timings")


def test_every_reason_and_engine_has_a_number() -> None:
    """A new member of either enum cannot be forgotten."""
    assert set(FinishReason) == codec._FINISH_REASON.keys()
    assert {None, *Engine} == codec._ENGINE.keys()


def test_an_error_is_a_status_and_nothing_else() -> None:
    """What failed inside stays inside."""
    result = codec.result(1, EngineFailure("node 7 of /models/x"), timings=True)

    assert result == pb.SegmentResult(
        index=1,
        status=pb.SegmentStatus(code=13, message="the engine failed on this text; the server's log says why"),
    )


def test_a_models_own_decoding_is_a_legal_request(pipeline: Pipeline) -> None:
    """What `Model.decoding` shows can be sent back and asks for the same."""
    model = codec.model(pipeline, max_request_bytes=1, draining=False)
    message = pb.TranslateRequest(decoding=model.decoding)

    codec.check(message)
    request = codec.request(message, pair=PAIR, deadline_s=None)

    assert pipeline.decoding(request) == pipeline.decoding(Request(()))
    assert (model.name, model.state, model.digest[:12]) == ("echo", pb.MODEL_STATE_SERVING, model.version)
