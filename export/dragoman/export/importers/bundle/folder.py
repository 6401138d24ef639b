"""How a bundle is recognised: by its manifest."""

from pathlib import Path


def recognises(path: Path) -> str | None:
    """What is at `path`, if it is a bundle; None if it is not."""
    has_both = (path / "manifest.json").is_file() and any(path.glob("*.onnx"))
    return "a bundle" if has_both else None
