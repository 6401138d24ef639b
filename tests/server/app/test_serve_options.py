"""What `dragoman serve` can be told."""

from dataclasses import replace

import pytest

from dragoman.server.app.option_parsing import Option, declared
from dragoman.server.app.serve_options import GPU_LANES, ServeOptions
from dragoman.server.runtime.hardware import usable_cpus


@pytest.mark.parametrize(("lanes", "provider", "number"), [(3, "cuda", 3), (0, "cuda", GPU_LANES), (3, "cpu", 3)])
def test_lanes_are_those_that_are_asked_for_or_those_of_the_hardware(lanes: int, provider: str, number: int) -> None:
    """0 leaves it to the hardware."""
    assert replace(ServeOptions(), lanes=lanes, provider=provider).num_lanes == number
    assert replace(ServeOptions(), lanes=0, provider="cpu").num_lanes == usable_cpus()


@pytest.mark.parametrize("one", [*declared(ServeOptions)], ids=lambda one: one.name)
def test_every_option_is_described_in_a_sentence_and_every_number_has_bounds(one: Option) -> None:
    """Nobody finds out by trying."""
    assert one.meta.help.endswith(".")
    assert one.type not in (int, float) or None not in (one.meta.min, one.meta.max)
