"""Every way in which serving can fail, told apart by who must act.

    ServingError                 code                  retryable
      InvalidRequest             INVALID_ARGUMENT      no      the caller corrects the named fields
      UnsupportedOption          UNIMPLEMENTED         no      the field exists on the wire, the feature does not
      UnsupportedByModel         FAILED_PRECONDITION   no      another model could do it
      UnknownModel               NOT_FOUND             no      the message lists what exists
      Unauthenticated            UNAUTHENTICATED       no      the caller gets a token
      Forbidden                  PERMISSION_DENIED     no      the operator gives its token leave
      Overloaded                 RESOURCE_EXHAUSTED    yes     after a pause
      TooManyCalls               RESOURCE_EXHAUSTED    yes     when one of the caller's others has ended
      Shed                       RESOURCE_EXHAUSTED    yes     after a pause: the server protects itself
      DeadlineExceeded           DEADLINE_EXCEEDED     no      nobody waits for the answer any more
        DeadlineUnmeetable       DEADLINE_EXCEEDED     no      the caller allows more time, or sends less
        MessageLate              DEADLINE_EXCEEDED     no      the caller sends its message at once
      Cancelled                  CANCELLED             no      the caller went away
      Draining                   UNAVAILABLE           yes     on another replica
      EngineFailure              INTERNAL              no      a defect of the server or the bundle
    StartError                   (exit code 1)                 never reaches the wire

`code` is the name of a gRPC status, so that the transport needs no second table; nothing here imports gRPC.
"""
# ruff: noqa: N818 - the names say what happened; that they are errors is their base class's name.

from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar

MAX_QUOTED = 64
"""Characters of a text from outside that a message repeats."""


@dataclass(frozen=True)
class Violation:
    """One field of a request, and what is wrong with it."""

    field: str
    message: str

    def __str__(self) -> str:
        return f"{self.field}: {self.message}" if self.field else self.message


class ServingError(Exception):
    """A request, or one text of it, ends without a translation."""

    code: ClassVar[str] = "INTERNAL"
    retryable: ClassVar[bool] = False
    outcome: ClassVar[str] = "internal"
    """The name under which metrics count it."""
    violations: tuple[Violation, ...] = ()
    """The fields at fault; empty where no field is."""
    retry_after_s: float | None = None
    """How long to wait before trying again; None where trying again is of no use."""


class InvalidRequest(ServingError):
    """Fields of the request have values that cannot be served."""

    code, outcome = "INVALID_ARGUMENT", "invalid"

    def __init__(self, field: str, message: str, *others: Violation) -> None:
        self.violations = (Violation(field, message), *others)
        super().__init__("; ".join(map(str, self.violations)))

    @classmethod
    def of(cls, violations: Iterable[Violation]) -> "InvalidRequest":
        """All the reasons in one error; at least one is needed."""
        first, *others = violations
        return cls(first.field, first.message, *others)


def joined(problems: Iterable[ServingError]) -> ServingError | None:
    """All that the caller has to correct in one error; where there is nothing of that kind, the first problem."""
    found = list(problems)
    violations = [each for problem in found if isinstance(problem, InvalidRequest) for each in problem.violations]
    return InvalidRequest.of(violations) if violations else next(iter(found), None)


class _FieldError(ServingError):
    """One field asks for something that is not to be had."""

    def __init__(self, field: str, message: str) -> None:
        self.violations = (Violation(field, message),)
        super().__init__(f"{field}: {message}")


class UnsupportedOption(_FieldError):
    """The field is part of the protocol and this server does not implement it: refused, never ignored."""

    code, outcome = "UNIMPLEMENTED", "unsupported"


class UnsupportedByModel(_FieldError):
    """The server can do it and this model's bundle cannot."""

    code, outcome = "FAILED_PRECONDITION", "unsupported"


class UnknownModel(_FieldError):
    """No served bundle has this name or translates this pair."""

    code, outcome = "NOT_FOUND", "not_found"


