"""Bundles that come and go while the server runs: by name, by a folder, by what an operator asks for.

A bundle is opened, loaded and tried beside what is served; only then it takes the place of the one of its directory.
That one is not called any more, finishes its calls and is closed. So a replacement fails no call, and one that cannot
be loaded changes nothing. A directory of the folder that is gone takes its bundle with it; files that are gone from
within a directory do not, as what is served does not depend on them.

Links within the folder are followed: so Kubernetes, git-sync and people replace a version by another in one moment. One
that leads out of the folder is not: whoever may write there would have any directory of the machine read and served.

Used from the event loop; what takes long is done on a thread of its own, one change at a time. A load cannot be broken
off: at the end it has as long as the last calls have, and then the process ends without it.
"""

import asyncio
import logging
import os
import time
import weakref
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from dragoman.bundle.errors import BundleError
from dragoman.bundle.manifest import MANIFEST_NAME
from dragoman.bundle.reader import Bundle, open_bundle
from dragoman.server.app.garbage import collect_departed
from dragoman.server.app.passing_threads import on_a_thread
from dragoman.server.core import logs
from dragoman.server.core.errors import Draining, InvalidRequest, StartError, UnknownModel, quoted
from dragoman.server.pipeline.models import Models
from dragoman.server.pipeline.pipeline import Pipeline
from dragoman.server.telemetry.resources import give_back

T = TypeVar("T")
Stamp = tuple[tuple[str, int, int, int], ...]

_DRAIN_POLL_S = 0.02
MISSING_S = 0.5
"""A directory that is gone for so long does not come back."""
DEPTH = 2
"""A bundle lies in the folder, or in a directory of it: NAME, or NAME/VERSION."""

_logger = logging.getLogger(__name__)


@dataclass(eq=False)
class Berth:
    """A directory, and what has become of the bundle in it."""

    directory: Path
    stamp: Stamp | None = None
    """What its files were when it was last looked at."""
    pipeline: Pipeline | None = None
    problem: str = ""
    """Why what lies there is not served."""


