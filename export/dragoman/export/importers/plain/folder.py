"""How a folder in the project's own plain format is recognised."""

from pathlib import Path

from dragoman.export.importers.files.json_files import model_folder

DESCRIPTION = "dragoman.json"


def recognises(path: Path) -> str | None:
    """What is at `path`, if it is such a folder or its description; None if it is not."""
    folder = model_folder(path)
    is_named = path == folder or path.name == DESCRIPTION
    return "a plain folder" if is_named and (folder / DESCRIPTION).is_file() else None
