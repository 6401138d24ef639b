"""Translate in this process with a bundle, where no server runs: the server's own pipeline, loaded when it is used."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from dragoman.bundle.directions import Directions
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


def translate_batches(
    translator: LocalTranslator, batches: Iterable[list[str]], options: Options
) -> Iterator[Translation]:
    """The translations in the order of the texts, those of a batch decoded side by side."""
    from dragoman.server import domain

    overridden = {field.name for field in dataclasses.fields(domain.DecodingOverrides)}
    _refuse_unheeded(options, overridden)
    source, target = _languages(Directions.of(translator.bundle.manifest), options)
    overrides = domain.DecodingOverrides(**{name: getattr(options, name) for name in overridden})
    splitting = domain.Splitting[options.splitting.name] if options.splitting else domain.Splitting.SENTENCES
    for batch in batches:
        yield from map(_translation, translator.translate(batch, overrides, splitting, source, target))


def _refuse_unheeded(options: Options, overridden: set[str]) -> None:
    """Refuse by name what only a server can do."""
    names = [field.name for field in dataclasses.fields(options) if getattr(options, field.name) is not None]
    if unheeded := [name for name in names if name not in overridden | LOCAL_FIELDS]:
        raise InvalidRequest(
            f"{', '.join(unheeded)}: needs a server; a bundle decoded in this process has no such option"
        )


def _languages(directions: Directions, options: Options) -> tuple[str, str]:
    """The bundle's own tags for the languages that the options mean; empty where they leave one open."""
    source, target = options.source_language or "", options.target_language or ""
    pairs = directions.closest(source, target).pairs
    if not pairs:
        asked = f"{source or '*'}-{target or '*'}"
        raise InvalidRequest(f"the bundle does not translate {asked}, it translates {directions}")
    return pairs[0].source if source else "", pairs[0].target if target else ""


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
