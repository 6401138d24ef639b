"""When speculation is left out, and that it comes back."""

from __future__ import annotations

import pytest

from dragoman.server.costs import PROBE_ROUNDS, SAMPLES, Costs, bucket, pays


def play(costs: Costs, sources: int, rounds: int, *, plain_s: float, speculative_s: float, tokens: float) -> list[bool]:
    """Rounds whose costs are these; which of them speculated."""
    went = []
    for _ in range(rounds):
        went.append(costs.wants_drafts(sources))
        if went[-1]:
            costs.note_speculative(sources, speculative_s, round(tokens * sources))
        else:
            costs.note_plain(sources, plain_s)
    return went


def test_sizes_up_to_a_power_of_two_are_measured_together():
    """Few sizes, so that each is seen often."""
    assert [bucket(n) for n in (1, 2, 3, 4, 5, 16, 17)] == [1, 2, 4, 4, 8, 16, 32]


@pytest.mark.parametrize(("tokens", "plain_s", "speculative_s", "expected"), [(3, 1, 2.9, True), (3, 1, 3, False)])
def test_it_pays_where_more_comes_of_the_same_time(tokens, plain_s, speculative_s, expected):
    """A round of three tokens may take less than three steps."""
    assert pays(tokens, plain_s, speculative_s) is expected


def test_it_goes_on_where_it_pays_and_stops_where_it_does_not():
    """Each size for itself; both ways are measured first, and the other way is tried every so often."""
    costs = Costs()

    alone = play(costs, 1, 200, plain_s=1.0, speculative_s=1.5, tokens=3)
    many = play(costs, 16, 200, plain_s=1.0, speculative_s=4.0, tokens=3)

    assert alone[: 2 * SAMPLES] == many[: 2 * SAMPLES] == [True] * SAMPLES + [False] * SAMPLES
    assert alone[2 * SAMPLES :].count(False) == many[2 * SAMPLES :].count(True) == 194 // PROBE_ROUNDS
    assert costs.stops_at == 16


def test_it_comes_back_when_the_costs_have_changed():
    """Probing notices; nothing is remembered for ever."""
    costs = Costs()
    play(costs, 4, 50, plain_s=1.0, speculative_s=4.0, tokens=2)
    assert costs.stops_at == 4

    went = play(costs, 4, 40 * PROBE_ROUNDS, plain_s=1.0, speculative_s=1.2, tokens=2)

    assert went[-10:].count(True) >= 9
    assert costs.stops_at is None
