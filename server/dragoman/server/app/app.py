"""The composition root: every object of a serving process is built here, once, and stopped in this order.

Start: options, packages, bundles, lanes and what they decode first, HTTP, gRPC, then health says SERVING.
Stop: health says NOT_SERVING, new requests are refused, those in flight get `drain_grace_s`, what is left is cancelled,
the lanes answer everything they hold, HTTP ends last so that the final numbers can be scraped.
"""

import asyncio
import logging
import os
import signal
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, ExitStack, suppress
from dataclasses import replace
from functools import lru_cache, partial
from typing import NoReturn

from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection, reflection_pb2_grpc
from prometheus_client import CollectorRegistry, GCCollector, PlatformCollector, ProcessCollector

from dragoman.bundle.errors import BundleError
from dragoman.bundle.manifest import Manifest
from dragoman.bundle.reader import Bundle
from dragoman.server.app import admin
from dragoman.server.app.allocator import give_back_at_rest, holes_filled
from dragoman.server.app.fleet import Fleet
from dragoman.server.app.garbage import Garbage
from dragoman.server.app.serve_options import ServeOptions
from dragoman.server.batches.warm_up import warm_up
from dragoman.server.core import logs
from dragoman.server.core.addresses import is_loopback
from dragoman.server.core.errors import Draining, StartError
from dragoman.server.core.limits import RequestLimits
from dragoman.server.core.ports import LaneObserver, SegmentDecoder
from dragoman.server.lanes.opening import open_lanes
from dragoman.server.pipeline.cache import Cache
from dragoman.server.pipeline.glossaries import Glossaries
from dragoman.server.pipeline.models import Models
from dragoman.server.pipeline.pipeline import Pipeline
from dragoman.server.pipeline.workers import Workers
from dragoman.server.runtime.hardware import hardware_of
from dragoman.server.runtime.positions import readable_tokens
from dragoman.server.runtime.sessions import remove_copies
from dragoman.server.telemetry import resources
from dragoman.server.telemetry.floods import Floods
from dragoman.server.telemetry.loop_pulse import LoopPulse
from dragoman.server.telemetry.overload import Overload, Resource
from dragoman.server.telemetry.request_metrics import Metrics
from dragoman.server.telemetry.rpc_metrics import RpcMetrics
from dragoman.server.telemetry.state_metrics import Build, StateMetrics
from dragoman.server.telemetry.traces import Traces
from dragoman.server.telemetry.watchdog import Watchdog
from dragoman.server.text.grammars.helper import GrammarHelpers
from dragoman.server.text.tokenizer import Tokenizer
from dragoman.server.transport.arrivals import UNFINISHED, Arrivals
from dragoman.server.transport.certificates import Certificates
from dragoman.server.transport.doors import Doors
from dragoman.server.transport.gate import LoadGate
from dragoman.server.transport.grpc_server import METADATA_BYTES, Gate, GrpcServer, Wrap
from dragoman.server.transport.health import publish, statuses
from dragoman.server.transport.http_pages import HttpServer, Page, listen_problem, metrics, probes
from dragoman.server.transport.interceptor import CallInterceptor
from dragoman.server.transport.service import TranslationService
from dragoman.server.transport.unread import Unread
from dragoman.v1 import admin_pb2_grpc, translation_pb2, translation_pb2_grpc

_logger = logging.getLogger(__name__)

LanesOf = Callable[[Bundle, LaneObserver], SegmentDecoder]
"""Makes the lanes of a bundle."""

SERVICE = translation_pb2.DESCRIPTOR.services_by_name["TranslationService"]
WORK = ("Translate", "TranslateStream", "TranslatePipe", "Score")
"""The methods that an overload refuses."""
_HEALTH = health_pb2.DESCRIPTOR.services_by_name["Health"]
_LAST_WORDS_S = 0.5
_KEPT_DESCRIPTORS = 128
"""Not for connections of gRPC's: those of HTTP, and files."""
_LANES_SHARE = 3
"""This part of memory is for what lanes keep; graphs while they run, and all else, have the rest."""
_KINDS_OF_REQUESTS = 256
"""Widths and lengths of hypotheses for which it is remembered how much may be read."""
_LOOSE_SHARE = 12
"""This part of memory is for what new connections bring of which no call has come: headers of slow clients."""
_GIVEN_BACK_S = (0.2, 0.2, 0.2, 0.4, 1.0, 1.0)
"""Memory is given back so often when it is short, with these pauses: much of it is freed a little later."""
_FLUSH_S = 1.0
"""How long the last answers have to reach their clients; streams that watch health stay open, and are cut then."""


