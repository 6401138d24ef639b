"""From a Marian folder to a canonical checkpoint."""

import dataclasses

import numpy as np
import pytest

from dragoman.bundle.manifest import Architecture, Decoding, LanguagePair, Limits, Tokenizer
from dragoman.export.core.errors import UnsupportedModel
from dragoman.export.importers.marian.importer import read_marian

WIDTH, INNER, WORDS = 8, 12, 24


def reasons_of(folder, source=None, target=None) -> tuple[str, ...]:
    with pytest.raises(UnsupportedModel) as error:
        read_marian(folder, source, target)
    return error.value.reasons


def test_a_student_is_read_whole(marian):
    """Architecture, tokenizer, decoding, languages and limits of an SSRU student with settings."""
    model = marian()
    model.settings = {"beam-size": 1, "normalize": 1.0, "word-penalty": 0, "max-length-factor": 2.5}

    checkpoint = read_marian(model.write(), None, None)

    assert checkpoint.architecture == Architecture(
        d_model=WIDTH,
        heads=2,
        ffn=INNER,
        encoder_layers=1,
        decoder_layers=2,
        source_vocabulary=WORDS,
        target_vocabulary=WORDS,
        decoder="ssru",
        embedding_scale=WIDTH**0.5,
        alignment_head=0,
    )
    assert (checkpoint.pairs, checkpoint.name) == ((LanguagePair("en", "de"),), "en-de")
    assert checkpoint.decoding == Decoding(max_length=512, max_length_factor=2.5)
    assert checkpoint.tokenizer == Tokenizer("sentencepiece", "vocabulary.spm", "vocabulary.spm", 0, 1, WORDS)
    assert checkpoint.tokenizer_files == {"vocabulary.spm": model.folder / "vocab.ende.spm"}
    assert checkpoint.limits == Limits(512, 512)
    assert [file.name for file in checkpoint.source_files] == ["model.ende.bin", "config.yml", "vocab.ende.spm"]
    assert (checkpoint.source_format, checkpoint.licence, checkpoint.quantized) == ("marian-bin", "", {})


def test_two_vocabularies(marian, vocabulary):
    """Named by side, each is a file of its own in the bundle."""
    model = marian(tying="decoder")
    (model.folder / "vocab.ende.spm").unlink()
    for side in ("src", "trg"):
        (model.folder / f"{side}vocab.ende.spm").write_bytes(vocabulary)

    checkpoint = read_marian(model.write(), None, None)

    assert {name: file.name for name, file in checkpoint.tokenizer_files.items()} == {
        "source.spm": "srcvocab.ende.spm",
        "target.spm": "trgvocab.ende.spm",
    }


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"beam-size": 0}, "beam-size must be a whole number from 1 to 60, the settings say 0"),
        ({"beam-size": 61}, "beam-size must be a whole number from 1 to 60, the settings say 61"),
        ({"normalize": 10.5}, "normalize must be at most 10, the settings say 10.5"),
        ({"normalize": "yes"}, "normalize must be a number from 0, the settings say 'yes'"),
        ({"normalize": float("nan")}, "normalize must be a number from 0, the settings say nan"),
        ({"word-penalty": 0.5}, "word-penalty must be 0, the settings say 0.5: only normalize is decoded with"),
        ({"max-length-factor": 0}, "max-length-factor must be above 0 and at most 100, the settings say 0"),
        ({"max-length-factor": 101}, "max-length-factor must be above 0 and at most 100, the settings say 101"),
        ({"models": ["model.ende.bin", "b.bin"]}, "the settings name an ensemble; only one model is read"),
        ({"output-sampling": ["topk", 10]}, "output-sampling must be off, the settings say ['topk', 10]"),
        (
            {"vocabs": ["gone.spm", "gone.spm"]},
            "the vocabulary gone.spm that the decoding settings name is not in the folder",
        ),
        ({"vocabs": ["vocab.ende.spm"]}, "the decoding settings name 1 vocabularies, expected two"),
        (
            {"shortlist": ["lex.bin", False]},
            "the shortlist lex.bin that the decoding settings name is not in the folder",
        ),
    ],
)
def test_settings_that_cannot_be_followed_are_refused(marian, change, expected):
    """The model's decoding is imported as it is, or not at all."""
    model = marian()
    model.settings = {"beam-size": 4, **change}

    assert reasons_of(model.write()) == (expected,)


