"""Errors of an export."""

from pathlib import Path

import pytest

from dragoman.export.core.errors import UnsupportedModel, is_out_of_memory


def test_all_reasons_are_told_at_once():
    """Each on a line of its own, and counted."""
    error = UnsupportedModel(Path("model.pt"), ["no layers", "no words"])

    assert str(error) == "model.pt: cannot be exported, for 2 reasons:\n  - no layers\n  - no words"
    assert error.reasons == ("no layers", "no words")
    assert "for 1 reason:" in str(UnsupportedModel(Path("model.pt"), ["no layers"]))


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (MemoryError(), True),
        (RuntimeError("[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: can't allocate memory"), True),
        (RuntimeError("std::bad_alloc"), True),
        (RuntimeError("Failed to allocate memory for requested buffer"), True),
        (RuntimeError("shapes do not match"), False),
    ],
)
def test_lack_of_memory_is_recognised(error, expected):
    """However the library words it."""
    assert is_out_of_memory(error) is expected
