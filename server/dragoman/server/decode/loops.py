"""When a hypothesis has fallen into a loop: the model says the same again and again, and would until its limit.

A loop is a cycle of a few tokens with which a hypothesis ends, repeated far more often than anything is in its source:
what says one word a thousand times may be translated as it stands. Whether it is one depends on the tokens and the
source alone, and is asked at every `EVERY`th token, so that all ways to decode a segment end it at the same place.
"""

from collections.abc import Sequence

import numpy as np

from dragoman.server.decode.arrays import Ints

EVERY = 16
"""Tokens between two looks. A power of two."""
LONGEST_CYCLE, LEAST_ROUNDS, LEAST_TOKENS = 8, 8, 16
ROUNDS_OF_A_ROUND = 4
"""Rounds of a cycle that each round of the source's may become: one word may be four, and its tokens cut otherwise."""
LONGEST_SOURCE_CYCLE = 32


def ends_in_a_loop(tokens: Sequence[int], most_rounds: int) -> bool:
    """Whether tokens end in a cycle that is repeated more than `most_rounds` times, and often in itself."""
    # Nearly all that is asked for is text, which has more words than a cycle has.
    if len(tokens) < LEAST_TOKENS or len(set(tokens[-LEAST_TOKENS:])) > LONGEST_CYCLE:
        return False
    return any(_ends_in(tokens, cycle, max(LEAST_ROUNDS, most_rounds + 1)) for cycle in range(1, LONGEST_CYCLE + 1))


def _ends_in(tokens: Sequence[int], cycle: int, rounds: int) -> bool:
    """Whether tokens end in so many rounds of a cycle of this length."""
    size = max(LEAST_TOKENS, cycle * rounds)
    return len(tokens) >= size and tokens[-size:-cycle] == tokens[len(tokens) - size + cycle :]


def allowed_rounds(source: Sequence[int]) -> int:
    """How often the translation of a source may repeat a cycle: the source's own rounds, and some for each of them."""
    ids = np.array(source)
    longest = max(_longest_run(ids, cycle) // cycle for cycle in range(1, LONGEST_SOURCE_CYCLE + 1))
    return ROUNDS_OF_A_ROUND * longest


def _longest_run(ids: Ints, cycle: int) -> int:
    """Tokens of the longest stretch that repeats a cycle of this length."""
    if len(ids) <= cycle:
        return 0
    changes = np.flatnonzero(ids[cycle:] != ids[:-cycle])
    edges = np.concatenate([[-1], changes, [len(ids) - cycle]])
    return int(np.diff(edges).max()) - 1 + cycle
