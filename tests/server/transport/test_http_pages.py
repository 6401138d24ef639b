"""The pages beside gRPC."""

import http.client
from collections.abc import Iterator

import pytest
from prometheus_client import CollectorRegistry, Counter

from dragoman.server.core.errors import StartError
from dragoman.server.transport.http_pages import HttpServer, listen_problem, metrics, probes


@pytest.fixture
def holds() -> dict[str, bool]:
    """What the two questions are answered with."""
    return {"ready": True, "live": True}


@pytest.fixture
def server(holds: dict[str, bool]) -> Iterator[HttpServer]:
    registry = CollectorRegistry()
    Counter("dogs", "Seen.", registry=registry).inc()
    pages = metrics(registry) | probes(lambda: holds["ready"], lambda: holds["live"])
    server = HttpServer("--metrics-listen", "127.0.0.1:0", pages)
    yield server
    server.close()


def ask(server: HttpServer, path: str, method: str = "GET") -> tuple[int, str]:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
    try:
        connection.request(method, path)
        response = connection.getresponse()
        return response.status, response.read().decode()
    finally:
        connection.close()


def test_each_question_has_its_page(server: HttpServer, holds: dict[str, bool]) -> None:
    """A server that is not ready may live, and the other way round; a query changes nothing."""
    assert ask(server, "/healthz") == (200, "ready\n")
    assert ask(server, "/livez?verbose") == (200, "live\n")
    holds["ready"] = False
    assert ask(server, "/healthz") == (503, "not ready\n")
    assert ask(server, "/livez") == (200, "live\n")
    holds["live"] = False
    assert ask(server, "/livez") == (503, "not live\n")


def test_metrics_are_exposed(server: HttpServer) -> None:
    """In the text format, to whoever asks for nothing else."""
    status, page = ask(server, "/metrics")

    assert status == 200
    assert "dogs_total 1.0" in page.splitlines()


def test_another_path_names_the_pages(server: HttpServer) -> None:
    """With the status of what is not there."""
    assert ask(server, "/") == (404, "there is /metrics and /healthz and /livez\n")


def test_a_head_has_no_content(server: HttpServer) -> None:
    """Only what a GET would begin with."""
    assert ask(server, "/livez", "HEAD") == (200, "")


def test_a_port_that_is_taken_is_said_so(server: HttpServer) -> None:
    """With the option and the way out."""
    with pytest.raises(StartError, match=rf"--metrics-listen 127.0.0.1:{server.port}: cannot listen .*another port"):
        HttpServer("--metrics-listen", f"127.0.0.1:{server.port}", {})


def test_a_host_that_nobody_knows_is_told_from_a_port_that_is_taken() -> None:
    """The reason is only given for a host that there is."""
    assert listen_problem("127.0.0.1:1", "taken") == "taken"
    assert listen_problem("no.such.host.invalid:1", "taken").startswith("the host no.such.host.invalid cannot be")
