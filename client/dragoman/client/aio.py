"""The client for asyncio: `Client`, with `await`."""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator, Iterable, Sequence
from typing import overload

import grpc
import grpc.aio

from dragoman.client import codec
from dragoman.client.channel import DEFAULT_SERVER, DEFAULT_TIMEOUT_S, OPTIONS, own_errors, target
from dragoman.client.errors import DragomanError
from dragoman.client.types import Model, Options, Translation
from dragoman.v1 import translation_pb2 as pb
from dragoman.v1.translation_pb2_grpc import TranslationServiceStub

_Call = grpc.aio.UnaryUnaryCall[pb.TranslateRequest, pb.TranslateResponse]


class AsyncClient:
    """Translates through a server. Made inside a running event loop; an asynchronous context manager.

        async with AsyncClient("translate.example:50051") as client:
            print((await client.translate("Hello, world!", Options(target_language="pt"))).text)

    Arguments, methods and errors are those of `Client`. A task that is cancelled cancels its call on the server.
    """

    def __init__(
        self,
        server: str = DEFAULT_SERVER,
        *,
        timeout_s: float = DEFAULT_TIMEOUT_S,
        credentials: grpc.ChannelCredentials | None = None,
    ) -> None:
        self.server = server
        self.timeout_s = timeout_s
        self._channel = (
            grpc.aio.secure_channel(target(server), credentials, OPTIONS)
            if credentials
            else grpc.aio.insecure_channel(target(server), OPTIONS)
        )
        self._stub = TranslationServiceStub(self._channel)

    async def __aenter__(self) -> AsyncClient:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    def __repr__(self) -> str:
        return f"<AsyncClient of {self.server}>"

    async def close(self) -> None:
        """Close the connection; calls that are under way end with Cancelled."""
        await self._channel.close()

    @overload
    async def translate(  # type: ignore[overload-overlap] # a str is a sequence of str, too
        self, texts: str, options: Options = ..., *, timeout_s: float | None = ...
    ) -> Translation: ...
    @overload
    async def translate(
        self, texts: Sequence[str], options: Options = ..., *, timeout_s: float | None = ...
    ) -> list[Translation]: ...

    async def translate(
        self, texts: str | Sequence[str], options: Options = codec.NO_OPTIONS, *, timeout_s: float | None = None
    ) -> Translation | list[Translation]:
        """Translate one text, or a list of texts in one call, as `Client.translate` does.

        first, second = await client.translate(["One.", "Two."], Options(beam_size=4))
        """
        if isinstance(texts, str):
            return codec.single(await self._translate([texts], options, timeout_s))
        return codec.all_or_raise(await self._translate(texts, options, timeout_s) if texts else [])

    async def translate_stream(
        self, texts: Sequence[str], options: Options = codec.NO_OPTIONS, *, timeout_s: float | None = None
    ) -> AsyncIterator[tuple[int, Translation | DragomanError]]:
        """Translate a list of texts in one call; each comes as soon as it is finished, with its position.

        async for index, outcome in client.translate_stream(paragraphs):
            ...
        """
        if not texts:
            return
        message = pb.TranslateStreamRequest(request=codec.request(texts, options))
        with own_errors():
            call = self._stub.TranslateStream(message, timeout=self._timeout(timeout_s))
            try:
                async for part in call:
                    if part.HasField("result"):
                        yield part.result.index, codec.outcome(part.result)
            finally:
                call.cancel()

    async def translate_many(
        self,
        texts: Iterable[str],
        options: Options = codec.NO_OPTIONS,
        *,
        timeout_s: float | None = None,
        batch_size: int = codec.BATCH_SIZE,
        in_flight: int = codec.IN_FLIGHT,
    ) -> AsyncIterator[Translation | DragomanError]:
        """Translate any number of texts; translations come in the order of the texts, as `Client.translate_many`'s.

        async for outcome in client.translate_many(lines):
            ...
        """
        waiting: deque[tuple[int, _Call]] = deque()
        try:
            for batch in codec.batches(texts, batch_size):
                message = codec.request(batch, options)
                waiting.append((len(batch), self._stub.Translate(message, timeout=self._timeout(timeout_s))))
                if len(waiting) >= in_flight:
                    for outcome in await _finish(waiting):
                        yield outcome
            while waiting:
                for outcome in await _finish(waiting):
                    yield outcome
        finally:
            for _, call in waiting:
                call.cancel()

    async def list_models(
        self, source_language: str = "", target_language: str = "", *, timeout_s: float | None = None
    ) -> list[Model]:
        """The models that the server holds, all or those of a direction."""
        message = pb.ListModelsRequest(source_language=source_language, target_language=target_language)
        with own_errors():
            response = await self._stub.ListModels(message, timeout=self._timeout(timeout_s))
        return [codec.model(one) for one in response.models]

    async def get_model(self, name: str, version: str = "", *, timeout_s: float | None = None) -> Model:
        """One model. Raises UnknownModel, which names those that there are."""
        with own_errors():
            response = await self._stub.GetModel(
                pb.GetModelRequest(name=name, version=version), timeout=self._timeout(timeout_s)
            )
        return codec.model(response.model)

    async def _translate(
        self, texts: Sequence[str], options: Options, timeout_s: float | None
    ) -> list[Translation | DragomanError]:
        message = codec.request(texts, options)
        with own_errors():
            response = await self._stub.Translate(message, timeout=self._timeout(timeout_s))
        return codec.outcomes(response, len(texts))

    def _timeout(self, timeout_s: float | None) -> float:
        return self.timeout_s if timeout_s is None else timeout_s


async def _finish(waiting: deque[tuple[int, _Call]]) -> list[Translation | DragomanError]:
    """Wait for the oldest call."""
    count, call = waiting[0]
    with own_errors():
        response = await call
    waiting.popleft()
    return codec.outcomes(response, count)
