"""Translate and score in this process with a bundle, where no server runs.

The server's own pipeline, loaded when it is used, is asked by the messages that a server would get: so every option
means what it means there, and what cannot be honoured is refused in the same words.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from dragoman.client import codec
from dragoman.client.errors import DragomanError, from_status
from dragoman.client.types import Options, Score, ScoreOptions, Translation
from dragoman.v1 import translation_pb2 as pb

if TYPE_CHECKING:
    from dragoman.server.app.local import LocalTranslator


@contextmanager
def local_translator(directory: Path) -> Iterator[LocalTranslator]:
    """A loaded bundle. Raises DragomanError where it cannot be, ModuleNotFoundError without the server's extra."""
    from dragoman.bundle.errors import BundleError
    from dragoman.server.app.local import LocalTranslator
    from dragoman.server.core.errors import StartError

    try:
        with LocalTranslator(directory) as translator:
            yield translator
    except (BundleError, StartError) as error:
        raise DragomanError(str(error), "FAILED_PRECONDITION") from error


def translate_batches(
    translator: LocalTranslator, batches: Iterable[Sequence[str]], options: Options
) -> Iterator[Translation | DragomanError]:
    """What became of the texts, in their order, those of a batch decoded side by side."""
    from dragoman.server.pipeline.models import Models
    from dragoman.server.transport.codec import requests, supported
    from dragoman.server.transport.codec import results as codec_result

    models = Models([translator.pipeline])
    for batch in filter(None, batches):
        message = codec.request(batch, options)
        with _own_errors():
            supported.check(message)
            _, pair = models.route(requests.wanted(message))
            request = requests.request(message, pair=pair, deadline_s=None, fresh_seed=secrets.randbits(64))
            outcomes = translator.outcomes(request)
        results = [codec_result.result(index, one, timings=False) for index, one in enumerate(outcomes)]
        yield from map(codec.outcome, results)


def score_batches(
    translator: LocalTranslator, batches: Iterable[Sequence[codec.Pair]], options: ScoreOptions
) -> Iterator[Score | DragomanError]:
    """What became of the pairs, in their order, those of a batch scored side by side."""
    from dragoman.server.pipeline.models import Models
    from dragoman.server.transport.codec import requests, supported
    from dragoman.server.transport.codec import results as codec_result

    models = Models([translator.pipeline])
    for batch in filter(None, batches):
        message = codec.score_request(batch, options)
        with _own_errors():
            supported.check(message, supported.SCORE)
            _, pair = models.route(requests.wanted(message))
            outcomes = translator.outcomes(requests.score_request(message, pair=pair, deadline_s=None))
        results = [codec_result.score_result(index, one) for index, one in enumerate(outcomes)]
        yield from codec.score_outcomes(pb.ScoreResponse(results=results), len(batch))


@contextmanager
def _own_errors() -> Iterator[None]:
    """Turn the server's errors into the client's."""
    from dragoman.server.core.errors import ServingError

    try:
        yield
    except ServingError as error:
        raise from_status(error.code, str(error)) from error
