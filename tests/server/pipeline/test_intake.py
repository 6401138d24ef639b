"""The texts of a request on their way in, each of them or its own error."""

from typing import Any

import pytest

from dragoman.bundle.manifest import Decoding, LanguagePair, Limits, Texts
from dragoman.server.core.errors import InvalidRequest
from dragoman.server.core.limits import RequestLimits
from dragoman.server.core.requests import OnTooLong, Request, Splitting, TextSettings
from dragoman.server.pipeline.intake import SCORE, TRANSLATE, Intake, field_names
from dragoman.server.pipeline.workers import finished
from dragoman.server.text.preparing import PreparedText
from dragoman.server.text.tokenizer import Tokenizer

PAIR = LanguagePair("en", "pt")


@pytest.fixture
def intake(tokenizer: Tokenizer) -> Intake:
    limits = RequestLimits(
        max_texts=4, max_text_bytes=1_000, max_beam_size=1, max_hypotheses=1, backlog_tokens=1_000, max_terms=8
    )
    return Intake(tokenizer, limits, Limits(max_source_tokens=32, max_target_tokens=64))


def taken_in(intake: Intake, *texts: str, **fields: Any) -> list[PreparedText | InvalidRequest]:
    request = Request(texts, **fields)
    return finished(intake.prepare(request, intake.check(request), PAIR, Decoding(max_length=64)))


def fields_at_fault(outcomes: list[PreparedText | InvalidRequest]) -> list[str]:
    """The field that each outcome is refused for; empty for a text that is taken in."""
    return [text.violations[0].field if isinstance(text, InvalidRequest) else "" for text in outcomes]


def test_a_text_is_cut_as_the_request_says(intake: Intake) -> None:
    """Sentences by default; the whole of it where nothing is to be split."""
    [cut] = taken_in(intake, "The dog. The fox.")
    [whole] = taken_in(intake, "The dog. The fox.", splitting=Splitting.NONE)

    assert isinstance(cut, PreparedText)
    assert isinstance(whole, PreparedText)
    assert (cut.layout.segments, whole.layout.segments) == (("The dog.", "The fox."), ("The dog. The fox.",))


def test_a_request_goes_before_the_bundle(tokenizer: Tokenizer, intake: Intake) -> None:
    """Which says how texts are treated where the request does not."""
    settings = TextSettings.of(Texts("none", "truncate", translated=False))
    whole = Intake(tokenizer, intake._limits, intake._model_limits, settings)
    long = "the lazy dog " * 40

    [one, cut] = taken_in(whole, "The dog. The fox.", long)
    [two] = taken_in(whole, "The dog. The fox.", splitting=Splitting.SENTENCES)
    [error] = taken_in(whole, long, on_too_long=OnTooLong.REJECT)

    assert isinstance(one, PreparedText)
    assert isinstance(cut, PreparedText)
    assert isinstance(two, PreparedText)
    assert (len(one.ids), len(two.ids), len(cut.ids[0]), cut.truncated) == (1, 2, 32, {0})
    assert isinstance(error, InvalidRequest)


def test_each_text_has_its_own_error(intake: Intake) -> None:
    """Named as it stands in the message; those beside it are taken in."""
    long = "the lazy dog " * 40

    outcomes = taken_in(intake, "a", "x" * 1_001, long, on_too_long=OnTooLong.REJECT)

    assert fields_at_fault(outcomes) == ["", "texts[1].text", "texts[2].text"]


def test_a_prefix_belongs_to_its_text(intake: Intake, tokenizer: Tokenizer) -> None:
    """One that cannot be kept fails the text that it stands beside."""
    good, bad = taken_in(intake, "The dog.", "The fox. The box.", prefixes=("O", "A"))

    assert isinstance(good, PreparedText)
    assert good.prefix == tokenizer.encode_target("O")
    assert fields_at_fault([bad]) == ["texts[1].target_prefix"]


def test_given_translations_are_named_as_pairs(intake: Intake) -> None:
    """Both sides are checked, and neither is cut."""
    outcomes = taken_in(
        intake, "The dog. A fox.", "", "a", targets=("O cão. A raposa.", "a", "half \udc00"), splitting=Splitting.LINES
    )

    assert fields_at_fault(outcomes) == ["", "pairs[1].source", "pairs[2].target"]
    [good, *_] = outcomes
    assert isinstance(good, PreparedText)
    assert good.layout.segments == ("The dog. A fox.",)


@pytest.mark.parametrize(
    ("texts", "targets", "said"),
    [
        ((), None, "texts: empty: send at least one text"),
        ((), (), "pairs: empty: send at least one pair"),
        (("a",) * 5, None, "texts: 5 texts, the limit is 4"),
        (("a",) * 5, ("b",) * 5, "pairs: 5 texts, the limit is 4"),
    ],
)
def test_what_concerns_the_whole_request_is_raised(
    intake: Intake, texts: tuple[str, ...], targets: tuple[str, ...] | None, said: str
) -> None:
    """Before any text is looked at."""
    with pytest.raises(InvalidRequest, match=said):
        intake.check(Request(texts, targets=targets))


def test_names_are_those_of_the_message() -> None:
    """A request with given translations came as pairs."""
    assert (field_names(Request(())), field_names(Request((), targets=()))) == (TRANSLATE, SCORE)
    assert (TRANSLATE.of_text(2), SCORE.of_text(2, "target")) == ("texts[2].text", "pairs[2].target")
