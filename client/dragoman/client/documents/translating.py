"""A document from a file to a file: read, sent text by text, and written when all has come back."""

from __future__ import annotations

import dataclasses
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol, cast

from dragoman.client import codec
from dragoman.client.documents.document import Document, DocumentOptions, Markup
from dragoman.client.documents.errors import DocumentError
from dragoman.client.documents.files import checked_size, read_file, write_file
from dragoman.client.documents.formats import Format, format_for, read_document
from dragoman.client.documents.job import Job, Progress, Report
from dragoman.client.documents.journal import Journal, Key, journal_of
from dragoman.client.errors import DragomanError, UnsupportedOption
from dragoman.client.types import InputFormat, Options, Translation

Outcome = Translation | DragomanError
Watch = Callable[[Progress], None]
AS_THEY_ARE = DocumentOptions()


class Translator(Protocol):
    """Who translates: a `Client`, or what offers the same of it."""

    def translate_batches(self, batches: Iterable[Sequence[str]], options: Options, /) -> Iterator[Outcome]:
        """What became of the texts, in their order."""


class AsyncTranslator(Protocol):
    """An `AsyncClient`, or what offers the same of it."""

    def translate_batches(self, batches: Iterable[Sequence[str]], options: Options, /) -> AsyncIterator[Outcome]:
        """What became of the texts, in their order."""


def translate_document(
    client: Translator,
    source: Path | str,
    target: Path | str,
    options: Options = codec.NO_OPTIONS,
    document: DocumentOptions = AS_THEY_ARE,
    *,
    in_place: bool = False,
    restart: bool = False,
    batch_size: int = codec.BATCH_SIZE,
    watch: Watch | None = None,
) -> Report:
    """Translate a document into another file, which is written whole at the end.

        with Client() as client:
            report = translate_document(client, "notes.txt", "notas.txt", Options(target_language="pt"))
            print(report.translated, report.problems)

    A unit that has no translation stays as it is, and is among the problems of the report. What is wrong with the
    document, or with every text alike, is raised; what was translated by then lies in a journal beside `target`, and
    the same call goes on from there unless `restart`. `target` may be `source` itself only where `in_place` says so.
    `batch_size` is that of `Client.translate_many`, and `watch` is told how far the work has come.
    """
    with _work(client, Path(source), Path(target), options, document, in_place=in_place, restart=restart) as work:
        for sent in work.rounds(options, watch):
            with sent:
                for outcome in client.translate_batches(sent.batches(batch_size), sent.options):
                    sent.take(outcome)
        return work.write()


async def translate_document_async(
    client: AsyncTranslator,
    source: Path | str,
    target: Path | str,
    options: Options = codec.NO_OPTIONS,
    document: DocumentOptions = AS_THEY_ARE,
    *,
    in_place: bool = False,
    restart: bool = False,
    batch_size: int = codec.BATCH_SIZE,
    watch: Watch | None = None,
) -> Report:
    """Translate a document with an `AsyncClient`, as `translate_document` does. Files are read and written at once."""
    with _work(client, Path(source), Path(target), options, document, in_place=in_place, restart=restart) as work:
        for sent in work.rounds(options, watch):
            with sent:
                async for outcome in client.translate_batches(sent.batches(batch_size), sent.options):
                    sent.take(outcome)
        return work.write()


def translate_data(
    client: Translator,
    data: bytes,
    options: Options = codec.NO_OPTIONS,
    document: DocumentOptions = AS_THEY_ARE,
    *,
    batch_size: int = codec.BATCH_SIZE,
    watch: Watch | None = None,
) -> tuple[bytes, Report]:
    """Translate a document that is no file: its bytes, of which `document.in_format` says what they are."""
    job = Job(_read(checked_size(data), format_for(None, document.in_format), options, document), {})
    for sent in _rounds(job, None, options, watch):
        with sent:
            for outcome in client.translate_batches(sent.batches(batch_size), sent.options):
                sent.take(outcome)
    return job.finish()


class _Round:
    """Texts with the same mark-up on their way. A context manager: a server that knows no mark-up fails these alone."""

    def __init__(
        self, markup: Markup, texts: list[str], options: Options, keep: Callable[[Key, Outcome], None]
    ) -> None:
        self.options = options if markup is Markup.NONE else dataclasses.replace(options, format=InputFormat(markup))
        self._markup = markup
        self._texts = deque(texts)
        self._keep = keep

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> bool:
        is_excused = isinstance(error, UnsupportedOption) and self._markup is not Markup.NONE
        while is_excused and self._texts:
            self.take(cast(UnsupportedOption, error))
        return is_excused

    def batches(self, size: int) -> Iterator[list[str]]:
        """The texts, so many to a call, and fewer where they are long."""
        return codec.batches(list(self._texts), size, codec.BATCH_BYTES * size // codec.BATCH_SIZE)

    def take(self, outcome: Outcome) -> None:
        """What became of the next text."""
        self._keep((self._markup, self._texts.popleft()), outcome)


def _rounds(job: Job, journal: Journal | None, options: Options, watch: Watch | None) -> Iterator[_Round]:
    def keep(key: Key, outcome: Outcome) -> None:
        entry = job.take(key, outcome)
        if journal and entry:
            journal.add(key, entry)
        if watch:
            watch(job.progress)

    return (_Round(markup, texts, options, keep) for markup, texts in job.rounds())


@dataclasses.dataclass(frozen=True)
class _Work:
    """A document between two files."""

    job: Job
    journal: Journal
    target: Path

    def rounds(self, options: Options, watch: Watch | None) -> Iterator[_Round]:
        """What is to be sent."""
        return _rounds(self.job, self.journal, options, watch)

    def write(self) -> Report:
        """Write the document. The journal stays where something is still missing."""
        data, report = self.job.finish()
        write_file(self.target, data)
        if not report.failures:
            self.journal.remove()
        return report


@contextmanager
def _work(
    client: object,
    source: Path,
    target: Path,
    options: Options,
    document: DocumentOptions,
    *,
    in_place: bool,
    restart: bool,
) -> Iterator[_Work]:
    kind = format_for(source, document.in_format)
    if target.exists() and target.samefile(source) and not in_place:
        raise DocumentError(f"{target} is the document itself: say that it may be overwritten (in_place, --in-place)")
    if not target.parent.is_dir():
        raise DocumentError(f"there is no folder {target.parent}")
    read = _read(read_file(source), kind, options, document)
    settings = {"options": _given(options), "translator": repr(client)}
    with Journal(journal_of(target), settings, is_new=restart) as journal:
        yield _Work(Job(read, journal.known(in_place=in_place)), journal, target)


def _read(data: bytes, kind: Format, options: Options, document: DocumentOptions) -> Document:
    if options.format:
        raise DocumentError("the document says how its texts are written: leave out the format of the texts (--format)")
    language = document.target_language or options.target_language
    return read_document(data, kind, dataclasses.replace(document, target_language=language))


def _given(options: Options) -> dict[str, object]:
    return {name: str(value) for name, value in vars(options).items() if value is not None}
