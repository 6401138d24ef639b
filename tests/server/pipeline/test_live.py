"""Texts that are still being written: what is said of them, and that it stays."""

import random
from dataclasses import replace

import pytest

from dragoman.server.core.errors import DeadlineExceeded, InvalidRequest
from dragoman.server.core.requests import Grammar, InputFormat, Live, Output, Request, Splitting
from dragoman.server.core.segments import FinishReason
from dragoman.server.decode.strategies.sampling import Sampling
from dragoman.server.pipeline.live import NOTHING, LiveText, check, grown

pytestmark = pytest.mark.asyncio


def translation(text):
    return replace(NOTHING, hypotheses=(replace(NOTHING.hypotheses[0], text=text),), finish_reason=FinishReason.STOP)


class Fickle:
    """A model that changes its mind at the end of what it has read, and goes on with what it has to."""

    def __init__(self, rng=None, obeys=True):
        self.rng, self.obeys, self.asked = rng or random.Random(0), obeys, []

    async def __call__(self, request):
        [source] = request.texts
        prefix = request.prefixes[0] if request.prefixes else ""
        self.asked.append((source, prefix))
        assert request.live is None
        words = [word.upper() for word in source.split()]
        if words and self.rng.random() < 0.7:
            words[-1] = self.rng.choice(("MAYBE", "PERHAPS", "WELL"))
        if self.rng.random() < 0.3:
            words.append("AND")
        if not self.obeys:
            return [translation(" ".join(words))]
        behind = words[len(prefix.split()) :]
        return [translation(" ".join([prefix, *behind] if prefix else behind))]


def steps(text, rng):
    """The text as it is written: by letters, words, or more at once."""
    reached = 0
    while reached < len(text):
        reached = min(len(text), reached + rng.choice((1, 1, 3, 9, 30)))
        yield text[:reached]


TEXT = "The dog is here. It barks, loudly!  And then?\nNobody knows what the dog will do next. Nothing"


@pytest.mark.parametrize("seed", range(60))
@pytest.mark.parametrize("wait", [None, 1, 2, 5])
@pytest.mark.parametrize("obeys", [True, False])
async def test_nothing_that_was_said_is_taken_back(seed, wait, obeys):
    """However the text comes, and whether the model goes on with what was said or not."""
    rng = random.Random(seed)
    model, said = Fickle(rng, obeys), ""
    text = LiveText(model)
    for written in steps(TEXT, rng):
        found = await text.read(Request((written,), live=Live(wait)), is_whole=False)
        now = found.hypotheses[0].text
        assert now.startswith(said)
        said = now

    found = await text.read(Request((TEXT,), live=Live(wait)), is_whole=True)

    assert found.hypotheses[0].text.startswith(said)
    assert len(found.hypotheses[0].text.split()) >= len(TEXT.split())
    assert "  " in found.hypotheses[0].text, "white space between sentences stays"
    assert "\n" in found.hypotheses[0].text


class Plain(Fickle):
    """A model that says each word as it is."""

    async def __call__(self, request):
        self.asked.append((request.texts[0], request.prefixes[0] if request.prefixes else ""))
        return [translation(request.texts[0])]


async def said_of(text, written, wait, *, is_whole=False):
    found = await text.read(Request((written,), live=Live(wait)), is_whole=is_whole)
    return found.hypotheses[0].text


async def test_the_same_words_twice_are_one_opinion():
    """Letters of a word that is not read yet bring no second translation that would agree with the first."""
    model = Plain()
    text = LiveText(model)

    said = [await said_of(text, written, None) for written in ("The do", "The dog", "The dog i", "The dog is h")]

    assert said == ["", "", "The", "The dog"]
    assert [source for source, _ in model.asked] == ["The", "The dog", "The dog is"]


async def test_wait_stays_behind_by_so_many_words():
    """From the first on, until the sentence is whole; a word without white space behind it is not read."""
    text = LiveText(Plain())
    assert await said_of(text, "a b", 3) == ""
    assert await said_of(text, "a b c", 3) == ""
    assert await said_of(text, "a b c ", 3) == "a"
    assert await said_of(text, "a b c d e ", 3) == "a b c"
    assert await said_of(text, "a b c d e", 3, is_whole=True) == "a b c d e"


async def test_agreement_says_what_two_translations_have_in_common():
    """And a sentence to its end when another one follows, the next one anew."""
    text = LiveText(Plain())
    assert await said_of(text, "The dog ", None) == ""
    assert await said_of(text, "The dog barks ", None) == "The dog"
    assert await said_of(text, "The dog barks loudly. The", None) == "The dog barks loudly."
    assert await said_of(text, "The dog barks loudly. The fox ", None) == "The dog barks loudly."
    assert await said_of(text, "The dog barks loudly. The fox is ", None) == "The dog barks loudly. The fox"


async def test_what_was_said_is_the_prefix_of_what_follows():
    """And a sentence that is whole is not translated again."""
    model = Plain()
    text = LiveText(model)
    whole = "The dog barks loudly."
    for written in ("The dog barks loudly ", f"{whole} The fox is ", f"{whole} The fox is here "):
        await said_of(text, written, 2)
    assert model.asked == [
        ("The dog barks loudly", ""),
        (whole, "The dog barks"),
        ("The fox is", ""),
        ("The fox is here", "The fox"),
    ]


async def test_what_was_translated_may_not_change():
    """What stands in the sentence that is being written may."""
    text = LiveText(Plain())
    await said_of(text, "The dog barks. The fox ", 1)
    said = await said_of(text, "The dog barks. The cat ", 1)
    assert said == "The dog barks. The fox", "what was said stays all the same"
    with pytest.raises(InvalidRequest) as caught:
        await said_of(text, "The cat barks. The fox ", 1)
    assert caught.value.violations[0].field == "texts[0].text"


async def test_errors_are_those_of_the_text():
    """Where the model cannot go on with what was said, the sentence is translated without it."""

    class Failing(Plain):
        async def __call__(self, request):
            if request.prefixes:
                return [InvalidRequest("texts[0].target_prefix", "no token for a part of it")]
            return await super().__call__(request)

    text = LiveText(Failing())
    assert await said_of(text, "A b c ", 2) == "A b"
    assert await said_of(text, "A b c d ", 2) == "A b c"

    async def late(request):
        return [DeadlineExceeded()]

    assert isinstance(await LiveText(late).read(Request(("A b ",), live=Live()), is_whole=True), DeadlineExceeded)


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"texts": ("a", "b")}, "texts"),
        ({"prefixes": ("a",)}, "texts.target_prefix"),
        ({"contexts": ("a",)}, "texts.context"),
        ({"format": InputFormat.HTML}, "format"),
        ({"splitting": Splitting.LINES}, "splitting"),
        ({"output": Output(alignments=True)}, "output"),
        ({"method": Sampling()}, "decoding"),
        ({"grammar": Grammar(regex="a")}, "decoding"),
        ({"live": Live(0)}, "live.wait"),
        ({"live": Live(101)}, "live.wait"),
    ],
)
async def test_what_a_growing_translation_has_no_room_for_is_refused(fields, field):
    """By name."""
    with pytest.raises(InvalidRequest) as caught:
        check(Request(**{"texts": ("a",), "live": Live(), **fields}))
    assert [violation.field for violation in caught.value.violations] == [field]


async def test_what_is_behind_what_was_said():
    """By words, where a translation does not begin with it."""
    assert grown("a b", "a b c") == "a b c"
    assert grown("a b", "x y c d") == "a b c d"
    assert grown("a b", "x") == "a b"
    assert grown("", "x y") == "x y"
