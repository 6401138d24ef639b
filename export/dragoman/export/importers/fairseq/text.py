"""A fairseq model's dictionaries, subwords and languages, from the files that lie beside its checkpoint.

    task                                dictionaries                        the encoder reads        translations begin
    translation                         dict.SRC.txt dict.TGT.txt           text </s>                with anything
    translation_lev, of NAT models      the same                            <s> text </s>            with anything
    translation_multi_simple_epoch      dict.*.txt, all alike, and the      [language] text </s>     [with the target
                                        languages' tokens behind them                                language's token]

fairseq numbers subwords that other programs made. So it depends on what lies there: a SentencePiece model, or the
merges of subword-nmt or fastBPE, whose pieces end in `@@` where a word goes on, over the words of Moses' rules.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from dragoman.bundle.manifest import LanguagePair, Slot, Tokenizer
from dragoman.export.core.reasons import Reasons, short
from dragoman.export.importers.fairseq.dictionary import (
    BEGIN_ID,
    END_ID,
    OWN,
    PAD_ID,
    UNKNOWN_ID,
    Dictionary,
    dictionaries,
    read_dictionary,
)
from dragoman.export.importers.fairseq.pickle import Options
from dragoman.export.importers.fairseq.subwords import Subwords, read_subwords
from dragoman.export.importers.files.language_tags import tag_of, tags_of
from dragoman.export.importers.files.word_tables import Cut

MULTILINGUAL = "translation_multi_simple_epoch"
BOTH_ENDS = "translation_lev"
"""This task, and others whose names begin so, put <s> before both sides."""
MASK = "<mask>"
MOST_PAIRS = 64
"""Listed one by one; a model of more translates each of its languages into each other."""
TOKENS_BEFORE: dict[str, Slot] = {"src": "source", "tgt": "target"}
"""What `encoder_langtok` puts before a text."""
STYLES = {"multilingual": "__{}__", "mbart": "[{}]"}


@dataclass(frozen=True)
class TextFiles:
    """What lies beside a checkpoint: how text becomes ids."""

    tokenizer: Tokenizer
    files: dict[str, Path | bytes]
    """Name inside the bundle -> what it holds."""
    pairs: tuple[LanguagePair, ...]
    """Empty where the tokenizer's languages say it."""
    rows: tuple[int, int]
    """Words of the dictionaries, which the embeddings must have."""
    words: tuple[str, ...]
    """The target's words."""
    read: tuple[Path, ...]
    notes: tuple[str, ...]


def read_text(
    folder: Path, options: Options, source: str | None, target: str | None, reasons: Reasons, words: Cut | None = None
) -> TextFiles | None:
    """Read what lies in `folder`; None when there is a reason against it. `source` and `target` are BCP-47 tags, and
    `words` says how texts become words of dictionaries that have no subwords.
    """
    before = len(reasons)
    if options.task == MULTILINGUAL:
        text = _multilingual(folder, options, source, target, reasons, words)
    elif options.task == "translation" or options.task.startswith(BOTH_ENDS):
        text = _bilingual(folder, options, source, target, reasons, words)
    else:
        reasons.add(f"the task {short(options.task)} reads texts in a way of its own, which is not known")
        return None
    return text if len(reasons) == before else None


def _bilingual(
    folder: Path, options: Options, source: str | None, target: str | None, reasons: Reasons, words: Cut | None
) -> TextFiles | None:
    files = dictionaries(folder)
    codes = [
        options.word(f"{side}_lang") or next((code for code in files if code and tag_of(code) == tag), "")
        for side, tag in (("source", source), ("target", target))
    ]
    tags = [asked or tag_of(code) for asked, code in zip((source, target), codes, strict=True)]
    unknown = " and ".join(flag for flag, tag in zip(("--from", "--to"), tags, strict=True) if tag is None)
    reasons.require(not unknown, f"the checkpoint does not say its languages: name them with {unknown}")
    read = {}
    for code in dict.fromkeys(codes):
        path = folder / f"dict.{code}.txt" if code and Path(code).name == code else folder / "dict.txt"
        if not path.is_file():
            reasons.add(f"{path.name} is missing: put the dictionaries of the training beside the checkpoint")
        else:
            read[code] = read_dictionary(path, reasons)
    sides = [read.get(code) for code in codes]
    first, second = sides
    if first is None or second is None or unknown:
        return None
    pair = LanguagePair(str(tags[0]), str(tags[1]))
    subwords = read_subwords(folder, (first, second), (codes[0], codes[1]), frozenset(OWN), reasons, words)
    if subwords is None:
        return None
    begin = (BEGIN_ID,) if options.task.startswith(BOTH_ENDS) else ()
    return _text(subwords, (first, second), prefix=begin, pairs=(pair,))


def _multilingual(
    folder: Path, options: Options, source: str | None, target: str | None, reasons: Reasons, words: Cut | None
) -> TextFiles | None:
    codes = _codes(folder, options, reasons)
    style = STYLES.get(options.word("lang_tok_style", "multilingual"))
    _check_tokens(options, style, reasons)
    if style is None or not codes:
        return None
    tokens = {code: style.format(code) for code in codes}
    also = [*tokens.values(), *([MASK] if style == STYLES["mbart"] else [])]
    both = _shared_dictionary(folder, options, also, reasons)
    special = frozenset((*OWN, MASK, *tokens.values()))
    subwords = None if both is None else read_subwords(folder, (both, both), ("", ""), special, reasons, words)
    if both is None or subwords is None:
        return None
    reasons.require(
        subwords.kind != "moses-fastbpe", "Moses' rules are for one pair of languages, and this model has more"
    )
    ids, before = both.ids, TOKENS_BEFORE.get(options.word("encoder_langtok"))
    tables: dict[str, tuple[int, ...]] = {tag: (ids[tokens[code]],) for tag, code in tags_of(codes).items()}
    text = _text(
        subwords,
        (both, both),
        prefix=() if before is None else (before,),
        pairs=_pairs(options, codes),
        special=[ids[token] for token in special if token in ids],
    )
    tokenizer = replace(
        text.tokenizer,
        forced_first="target" if options.flag("decoder_langtok") else None,
        source_languages=tables,
        target_languages=tables,
    )
    return _restricted(replace(text, tokenizer=tokenizer), source, target, reasons)


