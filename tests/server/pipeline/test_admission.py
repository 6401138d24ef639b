"""Room in the backlog."""

import random

import pytest

from dragoman.server.core.errors import Overloaded
from dragoman.server.pipeline.admission import Admission, Reservation, estimate_tokens


def test_room_is_given_back_exactly_once() -> None:
    """Whatever order requests are reserved, corrected and released in, nothing is left, and the sum is always right."""
    dice = random.Random(7)
    admission = Admission(1000)
    live: dict[Reservation, int] = {}

    for _ in range(2000):
        match dice.randrange(3):
            case 0:
                tokens = dice.randrange(1, 400)
                try:
                    live[admission.reserve(tokens)] = tokens
                except Overloaded:
                    assert admission.held_tokens + tokens > 1000
            case 1 if live:
                one = dice.choice(list(live))
                live[one] = dice.randrange(1, 400)
                one.correct(live[one])
            case 2 if live:
                one = dice.choice(list(live))
                del live[one]
                one.release()
                one.release()
        assert (admission.held_tokens, admission.held_requests) == (sum(live.values()), len(live))

    for one in live:
        one.release()
    assert repr(admission) == "<Admission 0/1000 tokens, 0 requests>"


def test_the_last_token_fits_and_the_next_does_not() -> None:
    """The limit itself may be reached."""
    admission = Admission(10)
    with admission.reserve(10), pytest.raises(Overloaded, match="holds 10 source tokens and this request adds about 1"):
        admission.reserve(1)

    assert admission.held_tokens == 0


def test_the_estimate_counts_bytes() -> None:
    """Text of other scripts has more tokens a character, and an empty text its end token."""
    assert estimate_tokens(["", "abcdefgh", "日本語日"]) == 1 + 3 + 4
