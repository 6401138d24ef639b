"""What a position takes of memory, from the manifest alone."""

from dataclasses import replace

import pytest
from fake_runtime import FAKE_WORDS, FakeRuntime

from dragoman.bundle.manifest import Limits, Manifest, Nat, Window
from dragoman.server.runtime.positions import LEAST_TOKENS, LIMIT_GRAIN, position_bytes, readable_tokens, source_bytes

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


def long_manifest(window: Window | None, tokens: int = 16_000) -> Manifest:
    """One whose sources have so many tokens at most."""
    manifest = FakeRuntime(encoder_window=window, encoder_positions=tokens).manifest
    return replace(manifest, limits=Limits(tokens, 100))


@pytest.mark.parametrize("window", [Window((3,)), Window((512,), first=1), Window((127,), summed=16)])
@pytest.mark.parametrize("megabytes", [1, 20, 77, 300])
def test_sources_are_as_long_as_memory_allows_and_no_longer(window: Window, megabytes: int) -> None:
    """What is read at a time fits, and so much more would not; what fits anyway stays what the manifest says."""
    manifest, memory = long_manifest(window), megabytes << 20

    most = readable_tokens(manifest, memory)

    assert source_bytes(manifest, window, most) <= memory or most == LEAST_TOKENS
    assert most == 16_000 or source_bytes(manifest, window, most + LIMIT_GRAIN) > memory


def test_memory_of_windows_grows_with_the_length_and_of_sums_with_its_square() -> None:
    """Sums are seen by all words, and there are the more of them the longer a source is; of one block at a time."""
    near, summed = Window((127,)), Window((127,), summed=16)
    manifest = long_manifest(near)

    def more(window: Window, tokens: int) -> int:
        return source_bytes(manifest, window, tokens + 4000) - source_bytes(manifest, window, tokens)

    assert more(near, 4000) == more(near, 12_000)
    assert more(summed, 4000) < more(summed, 12_000) < 2 * more(summed, 4000)


def test_wider_windows_take_memory_once_and_not_for_each_word() -> None:
    """Blocks are read one behind another; what sees all of a source has scores of each word."""
    narrow, wide, seeing = (long_manifest(each) for each in (Window((127,)), Window((512,)), Window((127,), first=2)))

    def growth(manifest: Manifest) -> int:
        window = manifest.architecture.encoder_window
        assert window is not None
        return source_bytes(manifest, window, 8000) - source_bytes(manifest, window, 4000)

    assert growth(narrow) == growth(wide) < growth(seeing)


def test_other_encoders_read_what_their_bundle_says() -> None:
    """However little memory there is, short sources are no matter of it; long ones have their own least length."""
    assert readable_tokens(long_manifest(None), 1) == 16_000
    assert readable_tokens(long_manifest(Window((3,))), 1) == LEAST_TOKENS
    assert readable_tokens(long_manifest(Window((3,)), 100), 1) == 100
