"""Requests become values, and no field is lost on the way."""

from typing import Any

import pytest

from dragoman.bundle.manifest import LanguagePair
from dragoman.server.core.errors import InvalidRequest
from dragoman.server.core.protection import DEFAULT_PROTECTION, RECOGNISED, Protection, SpanKind
from dragoman.server.core.requests import (
    DecodingOverrides,
    EnginePreference,
    InputFormat,
    OffsetUnit,
    OnLoop,
    OnTooLong,
    Output,
    Request,
    Splitting,
)
from dragoman.server.core.segments import Priority
from dragoman.server.core.strategies import Beam
from dragoman.server.decode.strategies.alternatives import Alternatives
from dragoman.server.decode.strategies.diversity import Diversity
from dragoman.server.decode.strategies.sampling import Sampling
from dragoman.server.transport.codec.requests import PipeSettings, request, score_request
from dragoman.v1 import translation_pb2 as pb

PAIR = LanguagePair("en", "pt")


def read(fresh_seed: int = 0, **fields: Any) -> Request:
    return request(pb.TranslateRequest(**fields), pair=PAIR, deadline_s=None, fresh_seed=fresh_seed)


def test_a_request_is_read_completely() -> None:
    """Each supported field arrives where it belongs; what is not set stays open."""
    message = pb.TranslateRequest(
        texts=[pb.Text(text="a", target_prefix="A"), pb.Text(context="b")],
        splitting=pb.SPLITTING_LINES,
        on_too_long=pb.ON_TOO_LONG_REJECT,
        on_loop=pb.ON_LOOP_CONTINUE,
        engine=pb.ENGINE_PREFERENCE_QUALITY,
        priority=pb.PRIORITY_BATCH,
        output=pb.OutputOptions(
            token_scores=True, alignments=True, sentence_spans=True, offset_unit=pb.OFFSET_UNIT_UTF16
        ),
        decoding=pb.DecodingOptions(beam_size=0, suppressed_tokens=["x", "y"]),
    )

    assert request(message, pair=PAIR, deadline_s=1.0) == Request(
        texts=("a", ""),
        overrides=DecodingOverrides(beam_size=0),
        method=Beam(),
        engine=EnginePreference.QUALITY,
        prefixes=("A", ""),
        contexts=("", "b"),
        suppressed_tokens=("x", "y"),
        output=Output(token_scores=True, alignments=True, sentence_spans=True, offset_unit=OffsetUnit.UTF16),
        priority=Priority.BATCH,
        splitting=Splitting.LINES,
        deadline_s=1.0,
        source_language="en",
        target_language="pt",
        on_too_long=OnTooLong.REJECT,
        on_loop=OnLoop.CONTINUE,
    )
    assert read() == Request((), source_language="en", target_language="pt")


# Zero where it can be: what "not set" must not be taken for.
@pytest.mark.parametrize(
    ("name", "value", "override"),
    [
        ("beam_size", 0, 0),
        ("num_hypotheses", 0, 0),
        ("length_penalty", 0.0, 0.0),
        ("length_penalty_kind", pb.LENGTH_PENALTY_KIND_POWER, "power"),
        ("length_penalty_kind", pb.LENGTH_PENALTY_KIND_GNMT, "gnmt"),
        ("word_penalty", -0.5, -0.5),
        ("coverage_penalty", 0.0, 0.0),
        ("patience", 2.5, 2.5),
        ("early_stopping", pb.EARLY_STOPPING_FIRST, "first"),
        ("early_stopping", pb.EARLY_STOPPING_HEURISTIC, "heuristic"),
        ("early_stopping", pb.EARLY_STOPPING_EXHAUSTIVE, "exhaustive"),
        ("min_length", 0, 0),
        ("max_length", 0, 0),
        ("max_length_factor", 0.0, 0.0),
        ("repetition_penalty", 0.0, 0.0),
        ("no_repeat_ngram_size", 0, 0),
        ("source_no_repeat_ngram_size", 0, 0),
        ("unknown_handling", pb.UNKNOWN_HANDLING_ALLOW, "allow"),
        ("unknown_handling", pb.UNKNOWN_HANDLING_SUPPRESS, "suppress"),
        ("unknown_handling", pb.UNKNOWN_HANDLING_COPY, "copy"),
        ("profile", "", ""),
        ("shortlist", False, False),
    ],
)
def test_an_override_arrives_alone(name: str, value: Any, override: Any) -> None:
    """One set field is one override, zero and false included."""
    assert read(decoding={name: value}).overrides == DecodingOverrides(**{name: override})


