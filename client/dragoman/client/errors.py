"""Every way in which a call can fail, told apart by who must act.

    DragomanError                  code                  retryable
      InvalidRequest               INVALID_ARGUMENT      no      change the request: the message names the fields
      UnknownModel                 NOT_FOUND             no      the message lists what exists
      UnsupportedOption            UNIMPLEMENTED         no      the server lacks this option or call
      UnsupportedByModel           FAILED_PRECONDITION   no      another model could do it
      Overloaded                   RESOURCE_EXHAUSTED    yes     after a pause
      Unavailable                  UNAVAILABLE           yes     not reachable, starting or stopping
      DeadlineExceeded             DEADLINE_EXCEEDED     no      retrying adds load to a slow server
      Cancelled                    CANCELLED             no
      AccessDenied                 PERMISSION_DENIED     no      also UNAUTHENTICATED: `code` says which
      ServerFault                  INTERNAL              no      also every code that the contract does not use
      SomeTextsFailed              of the first failure  no      the call went well, some of its texts did not

By the time a retryable error arrives, the client has retried already: `retryable` says that a later try may go well.
"""
# ruff: noqa: N818 - the names say what happened; that they are errors is their base class's name.

from collections.abc import Mapping
from typing import ClassVar, Protocol

from dragoman.client.types import Score, Translation


class DragomanError(Exception):
    """A call, or one text of it, ended without a translation."""

    retryable: ClassVar[bool] = False
    default_code: ClassVar[str] = "INTERNAL"

    def __init__(self, message: str, code: str | None = None) -> None:
        super().__init__(message)
        self.code = code or self.default_code
        """Name of the gRPC status."""


class InvalidRequest(DragomanError):
    """The request cannot be served as it stands."""

    default_code = "INVALID_ARGUMENT"


class UnknownModel(DragomanError):
    """The server holds no such model, or none for this language pair."""

    default_code = "NOT_FOUND"


class UnsupportedOption(DragomanError):
    """The server does not have this option or call of the contract."""

    default_code = "UNIMPLEMENTED"


class UnsupportedByModel(DragomanError):
    """The server can do it and this model cannot."""

    default_code = "FAILED_PRECONDITION"


class Overloaded(DragomanError):
    """The server has too much to do, or the message was too large for it."""

    default_code = "RESOURCE_EXHAUSTED"
    retryable = True


class Unavailable(DragomanError):
    """The server cannot be reached, is starting or is stopping."""

    default_code = "UNAVAILABLE"
    retryable = True


class DeadlineExceeded(DragomanError):
    """The time allowed for the call passed."""

    default_code = "DEADLINE_EXCEEDED"


class Cancelled(DragomanError):
    """The call was cancelled, or its client is closed."""

    default_code = "CANCELLED"


class AccessDenied(DragomanError):
    """Credentials are missing, or do not allow the call."""

    default_code = "PERMISSION_DENIED"


class ServerFault(DragomanError):
    """A defect of the server."""


class SomeTextsFailed(DragomanError):
    """Some texts of a call have no translation, or some pairs no score. The others have, and are here."""

    def __init__(self, outcomes: tuple[Translation | Score | DragomanError, ...]) -> None:
        self.outcomes = outcomes
        """For each text or pair, in order: its translation or score, or its error."""
        failed = self.errors
        index, first = next(iter(failed.items()))
        super().__init__(
            f"{len(failed)} of {len(outcomes)} texts failed, the first is text {index}: {first}", first.code
        )

    @property
    def errors(self) -> Mapping[int, DragomanError]:
        """The errors by the position of their text."""
        return {i: outcome for i, outcome in enumerate(self.outcomes) if isinstance(outcome, DragomanError)}


BY_CODE: Mapping[str, type[DragomanError]] = {
    kind.default_code: kind
    for kind in (
        InvalidRequest,
        UnknownModel,
        UnsupportedOption,
        UnsupportedByModel,
        Overloaded,
        Unavailable,
        DeadlineExceeded,
        Cancelled,
        AccessDenied,
        ServerFault,
    )
} | {"UNAUTHENTICATED": AccessDenied}


class _Code(Protocol):
    @property
    def name(self) -> str: ...


class _Ended(Protocol):
    """A call that has ended, blocking or asyncio."""

    def code(self) -> _Code | None: ...
    def details(self) -> str | None: ...


def from_status(code: str, message: str) -> DragomanError:
    """The error of a status by its name. Codes that the contract does not use are the server's fault."""
    return BY_CODE.get(code, ServerFault)(message or f"the server gave no reason ({code})", code)


def from_call(call: _Ended) -> DragomanError:
    """The error of a call that did not end well."""
    code = call.code()
    return from_status(code.name if code else "UNKNOWN", call.details() or "")
