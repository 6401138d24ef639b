"""The client for asyncio: `Client`, with `await`."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import AbstractContextManager
from typing import Any, TypeVar, overload

import grpc
import grpc.aio

from dragoman.client import codec, many
from dragoman.client.channel import DEFAULT_SERVER, DEFAULT_TIMEOUT_S, OPTIONS, client_errors, credentials_of, target
from dragoman.client.errors import DragomanError
from dragoman.client.live import AsyncLiveTranslation
from dragoman.client.types import Model, Options, Score, ScoreOptions, Translation
from dragoman.v1 import translation_pb2 as pb
from dragoman.v1.translation_pb2_grpc import TranslationServiceStub

Item = TypeVar("Item")
Done = TypeVar("Done")
Method = grpc.aio.UnaryUnaryMultiCallable[Any, Any]


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
        token: str | None = None,
    ) -> None:
        self.server = server
        self.timeout_s = timeout_s
        credentials = credentials_of(server, credentials, token)
        self._channel = (
            grpc.aio.secure_channel(target(server), credentials, OPTIONS)
            if credentials
            else grpc.aio.insecure_channel(target(server), OPTIONS)
        )
        self._stub = TranslationServiceStub(self._channel)
        self._is_closed = False

    async def __aenter__(self) -> "AsyncClient":
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    def __repr__(self) -> str:
        return f"<AsyncClient of {self.server}>"

    async def close(self) -> None:
        """Close the connection; calls that are under way and later ones end with Cancelled."""
        self._is_closed = True
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
        return codec.all_or_raise(await self._translate(texts, options, timeout_s) if codec.listed(texts) else [])

    async def translate_stream(
        self, texts: Sequence[str], options: Options = codec.NO_OPTIONS, *, timeout_s: float | None = None
    ) -> AsyncIterator[tuple[int, Translation | DragomanError]]:
        """Translate a list of texts in one call; each comes as soon as it is finished, with its position.

        async for index, outcome in client.translate_stream(paragraphs):
            ...
        """
        if not codec.listed(texts):
            return
        message = pb.TranslateStreamRequest(request=codec.request(texts, options))
        with self._client_errors():
            call = self._stub.TranslateStream(message, timeout=self._timeout(timeout_s))
            try:
                async for part in call:
                    if part.HasField("result"):
                        yield part.result.index, codec.outcome(part.result)
            finally:
                call.cancel()

    def translate_many(
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
        batches = codec.batches(texts, batch_size)
        return self.translate_batches(batches, options, timeout_s=timeout_s, in_flight=in_flight)

    def translate_batches(
        self,
        batches: Iterable[Sequence[str]],
        options: Options = codec.NO_OPTIONS,
        *,
        timeout_s: float | None = None,
        in_flight: int = codec.IN_FLIGHT,
    ) -> AsyncIterator[Translation | DragomanError]:
        """Translate batches of texts as they come, each in one call, as `Client.translate_batches` does."""
        exchanges = many.translating(options, self._timeout(timeout_s))
        return self._batches(batches, exchanges, self._stub.Translate, timeout_s, in_flight)

    def live(
        self, options: Options = codec.NO_OPTIONS, *, wait: int | None = None, timeout_s: float | None = None
    ) -> AsyncLiveTranslation:
        """Translate texts that are still being written, one after another, as `Client.live` does.

        async with client.live(Options(target_language="pt"), wait=3) as live:
            show((await live.translate("The dog ")).text)
            show((await live.translate("The dog is here.", is_whole=True)).text)
        """
        timeout_s = self._timeout(timeout_s)
        return AsyncLiveTranslation(options, wait, self._stub.TranslatePipe, self._client_errors, timeout_s)

    async def score(
        self,
        pairs: Sequence[codec.Pair],
        options: ScoreOptions = codec.NO_SCORE_OPTIONS,
        *,
        timeout_s: float | None = None,
    ) -> list[Score]:
        """Score given translations, pairs of a text and its translation, in one call, as `Client.score` does.

        [score] = await client.score([("Good morning.", "Bom dia.")])
        """
        if not codec.listed(pairs):
            return []
        message = codec.score_request(pairs, options)
        with self._client_errors():
            response = await self._stub.Score(message, timeout=self._timeout(timeout_s))
        return codec.all_or_raise(codec.score_outcomes(response, len(pairs)))

    def score_batches(
        self,
        batches: Iterable[Sequence[codec.Pair]],
        options: ScoreOptions = codec.NO_SCORE_OPTIONS,
        *,
        timeout_s: float | None = None,
        in_flight: int = codec.IN_FLIGHT,
    ) -> AsyncIterator[Score | DragomanError]:
        """Score batches of pairs as they come, each in one call, as `Client.score_batches` does."""
        exchanges = many.scoring(options, self._timeout(timeout_s))
        return self._batches(batches, exchanges, self._stub.Score, timeout_s, in_flight)

    async def list_models(
        self, source_language: str = "", target_language: str = "", *, timeout_s: float | None = None
    ) -> list[Model]:
        """The models that the server holds, all or those of a direction."""
        message = pb.ListModelsRequest(source_language=source_language, target_language=target_language)
        with self._client_errors():
            response = await self._stub.ListModels(message, timeout=self._timeout(timeout_s))
        return [codec.model(message) for message in response.models]

    async def get_model(self, name: str, version: str = "", *, timeout_s: float | None = None) -> Model:
        """One model. Raises UnknownModel, which names those that there are."""
        with self._client_errors():
            response = await self._stub.GetModel(
                pb.GetModelRequest(name=name, version=version), timeout=self._timeout(timeout_s)
            )
        return codec.model(response.model)

    async def _translate(
        self, texts: Sequence[str], options: Options, timeout_s: float | None
    ) -> list[Translation | DragomanError]:
        message = codec.request(texts, options)
        with self._client_errors():
            response = await self._stub.Translate(message, timeout=self._timeout(timeout_s))
        return codec.outcomes(response, len(texts))

    async def _batches(
        self,
        batches: Iterable[Sequence[Item]],
        exchanges: many.Exchanges[Item, Done],
        method: Method,
        timeout_s: float | None,
        in_flight: int,
    ) -> AsyncIterator[Done | DragomanError]:
        waiting: deque[asyncio.Task[list[Done | DragomanError]]] = deque()
        try:
            for batch in batches:
                if batch:
                    exchange = exchanges.exchange(batch)
                    waiting.append(asyncio.create_task(self._carry_out(exchange, method, timeout_s)))
                while waiting and (not batch or len(waiting) >= in_flight or waiting[0].done()):
                    for outcome in await waiting[0]:
                        yield outcome
                    waiting.popleft()
            while waiting:
                for outcome in await waiting[0]:
                    yield outcome
                waiting.popleft()
        finally:
            for task in waiting:
                task.cancel()
            await asyncio.gather(*waiting, return_exceptions=True)

    def _timeout(self, timeout_s: float | None) -> float:
        return self.timeout_s if timeout_s is None else timeout_s

    def _client_errors(self) -> AbstractContextManager[None]:
        return client_errors(lambda: self._is_closed)

    async def _carry_out(
        self, exchange: many.Exchange[Done], method: Method, timeout_s: float | None
    ) -> list[Done | DragomanError]:
        """Make the calls of a batch, one after the other."""
        step = many.advance(exchange)
        while isinstance(step, many.Attempt):
            await asyncio.sleep(step.pause_s)
            try:
                with self._client_errors():
                    answer: many.Answer = await method(step.message, timeout=self._timeout(timeout_s))
            except DragomanError as error:
                answer = error
            step = many.advance(exchange, answer)
        return step
