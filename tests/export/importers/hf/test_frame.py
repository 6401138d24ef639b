"""What a model reads around a text, and its languages."""

import json
from pathlib import Path
from typing import Any

import pytest
from sentencepiece import SentencePieceProcessor, SentencePieceTrainer
from tokenizers import Tokenizer as FastTokenizer
from tokenizers import models, pre_tokenizers

from dragoman.bundle.manifest import LanguagePair
from dragoman.export.core.errors import UnsupportedModel
from dragoman.export.importers.hf.bert import flattened
from dragoman.export.importers.hf.tokenizer import read_tokenizer

CORPUS = [
    "translate English to German: The quick brown fox jumps over the lazy dog.",
    "Pack my box with five dozen liquor jugs!",
]


T5 = {"model_type": "t5", "vocab_size": 500, "eos_token_id": 1, "decoder_start_token_id": 0}


MANY = {"model_type": "m2m_100", "vocab_size": 500, "eos_token_id": 2, "decoder_start_token_id": 2}


def spm(path: Path, **options: Any) -> SentencePieceProcessor:
    defaults = {"vocab_size": 120, "hard_vocab_limit": False, "minloglevel": 2}
    with path.open("wb") as file:
        SentencePieceTrainer.train(sentence_iterator=iter(CORPUS * 4), model_writer=file, **(defaults | options))
    return SentencePieceProcessor(model_file=str(path))


@pytest.fixture
def plain_t5(tmp_path: Path) -> Path:
    folder = tmp_path / "plain-t5"
    folder.mkdir()
    spm(folder / "spiece.model", pad_id=0, eos_id=1, unk_id=2, bos_id=-1)
    return folder


@pytest.fixture
def nllb_folder(tmp_path: Path) -> Path:
    """A tokenizer.json with four languages, and all that may be in one: template, truncation, padding."""
    folder = tmp_path / "nllb"
    folder.mkdir()
    words = ["<s>", "<pad>", "</s>", "<unk>", "\u2581", *"abcdefghijklmnopqrstuvwxyz"]
    fast = FastTokenizer(models.Unigram([(word, 0.0 if word[0] == "<" else -2.0) for word in words], unk_id=3))
    fast.pre_tokenizer = pre_tokenizers.Metaspace()
    fast.add_special_tokens([*words[:4], "eng_Latn", "por_Latn", "zho_Hans", "zho_Hant", "<mask>"])
    fast.enable_truncation(5)
    fast.enable_padding(length=8)
    fast.save(str(folder / "tokenizer.json"))
    return folder


def reasons_of(path: Path, config: dict[str, Any], **asked: str) -> tuple[str, ...]:
    with pytest.raises(UnsupportedModel) as refused:
        read_tokenizer(path, config, **asked)
    return refused.value.reasons


def test_all_languages_of_a_multilingual_model_come_along(nllb_folder: Path) -> None:
    """Under the tags that people write, and without a list of all pairs."""
    source = read_tokenizer(nllb_folder, MANY)
    facts = source.tokenizer

    assert source.pairs == ()
    assert {"en", "pt", "zh", "zh-Hans", "zh-Hant", "zh-TW"} <= facts.source_languages.keys()
    assert facts.source_languages == facts.target_languages
    assert facts.source_languages["en"] == (31,)
    assert facts.source_languages["zh"] == facts.source_languages["zh-Hans"] != facts.source_languages["zh-TW"]
    assert (facts.prefix, facts.suffix, facts.forced_first) == (("source",), (), "target")
    assert {0, 1, 2, 3, 31, 32, 33, 34, 35} == set(facts.hidden_ids)


def test_a_bundle_can_be_for_some_languages_only(nllb_folder: Path) -> None:
    """Either side by itself; a language that the model lacks is refused with those that it has."""
    facts = read_tokenizer(nllb_folder, MANY, source="pt", target="zh-Hant").tokenizer

    assert (set(facts.source_languages), set(facts.target_languages)) == ({"pt"}, {"zh-Hant"})
    assert len(read_tokenizer(nllb_folder, MANY, target="pt").tokenizer.source_languages) > 4
    [reason] = reasons_of(nllb_folder, MANY, source="xx")
    assert "--from xx: the model has no such language, it has en, pt, zh" in reason


def test_a_target_that_the_settings_force_is_the_only_one(nllb_folder: Path) -> None:
    """As in models that were trained into one language."""
    (nllb_folder / "generation_config.json").write_text(json.dumps(MANY | {"forced_bos_token_id": 32}), "utf-8")

    assert set(read_tokenizer(nllb_folder, MANY).tokenizer.target_languages) == {"pt"}


