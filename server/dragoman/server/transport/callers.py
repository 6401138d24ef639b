"""Who may call: tokens from a file, each with a name, and what its holder may do.

    [search]
    sha256 = ["9f86d08...", "60303ae..."]    # of the token; two while one replaces the other
    models = ["en-pt"]                       # all, where it is not said
    max_priority = "normal"                  # interactive (the default), normal or batch
    max_calls = 64                           # under way at once; as many as come, where it is not said
    is_operator = true                       # may load and unload bundles; false, where it is not said
    expires = 2027-01-01T00:00:00Z           # never, where it is not said

The file has no secret in it: a token is known by its hash. It is read again when it changes; one that cannot be read
leaves those in force that were read before.
"""

import hashlib
import hmac
import logging
import os
import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from dragoman.server.core import logs
from dragoman.server.core.errors import Forbidden, StartError, TooManyCalls, Unauthenticated
from dragoman.server.core.segments import Priority

_logger = logging.getLogger(__name__)

_NAME = re.compile(r"[A-Za-z0-9_.-]{1,64}")
_HASH = re.compile(r"[0-9a-f]{64}")
SCHEME = "bearer "


@dataclass(frozen=True)
class Caller:
    """A holder of a token."""

    name: str = ""
    """Empty where no tokens are asked for."""
    models: frozenset[str] | None = None
    """None: all."""
    max_priority: Priority = Priority.INTERACTIVE
    max_calls: int | None = None
    expires: datetime | None = None
    is_operator: bool = False


ANYBODY = Caller()
"""Who calls where no tokens are asked for."""


class Callers:
    """The tokens of one version of the file."""

    def __init__(self, by_hash: Mapping[bytes, Caller]) -> None:
        self._by_hash = dict(by_hash)

    def __len__(self) -> int:
        return len({caller.name for caller in self._by_hash.values()})

    def named(self, token: str, now: datetime) -> Caller | None:
        """Whose token it is. All hashes are compared, each to its end: time says nothing about them."""
        given = hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()
        found = None
        for known, caller in self._by_hash.items():
            if hmac.compare_digest(known, given):
                found = caller
        return found if found is not None and (found.expires is None or now < found.expires) else None


class Doors:
    """Lets in who has a token of the file, or everybody where there is no file. Used from the event loop alone."""

    def __init__(self, path: str = "", *, for_operators: bool = False) -> None:
        self._for_operators = for_operators
        self._path = Path(path) if path else None
        self._stamp = self._stamp_now()
        self._under_way: dict[str, int] = {}
        try:
            self._callers = Callers({}) if self._path is None else read_callers(self._path.read_text("utf-8"))
        except (OSError, ValueError) as error:
            raise StartError(f"--tokens {path}: {error}") from error

    def __repr__(self) -> str:
        return f"<Doors {self._path or 'open'}, {len(self._callers)} callers>"

    @contextmanager
    def entered(self, metadata: Sequence[tuple[str, str | bytes]]) -> Iterator[Caller]:
        """The caller of a call with such metadata, for as long as it is under way."""
        caller = ANYBODY if self._path is None else self._caller(metadata)
        number = self._under_way.get(caller.name, 0)
        if caller.max_calls is not None and number >= caller.max_calls:
            raise TooManyCalls(caller.name, caller.max_calls)
        self._under_way[caller.name] = number + 1
        try:
            yield caller
        finally:
            self._under_way[caller.name] -= 1

    def _caller(self, metadata: Sequence[tuple[str, str | bytes]]) -> Caller:
        given = [value for key, value in metadata if key == "authorization"]
        if not given:
            raise Unauthenticated("this server asks for a token: send the metadata authorization: Bearer TOKEN")
        if len(given) > 1 or not isinstance(given[0], str) or given[0][: len(SCHEME)].lower() != SCHEME:
            raise Unauthenticated("the metadata authorization is not one Bearer TOKEN")
        self._refresh()
        token = given[0][len(SCHEME) :].strip()
        caller = self._callers.named(token, datetime.now(UTC)) if token else None
        if caller is None:
            raise Unauthenticated("the token is not known, or not any more")
        if self._for_operators and not caller.is_operator:
            raise Forbidden("authorization", f"{caller.name} is no operator")
        return caller

    def _refresh(self) -> None:
        stamp = self._stamp_now()
        if self._path is None or stamp == self._stamp:
            return
        self._stamp = stamp
        try:
            self._callers = read_callers(self._path.read_text("utf-8"))
        except (OSError, ValueError) as error:
            logs.event(_logger, logging.ERROR, "tokens_not_taken", reason=str(error))
        else:
            logs.event(_logger, logging.INFO, "tokens_taken", callers=len(self._callers))

    def _stamp_now(self) -> tuple[int, int, int] | None:
        """What changes with the file; None where it is missing."""
        try:
            found = os.stat(self._path) if self._path else None
        except OSError:
            return None
        return found and (found.st_ino, found.st_size, found.st_mtime_ns)


def read_callers(text: str) -> Callers:
    """The callers of a file; raises `ValueError` that says what is wrong with it."""
    try:
        tables = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise ValueError(f"not TOML: {error}") from error
    by_hash: dict[bytes, Caller] = {}
    for name, table in tables.items():
        if not _NAME.fullmatch(name) or not isinstance(table, dict):
            raise ValueError(f"[{name}]: a caller is a table with a name of letters, digits, '_', '.' and '-'")
        for digest in _hashes(name, table):
            if digest in by_hash:
                raise ValueError(f"[{name}] has a token of [{by_hash[digest].name}]")
            by_hash[digest] = _caller(name, table)
    if not by_hash:
        raise ValueError("no caller in it, and so nobody could call")
    return Callers(by_hash)


def _hashes(name: str, table: Mapping[str, Any]) -> list[bytes]:
    given: Any = table.get("sha256")
    listed: list[Any] = given if isinstance(given, list) else [given]
    if not listed or not all(isinstance(one, str) and _HASH.fullmatch(one) for one in listed):
        raise ValueError(f"[{name}] sha256: one or several hashes of tokens, 64 lower-case hexadecimal digits each")
    return [bytes.fromhex(one) for one in listed]


def _caller(name: str, table: Mapping[str, Any]) -> Caller:
    known = {field.name for field in fields(Caller)} - {"name"} | {"sha256"}
    if unknown := sorted(table.keys() - known):
        raise ValueError(f"[{name}]: unknown {', '.join(unknown)}; there are {', '.join(sorted(known))}")
    models, calls, until = table.get("models"), table.get("max_calls"), table.get("expires")
    priority = table.get("max_priority", "interactive")
    if models is not None and not (isinstance(models, list) and all(isinstance(model, str) for model in models)):
        raise ValueError(f"[{name}] models: a list of names")
    if priority not in (each.name.lower() for each in Priority):
        raise ValueError(f"[{name}] max_priority: one of {', '.join(each.name.lower() for each in Priority)}")
    if calls is not None and (type(calls) is not int or calls < 1):
        raise ValueError(f"[{name}] max_calls: a whole number, at least 1")
    if until is not None and (not isinstance(until, datetime) or until.tzinfo is None):
        raise ValueError(f"[{name}] expires: a time with its zone, such as 2027-01-01T00:00:00Z")
    is_operator = table.get("is_operator", False)
    if not isinstance(is_operator, bool):
        raise ValueError(f"[{name}] is_operator: true or false")
    allowed = None if models is None else frozenset(models)
    return Caller(name, allowed, Priority[priority.upper()], calls, until, is_operator)
