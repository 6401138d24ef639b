"""What traces cost, in microseconds of processor time a request.

A request of one sentence whose five stages took time is a span for the call and one for each stage. Printed, as medians
of rounds: what it takes to find that nobody asks for traces; to read a caller's `traceparent`; to begin a trace that is
not kept; and to make all spans of one that is, up to their queue. What the exporter's own thread takes to write and
send them to a stub that answers at once comes after that: no request waits for it.
"""

import argparse
import multiprocessing
import secrets
import statistics
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, HTTPServer

from dragoman.server.core.tracing import Trace, continued
from dragoman.server.core.translations import Timings
from dragoman.server.telemetry.request_metrics import RequestRecord
from dragoman.server.telemetry.traces import Traces
from dragoman.server.transport.interceptor import current_trace

METHOD = "dragoman.v1.TranslationService/Translate"
TIMINGS = Timings(0.0002, 0.001, 0.003, 0.02, 0.0001)
BARS_US = {"off": 20, "on": 100}


class Stub(BaseHTTPRequestHandler):
    """Takes whatever comes."""

    def do_POST(self) -> None:
        """As OTLP's exporter sends it."""
        self.rfile.read(int(self.headers["content-length"]))
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Nobody reads it."""


def microseconds(work: Callable[[], object], requests: int, rounds: int) -> float:
    """Of one call of `work`, less what the loop around it takes; the median of rounds."""

    def once(function: Callable[[], object]) -> float:
        started = time.thread_time()
        for _ in range(requests):
            function()
        return (time.thread_time() - started) / requests * 1e6

    return statistics.median(once(work) - once(lambda: None) for _ in range(rounds))


def record() -> RequestRecord:
    """Of a request that was answered."""
    made = RequestRecord()
    made.model, made.outcome, made.engine, made.timings = "model", "ok", "greedy", TIMINGS
    made.texts, made.source_tokens, made.target_tokens = 1, 32, 32
    return made


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=300, help="requests in a round (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=15, help="rounds, of which the median counts")
    args = parser.parse_args()
    stub = HTTPServer(("127.0.0.1", 0), Stub)
    taking = multiprocessing.get_context("fork").Process(target=stub.serve_forever, daemon=True)
    taking.start()
    traces, ended = Traces(f"http://127.0.0.1:{stub.server_port}/v1/traces"), record()
    header = f"00-{secrets.token_hex(16)}-{secrets.token_hex(8)}-00"

    def begun(given: str | None, ratio: float) -> Trace | None:
        """What the interceptor and the service do before a request."""
        if ratio or given is not None:
            return continued(given, ratio=ratio, random_bits=secrets.randbits)
        return current_trace()

    def request(given: str | None, ratio: float, exporter: Traces | None) -> None:
        """All that is done for traces of a request."""
        trace = begun(given, ratio)
        if trace is not None and exporter is not None:
            exporter.request(ended, trace, METHOD, time.time_ns(), 0.025)

    def paused(work: Callable[[], None], requests: int, rounds: int) -> tuple[float, float]:
        """Of the request's thread, and of the others, which are given the time to send what is queued."""
        here, elsewhere = [], []
        for _ in range(rounds):
            before = time.process_time()
            here.append(microseconds(work, requests, 1))
            traces.flush()
            elsewhere.append((time.process_time() - before) / requests * 1e6 - here[-1])
        return statistics.median(here), statistics.median(elsewhere)

    off_us = microseconds(lambda: request(None, 0.0, None), args.requests, args.rounds)
    read_us = microseconds(lambda: request(header, 0.0, None), args.requests, args.rounds)
    begun_us = microseconds(lambda: request(None, 1e-12, traces), args.requests, args.rounds)
    kept_us, sent_us = paused(lambda: request(None, 1.0, traces), args.requests, args.rounds)
    print(f"off                                       {off_us:7.2f} us a request (bar {BARS_US['off']})")
    print(f"off, and the caller has a traceparent     {read_us:7.2f} us a request (bar {BARS_US['off']})")
    print(f"on, and the trace is not kept             {begun_us:7.2f} us a request (bar {BARS_US['on']})")
    print(f"on, and the trace is kept: 6 spans        {kept_us:7.2f} us a request (bar {BARS_US['on']})")
    print(f"later, on the exporter's thread           {sent_us:7.2f} us a request")
    traces.close()
    taking.kill()


if __name__ == "__main__":
    main()
