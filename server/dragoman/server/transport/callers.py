"""Who may call: tokens from a file, each with a name, and what its holder may do.

    [search]
    sha256 = ["9f86d08...", "60303ae..."]    # of the token; two while one replaces the other
    models = ["en-pt"]                       # all, where it is not said
    max_priority = "normal"                  # interactive (the default), normal or batch
    max_calls = 64                           # under way at once; as many as come, where it is not said
    is_operator = true                       # may load and unload bundles; false, where it is not said
    expires = 2027-01-01T00:00:00Z           # never, where it is not said

The file has no secret in it: a token is known by its hash.
"""

import hashlib
import hmac
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any

from dragoman.server.core.segments import Priority

_NAME = re.compile(r"[A-Za-z0-9_.-]{1,64}")
_HASH = re.compile(r"[0-9a-f]{64}")


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
        self._first_end = min((caller.expires for caller in by_hash.values() if caller.expires), default=None)

    def __len__(self) -> int:
        return len({caller.name for caller in self._by_hash.values()})

    def end_by(self, now: datetime) -> bool:
        """Whether the token of any of them has expired by then."""
        return self._first_end is not None and self._first_end <= now

    def named(self, token: str, now: datetime) -> Caller | None:
        """Whose token it is. All hashes are compared, each to its end: time says nothing about them."""
        given = digest(token)
        found = None
        for known, caller in self._by_hash.items():
            if hmac.compare_digest(known, given):
                found = caller
        return _good(found, now)

    def holder(self, known: bytes, now: datetime) -> Caller | None:
        """Whose token it is that has this hash, of which it is known that it was somebody's."""
        return _good(self._by_hash.get(known), now)


def digest(token: str) -> bytes:
    """The hash by which a token is known."""
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()


def _good(caller: Caller | None, now: datetime) -> Caller | None:
    """The holder of a token that has not expired."""
    return caller if caller is not None and (caller.expires is None or now < caller.expires) else None


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
