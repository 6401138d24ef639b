"""SentencePiece models as files."""

import pytest

from dragoman.export.core.errors import UnsupportedModel
from dragoman.export.core.reasons import Reasons
from dragoman.export.importers.files.sentencepiece_models import open_sentencepiece


def test_a_model_is_opened(tmp_path, vocabulary):
    """With its pieces."""
    reasons = Reasons()
    (tmp_path / "words.spm").write_bytes(vocabulary)

    model = open_sentencepiece(tmp_path / "words.spm", reasons)

    assert model is not None
    assert model.get_piece_size() > 2
    assert len(reasons) == 0


@pytest.mark.parametrize(
    ("content", "said"), [(None, "words.spm is missing"), (b"no model", "words.spm is not a SentencePiece model")]
)
def test_what_is_none_is_a_reason(tmp_path, content, said):
    """The file's name is said."""
    if content is not None:
        (tmp_path / "words.spm").write_bytes(content)
    reasons = Reasons()

    assert open_sentencepiece(tmp_path / "words.spm", reasons) is None
    with pytest.raises(UnsupportedModel, match=said):
        reasons.raise_if_any(tmp_path)
