"""When speculation is left out, and that it comes back."""

from itertools import groupby

from dragoman.server.decode.draft_costs import PROBE_ROUNDS, TRIAL_ROUNDS, Costs, bucket


def play(
    costs: Costs, sources: int, rounds: int, *, plain_s: float, speculative_s: float, tokens: float, first_s: float = 0
) -> list[bool]:
    """Rounds whose costs are these, `first_s` more for the first with drafts of every six; which of them speculated."""
    went: list[bool] = []
    for _ in range(rounds):
        went.append(costs.wants_drafts(sources))
        if went[-1]:
            extra = first_s if went.count(True) % 6 == 1 else 0
            costs.note(sources, speculative_s + extra, round(tokens * sources), is_drafted=True)
        else:
            costs.note(sources, plain_s, sources, is_drafted=False)
    return went


def stretches(went: list[bool]) -> list[tuple[bool, int]]:
    return [(way, len([*rounds])) for way, rounds in groupby(went)]


def test_sizes_up_to_a_power_of_two_are_measured_together():
    """Few sizes, so that each is seen often."""
    assert [bucket(n) for n in (1, 2, 3, 4, 5, 16, 17)] == [1, 2, 4, 4, 8, 16, 32]


def test_it_goes_on_where_it_pays_and_stops_where_it_does_not():
    """Each size for itself; both ways are tried first, and the other way again every so often."""
    costs = Costs()

    alone = play(costs, 1, 2 * PROBE_ROUNDS, plain_s=1.0, speculative_s=1.5, tokens=3)
    many = play(costs, 16, 2 * PROBE_ROUNDS, plain_s=1.0, speculative_s=4.0, tokens=3)

    tried = TRIAL_ROUNDS
    assert stretches(alone)[:4] == [(True, tried), (False, tried), (True, PROBE_ROUNDS), (False, tried)]
    assert stretches(many)[:3] == [(True, tried), (False, tried + PROBE_ROUNDS), (True, tried)]
    assert costs.stops_at == 16


def test_what_is_drafted_once_for_a_source_is_shared_by_its_rounds():
    """A first round that takes as long as seven tokens, and five cheap ones of four tokens each: that pays."""
    costs = Costs()

    rounds = 2 * PROBE_ROUNDS
    went = play(costs, 1, rounds, plain_s=1.0, speculative_s=1.5, tokens=4, first_s=7)

    assert went.count(True) == rounds - 2 * TRIAL_ROUNDS
    assert costs.stops_at is None


def test_it_comes_back_when_the_costs_have_changed():
    """Trials notice; nothing is remembered for ever."""
    costs = Costs()
    play(costs, 4, 3 * TRIAL_ROUNDS, plain_s=1.0, speculative_s=4.0, tokens=2)
    assert costs.stops_at == 4

    went = play(costs, 4, 10 * PROBE_ROUNDS, plain_s=1.0, speculative_s=1.2, tokens=2)

    assert went[-PROBE_ROUNDS:].count(True) >= PROBE_ROUNDS - TRIAL_ROUNDS
    assert costs.stops_at is None
