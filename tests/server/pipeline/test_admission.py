"""Room in the backlog."""

import random

import pytest

from dragoman.server.core.errors import InvalidRequest, Overloaded
from dragoman.server.pipeline.admission import Admission, Reservation


def test_room_is_given_back_exactly_once() -> None:
    """Whatever order requests are reserved, corrected, given back in parts and released in, nothing is left, the sum is
    always right, and the limit holds.
    """
    dice = random.Random(7)
    admission = Admission(1000)
    live: dict[Reservation, int] = {}

    for _ in range(3000):
        tokens = dice.randrange(1, 400)
        match dice.randrange(4):
            case 0:
                try:
                    live[admission.reserve(tokens)] = tokens
                except Overloaded:
                    assert admission.held_tokens + tokens > 1000
            case 1 if live:
                one = dice.choice(list(live))
                try:
                    one.correct(tokens)
                    live[one] = tokens
                except Overloaded:
                    assert admission.held_tokens - live[one] + tokens > 1000
            case 2 if live:
                one = dice.choice(list(live))
                given_back = dice.randrange(live[one] + 1)
                one.give_back(given_back)
                live[one] -= given_back
            case 3 if live:
                one = dice.choice(list(live))
                del live[one]
                one.release()
                one.release()
        assert (admission.held_tokens, admission.held_requests) == (sum(live.values()), len(live))
        assert admission.held_tokens <= 1000

    for one in live:
        one.release()
    assert repr(admission) == "<Admission 0/1000 tokens, 0 requests>"


def test_the_last_token_fits_and_the_next_does_not() -> None:
    """The limit itself may be reached."""
    admission = Admission(10)
    with admission.reserve(10), pytest.raises(Overloaded, match="holds 10 source tokens and this request adds about 1"):
        admission.reserve(1)

    assert admission.held_tokens == 0


def test_a_low_estimate_admits_nothing() -> None:
    """A count that will fit is told when to try again, one that never would which field is at fault."""
    admission = Admission(10)
    with admission.reserve(4), admission.reserve(2, field="pairs") as low:
        with pytest.raises(Overloaded) as refused:
            low.correct(7, wait_s=3.0)
        with pytest.raises(InvalidRequest, match="pairs: about 11 source tokens, and the whole backlog takes 10"):
            low.correct(11)

        assert (refused.value.retry_after_s, refused.value.wanted, admission.held_tokens) == (3.0, 7, 6)
        low.correct(6)

    assert admission.held_tokens == 0


def test_there_is_room_for_what_would_be_let_in() -> None:
    """To the last token, and a reservation holds what it was made for and less."""
    admission = Admission(10)
    with admission.reserve(6) as reservation:
        assert (admission.has_room(4), admission.has_room(5)) == (True, False)
        assert (reservation.holds(6), reservation.holds(7)) == (True, False)
    assert admission.has_room(10)
