"""What all metrics together cost, in microseconds of processor time a request.

A request of one sentence is one RPC, one segment, one run of the encoder, and a run of the decoder for each of its
tokens. Alone in its batch it pays for all of these runs itself; in a batch of 16 it shares them. Both are printed, as
medians of rounds, and what a scrape costs.
"""

import argparse
import statistics
import time
from collections.abc import Callable

from prometheus_client import CollectorRegistry, generate_latest

from dragoman.server.app.app import SERVICE
from dragoman.server.core.ports import Pulse
from dragoman.server.core.segments import FinishReason
from dragoman.server.core.strategies import Engine
from dragoman.server.core.translations import TextHypothesis, Timings, Translation
from dragoman.server.telemetry.request_metrics import Metrics
from dragoman.server.telemetry.rpc_metrics import RpcMetrics

TOKENS = 32
BATCH = 16
TRANSLATION = Translation(
    (TextHypothesis("", -1.0, -1.0),),
    FinishReason.STOP,
    Engine.GREEDY,
    TOKENS,
    TOKENS,
    1,
    TOKENS,
    Timings(0.0002, 0.001, 0.003, 0.02, 0.0001),
)


def microseconds(work: Callable[[], None], requests: int, rounds: int) -> float:
    """Of one call of `work`, less what the loop around it takes; the median of rounds."""

    def once(function: Callable[[], None]) -> float:
        started = time.thread_time()
        for _ in range(requests):
            function()
        return (time.thread_time() - started) / requests * 1e6

    return statistics.median(once(work) - once(lambda: None) for _ in range(rounds))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=5_000, help="requests in a round (default: 5000)")
    parser.add_argument("--rounds", type=int, default=7, help="rounds, of which the median counts (default: 7)")
    args = parser.parse_args()
    metrics = Metrics(CollectorRegistry(), ["model"])
    rpc = RpcMetrics(metrics.registry, [(SERVICE.full_name, method) for method in SERVICE.methods])
    tally, pulse = metrics.tallies["model"], Pulse(0.0)

    def call() -> None:
        method = rpc.method(f"/{SERVICE.full_name}/Translate")
        method.started()
        method.received()
        with metrics.request() as record:
            record.model = "model"
            metrics.answered("model", [TRANSLATION])
            record.end([TRANSLATION])
        method.sent()
        method.handled("OK", 0.025)

    def step() -> None:
        tally.on_step(BATCH, BATCH, 0.0007)
        pulse.beat(time.monotonic(), is_busy=True)

    def encode() -> None:
        tally.on_encode(BATCH, TOKENS * BATCH, TOKENS * BATCH, 0.003)

    def scrape() -> None:
        generate_latest(metrics.registry)

    call_us, step_us, encode_us = (microseconds(work, args.requests, args.rounds) for work in (call, step, encode))
    scrape_us = microseconds(scrape, 20, args.rounds)
    lane_us = TOKENS * step_us + encode_us
    print(f"a request, its call and its answer   {call_us:7.2f} us")
    print(f"a run of the decoder                 {step_us:7.2f} us")
    print(f"a run of the encoder                 {encode_us:7.2f} us")
    print(f"in all, in a batch of {BATCH}             {call_us + lane_us / BATCH:7.2f} us a request of {TOKENS} tokens")
    print(f"in all, alone                        {call_us + lane_us:7.2f} us a request of {TOKENS} tokens")
    print(f"a scrape                             {scrape_us / 1000:7.2f} ms")


if __name__ == "__main__":
    main()
