"""The search that grows the token trees of sources which are stepped together.

A source has one or more beams, each a search of its own with W places; the places of all beams, K = beams x W, make a
level of its tree. Greedy search is one beam of width 1, sampling as many beams of width 1 as hypotheses are wanted,
diverse search takes the beams in turn, and alternatives part into beams after the prefix. All sources of one `Search`
have the same `Layout` and lie in arrays with the source as first axis; they join and leave at any step, and each has
its own age, limit and options.

What a beam does with its best continuations is a matter of `toolkits`, what changes the score of a word of
`constraints`, and what a beam is offered of its segment's strategy. Sources that ask for more than ranking by the
model's own scores are special: they alone cost a loop.

Always true: a place that is not live has score -inf; nothing about a source depends on any other.
"""

from dataclasses import replace

import numpy as np

from dragoman.bundle.manifest import Tokenizer
from dragoman.server.core.segments import Decoded, Segment
from dragoman.server.decode import toolkits
from dragoman.server.decode.arrays import Bools, Floats, Floats32, Ints
from dragoman.server.decode.constraints import IMPOSSIBLE, Named, Weigher, best_of
from dragoman.server.decode.layout import Layout
from dragoman.server.decode.loops import EVERY
from dragoman.server.decode.segment_search import SegmentSearch
from dragoman.server.decode.step import Advance, Query, Reply
from dragoman.server.decode.strategies.offers import Offers, let_only_the_best_end, ranked
from dragoman.server.decode.trees import Trees


