"""Which way a request goes: demands, wishes, deadlines, and what is refused by name."""

from dataclasses import replace
from typing import Any

import pytest

from dragoman.bundle.manifest import Decoding, Manifest, Nat
from dragoman.bundle.reader import Bundle
from dragoman.server.core.errors import InvalidRequest, ServingError, UnsupportedByModel
from dragoman.server.core.limits import Bounds
from dragoman.server.core.requests import (
    DecodingOverrides,
    EnginePreference,
    Grammar,
    NatOverrides,
    Output,
    Request,
    SpeculationOverrides,
)
from dragoman.server.core.strategies import Beam, DraftSource, Engine, Lossy, Method, Strategy
from dragoman.server.decode.strategies.alternatives import Alternatives
from dragoman.server.decode.strategies.diversity import Diversity
from dragoman.server.decode.strategies.labels import Labels
from dragoman.server.decode.strategies.methods import METHODS
from dragoman.server.decode.strategies.minimum_bayes_risk import MinimumBayesRisk
from dragoman.server.decode.strategies.nat import NonAutoregressive
from dragoman.server.decode.strategies.sampling import Sampling
from dragoman.server.decode.strategies.speculative import DRAFT_TOKENS, Speculative
from dragoman.server.planning.capabilities import draft_sources, engines, nat_decoders
from dragoman.server.planning.plans import Plan, choose, plans

E = EnginePreference
MASKED = Nat("mask-predict", 1, 64, mask_id=400, last_id=0, length_classes=16, block=8, passes=4, length_candidates=2)
CTC = Nat("ctc", 1, 64, canvas="split", upsample=2, blank_id=400)


@pytest.fixture
def manifest(bundle: Bundle) -> Manifest:
    """Both decoders, and one vocabulary for both sides."""
    return replace(bundle.manifest, nat={"ctc": CTC, "mask-predict": MASKED})


@pytest.fixture
def plain(bundle: Bundle) -> Manifest:
    """A recurrent decoder and no other."""
    return replace(bundle.manifest, architecture=replace(bundle.manifest.architecture, decoder="ssru"))


def found(manifest: Manifest, engine: EnginePreference = E.AUTO, **request: Any) -> list[Plan]:
    return plans(Request((), engine=engine, **request), Bounds(8, 12, manifest))


def one(manifest: Manifest, engine: EnginePreference, **request: Any) -> Plan:
    [plan] = found(manifest, engine, **request)
    return plan


def refused(manifest: Manifest, engine: EnginePreference, **request: Any) -> tuple[type[ServingError], str]:
    with pytest.raises((InvalidRequest, UnsupportedByModel)) as info:
        found(manifest, engine, **request)
    [violation] = info.value.violations
    return info.type, violation.field


def test_a_bundle_says_what_it_can_do(manifest: Manifest, plain: Manifest) -> None:
    """Decoders and drafts, the default first; a recurrent decoder verifies no drafts."""
    assert nat_decoders(manifest) == ["mask-predict", "ctc"]
    assert draft_sources(manifest) == [DraftSource.HYPOTHESIS, DraftSource.NAT, DraftSource.SOURCE]
    assert engines(manifest) == [Engine.SPECULATIVE, Engine.SPECULATIVE_LOSSY, Engine.NAT]
    assert (nat_decoders(plain), draft_sources(plain), engines(plain)) == ([], [], [])
    apart = replace(manifest, nat={"ctc": CTC}, tokenizer=replace(manifest.tokenizer, target="other.spm"))
    assert draft_sources(apart) == [DraftSource.HYPOTHESIS]


def test_demands_have_the_bundles_defaults(manifest: Manifest) -> None:
    """What the request does not set."""
    assert one(manifest, E.NAT).strategy == NonAutoregressive("mask-predict", 4, 2)
    assert one(manifest, E.NAT, nat=NatOverrides(decoder="ctc")).strategy == NonAutoregressive("ctc")
    assert one(manifest, E.SPECULATIVE).strategy == Speculative(DraftSource.HYPOTHESIS, DRAFT_TOKENS, "ctc")
    blocks = one(manifest, E.SPECULATIVE, speculation=SpeculationOverrides(DraftSource.NAT)).strategy
    assert blocks == Speculative(DraftSource.NAT, DRAFT_TOKENS, "mask-predict")


