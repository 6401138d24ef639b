"""What a request may hold at most."""

from __future__ import annotations

from dataclasses import dataclass

from dragoman.server.core.errors import (
    InvalidRequest,
)


@dataclass(frozen=True)
class RequestLimits:
    """What one request may ask for at most."""

    max_texts: int
    max_text_bytes: int
    max_beam_size: int
    backlog_tokens: int


def check_number(number: int, most: int, field: str = "texts") -> None:
    """Refuse more texts than one message may have."""
    if number > most:
        raise InvalidRequest(field, f"{number} texts, the limit is {most} (--max-texts): send them in several requests")
