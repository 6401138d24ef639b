"""How a Hugging Face directory is recognised, and what its JSON files are called."""

from pathlib import Path

from dragoman.export.core.reasons import Reasons, short
from dragoman.export.importers.files.json_files import model_folder, read_json

CONFIG, GENERATION = "config.json", "generation_config.json"


def recognises(path: Path) -> str | None:
    """What is at `path`, if it is a Hugging Face directory or its configuration; None if it is not."""
    folder = model_folder(path)
    if (path != folder and path.name != CONFIG) or not (folder / CONFIG).is_file():
        return None
    kind = read_json(folder / CONFIG, Reasons()).get("model_type")
    return f"Hugging Face model of type {short(kind)}" if kind is not None else None
