"""What loading graphs leaves behind."""

import tempfile
from pathlib import Path

import pytest

from dragoman.server.runtime.sessions import _private_weights, remove_copies
from dragoman.server.testing import write_bundle


def test_a_process_that_ends_while_graphs_are_loaded_leaves_no_copies_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They may have gigabytes. A load that goes on all the same ends as if they were there; the next has its own."""
    bundle = write_bundle(tmp_path / "bundle")
    (tmp_path / "copies").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "copies"))
    for _ in range(2):
        with _private_weights(bundle) as folder:
            assert folder.is_dir()
            remove_copies()
            assert not any((tmp_path / "copies").iterdir())
    remove_copies()