class Fleet:
    """Loads bundles into `models` and takes them out again."""

    def __init__(
        self,
        models: Models,
        make: Callable[[Bundle], Pipeline],
        on_change: Callable[[], Awaitable[None]],
        *,
        folder: str = "",
        drain_s: float,
    ) -> None:
        self._models, self._make, self._on_change = models, make, on_change
        self._folder = Path(folder).absolute() if folder else None
        self._drain_s = drain_s
        self._berths: dict[Path, Berth] = {}
        self._turn = asyncio.Lock()
        self._changing: asyncio.Task[Any] | None = None
        """What has the turn."""
        self._executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix="loading")
        self._leaving: set[asyncio.Task[None]] = set()
        self._work: set[Future[Any]] = set()
        """What the thread has to do."""
        self._is_closing = False

    def __repr__(self) -> str:
        return f"<Fleet {len(self._models)} served, {len(self._leaving)} leaving>"

    @property
    def berths(self) -> list[Berth]:
        """All directories that are known, by name."""
        return sorted(self._berths.values(), key=lambda berth: berth.directory)

    async def start(self, directories: Sequence[str]) -> None:
        """Load the first bundles. Raises `StartError` with all that is wrong with any that was named."""
        if self._folder is not None and not self._folder.is_dir():
            raise StartError(f"--models {self._folder}: no such directory")
        if self._folder is None and not directories:
            raise StartError("no bundle to serve: name at least one directory written by `dragoman export`")
        async with self._change():
            berths = [self._berth(Path(directory)) for directory in directories]
            bundles = await self._apart(partial(_open_all, [berth.directory for berth in berths]))
            for berth, bundle in zip(berths, bundles, strict=True):
                await self._enter(berth, bundle)
        await self.look()

    async def look(self) -> None:
        """Take up what has changed: new and replaced bundles of the directories, and those that are gone."""
        async with self._change():
            found = await self._apart(partial(_bundles_in, self._folder)) if self._folder else ([], [])
            if found is None:  # the whole folder is away, and with it nothing that was served
                logs.event(_logger, logging.ERROR, "folder_not_read", directory=str(self._folder))
                return
            inside, astray = found
            for directory in inside:
                self._berth(directory)
            for directory in astray:
                self._refuse(self._berth(directory))
            missing = self._missing()
            if missing:  # a directory that is being replaced is away for a moment
                await asyncio.sleep(MISSING_S)
                await self._forget([berth for berth in self._missing() if berth in missing])
            for berth in self.berths:
                if berth.directory in astray:
                    continue
                stamp = await self._apart(partial(_stamp, berth.directory))
                if stamp not in (None, berth.stamp):
                    berth.stamp = stamp
                    await self._renew(berth)

    async def _forget(self, berths: Sequence[Berth]) -> None:
        """Serve no more what lay there; what could not be served beside it may be now."""
        for berth in berths:
            await self._leave(berth)
            del self._berths[berth.directory]
        for berth in self.berths if berths else ():
            if berth.problem:
                berth.stamp = None

    async def load(self, directory: Path) -> Berth:
        """Serve a directory's bundle, in place of another version from there. Raises why it cannot be served."""
        # To its end, also where nobody waits for it any more.
        return await asyncio.shield(asyncio.create_task(self._load(directory)))

    async def _load(self, directory: Path) -> Berth:
        async with self._change():
            stamp = _stamp(directory)
            berth = self._berth(directory)
            berth.stamp = stamp
            await self._renew(berth)
            if berth.problem:
                if berth.pipeline is None:
                    del self._berths[berth.directory]
                raise InvalidRequest("directory", berth.problem)
            return berth

    async def unload(self, name: str, version: str = "") -> Berth:
        """Stop serving a bundle; it comes back when its directory changes or is loaded again."""
        async with self._change():
            pipeline = self._models.named(name, version, field="name")
            for berth in self.berths:
                if berth.pipeline is pipeline:
                    await self._leave(berth)
                    return berth
        raise UnknownModel("name", f"{quoted(name)} is not served from a directory")

    async def close(self, patience_s: float = 0.0) -> bool:
        """Close all bundles; whoever serves them has seen to it that there are no more calls.

        A change that is under way is given up; what its thread is doing has so long to end. Whether it has.
        """
        self._is_closing = True
        until_s = time.monotonic() + patience_s
        while self._changing is not None:
            self._changing.cancel()
            await asyncio.wait({self._changing})
        for berth in self.berths:
            await self._leave(berth)
        if self._leaving:
            await asyncio.wait(set(self._leaving))
        self._executor.shutdown(wait=False)
        while self._work and time.monotonic() < until_s:
            await asyncio.sleep(_DRAIN_POLL_S)
        return not self._work

    @asynccontextmanager
    async def _change(self) -> AsyncIterator[None]:
        """A turn to change what is served; none is given while all is being closed."""
        async with self._turn:
            if self._is_closing:
                raise Draining
            self._changing = asyncio.current_task()
            try:
                yield
            finally:
                self._changing = None

    def _missing(self) -> list[Berth]:
        """Those of the folder whose directories are not there."""
        return [one for one in self.berths if self._folder in one.directory.parents and not one.directory.is_dir()]

    def _berth(self, directory: Path) -> Berth:
        absolute = directory.absolute()
        return self._berths.setdefault(absolute, Berth(absolute))

    def _refuse(self, berth: Berth) -> None:
        """A directory that is somewhere else is not served; what was served from there goes on."""
        leads_to = berth.directory.resolve()
        stamp: Stamp = ((str(leads_to), 0, 0, 0),)
        if berth.stamp != stamp:
            berth.stamp, berth.problem = stamp, f"a link that leads out of {self._folder}, to {leads_to}: move it there"
            logs.event(
                _logger, logging.ERROR, "bundle_not_loaded", directory=str(berth.directory), reason=berth.problem
            )

    async def _renew(self, berth: Berth) -> None:
        """Serve what lies there now; if that cannot be, what was served goes on, and the berth has the reason."""
        try:
            bundle = await self._apart(partial(open_bundle, berth.directory))
            if berth.pipeline is not None and berth.pipeline.bundle.digest == bundle.digest:
                berth.problem = ""
                return
            await self._enter(berth, bundle)
        except Exception as error:  # noqa: BLE001 - whatever lies there, the others are served
            berth.problem = str(error) or repr(error)
            logs.event(_logger, logging.ERROR, "bundle_not_loaded", directory=str(berth.directory), reason=str(error))

    async def _enter(self, berth: Berth, bundle: Bundle) -> None:
        started_s = time.perf_counter()
        self._models.coming = (*self._models.coming, bundle)
        try:
            pipeline = await self._made(bundle)
        finally:
            self._models.coming = tuple(one for one in self._models.coming if one is not bundle)
        try:
            self._models.add(pipeline)
        except StartError:
            await self._apart(pipeline.lanes.close)
            raise
        before, berth.pipeline = berth.pipeline, pipeline
        berth.stamp, berth.problem = _stamp(berth.directory), ""
        await self._retire(before)
        facts: dict[str, Any] = {
            "version": pipeline.version,
            "directory": str(berth.directory),
            "seconds": time.perf_counter() - started_s,
        }
        logs.event(_logger, logging.DEBUG, "bundle_loaded", model=pipeline.name, **facts)
        await self._on_change()

    async def _leave(self, berth: Berth) -> None:
        """Serve no more what is served from there."""
        pipeline, berth.pipeline = berth.pipeline, None
        await self._retire(pipeline)

    async def _retire(self, pipeline: Pipeline | None) -> None:
        """No more calls for it; it is closed when it has none left."""
        if pipeline is None:
            return
        self._models.leave(pipeline)
        task = asyncio.create_task(self._close(pipeline))
        self._leaving.add(task)
        task.add_done_callback(self._leaving.discard)
        await self._on_change()

    async def _close(self, pipeline: Pipeline) -> None:
        until_s = time.monotonic() + self._drain_s
        while self._models.calls(pipeline) and time.monotonic() < until_s:
            await asyncio.sleep(_DRAIN_POLL_S)
        await on_a_thread("closing", pipeline.lanes.close)
        self._models.gone(pipeline)
        name, version = pipeline.name, pipeline.version
        departed = weakref.ref(pipeline), weakref.ref(pipeline.lanes)
        del pipeline
        if not self._is_closing:  # what goes with all others goes with the process
            await collect_departed(*departed)  # sessions and what they belong to refer to each other
            await on_a_thread("giving-back", give_back)
        logs.event(_logger, logging.DEBUG, "bundle_closed", model=name, version=version)

    async def _made(self, bundle: Bundle) -> Pipeline:
        """A bundle's pipeline, which takes long; one that nobody waits for any more is closed when it is there."""
        made = self._begin(partial(self._make, bundle))
        try:
            return await asyncio.wrap_future(made)
        except asyncio.CancelledError:
            made.add_done_callback(_close_made)
            raise

    async def _apart(self, work: Callable[[], T]) -> T:
        return await asyncio.wrap_future(self._begin(work))

    def _begin(self, work: Callable[[], T]) -> Future[T]:
        future = self._executor.submit(work)
        self._work.add(future)
        future.add_done_callback(self._work.discard)
        return future


