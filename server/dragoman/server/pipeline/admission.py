"""Admission: how much work may be in the server at once, in source tokens of a default request.

A request reserves capacity for all its texts or is refused; it never gets half. The reservation is an estimate made
before any work. It is corrected once the tokens are counted, which may refuse the request after all. It is given back
text by text as they are decoded, and the rest at the end, whatever happened in between. Always true: `held_tokens` is
the sum of the live reservations, and never more than the limit.

Used from the event loop alone, hence without a lock.
"""

from dragoman.server.core.errors import InvalidRequest, Overloaded

MIN_RETRY_S = 0.1
"""A prediction of no wait at all, where nothing has been measured yet, must not make clients try in a circle."""


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
        self.check(tokens, self.held_tokens, wait_s, field)
        self.held_tokens += tokens
        self.held_requests += 1
        return Reservation(self, tokens, field)

    def trial(self, *, field: str = "texts") -> "Reservation":
        """Capacity for nothing yet, for a request that is likely to cost nothing: `correct` admits or refuses it."""
        self.held_requests += 1
        return Reservation(self, 0, field, is_trial=True)

    def has_room(self, tokens: int) -> bool:
        """Whether so many would be let in."""
        return self.held_tokens + tokens <= self.limit_tokens

    def check(self, tokens: int, held: int, wait_s: float, field: str) -> None:
        """Refuse what does not fit beside what others hold."""
        if tokens > self.limit_tokens:
            raise InvalidRequest(
                field,
                f"about {tokens} source tokens, and the whole backlog takes {self.limit_tokens} (wide beams, draws and "
                "least lengths count as more tokens): send or ask for less at once, or raise --backlog-tokens",
            )
        if held + tokens > self.limit_tokens:
            raise Overloaded(tokens, held, self.limit_tokens, retry_after_s=max(MIN_RETRY_S, wait_s))


class Reservation:
    """The capacity that one request holds; a context manager that gives it back."""

    def __init__(self, admission: Admission, tokens: int, field: str, *, is_trial: bool = False) -> None:
        self._admission, self._field = admission, field
        self._tokens = tokens
        self.is_trial = is_trial
        """Whether it was made without an estimate, which was too high."""
        self._is_live = True

    def __enter__(self) -> "Reservation":
        return self

    def __exit__(self, *_: object) -> None:
        self.release()

    def correct(self, tokens: int, wait_s: float = 0.0) -> None:
        """Replace the estimate by the count, or raise what `reserve` does: a low estimate admits nothing."""
        assert self._is_live, "corrected after release"
        self._admission.check(tokens, self._admission.held_tokens - self._tokens, wait_s, self._field)
        self._hold(tokens)

    def holds(self, tokens: int) -> bool:
        """Whether it has been made for so many, or more."""
        return tokens <= self._tokens

    def give_back(self, tokens: int) -> None:
        """Give back what one text held, which is decoded."""
        self._hold(self._tokens - tokens)

    def release(self) -> None:
        """Give all capacity back that is held still; a second call changes nothing."""
        if self._is_live:
            self._hold(0)
            self._admission.held_requests -= 1
        self._is_live = False

    def _hold(self, tokens: int) -> None:
        assert tokens >= 0, "more given back than was held"
        self._admission.held_tokens += tokens - self._tokens
        self._tokens = tokens
