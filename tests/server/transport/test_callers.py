"""Whose token it is, and what its holder may do."""

import hashlib
from datetime import UTC, datetime

import pytest

from dragoman.server.core.segments import Priority
from dragoman.server.transport.callers import read_callers

NOW = datetime(2026, 6, 1, tzinfo=UTC)


def row(name: str, *tokens: str, more: str = "") -> str:
    hashes = [hashlib.sha256(token.encode()).hexdigest() for token in tokens]
    return f"[{name}]\nsha256 = {hashes}\n{more}\n"


def test_a_token_is_its_callers_and_no_other_is_anybodys() -> None:
    """Either of two while one replaces the other; a prefix, a longer one, a hash, an empty one are nobody's."""
    callers = read_callers(row("search", "old", "new") + row("mail", "post"))

    assert len(callers) == 2
    assert [getattr(callers.named(token, NOW), "name", None) for token in ("old", "new", "post")] == [
        "search",
        "search",
        "mail",
    ]
    strangers = ["", "ol", "older", "OLD", hashlib.sha256(b"old").hexdigest(), "\udc80"]
    assert not any(callers.named(token, NOW) for token in strangers)


def test_a_row_says_what_its_caller_may() -> None:
    """Each key is read, and what is not said is allowed."""
    more = 'models = ["a", "b"]\nmax_priority = "normal"\nmax_calls = 3\nexpires = 2026-06-02T00:00:00Z'
    bound = read_callers(row("bound", "x", more=more)).named("x", NOW)
    free = read_callers(row("free", "y")).named("y", NOW)

    assert bound is not None
    assert free is not None
    assert (bound.models, bound.max_priority, bound.max_calls) == (frozenset("ab"), Priority.NORMAL, 3)
    assert (free.models, free.max_priority, free.max_calls) == (None, Priority.INTERACTIVE, None)


def test_a_token_is_good_until_it_expires() -> None:
    """To the second, whatever zone the time is written in."""
    callers = read_callers(row("a", "x", more="expires = 2026-06-01T02:00:00+02:00"))

    assert callers.named("x", datetime(2026, 5, 31, 23, 59, 59, tzinfo=UTC))
    assert callers.named("x", NOW) is None


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "nobody could call"),
        ("a = 1", r"\[a\]: a caller is a table"),
        ("[a", "not TOML"),
        ("x = " + "[" * 10_000, "not TOML"),
        ("[a]", r"\[a\] sha256: one or several"),
        ("[a]\nsha256 = []", r"\[a\] sha256: one or several"),
        ('[a]\nsha256 = "secret"', r"\[a\] sha256: one or several"),
        ('["a b"]\nsha256 = "00"', "a name of letters"),
        (row("a", "x") + row("b", "x"), r"\[b\] has a token of \[a\]"),
        (row("a", "x", more="model = 'm'"), r"unknown model; there are expires, is_operator, max_calls, max_pri"),
        (row("a", "x", more="models = 'm'"), "models: a list"),
        (row("a", "x", more="max_priority = 'urgent'"), "max_priority: one of interactive, normal, batch"),
        (row("a", "x", more="max_calls = 0"), "max_calls: a whole number"),
        (row("a", "x", more="max_calls = true"), "max_calls: a whole number"),
        (row("a", "x", more="is_operator = 1"), "is_operator: true or false"),
        (row("a", "x", more="expires = 2027-01-01"), "expires: a time with its zone"),
        (row("a", "x", more="expires = 2027-01-01T00:00:00"), "expires: a time with its zone"),
    ],
)
def test_a_file_with_an_error_says_which(text: str, reason: str) -> None:
    """A key that is not known is one: it may have been meant to forbid something."""
    with pytest.raises(ValueError, match=reason):
        read_callers(text)
