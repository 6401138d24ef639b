"""Texts that are still being written, over a pipe: each message is answered before the next is sent.

A pipe stays open while somebody thinks, so it has no deadline; each answer has one. What is wrong with one text is
raised and leaves the pipe open; what ends the pipe is raised, too, and `is_open` is False from then on.
"""

import asyncio
import queue
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import grpc
import grpc.aio

from dragoman.client import codec
from dragoman.client.errors import Cancelled, DeadlineExceeded, DragomanError, ServerFault
from dragoman.client.types import Options, Translation
from dragoman.v1 import translation_pb2 as pb

Errors = Callable[[], AbstractContextManager[None]]
"""Turns gRPC's errors into the client's."""


Pipe = Callable[[Iterator[pb.TranslatePipeRequest]], Iterator[pb.TranslatePipeResponse]]


class _Written:
    """What was sent and came back, and what follows from that: no input or output."""

    def __init__(self, options: Options, wait: int | None) -> None:
        self._options, self._wait = options, wait
        self._is_first = True
        self.is_open = True

    def message(self, text: str, *, is_whole: bool) -> pb.TranslatePipeRequest:
        """What is sent of a text, the settings before the first."""
        if not self.is_open:
            raise Cancelled("the pipe has ended: open another one")
        message = codec.live_request(text, self._options, self._wait, is_first=self._is_first, is_whole=is_whole)
        self._is_first = False
        return message

    def translation(self, answer: pb.TranslatePipeResponse | None) -> Translation:
        """What an answer says. Raises the text's own error."""
        if answer is None or len(answer.results) != 1:
            self.is_open = False
            raise ServerFault("the pipe ended with no answer" if answer is None else "an answer is not of one text")
        return codec.single([codec.outcome(answer.results[0])])


class LiveTranslation:
    """Texts that are still being written, one after another, as `Client.live` opens it; a context manager.

    with client.live(Options(target_language="pt"), wait=3) as live:
        live.translate("The dog ")
        live.translate("The dog is here.", is_whole=True).text
    """

    def __init__(self, options: Options, wait: int | None, pipe: Pipe, errors: Errors, timeout_s: float | None) -> None:
        self._written = _Written(options, wait)
        self._pipe, self._errors, self._timeout_s = pipe, errors, timeout_s
        self._messages: queue.SimpleQueue[pb.TranslatePipeRequest | None] = queue.SimpleQueue()
        self._answers: Iterator[pb.TranslatePipeResponse] | None = None
        self._is_late = False

    def __enter__(self) -> "LiveTranslation":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<LiveTranslation, {'open' if self.is_open else 'ended'}>"

    @property
    def is_open(self) -> bool:
        """Whether more can be translated."""
        return self._written.is_open

    def translate(self, text: str, *, is_whole: bool = False) -> Translation:
        """The translation of a text as far as it is certain: later ones of this text only add to it.

        `text` is all of it that is written; its last words may still change, its first sentences may not. With
        `is_whole` it is translated to its end, and the next call has another text.
        """
        message = self._written.message(text, is_whole=is_whole)
        try:
            with self._in_time(), self._errors():
                if self._answers is None:
                    self._answers = self._pipe(iter(self._messages.get, None))
                self._messages.put(message)
                answer = next(self._answers, None)
        except BaseException:
            self.close()
            raise
        return self._written.translation(answer)

    def close(self) -> None:
        """End the pipe; an answer that is under way is given up."""
        self._written.is_open = False
        self._messages.put(None)
        self._cancel()

    def _cancel(self) -> None:
        if isinstance(self._answers, grpc.RpcContext):  # what answers in this process has nothing to cancel
            self._answers.cancel()

    @contextmanager
    def _in_time(self) -> Iterator[None]:
        """Give an answer up that takes too long. gRPC has deadlines for a whole pipe alone."""
        if self._timeout_s is None:
            yield
            return

        def give_up() -> None:
            self._is_late = True
            self._cancel()

        timer = threading.Timer(self._timeout_s, give_up)
        timer.daemon = True
        timer.start()
        try:
            yield
        except Cancelled as error:
            if not self._is_late:
                raise
            raise _late(self._timeout_s) from error
        finally:
            timer.cancel()


class AsyncLiveTranslation:
    """`LiveTranslation` for asyncio, as `AsyncClient.live` opens it; an asynchronous context manager."""

    def __init__(
        self, options: Options, wait: int | None, pipe: Callable[[], Any], errors: Errors, timeout_s: float
    ) -> None:
        self._written = _Written(options, wait)
        self._pipe, self._errors, self._timeout_s = pipe, errors, timeout_s
        self._call: Any = None
        self._turn = asyncio.Lock()

    async def __aenter__(self) -> "AsyncLiveTranslation":
        return self

    async def __aexit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<AsyncLiveTranslation, {'open' if self.is_open else 'ended'}>"

    @property
    def is_open(self) -> bool:
        """Whether more can be translated."""
        return self._written.is_open

    async def translate(self, text: str, *, is_whole: bool = False) -> Translation:
        """The translation of a text as far as it is certain, as `LiveTranslation.translate` gives it."""
        async with self._turn:
            message = self._written.message(text, is_whole=is_whole)
            try:
                with self._errors():
                    answer = await asyncio.wait_for(self._answer(message), self._timeout_s)
            except TimeoutError as error:
                self.close()
                raise _late(self._timeout_s) from error
            except BaseException:
                self.close()
                raise
            return self._written.translation(answer)

    def close(self) -> None:
        """End the pipe; an answer that is under way is given up."""
        self._written.is_open = False
        if self._call is not None:
            self._call.cancel()

    async def _answer(self, message: pb.TranslatePipeRequest) -> pb.TranslatePipeResponse | None:
        if self._call is None:
            self._call = self._pipe()
        if not self._call.done():  # else reading says why
            await self._call.write(message)
        answer = await self._call.read()
        return None if answer is grpc.aio.EOF else answer


def _late(timeout_s: float) -> DragomanError:
    return DeadlineExceeded(f"no answer within {timeout_s:g} s")
