"""The real server with faults to order: one word a line on standard input.

`stall` stops every lane in the middle of its work and `go` lets them on; `slow` makes each step of the decoder take
100 ms longer, also in a run of several, `fast` does not; `break` makes every run of a decoder fail, `mend` does not. A
request with the id `defect` meets a defect. The build says that it is for GPUs, which is not true, so that the alert
about it has something to see.
"""

import argparse
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from dragoman.bundle.graphs import STRIDE
from dragoman.server.app import app, command_serve
from dragoman.server.batches.step_batch import STRIDE_STEPS
from dragoman.server.core.requests import Request
from dragoman.server.lanes.lanes import Lanes
from dragoman.server.lanes.opening import open_lanes
from dragoman.server.telemetry.state_metrics import Build
from dragoman.server.transport.front import Call

SLOWER_S = 0.1


class Faults:
    """What is wrong at the moment."""

    def __init__(self) -> None:
        self.may_go = threading.Event()
        self.may_go.set()
        self.slower_s = 0.0
        self.is_broken = False

    def obey(self) -> None:
        for line in sys.stdin:
            match line.strip():
                case "stall":
                    self.may_go.clear()
                case "go":
                    self.may_go.set()
                case "slow":
                    self.slower_s = SLOWER_S
                case "fast":
                    self.slower_s = 0.0
                case "break":
                    self.is_broken = True
                case "mend":
                    self.is_broken = False
            print("done", flush=True)

    def wrap(self, run: Callable[..., Any]) -> Callable[..., Any]:
        def faulty(*inputs: Any, **options: Any) -> Any:
            self.may_go.wait()
            if self.slower_s:
                time.sleep(self.slower_s * (STRIDE_STEPS if STRIDE in inputs[:1] else 1))
            if self.is_broken:
                raise RuntimeError("a fault to order")
            return run(*inputs, **options)

        return faulty


def faulty_lanes(*arguments: Any, **options: Any) -> Lanes:
    """Lanes whose decoders are wrapped."""
    lanes = open_lanes(*arguments, **options)
    for decoder in (None, *lanes.runtime.siblings):
        runtime = lanes.runtime.of(decoder)
        runtime.step = FAULTS.wrap(runtime.step)  # type: ignore[method-assign]
        runtime.run = FAULTS.wrap(runtime.run)  # type: ignore[method-assign]
    return lanes


def request(call: Call, *arguments: Any, **options: Any) -> Request:
    if call.id == "defect":
        raise ZeroDivisionError
    return real_request(call, *arguments, **options)


def installed() -> Build:
    return replace(real_build, onnxruntime_build="gpu")


FAULTS = Faults()
real_request, real_build = Call.request, Build.installed()
Call.request = request  # type: ignore[method-assign]
Build.installed = installed  # type: ignore[method-assign]
app.open_lanes = faulty_lanes

if __name__ == "__main__":
    threading.Thread(target=FAULTS.obey, daemon=True).start()
    parser = argparse.ArgumentParser()
    command_serve.register(parser)
    sys.exit(command_serve.run(parser.parse_args()))
