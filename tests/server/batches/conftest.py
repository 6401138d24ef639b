"""A slow, obvious decoder of the fake runtime's model, and a loop that drives a group as a lane does."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from fake_runtime import FAKE_WORDS, FakeRuntime

from dragoman.bundle.manifest import Decoding, Nat
from dragoman.server.batches.encoding import encode
from dragoman.server.batches.group import Group
from dragoman.server.core.segments import Decoded, Segment

END, UNKNOWN = 0, 1
GREEDY = Decoding(max_length=20, beam_size=1)
NAT = {
    "ctc": Nat("ctc", 1, 64, upsample=2, blank_id=2, refines=True),
    "mask-predict": Nat("mask-predict", 1, 64, "shown", mask_id=FAKE_WORDS, last_id=END, length_classes=16, block=3),
}


class Work:
    """What tests of groups share."""

    GREEDY, NAT = GREEDY, NAT

    @staticmethod
    def segments(count: int, **fields: object) -> list[Segment]:
        """Sources of 1 to 20 words, of which every length has another."""
        rng = np.random.default_rng(3)
        ids = [(*map(int, rng.integers(3, FAKE_WORDS, n % 20)), END) for n in range(count)]
        return [replace(Segment(one, GREEDY), **fields) for one in ids]  # type: ignore[arg-type]

    @staticmethod
    def greedily(runtime: FakeRuntime, segment: Segment) -> tuple[int, ...]:
        """Word by word, the best that may be said."""
        tokens: list[int] = []
        while len(tokens) < segment.max_target_tokens:
            logp = runtime.logp(segment.ids, tokens).copy()
            logp[UNKNOWN] = -np.inf
            word = int(logp.argmax())
            if word == END:
                break
            tokens.append(word)
        return tuple(tokens)

    @staticmethod
    def run(
        runtime: FakeRuntime, group: Group[int], segments: Sequence[Segment], *, places: int, hidden: bool = False
    ) -> dict[int, Decoded]:
        """Decode all, so many at a time: who leaves is followed by the next."""
        waiting, finished = list(range(len(segments)))[::-1], dict[int, Decoded]()
        while waiting or len(group):
            while waiting and len(group) < places:
                n = waiting.pop()
                group.admit(n, segments[n], encode(runtime, [segments[n]], hidden=hidden)[0])
            finished |= dict(group.step())
        return finished


@pytest.fixture(scope="session")
def work() -> type[Work]:
    return Work
