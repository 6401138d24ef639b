"""What is remembered of segments, and what is taken for another."""

import dataclasses
import random
import tracemalloc
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from dragoman.bundle.manifest import Decoding
from dragoman.server.core.label_tree import LabelTree
from dragoman.server.core.segments import Decoded, FinishReason, Hypothesis, Priority, Segment, Work
from dragoman.server.core.strategies import Beam, Engine
from dragoman.server.decode.strategies.sampling import Sampling
from dragoman.server.pipeline.cache import BundleCache, Cache

PLAIN = Segment((5, 6, 0), Decoding(max_length=64))


def bundle_cache(cache: Cache, digest: str = "abc") -> BundleCache:
    remembered = cache.of("model", digest)
    assert remembered is not None
    return remembered


def decoded(*ids: int, number: int = 1, attention: bool = False) -> Decoded:
    """Hypotheses of such ids, decoded in a second and a half."""
    logps = tuple(-n / 3 for n in range(len(ids) + 1))
    paid = np.full((len(ids) + 1, 3), 0.25, np.float32) if attention else None
    hypotheses = tuple(
        Hypothesis(ids, sum(logps), -0.1 - rank, FinishReason.STOP, logps, paid) for rank in range(number)
    )
    return Decoded(hypotheses, Engine.BEAM, 7, 1.0, 0.5, 1.0, Work(1, 2, 3))


def test_what_was_decoded_comes_back_and_takes_nothing() -> None:
    """To the last bit; the time and the work were another request's."""
    cache = bundle_cache(Cache(100_000))
    made = decoded(8, 70_000, 9, number=3, attention=True)
    cache.remember(PLAIN, made)

    again = cache.recall(PLAIN)

    assert again == replace(made, steps=0, queue_s=0.0, encode_s=0.0, decode_s=0.0, work=Work(), is_remembered=True)
    assert again is not None
    for one, other in zip(again.hypotheses, made.hypotheses, strict=True):
        assert one.attention is not None
        assert one.attention is not other.attention
        np.testing.assert_array_equal(one.attention, other.attention)


OTHER: dict[str, Any] = {
    "ids": (5, 7, 0),
    "decoding": Decoding(max_length=63),
    "strategy": Sampling(3),
    "decoder": "ssru",
    "prefix": (4,),
    "suppressed_ids": (9,),
    "attention": True,
    "copies": (5, 400, 0),
    "stops_loops": True,
    "phrasing": LabelTree(((5,),), (), 1, 0),
}
SAME: dict[str, Any] = {"deadline_s": 17.0, "priority": Priority.BATCH, "bulk": True}


@pytest.mark.parametrize("field", [field.name for field in dataclasses.fields(Segment)])
def test_each_field_of_a_segment_matters_or_does_not(field: str) -> None:
    """When it must be there, and beside whom it waits, changes nothing of what comes of it."""
    cache = bundle_cache(Cache(100_000))
    cache.remember(PLAIN, decoded(8))

    found = cache.recall(replace(PLAIN, **{field: (OTHER | SAME)[field]}))

    assert (found is not None) == (field in SAME)


def test_bundles_have_nothing_in_common() -> None:
    """Not even two versions of one model."""
    cache = Cache(100_000)
    bundle_cache(cache, "abc").remember(PLAIN, decoded(8))

    assert bundle_cache(cache, "abd").recall(PLAIN) is None
    assert bundle_cache(cache, "abc").recall(PLAIN) is not None


def test_no_collision_answers() -> None:
    """Equal hashes are not equal segments."""

    @dataclasses.dataclass(frozen=True)
    class Colliding(Beam):
        number: int

        def __hash__(self) -> int:
            return 1

    cache = bundle_cache(Cache(10_000_000))
    segments = [replace(PLAIN, strategy=Colliding(number)) for number in range(50)]
    for number, segment in enumerate(segments[:40]):
        cache.remember(segment, decoded(number))

    found = [cache.recall(segment) for segment in segments]

    assert [one.hypotheses[0].ids for one in found if one is not None] == [(number,) for number in range(40)]


def test_the_bound_holds_and_what_is_in_use_stays() -> None:
    """Whatever is kept, how often; what was asked for longest ago goes first."""
    dice, cache = random.Random(5), Cache(60_000)
    remembered = bundle_cache(cache)
    hot = replace(PLAIN, ids=(1, 2, 3))
    remembered.remember(hot, decoded(1))

    for _ in range(500):
        ids = tuple(dice.randrange(60_000) for _ in range(dice.randrange(1, 90)))
        remembered.remember(replace(PLAIN, ids=ids), decoded(*ids, number=dice.randrange(1, 5)))
        assert cache.num_bytes <= 60_000
        assert remembered.recall(hot) is not None

    assert len(cache) > 5
    assert cache.num_bytes == sum(entry.num_bytes for entry in cache._entries.values())


def test_what_is_too_large_displaces_nothing() -> None:
    """It would leave nothing else."""
    cache = Cache(5_000)
    remembered = bundle_cache(cache)
    remembered.remember(PLAIN, decoded(8))

    remembered.remember(replace(PLAIN, ids=(7, 0)), decoded(*range(1_000)))

    assert (len(cache), remembered.recall(PLAIN) is not None) == (1, True)


@pytest.mark.parametrize(
    ("tokens", "number", "attention"), [(1, 1, False), (40, 1, True), (40, 8, False), (500, 1, False)]
)
def test_bytes_are_not_counted_low(tokens: int, number: int, attention: bool) -> None:
    """Python's own count of what the entries take is below the cache's, however long they are."""
    cache = Cache(50_000_000)
    remembered = bundle_cache(cache)
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        for n in range(300):
            ids = tuple(range(300 + n, 300 + n + tokens))
            segment = Segment(ids, Decoding(max_length=64, word_penalty=n / 7), strategy=Sampling(n), prefix=(n + 300,))
            remembered.remember(segment, decoded(*ids, number=number, attention=attention))
        del ids, segment
        taken = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()

    assert len(cache) == 300
    assert 0.3 * cache.num_bytes < taken < cache.num_bytes


def test_lookups_are_counted_by_model() -> None:
    """With the time that the lanes took for what is remembered."""
    cache = Cache(100_000)
    remembered = bundle_cache(cache)
    remembered.recall(PLAIN)
    remembered.remember(PLAIN, decoded(8))
    for _ in range(3):
        remembered.recall(PLAIN)

    tally = cache.tallies["model"]
    assert (tally.hits, tally.misses, tally.saved_s) == (3, 1, 4.5)


def test_texts_are_known_to_be_remembered() -> None:
    """By one bundle alone, and no more texts than there are segments."""
    cache = Cache(1_000_000)
    own, other = bundle_cache(cache), bundle_cache(cache, "def")
    own.remember_text("none")
    assert not own.knows_text("none")
    for number in range(2):
        own.remember(Segment((number,), Decoding()), decoded(1))
    own.remember_text("a")

    assert own.knows_text("a")
    assert not own.knows_text("b")
    assert not other.knows_text("a")
    for text in "bcd":
        own.remember_text(text)
    assert [own.knows_text(text) for text in "abcd"] == [False, False, True, True]


def test_nothing_is_remembered_by_default() -> None:
    """And nothing is looked up."""
    cache = Cache(0)

    assert cache.of("model", "abc") is None
    assert (cache.tallies["model"].misses, repr(cache)) == (0, "<Cache 0 segments, 0/0 bytes>")
