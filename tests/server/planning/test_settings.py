"""Overrides, strategies and preferences, and which of them are refused."""

import math
from dataclasses import replace
from typing import Any

import pytest

from dragoman.bundle.manifest import Decoding, Graph, Limits, Manifest, Profile
from dragoman.bundle.profiles import PROFILE_DEFAULTS, PROFILES
from dragoman.bundle.reader import Bundle
from dragoman.bundle.rules import manifest_problems
from dragoman.glossary.terms import Term
from dragoman.server.core.errors import InvalidRequest, ServingError, UnsupportedByModel
from dragoman.server.core.limits import Bounds
from dragoman.server.core.protection import DEFAULT_PROTECTION, NO_PROTECTION
from dragoman.server.core.requests import DecodingOverrides, EnginePreference, Grammar, InputFormat, Output, Request
from dragoman.server.core.strategies import Beam, Method
from dragoman.server.decode.strategies.alternatives import Alternatives
from dragoman.server.decode.strategies.diversity import Diversity
from dragoman.server.decode.strategies.minimum_bayes_risk import MinimumBayesRisk
from dragoman.server.decode.strategies.sampling import Sampling
from dragoman.server.planning.settings import resolve

DEFAULTS = Decoding(beam_size=4, num_hypotheses=2, max_length=100)
SAMPLE = Sampling(seed=1)


@pytest.fixture
def manifest(bundle: Bundle) -> Manifest:
    """At most 64 target tokens, attention, no shortlist."""
    return replace(bundle.manifest, decoding=DEFAULTS, limits=Limits(32, 64))


def settled(request: Request, manifest: Manifest) -> Decoding:
    decoding = resolve(request, request.engine, Bounds(8, 12, manifest))
    if isinstance(decoding, ServingError):
        raise decoding
    return decoding


def resolved(
    manifest: Manifest, method: Method = Beam(), engine: EnginePreference = EnginePreference.AUTO, **overrides: Any
) -> Decoding:
    request = Request(("a",), DecodingOverrides(**overrides), method, engine=engine)
    return settled(request, manifest)


def with_shortlist(manifest: Manifest) -> Manifest:
    graphs = {**manifest.graphs, "step_shortlist": manifest.graphs["step"]}
    return replace(manifest, graphs=graphs, shortlist="shortlist.bin")


def without_attention(manifest: Manifest) -> Manifest:
    return replace(manifest, graphs={**manifest.graphs, "step": Graph("step.onnx", (), ())})


def refused(manifest: Manifest, *given: Any, **overrides: Any) -> list[str]:
    """The fields that are named."""
    with pytest.raises(InvalidRequest) as error:
        resolved(manifest, *given, **overrides)
    return [violation.field for violation in error.value.violations]


GOOD: dict[str, list[Any]] = {
    "profile": [*PROFILES],
    "beam_size": [1, 8],
    "num_hypotheses": [1, 8],
    "length_penalty": [0.0, 10.0],
    "length_penalty_kind": ["power", "gnmt"],
    "word_penalty": [-100.0, 0.0, 100.0],
    "coverage_penalty": [0.0, 100.0],
    "patience": [0.01, 100.0],
    "early_stopping": ["first", "heuristic", "exhaustive"],
    "min_length": [0, 64],
    "max_length": [1, 64],
    "max_length_factor": [0.01, 100.0],
    "repetition_penalty": [0.01, 100.0],
    "no_repeat_ngram_size": [0, 2**32 - 1],
    "source_no_repeat_ngram_size": [0, 2**32 - 1],
    "unknown_handling": ["allow", "suppress", "copy"],
    "shortlist": [False],
}
BAD: dict[str, list[Any]] = {
    "profile": ["", "MARIAN", "x" * 10_000],
    "beam_size": [0, 9, 2**32 - 1],
    "num_hypotheses": [0, 9, 2**32 - 1],
    "length_penalty": [math.nan, math.inf, -0.1, 10.5],
    "word_penalty": [math.nan, math.inf, -100.5, 100.5],
    "coverage_penalty": [math.nan, math.inf, -0.1, 100.5],
    "patience": [math.nan, math.inf, 0.0, -1.0, 100.5],
    "min_length": [65, 2**31],
    "max_length": [0, 65, 2**31],
    "max_length_factor": [math.nan, math.inf, 0.0, -1.0, 100.5],
    "repetition_penalty": [math.nan, math.inf, 0.0, -1.0, 100.5],
}


