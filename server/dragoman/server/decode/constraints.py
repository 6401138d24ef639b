"""What changes the scores of single words before a beam chooses: forced and forbidden words, and penalties.

The graph gives the best words of each row and, for words that are named beforehand, their log-probability wherever they
stand. From these and the normaliser every change is exact without ever seeing the whole row: a word that is pushed down
leaves room for the next best, and one that is lifted was named.

Two sums are kept apart: the model's log-probability of a token stays what it is, its score is what the search uses.
Words that a bundle suppresses are passed over after normalisation; only CTranslate2 takes words out before it.
"""

import math
from collections.abc import Collection

import numpy as np

from dragoman.bundle.manifest import Tokenizer
from dragoman.server.core.segments import Segment
from dragoman.server.decode.arrays import Bools, Floats, Ints
from dragoman.server.decode.step import Reply
from dragoman.server.decode.toolkits import num_candidates

Named = list[int] | Ints
"""Words: few as a list, or many."""
IMPOSSIBLE = -1e8
"""Graphs add -1e9 to what must not be chosen; a log-probability below this was masked."""
TRIED = 8
"""Words that are tried where the end of a phrasing is near, at least."""
FEW = 64
"""Words that are compared one by one."""


class Weigher:
    """The changes that one segment asks for."""

    def __init__(self, segment: Segment, vocabulary: Tokenizer, *, width: int) -> None:
        decoding, forced = segment.decoding, segment.strategy.forced()
        self._profile, self._width, self._eos_id = decoding.profile, width, vocabulary.eos_id
        self._penalty, self._ngram = decoding.repetition_penalty, decoding.no_repeat_ngram_size
        self._start_id, self._source_ngram = vocabulary.start_id, decoding.source_no_repeat_ngram_size
        self._source_next = _followers(segment.ids, self._source_ngram)
        self._min_length = decoding.min_length
        unknown = {vocabulary.unk_id} if decoding.unknown_handling == "suppress" else set()
        self._suppressed = {*segment.suppressed_ids, *vocabulary.suppressed_ids, *unknown}
        self._walk = None if segment.phrasing is None else segment.phrasing.walk()
        self._limit, self._num_copied = segment.max_target_tokens, len(segment.copies)
        self._renormalises = self._profile == "ct2"
        # To transformers, what the decoder starts from has been put out.
        is_word = vocabulary.start_id in (vocabulary.eos_id, *vocabulary.hidden_ids)
        self._before = [vocabulary.start_id] if self._profile == "hf" and is_word else []
        self._prefix, self._last_at, self._last_id = segment.prefix, -1, vocabulary.eos_id
        self._num_free = len(segment.prefix) if self._profile in ("hf", "ct2") else 0
        if forced is not None:
            self._prefix = (*segment.prefix, *forced, vocabulary.eos_id)
        elif self._walk is not None:
            pass  # what is open at the limit stays so
        elif self._profile == "fairseq":
            self._last_at = segment.max_target_tokens - 1
        elif self._profile == "hf" and decoding.forced_last_id is not None:
            self._last_at, self._last_id = segment.max_target_tokens - 1, decoding.forced_last_id
        self._changes_all = bool(
            segment.suppressed_ids
            or self._walk is not None
            or self._ngram
            or self._source_next
            or self._penalty != 1.0
            or (self._renormalises and self._suppressed)
        )

    @property
    def is_phrased(self) -> bool:
        """Whether there may be tokens that nothing follows."""
        return self._walk is not None

    @property
    def is_needed(self) -> bool:
        """Whether this segment's rows are ever changed."""
        return bool(self._changes_all or self._prefix or self._min_length or self._last_at >= 0)

    def acts_at(self, length: int) -> bool:
        """Whether rows are changed at this length."""
        return self._changes_all or length < self._min_length or self._forced(length) is not None

    def only_delays_end(self, length: int) -> bool:
        """Whether all that is changed at this length is that the end must not come yet, whatever the tokens are."""
        return not self._changes_all and not self._renormalises and self._forced(length) is None

    def forces_end_at(self, length: int) -> bool:
        """Whether the end token comes here because the limit is reached, and not because the model says so."""
        return self._last_id == self._eos_id and self._is_last(length)

    def expect(self, beginnings: list[list[int]]) -> None:
        """These will be weighed next, all of one length."""
        if self._walk is None or not beginnings or self._forced(len(beginnings[0])) is not None:
            return
        self._walk.expect([self._said(tokens) for tokens in beginnings], self._limit - len(beginnings[0]))

    def named(self, tokens: list[int]) -> Named:
        """Words whose log-probability must be known to weigh what follows these tokens."""
        forced = self._forced(len(tokens))
        if forced is not None:
            return [forced]
        if self._walk is not None:
            allowed = self._walk.allowed(self._said(tokens))
            return [] if allowed.is_most else self._without_suppressed(allowed.words)
        return sorted(self._repeatable(tokens) | (self._banned(tokens) if self._renormalises else set()))

    def num_lost(self, tokens: list[int]) -> int:
        """How many of the best words may fall out of the choice."""
        if self._forced(len(tokens)) is not None:
            return 0
        if self._walk is not None:
            allowed = self._walk.allowed(self._said(tokens))
            return allowed.num_others + len(self._suppressed) + self._num_copied if allowed.is_most else 0
        return len(self._banned(tokens) | self._repeatable(tokens))

    def weigh(self, reply: Reply, at: tuple[int, int], tokens: list[int], named: Named) -> tuple[Ints, Floats, Floats]:
        """Continuations of these tokens, whose source and place are `at`, their scores and their log-probabilities: the
        best words [k], then the named ones.
        """
        best, named_logp = reply.ids[at], reply.named_logp[at][: len(named)].astype(np.float64)
        words = np.concatenate([best, np.array(named, np.int64)])
        logp = np.concatenate([reply.logp[at].astype(np.float64), named_logp])
        is_named = np.arange(len(words)) >= len(best)
        forced = self._forced(len(tokens))
        if forced is not None:
            is_free = len(tokens) < self._num_free or (self._profile == "hf" and self._is_last(len(tokens)))
            costs = 0.0 if is_free else logp
            scores = np.where(is_named & (words == forced), costs, -np.inf)
            return words, scores, logp
        if self._walk is not None:
            return words, self._phrased(words, logp, is_named, self._said(tokens)), logp
        # A word that was named counts there alone.
        is_out = (~is_named & _among(words, named)) | _among(words, self._banned(tokens))
        scores = np.where(is_out | (logp < IMPOSSIBLE), -np.inf, logp)
        if self._penalty != 1.0:
            scores = np.where(is_named, self._repeated(scores, float(reply.normaliser[at])), scores)
        if self._renormalises:
            scores = scores - self._log_mass(scores, is_named, named_logp)
        if not (scores > -np.inf).any():  # every word is forbidden: then all words are here, and the end comes
            end = np.flatnonzero((words == self._eos_id) & (logp >= IMPOSSIBLE))[:1]
            scores[end] = logp[end]
        return words, scores, logp

    def _said(self, tokens: list[int]) -> list[int]:
        """What was said behind the prefix."""
        return tokens[len(self._prefix) :]

    def _without_suppressed(self, words: Ints) -> Ints:
        return words[~_among(words, self._suppressed)] if self._suppressed else words

    def _phrased(self, words: Ints, logp: Floats, is_named: Bools, said: list[int]) -> Floats:
        """Scores of the words that the phrasing allows; where its end is near, of the best that still lead to it."""
        assert self._walk is not None, "there is a phrasing"
        allowed = self._walk.allowed(said)
        is_out = ~is_named
        if allowed.is_most:
            is_out = ~np.isin(words, self._without_suppressed(allowed.words))
        scores: Floats = np.where(is_out | (logp < IMPOSSIBLE), -np.inf, logp)
        if not allowed.is_near:
            return scores
        fitting = self._walk.fitting(said, words[best_of(scores, max(TRIED, 2 * self._width))].tolist())
        return np.where(np.isin(words, list(fitting)), scores, -np.inf)

    def _forced(self, length: int) -> int | None:
        """The only word that may come at this length."""
        if length < len(self._prefix):
            return self._prefix[length]
        return self._last_id if self._is_last(length) else None

    def _is_last(self, length: int) -> bool:
        """Whether the word at this length is the last within the limit, and a given one."""
        return length == self._last_at and length >= len(self._prefix)

    def _banned(self, tokens: list[int]) -> set[int]:
        """Words that must not follow these tokens."""
        banned = set(self._suppressed)
        if len(tokens) < self._min_length:
            banned.add(self._eos_id)
        n = self._ngram
        if n:
            said = [*self._before, *tokens]
            stem = said[max(0, len(said) - n + 1) :]
            banned.update(said[i + n - 1] for i in range(len(said) - n + 1) if said[i : i + n - 1] == stem)
        if self._source_next:
            read = (self._start_id, *tokens)
            banned |= self._source_next.get(read[len(read) - self._source_ngram + 1 :], set())
        return banned

    def _repeatable(self, tokens: list[int]) -> set[int]:
        """Words that the repetition penalty is for."""
        return {*self._before, *tokens} if self._penalty != 1.0 else set()

    def _repeated(self, logp: Floats, normaliser: float) -> Floats:
        """Scores under the repetition penalty."""
        if self._profile == "hf" and self._width > 1:
            return logp * self._penalty
        logits = logp + normaliser
        return np.where(logits > 0, logits / self._penalty, logits * self._penalty) - normaliser

    def _log_mass(self, scores: Floats, is_named: Bools, named_logp: Floats) -> float:
        """Log of the probability that a row's words have left: all that were not named, and what became of the named.

        Rounding may leave less than what the best words have. Those count that every reply has: others that are
        decoded beside this segment may have asked for more.
        """
        rest = 1.0 - float(np.exp(named_logp).sum())
        best = scores[~is_named & (scores > -np.inf)][: num_candidates(self._profile, self._width)]
        unnamed = float(np.logaddexp.reduce(best, initial=-np.inf))
        if rest > 0.0:
            unnamed = max(unnamed, math.log(rest))
        mass = float(np.logaddexp.reduce(scores[is_named], initial=unnamed))
        return mass if mass > -math.inf else 0.0


def best_of(scores: Floats, count: int) -> Ints:
    """Where the best `count` are, and those that are as good as the last of them; nothing that is impossible."""
    least = -np.inf if len(scores) <= count else np.partition(scores, len(scores) - count)[len(scores) - count]
    return np.flatnonzero((scores >= least) & (scores > -np.inf))


def _among(words: Ints, few: Collection[int] | Ints) -> Bools:
    """Which of the words are among others: as `np.isin`, which takes five times as long for a few."""
    if len(few) > FEW:
        return np.isin(words, list(few))
    found: Bools = (words[:, None] == np.array(list(few), np.int64)).any(1)
    return found


def _followers(ids: tuple[int, ...], size: int) -> dict[tuple[int, ...], set[int]]:
    """What comes behind each sequence of size - 1 ids."""
    found: dict[tuple[int, ...], set[int]] = {}
    for at in range(len(ids) - size + 1 if size else 0):
        found.setdefault(ids[at : at + size - 1], set()).add(ids[at + size - 1])
    return found