def test_prompts_of_t5_become_ids(plain_t5: Path) -> None:
    """Those for translation; the prompt and the text have the ids that they have together."""
    tasks = {
        "summarization": {"prefix": "summarize: "},
        "translation_en_to_de": {"prefix": "translate English to German: "},
        "translation_en_to_fr": {"prefix": "translate English to French: "},
    }
    source = read_tokenizer(plain_t5, T5 | {"task_specific_params": tasks})
    processor = SentencePieceProcessor(model_file=str(plain_t5 / "spiece.model"))

    assert set(source.tokenizer.source_languages) == {"en"}
    assert set(source.tokenizer.target_languages) == {"de", "fr"}
    together = processor.encode("translate English to German: The dog.")
    assert [*source.tokenizer.target_languages["de"], *processor.encode("The dog.")] == together

    other = read_tokenizer(plain_t5, T5 | {"task_specific_params": tasks}, source="en", target="pt")
    assert (other.pairs, other.tokenizer.prefix) == ((LanguagePair("en", "pt"),), ())
    assert "prompts for other languages only" in other.notes[0]


def test_a_model_for_one_pair_needs_its_names(plain_t5: Path) -> None:
    """From the arguments, the tokenizer's settings, or the folder."""
    assert "name them with --from and --to" in reasons_of(plain_t5, T5)[0]
    assert "name them with --to" in reasons_of(plain_t5, T5, source="de")[0]
    assert read_tokenizer(plain_t5, T5, source="de", target="en").pairs == (LanguagePair("de", "en"),)
    settings = {"source_lang": "eng", "target_lang": "pt_BR"}
    (plain_t5 / "tokenizer_config.json").write_text(json.dumps(settings), "utf-8")
    assert read_tokenizer(plain_t5, T5).pairs == (LanguagePair("en", "pt-BR"),)


@pytest.fixture
def plbart_folder(tmp_path: Path) -> Path:
    folder = tmp_path / "plbart"
    folder.mkdir()
    spm(folder / "sentencepiece.bpe.model")
    (folder / "tokenizer_config.json").write_text(json.dumps({"language_codes": "multi", "src_lang": "java"}), "utf-8")
    return folder


def test_a_pair_reads_a_separator_that_may_be_no_end(tmp_path: Path) -> None:
    """The tokenizer names what stands around a text; where the decoder ends with another word, none ends a source."""
    words = ["[PAD]", "[UNK]", "(", ")", "[MASK]", *"abc"]
    (tmp_path / "vocab.txt").write_text("\n".join(words) + "\n", "utf-8")
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({"cls_token": "(", "sep_token": {"content": ")"}}))
    sides = {side: {"model_type": "bert", "vocab_size": 8} for side in ("encoder", "decoder")}
    config = flattened({"model_type": "encoder-decoder", **sides, "eos_token_id": 3, "decoder_start_token_id": 2})

    same = read_tokenizer(tmp_path, config, source="en", target="pt").tokenizer
    assert (same.prefix, same.source_end, same.suffix, same.unk_id) == ((2,), True, (), 1)

    other = read_tokenizer(tmp_path, config | {"eos_token_id": 4}, source="en", target="pt").tokenizer
    assert (other.prefix, other.source_end, other.suffix) == ((2,), False, (3,))

    (tmp_path / "tokenizer_config.json").write_text("{}")
    assert reasons_of(tmp_path, config, source="en", target="pt") == (
        "the tokenizer has no '[CLS]'",
        "the tokenizer has no '[SEP]'",
    )


PLBART = {"model_type": "plbart", "vocab_size": 500, "eos_token_id": 2, "bos_token_id": 0}


def test_plbart_starts_with_the_target_language_or_says_it_first(plbart_folder: Path) -> None:
    """Its settings say which of both; the source follows the text, and programming languages have private tags."""
    every = read_tokenizer(plbart_folder, PLBART).tokenizer
    assert (every.start_id, every.forced_first, every.prefix, every.suffix) == (0, "target", (), ("source",))
    assert set(every.source_languages) == {"x-java"}
    assert {"en", "x-java", "x-python", "x-go"} < set(every.target_languages)
    assert set(read_tokenizer(plbart_folder, PLBART, source="x-go").tokenizer.source_languages) == {"x-go"}

    [english] = every.target_languages["en"]
    started = read_tokenizer(plbart_folder, PLBART | {"decoder_start_token_id": english}).tokenizer
    assert (started.start_id, started.forced_first, set(started.target_languages)) == (english, None, {"en"})

    forced = read_tokenizer(plbart_folder, PLBART | {"forced_bos_token_id": english}).tokenizer
    assert (forced.start_id, forced.forced_first, set(forced.target_languages)) == (0, "target", {"en"})


def test_what_plbart_calls_its_languages_must_be_known(plbart_folder: Path) -> None:
    """Two lists of them exist, by name."""
    (plbart_folder / "tokenizer_config.json").write_text(json.dumps({"language_codes": "most"}), "utf-8")

    [reason] = reasons_of(plbart_folder, PLBART)

    assert reason == "language_codes must be one of base, multi, the tokenizer says 'most'"