class Search:
    """Trees of up to `capacity` sources of one layout.

    With a `stride`, sources are searched greedily and ask for nothing else: where there are `most_striding` or fewer,
    the decoder takes so many steps by itself.
    """

    def __init__(
        self, layout: Layout, capacity: int, vocabulary: Tokenizer, *, stride: int = 1, most_striding: int = 0
    ) -> None:
        self.layout, self._vocabulary = layout, vocabulary
        self._most_striding = most_striding if stride > 1 else 0
        self._stride_seen = np.ones((1, stride), np.bool_)
        self._is_stride = False
        self._trees = Trees(capacity, layout.places)
        self._searches: list[SegmentSearch] = []
        self._special: dict[int, SegmentSearch] = {}
        self._asked: dict[tuple[int, int], tuple[Weigher, list[int], Named]] = {}  # of places: tokens, words named
        self._endless: list[int] = []  # sources whose ends must not come yet, and are asked nothing else
        self._scores: Floats = np.full((capacity, layout.places), -np.inf)
        self._room = np.zeros((capacity, layout.beams), np.int64)
        self._limit = np.zeros(capacity, np.int64)
        self._no_unknown = np.zeros(capacity, np.bool_)
        self._stops_loops = np.zeros(capacity, np.bool_)
        self._is_watched = np.zeros(capacity, np.bool_)  # whether one of its beams may be over without another end
        self._beam = np.arange(capacity * layout.beams)[:, None]
        self._first_place = self._beam % layout.beams * layout.width
        self._itself, self._one = np.eye(layout.places, dtype=np.bool_), np.ones(capacity, np.int64)
        self._rows, self._no_parents = np.arange(capacity), np.zeros((capacity, 1), np.int64)

    def __len__(self) -> int:
        return len(self._searches)

    def __repr__(self) -> str:
        return f"<Search {self.layout}, {len(self)} sources, lengths {self._trees.length[: len(self)].tolist()}>"

    @property
    def num_live(self) -> int:
        """Live hypotheses of all sources."""
        return int(np.count_nonzero(self._scores[: len(self)] > -np.inf))

    def admit(self, segment: Segment) -> None:
        """Plant a tree."""
        g, layout, decoding = len(self._searches), self.layout, segment.decoding
        search = SegmentSearch(segment, self._vocabulary, beams=layout.beams, width=layout.width)
        self._searches.append(search)
        if search.is_special:
            self._special[g] = search
        self._trees.plant(g, self._vocabulary.start_id)
        self._scores[g] = -np.inf
        roots = segment.strategy.starts(layout.beams)
        self._scores[g, : roots * layout.width : layout.width] = 0.0
        self._room[g], self._limit[g] = toolkits.room(decoding, layout.width), segment.max_target_tokens
        self._no_unknown[g] = decoding.unknown_handling == "suppress"
        self._stops_loops[g], self._is_watched[g] = search.stops_loops, False

    def remove(self, row: int) -> None:
        """A source leaves; the last one takes its place."""
        last = len(self._searches) - 1
        moved = self._searches.pop()
        self._special.pop(row, None)
        if row == last:
            return
        self._searches[row] = moved
        self._trees.move(last, row)
        columns = self._scores, self._room, self._limit, self._no_unknown, self._stops_loops, self._is_watched
        for values in columns:
            values[row] = values[last]
        if self._special.pop(last, None) is not None:
            self._special[row] = moved

    def length(self, g: int) -> int:
        """Levels grown so far, each of which is a position."""
        return int(self._trees.length[g])

    def decoded(self, g: int) -> Decoded:
        """What came of source g."""
        segment = self._searches[g].segment
        engine = segment.strategy.engine(segment.decoding)
        return Decoded(self._searches[g].hypotheses(), engine, self.length(g))

    def ask(self) -> Query:
        """What must be known to advance."""
        n, layout, vocabulary = len(self), self.layout, self._vocabulary
        self._is_stride = n <= self._most_striding
        best, lost = toolkits.num_candidates(layout.profile, layout.width), 0
        self._asked, self._endless = {}, []
        for g, search in self._special.items():
            best = max(best, search.num_choices)
            if search.weigher is not None and search.weigher.acts_at(self.length(g)):
                if search.weigher.only_delays_end(self.length(g)):
                    self._endless.append(g)
                    lost = max(lost, search.weigher.num_lost([]))
                    continue
                live = np.flatnonzero(self._scores[g] > -np.inf)
                beginnings = self._trees.tokens(g, live)
                search.weigher.expect(beginnings)
                for place, tokens in zip(live.tolist(), beginnings, strict=True):
                    self._asked[g, place] = search.weigher, tokens, []
        for at, (weigher, tokens, _) in self._asked.items():
            self._asked[at] = weigher, tokens, weigher.named(tokens)
            lost = max(lost, weigher.num_lost(tokens))
        most = max((len(words) for *_, words in self._asked.values()), default=0)
        named = np.full((n, layout.places, most), vocabulary.eos_id)
        for at, (*_, words) in self._asked.items():
            named[at][: len(words)] = words
        return Query(
            ids=self._trees.newest[:n].copy(),
            depth=self._trees.length[:n].repeat(layout.places).reshape(n, -1),
            seen=self._stride_seen if self._is_stride else self._itself,
            named=named,
            best=best + len(vocabulary.suppressed_ids) + 1 + lost,
            attention=any(search.wants_attention for search in self._special.values()),
            is_stride=self._is_stride,
        )

    def advance(self, reply: Reply) -> Advance:
        """Grow every tree by one level, or by as many words of a stride as stand."""
        if self._is_stride:
            return self._take_stride(reply)
        advance = self._grow(reply)
        for g in reply.broken:
            self._searches[g].is_lost = True
        return replace(advance, finished=sorted({*advance.finished, *reply.broken})) if reply.broken else advance

    def _grow(self, reply: Reply) -> Advance:
        if self.layout.places == 1 and not self._special:
            best = self._best_allowed(reply)
            if best is not None:
                return self._follow_all(*best)
        return self._choose(reply)

    def _take_stride(self, reply: Reply) -> Advance:
        """Word by word, as single steps do: a source goes on as long as the decoder has read the word that it chose."""
        n, steps, _ = reply.ids.shape
        finished = [g for g, place in reply.broken.items() if not place]
        for g in finished:
            self._searches[g].is_lost = True
        sound: Ints = np.full(n, steps)
        sound[[*reply.broken]] = [*reply.broken.values()]
        banned = self._banned(reply.logp, reply.ids, self._no_unknown[:n, None, None])
        has_none: Bools = np.all(banned, axis=2)
        best = banned.argmin(2)[..., None]
        words, logp = (np.take_along_axis(values, best, 2)[..., 0] for values in (reply.ids, reply.logp))
        kept, goes_on = np.zeros(n, np.int64), np.ones(n, np.bool_)
        for place in range(steps):
            goes_on &= sound > place
            finished += (goes_on & has_none[:, place]).nonzero()[0].tolist()
            goes_on &= ~has_none[:, place]
            rows = goes_on.nonzero()[0]
            if not len(rows):
                break
            ended = self._follow(words[rows, place], logp[rows, place], rows)
            finished += ended
            kept[rows] += 1
            goes_on &= words[:, place] == reply.ids[:, place, 0]
            goes_on[ended] = False
        return Advance(np.zeros((n, 1), np.int64), np.ones((n, 1), np.bool_), kept, sorted(finished))

    def _best_allowed(self, reply: Reply) -> tuple[Ints, Floats32] | None:
        """For greedy search: of each source the best word that is allowed; None where one has none."""
        logp, ids = reply.logp[:, 0], reply.ids[:, 0]
        banned = self._banned(logp, ids, self._no_unknown[: len(self), None])
        if not banned[:, 0].any():
            return ids[:, 0], logp[:, 0]
        if banned.all(1).any():
            return None
        at = self._beam[: len(self), 0], banned.argmin(1)
        return ids[at], logp[at]

    def _banned(self, logp: Floats32, ids: Ints, no_unknown: Bools) -> Bools:
        """Words that must not be chosen."""
        vocabulary = self._vocabulary
        banned: Bools = logp < IMPOSSIBLE
        for word in vocabulary.suppressed_ids:
            banned |= ids == word
        if vocabulary.unk_id not in vocabulary.suppressed_ids:
            banned |= (ids == vocabulary.unk_id) & no_unknown
        return banned

    def _follow_all(self, word: Ints, logp: Floats32) -> Advance:
        """As `_choose` comes out where each source takes one word: less work, which counts for small models."""
        n = len(word)
        finished = self._follow(word, logp)
        live = np.ones((n, 1), np.bool_)
        live[finished] = False
        return Advance(np.zeros((n, 1), np.int64), live, self._one[:n], finished)

    def _follow(self, word: Ints, logp: Floats32, rows: Ints | None = None) -> list[int]:
        """Each of these sources, or all of them, take one word; those that are over."""
        n = len(word)
        at, numbers = (slice(n), self._rows[:n]) if rows is None else (rows, rows)
        scores, ended = self._scores[at, 0] + logp, word == self._vocabulary.eos_id
        ended |= self._trees.length[at] + 1 >= self._limit[at]
        if loops := self._loops():
            ended |= np.isin(numbers, loops)
        finished: list[int] = numbers[ended].tolist()
        for g, own in zip(finished, ended.nonzero()[0].tolist(), strict=True):
            tokens, logps, places = self._trees.path(g, 0)
            tokens.append(int(word[own]))
            logps.append(float(logp[own]))
            self._searches[g].end(0, tokens, logps, places, float(scores[own]), is_top=True)
        self._trees.grow(word[:, None], self._no_parents[:n], logp[:, None], rows)
        scores[ended] = -np.inf
        self._scores[at, 0] = scores
        return finished

    def _choose(self, reply: Reply) -> Advance:
        """Grow by what each beam chooses from what it is offered."""
        n, layout = len(self), self.layout
        for g, search in self._special.items():
            if search.wants_attention:
                assert reply.attention is not None, "it was asked for"
                search.attend(reply.attention[g])
        found = self._candidates(*self._weigh(reply))
        at_limit = self._trees.length[:n] + 1 >= self._limit[:n]
        is_last = at_limit if layout.beams == 1 else at_limit.repeat(layout.beams)
        is_last[self._loops()] = True
        ended, places, live = toolkits.choose(
            layout.profile,
            layout.width,
            found.score,
            found.word == self._vocabulary.eos_id,
            is_last,
            self._room[:n].reshape(-1),
        )
        has_ended: Bools = np.any(ended, axis=1)
        if has_ended.any():
            self._end(found, ended)
            self._room[:n] -= ended.sum(1).reshape(n, -1)
        word, parents, logp, score = found.word, found.parent, found.logp, found.score
        if places is not None:
            taken = self._beam[: len(word)], places
            word, parents, logp, score = word[taken], parents[taken], logp[taken], score[taken]
        parents = parents.reshape(n, -1)
        self._trees.grow(word.reshape(n, -1), parents, logp.reshape(n, -1))
        self._scores[:n] = np.where(live, score, -np.inf).reshape(n, -1)
        finished = []
        if has_ended.any() or self._is_watched[:n].any() or not live.any(1).all():
            finished = self._stop(np.any(has_ended.reshape(n, -1), axis=1))
        return Advance(parents, self._scores[:n] > -np.inf, self._one[:n], finished)

    def _loops(self) -> list[int]:
        """The beams, among those of all sources, that only repeat themselves: their next tokens are the last."""
        n, beams = len(self), self.layout.beams
        is_due = (self._trees.length[:n] & (EVERY - 1) == 0) & self._stops_loops[:n]
        if not is_due.any():
            return []
        due = is_due.nonzero()[0].tolist()
        return [g * beams + beam for g in due for beam in range(beams) if self._only_loops(g, beam)]

    def _only_loops(self, g: int, beam: int) -> bool:
        """Whether all that lives in a beam of source g repeats itself. Where it has several places, their newest tokens
        do not count, in which the others part from the best.
        """
        width = self.layout.width
        said = self.length(g) - (EVERY if width > 1 else 0)
        live = np.flatnonzero(self._scores[g, beam * width : (beam + 1) * width] > -np.inf) + beam * width
        if said <= 0 or not len(live):
            return False
        return all(self._searches[g].has_looped(self._trees.path(g, place)[0][:said]) for place in live.tolist())

    def _weigh(self, reply: Reply) -> tuple[Floats, Floats32, Ints]:
        """Summed scores, log-probabilities and words of all continuations, [G, K, k]."""
        n, logp, ids, vocabulary = len(self), reply.logp, reply.ids, self._vocabulary
        scores = self._scores[:n, :, None] + logp
        np.copyto(scores, -np.inf, where=logp < IMPOSSIBLE)
        for word in vocabulary.suppressed_ids:
            np.copyto(scores, -np.inf, where=ids == word)
        if vocabulary.unk_id not in vocabulary.suppressed_ids and (no_unknown := self._no_unknown[:n]).any():
            np.copyto(scores, -np.inf, where=(ids == vocabulary.unk_id) & no_unknown[:, None, None])
        if self._endless:
            self._delay_ends(scores, logp, ids)
        if not self._asked:
            return scores, logp, ids
        weighed = {at: self._weighed(reply, at) for at in self._asked}
        more = (*ids.shape[:2], max(0, max(len(words) for words, *_ in weighed.values()) - ids.shape[2]))
        scores = np.concatenate([scores, np.full(more, -np.inf)], 2)
        logp = np.concatenate([logp, np.zeros(more, logp.dtype)], 2)
        ids = np.concatenate([ids, np.zeros(more, np.int64)], 2)
        for at, (words, own, logps) in weighed.items():
            size = len(words)
            scores[at] = -np.inf
            ids[at][:size], logp[at][:size], scores[at][:size] = words, logps, self._scores[at] + own
        return scores, logp, ids

    def _weighed(self, reply: Reply, at: tuple[int, int]) -> tuple[Ints, Floats, Floats]:
        """Words that may follow at a place, their scores and log-probabilities: of a phrasing, which may name nearly
        all, the best alone.
        """
        weigher, tokens, named = self._asked[at]
        words, own, logps = weigher.weigh(reply, at, tokens, named)
        if not weigher.is_phrased:
            return words, own, logps
        search = self._searches[at[0]]
        best = best_of(own, max(search.num_choices, 2 * self.layout.width))
        if not len(best):
            search.leave_open(*self._trees.path(*at), float(self._scores[at]))
        return words[best], own[best], logps[best]

    def _delay_ends(self, scores: Floats, logp: Floats32, ids: Ints) -> None:
        """What the weighers of sources would do whose ends must not come yet and that are changed in no other way: an
        end comes where every other word is forbidden.
        """
        is_end = ids[self._endless] == self._vocabulary.eos_id
        delayed = np.where(is_end, -np.inf, scores[self._endless])
        has_none = delayed.max(2) == -np.inf
        if has_none.any():
            last = self._scores[self._endless, :, None] + logp[self._endless]
            is_left = is_end & has_none[..., None] & (logp[self._endless] >= IMPOSSIBLE)
            delayed = np.where(is_left, last, delayed)
        scores[self._endless] = delayed

    def _candidates(self, scores: Floats, logp: Floats32, ids: Ints) -> Offers:
        """What each beam is offered."""
        layout, size = self.layout, ids.shape[2]
        beams, shape = len(self) * layout.beams, (-1, layout.width * size)
        scores, logp, ids = scores.reshape(shape), logp.reshape(shape), ids.reshape(shape)
        count = min(toolkits.num_candidates(layout.profile, layout.width), shape[1])
        order = np.zeros((beams, count), np.int64) if layout.is_drawn else ranked(scores, count)
        for g, search in self._special.items():
            own, special = self._own(g), search.special
            if special is not None:
                room = np.minimum(self._room[g], layout.width)
                chosen = special.order(scores[own], logp[own], ids[own], room=room, draws=search.draws, count=count)
                order[own] = order[own] if chosen is None else chosen
        at = self._beam[:beams], order
        offers = Offers(scores[at], ids[at], logp[at], order // size + self._first_place[:beams])
        for g, search in self._special.items():
            prefix, own = search.segment.prefix, self._own(g)
            if self.length(g) != len(prefix):
                continue
            if search.special is not None and search.special.parts:
                mine = Offers(offers.score[own], offers.word[own], offers.logp[own], offers.parent[own])
                row = own.start, slice(size)
                search.special.part(mine, scores[row], logp[row], ids[row])
            elif prefix and layout.profile == "ct2":
                let_only_the_best_end(offers, own.start, self._vocabulary.eos_id, self._vocabulary.unk_id)
        return offers

    def _own(self, g: int) -> slice:
        """The beams of source g among those of all."""
        return slice(g * self.layout.beams, (g + 1) * self.layout.beams)

    def _end(self, found: Offers, ended: Bools) -> None:
        """Read off the hypotheses that ended."""
        for row, rank in zip(*(axis.tolist() for axis in ended.nonzero()), strict=True):
            g, number = divmod(row, self.layout.beams)
            tokens, logps, places = self._trees.path(g, int(found.parent[row, rank]))
            tokens.append(int(found.word[row, rank]))
            logps.append(float(found.logp[row, rank]))
            self._searches[g].end(number, tokens, logps, places, float(found.score[row, rank]), is_top=rank == 0)

    def _stop(self, has_ended: Bools) -> list[int]:
        """Close beams that are over; returns the sources all of whose beams are."""
        n, width = len(self), self.layout.width
        scores = self._scores[:n].reshape(n, -1, width)
        best = scores.max(2)
        finished = []
        for g in (has_ended | self._is_watched[:n] | (best == -np.inf).any(1)).nonzero()[0].tolist():
            self._is_watched[g] = False
            for number in (best[g] > -np.inf).nonzero()[0].tolist():
                beam = self._searches[g].beams[number]
                if beam.is_over(float(best[g, number]), self.length(g), int(self._limit[g])):
                    scores[g, number] = best[g, number] = -np.inf
                elif beam.may_be_over:
                    self._is_watched[g] = True
            if not (best[g] > -np.inf).any():
                finished.append(g)
        return finished
