"""Translate and score in this process with a bundle, where no server runs.

The server's own pipeline is asked by the messages that a server would get: so every option means what it means there,
and what cannot be honoured is refused in the same words.

`SERVICE` is the one door from the client to the server's code. It is no import but a name, which is looked up when
`--bundle` asks for it, as `dragoman.cli.main` looks up the module of a subcommand: the client is installed and imported
without the server. Behind the door the client sees what a channel would show it: the service's methods, messages and
errors.
"""

import importlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Protocol

from dragoman.client import codec
from dragoman.client.channel import client_errors
from dragoman.client.errors import DragomanError
from dragoman.client.live import LiveTranslation
from dragoman.client.types import Options, Score, ScoreOptions, Translation
from dragoman.v1 import translation_pb2 as pb

SERVICE = "dragoman.server.app.in_process"
"""A module whose `open_service(directory)` is a context manager that gives a `Service`."""


class Service(Protocol):
    """What of the contract answers within a process. A call that fails raises `grpc.RpcError`."""

    def Translate(self, message: pb.TranslateRequest) -> pb.TranslateResponse:  # noqa: N802 - as in the contract
        """Translate texts."""

    def TranslatePipe(  # noqa: N802 - as in the contract
        self, messages: Iterator[pb.TranslatePipeRequest]
    ) -> Iterator[pb.TranslatePipeResponse]:
        """Translate texts as they come."""

    def Score(self, message: pb.ScoreRequest) -> pb.ScoreResponse:  # noqa: N802 - as in the contract
        """Score given translations."""


@contextmanager
def local_service(directory: Path) -> Iterator[Service]:
    """A loaded bundle. Raises DragomanError where it cannot be, ModuleNotFoundError without the server's extra."""
    module = importlib.import_module(SERVICE)
    with _client_errors(), module.open_service(directory) as service:
        yield service


def translate_batches(
    service: Service, batches: Iterable[Sequence[str]], options: Options
) -> Iterator[Translation | DragomanError]:
    """What became of the texts, in their order, those of a batch decoded side by side."""
    for batch in filter(None, batches):
        message = codec.request(batch, options)
        with _client_errors():
            response = service.Translate(message)
        yield from codec.outcomes(response, len(batch))


class LocalClient:
    """A bundle in this process, where a client is expected."""

    def __init__(self, directory: Path, service: Service) -> None:
        self._directory = directory
        self._service = service

    def __repr__(self) -> str:
        return f"<LocalClient of {self._directory}>"

    def translate_batches(
        self, batches: Iterable[Sequence[str]], options: Options
    ) -> Iterator[Translation | DragomanError]:
        """What became of the texts, in their order, those of a batch decoded side by side."""
        return translate_batches(self._service, batches, options)

    def live(self, options: Options, *, wait: int | None = None) -> LiveTranslation:
        """Texts that are still being written, as `Client.live` translates them; answers have no limit of time."""
        return LiveTranslation(options, wait, self._service.TranslatePipe, _client_errors, timeout_s=None)


def score_batches(
    service: Service, batches: Iterable[Sequence[codec.Pair]], options: ScoreOptions
) -> Iterator[Score | DragomanError]:
    """What became of the pairs, in their order, those of a batch scored side by side."""
    for batch in filter(None, batches):
        message = codec.score_request(batch, options)
        with _client_errors():
            response = service.Score(message)
        yield from codec.score_outcomes(response, len(batch))


def _client_errors() -> AbstractContextManager[None]:
    return client_errors(lambda: False)  # nothing here is closed while it is called