def test_demands_have_what_the_request_sets(manifest: Manifest) -> None:
    """Every field arrives."""
    nat = NatOverrides(passes=2, length_scale=1.5, length_candidates=5, rescore=True)
    assert one(manifest, E.NAT, nat=nat).strategy == NonAutoregressive("mask-predict", 2, 5, 1.5, None, rescore=True)
    exact = NatOverrides(exact_length=9)
    assert one(manifest, E.NAT, nat=exact).strategy == NonAutoregressive("mask-predict", 4, 1, exact_length=9)
    drafts = SpeculationOverrides(DraftSource.SOURCE, 8, Lossy(3, 1.0))
    plan = one(manifest, E.SPECULATIVE, speculation=drafts)
    assert plan.strategy == Speculative(DraftSource.SOURCE, 8, "", Lossy(3, 1.0))


def test_a_bundles_beam_is_not_one_of_ctc(manifest: Manifest) -> None:
    """Only a request's own is; more texts than lengths are tried ask for more lengths."""
    wide = replace(manifest, decoding=Decoding(beam_size=4, num_hypotheses=2))
    assert one(wide, E.NAT, nat=NatOverrides(decoder="ctc")).decoding.beam_size == 1
    beam = one(wide, E.NAT, overrides=DecodingOverrides(beam_size=5, num_hypotheses=3))
    assert (beam.strategy, beam.decoding.beam_size, beam.decoding.num_hypotheses) == (NonAutoregressive("ctc"), 5, 3)
    several = one(wide, E.NAT, overrides=DecodingOverrides(num_hypotheses=3))
    assert several.strategy == NonAutoregressive("mask-predict", 4, 3)
    assert (several.decoding.beam_size, several.decoding.num_hypotheses) == (1, 3)


@pytest.mark.parametrize("engine", [E.SPECULATIVE, E.NAT])
def test_what_the_model_lacks_is_refused_with_what_it_has(
    plain: Manifest, manifest: Manifest, engine: EnginePreference
) -> None:
    """Another model could do it."""
    with pytest.raises(UnsupportedByModel, match=r"^engine: this model has no .*: it has greedy and beam search$"):
        found(plain, engine)
    without = replace(manifest, nat={})
    with pytest.raises(UnsupportedByModel, match=r"it has greedy and beam search and speculative$"):
        found(without, E.NAT)


def test_a_bundle_without_search_has_one_way(manifest: Manifest) -> None:
    """All wishes come to it; what names another engine, or asks for what a search does, is refused."""
    graphs = {name: graph for name, graph in manifest.graphs.items() if name != "step"}
    alone = replace(manifest, graphs=graphs)
    for engine in (E.AUTO, E.QUALITY, E.BALANCED, E.FAST, E.NAT):
        assert one(alone, engine, deadline_s=5.0).engine is Engine.NAT
    for engine in (E.GREEDY, E.BEAM, E.SPECULATIVE):
        with pytest.raises(UnsupportedByModel, match=rf"no {engine.value} decoding: it has nat$"):
            found(alone, engine)
    assert refused(alone, E.AUTO, method=Sampling(1)) == (InvalidRequest, "engine")
    assert refused(alone, E.AUTO, nat=NatOverrides(rescore=True)) == (UnsupportedByModel, "nat.rescore")
    assert engines(alone) == [Engine.NAT]


LACKING: list[tuple[str, dict[str, Any]]] = [
    ("nat.decoder", {"nat": NatOverrides(decoder="levenshtein")}),
    ("nat.passes", {"nat": NatOverrides(decoder="ctc", passes=2)}),
    ("nat.length_scale", {"nat": NatOverrides(decoder="ctc", length_scale=2.0)}),
    ("nat.exact_length", {"nat": NatOverrides(decoder="ctc", exact_length=2)}),
    ("nat.length_candidates", {"nat": NatOverrides(decoder="ctc", length_candidates=2)}),
    ("decoding.min_length", {"nat": NatOverrides(decoder="ctc"), "overrides": DecodingOverrides(min_length=2)}),
    ("texts.target_prefix", {"nat": NatOverrides(decoder="ctc"), "prefixes": ("a",)}),
    ("output.alignments", {"output": Output(alignments=True)}),
    ("decoding.unknown_handling", {"overrides": DecodingOverrides(unknown_handling="copy")}),
    ("output.token_scores", {"output": Output(token_scores=True), "overrides": DecodingOverrides(beam_size=2)}),
]


