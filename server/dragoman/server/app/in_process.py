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
from dragoman.server.pipeline.live import LiveText
from dragoman.server.pipeline.models import Models
from dragoman.server.transport.codec.requests import PipeSettings
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

    def TranslatePipe(self, messages: Iterator[pb.TranslatePipeRequest]) -> Iterator[pb.TranslatePipeResponse]:
        """Answer each message that has texts before the next is taken."""
        settings = PipeSettings(UNLIMITED)
        text, number = LiveText(self._translator.pipeline.translate), 0
        for message in messages:
            with _calls():
                request, first = settings.request(message)
                if not request.texts:
                    continue
                call = self._front.accept(request)
                wanted = call.request()
                if wanted.live is None:
                    outcomes = self._translator.outcomes(wanted)
                else:
                    first, outcomes = number, [self._translator.read(text, wanted, is_whole=message.is_whole)]
            if message.is_whole:
                text, number = LiveText(self._translator.pipeline.translate), number + 1
            yield call.piped(outcomes, first)

    def Score(self, message: pb.ScoreRequest) -> pb.ScoreResponse:
        """Score given translations."""
        call, outcomes = self._answer(message)
        return call.scored(outcomes)

    def _answer(self, message: Message) -> tuple[Call, list[Outcome]]:
        with _calls():
            call = self._front.accept(message)
            return call, self._translator.outcomes(call.request())


@contextmanager
def _calls() -> Iterator[None]:
    """Turn what is wrong with a call into the status that a server would send."""
    try:
        yield
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
