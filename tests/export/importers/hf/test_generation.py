"""Decoding defaults, as transformers' `generate` would take them."""

from dataclasses import replace

import pytest

from dragoman.bundle.manifest import Architecture, Decoding
from dragoman.export.core.errors import UnsupportedModel
from dragoman.export.core.reasons import Reasons
from dragoman.export.importers.hf.config import FAMILIES
from dragoman.export.importers.hf.generation import read_generation

ARCH = Architecture(8, 1, 8, 1, 1, 100, 90, max_positions=64)
OPUS = {
    "bad_words_ids": [[89]],
    "decoder_start_token_id": 89,
    "eos_token_id": 0,
    "forced_eos_token_id": 0,
    "max_length": 512,
    "num_beams": 6,
    "renormalize_logits": True,
}


def read(generation, config=None, family="marian", arch=ARCH):
    reasons = Reasons()
    result = read_generation(generation, config or {}, FAMILIES[family], arch, reasons)
    reasons.raise_if_any("here")
    return result


def test_the_settings_of_an_opus_model():
    """Beam, length, padding that is never put out, the forced end, and scores that are normalised without padding."""
    found = read(OPUS)

    assert found.decoding == Decoding(
        profile="hf",
        beam_size=6,
        length_penalty=1.0,
        max_length=64,  # positions end before 511, the 512 that include the start
        max_length_factor=100.0,
        early_stopping="heuristic",
        unknown_handling="allow",
        forced_last_id=0,
    )
    assert (found.start_id, found.eos_id, found.suppressed_ids) == (89, 0, (89,))
    assert found.renormalizes
    assert found.notes == ()


def test_generation_settings_come_before_the_models_own():
    """generation_config.json where it speaks, else config.json, and the family's default where neither does."""
    found = read({"num_beams": 2}, {"num_beams": 7, "length_penalty": 0.6, "eos_token_id": [2]}, "m2m_100")

    assert (found.decoding.beam_size, found.decoding.length_penalty) == (2, 0.6)
    assert (found.eos_id, found.start_id) == (2, 2)


@pytest.mark.parametrize(("stated", "meant"), [(False, "heuristic"), (True, "first"), ("never", "exhaustive")])
def test_when_a_beam_is_over(stated, meant):
    """The three values of early_stopping."""
    assert read({**OPUS, "early_stopping": stated}).decoding.early_stopping == meant


@pytest.mark.parametrize(
    ("options", "length"),
    [({"max_length": 20}, 19), ({"max_new_tokens": 20}, 20), ({"max_new_tokens": 20, "max_length": 30}, 20)],
)
def test_what_the_decoder_begins_with_is_no_part_of_its_length(options, length):
    """max_length counts the start, max_new_tokens does not and comes first."""
    assert read({"eos_token_id": 0, "decoder_start_token_id": 1, **options}).decoding.max_length == length


def test_a_model_without_a_length_says_so():
    """The positions are the limit then, and a note says it: transformers' 20 is no model's wish."""
    found = read({"eos_token_id": 0, "decoder_start_token_id": 1})

    assert found.decoding.max_length == 64
    assert found.notes == ("no max_length is given: at most 64 target tokens, as many as there are positions",)


def test_what_is_not_decoded_with_is_noted():
    """Options that would change translations are each named, with their values; neutral values are not."""
    found = read({**OPUS, "num_beam_groups": 3, "diversity_penalty": 0.5, "guidance_scale": 1.0, "do_sample": False})

    assert found.notes == ("not decoded with: diversity_penalty 0.5", "not decoded with: num_beam_groups 3")


def test_the_settings_of_a_summarizing_bart():
    """Repetition and shortest length, which transformers counts with the start and we without the end."""
    found = read(
        {**OPUS, "no_repeat_ngram_size": 3, "min_length": 56, "repetition_penalty": 1.2, "forced_bos_token_id": 7}
    )
    decoding = found.decoding

    assert (decoding.no_repeat_ngram_size, decoding.min_length, decoding.repetition_penalty) == (3, 55, 1.2)
    assert (found.forced_first_id, decoding.forced_last_id) == (7, 0)
    assert read({**OPUS, "min_new_tokens": 9, "min_length": 5}).decoding.min_length == 9


def test_repeats_of_the_source_are_words_of_one_vocabulary():
    """Blenderbot's: decoded with where both sides have the same words, and noted where they have not."""
    options = {**OPUS, "encoder_no_repeat_ngram_size": 3}
    same = replace(ARCH, source_vocabulary=90)

    assert read(options, arch=same).decoding.source_no_repeat_ngram_size == 3
    found = read(options)
    assert found.decoding.source_no_repeat_ngram_size == 0
    assert found.notes == (
        "not decoded with: encoder_no_repeat_ngram_size, as the source's words are not the target's",
    )


def test_a_plbart_begins_with_the_beginnings_token_where_nothing_else_is_said():
    """As `generate` does; another family's beginning is not guessed."""
    assert read({"eos_token_id": 2, "bos_token_id": 5}, family="plbart").start_id == 5
    assert read({"eos_token_id": 2, "bos_token_id": 5, "decoder_start_token_id": 7}, family="plbart").start_id == 7
    with pytest.raises(UnsupportedModel, match="decoder_start_token_id is missing"):
        read({"eos_token_id": 2, "bos_token_id": 5}, family="mbart")


def test_several_words_cannot_be_suppressed_together():
    """Single words are suppressed, and that the others are not is noted."""
    found = read({**OPUS, "bad_words_ids": [[89], [5, 6], [7]], "suppress_tokens": [3]})

    assert found.suppressed_ids == (3, 7, 89)
    assert found.notes == ("not decoded with: bad_words_ids of several words, only single words are suppressed",)


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"num_beams": 0}, "num_beams must be a whole number from 1 to 60, the model says 0"),
        ({"num_beams": "5"}, "num_beams must be a whole number"),
        ({"length_penalty": -1.0}, "length_penalty must be a number from 0 to 10, the model says -1.0"),
        ({"repetition_penalty": 0}, "repetition_penalty must be a number above 0 to 100, the model says 0"),
        ({"no_repeat_ngram_size": -1}, "no_repeat_ngram_size must be a whole number from 0"),
        ({"min_length": 2.5}, "min_length must be a whole number from 0"),
        ({"eos_token_id": [0, 2]}, r"eos_token_id must be one id below 90, the model says \[0, 2\]"),
        ({"forced_bos_token_id": 90}, "forced_bos_token_id must be one id below 90, the model says 90"),
        ({"early_stopping": 3}, "early_stopping must be true, false or 'never', the model says 3"),
        ({"bad_words_ids": [[0]]}, "the end token is among the words that are never emitted"),
        ({"max_length": 1}, "max_length must be a whole number from 2"),
    ],
)
def test_settings_that_cannot_be_are_refused(options, reason):
    """Each with what it is and what it may be."""
    with pytest.raises(UnsupportedModel, match=reason):
        read({**OPUS, **options})


def test_a_model_that_does_not_say_how_it_begins_or_ends_is_refused():
    """Neither is guessed where the family has no default."""
    with pytest.raises(UnsupportedModel, match=r"(?s)decoder_start_token_id is missing.*eos_token_id is missing"):
        read({}, family="mbart")