def test_every_override_has_a_field() -> None:
    """A new override cannot be forgotten on the wire: each is set by the field of its name."""
    every = dict.fromkeys(vars(DecodingOverrides()))
    given = pb.DecodingOptions(
        length_penalty_kind=pb.LENGTH_PENALTY_KIND_GNMT,
        early_stopping=pb.EARLY_STOPPING_HEURISTIC,
        unknown_handling=pb.UNKNOWN_HANDLING_ALLOW,
    )
    for name in every:
        if not getattr(given, name):
            setattr(given, name, type(getattr(given, name))())

    assert [name for name, value in vars(read(decoding=given).overrides).items() if value is None] == []


def test_no_length_penalty_is_an_exponent_of_nought() -> None:
    """Whatever kind the bundle has."""
    given = read(decoding={"length_penalty_kind": pb.LENGTH_PENALTY_KIND_NONE})

    assert given.overrides == DecodingOverrides(length_penalty=0.0)


@pytest.mark.parametrize(
    ("decoding", "method"),
    [
        ({}, Beam()),
        ({"sampling": {}}, Sampling()),
        ({"sampling": {"seed": 0}}, Sampling(seed=0)),
        (
            {"sampling": {"seed": 2**64 - 1, "top_k": 0, "top_p": 0.5, "temperature": 0.25, "min_p": 0.5}},
            Sampling(seed=2**64 - 1, top_k=0, top_p=0.5, temperature=0.25, min_p=0.5),
        ),
        ({"diversity": {"groups": 2, "penalty": 0.5}}, Diversity(2, 0.5)),
        ({"diversity": {}}, Beam()),
        ({"diversity": {"groups": 1}}, Beam()),
        ({"alternatives": {"count": 3, "min_probability": 0.25}}, Alternatives(3, 0.25)),
        ({"alternatives": {}}, Beam()),
    ],
)
def test_a_method_is_read(decoding: dict[str, Any], method: object) -> None:
    """A sample without a seed gets the call's own; one group, and no alternatives, are the plain beam."""
    assert read(77, decoding=decoding).method == method


@pytest.mark.parametrize("number", pb.Priority.values())
def test_every_priority_is_read(number: Any) -> None:
    """One that is not set is a normal one."""
    name = pb.Priority.Name(number).removeprefix("PRIORITY_")

    assert read(priority=number).priority is (Priority.NORMAL if name == "UNSPECIFIED" else Priority[name])


@pytest.mark.parametrize("number", pb.EnginePreference.values())
def test_every_engine_preference_is_read(number: Any) -> None:
    """One that is not set is the automatic one."""
    name = pb.EnginePreference.Name(number).removeprefix("ENGINE_PREFERENCE_")

    assert read(engine=number).engine.name == ("AUTO" if name == "UNSPECIFIED" else name)


@pytest.mark.parametrize("number", pb.OffsetUnit.values())
def test_every_offset_unit_is_read(number: Any) -> None:
    """One that is not set is the code point."""
    name = pb.OffsetUnit.Name(number).removeprefix("OFFSET_UNIT_")

    assert read(output={"offset_unit": number}).output.offset_unit.name == (
        "CODE_POINT" if name == "UNSPECIFIED" else name
    )


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        (
            {"decoding": {"length_penalty_kind": pb.LENGTH_PENALTY_KIND_NONE, "length_penalty": 1.0}},
            "decoding.length_penalty",
        ),
        ({"decoding": {"sampling": {}, "diversity": {"groups": 2}}}, "decoding.diversity"),
        ({"decoding": {"sampling": {}, "alternatives": {"count": 2}}}, "decoding.alternatives"),
        ({"decoding": {"alternatives": {"count": 2}, "diversity": {"groups": 2}}}, "decoding.alternatives"),
        ({"request_id": "é" * 65}, "request_id"),
    ],
)
def test_contradictions_are_invalid(fields: dict[str, Any], field: str) -> None:
    """Neither side of a contradiction wins in silence."""
    with pytest.raises(InvalidRequest) as refused:
        read(**fields)

    assert [one.field for one in refused.value.violations] == [field]