def _check_tokens(options: Options, style: str | None, reasons: Reasons) -> None:
    """Note a reason where the model is told its languages in a way that is not known."""
    reasons.require(style, f"lang_tok_style must be one of {', '.join(STYLES)}")
    reasons.require(
        not options.flag("lang_tok_replacing_bos_eos"), "lang_tok_replacing_bos_eos: languages in the place of </s>"
    )
    before, specs = options.word("encoder_langtok"), options.raw("langtoks_specs")
    reasons.require(before in ("", *TOKENS_BEFORE), f"encoder_langtok must be src or tgt, it is {short(before)}")
    reasons.require(specs in (None, "main", ["main"]), f"langtoks_specs must be main, it is {short(specs)}")


def _shared_dictionary(folder: Path, options: Options, also: list[str], reasons: Reasons) -> Dictionary | None:
    """The dictionary of all languages, which may lie there once for each."""
    listed = Path(options.word("lang_dict")).name
    files = [file for file in sorted(folder.glob("*dict*.txt")) if file.name != listed]
    reasons.require(files, "there is no dict.txt: put the dictionary of the training beside the checkpoint")
    read = [read_dictionary(file, reasons, also) for file in files]
    usable = [each for each in read if each is not None]
    are_alike = all(each.words == usable[0].words for each in usable)
    reasons.require(are_alike, "the dictionaries differ: a vocabulary for each language")
    return usable[0] if usable and len(usable) == len(files) else None


def _codes(folder: Path, options: Options, reasons: Reasons) -> list[str]:
    """fairseq's names of the languages, in the order of their tokens."""
    langs, pairs = options.raw("langs"), options.raw("lang_pairs")
    if options.word("lang_dict") and not langs:
        listed = folder / Path(options.word("lang_dict")).name
        try:
            langs = [line.strip() for line in listed.read_text(encoding="utf-8").splitlines() if line.strip()]
        except (OSError, UnicodeDecodeError) as error:
            reasons.add(f"{listed.name}, the list of languages, cannot be read: {error}")
            return []
    if not langs and pairs:
        langs = sorted({code for pair in _listed(pairs) for code in pair.split("-")})
    codes = _listed(langs)
    reasons.require(codes, "the checkpoint does not say its languages (langs, lang_pairs)")
    return codes


def _listed(value: object) -> list[str]:
    """The names in `a,b` or `["a", "b"]`."""
    if isinstance(value, str):
        return [part for part in value.split(",") if part]
    return [str(part) for part in value] if isinstance(value, list) else []


def _pairs(options: Options, codes: list[str]) -> tuple[LanguagePair, ...]:
    """The directions that the model was trained in, where they are few and not all."""
    listed = [tuple(pair.split("-")) for pair in _listed(options.raw("lang_pairs"))]
    tags = {code: tag_of(code) for code in codes}
    named = [(tags.get(pair[0]), tags.get(pair[1])) for pair in listed if len(pair) == 2]
    pairs = tuple(
        dict.fromkeys(
            LanguagePair(source, target) for source, target in named if source and target and source != target
        )
    )
    return pairs if len(pairs) <= MOST_PAIRS and len(pairs) < len(codes) * (len(codes) - 1) else ()


def _restricted(text: TextFiles, source: str | None, target: str | None, reasons: Reasons) -> TextFiles:
    """Only the languages that the user wants the bundle to have."""
    tokenizer = text.tokenizer
    for tag, flag in ((source, "--from"), (target, "--to")):
        if tag is not None and tag not in tokenizer.source_languages:
            known = ", ".join(sorted(tokenizer.source_languages))
            reasons.add(f"{flag} {tag}: the model has no such language, it has {known}")
    if len(reasons):
        return text
    if source is not None:
        tokenizer = replace(tokenizer, source_languages={source: tokenizer.source_languages[source]})
    if target is not None:
        tokenizer = replace(tokenizer, target_languages={target: tokenizer.target_languages[target]})
    pairs = tuple(p for p in text.pairs if source in (None, p.source) and target in (None, p.target))
    reasons.require(pairs or not text.pairs, f"the model was not trained to translate {source} into {target}")
    return replace(text, tokenizer=tokenizer, pairs=pairs)


def _text(
    subwords: Subwords,
    sides: tuple[Dictionary, Dictionary],
    *,
    prefix: tuple[int | Slot, ...],
    pairs: tuple[LanguagePair, ...],
    special: Iterable[int] = (),
) -> TextFiles:
    tokenizer = Tokenizer(
        kind=subwords.kind,
        source=subwords.models[0],
        target=subwords.models[1],
        eos_id=END_ID,
        unk_id=UNKNOWN_ID,
        start_id=END_ID,
        suppressed_ids=(PAD_ID,),
        source_vocabulary=subwords.tables[0],
        target_vocabulary=subwords.tables[1],
        prefix=prefix,
        hidden_ids=tuple(sorted({*range(len(OWN)), *special})),
    )
    read = tuple(dict.fromkeys((*(side.path for side in sides), *subwords.read)))
    return TextFiles(
        tokenizer, subwords.files, pairs, (len(sides[0]), len(sides[1])), sides[1].words, read, subwords.notes
    )