def test_every_override_is_tested_below() -> None:
    """A new override is tested without anyone thinking of it."""
    assert GOOD.keys() == vars(DecodingOverrides()).keys()


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, values in GOOD.items() for value in values])
def test_an_override_arrives(manifest: Manifest, name: str, value: Any) -> None:
    """The bounds themselves are allowed."""
    assert getattr(resolved(manifest, **{name: value}), name) == value


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, values in BAD.items() for value in values])
def test_values_out_of_range_are_refused_by_name(manifest: Manifest, name: str, value: Any) -> None:
    """Exactly the field at fault is named, with the value and the limits, and the message stays short."""
    request = Request(("a",), DecodingOverrides(**{name: value}))
    with pytest.raises(InvalidRequest) as error:
        settled(request, manifest)

    assert [violation.field for violation in error.value.violations] == [f"decoding.{name}"]
    assert len(str(error.value)) < 200


def test_a_default_beam_that_is_too_wide_is_not_blamed_on_the_hypotheses(manifest: Manifest) -> None:
    """The field that is named is the one whose number is shown."""
    wide = replace(manifest, decoding=Decoding(beam_size=4000))

    assert refused(wide, num_hypotheses=2) == ["decoding.beam_size"]


def test_all_reasons_come_at_once(manifest: Manifest) -> None:
    """Whoever sends four bad fields learns of four."""
    fields = refused(
        manifest, Diversity(3, 0.5), beam_size=9, length_penalty=math.nan, max_length=0, repetition_penalty=0.0
    )

    assert sorted(fields) == [
        "decoding.beam_size",
        "decoding.length_penalty",
        "decoding.max_length",
        "decoding.repetition_penalty",
    ]


@pytest.mark.parametrize(
    ("overrides", "beam_size", "num_hypotheses"),
    [
        ({}, 4, 2),
        ({"beam_size": 1}, 1, 1),
        ({"beam_size": 8}, 8, 2),
        ({"num_hypotheses": 3}, 4, 3),
        ({"num_hypotheses": 6}, 6, 6),
        ({"beam_size": 8, "num_hypotheses": 8}, 8, 8),
    ],
)
def test_beam_and_hypotheses_follow_each_other(
    manifest: Manifest, overrides: dict[str, int], beam_size: int, num_hypotheses: int
) -> None:
    """What is not asked for gives way to what is: a beam grows for hypotheses, hypotheses shrink for a beam."""
    decoding = resolved(manifest, **overrides)

    assert (decoding.beam_size, decoding.num_hypotheses) == (beam_size, num_hypotheses)


def test_more_hypotheses_than_the_beam_that_is_set_are_refused(manifest: Manifest) -> None:
    """Neither of two set fields gives way."""
    assert refused(manifest, beam_size=2, num_hypotheses=3) == ["decoding.num_hypotheses"]


def test_the_default_length_is_held_to_the_network(manifest: Manifest) -> None:
    """A bundle's own default may exceed its network; a request's may not."""
    assert resolved(manifest).max_length == 64


def test_a_smallest_length_gives_way_to_a_limit_that_is_set(manifest: Manifest) -> None:
    """As far as it is a default; a smallest length that is itself set is refused above the limit."""
    long = replace(manifest, decoding=Decoding(min_length=20))

    assert resolved(long, max_length=5).min_length == 5
    assert refused(long, max_length=5, min_length=6) == ["decoding.min_length"]


@pytest.mark.parametrize("early_stopping", ["heuristic", "exhaustive"])
def test_patience_is_refused_where_nobody_waits(manifest: Manifest, early_stopping: str) -> None:
    """Only the first rule counts hypotheses. The value that changes nothing is no contradiction."""
    assert refused(manifest, early_stopping=early_stopping, patience=2.0) == ["decoding.patience"]
    assert resolved(manifest, early_stopping=early_stopping, patience=1.0).patience == 1.0
    patient = replace(manifest, decoding=Decoding(patience=2.0))
    assert resolved(patient, early_stopping=early_stopping).patience == 1.0


@pytest.mark.parametrize("profile", PROFILES)
def test_a_profile_changes_the_other_defaults_unless_it_is_the_bundles_own(
    manifest: Manifest, profile: Profile
) -> None:
    """And a field that is set besides wins over both."""
    own = replace(DEFAULTS, length_penalty=0.3, min_length=7, max_length=64)
    decoding = resolved(replace(manifest, decoding=own), profile=profile)

    expected = {} if profile == own.profile else PROFILE_DEFAULTS[profile]
    assert decoding == replace(own, profile=profile, **expected)
    assert resolved(replace(manifest, decoding=own), profile=profile, length_penalty=0.6).length_penalty == 0.6