@pytest.mark.parametrize(("field", "request_"), LACKING)
def test_what_no_decoder_of_the_model_can_is_refused(manifest: Manifest, field: str, request_: dict[str, Any]) -> None:
    """By name: nothing is dropped in silence."""
    assert refused(manifest, E.NAT, **request_) == (
        (UnsupportedByModel, field) if field != "output.token_scores" else (InvalidRequest, "decoding.beam_size")
    )


def test_a_beam_of_ctc_has_no_scores_of_tokens(manifest: Manifest) -> None:
    """Many ways lead to a text."""
    only = replace(manifest, nat={"ctc": CTC})
    wanted = {"output": Output(token_scores=True), "overrides": DecodingOverrides(beam_size=2)}
    assert refused(only, E.NAT, **wanted) == (UnsupportedByModel, "output.token_scores")


def test_scoring_again_needs_a_decoder_that_reads_whole_texts(plain: Manifest) -> None:
    """A recurrent one does not."""
    recurrent = replace(plain, nat={"ctc": CTC})
    assert refused(recurrent, E.NAT, nat=NatOverrides(rescore=True)) == (UnsupportedByModel, "nat.rescore")


NONSENSE: list[tuple[EnginePreference, str, dict[str, Any]]] = [
    (E.NAT, "nat.passes", {"nat": NatOverrides(passes=0)}),
    (E.NAT, "nat.passes", {"nat": NatOverrides(passes=65)}),
    (E.AUTO, "nat.passes", {"nat": NatOverrides(passes=0)}),
    (E.NAT, "nat.length_scale", {"nat": NatOverrides(length_scale=float("nan"))}),
    (E.NAT, "nat.length_candidates", {"nat": NatOverrides(length_candidates=17)}),
    (E.NAT, "nat.exact_length", {"nat": NatOverrides(exact_length=64)}),
    (E.NAT, "nat.exact_length", {"nat": NatOverrides(exact_length=0)}),
    (E.NAT, "nat.length_scale", {"nat": NatOverrides(exact_length=4, length_scale=1.0)}),
    (E.NAT, "engine", {"method": Sampling(1)}),
    (E.NAT, "decoding.repetition_penalty", {"overrides": DecodingOverrides(repetition_penalty=1.5)}),
    (E.NAT, "decoding.length_penalty", {"overrides": DecodingOverrides(length_penalty=0.5)}),
    (E.NAT, "decoding.profile", {"overrides": DecodingOverrides(profile="fairseq")}),
    (
        E.NAT,
        "decoding.num_hypotheses",
        {"nat": NatOverrides(length_candidates=2), "overrides": DecodingOverrides(num_hypotheses=3)},
    ),
    (E.SPECULATIVE, "engine", {"method": Diversity(1, 1.0)}),
    (E.SPECULATIVE, "engine", {"overrides": DecodingOverrides(beam_size=2)}),
    (E.SPECULATIVE, "speculation.draft_tokens", {"speculation": SpeculationOverrides(draft_tokens=17)}),
    (E.SPECULATIVE, "speculation.lossy.top", {"speculation": SpeculationOverrides(lossy=Lossy(1, 1.0))}),
    (E.SPECULATIVE, "speculation.lossy.margin", {"speculation": SpeculationOverrides(lossy=Lossy(2, -1.0))}),
    (E.AUTO, "speculation.lossy", {"speculation": SpeculationOverrides(lossy=Lossy(2, 1.0))}),
    (E.GREEDY, "nat", {"nat": NatOverrides(passes=2)}),
    (E.AUTO, "nat", {"nat": NatOverrides(passes=2), "method": Sampling(1)}),
    (E.FAST, "nat", {"nat": NatOverrides(passes=2), "method": MinimumBayesRisk(4)}),
    (E.AUTO, "speculation", {"speculation": SpeculationOverrides(draft_tokens=2), "method": Sampling(1)}),
    (E.NAT, "speculation", {"speculation": SpeculationOverrides(draft_tokens=2)}),
    (E.QUALITY, "speculation", {"speculation": SpeculationOverrides(draft_tokens=2)}),
]


@pytest.mark.parametrize(("engine", "field", "request_"), NONSENSE)
def test_what_makes_no_sense_is_refused(
    manifest: Manifest, engine: EnginePreference, field: str, request_: dict[str, Any]
) -> None:
    """Out of range, or without a meaning beside the rest."""
    assert refused(manifest, engine, **request_) == (InvalidRequest, field)


