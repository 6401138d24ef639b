"""What sources must have in common to be searched together."""

import pytest

from dragoman.bundle.manifest import Decoding
from dragoman.server.core.segments import Segment
from dragoman.server.core.strategies import Beam, Strategy
from dragoman.server.decode.layout import Layout
from dragoman.server.decode.strategies.alternatives import Alternatives
from dragoman.server.decode.strategies.diversity import Diversity
from dragoman.server.decode.strategies.forced import Forced
from dragoman.server.decode.strategies.sampling import Sampling


@pytest.mark.parametrize(
    ("strategy", "beam_size", "layout", "places"),
    [
        (Beam(), 4, Layout(1, 4, "fairseq"), 4),
        (Beam(), 1, Layout(1, 1, "marian"), 1),
        (Forced((7,)), 4, Layout(1, 1, "marian"), 1),
        (Diversity(2, 0.5), 4, Layout(2, 2, "fairseq"), 4),
        (Alternatives(3), 2, Layout(3, 2, "fairseq"), 6),
        (Sampling(seed=1), 1, Layout(3, 1, "marian", is_drawn=True), 3),
    ],
)
def test_a_strategy_and_its_settings_say_the_beams(
    strategy: Strategy, beam_size: int, layout: Layout, places: int
) -> None:
    """Toolkits differ in how they rank several: with one they share a batch, whichever it is."""
    decoding = Decoding(profile="fairseq", beam_size=beam_size, num_hypotheses=3)

    assert Layout.of(Segment((1,), decoding, strategy=strategy)) == layout
    assert layout.places == places
