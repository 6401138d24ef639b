"""Where the marks of a sentence stand in its translation: around the words that translate theirs.

Marks are a tree, and a mark takes a run of the target's words within its parent's: the run that got most of its
attention from the mark's words and least from others. So nesting is valid whatever the attention says, and every mark
is placed exactly once. One that began in an earlier sentence takes words from the beginning on, one that ends in a
later sentence words up to the end. A mark around nothing stands beside the word that translates its neighbour.
"""

import itertools
import math
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from dragoman.server.core.spans import Span
from dragoman.server.text.markup.document import Mark

Gains = npt.NDArray[np.float64]
"""For each target word what is gained with it."""
Shares = npt.NDArray[np.float64]
"""[target words, source words]: what share of a target word's attention each source word has."""

ENOUGH = 0.5
"""A target word is a mark's if the mark's words have more than this share of it."""
FAVOUR = 0.05
"""What a word of a mark counts besides, so that a run over one other word is better than a part of it."""
MUTUALITY = 2
"""How much it counts that other words of the target attend to a word, too. 1.5 to 3 place about equally well."""
FAINTEST = 0.1
"""A mark that is around no word for the most part is put around the one that got at least this share from it."""


class Sentence(NamedTuple):
    """A text and its words."""

    text: str
    words: Sequence[Span]


class Insertion(NamedTuple):
    """A slice of the source that goes into the translation."""

    at: int
    source: Span
    before: str = ""
    """White space that goes with it."""
    after: str = ""


@dataclass(slots=True)
class _Node:
    """Marks around the same words, or around nothing at the same place, and what is within."""

    start: int
    end: int
    before: list[Span] = field(default_factory=list)
    after: list[Span] = field(default_factory=list)
    is_begun: bool = False
    """Whether it begins in an earlier sentence."""
    is_left: bool = False
    """Whether it ends in a later one."""
    children: list["_Node"] = field(default_factory=list)
    run: Span = field(default=Span(0, 0))
    """The target's words that it is around."""

    @property
    def is_void(self) -> bool:
        return self.start == self.end


def place(marks: Sequence[Mark], source: Sentence, target: Sentence, shares: Shares | None = None) -> list[Insertion]:
    """What goes into the target, in order. Without shares, words are taken to keep their relative positions."""
    if not marks:
        return []
    if shares is None:
        shares = proportional(source, target)
    source, target, shares = _split(marks, source, target, shares)
    root = _tree(marks, len(source.text))
    root.run = Span(0, len(target.words))
    placer = _Placer(source, target, shares)
    waiting = [root]
    while waiting:
        node = waiting.pop()
        placer.place_within(node)
        waiting += (child for child in node.children if child.children)
    return list(_written(root, source, target))


def proportional(source: Sentence, target: Sentence) -> Shares:
    """Shares by relative position; words that are written alike and occur once in each have each other."""
    shares = np.zeros((len(target.words), len(source.words)))
    if not source.words or not target.words:
        return shares
    middles = [[(w.start + w.end) / 2 / max(1, len(text)) for w in words] for text, words in (source, target)]
    for row, middle in enumerate(middles[1]):
        shares[row, int(np.argmin(np.abs(np.array(middles[0]) - middle)))] = 1.0
    texts = [[text[slice(*word)].casefold() for word in words] for text, words in (source, target)]
    for row, written in enumerate(texts[1]):
        if texts[0].count(written) == texts[1].count(written) == 1:
            shares[row] = 0
            shares[row, texts[0].index(written)] = 1.0
    return shares


def _tree(marks: Sequence[Mark], length: int) -> _Node:
    """The root of all marks, which are in order. Marks that differ in nothing but what they are are one node."""
    root = _Node(0, length)
    path: list[tuple[float, _Node]] = [(math.inf, root)]  # where each node that is not at its end ends in the source
    for mark in marks:
        begun = mark.before.start if mark.before is not None else -1
        while path[-1][0] <= begun:
            path.pop()
        parent = path[-1][1]
        last = parent.children[-1] if parent.children else None
        if mark.is_void:
            assert mark.before is not None, "it is all that a mark around nothing has"
            if last is None or not last.is_void or last.start != mark.start:
                last = _Node(mark.start, mark.end)
                parent.children.append(last)
            last.before.append(mark.before)
            continue
        is_begun, is_left = mark.before is None, mark.after is None
        same = (parent.start, parent.end, parent.is_begun, parent.is_left) == (mark.start, mark.end, is_begun, is_left)
        node = parent
        if not same or parent is root or parent.children:
            node = _Node(mark.start, mark.end, is_begun=is_begun, is_left=is_left)
            parent.children.append(node)
        if mark.before is not None:
            node.before.append(mark.before)
        if mark.after is not None:
            node.after.append(mark.after)
        path.append((math.inf if mark.after is None else mark.after.start, node))
    return root


