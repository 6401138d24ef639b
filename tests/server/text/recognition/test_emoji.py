"""Emoji and other pictures."""

import pytest

from dragoman.server.text.recognition.emoji import PATTERN


@pytest.mark.parametrize(
    "emoji",
    [
        "🎉",
        "👩\u200d👩\u200d👧\u200d👦",
        "👍🏽",
        "🇧🇷",
        "1\ufe0f\u20e3",
        "#\u20e3",
        "❤\ufe0f",
        "→",
        "©",
        "™",
        "🏴\U000e0067\U000e007f",
        "\ue001",
    ],
)
def test_a_picture_is_whole(emoji: str) -> None:
    """With what joins it; and several side by side are one stretch."""
    assert [match[0] for match in PATTERN.finditer(f"a {emoji}b")] == [emoji]
    assert [match[0] for match in PATTERN.finditer(f"a{emoji}{emoji} b")] == [emoji * 2]


def test_text_has_none() -> None:
    """Digits, letters of any script and the signs of currencies are no pictures."""
    assert PATTERN.search("1 # * aé 田 € £ ° \u00d7 ≥ — “x” …") is None
