"""Who is SERVING when."""

import pytest

from dragoman.server.transport.health import statuses


@pytest.mark.parametrize(
    ("is_ready", "lost", "serving"),
    [
        (False, (), {"liveness"}),  # loading, or draining: not to be killed for it
        (True, (), {"", "service", "model/a", "model/b", "liveness"}),
        (True, ("a",), {"model/b"}),  # the other model can still be asked for by its name
        (False, ("a",), set()),
        (True, ("event loop",), set()),
    ],
)
def test_what_serves(is_ready: bool, lost: tuple[str, ...], serving: set[str]) -> None:
    """Readiness follows loading, draining and lanes; liveness follows lanes alone."""
    known = statuses("service", ["a", "b"], lost, is_ready=is_ready)

    assert {name for name, is_serving in known.items() if is_serving} == serving
    assert set(known) == {"", "service", "model/a", "model/b", "liveness"}
