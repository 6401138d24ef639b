"""The licence of a model's card."""

import pytest

from dragoman.export.importers.files.model_card import licence_of


@pytest.mark.parametrize(
    ("text", "licence"),
    [
        ("---\nlicense: cc-by-nc-4.0\n---\n", "CC-BY-NC-4.0"),
        ("---\nlicense: other\n---\n", ""),
        ("---\nlicense: [mit]\n---\n", ""),
        ("---\n: : :\n---\n", ""),
        ("# no front matter", ""),
        ("", ""),
    ],
)
def test_the_licence_is_that_of_the_card(tmp_path, text, licence):
    """A name that the hub knows becomes an SPDX expression; anything else is not known."""
    (tmp_path / "README.md").write_text(text, encoding="utf-8")

    assert licence_of(tmp_path / "README.md") == licence


def test_no_card_is_no_licence(tmp_path):
    """A directory without a card says nothing."""
    assert licence_of(tmp_path / "README.md") == ""
