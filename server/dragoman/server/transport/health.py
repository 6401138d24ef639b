"""`grpc.health.v1`: who may send requests, and who must be started again.

`""`, the translation service and `model/NAME` are readiness: loaded, not draining, lanes at work. `liveness` says only
that no lane is lost: a draining server lives.
"""

import asyncio
from collections.abc import Collection, Mapping
from contextlib import suppress

from grpc_health.v1 import health, health_pb2

LIVENESS = "liveness"
TOLD_S = 0.2
"""How long it may take to wake those who watch a name; who asks is told at once."""
_STATUS = health_pb2.HealthCheckResponse


def statuses(service: str, models: Collection[str], lost: Collection[str], *, is_ready: bool) -> dict[str, bool]:
    """Whether each health service is SERVING. `lost` names what has stopped moving: models, or the event loop."""
    everything = is_ready and not lost
    is_able = is_ready and set(lost) <= set(models)
    ready = {f"model/{model}": is_able and model not in lost for model in models}
    return {"": everything, service: everything, **ready, LIVENESS: not lost}


async def publish(servicer: health.aio.HealthServicer, serving: Mapping[str, bool]) -> None:
    """Tell those who ask and those who watch."""
    for name, is_serving in serving.items():
        # It waits for whoever is being told of the last change: who does not read must not hold up a stop.
        with suppress(TimeoutError):
            await asyncio.wait_for(servicer.set(name, _STATUS.SERVING if is_serving else _STATUS.NOT_SERVING), TOLD_S)
