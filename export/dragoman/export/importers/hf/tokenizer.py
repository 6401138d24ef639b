"""Read the tokenizer of a Hugging Face directory: its vocabulary, and what its model reads around a text.

    family                files, the first that is there           the encoder reads           translations begin with
    MarianMT              source.spm target.spm vocab.json         [>>xx<<] text </s>          anything
    M2M100                sentencepiece.bpe.model vocab.json       __xx__ text </s>            the target language
    NLLB                  tokenizer.json, sentencepiece.bpe.model  xxx_Xxxx text </s>          the target language
    mBART                 the same                                 text </s> xx_XX             anything
    mBART-50              the same                                 xx_XX text </s>             the target language
    BART, MVP             tokenizer.json, vocab.json merges.txt    <s> text </s>               forced_bos_token_id
    PLBART                tokenizer.json, sentencepiece.bpe.model  text </s> __xx__            anything, the target
    Blenderbot            tokenizer.json, vocab.json merges.txt    text </s>                   anything
    pairs of BERTs        tokenizer.json, vocab.txt                [CLS] text [SEP]            anything
    of RoBERTas           those of BART, or of XLM-RoBERTa         <s> text </s>               anything
    of BertGenerations    tokenizer.json, spiece.model             text                        anything
    T5Gemma               tokenizer.json, tokenizer.model          <bos> text                  anything
    Blenderbot Small      vocab.json merges.txt                    text                        anything
    FSMT                  vocab-src.json vocab-tgt.json merges.txt text </s>                  anything
    T5, mT5, UMT5, Pegasus tokenizer.json, spiece.model             [task or <2xx>] text </s>   anything

The directory's own file decides: where there is a `tokenizer.json` for a family that uses one, ids are those that the
tokenizers library gives with it, else those of SentencePiece. Names of special tokens in a text are text: what
`transformers` does with `split_special_tokens=True`.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dragoman.bundle.manifest import LanguagePair, Tokenizer
from dragoman.export.core.reasons import Reasons, short
from dragoman.export.importers.hf.directory import Directory
from dragoman.export.importers.hf.families import PAIRS, VOCABULARIES, family_of
from dragoman.export.importers.hf.frame import read_frame
from dragoman.export.importers.hf.vocabulary import Side, Vocabulary

UNKNOWN = ("<unk>", "__unk__", "[UNK]")
"""What families call the word that stands for what they have no other for."""


@dataclass(frozen=True)
class TokenizerSource:
    """What a directory says about text and languages."""

    tokenizer: Tokenizer
    files: dict[str, Path | bytes]
    """Name inside the bundle -> what it holds."""
    pairs: tuple[LanguagePair, ...]
    """Empty where the tokenizer's languages say it."""
    read: tuple[Path, ...]
    """Every file that was read."""
    notes: tuple[str, ...] = ()


def read_tokenizer(
    path: Path, config: dict[str, Any], *, source: str | None = None, target: str | None = None
) -> TokenizerSource:
    """The tokenizer in the directory `path`, whose `config.json` holds `config`.

    `source` and `target` are BCP-47 tags: of a model for one pair, its languages, where the directory does not say
    them; of a multilingual model, the only ones that the bundle is to have. Raises `UnsupportedModel` with all reasons.
    """
    directory = Directory(path, config, Reasons())
    reasons = directory.reasons
    family = family_of(directory)
    vocabulary = VOCABULARIES[family](directory) if family else None
    reasons.raise_if_any(path)
    assert family is not None, "an unknown family has a reason"
    assert vocabulary is not None, "a vocabulary that is not read has a reason"
    frame = read_frame(family, directory, vocabulary, source, target)
    ids = {name: directory.number(f"{name}_token_id") for name in ("eos", "decoder_start")}
    if family in (*PAIRS.values(), "plbart", "t5gemma") and ids["decoder_start"] is None:
        ids["decoder_start"] = directory.number("bos_token_id")
    for name, index in ids.items():
        reasons.require(index is not None, f"neither generation_config.json nor config.json has a {name}_token_id")
    reasons.raise_if_any(path)
    eos, start = ids["eos"], ids["decoder_start"]
    assert eos is not None, "checked above"
    assert start is not None, "checked above"
    tokenizer = Tokenizer(
        kind=vocabulary.kind,
        source=vocabulary.source_file,
        target=vocabulary.target_file,
        eos_id=eos,
        unk_id=_unknown(vocabulary.source),
        start_id=start,
        suppressed_ids=_suppressed(directory),
        source_vocabulary=vocabulary.tables[0],
        target_vocabulary=vocabulary.tables[1],
        prefix=frame.prefix,
        suffix=frame.suffix,
        forced_first=frame.forced_first,
        source_languages=frame.sources,
        target_languages=frame.targets,
        source_end=frame.source_end and vocabulary.ends_source,
        hidden_ids=tuple(sorted({eos, *vocabulary.target.ids_of(vocabulary.target.special)})),
    )
    _check_sizes(directory, vocabulary, tokenizer)
    reasons.raise_if_any(path)
    read = (*directory.read, *vocabulary.read)
    return TokenizerSource(
        tokenizer, vocabulary.files, frame.pairs, read, (*frame.notes, *_notes(directory, vocabulary))
    )


def _unknown(side: Side) -> int:
    # A byte-level vocabulary has no unknown word; then any token that never stands for text will do.
    unknown = next((token for token in UNKNOWN if token in side.ids), None)
    return min(side.ids_of(side.special), default=0) if unknown is None else side.ids[unknown]


def _suppressed(directory: Directory) -> tuple[int, ...]:
    """Single ids among the words that the settings forbid."""
    words = directory.generation.get("bad_words_ids") or []
    if not isinstance(words, list) or not all(isinstance(word, list) for word in words):
        directory.reasons.add(f"bad_words_ids must be a list of lists of ids, it is {short(words)}")
        return ()
    several = [word for word in words if len(word) != 1]
    if several:
        directory.reasons.add(f"bad_words_ids has words of several ids, which cannot be suppressed: {short(several)}")
    return tuple(sorted({word[0] for word in words if len(word) == 1 and type(word[0]) is int}))


def _check_sizes(directory: Directory, vocabulary: Vocabulary, tokenizer: Tokenizer) -> None:
    config, words = directory.config, directory.config.get("vocab_size")
    rows = config.get("src_vocab_size", words), config.get("decoder_vocab_size") or config.get("tgt_vocab_size", words)
    around = [index for index in (*tokenizer.prefix, *tokenizer.suffix, tokenizer.forced_first) if type(index) is int]
    languages = [index for ids in tokenizer.source_languages.values() for index in ids]
    languages += [index for ids in tokenizer.target_languages.values() for index in ids]
    for name, side, most in zip(("source", "target"), (vocabulary.source, vocabulary.target), rows, strict=True):
        if type(most) is not int:
            directory.reasons.add(f"config.json has no vocab_size, it says {short(most)}")
            return
        needed = max(side.reachable(), 1 + max((*around, *languages, tokenizer.eos_id), default=0))
        if needed > most:
            directory.reasons.add(
                f"the tokenizer has ids up to {needed - 1}, and the {name} embedding has {most} rows (vocab_size): the "
                "tokenizer belongs to another model; put the one beside the weights that they were trained with"
            )


def _notes(directory: Directory, vocabulary: Vocabulary) -> Iterable[str]:
    yield from vocabulary.notes
    if directory.settings.get("clean_up_tokenization_spaces") is True:
        yield "spaces before punctuation are kept as the model puts them, though its tokenizer asks to remove them"
