"""Logs are events: a fixed snake_case name and fields, one line each. The text of users is never a field.

logs.event(logger, logging.INFO, "serving", listen="127.0.0.1:50051", models=2)
2026-01-31T12:00:00.000Z info serving listen=127.0.0.1:50051 models=2
"""

import json
import logging
import sys
from datetime import UTC, datetime
from typing import Any, TextIO

ROOT = "dragoman"


def event(
    logger: logging.Logger, level: int, name: str, /, *, exc_info: BaseException | None = None, **fields: Any
) -> None:
    """Write one event."""
    if logger.isEnabledFor(level):
        logger.log(level, name, extra={"fields": fields}, exc_info=exc_info)


def configure(level: str, form: str, stream: TextIO | None = None) -> logging.Handler:
    """Write the project's events, and others' warnings, to `stream` (standard error). Called by commands only."""
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(_JsonFormatter() if form == "json" else _TextFormatter())
    project = logging.getLogger(ROOT)
    project.handlers = [handler]
    project.setLevel(level.upper())
    project.propagate = False
    return handler


class _Formatter(logging.Formatter):
    """What both forms share: the time, and an exception's place without its message, which could quote a text."""

    def facts(self, record: logging.LogRecord) -> dict[str, Any]:
        time = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        facts = {"time": time, "level": record.levelname.lower(), "event": record.getMessage()}
        facts |= getattr(record, "fields", {})
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
    text = f"{value:.6g}" if isinstance(value, float) else str(value)
    return text if text and text.isprintable() and not set(text) & set(' "=') else json.dumps(text)
