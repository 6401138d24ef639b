"""Greedy search that reads several words at a time: drafts are put behind the newest word, and the longest agreeing
beginning is kept with one word more.

What comes out is exactly what greedy search gives: a word is kept only where it is the one that would have been chosen
after all words before it. A lossy segment keeps drafted words that are merely likely enough. Each source is a single
path instead of a tree; forced, forbidden and penalised words are weighed for each place of a draft as if it were right.

Always true: the decoder has read all tokens of a source but the newest.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from dragoman.bundle.manifest import Tokenizer
from dragoman.server.core.segments import NO_WORK, Decoded, Segment, Work
from dragoman.server.core.strategies import Engine, Lossy
from dragoman.server.decode.arrays import Bools, Floats, Ints
from dragoman.server.decode.constraints import IMPOSSIBLE, Named
from dragoman.server.decode.loops import EVERY
from dragoman.server.decode.segment_search import SegmentSearch
from dragoman.server.decode.step import Advance, Query, Reply
from dragoman.server.decode.strategies.speculative import Speculative

Draft = Sequence[int]


@dataclass
class _Chain:
    search: SegmentSearch
    limit: int
    tokens: list[int]
    logps: list[float]
    lossy: Lossy | None
    score: float = 0.0
    rounds: int = 0
    work: Work = NO_WORK


Propose = Callable[[Sequence[Sequence[int]]], Sequence[Draft] | None]
"""Drafts behind each source's tokens, or none for this round."""


