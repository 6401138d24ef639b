"""Greedy search that reads several words at a time: drafts are put behind the newest word, and the longest agreeing
beginning is kept with one word more.

What comes out is exactly what greedy search gives: a word is kept only where it is the one that would have been chosen
after all words before it. A lossy segment keeps drafted words that are merely likely enough. Each source is a single
path instead of a tree; forced, forbidden and penalised words are weighed for each place of a draft as if it were right.

Always true: the decoder has read all tokens of a source but the newest.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from dragoman.server.core.segments import Hypothesis, Segment
from dragoman.server.core.strategies import Lossy
from dragoman.server.decode.arrays import Floats, Ints
from dragoman.server.decode.constraints import IMPOSSIBLE, Row, SpecialIds
from dragoman.server.decode.segment_search import SegmentSearch
from dragoman.server.decode.step import Query, Reply
from dragoman.server.decode.strategies.speculative import Speculative
from dragoman.server.decode.trees import Path

Draft = Sequence[int]


@dataclass(frozen=True)
class Chained:
    """What a round did to one source."""

    kept: int
    """Tokens that it got, the end token included; as many of the words that were read stand."""
    drafted: int
    accepted: int
    has_ended: bool


@dataclass
class _Chain:
    search: SegmentSearch
    limit: int
    tokens: list[int]
    logps: list[float]
    lossy: Lossy | None
    score: float = 0.0


class Chains:
    """Sources in any number, by index; the last one takes the place of one that leaves."""

    def __init__(self, vocabulary: SpecialIds) -> None:
        self._vocabulary = vocabulary
        self._chains: list[_Chain] = []
        self._drafts: list[Draft] = []
        self._named: dict[tuple[int, int], list[int]] = {}

    def __len__(self) -> int:
        return len(self._chains)

    def __repr__(self) -> str:
        return f"<Chains {len(self)} sources, lengths {[len(one.tokens) for one in self._chains]}>"

    @property
    def prefixes(self) -> list[list[int]]:
        """Tokens of each source so far."""
        return [one.tokens for one in self._chains]

    def admit(self, segment: Segment) -> None:
        """One more source, without tokens."""
        search = SegmentSearch(segment, self._vocabulary, beams=1, width=1)
        strategy = segment.strategy
        lossy = strategy.lossy if isinstance(strategy, Speculative) else None
        self._chains.append(_Chain(search, segment.max_target_tokens, [], [], lossy))

    def remove(self, g: int) -> None:
        """SegmentSearch g leaves."""
        self._chains[g] = self._chains[-1]
        del self._chains[-1]

    def hypotheses(self, g: int) -> tuple[Hypothesis, ...]:
        """The only hypothesis of a source that has ended."""
        return self._chains[g].search.hypotheses()

    def ask(self, drafts: Sequence[Draft], width: int) -> Query:
        """What must be known to verify them: a chain of `width` words for each source, one more than any draft."""
        n, words = len(self), self._vocabulary
        # What lies behind the limit would be verified for nothing.
        room = [min(width - 1, one.limit - len(one.tokens) - 1) for one in self._chains]
        self._drafts = [draft[:most] for draft, most in zip(drafts, room, strict=True)]
        ids = np.zeros((n, width), np.int64)
        depth = np.array([len(one.tokens) for one in self._chains])[:, None] + np.arange(width)
        best, lost, self._named = 1, 0, {}
        for g, (chain, draft) in enumerate(zip(self._chains, self._drafts, strict=True)):
            ids[g, 0] = chain.tokens[-1] if chain.tokens else words.start_id
            ids[g, 1 : 1 + len(draft)] = draft
            best = max(best, chain.lossy.top if chain.lossy else 1)
            weigher = chain.search.weigher
            if weigher is None:
                continue
            for place in range(len(draft) + 1):
                if weigher.acts_at(len(chain.tokens) + place):
                    path = [*chain.tokens, *draft[:place]]
                    self._named[g, place] = weigher.named(path)
                    lost = max(lost, weigher.num_lost(path))
        most = max(map(len, self._named.values()), default=0)
        named = np.full((n, width, most), words.eos_id)
        for at, own in self._named.items():
            named[at][: len(own)] = own
        attention = any(one.search.wants_attention for one in self._chains)
        return Query(ids, depth, named, best + len(words.suppressed) + 1 + lost, attention)

    def followed(self, reply: Reply) -> None:
        """The decoder went on by itself: what it read behind each newest word, its own best each time, is the draft."""
        self._drafts = reply.ids[:, :-1, 0].tolist()

    def cut(self, g: int, places: int) -> None:
        """No more than so many places of source g's round are to be looked at; one is, always."""
        self._drafts[g] = self._drafts[g][: max(0, places - 1)]

    def advance(self, reply: Reply) -> list[Chained]:
        """Keep of each draft what stands, and one word more."""
        scores = self._scores(reply)
        n, places, _ = scores.shape
        best = np.arange(n)[:, None], np.arange(places), scores.argmax(2)
        words, peak, logp = reply.ids[best].tolist(), scores[best].tolist(), reply.logp[best].tolist()
        found = []
        for g, chain in enumerate(self._chains):
            draft = self._drafts[g]
            kept = accepted = 0
            has_ended = False
            while kept <= len(draft) and not has_ended:
                choice = words[g][kept], peak[g][kept], logp[g][kept]
                wanted = draft[kept] if kept < len(draft) else None
                if (g, kept) in self._named or chain.lossy is not None:
                    choice = self._choose(reply, scores, g, kept, wanted)
                if choice[1] == -np.inf:  # the model leaves no word to choose
                    has_ended = True
                    break
                if chain.search.wants_attention:
                    assert reply.attention is not None, "it was asked for"
                    chain.search.attend(reply.attention[g, kept : kept + 1])
                has_ended = self._put(chain, *choice)
                kept += 1
                if choice[0] != wanted:
                    break
                accepted += 1
            found.append(Chained(kept, len(draft), accepted, has_ended))
        return found

    def _choose(self, reply: Reply, scores: Floats, g: int, place: int, wanted: int | None) -> tuple[int, float, float]:
        """A word under what its segment asks for, its score and its log-probability."""
        lossy = self._chains[g].lossy
        if (g, place) in self._named:
            row = self._weighed(reply, g, place)
        else:
            row = reply.ids[g, place], scores[g, place], reply.logp[g, place].astype(np.float64)
        likely = None if lossy is None or wanted is None else _likely(*row, wanted, lossy)
        return likely or _best(*row)

    def _put(self, chain: _Chain, word: int, score: float, logp: float) -> bool:
        """One word more; whether it is the last."""
        chain.score += score
        if word == self._vocabulary.eos_id or len(chain.tokens) + 1 >= chain.limit:
            above = Path(chain.tokens, chain.logps, [0] * len(chain.tokens))
            chain.search.end(0, above, word, logp, chain.score, is_top=True)
            return True
        chain.tokens.append(word)
        chain.logps.append(logp)
        return False

    def _scores(self, reply: Reply) -> Floats:
        """Scores of the best words [G, q, k]; those that must not be put out have none."""
        words = self._vocabulary
        scores = np.where(reply.logp < IMPOSSIBLE, -np.inf, reply.logp.astype(np.float64))
        for word in words.suppressed:
            np.copyto(scores, -np.inf, where=reply.ids == word)
        handling = [one.search.segment.decoding.unknown_handling for one in self._chains]
        no_unknown = np.array([one == "suppress" for one in handling], np.bool_)
        np.copyto(scores, -np.inf, where=(reply.ids == words.unk_id) & no_unknown[:, None, None])
        return scores

    def _weighed(self, reply: Reply, g: int, place: int) -> tuple[Ints, Floats, Floats]:
        """Words, scores and log-probabilities of one place under what its segment asks for."""
        chain, named = self._chains[g], self._named[g, place]
        assert chain.search.weigher is not None
        row = Row(
            reply.ids[g, place],
            reply.logp[g, place].astype(np.float64),
            np.array(named, np.int64),
            reply.named_logp[g, place][: len(named)].astype(np.float64),
            float(reply.normaliser[g, place]),
        )
        # Up to here all drafted words were right, or the place would not be looked at.
        return chain.search.weigher.weigh(row, chain.tokens)


def _best(words: Ints, scores: Floats, logps: Floats) -> tuple[int, float, float]:
    at = int(scores.argmax())
    return int(words[at]), float(scores[at]), float(logps[at])


def _likely(words: Ints, scores: Floats, logps: Floats, word: int, lossy: Lossy) -> tuple[int, float, float] | None:
    """A drafted word that is likely enough."""
    (places,) = np.nonzero((words == word) & (scores > -np.inf))
    if not len(places):
        return None
    score = float(scores[places[0]])
    if int((scores > score).sum()) >= lossy.top or float(scores.max()) - score > lossy.margin:
        return None
    return word, score, float(logps[places[0]])
