"""Lexical shortlists, against sets."""

from pathlib import Path

import numpy as np
import pytest

from dragoman.bundle.graphs import SHORTLIST_BLOCK
from dragoman.server.batches.shortlist import MULTIPLE, CandidateUnion, Shortlist
from dragoman.server.runtime.padding import MASKED

VOCABULARY, EOS = 200, 0


def a_shortlist(seed: int, first: int) -> tuple[Shortlist, list[set[int]]]:
    rng = np.random.default_rng(seed)
    lists = [sorted(rng.choice(VOCABULARY, rng.integers(0, 12), replace=False)) for _ in range(30)]
    offsets = np.cumsum([0, *map(len, lists)])
    ids = np.array([w for words in lists for w in words], np.int64)
    return Shortlist(first, offsets, ids, vocabulary=VOCABULARY, eos_id=EOS), [set(map(int, words)) for words in lists]


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("first", [0, 5, 8])
def test_candidates_are_those_of_a_set(seed, first):
    """The first words, the end, every list of the source, filled up to a multiple with the lowest that are absent."""
    shortlist, lists = a_shortlist(seed, first)
    source = tuple(np.random.default_rng(seed + 99).integers(0, 30, 6).tolist())

    expected = {EOS, *range(first)}.union(*(lists[s] for s in source))
    absent = iter(sorted(set(range(VOCABULARY)) - expected))
    while len(expected) % MULTIPLE:
        expected.add(next(absent))

    assert shortlist.candidates(source).tolist() == sorted(expected)


def test_a_shortlist_of_everything_is_not_filled_up():
    """There is nothing to fill up with."""
    ids = np.arange(13, dtype=np.int64)

    shortlist = Shortlist(0, np.array([0, 13]), ids, vocabulary=13, eos_id=EOS)

    assert shortlist.candidates((0,)).tolist() == list(range(13))


def look_up(words: np.ndarray) -> dict[str, np.ndarray]:
    return {"words": words[:, None] * 2.0, "word_bias": words / 10}


def shown(candidates: CandidateUnion, g: int) -> dict[int, float]:
    """Word -> what is added to its logit, for all that source g may say."""
    feed = candidates.feed()
    assert len(feed["candidates"]) % SHORTLIST_BLOCK == 0
    assert np.array_equal(feed["words"][:, 0], feed["candidates"] * 2.0)
    row = feed["allowed"][g]
    return {int(feed["candidates"][n]): float(row[n]) for n in np.flatnonzero(row > MASKED)}


def shown_apart(candidates: CandidateUnion, g: int) -> dict[int, float]:
    """The same of the form that has each source's own words alone, in order and in whole blocks."""
    feed = candidates.feed(by_source=True)
    own, bias = feed["own"][g], feed["own_bias"][g]
    assert len(own) % SHORTLIST_BLOCK == 0
    assert "allowed" not in feed
    words = feed["candidates"][own[bias > MASKED]].tolist()
    assert words == sorted(words)
    return dict(zip(words, bias[bias > MASKED].tolist(), strict=True))


@pytest.mark.parametrize("seed", range(10))
def test_each_source_is_shown_its_own_words_with_their_bias(seed):
    """Whoever joins or leaves, a source may say its own words and no others, in both forms that graphs ask for."""
    rng = np.random.default_rng(seed)
    candidates, own = CandidateUnion(look_up, VOCABULARY), []
    for _ in range(40):
        if own and rng.random() < 0.45:
            g = int(rng.integers(len(own)))
            candidates.remove(g)
            own[g] = own[-1]
            del own[-1]
        else:
            own.append(np.sort(rng.choice(VOCABULARY, rng.choice([8, 16, 32, 40]), replace=False)))
            candidates.admit(own[-1])
        for g, words in enumerate(own):
            expected = {int(w): pytest.approx(w / 10) for w in words}
            assert shown(candidates, g) == expected
            assert shown_apart(candidates, g) == expected


@pytest.mark.parametrize("number", [8, SHORTLIST_BLOCK - 1, SHORTLIST_BLOCK, SHORTLIST_BLOCK + 1])
def test_a_word_that_is_no_candidate_stands_where_all_are_masked(number):
    """Words are found at their places; any other, at one that no source may say, however many candidates there are."""
    candidates = CandidateUnion(look_up, VOCABULARY)
    candidates.admit(np.arange(number))
    feed = candidates.feed()

    places = candidates.places(np.array([[[0, number - 1, VOCABULARY - 1]]]))

    assert len(candidates) == len(feed["candidates"])
    assert len(candidates) % SHORTLIST_BLOCK == 0
    assert feed["candidates"][places[0, 0, :2]].tolist() == [0, number - 1]
    assert feed["allowed"][0, places[0, 0, 2]] == MASKED


SOUND = {"first": np.array(2), "offsets": np.array([0, 1, 2]), "ids": np.array([1, 2])}


@pytest.mark.parametrize(
    "change",
    [
        {"ids": np.array([1, VOCABULARY])},
        {"offsets": np.array([0, 2, 1])},
        {"offsets": np.array([0, 2])},
        {"first": np.array(VOCABULARY + 1)},
        {"first": np.array(-1)},
    ],
)
def test_a_file_whose_lists_do_not_fit_is_refused(tmp_path: Path, change: dict[str, np.ndarray]):
    """Ids beyond the vocabulary, offsets that fall or are too few, never reach the decoder."""
    path = tmp_path / "shortlist.npz"
    sizes = {"source_vocabulary": 2, "vocabulary": VOCABULARY, "eos_id": EOS}
    np.savez(path, **SOUND)
    assert Shortlist.load(path, path.read_bytes(), **sizes).candidates((0,)).tolist() == list(range(8))

    np.savez(path, **{**SOUND, **change})

    with pytest.raises(ValueError, match="do not fit vocabularies of 2 and 200 words"):
        Shortlist.load(path, path.read_bytes(), **sizes)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 broken", b"no zip at all"])
def test_a_file_that_is_no_shortlist_is_refused(tmp_path: Path, content: bytes):
    """Whatever NumPy makes of it, it is one error that names the file."""
    path = tmp_path / "shortlist.npz"
    path.write_bytes(content)

    with pytest.raises(ValueError, match=r"shortlist\.npz"):
        Shortlist.load(path, path.read_bytes(), source_vocabulary=2, vocabulary=VOCABULARY, eos_id=EOS)
