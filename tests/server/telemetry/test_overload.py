"""What is refused while something is short."""

import logging

import pytest
from prometheus_client import CollectorRegistry

from dragoman.server.telemetry.overload import BEAT_S, RENEW_S, Overload, Resource


class Bench:
    """An overload manager whose resources are used as a test says."""

    def __init__(self) -> None:
        self.used = {"memory": 0.0, "connections": 0.0}
        self.registry = CollectorRegistry()
        self.relieved = 0
        resources = [
            Resource("memory", lambda: self.used["memory"], refuses=True),
            Resource("connections", lambda: self.used["connections"]),
        ]
        self.now_s = 0.0
        self.overload = Overload(resources, self.registry, self._relieve, lambda: self.now_s)

    def _relieve(self) -> None:
        self.relieved += 1

    def look(self, **used: float) -> str | None:
        """The resource for whose sake new requests are refused after the next look."""
        self.used |= used
        self.now_s += 1.0
        self.overload.check()
        refusal = self.overload.refusal()
        return refusal and refusal.resource

    def value(self, name: str, resource: str) -> float | None:
        return self.registry.get_sample_value(f"dragoman_{name}", {"resource": resource})


@pytest.fixture
def bench() -> Bench:
    return Bench()


def test_requests_are_refused_from_one_share_on_until_it_is_lower(bench: Bench) -> None:
    """The gap between the two keeps it from changing at every look."""
    seen = [bench.look(memory=share) for share in (0.89, 0.9, 0.86, 0.85, 0.84, 0.89)]

    assert seen == [None, "memory", "memory", "memory", None, None]
    assert bench.value("shed_total", "memory") == 3
    assert bench.relieved == 3


def test_nobody_is_refused_for_what_is_over(bench: Bench) -> None:
    """Between two looks of the thread a refusal looks for itself, now and then."""
    assert bench.look(memory=0.95) == "memory"

    bench.used["memory"] = 0.5
    assert bench.overload.refusal() is not None
    bench.now_s += 2 * RENEW_S

    assert bench.overload.refusal() is None


def test_memory_is_given_back_once_in_a_while(bench: Bench) -> None:
    """Looks are quicker than that while much is used."""
    bench.look(memory=0.95)
    for _ in range(6):
        bench.now_s += BEAT_S / 4
        bench.overload.check()

    assert bench.relieved == 2


class Stemmed:
    """Three connections that bring too much."""

    def __init__(self) -> None:
        self.looks, self.heavy = 0, 3
        self.looks_at_new, self.loose = 0, 0

    def look(self) -> None:
        self.looks += 1

    def cut(self) -> int:
        cut, self.heavy = self.heavy, 0
        return cut

    def cut_loose(self) -> int:
        self.looks_at_new += 1
        cut, self.loose = self.loose, 0
        return cut


def test_connections_are_cut_off_when_refusing_is_not_enough(caplog: pytest.LogCaptureFixture) -> None:
    """Shortly before memory is used up, counted and logged once."""
    used, floods, registry = [0.0], Stemmed(), CollectorRegistry()
    overload = Overload([Resource("memory", lambda: used[0])], registry, floods=floods)  # type: ignore[arg-type]
    cut = []
    for used[0] in (0.0, 0.91, 0.92, 0.99):
        overload.check()
        cut.append(3 - floods.heavy)

    assert cut == [0, 0, 3, 3]
    assert floods.looks == 4
    assert registry.get_sample_value("dragoman_shed_total", {"resource": "memory"}) == 3
    assert [record.getMessage() for record in caplog.records].count("connections_cut") == 1


def test_who_brings_memory_is_looked_for_while_it_grows() -> None:
    """And for a while after somebody was cut off, as what was freed is used again; what they held is given back."""
    used, now_s, floods, given_back = [0.2], [0.0], Stemmed(), list[float]()
    overload = Overload(
        [Resource("memory", lambda: used[0])],
        CollectorRegistry(),
        clock=lambda: now_s[0],
        floods=floods,  # type: ignore[arg-type]
        give_back=lambda: given_back.append(now_s[0]),
    )
    looks = []
    for at_s, share, loose in ((1, 0.2, 0), (2, 0.2, 0), (3, 0.3, 2), (4, 0.3, 0), (20, 0.3, 0), (21, 0.2, 0)):
        now_s[0], used[0], floods.loose = float(at_s), share, loose
        before = floods.looks_at_new
        overload.check()
        looks.append(floods.looks_at_new - before)

    assert looks == [1, 0, 1, 1, 0, 0]
    assert given_back == [3.0]
    assert floods.heavy == 3, "what is heavy alone is cut off when memory is nearly used up"


def test_what_requests_do_not_use_up_refuses_none(bench: Bench) -> None:
    """But it is shown."""
    assert bench.look(connections=1.0) is None
    assert bench.value("overload", "connections") == 1
    assert bench.value("resource_used_ratio", "connections") == 1
    assert bench.value("overload", "memory") == 0
    assert bench.relieved == 0


def test_beginning_and_end_are_logged_once(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    """Not at every look."""
    logging.getLogger("dragoman").propagate = True
    with caplog.at_level(logging.WARNING):
        for share in (0.95, 0.99, 0.5, 0.5):
            bench.look(memory=share)

    assert [record.message for record in caplog.records] == ["overloaded", "overload_ended"]
    assert repr(bench.overload) == "<Overload none>"


def test_a_look_that_fails_leaves_what_was_seen(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where memory or descriptors have run out, looking may take some, too."""

    def out_of_memory() -> float:
        raise MemoryError

    overload = Overload([Resource("memory", out_of_memory, refuses=True)], CollectorRegistry())
    overload.check()

    assert overload.short == ()


def test_it_looks_by_itself(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """From start to close, on a thread of its own."""
    monkeypatch.setattr("dragoman.server.telemetry.overload.BEAT_S", 0.001)
    bench.used["memory"] = 1.0
    bench.overload.start()
    while not bench.overload.short:
        pass
    bench.overload.close()

    assert bench.overload.short == ("memory",)
