"""A bundle, fake lanes and a running server for the server's tests."""

import gc
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from dragoman.bundle.reader import Bundle
from dragoman.server.app import app as app_module
from dragoman.server.app import garbage
from dragoman.server.app.app import App
from dragoman.server.app.serve_options import ServeOptions
from dragoman.server.core import logs
from dragoman.server.core.limits import RequestLimits
from dragoman.server.pipeline.cache import BundleCache
from dragoman.server.pipeline.pipeline import Pipeline
from dragoman.server.pipeline.workers import Workers
from dragoman.server.testing import FakeLanes, write_bundle
from dragoman.server.text.tokenizer import Tokenizer
from dragoman.server.transport import doors, followed

LIMITS = RequestLimits(
    max_texts=64, max_text_bytes=10_000, max_beam_size=8, max_hypotheses=12, backlog_tokens=2_000, max_terms=8
)


@pytest.fixture(scope="session")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """A bundle en-pt called `echo`, of at most 32 source and 64 target tokens a segment."""
    return write_bundle(tmp_path_factory.mktemp("bundles") / "echo")


@pytest.fixture(scope="session")
def tokenizer(bundle: Bundle) -> Tokenizer:
    return Tokenizer(bundle)


@pytest.fixture(scope="session")
def many(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """A bundle of three languages called `many`, told both of them: en is 390, pt 391, zh-Hant 392."""
    languages = {"en": (390,), "pt": (391,), "zh-Hant": (392,)}
    return write_bundle(
        tmp_path_factory.mktemp("bundles") / "many",
        name="many",
        pairs=(),
        prefix=("source", 5, "target"),
        forced_first="target",
        source_languages=languages,
        target_languages=languages,
        hidden_ids=(0, 5, 390, 391, 392),
    )


@pytest.fixture(autouse=True)
def _logging_as_it_was() -> Iterator[None]:
    """Commands configure loggers; no test sees what another one's command left."""
    loggers = [logging.getLogger(name) for name in (logs.ROOT, *logs.OTHERS)]
    states = [(logger.handlers[:], logger.level, logger.propagate) for logger in loggers]
    yield
    for logger, state in zip(loggers, states, strict=True):
        logger.handlers, logger.level, logger.propagate = state


@pytest.fixture(autouse=True)
def _files_lie_still(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a test writes is whole, and looked at often."""
    monkeypatch.setattr(followed, "STILL_S", 0.0)
    monkeypatch.setattr(doors, "LOOK_S", 0.02)


@pytest.fixture
def lanes() -> Iterator[FakeLanes]:
    fake = FakeLanes()
    yield fake
    fake.close()


@pytest.fixture
def pipeline_of(bundle: Bundle, tokenizer: Tokenizer, lanes: FakeLanes) -> Iterator[Callable[..., Pipeline]]:
    """Makes a pipeline over the fake lanes; keywords change its limits, `manifest` its manifest's fields.

    It remembers what is decoded where it is given a cache.
    """
    with ThreadPoolExecutor(max_workers=1) as executor:

        def make(manifest: dict[str, Any] | None = None, cache: BundleCache | None = None, **limits: int) -> Pipeline:
            changed = replace(bundle, manifest=replace(bundle.manifest, **(manifest or {})))
            words = Tokenizer(changed) if manifest and not manifest.keys().isdisjoint(("texts", "forms")) else tokenizer
            return Pipeline(changed, words, lanes, replace(LIMITS, **limits), Workers(executor), cache)

        yield make


@pytest.fixture
def pipeline(pipeline_of: Callable[..., Pipeline]) -> Pipeline:
    return pipeline_of()


class Served:
    """A running server and the fake lanes behind it."""

    def __init__(self, app: App, lanes: FakeLanes) -> None:
        self.app, self.lanes = app, lanes
        self.target = f"127.0.0.1:{app.port}"

    def value(self, name: str, **labels: str) -> float:
        """A metric's value; a series that does not exist fails the test."""
        value = self.app.registry.get_sample_value(name, labels)
        assert value is not None, f"no series {name} {labels}"
        return value

    def outcomes(self) -> dict[str, float]:
        """How many requests ended in which way, over all models, without those that never happened."""
        found: dict[str, float] = {}
        for metric in self.app.registry.collect():
            for sample in metric.samples:
                if sample.name == "dragoman_requests_total" and sample.value:
                    outcome = sample.labels["outcome"]
                    found[outcome] = found.get(outcome, 0) + sample.value
        return found


class NoCollector:
    """A full collection among all that pytest has takes longer than a test."""

    get_threshold = staticmethod(gc.get_threshold)
    get_freeze_count = staticmethod(lambda: 1)
    collect = freeze = unfreeze = set_threshold = staticmethod(lambda *_: None)


@pytest_asyncio.fixture(loop_scope="session")
async def serve(bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Callable[..., Awaitable[Served]]]:
    """Starts servers with the given options, and stops them after the test, without the wait of their HTTP threads."""
    monkeypatch.setattr(app_module, "_FLUSH_S", 0.2)
    monkeypatch.setattr(garbage, "PAUSES_S", (0.0,))  # a test may hold what it looks at
    monkeypatch.setattr(garbage, "gc", NoCollector)
    async with AsyncExitStack() as stack:

        async def start(*directories: Path, **options: Any) -> Served:
            lanes = FakeLanes()
            first = iter([lanes])  # a bundle that comes later gets lanes of its own
            names = tuple(map(str, directories or (() if "models" in options else (bundle.directory,))))
            given = {"listen": "127.0.0.1:0", "metrics_listen": "127.0.0.1:0", "drain_grace_s": 5.0, **options}
            app = App(ServeOptions(bundles=names, **given), lambda bundle, observer: next(first, None) or FakeLanes())
            await app.start()

            async def stop() -> None:
                if not app.service.draining:
                    lanes.release()
                    await app.stop()

            stack.push_async_callback(stop)
            return Served(app, lanes)

        yield start