@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize("own", PROFILES)
def test_every_profile_gives_legal_settings(manifest: Manifest, own: Profile, profile: Profile) -> None:
    """Whatever the bundle's own is, patience included."""
    patient = replace(manifest, decoding=Decoding(profile=own, patience=2.0))

    assert resolved(patient, profile=profile).profile == profile


def test_a_model_is_not_asked_for_what_it_lacks(manifest: Manifest) -> None:
    """A shortlist that it does not have is refused; leaving it out is not."""
    with pytest.raises(UnsupportedByModel, match=r"decoding\.shortlist: this model's bundle has no"):
        resolved(manifest, shortlist=True)

    assert resolved(with_shortlist(manifest), shortlist=True).shortlist
    assert not resolved(manifest, shortlist=False).shortlist


@pytest.mark.parametrize("overrides", [{"coverage_penalty": 0.1}, {"unknown_handling": "copy"}])
def test_what_needs_attention_is_refused_without_it(manifest: Manifest, overrides: dict[str, Any]) -> None:
    """By its name, and with the way out; the graph that would run is the one that is looked at."""
    [name] = overrides
    with pytest.raises(UnsupportedByModel, match=rf"decoding\.{name}: needs attention.*export it again"):
        resolved(without_attention(manifest), **overrides)

    only_whole = with_shortlist(manifest)
    only_whole = replace(only_whole, graphs={**only_whole.graphs, "step_shortlist": Graph("s.onnx", (), ())})
    assert resolved(only_whole, **overrides)
    with pytest.raises(UnsupportedByModel):
        resolved(only_whole, shortlist=True, **overrides)


def test_the_sources_words_are_avoided_only_where_they_are_the_targets(manifest: Manifest) -> None:
    """Else the numbers of one side would be taken for those of the other."""
    apart = replace(manifest, architecture=replace(manifest.architecture, source_vocabulary=77))

    assert resolved(manifest, source_no_repeat_ngram_size=2).source_no_repeat_ngram_size == 2
    assert not resolved(apart, source_no_repeat_ngram_size=0).source_no_repeat_ngram_size
    with pytest.raises(UnsupportedByModel, match=r"decoding\.source_no_repeat_ngram_size: 2, and the source's words"):
        resolved(apart, source_no_repeat_ngram_size=2)


def test_alignments_need_attention(manifest: Manifest) -> None:
    """They are refused by the name of the output."""
    request = Request(("a",), output=Output(alignments=True))

    assert settled(request, manifest)
    with pytest.raises(UnsupportedByModel, match=r"output\.alignments: needs attention"):
        settled(request, without_attention(manifest))


def test_a_bundle_whose_defaults_need_attention_it_lacks_is_refused(manifest: Manifest) -> None:
    """It could serve no request that leaves them alone."""
    decoding = Decoding(coverage_penalty=0.1)

    problems = manifest_problems(replace(without_attention(manifest), decoding=decoding))
    assert [problem.split(":")[0] for problem in problems] == ["decoding.coverage_penalty"]
    assert manifest_problems(replace(manifest, decoding=decoding)) == []


@pytest.mark.parametrize(
    ("overrides", "num_hypotheses"),
    [({}, 2), ({"num_hypotheses": 8}, 8), ({"beam_size": 1}, 2), ({"beam_size": 1, "num_hypotheses": 5}, 5)],
)
def test_a_sample_has_no_beam_and_as_many_draws_as_are_asked_for(
    manifest: Manifest, overrides: dict[str, int], num_hypotheses: int
) -> None:
    """The bundle's own beam is set aside."""
    decoding = resolved(manifest, SAMPLE, **overrides)

    assert (decoding.beam_size, decoding.num_hypotheses) == (1, num_hypotheses)


