"""Kinds of arguments. Each says in the user's words what it does not accept."""

import math
from argparse import Action, ArgumentTypeError
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import Any, Protocol, TypeVar

E = TypeVar("E", bound=StrEnum)


class Arguments(Protocol):
    """A parser, or one of its groups, in which arguments are declared."""

    def add_argument(self, *names: str, **settings: Any) -> Action:
        """Declare an argument."""


def count(text: str) -> int:
    """A whole number from 1."""
    return _whole(text, 1)


def at_least_zero(text: str) -> int:
    """A whole number from 0."""
    return _whole(text, 0)


def _whole(text: str, least: int) -> int:
    try:
        number = int(text)
    except ValueError:
        raise ArgumentTypeError(f"{text!r} is not a whole number") from None
    if number < least:
        raise ArgumentTypeError(f"{number} is below {least}")
    return number


def finite(text: str) -> float:
    """A number that is neither infinite nor none."""
    try:
        number = float(text)
    except ValueError:
        raise ArgumentTypeError(f"{text!r} is not a number") from None
    if not math.isfinite(number):
        raise ArgumentTypeError(f"{text!r} is not a finite number")
    return number


def content(name: str) -> str:
    """What a file holds."""
    try:
        return Path(name).read_text("utf-8")
    except (OSError, ValueError) as error:
        raise ArgumentTypeError(f"{name}: {error}") from None


def positive(text: str) -> float:
    """A number above 0."""
    number = finite(text)
    if number <= 0:
        raise ArgumentTypeError(f"{text!r} is not above 0")
    return number


def member(kind: type[E]) -> Callable[[str], E]:
    """A member of an enum by its value."""

    # UNKNOWN is what a newer server says, and nothing that could be asked for.
    known = [value for value in kind if value.name != "UNKNOWN"]

    def convert(text: str) -> E:
        if text not in known:
            raise ArgumentTypeError(f"{text!r} is not one of {', '.join(known)}")
        return kind(text)

    return convert
