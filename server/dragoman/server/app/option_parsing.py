"""Options declared once: a dataclass field becomes a flag, an environment twin, a TOML key and a row of the reference.

Knows no option by name. Precedence: flag, then environment, then file, then default. A malformed value is an error
that names where it came from. An unknown key of the file is an error; an unknown variable of the environment is not,
because others write there too (Kubernetes sets DRAGOMAN_SERVICE_HOST for a Service called dragoman).
"""

import argparse
import dataclasses
import json
import os
import tomllib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar, get_origin, get_type_hints
from urllib.parse import urlsplit

from dragoman.server.core.addresses import ADDRESS
from dragoman.server.core.errors import StartError

T = TypeVar("T")

PREFIX = "DRAGOMAN_"


@dataclass(frozen=True)
class Meta:
    """What a declaration says besides name, type and default."""

    help: str
    unit: str = ""
    min: float | None = None
    max: float | None = None
    choices: tuple[str, ...] = ()
    kind: str = ""
    """`address` for HOST:PORT, `url` for one of HTTP; empty for what the field's type says."""
    default_text: str = ""
    """How a computed default is described."""
    positional: str = ""
    """Name of the value where the option is a list of positional arguments."""


def option(default: Any, help: str, **meta: Any) -> Any:  # noqa: A002
    """Declare an option; a callable default is computed when no source gives a value."""
    field_meta = {"option": Meta(help, **meta)}
    if callable(default):
        return dataclasses.field(default_factory=default, metadata=field_meta)
    return dataclasses.field(default=default, metadata=field_meta)


@dataclass(frozen=True)
class Option:
    """One declared option."""

    name: str
    type: type
    meta: Meta
    default: Callable[[], Any]

    @property
    def key(self) -> str:
        """Its name in the file, and as a flag without the two dashes."""
        return self.name.replace("_", "-")

    @property
    def flag(self) -> str:
        """How the command line names it."""
        return self.meta.positional or f"--{self.key}"

    @property
    def variable(self) -> str:
        """Its environment twin."""
        return PREFIX + self.name.upper()

    @property
    def default_text(self) -> str:
        """Its default as the documentation shows it."""
        return self.meta.default_text or str(self.default())

    @property
    def bounds(self) -> str:
        """Its legal values as the documentation shows them; empty where its type says all."""
        low, high = self.meta.min, self.meta.max
        if self.meta.choices:
            return ", ".join(self.meta.choices)
        if low is not None and high is not None:
            return f"{low} to {high}"
        return "" if low is None else f"at least {low}"


@dataclass(frozen=True)
class Loaded(Generic[T]):
    """The effective options, and where each value came from."""

    values: T
    origins: dict[str, str]

    def __str__(self) -> str:
        """TOML that gives the same options again, each with its origin."""
        return "\n".join(
            f"{option.key} = {_toml(getattr(self.values, option.name))}  # {_one_line(self.origins[option.name])}"
            for option in declared(type(self.values))
        )


def declared(cls: type) -> Iterator[Option]:
    """The options of a dataclass, in order."""
    hints = get_type_hints(cls)
    for field in dataclasses.fields(cls):
        factory = field.default_factory
        default = factory if factory is not dataclasses.MISSING else lambda value=field.default: value
        hint = hints[field.name]
        yield Option(field.name, get_origin(hint) or hint, field.metadata["option"], default)


def add_flags(parser: argparse.ArgumentParser, cls: type) -> None:
    """Give a parser all options of `cls`, `--config` and `--print-config`."""
    for option in declared(cls):
        facts = "; ".join(
            filter(None, (option.meta.unit, option.bounds, f"default: {option.default_text}", option.variable))
        )
        text = f"{option.meta.help} ({facts})".replace("%", "%%")
        if option.meta.positional:
            parser.add_argument(option.name, nargs="*", metavar=option.meta.positional, help=text)
        else:
            parser.add_argument(option.flag, dest=option.name, metavar=_metavar(option), help=text)
    parser.add_argument("--config", metavar="FILE", help=f"TOML file with options ({PREFIX}CONFIG)")
    parser.add_argument(
        "--print-config", action="store_true", help="show every option and where it came from, and stop"
    )


