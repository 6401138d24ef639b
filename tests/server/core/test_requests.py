"""Requests, and what several of them have in common."""

from dataclasses import fields, replace

import pytest

from dragoman.server.core.requests import CacheMode, DecodingOverrides, InputFormat, Request
from dragoman.server.core.segments import Priority

OF_TEXTS = {
    "caller": "b",
    "texts": ("b",),
    "prefixes": ("p",),
    "contexts": ("c",),
    "targets": ("t",),
    "seed": 7,
    "deadline_s": 1.0,
}
OTHERS = {
    "overrides": DecodingOverrides(beam_size=2),
    "priority": Priority.BATCH,
    "cache": CacheMode.BYPASS,
    "format": InputFormat.HTML,
    "source_language": "en",
    "suppressed_tokens": ("x",),
}


@pytest.mark.parametrize("name", OF_TEXTS)
def test_requests_for_other_texts_are_of_one_kind(name: str) -> None:
    """Which texts they are, by when, and with which seed is no part of the kind."""
    request, other = Request(("a",)), replace(Request(("a",)), **{name: OF_TEXTS[name]})

    assert request.kind == other.kind
    assert hash(request.kind) == hash(other.kind)


@pytest.mark.parametrize("name", OTHERS)
def test_requests_that_ask_for_something_else_are_of_another_kind(name: str) -> None:
    """Every other field counts."""
    assert Request(("a",)).kind != replace(Request(("a",)), **{name: OTHERS[name]}).kind


def test_every_field_is_of_the_texts_or_of_the_kind() -> None:
    """A field that is added to requests belongs to their kind unless somebody says otherwise."""
    compared = len(fields(Request)) - len(OF_TEXTS)

    assert len(Request(("a",)).kind._asked) == compared  # type: ignore[arg-type] # it is a tuple
