"""The gate of an overloaded server: what the event loop would refuse is refused before it comes there.

A refusal on the event loop costs a task, a trace, a context and several turns, ten times as much as here, and calls
that come faster than they can be refused take all time from those that could be answered. So while calls are being
refused, the thread that takes them from gRPC looks at each itself: at what the server is short of before its message is
read, and by its message at what lanes have to do. It refuses what the event loop would, and what would take most of the
time that it has left; what takes longer to judge, it passes on. What it has refused is counted on the event loop, many
at a time.
"""

import asyncio
import random
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Hashable, Sequence
from contextlib import suppress
from functools import partial

from google.protobuf.message import DecodeError

from dragoman.server.core.errors import ServingError, Shed
from dragoman.server.core.segments import Priority
from dragoman.server.pipeline.costs import tokens_of
from dragoman.server.pipeline.models import Models
from dragoman.server.pipeline.pipeline import Pipeline, rounded, unmeetable
from dragoman.server.telemetry.request_metrics import NO_MODEL, Metrics
from dragoman.server.telemetry.rpc_metrics import RpcMetrics
from dragoman.server.transport.codec import requests
from dragoman.server.transport.doors import Doors
from dragoman.server.transport.grpc_server import GrpcCall, Refusal
from dragoman.server.transport.status import status_code, status_message, trailing_metadata, usable_id
from dragoman.server.transport.traffic import Traffic
from dragoman.v1 import translation_pb2 as pb

PRESSED_S = 1.0
"""How long after a refusal each call is looked at."""
CALM_S = 0.1
"""While what is under way takes no longer than that, none is looked at either."""
SHARE = 0.6
"""Of a call's time, what the calls before it may take: nobody knows how long it will take to the last hundredth."""
MOST_BYTES = 16 * 1024
MOST_TEXTS = 16
"""What is larger takes too long to be looked at here."""
MOST_ROUTES = MOST_FORMS = 1_000
COUNTED_S = 0.05
"""How long it may take until a call that was refused is counted: to wake the event loop for each takes longer than all
else."""
_PRIORITIES = {each + 1: each for each in Priority}
"""As they are on the wire."""
_PLAIN = (pb.INPUT_FORMAT_UNSPECIFIED, pb.INPUT_FORMAT_PLAIN)
_ID = "0" * 16
"""Stands for the id of a call in what is made once for many of them."""


