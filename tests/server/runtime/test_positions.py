"""What a position takes of memory, from the manifest alone."""

from dataclasses import replace
from itertools import pairwise

import pytest
from fake_runtime import FAKE_WORDS, FakeRuntime

from dragoman.bundle.manifest import Approximation, Decoding, Limits, Manifest, Nat, Recurrent, Window
from dragoman.server.runtime.positions import (
    LEAST_TOKENS,
    LIMIT_GRAIN,
    encoder_bytes,
    position_bytes,
    readable_tokens,
    segment_bytes,
    state_positions,
)

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


def test_states_count_as_often_as_there_are_hypotheses() -> None:
    """Three times, as they are kept, made and handed out; a source's length does not matter to them."""
    linear = FakeRuntime(decoder="linear-attention", decoder_layers=3).manifest
    widths = 4 * 3 * 2 * 2 * 3  # bytes of three layers, two heads of two and a sum of weights

    assert position_bytes(linear) == 4 * 3 * 8 + 80
    assert segment_bytes(linear, 100, 7) - segment_bytes(linear, 100, 4) == 3 * (64 * 80 + 3 * widths)
    assert state_positions(linear) == -(-3 * widths // position_bytes(linear))
    assert state_positions(FakeRuntime().manifest) == 0


def long_manifest(window: Window | None, tokens: int = 16_000) -> Manifest:
    """One whose sources have so many tokens at most."""
    manifest = FakeRuntime(encoder_window=window, encoder_positions=tokens).manifest
    return replace(manifest, limits=Limits(tokens, 100))


@pytest.mark.parametrize("window", [Window((3,)), Window((512,), first=1), Window((127,), summed=16), None])
@pytest.mark.parametrize("megabytes", [1, 20, 77, 300])
def test_sources_are_as_long_as_memory_allows_and_no_longer(window: Window | None, megabytes: int) -> None:
    """What is read at a time fits, and so much more would not; what fits anyway stays what the manifest says."""
    manifest, memory = long_manifest(window), megabytes << 20

    most = readable_tokens(manifest, memory)

    assert segment_bytes(manifest, most) <= memory or most == LEAST_TOKENS
    assert most == 16_000 or segment_bytes(manifest, most + LIMIT_GRAIN) > memory


def test_memory_of_windows_grows_with_the_length_and_of_sums_with_its_square() -> None:
    """Sums are seen by all words, and there are the more of them the longer a source is; of one block at a time."""
    near, summed = Window((127,)), Window((127,), summed=16)

    def more(window: Window, tokens: int) -> int:
        manifest = long_manifest(window)
        return segment_bytes(manifest, tokens + 4000) - segment_bytes(manifest, tokens)

    assert more(near, 4000) == more(near, 12_000)
    assert more(summed, 4000) < more(summed, 12_000) < 2 * more(summed, 4000)


def test_wider_windows_take_memory_once_and_not_for_each_word() -> None:
    """Blocks are read one behind another; what sees all of a source has scores of each word."""
    narrow, wide, seeing = (long_manifest(each) for each in (Window((127,)), Window((512,)), Window((127,), first=2)))

    def growth(manifest: Manifest) -> int:
        return encoder_bytes(manifest, 8000) - encoder_bytes(manifest, 4000)

    assert growth(narrow) == growth(wide) < growth(seeing)


def test_short_sources_are_read_however_little_memory_there_is() -> None:
    """By any encoder, with the bundle's own beams, or others of as many slots; not with whatever may be asked."""
    for window in (None, Window((3,))):
        assert readable_tokens(long_manifest(window), 1) == LEAST_TOKENS
        assert readable_tokens(long_manifest(window, 100), 1) == 100
    four = replace(long_manifest(None), decoding=Decoding(beam_size=4))
    assert [readable_tokens(four, 1, width) for width in (1, 4, 5)] == [LEAST_TOKENS, LEAST_TOKENS, 0]
    assert readable_tokens(four, 1, 2, 2 * LEAST_TOKENS) == LEAST_TOKENS
    assert readable_tokens(four, 1, 2, 2 * LEAST_TOKENS + 1) == 0


def test_few_tokens_are_better_than_none() -> None:
    """Of wide decoding there may be room for fewer than a coarse grain has."""
    manifest = replace(long_manifest(None), limits=Limits(16_000, 16_000))
    memory = segment_bytes(manifest, 30, 100)

    assert readable_tokens(manifest, memory, 100) == 28
    assert readable_tokens(manifest, segment_bytes(manifest, 3, 100), 100) == 0


def test_hypotheses_side_by_side_count_with_all_their_tokens() -> None:
    """As many as a source has, or more that are demanded, up to the bundle's most; the source counts once."""
    manifest = replace(long_manifest(Window((127,))), limits=Limits(16_000, 1000))
    slot = segment_bytes(manifest, 100, 2) - segment_bytes(manifest, 100, 1)

    assert segment_bytes(manifest, 100, 9) - segment_bytes(manifest, 100, 1) == 8 * slot
    assert segment_bytes(manifest, 100, 2, 300) - segment_bytes(manifest, 100, 2) == 2 * 2 * slot
    assert segment_bytes(manifest, 5000, 2) - segment_bytes(manifest, 5000, 1) == 10 * slot
    memory = segment_bytes(manifest, 9000)
    narrow, wide = (readable_tokens(manifest, memory, width) for width in (1, 9))
    assert 0 < wide < narrow == 9000 // LIMIT_GRAIN * LIMIT_GRAIN


def test_scores_of_all_words_for_all_count_with_the_square_and_cells_with_the_length() -> None:
    """An encoder without windows holds a few copies of one layer's scores; a recurrent one has none."""
    full = long_manifest(None)
    cells = replace(full, architecture=replace(full.architecture, heads=0, recurrent=Recurrent(8, 8, 8, 8)))

    def more(manifest: Manifest, tokens: int) -> int:
        return encoder_bytes(manifest, 2 * tokens) - 2 * encoder_bytes(manifest, tokens)

    assert more(full, 1000) == 4 * 3 * full.architecture.heads * 2 * 1000**2
    assert more(cells, 1000) == 0 < encoder_bytes(cells, 1000)


@pytest.mark.parametrize(
    ("form", "power"),
    [
        (Approximation("linear"), 1),
        (Approximation("linformer", 256), 1),
        (Approximation("compressed", 3), 1),
        (Approximation("sinkhorn", 64, rounds=5), 2),
        (Approximation("lsh", 64, 32, 2), 1),
        (Approximation("routing", 64, 16), 1),
    ],
)
def test_approximations_count_what_they_hold(form: Approximation, power: int) -> None:
    """By the length, and blocks that are sorted by its square; all less than scores of all words for all."""
    manifest, full = (FakeRuntime(encoder_attention=each, encoder_positions=16_000).manifest for each in (form, None))

    sizes = [encoder_bytes(manifest, tokens) for tokens in (4000, 8000, 12_000)]

    rises = [longer - shorter for shorter, longer in pairwise(sizes)]
    assert (abs(rises[1] - rises[0]) > rises[0] // 100) == (power == 2)
    assert sizes[-1] < encoder_bytes(full, 12_000)