def test_all_reasons_come_at_once(manifest: Manifest) -> None:
    """Settings and the fields of other engines, whatever was looked at first."""
    with pytest.raises(InvalidRequest) as info:
        found(
            manifest,
            E.GREEDY,
            overrides=DecodingOverrides(length_penalty=float("nan"), num_hypotheses=0),
            nat=NatOverrides(passes=0),
            speculation=SpeculationOverrides(draft_tokens=99),
        )

    fields = [violation.field for violation in info.value.violations]
    assert {"decoding.length_penalty", "decoding.num_hypotheses", "nat.passes", "speculation.draft_tokens"} < {*fields}
    assert "nat" in fields


def test_penalties_rank_what_is_scored_again(manifest: Manifest) -> None:
    """There the autoregressive decoder's scores count."""
    wanted = {"nat": NatOverrides(rescore=True), "overrides": DecodingOverrides(length_penalty=0.5)}
    assert one(manifest, E.NAT, **wanted).decoding.length_penalty == 0.5


@pytest.mark.parametrize(
    ("engine", "beam", "deadline_s", "expected"),
    [
        (E.AUTO, 1, None, [Speculative]),
        (E.AUTO, 4, None, [Beam]),
        (E.AUTO, 1, 5.0, [Speculative, NonAutoregressive]),
        (E.AUTO, 4, 5.0, [Beam, Speculative, NonAutoregressive]),
        (E.BALANCED, 4, 5.0, [Speculative]),
        (E.QUALITY, 1, 5.0, [Beam]),
        (E.GREEDY, 1, 5.0, [Beam]),
        (E.FAST, 4, None, [Speculative, NonAutoregressive]),
    ],
)
def test_wishes_leave_several_ways(
    manifest: Manifest, engine: EnginePreference, beam: int, deadline_s: float | None, expected: list[type[Strategy]]
) -> None:
    """The best translation first."""
    own = replace(manifest, decoding=Decoding(beam_size=beam))
    assert [type(plan.strategy) for plan in found(own, engine, deadline_s=deadline_s)] == expected


def test_wishes_give_way_to_what_is_asked_for(manifest: Manifest, plain: Manifest) -> None:
    """Draws, and what the other decoder cannot do; a bundle without decoders that draft keeps to greedy search."""
    assert [plan.strategy for plan in found(manifest, E.FAST, method=Sampling(1))] == [Sampling(1)]
    several = found(
        manifest, E.FAST, output=Output(alignments=True), overrides=DecodingOverrides(repetition_penalty=2.0)
    )
    assert [type(plan.strategy) for plan in several] == [Speculative]
    assert [plan.strategy for plan in found(plain, E.FAST)] == [Beam()]
    source_only = replace(manifest, nat={})
    assert [plan.strategy for plan in found(source_only, E.BALANCED)] == [Beam()]


@pytest.mark.parametrize("engine", [E.AUTO, E.BALANCED, E.FAST])
def test_drafts_that_the_model_lacks_are_refused_under_a_wish(manifest: Manifest, engine: EnginePreference) -> None:
    """What is set is not passed over because nobody demanded speculation."""
    only = replace(manifest, nat={"ctc": CTC})
    drafts = SpeculationOverrides(DraftSource.NAT)

    assert refused(only, engine, speculation=drafts) == (UnsupportedByModel, "speculation.draft")


def test_fast_asks_for_one_pass(manifest: Manifest) -> None:
    """Unless the request says how many; of CTC where that can do what else is asked for."""
    assert found(manifest, E.FAST)[1].strategy == NonAutoregressive("ctc", 1)
    longer = NatOverrides(length_scale=1.5)
    assert found(manifest, E.FAST, nat=longer)[1].strategy == NonAutoregressive("mask-predict", 1, 2, 1.5)
    only = replace(manifest, nat={"mask-predict": MASKED})
    assert found(only, E.FAST)[1].strategy == NonAutoregressive("mask-predict", 1, 2)
    assert found(manifest, E.FAST, nat=NatOverrides(passes=3))[1].strategy == NonAutoregressive("mask-predict", 3, 2)


