"""The service within a process, over one bundle: what `dragoman translate --bundle` calls instead of a server.

Messages go in and come out as through a channel, and a call that fails raises a `grpc.RpcError` with the status that a
server would send. So whoever speaks to servers needs to know nothing else.
"""
# ruff: noqa: N802 - the methods have the names that the contract gives them.

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import grpc

from dragoman.bundle.errors import BundleError
from dragoman.server.app.translator import UNLIMITED, LocalTranslator
from dragoman.server.core.errors import ServingError, StartError
from dragoman.server.core.translations import Outcome
from dragoman.server.pipeline.models import Models
from dragoman.server.transport.front import Call, Front, Message
from dragoman.v1 import translation_pb2 as pb


class InProcessError(grpc.RpcError):
    """A call that ended without an answer."""

    def __init__(self, code: grpc.StatusCode, details: str) -> None:
        super().__init__(details)
        self._code, self._details = code, details

    def code(self) -> grpc.StatusCode:
        """Its status."""
        return self._code

    def details(self) -> str:
        """Why."""
        return self._details


class InProcessService:
    """The calls that a translator can answer. All texts of a call are answered together."""

    def __init__(self, translator: LocalTranslator) -> None:
        self._translator = translator
        self._front = Front(Models([translator.pipeline]), max_texts=UNLIMITED, max_terms=UNLIMITED)

    def Translate(self, message: pb.TranslateRequest) -> pb.TranslateResponse:
        """Translate texts."""
        call, outcomes = self._answer(message)
        return call.translated(outcomes)

    def Score(self, message: pb.ScoreRequest) -> pb.ScoreResponse:
        """Score given translations."""
        call, outcomes = self._answer(message)
        return call.scored(outcomes)

    def _answer(self, message: Message) -> tuple[Call, list[Outcome]]:
        try:
            call = self._front.accept(message)
            return call, self._translator.outcomes(call.request())
        except ServingError as error:
            raise InProcessError(grpc.StatusCode[error.code], str(error)) from error


@contextmanager
def open_service(directory: Path) -> Iterator[InProcessService]:
    """Load a bundle; FAILED_PRECONDITION where it cannot be."""
    try:
        with LocalTranslator(directory) as translator:
            yield InProcessService(translator)
    except (BundleError, StartError) as error:
        raise InProcessError(grpc.StatusCode.FAILED_PRECONDITION, str(error)) from error
