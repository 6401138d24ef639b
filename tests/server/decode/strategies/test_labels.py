"""Rules of labels: what a request may ask for."""

from typing import Any

import pytest

from dragoman.bundle.manifest import Decoding
from dragoman.bundle.reader import Bundle
from dragoman.server.core.limits import Bounds
from dragoman.server.core.strategies import Beam
from dragoman.server.decode.strategies.labels import Labels


@pytest.mark.parametrize(
    ("labels", "given", "fields"),
    [
        (Labels(("a", "b")), {}, []),
        (Labels(("a", "b"), most=2, separator=" | "), {"beam_size": 4}, []),
        (Labels(()), {}, ["decoding.choice.labels"]),
        (Labels(("a", "a")), {}, ["decoding.choice.labels"]),
        (Labels(("a",), most=2), {}, ["decoding.choice.most"]),
        (Labels(("a", "b"), most=2, separator=" "), {}, ["decoding.choice.separator"]),
        (
            Labels(("a",)),
            {"max_length": 3, "repetition_penalty": 2.0},
            ["decoding.max_length", "decoding.repetition_penalty"],
        ),
    ],
)
def test_labels_have_rules(bundle: Bundle, labels: Labels, given: dict[str, Any], fields: list[str]) -> None:
    """Each label once, as many as there are, something between them, and nothing that would cut them."""
    decoding = Decoding(max_length=64)

    wrong = labels.violations(decoding, given, decoding, Bounds(8, 8, bundle.manifest))

    assert [violation.field for violation in wrong] == fields
    assert labels.strategy(seed=1) == Beam()
