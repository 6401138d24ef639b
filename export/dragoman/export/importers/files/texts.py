"""Text files that lie beside a checkpoint, read whole and only up to a size."""

from pathlib import Path

from dragoman.export.core.reasons import Reasons

LARGEST_TEXT = 1 << 28


def read_text(file: Path, reasons: Reasons, most: int = LARGEST_TEXT) -> str | None:
    """What a file of UTF-8 holds; None, with a reason, where it cannot be read or is too large to be believed."""
    try:
        size = file.stat().st_size
        if size > most:
            reasons.add(f"{file.name} has {size} bytes, more than the {most} that are read")
            return None
        return file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reasons.add(f"{file.name} cannot be read: {error}")
        return None
