"""Admission: how many source tokens may be in the server at once.

A request reserves capacity for all its texts or is refused; it never gets half. The reservation is an estimate made
from the text's bytes before any work, is corrected once the tokens are counted, and is given back exactly once,
whatever happened in between. Always true: `held_tokens` is the sum of the live reservations.

Used from the event loop alone, hence without a lock.
"""

from collections.abc import Sequence

from dragoman.server.core.errors import InvalidRequest, Overloaded

BYTES_PER_TOKEN = 4
"""How many bytes of UTF-8 a token is taken for in the estimate; subword vocabularies measure between three and five."""

MIN_RETRY_S = 0.1
"""A prediction of no wait at all, where nothing has been measured yet, must not make clients try in a circle."""


def estimate_tokens(texts: Sequence[str]) -> int:
    """Source tokens that `texts` are likely to become, the end tokens included."""
    return sum(len(text.encode("utf-8", "surrogatepass")) // BYTES_PER_TOKEN + 1 for text in texts)


class Admission:
    """Capacity for source tokens, from their arrival to their answer."""

    def __init__(self, limit_tokens: int) -> None:
        self.limit_tokens = limit_tokens
        self.held_tokens = 0
        self.held_requests = 0

    def __repr__(self) -> str:
        return f"<Admission {self.held_tokens}/{self.limit_tokens} tokens, {self.held_requests} requests>"

    def reserve(self, tokens: int, wait_s: float = 0.0, *, field: str = "texts") -> "Reservation":
        """Take capacity for `tokens`, or raise `Overloaded`; `InvalidRequest` of `field` where no pause would help.

        `wait_s` is how long what is held will take: there is no use in trying again before.
        """
        if tokens > self.limit_tokens:
            raise InvalidRequest(
                field,
                f"about {tokens} source tokens, and the whole backlog takes {self.limit_tokens}: "
                "send fewer texts at once, or raise --backlog-tokens",
            )
        if self.held_tokens + tokens > self.limit_tokens:
            raise Overloaded(tokens, self.held_tokens, self.limit_tokens, retry_after_s=max(MIN_RETRY_S, wait_s))
        self.held_tokens += tokens
        self.held_requests += 1
        return Reservation(self, tokens)


class Reservation:
    """The capacity that one request holds; a context manager that gives it back."""

    def __init__(self, admission: Admission, tokens: int) -> None:
        self._admission = admission
        self._tokens: int | None = tokens

    def __enter__(self) -> "Reservation":
        return self

    def __exit__(self, *_: object) -> None:
        self.release()

    def correct(self, tokens: int) -> None:
        """Replace the estimate by the count. An admitted request is not refused for a low estimate."""
        assert self._tokens is not None, "corrected after release"
        self._admission.held_tokens += tokens - self._tokens
        self._tokens = tokens

    def release(self) -> None:
        """Give the capacity back; a second call changes nothing."""
        if self._tokens is None:
            return
        self._admission.held_tokens -= self._tokens
        self._admission.held_requests -= 1
        self._tokens = None
