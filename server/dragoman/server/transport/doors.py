"""The doors of a server: who is let in by a token, and for how long.

The file of tokens is looked at every second, and read again where it has changed and lies still (`followed`); one that
cannot be read leaves those in force that were read before. Calls that are under way go by what was read last: one whose
token is good no more ends, and the others may do what their callers may now.
"""

import asyncio
import logging
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from dragoman.server.core import logs
from dragoman.server.core.errors import Forbidden, ServingError, StartError, TooManyCalls, Unauthenticated
from dragoman.server.transport.callers import ANYBODY, Caller, Callers, digest, read_callers
from dragoman.server.transport.followed import Followed

_logger = logging.getLogger(__name__)

SCHEME = "bearer "
LOOK_S = 1.0
"""How often the file is looked at, and whether the tokens of the calls under way are good still."""


class Visit:
    """A call that was let in, for as long as it is under way."""

    __slots__ = ("_caller", "_task", "digest", "is_away", "name", "refusal")

    def __init__(self, caller: Caller, token: bytes = b"", task: "asyncio.Task[Any] | None" = None) -> None:
        self._caller, self._task = caller, task
        self.digest = token
        """The hash of its token."""
        self.name = caller.name
        """Its caller's, when it came."""
        self.is_away = False
        """Whether an answer is on its way out, in the middle of which nothing else can be said to the client."""
        self.refusal: ServingError | None = None
        """Why it ends, where its token is good no more."""

    @property
    def caller(self) -> Caller:
        """Who calls, by what was read last. Raises where its token is good no more."""
        self.check()
        return self._caller

    def check(self) -> None:
        """Raise where its token is good no more."""
        if self.refusal is not None:
            raise self.refusal

    def renew(self, caller: Caller) -> None:
        """What its caller may do has changed."""
        self._caller = caller

    def end(self, refusal: ServingError) -> None:
        """Have the call end with this error, at once or when its client has taken the answer that is on its way."""
        if self.refusal is None:
            self.refusal = refusal
            if self._task is not None and not self.is_away:
                self._task.cancel()

    def back(self) -> None:
        """The answer is out."""
        self.is_away = False
        self.check()


class Doors:
    """Lets in who has a token of the file, or everybody where there is no file.

    Used from the event loop alone but for `look`, which has a thread of its own from `start` to `close`: a file may lie
    where it takes long to be looked at.
    """

    def __init__(self, path: str = "", *, for_operators: bool = False) -> None:
        self._for_operators = for_operators
        self._file = Followed([Path(path)]) if path else None
        self._under_way: dict[str, int] = {}
        self._visits: dict[Visit, None] = {}
        self._callers = Callers({})
        self._swept = self._callers
        """Those by which the calls under way were looked at last."""
        self._closed = threading.Event()
        self._sweeping: asyncio.Task[None] | None = None
        if self._file is not None:
            try:
                self._swept = self._callers = _read(self._file.first())
            except (OSError, ValueError) as error:
                raise StartError(f"--tokens {path}: {error}") from error

    def __repr__(self) -> str:
        return f"<Doors {self._file or 'open'}, {len(self._callers)} callers>"

    def start(self) -> None:
        """Begin to look at the file, and at the calls under way; called by the event loop."""
        if self._file is not None:
            threading.Thread(target=self._look_on, name="tokens", daemon=True).start()
            self._sweeping = asyncio.create_task(self._sweep_on())

    def close(self) -> None:
        """Look no more."""
        self._closed.set()
        if self._sweeping is not None:
            self._sweeping.cancel()

    @contextmanager
    def entered(
        self, metadata: Sequence[tuple[str, str | bytes]], task: "asyncio.Task[Any] | None" = None
    ) -> Iterator[Visit]:
        """A call with such metadata, for as long as it is under way in this task. Raises where it ends before that."""
        visit = Visit(ANYBODY) if self._file is None else self._visit(metadata, task)
        name, most = visit.name, visit.caller.max_calls
        number = self._under_way.get(name, 0)
        if most is not None and number >= most:
            raise TooManyCalls(name, most)
        self._under_way[name] = number + 1
        self._visits[visit] = None
        try:
            yield visit
        except asyncio.CancelledError:
            if visit.refusal is None:
                raise
            if task is not None:
                task.uncancel()
            raise visit.refusal from None
        finally:
            del self._visits[visit]
            self._under_way[name] -= 1

    def look(self) -> None:
        """Read the file where it has changed."""
        assert self._file is not None, "nothing to look at"
        try:
            contents = self._file.changed()
            if contents is None:
                return
            self._callers = _read(contents)
        except (OSError, ValueError, MemoryError) as error:
            logs.event(_logger, logging.ERROR, "tokens_not_taken", reason=str(error))
        else:
            logs.event(_logger, logging.INFO, "tokens_taken", callers=len(self._callers))

    def sweep(self) -> None:
        """End the calls whose tokens are good no more; the others' rights are those of now."""
        now = datetime.now(UTC)
        if self._callers is self._swept and not self._callers.end_by(now):
            return
        self._swept = self._callers
        for visit in list(self._visits):
            try:
                visit.renew(self._let_in(self._swept.holder(visit.digest, now)))
            except ServingError as refusal:
                visit.end(refusal)

    def caller(self, metadata: Sequence[tuple[str, str | bytes]]) -> Caller:
        """Who makes a call with such metadata. From any thread; raises where nobody is let in."""
        return ANYBODY if self._file is None else self._visit(metadata, None).caller

    def _visit(self, metadata: Sequence[tuple[str, str | bytes]], task: "asyncio.Task[Any] | None") -> Visit:
        given = [value for key, value in metadata if key == "authorization"]
        if not given:
            raise Unauthenticated("this server asks for a token: send the metadata authorization: Bearer TOKEN")
        if len(given) > 1 or not isinstance(given[0], str) or given[0][: len(SCHEME)].lower() != SCHEME:
            raise Unauthenticated("the metadata authorization is not one Bearer TOKEN")
        token = given[0][len(SCHEME) :].strip()
        caller = self._callers.named(token, datetime.now(UTC)) if token else None
        return Visit(self._let_in(caller), digest(token), task)

    def _let_in(self, caller: Caller | None) -> Caller:
        if caller is None:
            raise Unauthenticated("the token is not known, or not any more")
        if self._for_operators and not caller.is_operator:
            raise Forbidden("authorization", f"{caller.name} is no operator")
        return caller

    def _look_on(self) -> None:
        while not self._closed.wait(LOOK_S):
            self.look()

    async def _sweep_on(self) -> None:
        while True:
            await asyncio.sleep(LOOK_S)
            self.sweep()


def _read(contents: Sequence[bytes]) -> Callers:
    return read_callers(contents[0].decode("utf-8"))
