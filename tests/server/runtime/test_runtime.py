"""What a run that failed is."""

import pytest

from dragoman.server.core.errors import EngineFailure
from dragoman.server.runtime.runtime import run_error


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (MemoryError(), MemoryError),
        (RuntimeError("Non-zero status code while running Add node. Status Message: std::bad_alloc"), MemoryError),
        (RuntimeError("Failed to allocate memory for requested buffer of size 1"), MemoryError),
        (RuntimeError("Invalid dimensions"), EngineFailure),
    ],
)
def test_too_little_memory_is_no_defect(error: Exception, kind: type) -> None:
    """ONNX Runtime says it in words alone."""
    assert type(run_error("step", error)) is kind
