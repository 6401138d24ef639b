"""Translate in this process, without a server: the same pipeline, without gRPC."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import TypeVar

from dragoman.bundle.reader import Bundle, open_bundle
from dragoman.bundle.rules import MAX_BEAM_SIZE
from dragoman.server.app.interrupts import InterruptibleRunner
from dragoman.server.core.errors import EngineFailure, ServingError
from dragoman.server.core.limits import MAX_HYPOTHESES, RequestLimits
from dragoman.server.core.ports import LaneObserver, SegmentDecoder
from dragoman.server.core.requests import DecodingOverrides, Request, Splitting
from dragoman.server.core.translations import Outcome, Translation
from dragoman.server.lanes.opening import open_lanes
from dragoman.server.pipeline.live import LiveText
from dragoman.server.pipeline.pipeline import Pipeline
from dragoman.server.pipeline.workers import Workers
from dragoman.server.runtime.hardware import usable_cpus
from dragoman.server.text.grammars.helper import GrammarHelpers
from dragoman.server.text.tokenizer import Tokenizer

UNLIMITED = 2**62
T = TypeVar("T")


class LocalEngineFailure(EngineFailure):
    """A failure where there is no log to look into, and nobody to keep it from: the message says why."""

    def __init__(self, detail: str) -> None:
        super().__init__(detail)
        self.args = (f"the engine failed on this text: {detail}",)


class LocalTranslator:
    """One bundle, loaded. A context manager; not to be used inside a running event loop.

    with LocalTranslator(directory) as translator:
        [translation] = translator.translate(["Hello, world!"])
    """

    def __init__(
        self, directory: Path, threads: int | None = None, *, max_batch: int = 0, lanes: SegmentDecoder | None = None
    ) -> None:
        bundle = open_bundle(directory)
        limits = RequestLimits(UNLIMITED, UNLIMITED, MAX_BEAM_SIZE, MAX_HYPOTHESES, UNLIMITED, UNLIMITED)
        tokenizer = Tokenizer(bundle)
        lanes = lanes or _real_lanes(bundle, threads or usable_cpus(), max_batch)
        self._executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix="text")
        self._helpers = GrammarHelpers()
        self.pipeline = Pipeline(bundle, tokenizer, lanes, limits, Workers(self._executor), helpers=self._helpers)
        """What a server would have of the bundle."""
        self._runner = InterruptibleRunner()

    def __enter__(self) -> "LocalTranslator":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<LocalTranslator {self.bundle!r}>"

    @property
    def bundle(self) -> Bundle:
        """What is loaded."""
        return self.pipeline.bundle

    def translate(
        self,
        texts: Sequence[str],
        overrides: DecodingOverrides = DecodingOverrides(),  # noqa: B008 - frozen
        splitting: Splitting | None = None,
        source_language: str = "",
        target_language: str = "",
    ) -> list[Translation]:
        """The translations of `texts`, in their order. Raises the first text's error if any failed."""
        if not texts:
            return []
        request = Request(
            tuple(texts),
            overrides,
            splitting=splitting,
            source_language=source_language,
            target_language=target_language,
        )
        translations: list[Translation] = []
        for outcome in self.outcomes(request):
            if isinstance(outcome, ServingError):
                raise outcome
            translations.append(outcome)
        return translations

    def outcomes(self, request: Request) -> list[Outcome]:
        """What became of each text of a request, in their order. Raises what is wrong with the request as a whole."""
        return [_explained(outcome) for outcome in self._runner.run(self.pipeline.translate(request))]

    def read(self, text: LiveText, request: Request, *, is_whole: bool) -> Outcome:
        """What is said by now of a text that is still being written."""
        return _explained(self._runner.run(text.read(request, is_whole=is_whole)))

    def close(self) -> None:
        """End the threads."""
        with ExitStack() as ends:  # all of them, also where Ctrl-C comes in the middle
            ends.callback(self._runner.close)
            ends.callback(self._helpers.close)
            ends.callback(self._executor.shutdown)
            ends.callback(self.pipeline.lanes.close)


def _explained(outcome: T) -> T | LocalEngineFailure:
    """The outcome, a failure of the engine with its reason."""
    if not isinstance(outcome, EngineFailure):
        return outcome
    failure = LocalEngineFailure(outcome.detail)
    failure.__cause__ = outcome
    return failure


def _real_lanes(bundle: Bundle, threads: int, max_batch: int) -> SegmentDecoder:
    return open_lanes(bundle, num_lanes=threads, threads_per_lane=1, max_batch=max_batch, observer=LaneObserver())
