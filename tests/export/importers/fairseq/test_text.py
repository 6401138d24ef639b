"""Languages, and what the model reads around a text."""

import pytest

from dragoman.bundle.manifest import LanguagePair
from dragoman.export.core.errors import UnsupportedModel
from dragoman.export.importers.fairseq.importer import read_fairseq


def reasons_of(path, source=None, target=None) -> tuple[str, ...]:
    with pytest.raises(UnsupportedModel) as caught:
        read_fairseq(path, source, target)
    return caught.value.reasons


def test_languages_are_the_options_own_or_the_users(fairseq):
    """Codes of files that are no tags are named by --from and --to."""
    model = fairseq(source_lang="in", target_lang="complexword")
    path = model.write()

    assert "name them with --to" in reasons_of(path)[0]
    assert read_fairseq(path, None, "zh").pairs == (LanguagePair("id", "zh"),)


def multilingual(fairseq, **options):
    """A model of three languages, whose tokens follow the dictionary."""
    model = fairseq(
        share_all_embeddings=True,
        **{"lang_pairs": "de-en,en-de,en-pt", "langs": ["de", "en", "pt"], "decoder_langtok": True, **options},
    )
    model.options |= {"task": "translation_multi_simple_epoch", "source_lang": None, "target_lang": None}
    (model.folder / "dict.en.txt").unlink()
    lines = (model.folder / "dict.de.txt").read_text(encoding="utf-8").splitlines()
    also = 3 + (model.options.get("lang_tok_style") == "mbart")
    (model.folder / "dict.de.txt").rename(model.folder / "dict.txt")
    (model.folder / "dict.txt").write_text("\n".join(lines[:-also]) + "\n", encoding="utf-8")
    return model


@pytest.mark.parametrize(
    ("before", "prefix"), [("src", ("source",)), ("tgt", ("target",)), (None, ())], ids=["src", "tgt", "none"]
)
@pytest.mark.parametrize("style", ["multilingual", "mbart"])
def test_language_tokens(fairseq, before, prefix, style):
    """Tokens behind the dictionary, in the order of the options; before the text as trained, first in a translation."""
    model = multilingual(fairseq, encoder_langtok=before, lang_tok_style=style)

    checkpoint = read_fairseq(model.write(), None, None)

    tokenizer, rows = checkpoint.tokenizer, len(model.tensors["encoder.embed_tokens.weight"])
    first = rows - 3 - (style == "mbart")
    assert tokenizer.prefix == prefix
    assert tokenizer.forced_first == "target"
    assert tokenizer.target_languages == {"de": (first,), "en": (first + 1,), "pt": (first + 2,)}
    assert set(range(first, rows)) < set(tokenizer.hidden_ids)
    assert {str(pair) for pair in checkpoint.pairs} == {"de-en", "en-de", "en-pt"}


def test_one_direction_of_several(fairseq):
    """--from and --to restrict the bundle; a direction that was not trained is refused."""
    path = multilingual(fairseq).write()

    checkpoint = read_fairseq(path, "en", "pt")

    assert checkpoint.pairs == (LanguagePair("en", "pt"),)
    assert checkpoint.tokenizer.target_languages.keys() == {"pt"}
    assert "was not trained to translate pt into de" in reasons_of(path, "pt", "de")[0]
    assert "--to fr: the model has no such language" in reasons_of(path, None, "fr")[0]


def test_languages_from_a_list_or_from_the_pairs(fairseq):
    """Where the options do not list them, a file beside the checkpoint does, or the pairs in the order of letters."""
    model = multilingual(fairseq, langs=None)
    by_pairs = read_fairseq(model.write(), None, None).tokenizer.target_languages
    model.options["lang_dict"] = "/somewhere/else/langs_dict.txt"
    (model.folder / "langs_dict.txt").write_text("pt\nen\nde\n")

    by_list = read_fairseq(model.write(name="other.pt"), None, None)

    assert [ids for _, ids in sorted(by_pairs.items())] == [(28,), (29,), (30,)]
    assert [ids for _, ids in sorted(by_list.tokenizer.target_languages.items())] == [(30,), (29,), (28,)]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"encoder_langtok": "own"}, "encoder_langtok must be src or tgt"),
        ({"lang_tok_style": "own"}, "lang_tok_style must be one of multilingual, mbart"),
        ({"lang_tok_replacing_bos_eos": True}, "languages in the place of </s>"),
        ({"langtoks_specs": ["main", "mono_dae"]}, "langtoks_specs must be main"),
        ({"langs": None, "lang_pairs": None}, "does not say its languages"),
        ({"langs": None, "lang_dict": "gone.txt"}, "gone.txt, the list of languages, cannot be read"),
    ],
)
def test_multilingual_options_that_are_refused(fairseq, options, said):
    """By name."""
    assert any(said in reason for reason in reasons_of(multilingual(fairseq, **options).write()))


def test_a_vocabulary_for_each_language_is_refused(fairseq):
    """All dictionaries of a multilingual model must be one."""
    model = multilingual(fairseq)
    (model.folder / "dict.pt.txt").write_text("other 1\n")

    assert any("the dictionaries differ" in reason for reason in reasons_of(model.write()))