def _close_made(made: Future[Pipeline]) -> None:
    if not made.cancelled() and made.exception() is None:
        made.result().lanes.close()


def _open_all(directories: Sequence[Path]) -> list[Bundle]:
    """Open all bundles; all that is wrong with any of them in one error."""
    bundles, problems = [], []
    for directory in directories:
        try:
            bundles.append(open_bundle(directory))
        except BundleError as error:
            problems.append(str(error))
    if problems:
        raise StartError("\n".join(problems))
    return bundles


def _bundles_in(folder: Path) -> tuple[list[Path], list[Path]] | None:
    """The directories of a folder that have a manifest, and those that lead out of it.

    Names that begin with a dot are somebody's work in progress. None where the folder itself cannot be read.
    """
    if not os.access(folder, os.R_OK | os.X_OK):
        return None
    root = folder.resolve()
    inside: list[Path] = []
    astray: list[Path] = []
    level = [folder]
    for _ in range(DEPTH):
        below = [entry for directory in level for entry in _entries(directory)]
        astray += [entry for entry in below if not entry.resolve().is_relative_to(root)]
        inside += [entry for entry in below if entry not in astray and _stamp(entry) is not None]
        level = [entry for entry in below if entry not in inside and entry not in astray]
    return sorted(inside), sorted(astray)


def _entries(directory: Path) -> list[Path]:
    try:
        return [entry for entry in directory.iterdir() if not entry.name.startswith(".") and entry.is_dir()]
    except OSError:
        return []  # gone in the meantime


def _stamp(directory: Path) -> Stamp | None:
    """What changes with any file of a directory, be it written, renamed or linked anew; None without a manifest.

    So one that was looked at while it was being copied is looked at again.
    """
    try:
        files = sorted((entry.name, entry.stat()) for entry in os.scandir(directory) if entry.is_file())
    except (OSError, ValueError):
        return None
    if not any(name == MANIFEST_NAME for name, _ in files):
        return None
    return tuple((name, found.st_ino, found.st_size, found.st_mtime_ns) for name, found in files)
