"""transformers beside what was exported."""

import numpy as np
import pytest

from dragoman.cli.main import main
from dragoman.export.importers.hf import oracle as hf_oracle
from dragoman.export.importers.hf.importer import read_hf

PAD = 25


def test_without_transformers_a_note_says_that_nothing_was_compared(t5, monkeypatch):
    """The library is never needed; that its comparison is missing is said."""
    monkeypatch.setattr(hf_oracle.util, "find_spec", lambda _: None)

    found = read_hf(t5, "en", "pt")

    assert found.oracle is None
    assert "transformers is not installed, so nothing was compared with it" in found.notes


def run(*arguments) -> int:
    return main(["export", *map(str, arguments), "--from", "en", "--to", "pt"])


def test_graphs_that_differ_from_the_library_are_not_written(t5, tmp_path, monkeypatch, capsys):
    """Where transformers finds other scores, the export fails with how far they are apart, and leaves nothing."""
    honest = hf_oracle.TransformersOracle.log_probabilities

    def shifted(self, sources, read):
        return np.roll(honest(self, sources, read), 1, axis=-1)

    monkeypatch.setattr(hf_oracle.TransformersOracle, "log_probabilities", shifted)

    assert run(t5, "--output", tmp_path / "out", "--precision", "fp32") == 1

    assert "the exported graphs do not compute what transformers" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_library_that_cannot_load_the_model_is_an_error(t5):
    """The message says whose fault it is, and that the comparison can be done without."""
    oracle = read_hf(t5, "en", "pt").oracle
    (t5 / "model.safetensors").write_bytes(b"")

    with pytest.raises(Exception, match=r"transformers .* cannot load .*without transformers the export ends with"):
        oracle.log_probabilities([[3, 0]], np.array([[PAD]]))
