"""The house keeps its shape: where files lie, what things are called, and what their docstrings say."""

from pathlib import Path

ROOT = Path(__file__).parents[1]
SERVER = ROOT / "server/dragoman/server"
TEXT_SIDE = {"transport", "telemetry", "pipeline", "planning", "text"}
DECODER_SIDE = {"lanes", "batches", "kvcache", "decode", "runtime"}


def test_the_server_is_its_stages() -> None:
    """Two sides, what both know, what puts them together, and the fakes."""
    names = {path.name for path in SERVER.iterdir()} - {"__init__.py", "py.typed", "__pycache__"}

    assert names == TEXT_SIDE | DECODER_SIDE | {"core", "app", "testing.py"}
