"""The overload manager: what the server lives on, how much of it is used, and what is refused before it is used up.

Each resource has a share, from 0 to 1. From `ENTER` on it is short, until it falls below `LEAVE`: new requests are
refused while one that requests use up is. The others are refused elsewhere as they come (connections by gRPC, tokens by
admission, unfinished messages as they grow old), and stand here so that one table shows all of them. While memory
grows, new connections that bring much and call nothing are cut off. From `LAST` on none of that has been enough, and
whoever has brought the most is cut off. Decides alone; `resources` and `floods` look.
"""

import logging
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass

from prometheus_client import CollectorRegistry, Counter
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from dragoman.server.core import logs
from dragoman.server.core.errors import Shed
from dragoman.server.telemetry.floods import Floods

_logger = logging.getLogger(__name__)

ENTER, LEAVE, LAST = 0.9, 0.85, 0.92
RISE, WATCHFUL_S = 0.001, 10.0
"""While memory grows by so much from beat to beat, and so long after a flood, it is looked at who brings what."""
BEAT_S = 0.1
QUICK_S = 0.02
"""From beat to beat where memory grows, or is used up by more than `CALM`: it can be gone before the next tenth."""
CALM = 0.6
RENEW_S = 0.001
"""A look that is older refuses nobody: it may be over."""


@dataclass(frozen=True)
class Resource:
    """Something that there is only so much of."""

    name: str
    share: Callable[[], float]
    """How much of it is used now: 1 is all."""
    refuses: bool = False
    """Whether new requests are refused while it is short."""


class Overload(Collector):
    """Looks at all resources ten times a second, on a thread of its own, from `start` to `close`."""

    def __init__(
        self,
        resources: Sequence[Resource],
        registry: CollectorRegistry,
        relieve: Callable[[], None] = lambda: None,
        clock: Callable[[], float] = time.monotonic,
        floods: Floods | None = None,
        give_back: Callable[[], None] = lambda: None,
    ) -> None:
        self._resources, self._floods = resources, floods
        self._relieve, self._give_back = relieve, give_back
        self._shares = dict.fromkeys((resource.name for resource in resources), 0.0)
        self._memory_before, self._is_watchful, self._cut_s = 0.0, False, -WATCHFUL_S
        """The share at the beat before; whether it is looked at who brings what; when connections were cut off."""
        self.short: tuple[str, ...] = ()
        """The resources that are nearly used up."""
        self._refusing: Sequence[Resource] = ()
        shed = Counter("dragoman_shed", "Calls ended to spare a resource.", ("resource",), registry=registry)
        self._shed = {name: shed.labels(name) for name in self._shares}
        registry.register(self)
        self._clock, self._looked_s, self._relieved_s = clock, clock(), -BEAT_S
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._run, name="overload", daemon=True)

    def __repr__(self) -> str:
        return f"<Overload {' '.join(self.short) or 'none'}>"

    def start(self) -> None:
        """Begin to look."""
        self._thread.start()

    def close(self) -> None:
        """Look no more."""
        self._closed.set()
        if self._thread.is_alive():
            self._thread.join()

    def refusal(self) -> Shed | None:
        """Why a new request is refused now, counted; None where it is not."""
        for resource in self._refusing:
            now_s = self._clock()
            if now_s - self._looked_s >= RENEW_S:
                self._looked_s = now_s
                self._look(resource)
            if self._shares[resource.name] >= LEAVE:
                self.count(resource.name)
                return Shed(resource.name, f"the server is short of {resource.name}")
        return None

    def count(self, name: str) -> None:
        """A call was ended to spare a resource."""
        self._shed[name].inc()

    def check(self) -> None:
        """Look once. While memory is short, what can be given back is."""
        self._looked_s = self._clock()
        short = tuple(resource.name for resource in self._resources if self._is_short(resource))
        if self._floods is not None:
            with suppress(OSError, MemoryError):  # it will be looked at again
                self._stem(self._floods)
        for name in short:
            if name not in self.short:
                logs.event(_logger, logging.WARNING, "overloaded", resource=name, share=self._shares[name])
        for name in self.short:
            if name not in short:
                logs.event(_logger, logging.WARNING, "overload_ended", resource=name, share=self._shares[name])
        self.short = short
        self._refusing = [resource for resource in self._resources if resource.refuses and resource.name in short]
        if "memory" in short and self._looked_s - self._relieved_s >= BEAT_S:
            self._relieved_s = self._looked_s
            self._relieve()
            self._give_back()

    def _stem(self, floods: Floods) -> None:
        floods.look()
        share = self._shares.get("memory", 0.0)
        grows, self._memory_before = share > self._memory_before + RISE, share
        self._is_watchful = grows or self._looked_s - self._cut_s < WATCHFUL_S
        number = floods.cut_loose() if self._is_watchful else 0
        if share >= LAST:
            number += floods.cut()
        if number:
            self._cut_s = self._looked_s
            self._give_back()
            for _ in range(number):
                self.count("memory")
            logs.event(_logger, logging.WARNING, "connections_cut", number=number, share=share)

    def collect(self) -> Iterator[Metric]:
        """The shares of this moment."""
        level = GaugeMetricFamily(
            "dragoman_resource_used_ratio", "How much of a resource is used; 1 is all.", labels=("resource",)
        )
        is_short = GaugeMetricFamily(
            "dragoman_overload", "Whether a resource is nearly used up: 1 or 0.", labels=("resource",)
        )
        for name, share in self._shares.items():
            level.add_metric((name,), share)
            is_short.add_metric((name,), float(name in self.short))
        yield level
        yield is_short

    def _is_short(self, resource: Resource) -> bool:
        self._look(resource)
        return self._shares[resource.name] >= (LEAVE if resource.name in self.short else ENTER)

    def _look(self, resource: Resource) -> None:
        with suppress(OSError, MemoryError):  # where nothing is left to look with, the last look stands
            self._shares[resource.name] = resource.share()

    def _run(self) -> None:
        beat_s = BEAT_S
        while not self._closed.wait(beat_s):
            self.check()
            beat_s = QUICK_S if self._is_watchful or self._shares.get("memory", 0.0) > CALM else BEAT_S
