"""Any number of texts, a batch to a call: whose fault a failure is, and when to send again. No input, no output.

What is said of texts and their translations holds for pairs and their scores. An exchange is a generator. It gives the
attempts to make, one at a time, takes the answer of each, and returns what became of the texts of its batch. The
blocking client and the one for asyncio carry the attempts out.
"""

import re
import time
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Generic, TypeVar

from dragoman.client import codec
from dragoman.client.errors import DragomanError, InvalidRequest, Overloaded, Unavailable
from dragoman.client.types import Options, Score, ScoreOptions, Translation
from dragoman.v1 import translation_pb2 as pb

Item = TypeVar("Item")
Done = TypeVar("Done")
Response = Any
"""What the service answers: a message of the kind that the request asks for."""
Answer = Response | DragomanError

FIRST_PAUSE_S = 0.1
LONGEST_PAUSE_S = 2.0

_TOO_LARGE = "larger than max"
"""What gRPC says of a message that no pause makes smaller."""
_OPTIONS = {field.name for kind in (pb.TranslateRequest, pb.ScoreRequest) for field in kind.DESCRIPTOR.fields} - {
    "texts",
    "pairs",
}


@dataclass(frozen=True)
class Attempt:
    """A call to make after a pause."""

    message: Any
    pause_s: float


Exchange = Generator[Attempt, Answer | None, list[Done | DragomanError]]


def advance(exchange: Exchange[Done], answer: Answer | None = None) -> Attempt | list[Done | DragomanError]:
    """The next attempt after an answer (None before the first), or what became of the texts."""
    try:
        return exchange.send(answer)
    except StopIteration as done:
        outcomes: list[Done | DragomanError] = done.value
        return outcomes


def is_fault_of_texts(error: DragomanError) -> bool:
    """Whether other texts may fare better in the same call: not the connection, the model or an option is to blame."""
    if isinstance(error, InvalidRequest):
        field = re.match(r"(\w+)[.\[:]", str(error))
        return field is None or field[1] not in _OPTIONS
    # A text may trip a defect of the server, and its neighbours need not suffer from it.
    return _is_too_large(error) or error.code == "INTERNAL"


class Exchanges(Generic[Item, Done]):
    """The exchanges of one stream of texts: `request` makes the message of a batch, `read` reads its answer."""

    def __init__(
        self,
        request: Callable[[Sequence[Item]], Any],
        read: Callable[[Response, int], list[Done | DragomanError]],
        timeout_s: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        request([])  # what is wrong with the options is wrong for every text
        self._request = request
        self._read = read
        self._timeout_s = timeout_s
        self._clock = clock
        self._has_answered = False

    def exchange(self, texts: Sequence[Item]) -> Exchange[Done]:
        """A batch on its way. Raises the error that would meet every other batch, too."""
        try:
            return (yield from self._attempts(texts))
        except DragomanError as error:
            if not is_fault_of_texts(error):
                raise
            if len(texts) == 1:
                return [error]
        outcomes: list[Done | DragomanError] = []
        for text in texts:
            outcomes += yield from self.exchange([text])
        return outcomes

    def _attempts(self, texts: Sequence[Item]) -> Exchange[Done]:
        """The same call until it is answered, for as long as one call may take."""
        message = self._request(texts)
        answer = yield Attempt(message, 0.0)
        pause_s, first_refused_s = FIRST_PAUSE_S, self._clock()
        while isinstance(answer, DragomanError):
            if not self._may_pass(answer) or self._clock() - first_refused_s + pause_s > self._timeout_s:
                raise answer
            answer = yield Attempt(message, pause_s)
            pause_s = min(2 * pause_s, LONGEST_PAUSE_S)
        assert answer is not None, "an attempt needs an answer"
        self._has_answered = True
        return self._read(answer, len(texts))

    def _may_pass(self, error: DragomanError) -> bool:
        """Whether a pause may help: a server that has never answered is more likely not there at all."""
        if isinstance(error, Unavailable):
            return self._has_answered
        return isinstance(error, Overloaded) and not _is_too_large(error)


def translating(
    options: Options, timeout_s: float, clock: Callable[[], float] = time.monotonic
) -> Exchanges[str, Translation]:
    """Exchanges of texts for translations."""
    return Exchanges(partial(codec.request, options=options), codec.outcomes, timeout_s, clock)


def scoring(options: ScoreOptions, timeout_s: float) -> Exchanges[codec.Pair, Score]:
    """Exchanges of pairs for scores."""
    return Exchanges(partial(codec.score_request, options=options), codec.score_outcomes, timeout_s)


def _is_too_large(error: DragomanError) -> bool:
    return isinstance(error, Overloaded) and _TOO_LARGE in str(error)
