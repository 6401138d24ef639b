"""Makes lanes of a bundle: its graphs are loaded where they are to run, and its shortlist is read."""

from collections.abc import Callable

from dragoman.bundle.graphs import is_over_shortlist, sibling_graph
from dragoman.bundle.manifest import Manifest
from dragoman.bundle.reader import Bundle
from dragoman.server.batches.factory import GroupFactory
from dragoman.server.batches.shortlist import Shortlist
from dragoman.server.core.errors import StartError
from dragoman.server.core.ports import LaneObserver
from dragoman.server.lanes.lanes import LANE_POSITIONS, Lanes
from dragoman.server.runtime.device_runtime import DeviceRuntime
from dragoman.server.runtime.hardware import PROCESSOR, Hardware, runs_placed
from dragoman.server.runtime.host_runtime import HostRuntime
from dragoman.server.runtime.positions import position_bytes
from dragoman.server.runtime.runtime import Runtime
from dragoman.server.runtime.sessions import load_sessions


def best_batch(manifest: Manifest, hardware: Hardware) -> int:
    """So many sources a lane give high throughput, and none of them waits long for its next step.

    The more, the more use is made of weights that are read from memory once a step. On a processor that gains an
    eighth to a quarter beyond these, which is for when many wait, and a source is the slower for each that shares its
    steps. The words of a lexical shortlist are those of all sources together. A GPU computes for many in the time that
    it reads the weights in.
    """
    if hardware.provider == "cuda":
        return 256
    return 16 if manifest.shortlist is not None else 32


def most_together(manifest: Manifest, hardware: Hardware) -> int:
    """And so many while hundreds wait: with more, what a step makes no longer stays in a processor's caches."""
    usual = best_batch(manifest, hardware)
    return usual if hardware.provider == "cuda" else 3 * usual


def open_runtime(bundle: Bundle, *, threads: int = 1, hardware: Hardware = PROCESSOR) -> Runtime:
    """The bundle's graphs, loaded there: of several decoders, each runs as if it were the only one."""
    loaded, runtimes = load_sessions(bundle, threads, hardware), {}
    for decoder in (None, *bundle.manifest.siblings):
        manifest = bundle.manifest.of(decoder)
        named = {graph: sibling_graph(decoder, graph) for graph in manifest.graphs}
        sessions = {graph: loaded[name] for graph, name in named.items() if name in loaded}
        kind = DeviceRuntime if runs_placed(manifest, hardware) else HostRuntime
        runtimes[decoder] = kind(manifest, sessions, hardware)
    runtime = runtimes[None]
    runtime.beside({decoder: each for decoder, each in runtimes.items() if decoder is not None})
    return runtime


def open_lanes(
    bundle: Bundle,
    *,
    num_lanes: int,
    threads_per_lane: int,
    max_batch: int,
    observer: LaneObserver,
    hardware: Hardware = PROCESSOR,
    lane_bytes: Callable[[], int] = lambda: 0,
) -> Lanes:
    """Lanes that decode with it; a `max_batch` of 0 is the best one, and follows the backlog. `lane_bytes` is the
    memory that each may fill with what it keeps of sources and translations, from one round to the next; 0: nothing is
    known of memory.
    """
    runtime = open_runtime(bundle, threads=threads_per_lane, hardware=hardware)
    usual = max_batch or best_batch(bundle.manifest, hardware)
    most = max_batch or most_together(bundle.manifest, hardware)
    graphs = {graph for decoder in (None, *runtime.siblings) for graph in runtime.of(decoder).graphs}
    shortlist = load_shortlist(bundle) if any(map(is_over_shortlist, graphs)) else None
    factory = GroupFactory(runtime, shortlist, capacity=most, observer=observer)
    size = position_bytes(bundle.manifest)

    def budget() -> int:
        memory = lane_bytes()
        return memory // size if memory else LANE_POSITIONS

    return Lanes(runtime, factory, num_lanes=num_lanes, max_batch=usual, observer=observer, most=most, budget=budget)


def load_shortlist(bundle: Bundle) -> Shortlist | None:
    """Where the bundle has one."""
    manifest = bundle.manifest
    if manifest.shortlist is None:
        return None
    try:
        return Shortlist.load(
            bundle.path(manifest.shortlist),
            bundle.read(manifest.shortlist),
            source_vocabulary=manifest.architecture.source_vocabulary,
            vocabulary=manifest.architecture.target_vocabulary,
            eos_id=manifest.tokenizer.eos_id,
        )
    except ValueError as error:
        raise StartError(f"{bundle.directory}: {error}") from error
