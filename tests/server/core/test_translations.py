"""What comes back for each text."""

import dataclasses

from dragoman.server.core.segments import FinishReason
from dragoman.server.core.strategies import Engine
from dragoman.server.core.translations import TextHypothesis, Timings, Translation


def test_the_total_has_every_stage() -> None:
    """A stage that is added is part of it."""
    powers = {field.name: 2.0**n for n, field in enumerate(dataclasses.fields(Timings))}

    assert Timings(**powers).total_s == sum(powers.values())


def test_of_several_timings_the_one_that_ended_last_counts() -> None:
    """Nothing takes no time."""
    early, late = Timings(queue_s=3.0), Timings(queue_s=1.0, decode_s=2.5)

    assert Timings.last([early, late]) is late
    assert Timings.last([late, early]) is late
    assert Timings.last([]) == Timings()


def test_a_translation_is_its_best_hypothesis() -> None:
    """The first."""
    hypotheses = (TextHypothesis("best", -1.0, -1.0), TextHypothesis("second", -2.0, -2.0))

    assert Translation(hypotheses, FinishReason.STOP, Engine.BEAM, 3, 4, 1, 5, Timings()).text == "best"