@pytest.mark.parametrize(
    ("method", "overrides", "field"),
    [
        (SAMPLE, {"beam_size": 4}, "beam_size"),
        (SAMPLE, {"num_hypotheses": 13}, "num_hypotheses"),
        (SAMPLE, {"num_hypotheses": 0}, "num_hypotheses"),
        (SAMPLE, {"early_stopping": "exhaustive"}, "early_stopping"),
        (SAMPLE, {"patience": 2.0}, "patience"),
        (Sampling(1, top_k=0), {}, "sampling.top_k"),
        (MinimumBayesRisk(1), {}, "minimum_bayes_risk.samples"),
        (MinimumBayesRisk(13), {}, "minimum_bayes_risk.samples"),
        (MinimumBayesRisk(4), {"num_hypotheses": 5}, "num_hypotheses"),
        (MinimumBayesRisk(4), {"num_hypotheses": 0}, "num_hypotheses"),
        (MinimumBayesRisk(4), {"beam_size": 4}, "beam_size"),
        (MinimumBayesRisk(4), {"patience": 2.0}, "patience"),
        (MinimumBayesRisk(4, Sampling(top_p=0.0)), {}, "minimum_bayes_risk.sampling.top_p"),
        (Sampling(1, min_p=-0.1), {}, "sampling.min_p"),
        (Sampling(1, min_p=1.1), {}, "sampling.min_p"),
        (Sampling(1, min_p=math.nan), {}, "sampling.min_p"),
        (Sampling(1, epsilon=-0.1), {}, "sampling.epsilon"),
        (Sampling(1, epsilon=1.0), {}, "sampling.epsilon"),
        (Sampling(1, epsilon=math.nan), {}, "sampling.epsilon"),
        (Sampling(1, top_p=0.0), {}, "sampling.top_p"),
        (Sampling(1, top_p=1.1), {}, "sampling.top_p"),
        (Sampling(1, top_p=math.nan), {}, "sampling.top_p"),
        (Sampling(1, temperature=0.0), {}, "sampling.temperature"),
        (Sampling(1, temperature=-1.0), {}, "sampling.temperature"),
        (Sampling(1, temperature=100.5), {}, "sampling.temperature"),
        (Sampling(1, temperature=math.inf), {}, "sampling.temperature"),
        (Sampling(1, temperature=math.nan), {}, "sampling.temperature"),
        (Diversity(3, 0.5), {}, "diversity.groups"),
        (Diversity(penalty=0.5), {}, "diversity.penalty"),
        (Diversity(1, math.nan), {}, "diversity.penalty"),
        (Alternatives(min_probability=0.5), {}, "alternatives.min_probability"),
        (Diversity(8, 0.5), {}, "diversity.groups"),
        (Diversity(2, -0.1), {}, "diversity.penalty"),
        (Diversity(2, 100.5), {}, "diversity.penalty"),
        (Diversity(2, math.nan), {}, "diversity.penalty"),
        (Alternatives(3), {}, "alternatives.count"),
        (Alternatives(9), {"beam_size": 1}, "alternatives.count"),
        (Alternatives(2**32 - 1), {}, "alternatives.count"),
        (Alternatives(2, 1.1), {}, "alternatives.min_probability"),
        (Alternatives(2, math.nan), {}, "alternatives.min_probability"),
        (Alternatives(2), {"num_hypotheses": 2}, "num_hypotheses"),
    ],
)
def test_bad_strategies_are_refused_by_name(
    manifest: Manifest, method: Method, overrides: dict[str, Any], field: str
) -> None:
    """A strategy's own numbers, and fields that make no sense beside it."""
    assert refused(manifest, method, **overrides) == [f"decoding.{field}"]


@pytest.mark.parametrize(
    ("method", "overrides"),
    [
        (Sampling(1, top_k=1, top_p=1.0, temperature=100.0), {}),
        (Sampling(1, min_p=1.0, epsilon=0.999), {"num_hypotheses": 12}),
        (Sampling(1, top_k=2**32 - 1, top_p=1e-6, temperature=1e-3), {"patience": 1.0, "early_stopping": "first"}),
        (Diversity(2, 0.0), {}),
        (MinimumBayesRisk(12), {"num_hypotheses": 12}),
        (MinimumBayesRisk(2), {"beam_size": 1}),
        (Diversity(4, 100.0), {"num_hypotheses": 4}),
        (Alternatives(2, 0.0), {}),
        (Alternatives(8, 1.0), {"beam_size": 1, "num_hypotheses": 1}),
    ],
)
def test_good_strategies_pass(manifest: Manifest, method: Method, overrides: dict[str, Any]) -> None:
    """Bounds included, and values that change nothing."""
    assert resolved(manifest, method, **overrides)


E = EnginePreference


