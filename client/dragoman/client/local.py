"""Translate in this process with a bundle, where no server runs: the server's own pipeline, loaded when it is used."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from dragoman.client import codec
from dragoman.client.errors import DragomanError, InvalidRequest, from_status
from dragoman.client.types import Engine, FinishReason, Hypothesis, Options, Translation

if TYPE_CHECKING:
    from dragoman.server import domain
    from dragoman.server.local import LocalTranslator

LOCAL_FIELDS = frozenset({"source_language", "target_language", "splitting"})
"""What is heeded besides the fields of the server's `DecodingOverrides`."""


@contextmanager
def local_translator(directory: Path) -> Iterator[LocalTranslator]:
    """A loaded bundle. Raises DragomanError where it cannot be, ModuleNotFoundError without the server's extra."""
    from dragoman.bundle.errors import BundleError
    from dragoman.server.errors import ServingError, StartError
    from dragoman.server.local import LocalTranslator

    try:
        with LocalTranslator(directory) as translator:
            yield translator
    except (BundleError, StartError) as error:
        raise DragomanError(str(error), "FAILED_PRECONDITION") from error
    except ServingError as error:
        raise from_status(error.code, str(error)) from error


def translate_many(
    translator: LocalTranslator, texts: Iterable[str], options: Options, *, batch_size: int
) -> Iterator[Translation]:
    """The translations in the order of the texts, `batch_size` decoded side by side."""
    from dragoman.server import domain

    overridden = {field.name for field in dataclasses.fields(domain.DecodingOverrides)}
    _refuse_unheeded(options, overridden)
    _check_pair(translator, options)
    overrides = domain.DecodingOverrides(**{name: getattr(options, name) for name in overridden})
    splitting = domain.Splitting[options.splitting.name] if options.splitting else domain.Splitting.SENTENCES
    for batch in codec.batches(texts, batch_size):
        yield from map(_translation, translator.translate(batch, overrides, splitting, options.source_language or ""))


def _refuse_unheeded(options: Options, overridden: set[str]) -> None:
    """Refuse by name what only a server can do."""
    names = [field.name for field in dataclasses.fields(options) if getattr(options, field.name) is not None]
    if unheeded := [name for name in names if name not in overridden | LOCAL_FIELDS]:
        raise InvalidRequest(
            f"{', '.join(unheeded)}: needs a server; a bundle decoded in this process has no such option"
        )


def _check_pair(translator: LocalTranslator, options: Options) -> None:
    pairs = translator.bundle.manifest.pairs
    wanted = (options.source_language, options.target_language)
    if not any(wanted[0] in (None, pair.source) and wanted[1] in (None, pair.target) for pair in pairs):
        asked = "-".join(language or "*" for language in wanted)
        raise InvalidRequest(f"the bundle does not translate {asked}, it translates {', '.join(map(str, pairs))}")


def _translation(local: domain.Translation) -> Translation:
    return Translation(
        hypotheses=tuple(Hypothesis(one.text, one.logp, one.score) for one in local.hypotheses),
        finish_reason=FinishReason[local.finish_reason.name],
        engine=Engine[local.engine.name] if local.engine else None,
        source_tokens=local.source_tokens,
        target_tokens=local.target_tokens,
        pieces=local.segments,
        decode_steps=local.steps,
    )
