"""What a fairseq import refuses, with all reasons at once, and what it makes of the files beside a checkpoint."""

import os

import pytest

from dragoman.export.core.errors import ExportError
from dragoman.export.importers.fairseq.importer import read_fairseq
from dragoman.export.importers.formats import read


class Evil:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (self.path,)


def test_a_checkpoint_that_wants_to_run_code_leaves_nothing(fairseq, tmp_path):
    """It is refused by name, through the command's own way, and no file has come of it."""
    model = fairseq()
    model.options["encoder_layers"] = Evil(str(tmp_path / "made"))
    model.write()
    before = sorted(file.name for file in tmp_path.iterdir())

    with pytest.raises(ExportError, match=r"names \w+\.mkdir, which loading it would call"):
        read(tmp_path, "auto", None, None)

    assert sorted(file.name for file in tmp_path.iterdir()) == before


def test_auto_recognises_a_folder_and_a_file(fairseq):
    """Either way the same checkpoint, and its files as provenance."""
    model = fairseq()
    file = model.write()

    found = [read(path, "auto", None, None) for path in (file, model.folder)]

    assert [each.name for each in found] == ["de-en", "de-en"]
    assert found[0].source_format == "fairseq-transformer_tiny"
    names = {path.name for path in found[0].source_files}
    assert names == {"model.pt", "dict.de.txt", "dict.en.txt", "sentencepiece.bpe.model"}


WORDS = "der hund lauft die katze schlaft das hunde laufen"


def test_a_card_may_state_the_licence(fairseq):
    """As it may beside other models."""
    model = fairseq()
    (model.folder / "README.md").write_text("---\nlicense: mit\n---\n")

    assert read_fairseq(model.write(), None, None).licence == "MIT"
