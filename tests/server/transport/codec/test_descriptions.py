"""A model's description."""

from collections.abc import Callable

import pytest

from dragoman.bundle.manifest import Decoding, LanguagePair, Profile
from dragoman.bundle.profiles import PROFILES
from dragoman.server.core.requests import Request
from dragoman.server.pipeline.pipeline import Pipeline
from dragoman.server.transport.codec import descriptions, requests, supported
from dragoman.v1 import translation_pb2 as pb

DECODINGS = [
    Decoding(max_length=64),
    Decoding(
        profile="hf",
        beam_size=4,
        num_hypotheses=2,
        length_penalty=0.5,
        length_penalty_kind="gnmt",
        word_penalty=-0.25,
        coverage_penalty=0.25,
        early_stopping="exhaustive",
        min_length=3,
        max_length=32,
        max_length_factor=1.5,
        repetition_penalty=1.25,
        no_repeat_ngram_size=3,
        source_no_repeat_ngram_size=4,
        unknown_handling="copy",
    ),
]


@pytest.mark.parametrize("decoding", DECODINGS)
def test_a_models_own_decoding_is_a_legal_request(pipeline_of: Callable[..., Pipeline], decoding: Decoding) -> None:
    """What `Model.defaults` shows can be sent back and asks for the same."""
    pipeline = pipeline_of(manifest={"decoding": decoding})
    model = descriptions.model(pipeline, max_request_bytes=1, draining=False)
    message = pb.TranslateRequest(decoding=model.defaults)

    supported.check(message)
    request = requests.request(message, pair=LanguagePair("en", "pt"), deadline_s=None)

    assert {field.name for field, _ in model.defaults.ListFields()} == set(vars(decoding)) - {"forced_last_id"}
    assert pipeline.decoding(request) == pipeline.decoding(Request(())) == decoding
    assert (model.name, model.state, model.digest[:12]) == ("echo", pb.MODEL_STATE_SERVING, model.version)


@pytest.mark.parametrize("profile", PROFILES)
def test_a_models_own_profile_is_the_first(pipeline_of: Callable[..., Pipeline], profile: Profile) -> None:
    """The others follow: a request may name each of them."""
    model = descriptions.model(
        pipeline_of(manifest={"decoding": Decoding(profile=profile)}), max_request_bytes=1, draining=True
    )

    assert model.profiles[0] == profile
    assert sorted(model.profiles) == sorted(PROFILES)
    assert model.state == pb.MODEL_STATE_DRAINING


# One vocabulary for both sides, and a decoder that reads several words at a time: the source can be the draft.
DRAFTED = (pb.ENGINE_SPECULATIVE, pb.ENGINE_SPECULATIVE_LOSSY)


@pytest.mark.parametrize(
    ("beam_size", "most", "engines"),
    [
        (1, 8, [pb.ENGINE_GREEDY, pb.ENGINE_BEAM, pb.ENGINE_SAMPLING, *DRAFTED]),
        (4, 8, [pb.ENGINE_BEAM, pb.ENGINE_GREEDY, pb.ENGINE_SAMPLING, *DRAFTED]),
        (1, 1, [pb.ENGINE_GREEDY, pb.ENGINE_SAMPLING, *DRAFTED]),
    ],
)
def test_engines_are_listed_the_default_first(
    pipeline_of: Callable[..., Pipeline], beam_size: int, most: int, engines: list[int]
) -> None:
    """A server that allows no beam has none."""
    pipeline = pipeline_of(manifest={"decoding": Decoding(beam_size=beam_size)}, max_beam_size=most)

    assert list(descriptions.model(pipeline, max_request_bytes=1, draining=False).engines) == engines
