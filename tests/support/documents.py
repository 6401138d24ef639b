"""Clients for tests of documents: what a translator would be asked, and answers that show what was translated."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from typing import Any

from dragoman.client import DragomanError, FinishReason, Hypothesis, Options, Translation
from dragoman.client.documents import DocumentOptions, Report, translate_data

Answer = Callable[[str], "str | Translation | DragomanError"]


class Scribe:
    """Answers each text with what `answer` makes of it, and keeps the texts and the options of each round."""

    def __init__(self, answer: Answer = str.upper) -> None:
        self.answer = answer
        self.texts: list[str] = []
        self.options: list[Options] = []

    def __repr__(self) -> str:
        return "<Scribe>"

    def translate_batches(
        self, batches: Iterable[Sequence[str]], options: Options
    ) -> Iterator[Translation | DragomanError]:
        """One answer a text."""
        self.options.append(options)
        for batch in batches:
            for text in batch:
                self.texts.append(text)
                answer = self.answer(text)
                yield translation(answer) if isinstance(answer, str) else answer


class AsyncScribe(Scribe):
    """The same for asyncio."""

    async def translate_batches(  # type: ignore[override]
        self, batches: Iterable[Sequence[str]], options: Options
    ) -> AsyncIterator[Translation | DragomanError]:
        """One answer a text."""
        for outcome in super().translate_batches(batches, options):
            yield outcome


def translation(text: str, **facts: Any) -> Translation:
    """A translation that ended well."""
    return Translation((Hypothesis(text),), **{"finish_reason": FinishReason.STOP, **facts})


def translated(
    data: bytes | str, in_format: str, answer: Answer = str.upper, language: str | None = None, **options: Any
) -> tuple[bytes, list[str], Report]:
    """A document with the answers in it, the texts that were sent, and the report."""
    scribe = Scribe(answer)
    data = data.encode() if isinstance(data, str) else data
    written, report = translate_data(
        scribe, data, Options(target_language=language), DocumentOptions(in_format=in_format, **options)
    )
    return written, scribe.texts, report