class _Placer:
    def __init__(self, source: Sentence, target: Sentence, shares: Shares) -> None:
        self._source, self._target, self._shares = source, target, shares
        self._certain = _mutual(shares)
        self._is_word = [any(map(str.isalnum, target.text[slice(*word)])) for word in target.words]
        self._words_alone = np.array(self._is_word, dtype=np.float64)
        self._starts, self._ends = [word.start for word in source.words], [word.end for word in source.words]

    def place_within(self, node: _Node) -> None:
        """Find the runs of a node's children within its own."""
        free = [node.run.start <= word < node.run.end for word in range(len(self._target.words))]
        around = [child for child in node.children if not child.is_void]
        gains = {id(child): self._gains(child) for child in around}
        best = {id(child): _best_run(gains[id(child)], free, child) for child in around}
        for child in sorted(around, key=lambda child: (not (child.is_begun or child.is_left), -best[id(child)][0])):
            gain, run = _best_run(gains[id(child)], free, child)
            if gain <= 0:
                run = self._faintest(child, free, node.run)
            child.run = self._with_punctuation(child, run, free, node.run)
            for word in range(*child.run):
                free[word] = False
        taken = [child.run for child in around]
        for child in node.children:
            if child.is_void:
                child.run = self._beside(child, node, taken)

    def _words(self, node: _Node) -> list[int]:
        """The source's words that a node is around, by half at least; else those that it touches."""
        touched = [
            (index, min(end, node.end) - max(start, node.start), end - start)
            for index in range(bisect_right(self._ends, node.start), bisect_left(self._starts, node.end))
            for start, end in (self._source.words[index],)
        ]
        return [index for index, inside, length in touched if 2 * inside >= length] or [index for index, *_ in touched]

    def _gains(self, node: _Node) -> Gains:
        """What is gained with each target word that is taken. Punctuation neither gains nor loses."""
        inside = self._certain[:, self._words(node)].sum(axis=1) - ENOUGH
        gains: Gains = (inside + FAVOUR * (inside > 0)) * self._words_alone
        return gains

    def _faintest(self, node: _Node, free: Sequence[bool], parent: Span) -> Span:
        """The one word that most likely translates a word of the node; none where nothing says so."""
        weights = self._certain[:, self._words(node)].sum(axis=1)
        words = [word for word in range(*parent) if free[word]]
        best = max(words, key=lambda word: (self._is_word[word], weights[word]), default=None)
        if best is not None and (node.is_begun or node.is_left):
            best = words[0] if node.is_begun else words[-1]
            if not (best == parent.start if node.is_begun else best == parent.end - 1):
                best = None
        elif best is not None and weights[best] < FAINTEST:
            middle = (node.start + node.end) / 2 / max(1, len(self._source.text)) * len(self._target.words)
            best = min(words, key=lambda word: (not self._is_word[word], abs(word + 0.5 - middle)))
        if best is not None:
            return Span(best, best + 1)
        if node.is_begun or node.is_left:
            edge = parent.start if node.is_begun else parent.end
        else:
            edge = self._outside(parent.end, [], parent)
        return Span(edge, edge)

    def _with_punctuation(self, node: _Node, run: Span, free: Sequence[bool], parent: Span) -> Span:
        """A run that has punctuation at its ends where the mark has it in the source."""
        start, end = run
        if start == end:
            return run
        text = self._source.text[node.start : node.end].strip() or " "
        if text[0].isalnum() and not node.is_begun:
            while start < end - 1 and not self._is_word[start]:
                start += 1
        elif not node.is_begun:
            while start > parent.start and free[start - 1] and self._is_like(start - 1, text[0]):
                start -= 1
        if text[-1].isalnum() and not node.is_left:
            while end > start + 1 and not self._is_word[end - 1]:
                end -= 1
        elif not node.is_left:
            while end < parent.end and free[end] and self._is_like(end, text[-1]):
                end += 1
        return Span(start, end)

    def _is_like(self, word: int, mark: str) -> bool:
        """Whether a target word is punctuation like this character."""
        written = self._target.text[slice(*self._target.words[word])]
        if self._is_word[word]:
            return False
        return written == mark or any(mark in kind and all(char in kind for char in written) for kind in _PUNCTUATION)

    def _beside(self, node: _Node, parent: _Node, taken: Sequence[Span]) -> Span:
        """The place of a mark around nothing, as an empty run."""
        words = self._source.words
        before, after = bisect_right(self._ends, node.start) - 1, bisect_left(self._starts, node.start)
        text = self._source.text
        is_glued = (
            node.start > 0 and not text[node.start - 1].isspace(),
            node.start < len(text) and not text[node.start].isspace(),
        )
        if before < 0 or words[before].end <= parent.start:
            place = parent.run.start
        elif after == len(words) or words[after].start >= parent.end:
            place = parent.run.end
        elif is_glued[0] and not is_glued[1]:
            place = self._translation(before, parent.run) + 1
        else:
            place = self._translation(after, parent.run)
        place = self._outside(max(parent.run.start, min(place, parent.run.end)), taken, parent.run)
        return Span(place, place)

    def _translation(self, word: int, run: Span) -> int:
        """The target word within a run that most likely translates a source word."""
        if run.start >= run.end:
            return run.start
        return run.start + int(self._certain[run.start : run.end, word].argmax())

    def _outside(self, place: int, taken: Sequence[Span], parent: Span) -> int:
        """The place itself, or the nearest that is not within a run."""
        for start, end in taken:
            if start < place < end:
                return start if place - start < end - place else end
        return min(place, parent.end)


