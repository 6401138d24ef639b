"""What is a bundle, and what is not."""

from dragoman.export.importers.bundle.folder import recognises


def test_a_folder_with_a_manifest_and_graphs_is_a_bundle(tmp_path):
    """Other folders have files of these names, too: both have to be there."""
    assert recognises(tmp_path) is None
    (tmp_path / "manifest.json").write_text("{}")
    assert recognises(tmp_path) is None
    (tmp_path / "encoder.onnx").write_bytes(b"")
    assert recognises(tmp_path) == "a bundle"
    assert recognises(tmp_path / "manifest.json") is None
