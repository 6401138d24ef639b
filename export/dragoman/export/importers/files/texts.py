"""Text files that lie beside a checkpoint, read whole and only up to a size."""

from pathlib import Path

from dragoman.export.core.reasons import Reasons

LARGEST_TEXT = 1 << 28


def read_text(file: Path, reasons: Reasons, most: int = LARGEST_TEXT, newline: str | None = None) -> str | None:
    """What a file of UTF-8 holds; None, with a reason, where it cannot be read or is too large to be believed.

    `newline` is that of `open`.
    """
    try:
        size = file.stat().st_size
        if size > most:
            reasons.add(f"{file.name} has {size} bytes, more than the {most} that are read")
            return None
        with file.open(encoding="utf-8", newline=newline) as lines:
            return lines.read()
    except (OSError, UnicodeDecodeError) as error:
        reasons.add(f"{file.name} cannot be read: {error}")
        return None
