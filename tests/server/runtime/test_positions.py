"""What a position takes of memory, from the manifest alone."""

import pytest
from fake_runtime import FAKE_WORDS, FakeRuntime

from dragoman.bundle.manifest import Nat
from dragoman.server.runtime.positions import position_bytes

CTC = {"ctc": Nat("ctc", 1, 64, upsample=2, blank_id=2)}
MASKS = {"masks": Nat("mask-predict", 3, 64, "masks", mask_id=FAKE_WORDS, last_id=0, length_classes=16)}


@pytest.mark.parametrize(
    ("runtime", "floats"),
    [
        (FakeRuntime(), 8 + 2 * 8),  # a key and a value of two heads of two, for one layer that reads the source
        (FakeRuntime(decoder_layers=6), 6 * (8 + 2 * 8)),
        (FakeRuntime(decoder="ssru"), 8),  # states are as many as hypotheses, not as positions
        (FakeRuntime(nat=CTC), 8 + 2 * 8 + 4),  # and the encoder's rows
        (FakeRuntime(nat=MASKS), 8 + 2 * 8 + 4 + 3 * 8),  # and what another decoder reads of the source
    ],
    ids=["one", "six layers", "states", "ctc", "mask-predict"],
)
def test_slots_count_twice_and_sources_once(runtime: FakeRuntime, floats: int) -> None:
    """In numbers of four bytes, besides masks."""
    assert position_bytes(runtime.manifest) == 4 * floats + 80