EXAMPLES: dict[str, Method] = {
    "": Beam(),
    "sampling": Sampling(),
    "diversity": Diversity(2),
    "alternatives": Alternatives(2),
    "minimum_bayes_risk": MinimumBayesRisk(4),
    "choice": Labels(("a", "b"), 2),
}


def test_every_method_has_an_example_below() -> None:
    """A new one is tested with every preference without anyone thinking of it."""
    assert set(EXAMPLES) == {"", *METHODS}


def outcome(manifest: Manifest, engine: EnginePreference, **request: Any) -> list[Plan] | ServingError:
    try:
        return found(manifest, engine, **request)
    except ServingError as error:
        return error


@pytest.mark.parametrize("engine", list(E))
@pytest.mark.parametrize("field", EXAMPLES)
@pytest.mark.parametrize("kind", ["both", "plain", "nat only"])
@pytest.mark.parametrize("deadline_s", [None, 5.0])
def test_every_method_goes_with_an_engine_or_is_refused_by_name(
    manifest: Manifest, plain: Manifest, field: str, engine: EnginePreference, kind: str, deadline_s: float | None
) -> None:
    """Whatever the bundle has: there are plans, or an error that names a field and says why."""
    alone = replace(manifest, graphs={name: graph for name, graph in manifest.graphs.items() if name != "step"})
    bundle = {"both": manifest, "plain": plain, "nat only": alone}[kind]

    made = outcome(bundle, engine, method=EXAMPLES[field], deadline_s=deadline_s)

    if isinstance(made, InvalidRequest | UnsupportedByModel):
        assert all(violation.field and violation.message for violation in made.violations)
    else:
        assert isinstance(made, list)
        assert made


@pytest.mark.parametrize("engine", list(E))
@pytest.mark.parametrize("field", EXAMPLES)
def test_a_grammar_is_searched_or_refused_by_name(manifest: Manifest, field: str, engine: EnginePreference) -> None:
    """Nothing is drafted, and nothing goes without autoregression."""
    made = outcome(manifest, engine, method=EXAMPLES[field], grammar=Grammar(regex="a"), deadline_s=5.0)

    if isinstance(made, list):
        assert field in ("", "sampling", "diversity")
        assert {plan.engine for plan in made} <= {Engine.GREEDY, Engine.BEAM, Engine.SAMPLING}
    else:
        assert isinstance(made, InvalidRequest)
        assert all(violation.field and violation.message for violation in made.violations)
        assert field in ("diversity", "alternatives", "minimum_bayes_risk", "choice") or engine in (
            E.GREEDY,
            E.SPECULATIVE,
            E.NAT,
            E.BEAM,
        )


def test_a_model_without_a_search_has_no_grammars(manifest: Manifest) -> None:
    """It says so."""
    alone = replace(manifest, graphs={name: graph for name, graph in manifest.graphs.items() if name != "step"})
    made = outcome(alone, E.AUTO, grammar=Grammar(regex="a"))
    assert isinstance(made, UnsupportedByModel)
    assert made.violations[0].field == "decoding.grammar"


BEAM, GREEDY, NAT = (
    Plan(Beam(), Decoding(beam_size=4)),
    Plan(Speculative(DraftSource.NAT, 4), Decoding()),
    Plan(NonAutoregressive("ctc"), Decoding()),
)


@pytest.mark.parametrize(
    ("paces", "remaining_s", "is_fastest", "expected"),
    [
        ({Engine.BEAM: 0.01, Engine.SPECULATIVE: 0.004, Engine.NAT: 0.001}, None, False, BEAM),
        ({Engine.BEAM: 0.01, Engine.SPECULATIVE: 0.004, Engine.NAT: 0.001}, 0.25, False, BEAM),
        ({Engine.BEAM: 0.01, Engine.SPECULATIVE: 0.004, Engine.NAT: 0.001}, 0.15, False, GREEDY),
        ({Engine.BEAM: 0.01, Engine.SPECULATIVE: 0.004, Engine.NAT: 0.001}, 0.05, False, NAT),
        ({Engine.BEAM: 0.01, Engine.SPECULATIVE: 0.004, Engine.NAT: 0.001}, 0.001, False, NAT),  # none is in time
        ({Engine.BEAM: 0.01}, 0.05, False, GREEDY),  # what has not run lately is tried
        ({}, 0.001, False, BEAM),
        ({Engine.BEAM: 0.01, Engine.SPECULATIVE: 0.001, Engine.NAT: 0.004}, None, True, GREEDY),
        ({Engine.BEAM: 0.01, Engine.SPECULATIVE: 0.004}, None, True, NAT),
        ({}, None, True, NAT),
    ],
)
def test_the_first_way_in_time_is_gone(
    paces: dict[Engine, float], remaining_s: float | None, *, is_fastest: bool, expected: Plan
) -> None:
    """Of twenty source tokens; or the fastest way where that is asked for, or none is in time."""
    plan = choose(
        [BEAM, GREEDY, NAT], is_fastest=is_fastest, tokens=20, remaining_s=remaining_s, seconds_per_token=paces.get
    )

    assert plan is expected


