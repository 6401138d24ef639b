"""Texts on their way in: checked, cut into segments and numbered."""

from typing import Any

import pytest

from dragoman.bundle.manifest import Decoding, LanguagePair, Limits
from dragoman.server.core.errors import InvalidRequest
from dragoman.server.core.protection import ProtectedSpan, SpanKind
from dragoman.server.core.requests import Splitting
from dragoman.server.core.spans import Span
from dragoman.server.pipeline.workers import finished
from dragoman.server.text.preparing import (
    MAX_SUPPRESSED_TOKENS,
    PreparedText,
    check_text,
    prepare,
    prepare_given,
    suppressed_ids,
    whole,
    with_prefix,
)
from dragoman.server.text.tokenizer import Tokenizer

PAIR = LanguagePair("en", "pt")


def prepared(tokenizer: Tokenizer, text: str, **changes: Any) -> PreparedText | InvalidRequest:
    settings: dict[str, Any] = {"splitting": Splitting.SENTENCES, "max_tokens": 32, "split_long": True, **changes}
    return finished(prepare(text, field="texts[0].text", tokenizer=tokenizer, pair=PAIR, **settings))


def given(tokenizer: Tokenizer, text: str, target: str) -> PreparedText | InvalidRequest:
    fields = "pairs[0].source", "pairs[0].target"
    return prepare_given(text, target, fields=fields, tokenizer=tokenizer, pair=PAIR, limits=Limits(32, 16))


def good(text: PreparedText | InvalidRequest) -> PreparedText:
    assert isinstance(text, PreparedText), text
    return text


def bad(text: PreparedText | InvalidRequest | str) -> InvalidRequest:
    assert isinstance(text, InvalidRequest), text
    return text


def test_each_sentence_is_a_segment(tokenizer: Tokenizer) -> None:
    """Numbered as the encoder reads it; what the model cannot read is kept as it stands."""
    text = good(prepared(tokenizer, " The dog.\n\u200b\nThe fox."))

    assert text.layout.segments == ("The dog.", "\u200b", "The fox.")
    assert text.ids == (tokenizer.encode("The dog."), (), tokenizer.encode("The fox."))
    assert text.decoded_ids == (text.ids[0], text.ids[2])
    assert text.source_tokens == len(text.ids[0]) + len(text.ids[2])


def test_the_end_of_a_sentence_that_is_too_long_may_be_left_out(tokenizer: Tokenizer) -> None:
    """It stays one segment, of which the model reads as much as it can, with its end token; a short one is whole."""
    long = "the lazy dog, " * 20 + "end"

    text = good(prepared(tokenizer, f"The fox.\n{long}", split_long=False, truncates=True))

    assert text.layout.segments == ("The fox.", long)
    assert text.ids[1] == (*tokenizer.encode(long)[:31], tokenizer.eos_id)
    assert (text.ids[0], text.truncated) == (tokenizer.encode("The fox."), {1})


def test_a_segment_of_which_nothing_would_be_read_is_an_error(tokenizer: Tokenizer) -> None:
    """Where there is room for what stands around a text alone."""
    settings = {"split_long": False, "truncates": True, "max_tokens": 1}

    assert "nothing of it would be read: the model reads at most 1" in str(bad(prepared(tokenizer, "Dogs", **settings)))
    refused = bad(prepared(tokenizer, "Dogs", **settings, is_for_memory=True))
    assert "memory has room for 1, decoded as this is asked for (--lane-memory)" in str(refused)


def test_what_is_not_read_to_its_end_keeps_no_spans(tokenizer: Tokenizer) -> None:
    """Those of a segment that is short enough are protected as ever."""
    text = f"%s the dog\n%s {'the lazy dog, ' * 20}"
    spans = [ProtectedSpan(Span(at, at + 2), SpanKind.PLACEHOLDER) for at in (0, 11)]

    found = good(
        prepared(tokenizer, text, splitting=Splitting.LINES, split_long=False, truncates=True, find=lambda _: spans)
    )

    assert (set(found.shown), found.truncated) == ({0}, {1})


def test_a_sentence_that_is_too_long_is_cut(tokenizer: Tokenizer) -> None:
    """Into segments that fit and that are the sentence again when joined."""
    sentence = "the lazy dog, " * 20 + "end"

    text = good(prepared(tokenizer, sentence))

    assert max(map(len, text.ids)) <= 32
    assert text.layout.join(text.layout.segments) == sentence


