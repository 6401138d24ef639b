"""How many sources go into one run."""

from dataclasses import replace

import pytest

from dragoman.bundle.manifest import Architecture
from dragoman.server.runtime.run_limits import sources_of_a_run

BIG = Architecture(256, 8, 1024, 6, 2, 32_000, 32_000)


@pytest.mark.parametrize(
    ("rows", "seen", "words", "count"),
    [
        (1, 64, None, 262),
        (1, 64, 3_000, 2796),
        (16, 64, None, 16),
        (16, 512, 1_000, 64),
        (32, 16_384, 1_000, 1),
        (32, 64, 256_000, 1),
        (16, 0, 1_000, 524),
    ],
)
def test_neither_logits_nor_scores_are_too_many(rows: int, seen: int, words: int | None, count: int) -> None:
    """One source at least, however much it is."""
    assert sources_of_a_run(BIG, rows=rows, seen=seen, words=words) == count


def test_a_model_without_heads_attends_once() -> None:
    """Recurrent decoders have none that are counted."""
    assert sources_of_a_run(replace(BIG, heads=0), rows=16, seen=512, words=1) == 512
