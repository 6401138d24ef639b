"""Try forms with a bundle's own engine, and write what was found into its manifest."""

import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from dragoman.bundle.directions import Directions
from dragoman.bundle.manifest import Form, LanguagePair
from dragoman.bundle.reader import Bundle
from dragoman.bundle.writer import BundleWriter
from dragoman.export.core.errors import ExportError
from dragoman.export.probe.carriers import carriers_from, carriers_of
from dragoman.export.probe.forms import best_forms
from dragoman.server.app.translator import LocalTranslator
from dragoman.server.core.errors import ServingError, StartError
from dragoman.server.core.protection import Protection
from dragoman.server.core.requests import DecodingOverrides, Request, Splitting
from dragoman.server.core.translations import Translation

LONGEST_FACTOR = 3.0
"""Target tokens for each source token at most: what goes on longer has lost its text anyway."""
Progress = Callable[[str], None]


def with_forms(
    bundle: Bundle, directory: Path | None = None, texts: Sequence[str] | None = None, progress: Progress = print
) -> Bundle:
    """The bundle with the forms that its model copies, in its own place or in another directory that does not exist.

    They are tried in `texts`, of which some words give way to forms, or in texts that come with the project. Raises
    `ExportError` where the bundle cannot be served.
    """
    pair = Directions.of(bundle.manifest).first
    carriers = carriers_of(pair.source) if texts is None else carriers_from(texts)
    progress("trying forms")
    try:
        with LocalTranslator(bundle.directory) as translator:
            forms = best_forms(lambda batch: _translated(translator, pair, batch), carriers)
    except (ServingError, StartError) as error:
        raise ExportError(f"forms cannot be tried: {error}") from error
    return _written(bundle, forms, directory)


def _translated(translator: LocalTranslator, pair: LanguagePair, texts: Sequence[str]) -> list[str]:
    """Greedy translations, in which nothing is protected; an error is a translation in which nothing came back."""
    decoding = translator.bundle.manifest.decoding
    factor = min(decoding.max_length_factor, LONGEST_FACTOR)
    has_search = translator.bundle.manifest.architecture.decoder_layers > 0
    overrides = DecodingOverrides(beam_size=1, num_hypotheses=1, max_length_factor=factor)
    request = Request(
        tuple(texts),
        overrides if has_search else DecodingOverrides(),
        splitting=Splitting.NONE,
        source_language=pair.source,
        target_language=pair.target,
        protection=Protection(frozenset()),
    )
    return [outcome.text if isinstance(outcome, Translation) else "" for outcome in translator.outcomes(request)]


def _written(bundle: Bundle, forms: tuple[Form, ...], directory: Path | None) -> Bundle:
    """The bundle's files with a manifest that names the forms. In its own place, it is replaced as a whole."""
    with BundleWriter(directory or bundle.directory, replace=directory is None) as writer:
        for name in bundle.manifest.files:
            path = writer.path(name)
            try:
                os.link(bundle.path(name), path)
            except OSError:  # another file system, or one without links
                bundle.copy(name, path)
        written = writer.commit(replace(bundle.manifest, forms=forms))
    if written.manifest.files != bundle.manifest.files:
        raise ExportError(f"{bundle.directory} has changed while forms were tried")
    return written
