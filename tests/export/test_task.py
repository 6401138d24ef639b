"""What a model does that does not translate."""

from dataclasses import replace

import pytest

from dragoman.bundle.manifest import Texts
from dragoman.export.core.errors import ExportError
from dragoman.export.importers.formats import read_for
from dragoman.export.task import with_prompt, with_task


def test_a_task_reads_texts_whole_behind_its_prompt(t5):
    """The prompt is ids before each text, and the bundle says how texts are treated and what for."""
    checkpoint, prompt = read_for(t5, "auto", "en", "en", "summarization")

    made = with_task(checkpoint, "summarization", "summarize: ")

    assert prompt == ""
    assert made.texts == Texts("none", "truncate", translated=False)
    assert made.tokenizer.prefix
    assert made.history == {"task": "summarization", "prompt": "summarize: "}
    assert with_prompt(checkpoint, "") is checkpoint


def test_a_prompt_that_text_would_run_into_is_refused(t5):
    """What is white space alone has no ids, and rules that only the server has cannot be asked."""
    checkpoint, _ = read_for(t5, "auto", "en", "en", "summarization")

    with pytest.raises(ExportError, match="cannot be put before a text"):
        with_prompt(checkpoint, "  ")
    with pytest.raises(ExportError, match="Moses"):
        with_prompt(replace(checkpoint, tokenizer=replace(checkpoint.tokenizer, kind="moses-fastbpe")), "a: ")