class Chains:
    """Greedy search of several words a round.

    `propose` drafts at most `longest` words. In a round without drafts the decoder takes `stride` steps by itself, or a
    single one; `far` for a source that is alone and far from its end.
    """

    def __init__(
        self, vocabulary: Tokenizer, propose: Propose | None = None, *, longest: int = 0, stride: int = 1, far: int = 0
    ) -> None:
        self._vocabulary, self._propose, self._longest = vocabulary, propose, longest
        self._stride, self._far = stride, max(stride, far)
        self._chains: list[_Chain] = []
        self._drafts: Sequence[Draft] = []
        self._named: dict[tuple[int, int], Named] = {}
        self._is_drafted = self._is_stride = False

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

    def remove(self, row: int) -> None:
        """A source leaves; the last one takes its place."""
        self._chains[row] = self._chains[-1]
        del self._chains[-1]

    @property
    def num_live(self) -> int:
        """One hypothesis each."""
        return len(self)

    def decoded(self, g: int) -> Decoded:
        """What came of a source. The engine is greedy search's own where nothing was drafted."""
        chain = self._chains[g]
        engine = Engine.SPECULATIVE if chain.work.drafted_tokens else Engine.GREEDY
        if chain.lossy is not None:
            engine = Engine.SPECULATIVE_LOSSY
        return Decoded(chain.search.hypotheses(), engine, chain.rounds, work=chain.work)

    def length(self, g: int) -> int:
        """Tokens so far."""
        return len(self._chains[g].tokens)

    def ask(self) -> Query:
        """What must be known of this round's drafts; without any, of a stride or a single step."""
        drafts = None if self._propose is None else self._propose(self.prefixes)
        if drafts is not None:
            return self.verify(drafts, self._longest + 1)
        self._is_drafted, self._is_stride = False, self._stride > 1
        return self._query([()] * len(self), 1, np.ones((1, self._steps()), np.bool_))

    def _steps(self) -> int:
        """How many steps the decoder takes by itself. A source is far from its end where it lacks more words than that
        to be as long as its text.
        """
        if len(self) > 1:
            return self._stride
        (one,) = self._chains
        return self._far if len(one.search.segment.ids) - len(one.tokens) > self._far else self._stride

    def verify(self, drafts: Sequence[Draft], width: int) -> Query:
        """What must be known to verify them: a chain of `width` words for each source, one more than any draft."""
        self._is_drafted, self._is_stride = True, False
        return self._query(drafts, width, np.tri(width, dtype=np.bool_))

    def _query(self, drafts: Sequence[Draft], width: int, seen: Bools) -> Query:
        words, start = self._vocabulary, [self._vocabulary.start_id]
        # What lies behind the limit would be verified for nothing.
        room = [min(width - 1, one.limit - len(one.tokens) - 1) for one in self._chains]
        self._drafts = [draft[:most] for draft, most in zip(drafts, room, strict=True)]
        newest = [
            [*(chain.tokens[-1:] or start), *draft] for chain, draft in zip(self._chains, self._drafts, strict=True)
        ]
        ids = np.array([read + [0] * (width - len(read)) for read in newest])
        depth = np.array([[len(one.tokens)] for one in self._chains]) + np.arange(width)
        best = max((one.lossy.top for one in self._chains if one.lossy), default=1)
        named, lost = self._weighed(width)
        attention = any(one.search.wants_attention for one in self._chains)
        return Query(ids, depth, seen, named, best + len(words.suppressed_ids) + 1 + lost, attention, self._is_stride)

    def _weighed(self, width: int) -> tuple[Ints, int]:
        """Words [G, width, m] that are weighed by themselves, and how many may be lost of a row's best ones by that."""
        lost, self._named = 0, {}
        for g, (chain, draft) in enumerate(zip(self._chains, self._drafts, strict=True)):
            weigher = chain.search.weigher
            if weigher is None:
                continue
            for place in range(len(draft) + 1):
                if weigher.acts_at(len(chain.tokens) + place):
                    path = [*chain.tokens, *draft[:place]]
                    self._named[g, place] = weigher.named(path)
                    lost = max(lost, weigher.num_lost(path))
        most = max(map(len, self._named.values()), default=0)
        named = np.full((len(self), width, most), self._vocabulary.eos_id)
        for at, own in self._named.items():
            named[at][: len(own)] = own
        return named, lost

    def advance(self, reply: Reply) -> Advance:
        """Keep of each draft what stands, and one word more.

        A stride's draft is what the decoder read behind each newest word: its own best, each time. What lies before a
        number that is not finite stands, and may be all that there is.
        """
        if self._is_stride:
            self._drafts = reply.ids[:, :-1, 0].tolist()
        for g, place in reply.broken.items():
            self._drafts = [*self._drafts]
            self._drafts[g] = self._drafts[g][: max(0, place - 1)]
        scores = self._scores(reply)
        n, places, _ = scores.shape
        best = np.arange(n)[:, None], np.arange(places), scores.argmax(2)
        words, peak, logp = reply.ids[best].tolist(), scores[best].tolist(), reply.logp[best].tolist()
        stands, finished = [], [g for g, place in reply.broken.items() if place == 0]
        drafted = accepted_in_all = 0
        for g in finished:
            self._chains[g].search.is_lost = True
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
            stands.append(kept)
            # One that is alone counts those that it would have had in company.
            chain.rounds += max(1, -(-kept // self._stride)) if self._is_stride else 1
            if self._is_drafted:
                drafted, accepted_in_all = drafted + len(draft), accepted_in_all + accepted
                chain.work += Work(drafted_tokens=len(draft), accepted_tokens=accepted)
            if has_ended:
                finished.append(g)
        drafts = (drafted, accepted_in_all) if self._is_drafted else None
        parents, live = np.zeros((n, 1), np.int64), np.ones((n, 1), np.bool_)
        return Advance(parents, live, np.array(stands), sorted({*finished}), drafts)

    def _choose(self, reply: Reply, scores: Floats, g: int, place: int, wanted: int | None) -> tuple[int, float, float]:
        """A word under what its segment asks for, its score and its log-probability."""
        chain = self._chains[g]
        if (g, place) in self._named:
            assert chain.search.weigher is not None
            # Up to here all drafted words were right, or the place would not be looked at.
            row = chain.search.weigher.weigh(reply, (g, place), chain.tokens, self._named[g, place])
        else:
            row = reply.ids[g, place], scores[g, place], reply.logp[g, place].astype(np.float64)
        likely = None if chain.lossy is None or wanted is None else _likely(*row, wanted, chain.lossy)
        return likely or _best(*row)

    def _put(self, chain: _Chain, word: int, score: float, logp: float) -> bool:
        """One word more; whether it is the last."""
        chain.score += score
        length = len(chain.tokens)
        is_last = word == self._vocabulary.eos_id or length + 1 >= chain.limit
        if is_last or (length % EVERY == 0 and chain.search.stops_loops and chain.search.has_looped(chain.tokens)):
            places = [0] * length
            chain.search.end(0, [*chain.tokens, word], [*chain.logps, logp], places, chain.score, is_top=True)
            return True
        chain.tokens.append(word)
        chain.logps.append(logp)
        return False

    def _scores(self, reply: Reply) -> Floats:
        """Scores of the best words [G, q, k]; those that must not be put out have none."""
        words = self._vocabulary
        scores = np.where(reply.logp < IMPOSSIBLE, -np.inf, reply.logp.astype(np.float64))
        for word in words.suppressed_ids:
            np.copyto(scores, -np.inf, where=reply.ids == word)
        no_unknown = [one.search.segment.decoding.unknown_handling == "suppress" for one in self._chains]
        if any(no_unknown):
            np.copyto(scores, -np.inf, where=(reply.ids == words.unk_id) & np.array(no_unknown)[:, None, None])
        return scores


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