@pytest.fixture
def several(manifest: Manifest) -> Manifest:
    """A recurrent decoder that searches by default, beside one of self-attention and those without autoregression."""
    graphs = manifest.graphs | {f"ssru.{name}": manifest.graphs[name] for name in ("encoder", "step")}
    recurrent = replace(manifest.architecture, decoder="ssru")
    return replace(manifest, siblings={"ssru": recurrent}, searcher="ssru", graphs=graphs)


@pytest.mark.parametrize(
    ("engine", "fields", "engines", "decoders"),
    [
        (E.AUTO, {}, ["greedy"], ["ssru"]),
        (E.AUTO, {"deadline_s": 1.0}, ["greedy", "nat"], ["ssru", None]),
        (E.QUALITY, {}, ["beam"], ["ssru"]),
        (E.BALANCED, {}, ["greedy"], ["ssru"]),
        (E.FAST, {}, ["greedy", "nat"], ["ssru", None]),
        (E.GREEDY, {}, ["greedy"], ["ssru"]),
        (E.BEAM, {}, ["beam"], ["ssru"]),
        (E.AUTO, {"method": Sampling(3)}, ["sampling"], ["ssru"]),
        (E.SPECULATIVE, {}, ["speculative"], [None]),
        (E.NAT, {}, ["nat"], [None]),
        (E.NAT, {"nat": NatOverrides(rescore=True)}, ["nat"], [None]),
        # What a request names, or cannot do without.
        (E.AUTO, {"decoder": "self-attention"}, ["speculative"], [None]),
        (E.FAST, {"decoder": "self-attention"}, ["speculative", "nat"], [None, None]),
        (E.GREEDY, {"decoder": "self-attention"}, ["greedy"], [None]),
        (E.QUALITY, {"decoder": "self-attention"}, ["beam"], [None]),
        (E.GREEDY, {"decoder": "ssru"}, ["greedy"], ["ssru"]),
        (E.BALANCED, {"speculation": SpeculationOverrides(draft_tokens=3)}, ["speculative"], [None]),
    ],
)
def test_a_bundle_of_several_decoders_searches_with_its_default(
    several: Manifest, engine: EnginePreference, fields: dict[str, Any], engines: list[str], decoders: list[str | None]
) -> None:
    """But for a request that names another, or that has to do with speculation."""
    plans_found = found(several, engine, **fields)

    assert [plan.engine.value for plan in plans_found] == engines
    assert [plan.decoder for plan in plans_found] == decoders


def test_decoders_that_are_not_there_or_have_no_use_are_refused(several: Manifest, manifest: Manifest) -> None:
    """By name; a bundle of one decoder has that one."""
    assert refused(several, E.AUTO, decoder="lstm") == (UnsupportedByModel, "decoder")
    assert refused(several, E.NAT, decoder="self-attention") == (InvalidRequest, "decoder")
    assert refused(several, E.SPECULATIVE, decoder="ssru") == (UnsupportedByModel, "engine")
    drafts = SpeculationOverrides(draft_tokens=3)
    assert refused(several, E.AUTO, decoder="ssru", speculation=drafts) == (UnsupportedByModel, "speculation")
    assert one(manifest, E.GREEDY, decoder="self-attention") == one(manifest, E.GREEDY)
    assert refused(manifest, E.GREEDY, decoder="ssru") == (UnsupportedByModel, "decoder")


def test_a_bundle_of_several_decoders_can_do_what_each_of_them_can(several: Manifest, manifest: Manifest) -> None:
    """Drafts are verified by the one that reads several words at a time."""
    assert draft_sources(several) == draft_sources(manifest)
    assert engines(several) == engines(manifest)
    assert draft_sources(several.of("ssru")) == []
