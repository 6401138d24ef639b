"""Logs are events: a fixed snake_case name and fields, one line each. The text of users is never a field.

logs.event(logger, logging.INFO, "serving", listen="127.0.0.1:50051", models=2)
2026-01-31T12:00:00.000Z info serving listen=127.0.0.1:50051 models=2
"""

import json
import logging
import re
import sys
import threading
from datetime import UTC, datetime
from typing import Any, Protocol

from dragoman.server.core.log_writer import LogWriter

_WORD = re.compile(r"[!#-<>-~]+")
"""Printable ASCII without a space, a quote or an equals sign: most values, told in a tenth of the time."""
ROOT = "dragoman"
OTHERS = ("grpc", "asyncio", "concurrent", "opentelemetry")
"""Libraries whose warnings are written, too."""


class Stream(Protocol):
    """Where lines go."""

    def write(self, line: str, /) -> object:
        """Take a line."""

    def flush(self) -> object:
        """Write what was taken."""


def event(
    logger: logging.Logger, level: int, name: str, /, *, exc_info: BaseException | None = None, **fields: Any
) -> None:
    """Write one event."""
    if logger.isEnabledFor(level):
        logger.log(level, name, extra={"fields": fields}, exc_info=exc_info)


def configure(level: str, form: str, stream: Stream | None = None) -> logging.Handler:
    """Write the project's events, and others' warnings, to `stream` (standard error). Called by commands only."""
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(_JsonFormatter() if form == "json" else _TextFormatter())
    for name in (ROOT, *OTHERS):
        logger = logging.getLogger(name)
        logger.handlers = [handler]
        logger.setLevel(level.upper() if name == ROOT else logging.WARNING)
        logger.propagate = False
    return handler


def last_words(text: str, limit_s: float) -> None:
    """Write a text as it is behind all that was logged, as the process is about to end, and wait so long at most."""

    def write() -> None:
        for stream in _streams() or [sys.__stderr__]:
            if stream is not None:
                stream.write(text)
                stream.flush()
            if isinstance(stream, LogWriter):
                stream.settle(limit_s)

    writing = threading.Thread(target=write, name="last words", daemon=True)
    writing.start()
    writing.join(limit_s)


def dropped() -> int:
    """How many lines were never written."""
    return sum(stream.dropped for stream in _streams() if isinstance(stream, LogWriter))


def _streams() -> list[Any]:
    return [
        handler.stream for handler in logging.getLogger(ROOT).handlers if isinstance(handler, logging.StreamHandler)
    ]


class _Formatter(logging.Formatter):
    """What both forms share: the time, and an exception's place without its message, which could quote a text."""

    def facts(self, record: logging.LogRecord) -> dict[str, Any]:
        time = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")[:-6] + "Z"
        fields = getattr(record, "fields", None)
        if fields is None:  # not an event: what another library says
            fields = {"logger": record.name, "message": record.getMessage()}
        event = record.msg if "fields" in record.__dict__ else "log"
        facts = {"time": time, "level": record.levelname.lower(), "event": event, **fields}
        if record.exc_info and record.exc_info[1] is not None:
            facts |= _where(record.exc_info[1])
        return facts


class _JsonFormatter(_Formatter):
    def format(self, record: logging.LogRecord) -> str:
        return json.dumps(self.facts(record), ensure_ascii=True, default=str)


class _TextFormatter(_Formatter):
    def format(self, record: logging.LogRecord) -> str:
        facts = self.facts(record)
        head = [facts.pop("time"), facts.pop("level"), facts.pop("event")]
        return " ".join([*head, *(f"{key}={_plain(value)}" for key, value in facts.items())])


def _where(error: BaseException) -> dict[str, str]:
    """An exception as fields: its type, and each frame's function and line, the innermost last."""
    frames = []
    trace = error.__traceback__
    while trace is not None:
        code = trace.tb_frame.f_code
        frames.append(f"{trace.tb_frame.f_globals.get('__name__', '?')}.{code.co_name}:{trace.tb_lineno}")
        trace = trace.tb_next
    return {"error": type(error).__name__, "at": ">".join(frames)}


def _plain(value: Any) -> str:
    """A value as it stands where that is one word, else as JSON."""
    if isinstance(value, float):
        return f"{value:.6g}"
    text = str(value)
    if _WORD.fullmatch(text):
        return text
    return text if text and text.isprintable() and not set(text) & set(' "=') else json.dumps(text)