def load(cls: type[T], flags: Mapping[str, Any], environ: Mapping[str, str] | None = None) -> Loaded[T]:
    """The effective options from all four sources. `flags` are the parsed arguments by name."""
    environ = os.environ if environ is None else environ
    path = flags.get("config") or environ.get(f"{PREFIX}CONFIG")
    file = _read_file(cls, Path(path)) if path else {}
    values: dict[str, Any] = {}
    origins: dict[str, str] = {}
    for option in declared(cls):
        if flags.get(option.name):
            raw, origin = flags[option.name], "command line" if option.meta.positional else option.flag
        elif flags.get(option.name) == "":
            raw, origin = "", option.flag
        elif option.variable in environ:
            raw, origin = environ[option.variable], option.variable
            raw = tuple(filter(None, raw.split(os.pathsep))) if option.type is tuple else raw
        elif option.key in file:
            raw, origin = file[option.key], f"{path}: {option.key}"
        else:
            values[option.name], origins[option.name] = option.default(), "default"
            continue
        values[option.name], origins[option.name] = _checked(option, raw, origin), origin
    return Loaded(cls(**values), origins)


def _read_file(cls: type, path: Path) -> dict[str, Any]:
    try:
        content = tomllib.loads(path.read_text("utf-8"))
    except OSError as error:
        raise StartError(f"{path}: cannot be read: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise StartError(f"{path}: not TOML: {error}") from error
    keys = [option.key for option in declared(cls)]
    unknown = sorted(content.keys() - set(keys))
    if unknown:
        raise StartError(f"{path}: unknown option {', '.join(unknown)}; options are {', '.join(keys)}")
    return content


def _checked(option: Option, raw: Any, origin: str) -> Any:
    """The value of an option from text or TOML, checked."""

    def wrong(expected: str) -> StartError:
        return StartError(f"{origin}: {raw!r} is not {expected}")

    meta = option.meta
    if option.type is tuple:
        if not isinstance(raw, list | tuple) or not all(isinstance(item, str) and item for item in raw):
            raise wrong("a list of texts")
        return tuple(raw)
    if option.type in (int, float):
        number = _number(option.type, raw)
        low, high = meta.min, meta.max
        if number is None or not (low is None or number >= low) or not (high is None or number <= high):
            noun = "a whole number" if option.type is int else "a number"
            raise wrong(f"{noun}, {option.bounds}" if option.bounds else noun)
        return number
    if not isinstance(raw, str):
        raise wrong("a text")
    if meta.choices and raw not in meta.choices:
        raise wrong(f"one of {option.bounds}")
    if meta.kind == "address" and (raw or option.default()):
        match = ADDRESS.fullmatch(raw)
        if match is None or int(match[2]) > 65_535:
            raise wrong("HOST:PORT, such as 127.0.0.1:50051 or [::1]:50051")
    if meta.kind == "url" and raw and not _is_url(raw):
        raise wrong("a URL of HTTP, such as http://127.0.0.1:4318/v1/traces")
    return raw


def _is_url(text: str) -> bool:
    try:
        parts = urlsplit(text)
        # A port that is none raises as it is asked for, and not before.
        return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0 and text.isprintable()
    except ValueError:
        return False


def _number(kind: type, raw: Any) -> Any:
    """The finite number that a text or a TOML value stands for; None where it is none."""
    if isinstance(raw, bool) or not isinstance(raw, str | int | (float if kind is float else int)):
        return None
    try:
        number = kind(raw)
    except ValueError:
        return None
    return number if abs(number) < float("inf") else None


def _metavar(option: Option) -> str:
    if option.meta.kind == "address":
        return "HOST:PORT"
    if option.meta.kind == "url":
        return "URL"
    if option.meta.choices:
        return "|".join(option.meta.choices)
    return {int: "N", float: "X"}.get(option.type, "TEXT")


def _one_line(text: str) -> str:
    return "".join(character if character.isprintable() else "?" for character in text)


def _toml(value: Any) -> str:
    if isinstance(value, tuple):
        return f"[{', '.join(map(_toml, value))}]"
    if not isinstance(value, str):
        return str(value)
    # JSON's text is TOML's but for one control character that JSON leaves as it is.
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