_PUNCTUATION = (
    "\"\u201c\u201d\u00ab\u00bb\u201e'\u2018\u2019",
    ".\u3002",
    "!\u00a1\uff01",
    "?\u00bf\uff1f",
    ",;\uff0c",
    "([",
    ")]",
    ":\uff1a",
    "-\u2013\u2014",
    "\u2026.",
    "%",
)
"""Punctuation that stands for each other."""
_OPENING, _CLOSING = frozenset('([{"\u201c\u00ab\u00bf\u00a1\u2018'), frozenset(')]}"\u201d\u00bb.,;:!?\u2019')


def _mutual(shares: Shares) -> Shares:
    """How sure it is that words translate each other. A word of the target that attends to two of the source, as an
    article to its noun as well, belongs to the one that no other word attends to.
    """
    rows, columns = shares.sum(axis=1, keepdims=True), shares.sum(axis=0, keepdims=True)
    forth = np.divide(shares, rows, out=np.zeros_like(shares), where=rows > 0)
    back = np.divide(shares, columns, out=np.zeros_like(shares), where=columns > 0)
    both = forth * back**MUTUALITY
    totals = both.sum(axis=1, keepdims=True)
    certain: Shares = np.divide(both, totals, out=np.zeros_like(both), where=totals > 0)
    return certain


def _best_run(gains: Gains, free: Sequence[bool], node: _Node) -> tuple[float, Span]:
    """The run of free words with the greatest gain; of equal ones the shortest."""
    if node.is_begun or node.is_left:
        return _best_edge(gains, free, is_start=node.is_begun)
    best, run = 0.0, Span(0, 0)
    gaining = np.flatnonzero(gains > 0)
    if not len(gaining):
        return best, run
    total, start = 0.0, 0
    for word in range(int(gaining[0]), int(gaining[-1]) + 1):
        gain = float(gains[word])
        if not free[word] or total + gain <= 0:
            total, start = 0.0, word + 1
            continue
        if total <= 0:
            start = word
        total += gain
        if total > best + 1e-9:
            best, run = total, Span(start, word + 1)
    return best, run


def _best_edge(gains: Gains, free: Sequence[bool], *, is_start: bool) -> tuple[float, Span]:
    """The best run of free words that begins with the first one of them, or ends with the last one."""
    words = [word for word, is_free in enumerate(free) if is_free]
    if not words:
        return 0.0, Span(0, 0)
    if not is_start:
        words.reverse()
    reached = [word for number, word in enumerate(words) if word == words[0] + (number if is_start else -number)]
    totals = gains[reached].cumsum()
    best = int(totals.argmax())
    ends = reached[0], reached[best]
    return float(totals[best]), Span(min(ends), max(ends) + 1)


