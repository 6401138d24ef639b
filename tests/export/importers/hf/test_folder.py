"""How a Hugging Face directory is recognised."""

from dragoman.export.importers.hf.folder import recognises


def test_a_directory_is_known_by_its_configuration(t5, tmp_path):
    """A directory and its config.json are known; other files, and configurations of other things, are not."""
    (tmp_path / "config.json").write_text('{"setting": 1}', encoding="utf-8")

    assert recognises(t5) == "Hugging Face model of type 't5'"
    assert recognises(t5 / "config.json") == "Hugging Face model of type 't5'"
    assert recognises(t5 / "spiece.model") is None
    assert recognises(tmp_path) is None
