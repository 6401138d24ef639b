"""What a model does that does not translate."""

from dataclasses import replace

import pytest

from dragoman.bundle.manifest import Context, Texts, Window
from dragoman.export.calibration.texts import encoder_of
from dragoman.export.core.errors import ExportError
from dragoman.export.importers.formats import read_for
from dragoman.export.task import with_context, with_global_words, with_prompt, with_task


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


def test_a_model_may_read_what_comes_before_a_text(t5):
    """A separator is a token by its name, a text, or nothing, and half of what the model reads is the most."""
    checkpoint, _ = read_for(t5, "auto", "en", "en", "summarization")
    most = checkpoint.limits.max_source_tokens // 2

    by_name = with_context(with_task(checkpoint, "x", ""), "</s>", None)
    by_text = with_context(checkpoint, "a b", 5)

    assert by_name.texts == Texts(
        "none", "truncate", translated=False, context=Context((checkpoint.tokenizer.eos_id,), most - 1)
    )
    assert by_text.texts.context == Context(tuple(encoder_of(checkpoint)("a b")), 5)
    assert with_context(checkpoint, "", None).texts.context == Context((), most)
    assert with_context(checkpoint, None, None) is checkpoint
    ruled = replace(checkpoint, tokenizer=replace(checkpoint.tokenizer, kind="moses-fastbpe"))
    assert with_context(ruled, "", None).texts.context == Context((), most)
    with pytest.raises(ExportError, match="nor a prompt or a separator"):
        with_context(ruled, "|", None)
    for separator, tokens, said in (
        ("\u4e2d", None, "no such token"),
        ("a", most, "from 1 to"),
        (None, 5, "--context "),
    ):
        with pytest.raises(ExportError, match=said):
            with_context(checkpoint, separator, tokens)


def test_first_words_that_see_all_are_for_models_with_matrices_for_them(t5):
    """Others have nothing that such words could be read with; nor may half of a source be of them."""
    checkpoint, _ = read_for(t5, "auto", "en", "en", "summarization")
    seeing = replace(checkpoint.architecture, encoder_window=Window((3,), first=1))

    assert with_global_words(checkpoint, None) is checkpoint
    with pytest.raises(ExportError, match="--global-words is for encoders"):
        with_global_words(checkpoint, 2)
    for words in (0, 17):
        with pytest.raises(ExportError, match=f"{words} is not from 1 to 16"):
            with_global_words(replace(checkpoint, architecture=seeing), words)