def _split(
    marks: Sequence[Mark], source: Sentence, target: Sentence, shares: Shares
) -> tuple[Sentence, Sentence, Shares]:
    """Words that a mark begins or ends within, and that stand in the target as they are, are several words in both."""
    edges = sorted({edge for mark in marks for edge in (mark.start, mark.end)})
    source_words, target_words = list[Span](), [[word] for word in target.words]
    split_from: dict[int, int] = {}
    origins: list[tuple[int, int | None]] = []  # the word, and its number among the parts of one that was split
    for index, word in enumerate(source.words):
        cuts = edges[bisect_right(edges, word.start) : bisect_left(edges, word.end)]
        row = _row(source.text[slice(*word)], target, shares[:, index]) if cuts and len(target.words) else -1
        pairs = _parts(source.text, word, cuts, target.text, target.words[row]) if row >= 0 else []
        if not pairs or len(target_words[row]) > 1:
            source_words.append(word)
            origins.append((index, None))
            continue
        target_words[row] = [said for _, said in pairs]
        split_from[row] = index
        source_words += (part for part, _ in pairs)
        origins += ((index, number) for number in range(len(pairs)))
    if len(source_words) == len(source.words):
        return source, target, shares
    rows = [
        (row, number if len(parts) > 1 else None)
        for row, parts in enumerate(target_words)
        for number in range(len(parts))
    ]
    split = shares[np.ix_([row for row, _ in rows], [column for column, _ in origins])]
    for place, (row, part) in enumerate(rows):
        for other, (column, number) in enumerate(origins):
            if part is not None or number is not None:  # parts have nothing but their counterparts
                split[place, other] = float(part == number and split_from.get(row) == column)
    words = [part for parts in target_words for part in parts]
    return Sentence(source.text, source_words), Sentence(target.text, words), split


def _row(written: str, target: Sentence, shares: Shares) -> int:
    """The target's word that translates a word: of those that are written alike, or else of all."""
    alike = [row for row, word in enumerate(target.words) if target.text[slice(*word)] == written]
    return max(alike or range(len(target.words)), key=lambda row: float(shares[row]))


def _parts(source: str, word: Span, cuts: Sequence[int], target: str, said: Span) -> list[tuple[Span, Span]]:
    """A word and its translation in parts: all of it where both are written alike, else an end that is."""
    written, translated = source[slice(*word)], target[slice(*said)]
    if written == translated:
        bounds = [word.start, *cuts, word.end]
        by = said.start - word.start
        return [(Span(a, b), Span(a + by, b + by)) for a, b in itertools.pairwise(bounds)]
    for cut in (cuts[-1], cuts[0]) if cuts else ():
        first, last = source[word.start : cut], source[cut : word.end]
        if translated.endswith(last) and translated != last:
            middle = said.end - len(last)
        elif translated.startswith(first) and translated != first:
            middle = said.start + len(first)
        else:
            continue
        return [(Span(word.start, cut), Span(said.start, middle)), (Span(cut, word.end), Span(middle, said.end))]
    return []


def _written(root: _Node, source: Sentence, target: Sentence) -> Iterator[Insertion]:
    """The insertions of a tree, in order."""
    reached = 0
    waiting: list[_Node | Insertion] = list(reversed(_in_order(root)))
    while waiting:
        item = waiting.pop()
        if isinstance(item, Insertion):
            reached = max(reached, item.at)
            yield item._replace(at=reached)
            continue
        start, end = _sides(item, source, target)
        if item.is_void:
            waiting += reversed(list(_void(item, source, target)))
            continue
        waiting += [Insertion(end, span) for span in item.after]  # the last one comes first: it is the inner one
        waiting += reversed(_in_order(item))
        waiting += reversed([Insertion(start, span) for span in item.before])


def _in_order(node: _Node) -> list[_Node]:
    return sorted(node.children, key=lambda child: child.run)


def _sides(node: _Node, source: Sentence, target: Sentence) -> tuple[int, int]:
    """Where a node begins and ends in the target."""
    start, end = node.run
    if start < end:
        first, last = target.words[start].start, target.words[end - 1].end
        text = source.text[node.start : node.end].strip()
        # Tokens of several marks, such as `%)`, are in one word with what stands before or behind them.
        while not node.is_left and last > first + 1 and target.text[last - 1] in _CLOSING and text[-1:].isalnum():
            last -= 1
        while not node.is_begun and first < last - 1 and target.text[first] in _OPENING and text[:1].isalnum():
            first += 1
        return first, last
    place = target.words[start].start if start < len(target.words) else len(target.text.rstrip())
    return place, place


def _void(node: _Node, source: Sentence, target: Sentence) -> Iterator[Insertion]:
    """Marks around nothing: beside the word that they touch in the source, or with a space on both sides."""
    place, text = node.run.start, source.text
    touches_before = node.start > 0 and not text[node.start - 1].isspace()
    touches_after = node.start < len(text) and not text[node.start].isspace()
    at = target.words[place].start if place < len(target.words) else len(target.text.rstrip())
    if touches_before and place > 0:
        at = target.words[place - 1].end
    before = after = ""
    is_spaced = 0 < node.start < len(text) and not touches_before and not touches_after
    if is_spaced and place < len(target.words):
        after = " "
        before = " " if at and not target.text[at - 1].isspace() else ""
    elif is_spaced:
        before = " "
    for number, span in enumerate(node.before):
        is_first, is_last = number == 0, number == len(node.before) - 1
        yield Insertion(at, span, before if is_first else "", after if is_last else "")
