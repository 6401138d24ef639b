"""Who has had least, on a clock of plain numbers."""

import itertools

import numpy as np
import pytest

from dragoman.server.lanes.shares import Shares


def run(shares: Shares[str], turns: dict[str, float], seconds: float, weights: dict[str, float] | None = None):
    """Take turns of these lengths for so long; the names in order, and the time that each has had."""
    order, had = [], dict.fromkeys(turns, 0.0)
    while sum(had.values()) < seconds:
        name = shares.next(turns)
        shares.charge(name, turns[name], (weights or {}).get(name, 1.0))
        order.append(name)
        had[name] += turns[name]
    return order, had


def test_those_who_come_together_go_in_turn() -> None:
    """Of equals the first; then whoever has had less."""
    order, _ = run(Shares(), {"long": 3.0, "short": 1.0}, 12.0)

    assert order == ["long", "short", "short", "short"] * 2


def test_what_has_short_turns_waits_for_one_long_turn() -> None:
    """A newcomer goes next, however long the other has been there, and takes twice as long as alone, not more."""
    shares: Shares[str] = Shares()
    run(shares, {"bulk": 50.0}, 10_000.0)

    order, _ = run(shares, {"bulk": 50.0, "light": 1.0}, 100.0)

    assert order[:50] == ["light"] * 50
    assert order[50] == "bulk"


def test_coming_back_gains_nothing() -> None:
    """One who leaves after each turn and comes again has no more than one who stays."""
    shares: Shares[str] = Shares()
    had = {"stays": 0.0, "comes again": 0.0}
    for present in itertools.islice(itertools.cycle([["stays", "comes again"], ["stays"]]), 4000):
        name = shares.next(present)
        seconds = {"stays": 7.0, "comes again": 2.0}[name]
        shares.charge(name, seconds)
        had[name] += seconds

    assert had["comes again"] <= had["stays"] + 7.0


def test_time_is_shared_by_weight() -> None:
    """In proportion, as long as both are there."""
    _, had = run(Shares(), {"four": 2.0, "sixteen": 3.0}, 12_000.0, {"four": 2.0, "sixteen": 4.0})

    assert had["sixteen"] / had["four"] == pytest.approx(2.0, rel=0.01)


@pytest.mark.parametrize("seed", range(20))
def test_none_is_far_behind_another(seed: int) -> None:
    """Over any stretch in which two are there, their times for their weights differ by a turn of each at most."""
    rng = np.random.default_rng(seed)
    names = "abcdef"
    longest = {name: float(rng.uniform(1, 30)) for name in names}
    weight = {name: float(rng.uniform(1, 4)) for name in names}
    shares: Shares[str] = Shares()
    present = {"a"}
    had = dict.fromkeys(names, 0.0)
    together: dict[tuple[str, str], list[float]] = {}
    for _ in range(2000):
        if rng.random() < 0.05:
            present ^= {str(rng.choice(list(names)))}
        present |= set() if present else {"a"}
        together = {pair: had for pair, had in together.items() if present.issuperset(pair)}
        for pair in itertools.combinations(sorted(present), 2):
            together.setdefault(pair, []).append(had[pair[0]] - had[pair[1]])
        name = shares.next(sorted(present))
        seconds = float(rng.uniform(0, longest[name]))
        shares.charge(name, seconds, weight[name])
        had[name] += seconds / weight[name]

        for (one, other), gaps in together.items():
            bound = longest[one] / weight[one] + longest[other] / weight[other]
            assert max(gaps) - min(gaps) <= bound


def test_roots_slow_down_all_together_the_least() -> None:
    """Of all ways to part the time between thirty sources and one, each step of which serves its whole group."""
    many, shares = 30, np.linspace(0.01, 0.99, 9801)

    best = float(shares[(many / shares + 1 / (1 - shares)).argmin()])

    assert best / (1 - best) == pytest.approx(many**0.5, rel=0.01)
