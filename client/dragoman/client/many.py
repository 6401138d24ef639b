"""Any number of texts, a batch to a call: whose fault a failure is, and when to send again. No input, no output.

An exchange is a generator. It gives the attempts to make, one at a time, takes the answer of each, and returns what
became of the texts of its batch. The blocking client and the one for asyncio carry the attempts out.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass

from dragoman.client import codec
from dragoman.client.errors import DragomanError, InvalidRequest, Overloaded, Unavailable
from dragoman.client.types import Options, Translation
from dragoman.v1 import translation_pb2 as pb

Outcome = Translation | DragomanError
Answer = pb.TranslateResponse | DragomanError

FIRST_PAUSE_S = 0.1
LONGEST_PAUSE_S = 2.0

_TOO_LARGE = "larger than max"
"""What gRPC says of a message that no pause makes smaller."""
_OPTIONS = {field.name for field in pb.TranslateRequest.DESCRIPTOR.fields} - {"segments"}


@dataclass(frozen=True)
class Attempt:
    """A call to make after a pause."""

    message: pb.TranslateRequest
    pause_s: float


Exchange = Generator[Attempt, Answer | None, list[Outcome]]


def advance(exchange: Exchange, answer: Answer | None = None) -> Attempt | list[Outcome]:
    """The next attempt after an answer (None before the first), or what became of the texts."""
    try:
        return exchange.send(answer)
    except StopIteration as done:
        outcomes: list[Outcome] = done.value
        return outcomes


def is_fault_of_texts(error: DragomanError) -> bool:
    """Whether other texts may fare better in the same call: not the connection, the model or an option is to blame."""
    if isinstance(error, InvalidRequest):
        field = re.match(r"(\w+)[.\[:]", str(error))
        return field is None or field[1] not in _OPTIONS
    # A text may trip a defect of the server, and its neighbours need not suffer from it.
    return _is_too_large(error) or error.code == "INTERNAL"


class Exchanges:
    """The exchanges of one stream of texts."""

    def __init__(self, options: Options, timeout_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        codec.request([], options)  # what is wrong with the options is wrong for every text
        self._options = options
        self._timeout_s = timeout_s
        self._clock = clock
        self._has_answered = False

    def exchange(self, texts: Sequence[str]) -> Exchange:
        """A batch on its way. Raises the error that would meet every other batch, too."""
        try:
            return (yield from self._attempts(texts))
        except DragomanError as error:
            if not is_fault_of_texts(error):
                raise
            if len(texts) == 1:
                return [error]
        outcomes: list[Outcome] = []
        for text in texts:
            outcomes += yield from self.exchange([text])
        return outcomes

    def _attempts(self, texts: Sequence[str]) -> Exchange:
        """The same call until it is answered, for as long as one call may take."""
        message = codec.request(texts, self._options)
        answer = yield Attempt(message, 0.0)
        pause_s, first_refused_s = FIRST_PAUSE_S, self._clock()
        while isinstance(answer, DragomanError):
            if not self._may_pass(answer) or self._clock() - first_refused_s + pause_s > self._timeout_s:
                raise answer
            answer = yield Attempt(message, pause_s)
            pause_s = min(2 * pause_s, LONGEST_PAUSE_S)
        assert answer is not None, "an attempt needs an answer"
        self._has_answered = True
        return codec.outcomes(answer, len(texts))

    def _may_pass(self, error: DragomanError) -> bool:
        """Whether a pause may help: a server that has never answered is more likely not there at all."""
        if isinstance(error, Unavailable):
            return self._has_answered
        return isinstance(error, Overloaded) and not _is_too_large(error)


def _is_too_large(error: DragomanError) -> bool:
    return isinstance(error, Overloaded) and _TOO_LARGE in str(error)