@pytest.mark.parametrize(
    ("engine", "own_beam", "overrides", "beam_size"),
    [
        (E.AUTO, 1, {}, 1),
        (E.QUALITY, 1, {}, 4),
        (E.QUALITY, 6, {}, 6),
        (E.QUALITY, 1, {"beam_size": 1}, 1),
        (E.QUALITY, 1, {"num_hypotheses": 5}, 5),
        (E.BEAM, 1, {}, 4),
        (E.BEAM, 6, {}, 6),
        (E.BEAM, 1, {"beam_size": 2}, 2),
        (E.BALANCED, 6, {}, 1),
        (E.BALANCED, 6, {"beam_size": 3}, 3),
        (E.FAST, 6, {}, 1),
        (E.FAST, 6, {"num_hypotheses": 3}, 6),
        (E.GREEDY, 6, {}, 1),
        (E.GREEDY, 6, {"beam_size": 1}, 1),
    ],
)
def test_a_preference_chooses_the_beam_where_nothing_else_does(
    manifest: Manifest, engine: EnginePreference, own_beam: int, overrides: dict[str, int], beam_size: int
) -> None:
    """A wish gives way to a field that is set."""
    one = replace(manifest, decoding=Decoding(beam_size=own_beam))

    assert resolved(one, Beam(), engine, **overrides).beam_size == beam_size


def test_fast_takes_the_shortlist_and_quality_the_whole_vocabulary(manifest: Manifest) -> None:
    """Where there is one, and unless the request says otherwise."""
    own = replace(with_shortlist(manifest), decoding=Decoding(shortlist=True))
    other = replace(own, decoding=Decoding())

    assert resolved(other, Beam(), E.FAST).shortlist
    assert not resolved(other, Beam(), E.FAST, shortlist=False).shortlist
    assert not resolved(manifest, Beam(), E.FAST).shortlist
    assert not resolved(own, Beam(), E.QUALITY).shortlist
    assert resolved(own, Beam(), E.BALANCED).shortlist


@pytest.mark.parametrize("engine", [E.AUTO, E.QUALITY, E.BALANCED, E.FAST])
@pytest.mark.parametrize("method", [SAMPLE, Diversity(2, 0.5), Alternatives(2)])
def test_a_wish_never_stands_in_the_way_of_a_strategy(
    manifest: Manifest, engine: EnginePreference, method: Method
) -> None:
    """Only an engine that is named can contradict one."""
    assert resolved(manifest, method, engine)


@pytest.mark.parametrize(
    ("engine", "method", "overrides"),
    [
        (E.GREEDY, Beam(), {"beam_size": 4}),
        (E.BEAM, Beam(), {"beam_size": 1}),
        (E.GREEDY, SAMPLE, {}),
        (E.BEAM, SAMPLE, {}),
        (E.GREEDY, Diversity(2, 0.5), {}),
        (E.GREEDY, Alternatives(2), {}),
    ],
)
def test_an_engine_that_is_not_what_is_asked_for_is_refused(
    manifest: Manifest, engine: EnginePreference, method: Method, overrides: dict[str, int]
) -> None:
    """Neither side of a contradiction wins in silence."""
    assert refused(manifest, method, engine, **overrides) == ["engine"]


@pytest.mark.parametrize(
    ("request_fields", "overrides", "field"),
    [
        ({}, {"min_length": 1}, "decoding.min_length"),
        ({}, {"repetition_penalty": 1.5}, "decoding.repetition_penalty"),
        ({}, {"no_repeat_ngram_size": 2}, "decoding.no_repeat_ngram_size"),
        ({}, {"unknown_handling": "copy"}, "decoding.unknown_handling"),
        ({"prefixes": ("a",)}, {}, "texts.target_prefix"),
        ({"format": InputFormat.HTML}, {}, "format"),
        ({"terms": (Term("a", "b"),)}, {}, "terms"),
        ({"glossaries": ("a",)}, {}, "glossaries"),
        ({"protection": DEFAULT_PROTECTION}, {}, "protection"),
        ({"method": Alternatives(2)}, {}, "decoding.alternatives"),
        ({"engine": EnginePreference.NAT}, {}, "engine"),
    ],
)
def test_a_grammar_leaves_no_room_for_these(
    manifest: Manifest, request_fields: dict[str, Any], overrides: dict[str, Any], field: str
) -> None:
    """Each of them is named; what changes nothing is not."""
    asked = Request(("a",), DecodingOverrides(**overrides), grammar=Grammar(regex="a"), **request_fields)
    with pytest.raises(InvalidRequest) as error:
        settled(asked, manifest)
    assert field in [violation.field for violation in error.value.violations]
    plain = Request(("a",), grammar=Grammar(regex="a"), protection=NO_PROTECTION, format=InputFormat.PLAIN)
    assert settled(plain, manifest).beam_size == DEFAULTS.beam_size