def test_or_refused_where_it_must_not_be(tokenizer: Tokenizer) -> None:
    """With the numbers and the way out."""
    refused = bad(prepared(tokenizer, "the lazy dog " * 20, split_long=False))

    assert str(refused).startswith("texts[0].text: a segment of ")
    assert "the model reads at most 32" in str(refused)


@pytest.mark.parametrize(
    ("text", "said"),
    [("half \udc00", "character 5 is half of a surrogate pair"), ("é" * 6, "12 bytes, the limit is 10")],
)
def test_what_is_no_text_or_too_large_is_not_taken_in(text: str, said: str) -> None:
    """A text of just the limit is."""
    assert said in str(bad(check_text(text, "texts[0].text", 10)))
    assert check_text("é" * 5, "texts[0].text", 10) == "é" * 5


@pytest.mark.parametrize(
    ("text", "said"),
    [("One. Two.", "cut into 2 segments"), ("One.\n\u200b", "cut into 2 segments"), (" ", "nothing to translate")],
)
def test_what_is_for_one_segment_is_refused_for_others(tokenizer: Tokenizer, text: str, said: str) -> None:
    """Invisible ones count, as they would stand beside it."""
    assert said in str(bad(whole(good(prepared(tokenizer, text)), field="f", what="a prefix")))


def test_a_prefix_stands_behind_what_the_model_wants_first(tokenizer: Tokenizer) -> None:
    """An empty one changes nothing."""
    text = good(prepared(tokenizer, "The dog."))

    prefixed = good(with_prefix(text, "O", field="f", tokenizer=tokenizer, decoding=Decoding(max_length=64)))

    assert prefixed.prefix == (*tokenizer.forced(PAIR), *tokenizer.encode_target("O"))
    assert with_prefix(text, "", field="f", tokenizer=tokenizer, decoding=Decoding()) is text


def test_a_prefix_must_leave_room_for_the_end(tokenizer: Tokenizer) -> None:
    """One that fills the translation to its limit could never be followed by it."""
    text = good(prepared(tokenizer, "The dog."))
    most = len(tokenizer.encode_target("O cão"))

    refused = bad(with_prefix(text, "O cão", field="f", tokenizer=tokenizer, decoding=Decoding(max_length=most)))

    assert f"{most} tokens, and the translation has room for {most} with its end" in str(refused)


def test_a_given_translation_is_numbered_beside_its_text(tokenizer: Tokenizer) -> None:
    """Neither is cut, whatever stands in it."""
    text = good(given(tokenizer, "The dog. A fox.", "O cão.\nA."))

    assert text.ids == (tokenizer.encode("The dog. A fox."),)
    assert text.target is not None
    assert (text.target.text, text.target.ids) == ("O cão.\nA.", tokenizer.encode_target("O cão.\nA."))


@pytest.mark.parametrize(
    ("text", "target", "field"),
    [
        ("\u200b", "a", "pairs[0].source"),
        ("the lazy dog " * 20, "a", "pairs[0].source"),
        ("a", "the lazy dog " * 10, "pairs[0].target"),
    ],
)
def test_a_pair_that_cannot_be_scored_names_its_side(tokenizer: Tokenizer, text: str, target: str, field: str) -> None:
    """Nothing to read, or more than the model can take."""
    assert [one.field for one in bad(given(tokenizer, text, target)).violations] == [field]


def test_suppressed_tokens_are_ids_each_once(tokenizer: Tokenizer) -> None:
    """In the order of the request."""
    assert suppressed_ids(("T", "▁do", "T"), tokenizer) == (tokenizer.token_id("T"), tokenizer.token_id("▁do"))


def test_all_that_is_wrong_with_them_is_said_at_once(tokenizer: Tokenizer) -> None:
    """By their positions; the end token must stay, or no translation would end."""
    with pytest.raises(InvalidRequest) as refused:
        suppressed_ids(("T", "nope", "</s>"), tokenizer)
    with pytest.raises(InvalidRequest, match=f"the limit is {MAX_SUPPRESSED_TOKENS}"):
        suppressed_ids(("T",) * (MAX_SUPPRESSED_TOKENS + 1), tokenizer)

    assert [one.field for one in refused.value.violations] == [
        "decoding.suppressed_tokens[1]",
        "decoding.suppressed_tokens[2]",
    ]
