"""Text to ids and back."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from dragoman.bundle.manifest import Context, LanguagePair, Texts
from dragoman.bundle.reader import Bundle, hash_file
from dragoman.server.core.errors import StartError
from dragoman.server.text.tokenizer import MOST_SPARE, Tokenizer


@pytest.mark.parametrize("text", ["The dog.", "Zwölf Boxkämpfer", "日本語", "👩\u200d👧", "a\x00b", "x" * 5000])
def test_text_survives(tokenizer: Tokenizer, text: str) -> None:
    """With byte fallback, whatever goes in comes out; the end token is put at the end and nowhere else."""
    ids = tokenizer.encode(text)

    assert ids.index(tokenizer.eos_id) == len(ids) - 1
    assert tokenizer.decode(ids[:-1]) == text


@pytest.mark.parametrize("text", ["</s>", "a</s>b", "<unk>", "<s> <pad>", "<0x00>"])
def test_the_names_of_special_tokens_are_text(tokenizer: Tokenizer, text: str) -> None:
    """Nobody can end a source early or put control tokens into it by writing their names."""
    ids = tokenizer.encode(text)

    assert 0 not in ids[:-1]
    assert tokenizer.decode(ids[:-1]) == text


@pytest.mark.parametrize("text", ["", " ", "\u200b", "\ufeff", "\u2028"])
def test_nothing_readable_has_no_ids(tokenizer: Tokenizer, text: str) -> None:
    """Not even an end token, which a model would answer with an invention."""
    assert tokenizer.encode(text) == ()


def test_a_file_that_is_no_vocabulary_is_said_at_the_start(bundle: Bundle, tmp_path: Path) -> None:
    """With its path."""
    (tmp_path / "bad.spm").write_bytes(b"not a model")
    manifest = replace(
        bundle.manifest,
        tokenizer=replace(bundle.manifest.tokenizer, source="bad.spm"),
        files={**bundle.manifest.files, "bad.spm": hash_file(tmp_path / "bad.spm")},
    )

    with pytest.raises(StartError, match=r"bad\.spm is not a SentencePiece model"):
        Tokenizer(Bundle(manifest, tmp_path, ""))


@pytest.mark.parametrize("side", ["source", "target"])
def test_a_vocabulary_much_smaller_than_the_network_is_refused(bundle: Bundle, side: str) -> None:
    """It belongs to another model; a table that was filled up to a multiple, and control tokens, are no reason."""
    pieces = Tokenizer(bundle)._source.size

    def opened(size: int, **facts: object) -> Tokenizer:
        shape = replace(bundle.manifest.architecture, **{f"{side}_vocabulary": size})  # type: ignore[arg-type]
        tokenizer = replace(bundle.manifest.tokenizer, **facts)  # type: ignore[arg-type]
        return Tokenizer(replace(bundle, manifest=replace(bundle.manifest, architecture=shape, tokenizer=tokenizer)))

    opened(pieces + MOST_SPARE)
    opened(pieces + MOST_SPARE + 2, target_languages={"pt": (pieces + 5, 3)}, hidden_ids=(0, pieces))
    with pytest.raises(
        StartError, match=rf"has {pieces} pieces, and the network's {side} vocabulary has {pieces + 1025},"
    ):
        opened(pieces + MOST_SPARE + 1)


@pytest.mark.parametrize("side", ["source", "target"])
def test_a_vocabulary_larger_than_the_network_is_refused(bundle: Bundle, side: str) -> None:
    """Its last ids would be read from outside of the embedding; both numbers are named."""
    pieces = bundle.manifest.architecture.source_vocabulary
    shape = replace(bundle.manifest.architecture, **{f"{side}_vocabulary": 20})  # type: ignore[arg-type]
    manifest = replace(bundle.manifest, architecture=shape)

    with pytest.raises(StartError, match=rf"has \d+ pieces, and the network's {side} vocabulary has room for 20") as no:
        Tokenizer(replace(bundle, manifest=manifest))

    assert int(str(no.value).split(" has ")[1].split()[0]) <= pieces


def test_the_pair_decides_what_is_read_around_a_text(many: Bundle, tokenizer: Tokenizer) -> None:
    """And what the translation must begin with; nothing of it is ever shown."""
    told = Tokenizer(many)
    text = tokenizer.encode("The dog.")

    assert told.encode("The dog.", LanguagePair("en", "pt")) == (390, 5, 391, *text)
    assert told.encode("The dog.", LanguagePair("zh-Hant", "en")) == (392, 5, 390, *text)
    assert told.encode("", LanguagePair("en", "pt")) == ()
    assert told.forced(LanguagePair("en", "pt")) == (391,)
    assert told.decode((391, *text[:-1], 0, 390)) == "The dog."


def test_what_follows_the_end_token(many: Bundle, tokenizer: Tokenizer) -> None:
    """Language tokens may stand there too, and the first target token may be the same for all."""
    facts = replace(many.manifest.tokenizer, prefix=(), suffix=("source",), forced_first=7)
    told = Tokenizer(replace(many, manifest=replace(many.manifest, tokenizer=facts)))

    assert told.encode("The dog.", LanguagePair("en", "pt")) == (*tokenizer.encode("The dog."), 390)
    assert told.forced(LanguagePair("en", "pt")) == (7,)
    assert tokenizer.forced() == ()


def test_a_model_may_read_no_end_token(many: Bundle, tokenizer: Tokenizer) -> None:
    """What stands around the text stays, and each id has its place as before."""
    facts = replace(many.manifest.tokenizer, source_end=False, suffix=("source",), prefix=())
    endless = Tokenizer(replace(many, manifest=replace(many.manifest, tokenizer=facts)))
    pair = LanguagePair("en", "pt")

    ids = endless.encode("The dog.", pair)

    assert ids == (*tokenizer.encode("The dog.")[:-1], *facts.source_languages["en"])
    assert endless.encode("", pair) == ()
    assert len(endless.source_spans("The dog.", pair)) == len(ids) - 1


def test_what_comes_before_a_text_is_read_behind_its_languages(many: Bundle, tokenizer: Tokenizer) -> None:
    """The nearest of it, then the separator, and it stands for none of the text; nothing is read of no words."""
    reading = replace(many.manifest, texts=Texts(context=Context((7,), 2)))
    told, pair = Tokenizer(replace(many, manifest=reading)), LanguagePair("en", "pt")
    text = tokenizer.encode("The dog.")

    context = told.encode_context("a lazy fox", 16)
    behind = told.behind(context)

    assert context == (*tokenizer.encode("a lazy fox")[-3:-1], 7)
    assert behind.encode("The dog.", pair) == (390, 5, 391, *context, *text)
    assert behind.source_spans("The dog.", pair)[:6] == (None,) * 6
    assert behind.source_spans("The dog.", pair)[6:] == told.source_spans("The dog.", pair)[3:]
    assert behind.encode_beginning("The dog.", pair, 8)[:6] == (390, 5, 391, *context)
    assert told.encode_context("x" * 100_000 + " lazy fox", 16) == context
    assert behind.encode("", pair) == ()
    assert [told.encode_context("a lazy fox", most) for most in (3, 2, 1, 0)] == [context, context[1:], (), ()]
    assert told.behind(told.encode_context(" ", 16)) is told
    assert (told.reads_context, tokenizer.reads_context) == (True, False)


def test_what_is_put_around_a_text_stands_for_none_of_it(many: Bundle, tokenizer: Tokenizer) -> None:
    """Each id up to the end token has a place, a language's an empty one; nor do languages add to what is shown."""
    told, pair = Tokenizer(many), LanguagePair("en", "pt")
    text = "The dog."
    ids = tokenizer.encode_target(text)

    assert told.source_spans(text, pair) == (None, None, None, *tokenizer.source_spans(text))
    assert told.surfaces((391, *ids, 390)) == ("", *tokenizer.surfaces(ids), "")
    assert [told.is_hidden(one) for one in (391, ids[0])] == [True, False]
    assert told.token(ids[0]) == tokenizer.token(ids[0])


def test_control_tokens_that_a_table_does_not_list_have_names(many: Bundle, tmp_path: Path) -> None:
    """So that each of a translation's tokens can be told."""
    (tmp_path / "t.json").write_text(json.dumps({"T": 8}))
    (tmp_path / "vocabulary.spm").write_bytes(many.path("vocabulary.spm").read_bytes())
    names = {"source_vocabulary": "t.json", "target_vocabulary": "t.json"}
    facts = replace(many.manifest.tokenizer, kind="sentencepiece-vocabulary", **names)  # type: ignore[arg-type]
    files = {**many.manifest.files, "t.json": hash_file(tmp_path / "t.json")}
    told = Tokenizer(Bundle(replace(many.manifest, tokenizer=facts, files=files), tmp_path, ""))

    assert [told.token(one) for one in (0, 1, 8, 392, 7)] == ["</s>", "<unk>", "T", "<zh-Hant>", "<7>"]
    assert (told.token_id("T"), told.token_id("<zh-Hant>")) == (8, None)
