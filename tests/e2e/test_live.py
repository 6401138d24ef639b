"""Real lines, written word by word, translated by the model that ships: nothing that was said is taken back."""

import asyncio
import itertools
from pathlib import Path

import pytest
from properties import tenth

from dragoman.server.app.translator import LocalTranslator
from dragoman.server.core.requests import Live, Request
from dragoman.server.pipeline.live import LiveText

BUNDLE = Path(__file__).parents[2] / "models" / "en-pt"


async def written(translate, line, live):
    """All that is said of a line, in order."""
    words, text, said = line.split(), LiveText(translate), []
    for number in range(1, len(words) + 1):
        source = " ".join(words[:number]) + " " if number < len(words) else line
        found = await text.read(Request((source,), live=live), is_whole=number == len(words))
        said.append(found.hypotheses[0].text)
    return said


@pytest.mark.parametrize("wait", [None, 1, 3, 7])
def test_each_word_adds_to_what_was_said(data, wait):
    """Over texts of two lines each; at the end there is a translation of the whole line."""
    lines = (data / "dev.en").read_text("utf-8").splitlines()[: tenth(100)]
    lines = [f"{one} {two}" for one, two in zip(lines[::2], lines[1::2], strict=True)]
    with LocalTranslator(BUNDLE, 2) as translator:

        async def all_lines():
            return await asyncio.gather(*(written(translator.pipeline.translate, line, Live(wait)) for line in lines))

        said = asyncio.run(all_lines())

    for texts in said:
        assert all(after.startswith(before) for before, after in itertools.pairwise(texts))
        assert any(0 < len(text) < len(texts[-1]) for text in texts) or len(texts) < 12
        assert texts[-1]