class Unauthenticated(ServingError):
    """The caller has no token that is known here."""

    code, outcome = "UNAUTHENTICATED", "unauthenticated"


class Forbidden(_FieldError):
    """The caller's token does not allow it."""

    code, outcome = "PERMISSION_DENIED", "forbidden"


class TooManyCalls(ServingError):
    """As many calls of the caller are under way as its token allows."""

    code, retryable, outcome = "RESOURCE_EXHAUSTED", True, "too_many_calls"
    retry_after_s = 0.1

    def __init__(self, name: str, most: int) -> None:
        super().__init__(f"{most} calls of {name} are under way, as many as its token allows: wait for one of them")


class Overloaded(ServingError):
    """The backlog is full."""

    code, retryable, outcome = "RESOURCE_EXHAUSTED", True, "overloaded"

    def __init__(self, wanted: int, held: int, limit: int, *, retry_after_s: float) -> None:
        self.retry_after_s = retry_after_s
        self.wanted = wanted
        """What the request costs, as far as that is known by now."""
        super().__init__(
            f"the backlog holds {held} source tokens and this request adds about {wanted}, the limit is {limit}: "
            "retry with backoff, send fewer texts at once, or raise --backlog-tokens"
        )


class Shed(ServingError):
    """Something that the server lives on is nearly used up: it takes no new work until there is more."""

    code, retryable, outcome = "RESOURCE_EXHAUSTED", True, "overloaded"
    retry_after_s = 1.0

    def __init__(self, resource: str, message: str) -> None:
        self.resource = resource
        super().__init__(f"{message}: retry with backoff")


class DeadlineExceeded(ServingError):
    """The caller's deadline passed before the translation was finished."""

    code, outcome = "DEADLINE_EXCEEDED", "deadline"

    def __init__(self, message: str = "the deadline passed before the translation was finished") -> None:
        super().__init__(message)


class DeadlineUnmeetable(DeadlineExceeded):
    """The request would wait for longer than its deadline allows: refused at once, before any work is done."""

    # Not RESOURCE_EXHAUSTED: gRPC's clients try that again by themselves, here for nothing until their deadline.
    outcome = "unmeetable"

    def __init__(self, wait_s: float, remaining_s: float) -> None:
        super().__init__(
            f"the request would wait for about {wait_s:.3g} s and its deadline is in {remaining_s:.3g} s: "
            "allow more time, give it a higher priority, or add servers"
        )


class MessageLate(DeadlineExceeded):
    """The call's message did not arrive in time."""

    def __init__(self, limit_s: float) -> None:
        super().__init__(f"the call's message has not arrived within {limit_s:.3g} s: send it with the call")


class Cancelled(ServingError):
    """The caller went away."""

    code, outcome = "CANCELLED", "cancelled"

    def __init__(self, message: str = "the caller cancelled the request") -> None:
        super().__init__(message)


class Draining(ServingError):
    """The server is stopping and takes no new work."""

    code, retryable, outcome = "UNAVAILABLE", True, "draining"
    retry_after_s = 0.0
    """At once: another replica is not busier than this one was."""

    def __init__(self, message: str = "the server is stopping and takes no new requests: retry on another") -> None:
        super().__init__(message)


class EngineFailure(ServingError):
    """A run of a graph failed, or its numbers were not finite."""

    code, outcome = "INTERNAL", "engine_error"

    def __init__(self, detail: str) -> None:
        self.detail = detail
        """For the log alone: a runtime's messages name files and graph nodes, which are nobody else's business."""
        super().__init__("the engine failed on this text; the server's log says why")


def quoted(text: str) -> str:
    """A text from outside as messages show it: bounded and in one line."""
    return repr(text if len(text) <= MAX_QUOTED else f"{text[:MAX_QUOTED]}...")


class StartError(Exception):
    """The server cannot start; the message says what to change. Never on the wire."""
