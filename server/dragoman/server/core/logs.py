"""Logs are events: a fixed snake_case name and fields, one line each. The text of users is never a field.

logs.event(logger, logging.INFO, "serving", listen="127.0.0.1:50051", models=2)
2026-01-31T12:00:00.000Z info serving listen=127.0.0.1:50051 models=2
"""

import json
import logging
import re
import sys
import threading
import time
from contextlib import nullcontext
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, Protocol

from dragoman.server.core.log_writer import LogWriter

_WORD = re.compile(r"[!#-<>-~]+")
"""Printable ASCII without a space, a quote or an equals sign: most values, told in a tenth of the time."""
ROOT = "dragoman"
_root = logging.getLogger(ROOT)
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
    if not logger.isEnabledFor(level):
        return
    handlers = _root.handlers
    if exc_info is None and logger.parent is _root and not logger.handlers and len(handlers) == 1:
        [handler] = handlers
        if type(handler) is _EventHandler and not (logger.filters or handler.filters):
            handler.write(level, name, fields)
            return
    logger.log(level, name, extra={"fields": fields}, exc_info=exc_info)


def configure(level: str, form: str, stream: Stream | None = None) -> logging.Handler:
    """Write the project's events, and others' warnings, to `stream` (standard error). Called by commands only."""
    handler = _EventHandler(stream or sys.stderr, _JsonFormatter() if form == "json" else _TextFormatter())
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

    def line(self, created: float, level: int, name: str, fields: dict[str, Any]) -> str:
        """An event's line."""
        raise NotImplementedError

    def format(self, record: logging.LogRecord) -> str:
        """A record's line, which may be no event but what another library says."""
        fields = getattr(record, "fields", None)
        name = "log" if fields is None else str(record.msg)
        if fields is None:
            fields = {"logger": record.name, "message": record.getMessage()}
        if record.exc_info and record.exc_info[1] is not None:
            fields = fields | _where(record.exc_info[1])
        return self.line(record.created, record.levelno, name, fields)


class _JsonFormatter(_Formatter):
    def line(self, created: float, level: int, name: str, fields: dict[str, Any]) -> str:
        facts = {"time": _time(created), "level": _level(level), "event": name, **fields}
        return json.dumps(facts, ensure_ascii=True, default=str)


class _TextFormatter(_Formatter):
    def line(self, created: float, level: int, name: str, fields: dict[str, Any]) -> str:
        rest = " ".join([f"{key}={_plain(value)}" for key, value in fields.items()])
        return f"{_time(created)} {_level(level)} {name} {rest}" if rest else f"{_time(created)} {_level(level)} {name}"


class _EventHandler(logging.StreamHandler[Any]):
    """Writes records as others do, and events without making records of them, which takes as long as all else."""

    def __init__(self, stream: Stream, formatter: _Formatter) -> None:
        super().__init__(stream)
        self.setFormatter(formatter)
        self._line = formatter.line

    def write(self, level: int, name: str, fields: dict[str, Any]) -> None:
        """Write an event."""
        try:
            line = self._line(time.time(), level, name, fields) + "\n"
            with self.lock or nullcontext():
                self.stream.write(line)
                self.stream.flush()
        except Exception:  # noqa: BLE001 - as records are treated that cannot be written
            record = logging.LogRecord(ROOT, level, __file__, 0, name, None, None)
            self.handleError(record)


@lru_cache(4)
def _second(second: int) -> str:
    return datetime.fromtimestamp(second, UTC).isoformat()[:-6]


def _time(created: float) -> str:
    second = int(created)
    return f"{_second(second)}.{int(1000 * (created - second)):03d}Z"


@lru_cache
def _level(level: int) -> str:
    return logging.getLevelName(level).lower()


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
    return str(value) if type(value) is int else _word(str(value))


@lru_cache(64)  # not many: ids of calls, which never come again, would hold pages that could be given back
def _word(text: str) -> str:
    if _WORD.fullmatch(text):
        return text
    return text if text and text.isprintable() and not set(text) & set(' "=') else json.dumps(text)
