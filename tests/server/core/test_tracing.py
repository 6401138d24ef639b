"""Where a call belongs in its caller's trace."""

import random

import pytest

from dragoman.server.core.tracing import Trace, continued

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
GOOD = f"00-{TRACE}-{SPAN}-01"


def part(header: str | None, ratio: float = 0.0) -> Trace:
    return continued(header, ratio=ratio, random_bits=random.Random(1).getrandbits)


@pytest.mark.parametrize(
    ("header", "is_sampled"),
    [
        (GOOD, True),
        (f"00-{TRACE}-{SPAN}-00", False),
        (f"00-{TRACE}-{SPAN}-ff", True),
        (f"cc-{TRACE}-{SPAN}-01-x", True),
    ],
)
def test_a_callers_trace_goes_on(header: str, is_sampled: bool) -> None:
    """With its decision whether it is kept, whatever the ratio; of a later version what this one has is read."""
    for ratio in (0.0, 1.0):
        trace = part(header, ratio)
        assert (trace.hex_id, f"{trace.parent_id:016x}", trace.is_sampled) == (TRACE, SPAN, is_sampled)
        assert trace.span_id not in (0, trace.parent_id)


@pytest.mark.parametrize(
    "header",
    [
        None,
        "",
        GOOD[:-1],
        GOOD + "-x",
        GOOD.upper(),
        f" {GOOD}",
        f"ff-{TRACE}-{SPAN}-01",
        f"00-{'0' * 32}-{SPAN}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"00-{TRACE}-{SPAN}",
        f"00-{TRACE}-{SPAN}-01\n",
    ],
)
def test_without_a_good_header_a_trace_begins_here(header: str | None) -> None:
    """What is malformed is as good as none."""
    trace = part(header, 1.0)

    assert (trace.parent_id, trace.is_sampled, len(trace.hex_id)) == (0, True, 32)
    assert trace.hex_id != TRACE
    assert not part(header).is_sampled


def test_so_many_are_kept_as_the_ratio_says() -> None:
    """To chance's accuracy."""
    bits = random.Random(2).getrandbits
    kept = sum(continued(None, ratio=0.25, random_bits=bits).is_sampled for _ in range(10_000))

    assert 2_300 < kept < 2_700