class App:
    """A server and everything in it. `start`, then `wait` for a signal or call `stop`."""

    def __init__(self, options: ServeOptions, lanes_of: LanesOf | None = None) -> None:
        self.options = options
        self._lanes_of = lanes_of or self._real_lanes
        self._executor = ThreadPoolExecutor(max_workers=2, thread_name_prefix="text")
        self._workers = Workers(self._executor)
        self._helpers = GrammarHelpers()
        self._cache = Cache(options.cache_bytes)
        self._memory = resources.memory_limit()
        self.registry = CollectorRegistry()
        self.models = Models([])
        self._health = health.aio.HealthServicer()
        self._started = time.perf_counter()
        self._garbage = Garbage(lambda: sum(map(_num_segments, self.models)))
        self._is_ready = False
        self._has_ended = True
        """Whether nothing is being loaded any more, once stopped."""
        self._http: list[HttpServer] = []
        self._looks: set[asyncio.Task[None]] = set()
        self.port = self.admin_port = 0
        """Where gRPC is served, once started."""

    @property
    def metrics_port(self) -> int:
        """Where HTTP is served, once started."""
        return self._http[0].port

    @property
    def probe_port(self) -> int:
        """Where probes are answered, once started."""
        return self._http[-1].port

    async def start(self) -> None:
        """Open the bundles and serve them; raises `StartError` with nothing left behind."""
        options = self.options
        loop = asyncio.get_running_loop()
        self.metrics = Metrics(self.registry, ())
        self._count_bundles()
        self._glossaries = Glossaries(options.glossaries, lambda outcome: self.metrics.glossary_reads[outcome].inc())
        self._watch(loop)
        self.fleet = Fleet(
            self.models, self._pipeline, self._publish, folder=options.models, drain_s=options.drain_grace_s
        )
        async with AsyncExitStack() as undone:
            undone.callback(self._executor.shutdown)
            undone.callback(self._helpers.close)
            undone.push_async_callback(self.fleet.close)
            await self.fleet.start(options.bundles)
            self.registry.register(StateMetrics(self.models, Build.installed(), self._cache))
            for collector in (ProcessCollector, PlatformCollector, GCCollector):
                collector(registry=self.registry)
            self._protect(loop)
            # Asked for at each scrape, by a thread of its own: a blocked event loop could not say that it is.
            self.metrics.ready.set_function(lambda: float(self._serving[""]))
            for flag, address, pages in self._pages():
                server = HttpServer(flag, address, pages)
                undone.callback(server.close)
                self._http.append(server)
            await self._start_grpc()
            undone.pop_all()
        self._garbage.start()  # which takes a moment, before anybody looks at the clock
        self._loop_pulse.start()
        self._arrivals.start()
        self._unread.start()
        for doors in self._doors:
            doors.start()
        self._watchdog.start()
        self._overload.start()
        self._is_ready = True
        self._looking = asyncio.create_task(self._look_again())
        self._giving_back = asyncio.create_task(give_back_at_rest(self._is_at_rest))
        await self._publish()
        seconds = time.perf_counter() - self._started
        logs.event(_logger, logging.DEBUG, "ready", port=self.port, metrics_port=self.metrics_port, seconds=seconds)

    async def stop(self) -> None:
        """Drain and stop, as the module says."""
        until_s = time.monotonic() + self.options.drain_grace_s
        self._is_ready = False
        self._looking.cancel()
        self._giving_back.cancel()
        self.metrics.draining.set(1)
        self.service.draining = True
        await self._publish()
        logs.event(_logger, logging.INFO, "draining", grace_s=self.options.drain_grace_s)
        try:
            await asyncio.wait_for(self.service.idle(), self.options.drain_grace_s)
            grace_s = _FLUSH_S
        except TimeoutError:
            grace_s = 0.0
        await self._server.stop(grace_s)
        if self._admin_server is not None:
            await self._admin_server.stop(0)
        self._has_ended = await self.fleet.close(max(0.0, until_s - time.monotonic()))
        self._executor.shutdown()
        self._helpers.close()
        if self._traces is not None:
            closing = threading.Thread(target=self._traces.close, daemon=True)  # it may wait for an endpoint that hangs
            closing.start()
            await asyncio.to_thread(closing.join, _FLUSH_S)
        self._loop_pulse.close()
        self._arrivals.close()
        self._unread.close()
        for doors in self._doors:
            doors.close()
        self._garbage.close()
        self._watchdog.close()
        self._overload.close()
        self.metrics.draining.set(0)
        for server in self._http:
            server.close()
        logs.event(_logger, logging.INFO, "stopped", in_time=grace_s > 0)

    async def run(self, announce: Callable[[], None]) -> int:
        """Serve until SIGINT or SIGTERM, then drain: 0. A second signal ends at once: 1."""
        loop = asyncio.get_running_loop()
        stopping, ending = asyncio.Event(), asyncio.Event()

        def signalled() -> None:
            (ending if stopping.is_set() else stopping).set()

        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, signalled)
        stopped = asyncio.create_task(stopping.wait())
        start = asyncio.create_task(self.start())
        await asyncio.wait({start, stopped}, return_when=asyncio.FIRST_COMPLETED)
        if not start.done():
            start.cancel()
            await asyncio.wait({start})
            _end_now(0, "stopped_before_start")
        await start
        loop.add_signal_handler(signal.SIGHUP, self.look)
        announce()
        await stopped
        stop = asyncio.create_task(self.stop())
        end = asyncio.create_task(ending.wait())
        await asyncio.wait({stop, end}, return_when=asyncio.FIRST_COMPLETED)
        if not stop.done():
            _end_now(1, "stopped_by_second_signal")
        end.cancel()
        await stop
        if not self._has_ended:
            _end_now(0, "stopped_while_loading")
        return 0

    def look(self) -> None:
        """Take up bundles and glossaries that have changed, soon."""
        task = asyncio.create_task(self._look())
        self._looks.add(task)
        task.add_done_callback(self._looks.discard)

    async def _look_again(self) -> None:
        while self.options.look_s:
            await asyncio.sleep(self.options.look_s)
            await self._look()

    async def _look(self) -> None:
        try:
            await asyncio.to_thread(self._glossaries.look)
            await self.fleet.look()
        except Draining:
            pass
        except Exception as error:  # noqa: BLE001 - the next look may go well
            logs.event(_logger, logging.ERROR, "look_failed", exc_info=error)

    def _is_at_rest(self) -> bool:
        """Whether nothing is decoded, and nothing waits for it."""
        return not any(model.lanes.active_segments or model.lanes.waiting_segments for model in self.models)

    def _pages(self) -> list[tuple[str, str, dict[str, Page]]]:
        """What HTTP serves where: an option, its address, and pages."""
        options, pages = self.options, metrics(self.registry)
        asked = probes(is_ready=lambda: self._serving[""], is_live=lambda: not self._watchdog.faults)
        if not options.probe_listen:
            return [("--metrics-listen", options.metrics_listen, pages | asked)]
        return [("--metrics-listen", options.metrics_listen, pages), ("--probe-listen", options.probe_listen, asked)]

    def _pipeline(self, bundle: Bundle) -> Pipeline:
        name, options = bundle.manifest.name, self.options
        bundle = self._readable(bundle)
        if bundle.manifest.decoding.beam_size > options.max_beam_size:
            raise StartError(
                f"{bundle.directory}: the model's own beam_size is {bundle.manifest.decoding.beam_size}, "
                f"and --max-beam-size is {options.max_beam_size}: raise it"
            )
        if bundle.manifest.decoding.num_hypotheses > options.max_hypotheses:
            raise StartError(
                f"{bundle.directory}: the model's own num_hypotheses is {bundle.manifest.decoding.num_hypotheses}, "
                f"and --max-hypotheses is {options.max_hypotheses}: raise it"
            )
        limits = RequestLimits(
            max_texts=options.max_texts,
            max_text_bytes=options.max_text_bytes,
            max_beam_size=options.max_beam_size,
            max_hypotheses=options.max_hypotheses,
            backlog_tokens=options.backlog_tokens,
            max_terms=options.max_terms,
        )
        started = time.perf_counter()
        self.metrics.add_model(name)
        try:
            with holes_filled():
                tokenizer, lanes = Tokenizer(bundle), self._lanes_of(bundle, self.metrics.tallies[name])
        except BundleError as error:  # its files are not those that were opened any more
            raise StartError(str(error)) from error
        self.metrics.model_load.labels(name).set(time.perf_counter() - started)
        cache = self._cache.of(name, bundle.digest)
        readable = self._readable_by(bundle.manifest)
        return Pipeline(
            bundle, tokenizer, lanes, limits, self._workers, cache, self._glossaries, self._helpers, readable
        )

    def _readable(self, bundle: Bundle) -> Bundle:
        """The bundle with sources no longer than what a lane may fill has room for."""
        manifest, memory = bundle.manifest, self._lane_bytes()
        width = manifest.decoding.beam_size
        most = readable_tokens(manifest, memory, width) if memory else manifest.limits.max_source_tokens
        if most == manifest.limits.max_source_tokens:
            return bundle
        logs.event(_logger, logging.WARNING, "sources_shortened", model=manifest.name, max_source_tokens=most)
        return replace(bundle, manifest=replace(manifest, limits=replace(manifest.limits, max_source_tokens=most)))

    def _readable_by(self, manifest: Manifest) -> Callable[[int, int], int]:
        """Most tokens of a source of which so many hypotheses side by side have at least so many steps, now."""
        known = lru_cache(_KINDS_OF_REQUESTS)(partial(readable_tokens, manifest))

        def most(width: int, steps: int) -> int:
            memory = self._lane_bytes()
            return known(memory, width, steps) if memory else manifest.limits.max_source_tokens

        return most

    def _real_lanes(self, bundle: Bundle, observer: LaneObserver) -> SegmentDecoder:
        options = self.options
        lanes = open_lanes(
            bundle,
            num_lanes=options.num_lanes,
            threads_per_lane=options.threads_per_lane,
            max_batch=options.max_batch,
            observer=observer,
            hardware=replace(hardware_of(options.provider, options.device), gives_back=options.provider == "cpu"),
            lane_bytes=self._lane_bytes,
        )
        with ExitStack() as undone:
            undone.callback(lanes.close)
            with ThreadPoolExecutor(1) as passing:  # what a device keeps for a thread goes with it
                passing.submit(warm_up, bundle.directory, lanes.runtime, lanes.factory).result()
            undone.pop_all()
        return lanes

    def _lane_bytes(self) -> int:
        """What a lane may fill now; 0 where that is a GPU's memory, of which nothing is known."""
        options, models = self.options, self.models
        if options.lane_memory or options.provider == "cuda":
            return options.lane_memory << 20
        # Of bundles that come and go: lanes that hold more than their share take nothing until they hold less.
        bundles = len(models) + len(models.coming) + len(models.leaving)
        return self._memory // (_LANES_SHARE * options.num_lanes * max(1, bundles))

    async def _start_grpc(self) -> None:
        options = self.options
        self._traces = Traces(options.traces) if options.traces else None
        services = (SERVICE, _HEALTH, admin.SERVICE)
        metrics = RpcMetrics(self.registry, [(one.full_name, method) for one in services for method in one.methods])
        self._doors = [Doors(options.tokens)]
        work = {f"/{SERVICE.full_name}/{method}" for method in WORK}
        gate = LoadGate(
            self.models,
            self._doors[0],
            metrics,
            self.metrics,
            refusal=self._overload.refusal,
            work=work,
            translate=f"/{SERVICE.full_name}/Translate",
        )
        self._interceptor = CallInterceptor(
            metrics,
            self._doors[0],
            self._arrivals,
            on_refused=self.metrics.refused,
            on_overload=gate.press,
            work=work,
            trace_ratio=options.trace_ratio if self._traces else 0.0,
        )
        certificates = _certificates(options, self.metrics)
        self._unread = Unread(
            options.max_unread_bytes, options.unread_timeout_s, lambda limit: self.metrics.unread_calls[limit].inc()
        )
        self.metrics.unread_bytes.set_function(lambda: self._unread.num_bytes)
        self._server = self._grpc_server(lambda *given: self._unread.watched(self._interceptor.method(*given)), gate)
        self.service = TranslationService(
            self.models,
            self.metrics,
            max_request_bytes=options.max_request_bytes,
            max_texts=options.max_texts,
            max_terms=options.max_terms,
            traces=self._traces,
            logs_requests=options.log_requests == "all",
        )
        self._server.add(translation_pb2_grpc.add_TranslationServiceServicer_to_server, self.service)
        await self._publish()  # before it can be asked: the servicer starts with "" as SERVING
        self._server.add(health_pb2_grpc.add_HealthServicer_to_server, self._health)
        names = (SERVICE.full_name, _HEALTH.full_name, reflection.SERVICE_NAME)
        reflected = reflection.aio.ReflectionServicer(names)
        self._server.add(reflection_pb2_grpc.add_ServerReflectionServicer_to_server, reflected)
        self.port = await _listen(self._server, "--listen", options.listen, certificates)
        self._admin_server = None
        if options.admin_listen:
            doors = Doors(options.tokens, for_operators=True)
            self._doors.append(doors)
            server = self._grpc_server(CallInterceptor(metrics, doors, self._arrivals).method)
            server.add(admin_pb2_grpc.add_AdminServiceServicer_to_server, admin.AdminService(self.fleet))
            self.admin_port = await _listen(server, "--admin-listen", options.admin_listen, certificates)
            self._admin_server = server
            await server.start()
        await self._server.start()

    def _grpc_server(self, wrapped: Wrap, gate: Gate | None = None) -> GrpcServer:
        return GrpcServer(_channel_options(self.options, self._max_connections), wrapped, gate, self._floods.bring)

    def _watch(self, loop: asyncio.AbstractEventLoop) -> None:
        """Set up, not yet started: the pulse of the event loop, and the watch over it and the lanes."""

        def changed() -> None:
            asyncio.run_coroutine_threadsafe(self._publish(), loop)

        self._loop_pulse = LoopPulse(self.metrics.loop_lag.add)
        self._watchdog = Watchdog(
            lambda: (*self.models, *self.models.leaving),
            self.metrics.tallies,
            self.options.stall_seconds,
            changed,
            loop_pulse=self._loop_pulse.pulse,
        )

    def _protect(self, loop: asyncio.AbstractEventLoop) -> None:
        """Set up, not yet started: the watch over what the server lives on."""
        options = self.options
        # Lanes and files need descriptors, too; a connection that would take the last ones is refused instead.
        self._max_connections = max(
            1, min(options.max_connections, resources.raise_descriptor_limit() - _KEPT_DESCRIPTORS)
        )
        connections = resources.Connections(lambda: self.port, self._max_connections)

        giving_back = threading.Lock()

        def give_back() -> None:
            for pause_s in _GIVEN_BACK_S:
                resources.give_back()
                time.sleep(pause_s)
            giving_back.release()

        def relieve() -> None:
            loop.call_soon_threadsafe(self._arrivals.relieve)

        def give_back_aside() -> None:
            if giving_back.acquire(blocking=False):  # it may take long, and memory be gone meanwhile
                threading.Thread(target=give_back, name="give-back", daemon=True).start()

        watched = (
            Resource("memory", resources.memory_share, refuses=True),
            Resource("calls", lambda: self._server.num_open / options.max_calls, refuses=True),
            Resource("backlog", lambda: max((_backlog_share(pipeline) for pipeline in self.models), default=0.0)),
            Resource("connections", connections.share),
            Resource("descriptors", resources.descriptors_share),
            Resource(UNFINISHED, lambda: self._arrivals.slow / self._arrivals.limit),
        )
        self._floods = Floods(lambda: (self.port, self.admin_port), self._memory // _LOOSE_SHARE)
        self._overload = Overload(watched, self.registry, relieve, floods=self._floods, give_back=give_back_aside)
        most = max(1, options.max_unfinished_bytes // options.max_request_bytes)
        self._arrivals = Arrivals(most, options.message_timeout_s, self._overload.count)

    @property
    def _serving(self) -> dict[str, bool]:
        """Each name of the health service, and whether it is SERVING."""
        gone = {f"model/{name}": False for name in tuple(self.metrics.tallies)}
        is_ready = self._is_ready and len(self.models) > 0
        return gone | statuses(SERVICE.full_name, self.models.names, self._watchdog.faults, is_ready=is_ready)

    def _count_bundles(self) -> None:
        numbers = {
            "loading": lambda: len(self.models.coming),
            "serving": lambda: len(self.models),
            "draining": lambda: len(self.models.leaving),
            "failed": lambda: sum(bool(berth.problem) for berth in self.fleet.berths),
        }
        for state, number in numbers.items():
            self.metrics.bundles.labels(state).set_function(number)

    async def _publish(self) -> None:
        """Say how things stand, to gRPC's health service."""
        await publish(self._health, self._serving)


def _end_now(code: int, event: str) -> NoReturn:
    """End the process: anything gentler would wait for threads that are in the middle of a graph, or of loading it."""
    logs.event(_logger, logging.WARNING, event)
    logs.last_words("", _LAST_WORDS_S)
    remove_copies()
    os._exit(code)


async def _listen(server: GrpcServer, flag: str, address: str, certificates: Certificates | None) -> int:
    """The port that a server has taken."""
    with suppress(RuntimeError):
        return server.add_port(address, None if certificates is None else certificates.credentials)
    await server.stop()
    reason = "the port is taken or the address is not this machine's: stop what listens, or choose another"
    raise StartError(f"{flag} {address}: cannot listen there: {listen_problem(address, reason)}")


def _num_segments(pipeline: Pipeline) -> int:
    return pipeline.lanes.waiting_segments + pipeline.lanes.active_segments


def _certificates(options: ServeOptions, metrics: Metrics) -> Certificates | None:
    """What gRPC is encrypted with; None where it is not, which a public address has to be told."""
    if options.admin_listen and not is_loopback(options.admin_listen) and not options.tokens:
        raise StartError(f"--admin-listen {options.admin_listen}: anybody could load and unload bundles: give --tokens")
    if options.tls_certificate and options.tls_key:
        paths = options.tls_certificate, options.tls_key, options.tls_client_ca
        certificates = Certificates(*paths, on_read=lambda outcome: metrics.certificate_reads[outcome].inc())
        metrics.certificate_expires.set_function(lambda: certificates.pair.expires.timestamp())
        return certificates
    if options.tls_certificate or options.tls_key or options.tls_client_ca:
        raise StartError("TLS needs both --tls-certificate and --tls-key")
    for flag, address in (("--listen", options.listen), ("--admin-listen", options.admin_listen)):
        if address and options.plaintext != "any" and not is_loopback(address):
            raise StartError(
                f"{flag} {address}: others could read along and call: give --tls-certificate and --tls-key, or say "
                "--plaintext any where something in front of the server encrypts"
            )
    return None


def _backlog_share(pipeline: Pipeline) -> float:
    return pipeline.admission.held_tokens / pipeline.admission.limit_tokens


def _channel_options(options: ServeOptions, max_connections: int) -> list[tuple[str, int]]:
    """What gRPC's core is told; times in milliseconds."""
    return [
        ("grpc.max_receive_message_length", options.max_request_bytes),
        # Answers are as large as requests make them; what goes out is not an attack on us.
        ("grpc.max_send_message_length", -1),
        ("grpc.max_metadata_size", METADATA_BYTES),
        # A second server on the same port would silently get half of the connections.
        ("grpc.so_reuseport", 0),
        ("grpc.keepalive_time_ms", 60_000),
        ("grpc.keepalive_timeout_ms", 20_000),
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.http2.min_recv_ping_interval_without_data_ms", 20_000),
        # Clients behind a round-robin name find new replicas when they connect again.
        # No grace is set, so calls in flight may go on without limit: a pipe can take hours.
        ("grpc.max_connection_age_ms", 300_000),
        ("grpc.max_allowed_incoming_connections", max_connections),
        ("grpc.server_handshake_timeout_ms", 10_000),
        # What the kernel keeps of a connection, beside all that is counted here: by itself it takes megabytes, of which
        # no more is of use than the window of a stream.
        ("grpc.tcp_receive_buffer_size", 64 * 1024),
        # Until a client has confirmed them, the core takes 16 MiB of headers a call, whatever the limit is.
        ("grpc.http2.settings_timeout", 5_000),
        # The core cancels calls that Python has not taken yet, without a word and uncounted: a few at random above the
        # first limit, all above the second, and those that have waited for long. None of it before Python refuses them.
        ("grpc.server.max_pending_requests", options.max_calls),
        ("grpc.server.max_pending_requests_hard_limit", options.max_calls),
        ("grpc.server_max_unrequested_time_in_server", 3_600),
        # Its protection against overload resets streams of a connection that has as many, counting those that have
        # ended and that Python has not let go of: a client that keeps to the limit would lose calls.
        ("grpc.max_concurrent_streams", 1_000),
        ("grpc.http.overload_protection", 0),
        # What has come of a message before Python asks for it. By itself the core lets more come over fast connections.
        ("grpc.http2.lookahead_bytes", 16 * 1024),
        ("grpc.http2.bdp_probe", 0),
    ]
