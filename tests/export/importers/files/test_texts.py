"""Text files beside a checkpoint."""

import pytest

from dragoman.export.core.reasons import Reasons
from dragoman.export.importers.files.texts import read_text


def test_a_file_is_read_whole(tmp_path):
    """As UTF-8, with whatever ends its lines."""
    (tmp_path / "dict.txt").write_bytes("olá 3\r\nmundo 2\n".encode())
    reasons = Reasons()

    assert read_text(tmp_path / "dict.txt", reasons) == "olá 3\nmundo 2\n"
    assert len(reasons) == 0


@pytest.mark.parametrize(
    ("content", "most", "said"),
    [
        (b"\xff", 9, "a.txt cannot be read"),
        (None, 9, "a.txt cannot be read"),
        (b"12345", 4, "a.txt has 5 bytes, more than the 4"),
    ],
)
def test_what_cannot_be_read_is_a_reason(tmp_path, content, most, said):
    """Other encodings, no file, and more than is believed."""
    if content is not None:
        (tmp_path / "a.txt").write_bytes(content)
    reasons = Reasons()

    assert read_text(tmp_path / "a.txt", reasons, most) is None
    with pytest.raises(Exception, match=said):
        reasons.raise_if_any(tmp_path)
