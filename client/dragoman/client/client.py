"""The blocking client."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from typing import Any, Generic, TypeVar, overload

import grpc

from dragoman.client import codec, many
from dragoman.client.channel import DEFAULT_SERVER, DEFAULT_TIMEOUT_S, OPTIONS, client_errors, credentials_of, target
from dragoman.client.errors import DragomanError
from dragoman.client.live import LiveTranslation
from dragoman.client.types import Model, Options, Score, ScoreOptions, Translation
from dragoman.v1 import translation_pb2 as pb
from dragoman.v1.translation_pb2_grpc import TranslationServiceStub

Item = TypeVar("Item")
Done = TypeVar("Done")


class Client:
    """Translates through a server. Threads may share one; it is a context manager.

        with Client("translate.example:50051") as client:
            print(client.translate("Hello, world!", Options(target_language="pt")).text)

    `server` is `HOST:PORT` or any gRPC target. Without `credentials`, such as `grpc.ssl_channel_credentials()`, the
    connection is not encrypted; `token` says who calls, where the server asks for that. `timeout_s` bounds each call,
    retries included; a call may set its own. Calls that meet a server that is unreachable or full are tried up to four
    times before their error is raised.
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
            grpc.secure_channel(target(server), credentials, OPTIONS)
            if credentials
            else grpc.insecure_channel(target(server), OPTIONS)
        )
        self._stub = TranslationServiceStub(self._channel)
        self._is_closed = False

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Client of {self.server}>"

    def close(self) -> None:
        """Close the connection; calls that are under way and later ones end with Cancelled."""
        self._is_closed = True
        self._channel.close()

    @overload
    def translate(  # type: ignore[overload-overlap] # a str is a sequence of str, too
        self, texts: str, options: Options = ..., *, timeout_s: float | None = ...
    ) -> Translation: ...
    @overload
    def translate(
        self, texts: Sequence[str], options: Options = ..., *, timeout_s: float | None = ...
    ) -> list[Translation]: ...

    def translate(
        self, texts: str | Sequence[str], options: Options = codec.NO_OPTIONS, *, timeout_s: float | None = None
    ) -> Translation | list[Translation]:
        """Translate one text, or a list of texts in one call.

            client.translate("Good morning.").text
            [t.text for t in client.translate(["One.", "Two."], Options(beam_size=4))]

        Raises the error of the one text; of a list, SomeTextsFailed, which holds the translations that there are.
        """
        if isinstance(texts, str):
            return codec.single(self._translate([texts], options, timeout_s))
        return codec.all_or_raise(self._translate(texts, options, timeout_s) if codec.listed(texts) else [])

    def translate_stream(
        self, texts: Sequence[str], options: Options = codec.NO_OPTIONS, *, timeout_s: float | None = None
    ) -> Iterator[tuple[int, Translation | DragomanError]]:
        """Translate a list of texts in one call; each comes as soon as it is finished, with its position.

            for index, outcome in client.translate_stream(paragraphs):
                if isinstance(outcome, Translation):
                    show(index, outcome.text)

        A text that failed comes as its error. Leaving the loop cancels what is not finished.
        """
        if not codec.listed(texts):
            return
        message = pb.TranslateStreamRequest(request=codec.request(texts, options))
        with self._client_errors():
            call = self._stub.TranslateStream(message, timeout=self._timeout(timeout_s))
            try:
                for part in call:
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
    ) -> Iterator[Translation | DragomanError]:
        """Translate any number of texts, read as they are needed; translations come in the order of the texts.

            for outcome in client.translate_many(open("book.txt")):
                ...

        Texts travel `batch_size` to a call, fewer where they are long, and up to `in_flight` calls at once keep the
        server busy. A text that failed comes as its error; what would fail every text alike is raised. A call that
        meets a full server, or one that answered before and is away, is made again for as long as `timeout_s`.
        Leaving the loop cancels what is not finished.
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
    ) -> Iterator[Translation | DragomanError]:
        """Translate batches of texts as they come, each in one call; translations come in the order of the texts.

        An empty batch says that no more texts are there for now: what is under way is finished before the next batch
        is read. Failures are treated as by `translate_many`.
        """
        exchanges = many.translating(options, self._timeout(timeout_s))
        return self._batches(batches, exchanges, self._stub.Translate, timeout_s, in_flight)

    def live(
        self, options: Options = codec.NO_OPTIONS, *, wait: int | None = None, timeout_s: float | None = None
    ) -> LiveTranslation:
        """Translate texts that are still being written, one after another; nothing that was said is taken back.

            with client.live(Options(target_language="pt"), wait=3) as live:
                while typing():
                    show(live.translate(written()).text)
                show(live.translate(written(), is_whole=True).text)

        Each `translate` has all that is written of the text, and its translation as far as that is certain. With
        `wait` a word is said behind so many words of a sentence, and one more for each that follows (wait-k); without,
        what the last two translations agree upon. `timeout_s` bounds each answer; the pipe stays open as long as it
        is not closed. One thread at a time may use it.
        """
        return LiveTranslation(options, wait, self._stub.TranslatePipe, self._client_errors, self._timeout(timeout_s))

    def score(
        self,
        pairs: Sequence[codec.Pair],
        options: ScoreOptions = codec.NO_SCORE_OPTIONS,
        *,
        timeout_s: float | None = None,
    ) -> list[Score]:
        """Score given translations: pairs of a text and its translation, in one call. Neither is split.

            [score] = client.score([("Good morning.", "Bom dia.")])
            print(score.score, score.log_probability / score.target_tokens)

        Raises SomeTextsFailed, which holds the scores that there are.
        """
        if not codec.listed(pairs):
            return []
        message = codec.score_request(pairs, options)
        with self._client_errors():
            response = self._stub.Score(message, timeout=self._timeout(timeout_s))
        return codec.all_or_raise(codec.score_outcomes(response, len(pairs)))

    def score_batches(
        self,
        batches: Iterable[Sequence[codec.Pair]],
        options: ScoreOptions = codec.NO_SCORE_OPTIONS,
        *,
        timeout_s: float | None = None,
        in_flight: int = codec.IN_FLIGHT,
    ) -> Iterator[Score | DragomanError]:
        """Score batches of pairs as they come, each in one call, as `translate_batches` translates."""
        exchanges = many.scoring(options, self._timeout(timeout_s))
        return self._batches(batches, exchanges, self._stub.Score, timeout_s, in_flight)

    def list_models(
        self, source_language: str = "", target_language: str = "", *, timeout_s: float | None = None
    ) -> list[Model]:
        """The models that the server holds, all or those of a direction."""
        message = pb.ListModelsRequest(source_language=source_language, target_language=target_language)
        with self._client_errors():
            response = self._stub.ListModels(message, timeout=self._timeout(timeout_s))
        return [codec.model(message) for message in response.models]

    def get_model(self, name: str, version: str = "", *, timeout_s: float | None = None) -> Model:
        """One model. Raises UnknownModel, which names those that there are."""
        with self._client_errors():
            response = self._stub.GetModel(
                pb.GetModelRequest(name=name, version=version), timeout=self._timeout(timeout_s)
            )
        return codec.model(response.model)

    def _translate(
        self, texts: Sequence[str], options: Options, timeout_s: float | None
    ) -> list[Translation | DragomanError]:
        message = codec.request(texts, options)
        with self._client_errors():
            response = self._stub.Translate(message, timeout=self._timeout(timeout_s))
        return codec.outcomes(response, len(texts))

    def _batches(
        self,
        batches: Iterable[Sequence[Item]],
        exchanges: many.Exchanges[Item, Done],
        method: grpc.UnaryUnaryMultiCallable[Any, Any],
        timeout_s: float | None,
        in_flight: int,
    ) -> Iterator[Done | DragomanError]:
        waiting: deque[_Sent[Done]] = deque()
        try:
            for batch in batches:
                if batch:
                    waiting.append(_Sent(self, exchanges.exchange(batch), method, self._timeout(timeout_s)))
                while waiting and (not batch or len(waiting) >= in_flight or waiting[0].is_done):
                    yield from waiting[0].outcomes()
                    waiting.popleft()
            while waiting:
                yield from waiting[0].outcomes()
                waiting.popleft()
        finally:
            for sent in waiting:
                sent.cancel()

    def _timeout(self, timeout_s: float | None) -> float:
        return self.timeout_s if timeout_s is None else timeout_s

    def _client_errors(self) -> AbstractContextManager[None]:
        return client_errors(lambda: self._is_closed)


class _Sent(Generic[Done]):
    """A batch on its way, and the call that is under way for it."""

    def __init__(
        self,
        client: Client,
        exchange: many.Exchange[Done],
        method: grpc.UnaryUnaryMultiCallable[Any, Any],
        timeout_s: float,
    ) -> None:
        self._client = client
        self._exchange = exchange
        self._method = method
        self._timeout_s = timeout_s
        self._call: grpc.Future[Any] | None = None
        self._outcomes: list[Done | DragomanError] = []
        self._go_on(None)

    @property
    def is_done(self) -> bool:
        """Whether the call that is under way has ended."""
        return self._call is None or self._call.done()

    def outcomes(self) -> list[Done | DragomanError]:
        """Wait for what became of the texts."""
        while self._call is not None:
            try:
                with self._client._client_errors():
                    answer: many.Answer = self._call.result()
            except DragomanError as error:
                answer = error
            self._go_on(answer)
        return self._outcomes

    def cancel(self) -> None:
        """Nobody waits any more."""
        if self._call is not None:
            self._call.cancel()

    def _go_on(self, answer: many.Answer | None) -> None:
        step = many.advance(self._exchange, answer)
        if isinstance(step, many.Attempt):
            time.sleep(step.pause_s)
            with self._client._client_errors():
                self._call = self._method.future(step.message, timeout=self._timeout_s)
        else:
            self._call, self._outcomes = None, step
