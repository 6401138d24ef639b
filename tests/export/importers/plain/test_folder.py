"""How a plain folder is recognised."""

from dragoman.export.importers.plain.folder import recognises


def test_a_description_makes_a_plain_folder(tmp_path):
    """Named by the folder or by the description, and by no other file of it."""
    assert recognises(tmp_path) is None
    for name in ("dragoman.json", "model.safetensors"):
        (tmp_path / name).write_text("{}")

    assert recognises(tmp_path) == recognises(tmp_path / "dragoman.json") == "a plain folder"
    assert recognises(tmp_path / "model.safetensors") is None