def test_a_request_to_score_is_read_completely() -> None:
    """Each field arrives where it belongs; what is not set stays open."""
    message = pb.ScoreRequest(
        pairs=[pb.ScorePair(source="a", target="b"), pb.ScorePair()],
        token_scores=True,
        length_penalty=0.0,
        length_penalty_kind=pb.LENGTH_PENALTY_KIND_GNMT,
        priority=pb.PRIORITY_INTERACTIVE,
    )

    assert score_request(message, pair=PAIR, deadline_s=2.0) == Request(
        texts=("a", ""),
        targets=("b", ""),
        overrides=DecodingOverrides(length_penalty=0.0, length_penalty_kind="gnmt"),
        output=Output(token_scores=True),
        deadline_s=2.0,
        priority=Priority.INTERACTIVE,
        source_language="en",
        target_language="pt",
    )
    empty = Request((), targets=(), source_language="en", target_language="pt")
    assert score_request(pb.ScoreRequest(), pair=PAIR, deadline_s=None) == empty


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"length_penalty": 1.0, "length_penalty_kind": pb.LENGTH_PENALTY_KIND_NONE}, "length_penalty"),
        ({"request_id": "x" * 129}, "request_id"),
    ],
)
def test_a_bad_request_to_score_is_invalid(fields: dict[str, Any], field: str) -> None:
    """Its fields are named as they stand in it."""
    with pytest.raises(InvalidRequest) as refused:
        score_request(pb.ScoreRequest(**fields), pair=PAIR, deadline_s=None)

    assert refused.value.violations[0].field == field


def test_a_pipes_texts_are_counted_before_they_are_copied() -> None:
    """A message has room for millions of empty texts."""
    settings = PipeSettings(2)
    settings.request(pb.TranslatePipeRequest(settings=pb.TranslateRequest(), texts=[pb.Text()] * 2))

    with pytest.raises(InvalidRequest, match="texts: 3 texts, the limit is 2"):
        settings.request(pb.TranslatePipeRequest(texts=[pb.Text()] * 3))


def test_only_texts_that_are_being_written_come_to_an_end() -> None:
    """The others are whole when they come."""
    settings = PipeSettings(2)
    with pytest.raises(InvalidRequest, match="is_whole"):
        settings.request(pb.TranslatePipeRequest(settings=pb.TranslateRequest(), texts=[pb.Text()], is_whole=True))
    live = pb.TranslateRequest(live=pb.Live(wait=3))
    request, _ = settings.request(pb.TranslatePipeRequest(settings=live, texts=[pb.Text()], is_whole=True))
    assert request.live.wait == 3


@pytest.mark.parametrize(
    ("fields", "protection"),
    [
        ({}, None),
        ({"protection": {}}, DEFAULT_PROTECTION),
        ({"protection": {"patterns": ["a+"]}}, Protection(RECOGNISED, ("a+",))),
        ({"protection": {"kinds": [pb.SPAN_KIND_URL, pb.SPAN_KIND_URL]}}, Protection(frozenset({SpanKind.URL}))),
        ({"protection": {"off": True}}, Protection(frozenset())),
        ({"protection": {"off": True, "patterns": ["a"]}}, Protection(frozenset(), ("a",))),
    ],
)
def test_what_is_protected_is_read(fields: dict[str, Any], protection: Protection | None) -> None:
    """All kinds where none is named, and patterns beside them; what the bundle has where nothing is said."""
    assert read(texts=[pb.Text(text="a")], **fields).protection == protection


def test_kinds_of_a_protection_that_is_off_are_refused() -> None:
    """Which of them was meant nobody knows."""
    with pytest.raises(InvalidRequest, match=r"protection\.kinds: set although protection is off"):
        read(texts=[pb.Text(text="a")], protection={"off": True, "kinds": [pb.SPAN_KIND_URL]})


def test_attributes_are_translated_of_texts_that_have_some() -> None:
    """Plain text has none, and a request that asks for them is refused by name."""
    marked = read(format=pb.INPUT_FORMAT_MARKDOWN, translate_attributes=True)

    assert (marked.format, marked.translate_attributes) == (InputFormat.MARKDOWN, True)
    with pytest.raises(InvalidRequest, match="translate_attributes"):
        read(translate_attributes=True)