def test_without_settings_marians_own_hold_and_it_is_said(marian):
    """Beam 12 and no normalisation are rarely wanted, so the user is told."""
    checkpoint = read_marian(marian().write(), None, None)

    assert (checkpoint.decoding.beam_size, checkpoint.decoding.length_penalty) == (12, 0.0)
    assert any("Marian's own hold: beam 12" in note for note in checkpoint.notes)


def test_unknown_words_may_be_allowed(marian):
    """allow-unk lifts the suppression of the unknown word; a request may do the same."""
    plain, allowing = marian(), marian()
    allowing.settings = {"allow-unk": True}

    checkpoints = [read_marian(model.write(), None, None) for model in (plain, allowing)]
    assert [one.decoding.unknown_handling for one in checkpoints] == ["suppress", "allow"]
    assert [one.tokenizer.suppressed_ids for one in checkpoints] == [(), ()]


def test_a_vocabulary_has_to_fit_the_embedding(marian):
    """One word too many and every id after it would be another word."""
    model = marian(tying="decoder")
    model.options["dim-vocabs"] = [WORDS, WORDS + 1]
    for name, shape in (("decoder_Wemb", (WORDS + 1, WIDTH)), ("decoder_ff_logit_out_b", (1, WORDS + 1))):
        model.parameters[name] = np.ones(shape, np.float32)

    assert reasons_of(model.write()) == (f"vocab.ende.spm has {WORDS} pieces, the model's vocabulary is {WORDS + 1}",)


def test_a_vocabulary_without_segmentation_is_refused_with_the_way_out(marian):
    """YAML lists words only; a guess at how text is cut would translate something else."""
    model = marian()
    pieces = (model.folder / "vocab.ende.spm").rename(model.folder.parent / "pieces.spm")
    words = ["</s>", "<unk>", *(f"w{n}" for n in range(2, WORDS))]
    (model.folder / "vocab.ende.yml").write_text("".join(f"{word}: {n}\n" for n, word in enumerate(words)))

    (reason,) = reasons_of(model.write())

    assert reason.startswith(
        "the SentencePiece model that texts were cut with is missing (*.model, *.spm): put it beside"
    )
    assert read_marian(model.write(), None, None, "spaces").tokenizer.kind == "tokenizers"
    (model.folder / "pieces.spm").write_bytes(pieces.read_bytes())
    with pytest.raises(UnsupportedModel, match="it belongs to another model"):
        read_marian(model.folder, None, None)


@pytest.mark.parametrize("data", [b"", b"not a model", b"\0" * 64])
def test_a_vocabulary_that_is_none_is_refused(marian, data):
    """Whatever SentencePiece raises is one reason."""
    model = marian()
    (model.folder / "vocab.ende.spm").write_bytes(data)

    (reason,) = reasons_of(model.write())

    assert reason.startswith("vocab.ende.spm")


def test_everything_that_stands_against_a_model_is_told_at_once(marian):
    """Options, settings, languages and vocabulary in one refusal."""
    model = marian()
    model.options |= {"right-left": True, "transformer-pool": True}
    model.settings = {"word-penalty": 1, "vocabs": ["none.spm", "none.spm"]}

    reasons = reasons_of(model.write(), source="e!")

    assert [
        any(word in reason for reason in reasons) for word in ("right-left", "pool", "penalty", "none.spm", "--from")
    ]
    assert len(reasons) == 6  # the languages are also unclear


def test_a_checkpoint_is_the_same_twice(marian):
    """Reading has no state."""
    folder = marian().write("int8")

    first, second = (dataclasses.replace(read_marian(folder, None, None), weights={}, quantized={}) for _ in range(2))

    assert first == second