class LoadGate:
    """Refuses calls of `work` while the server is short of something, and those of `translate` while lanes are.

    Asked on gRPC's thread; `press` it on the event loop where a request is refused there.
    """

    def __init__(
        self,
        models: Models,
        doors: Doors,
        rpcs: RpcMetrics,
        metrics: Metrics,
        *,
        refusal: Callable[[], Shed | None],
        work: Collection[str],
        translate: str,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._models, self._doors, self._rpcs, self._metrics = models, doors, rpcs, metrics
        self._refusal, self._work, self._translate = refusal, work, translate
        self._clock, self._pressed_until_s = clock, -PRESSED_S
        self._loop = asyncio.get_running_loop()
        self._refused: Counter[tuple[str, str, str, str, str]] = Counter()
        """By method, code, caller, model and outcome: those that are not counted yet, the last empty where none is."""
        self._is_counting = False
        self._counting: asyncio.TimerHandle | None = None
        self._traffic: defaultdict[str, Traffic] = defaultdict(lambda: Traffic(clock))
        """By model."""
        self._forms: dict[Hashable, _Form] = {}

    def press(self) -> None:
        """A request was refused for lack of room or time."""
        self._pressed_until_s = self._clock() + PRESSED_S

    def at_arrival(self, call: GrpcCall) -> Refusal | None:
        """By what the server is short of."""
        error = self._refusal() if call.method in self._work else None
        return None if error is None else self._refused_with(call, error)

    def at_message(self, call: GrpcCall, message: bytes) -> Refusal | None:
        """By what is under way, and what waits for lanes."""
        if call.method != self._translate or len(message) > MOST_BYTES:
            return None
        try:
            request = pb.TranslateRequest.FromString(message)
        except DecodeError:
            return None  # the event loop says what is wrong with it
        call.parsed = request
        pipeline, given = self._pipeline(request), request.texts
        is_plain = request.format in _PLAIN and not request.HasField("decoding")
        if pipeline is None or not is_plain or not 0 < len(given) <= MOST_TEXTS:
            return None
        priority = _PRIORITIES.get(request.priority, Priority.NORMAL)
        texts = [given[0].text] if len(given) == 1 else [text.text for text in given]
        cost = sum(map(tokens_of, texts))
        traffic = self._traffic[pipeline.name]
        if self._clock() < self._pressed_until_s or traffic.seconds(Priority.BATCH) > CALM_S:
            refusal = self._judged(call, pipeline, traffic, texts, priority, cost)
            if refusal is not None:
                return refusal
        call.on_end = partial(traffic.leave, priority, cost, traffic.enter(priority, cost))
        return None

    def _judged(
        self, call: GrpcCall, pipeline: Pipeline, traffic: Traffic, texts: Sequence[str], priority: Priority, cost: int
    ) -> Refusal | None:
        try:
            caller = self._doors.caller(call.invocation_metadata())
        except ServingError:
            return None
        if caller.models is not None and pipeline.name not in caller.models:
            return None
        remaining_s = call.time_remaining()
        error = pipeline.refusal(texts, max(priority, caller.max_priority), remaining_s)
        if error is None and remaining_s is not None:
            seconds = traffic.seconds(priority, cost)
            if seconds > SHARE * remaining_s and not pipeline.may_remember(texts):
                error = unmeetable(rounded(seconds), rounded(remaining_s))
        if error is None:
            return None
        self.press()
        return self._refused_with(call, error, caller.name, pipeline.name)

    def unknown(self) -> None:
        """Count a call of a method that there is not."""
        self._count("", "UNIMPLEMENTED", "", "", "")

    def _pipeline(self, request: pb.TranslateRequest) -> Pipeline | None:
        """Which bundle it means; None where it means none, or several."""
        query, routes = requests.model_query(request), self._models.routes
        if query not in routes:
            if len(routes) >= MOST_ROUTES:
                routes.clear()
            routes[query] = None
            with suppress(ServingError):
                routes[query], _ = self._models.route(query)
        return routes[query]

    def _refused_with(self, call: GrpcCall, error: ServingError, caller: str = "", model: str = NO_MODEL) -> Refusal:
        self._count(call.method, error.code, caller, model, error.outcome)
        for name, value in call.invocation_metadata():
            if name == "x-request-id" and (call_id := usable_id(value)):
                return _refusal(error, call_id)
        key = str(error), error.retry_after_s
        form = self._forms.get(key)
        if form is None:
            if len(self._forms) >= MOST_FORMS:
                self._forms.clear()
            form = self._forms[key] = _Form(error)
        return form.refusal(f"{random.getrandbits(64):016x}")

    def _count(self, *labels: str) -> None:
        self._refused[labels] += 1  # type: ignore[index] # it has five
        if not self._is_counting:
            self._is_counting = True
            with suppress(RuntimeError):  # the loop is closed, and nobody reads what was counted
                self._loop.call_soon_threadsafe(self._count_all)

    def _count_all(self) -> None:
        if self._counting is not None:
            self._counting.cancel()
        self._is_counting = False  # first: what is refused from here on has it done again
        refused = list(self._refused)
        if refused:
            self._is_counting, self._counting = True, self._loop.call_later(COUNTED_S, self._count_all)
        for labels in refused:
            number = self._refused.pop(labels)
            method, code, caller, model, outcome = labels
            self._rpcs.method(method).refused(code, number, caller)
            if outcome:
                self._metrics.refused_at_once(model, outcome, number)


class _Form:
    """What many calls are refused with, but for their ids: to make it anew takes as long as all else."""

    def __init__(self, error: ServingError) -> None:
        made = _refusal(error, _ID)
        (_, *self._headers), (name, details) = made.trailing[:-1], made.trailing[-1]
        assert isinstance(details, bytes), "the last is binary"
        self._code, self._message, self._name = made.code, made.message, name
        self._before, _, self._behind = details.partition(_ID.encode())

    def refusal(self, call_id: str) -> Refusal:
        """That of one call."""
        details = self._before + call_id.encode() + self._behind
        trailing = (("x-request-id", call_id), *self._headers, (self._name, details))
        return Refusal(self._code, self._message, trailing)


def _refusal(error: ServingError, call_id: str) -> Refusal:
    return Refusal(status_code(error), status_message(error), trailing_metadata(error, call_id))
