"""What can go wrong in an export."""

from collections.abc import Iterable
from pathlib import Path


class ExportError(Exception):
    """An export cannot go on; the message says why and what to do."""


class UnsupportedModel(ExportError):  # noqa: N818
    """The checkpoint cannot be exported. All the reasons at once, in `reasons`."""

    def __init__(self, origin: Path, reasons: Iterable[str]) -> None:
        self.reasons = tuple(reasons)
        count = len(self.reasons)
        lines = "".join(f"\n  - {reason}" for reason in self.reasons)
        super().__init__(f"{origin}: cannot be exported, for {count} reason{'s' if count != 1 else ''}:{lines}")


def is_out_of_memory(error: Exception) -> bool:
    """Whether an error means that memory ran out: Python, torch and ONNX Runtime each word it differently."""
    said = ("can't allocate memory", "bad allocation", "bad_alloc", "Failed to allocate memory")
    return isinstance(error, MemoryError) or any(each in str(error) for each in said)
