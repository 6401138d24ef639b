"""Where a call belongs in its caller's trace: the header `traceparent` of W3C Trace Context, read and written."""

import re
from collections.abc import Callable
from dataclasses import dataclass

_HEADER = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")
_SAMPLED = 1


@dataclass(frozen=True)
class Trace:
    """A call as a part of a trace."""

    trace_id: int
    span_id: int
    """The call's own."""
    parent_id: int = 0
    """The caller's span; 0 where the trace begins here."""
    is_sampled: bool = False
    """Whether its spans are kept."""

    @property
    def hex_id(self) -> str:
        """The trace's id as logs and exemplars have it."""
        return f"{self.trace_id:032x}"


def continued(header: str | None, *, ratio: float, random_bits: Callable[[int], int]) -> Trace:
    """The part of a call with this header in its caller's trace; without a good one, of a trace that begins here.

    What a caller has decided to keep is kept; of those that begin here, `ratio` are.
    """
    span_id = random_bits(64) or 1
    match = _HEADER.fullmatch(header or "")
    if match is not None:
        version, trace_id, parent_id, flags, more = match.groups()
        is_known = version != "ff" and (version != "00" or more is None)
        if is_known and int(trace_id, 16) and int(parent_id, 16):
            is_sampled = bool(int(flags, 16) & _SAMPLED)
            return Trace(int(trace_id, 16), span_id, int(parent_id, 16), is_sampled)
    trace_id_of_own = random_bits(128) or 1
    # By the id's lower half, as others of the same trace decide.
    return Trace(trace_id_of_own, span_id, is_sampled=(trace_id_of_own & (2**64 - 1)) < ratio * 2**64)
