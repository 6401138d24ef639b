"""`dragoman join` on the command line."""

from dragoman.cli.main import main
from dragoman.server.testing import write_bundle


def test_what_cannot_be_joined_is_told_and_nothing_is_written(tmp_path, capsys):
    """A bundle that is not there."""
    write_bundle(tmp_path / "first")

    assert main(["join", str(tmp_path / "first"), str(tmp_path / "no"), "--output", str(tmp_path / "out")]) == 1
    assert f"dragoman join: {tmp_path / 'no'}: no such directory" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
