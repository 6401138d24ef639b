"""The families of Hugging Face models, and where each keeps its vocabulary and its language tokens."""

import re
from dataclasses import replace
from pathlib import Path

from dragoman.export.core.reasons import short
from dragoman.export.importers.hf import vocabulary as hf_vocabulary
from dragoman.export.importers.hf.directory import Directory
from dragoman.export.importers.hf.vocabulary import Side, Vocabulary

SPECIAL = ("<s>", "<pad>", "</s>", "<unk>", "<mask>")
PARLAI = ("__null__", "__start__", "__end__", "__unk__")
FAIRSEQ = {"<s>": 0, "<pad>": 1, "</s>": 2, "<unk>": 3}
"""mBART's and NLLB's first ids; a SentencePiece model's own pieces follow, shifted by one."""
M2M100 = (
    "af am ar ast az ba be bg bn br bs ca ceb cs cy da de el en es et fa ff fi fr fy ga gd gl gu ha he hi hr ht hu hy "
    "id ig ilo is it ja jv ka kk km kn ko lb lg ln lo lt lv mg mk ml mn mr ms my ne nl no ns oc or pa pl ps pt ro ru "
    "sd si sk sl so sq sr ss su sv sw ta th tl tn tr uk ur uz vi wo xh yi yo zh zu"
)
WMT21 = "en ha is ja cs ru zh de"
"""Codes of the languages of two checkpoints, in the order of their ids, which begin after the vocabulary."""

PLBART = {
    "base": ("__java__", "__python__", "__en_XX__", "<mask>"),
    "multi": ("__java__", "__python__", "__en_XX__", "__javascript__", "__php__", "__ruby__", "__go__"),
}
"""PLBART's tokens behind the pieces, by what its tokenizer calls them; `multi` has no mask."""

PAIRS = {
    "bert": "bert",
    "distilbert": "bert",
    "electra": "bert",
    "roberta": "roberta",
    "xlm-roberta": "xlm-roberta",
    "camembert": "camembert",
    "bert-generation": "bert-generation",
}
"""Encoders of pairs of stacks, and whose tokenizer they have."""
GEMMA = ("<pad>", "<eos>", "<bos>", "<unk>", "<mask>")
WORD_PIECES = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")

TOKENS = {
    "marian": re.compile(r">>(.+)<<"),
    "m2m100": re.compile(r"__(.+)__"),
    "nllb": re.compile(r"([a-z]{3}_[A-Z][a-z]{3})"),
    "mbart": re.compile(r"([a-z]{2,3}_[A-Z]{2})"),
    "mbart50": re.compile(r"([a-z]{2,3}_[A-Z]{2})"),
    "t5": re.compile(r"<2([A-Za-z_]{2,})>"),
    "plbart": re.compile(r"__([a-z]+(?:_XX)?)__"),
}


def languages(family: str, ids: dict[str, int]) -> dict[str, tuple[str, int]]:
    """The model's code of each language -> its token and id."""
    pattern = TOKENS.get(family)
    if pattern is None:
        return {}
    matches = ((pattern.fullmatch(token), token, index) for token, index in ids.items())
    return {match[1]: (token, index) for match, token, index in matches if match is not None}


def family_of(directory: Directory) -> str | None:
    """Which family's files to look for; None, with a reason, where it is none that can be read."""
    kind = directory.config.get("model_type")
    named = str(directory.settings.get("tokenizer_class", ""))
    if kind == "m2m_100":
        return "nllb" if "Nllb" in named or not directory.has("vocab.json") else "m2m100"
    if kind == "mbart":
        is_50 = "MBart50" in named or "pt_XX" in directory.extra_tokens()
        return "mbart50" if is_50 else "mbart"
    if kind == "encoder-decoder":
        return _family_of_pair(directory)
    family = {
        "mt5": "t5",
        "umt5": "t5",
        "longt5": "t5",
        "mvp": "bart",
        "led": "bart",
        "pegasus_x": "pegasus",
        "bigbird_pegasus": "pegasus",
    }.get(str(kind), str(kind))
    if family in VOCABULARIES and family not in PAIRS.values():
        return family
    others = {"m2m100", "nllb", "mbart50", *PAIRS.values()}
    able = ", ".join(
        sorted(
            {
                *VOCABULARIES,
                "m2m_100",
                "mt5",
                "umt5",
                "mvp",
                "led",
                "longt5",
                "pegasus_x",
                "bigbird_pegasus",
                "encoder-decoder",
            }
            - others
        )
    )
    directory.reasons.add(f"tokenizers of the model type {short(kind)} are not supported, only those of {able}")
    return None


def _family_of_pair(directory: Directory) -> str | None:
    """A pair of stacks has the tokenizer of its encoder."""
    encoder = directory.config.get("encoder")
    kind = encoder.get("model_type") if isinstance(encoder, dict) else None
    if isinstance(kind, str) and kind in PAIRS:
        return PAIRS[kind]
    able = ", ".join(PAIRS)
    directory.reasons.add(f"tokenizers of the encoder type {short(kind)} are not supported, only those of {able}")
    return None


def _marian(directory: Directory) -> Vocabulary | None:
    separate = bool(directory.settings.get("separate_vocabs")) or directory.has("target_vocab.json")
    files = directory.file("vocab.json"), directory.file("target_vocab.json" if separate else "vocab.json")
    models = directory.file("source.spm"), directory.file("target.spm")
    vocabulary = hf_vocabulary.sentencepiece_with_tables(
        models, files, lambda token: token in SPECIAL or TOKENS["marian"].fullmatch(token), directory.reasons
    )
    if vocabulary is not None and vocabulary.source.ids["</s>"] != vocabulary.target.ids["</s>"]:
        directory.reasons.add("vocab.json and target_vocab.json number </s> differently")
    return vocabulary


def _m2m100(directory: Directory) -> Vocabulary | None:
    models, tables = directory.file("sentencepiece.bpe.model"), directory.file("vocab.json")
    vocabulary = hf_vocabulary.sentencepiece_with_tables(
        (models, models), (tables, tables), SPECIAL.__contains__, directory.reasons
    )
    if vocabulary is None:
        return None
    codes = WMT21 if directory.settings.get("language_codes") == "wmt21" else M2M100
    after = {f"__{code}__": len(vocabulary.source.ids) + index for index, code in enumerate(codes.split())}
    languages = {token: directory.numbered.get(token, index) for token, index in after.items()}
    side = Side(vocabulary.source.ids | languages, vocabulary.source.special | languages.keys())
    return replace(vocabulary, source=side, target=side)


def _tokenizer_json_or(name: str, directory: Directory) -> Path | None:
    """The tokenizer.json if there is one; else the reason why the other file is needed, where that is missing too."""
    if directory.has("tokenizer.json"):
        return directory.file("tokenizer.json")
    if not directory.has(name):
        directory.reasons.add(
            f"there is neither tokenizer.json nor {name}: copy the tokenizer's files beside the weights"
        )
    return None


def _fairseq(directory: Directory) -> Vocabulary | None:
    name = "sentencepiece.bpe.model"
    if (path := _tokenizer_json_or(name, directory)) is not None:
        return hf_vocabulary.tokenizer_json(
            path, re.compile(r"[a-z]{2,3}_([A-Z]{2}|[A-Z][a-z]{3})").fullmatch, directory.reasons
        )
    if not directory.has(name):
        return None
    extra = [token for token in directory.extra_tokens() if token not in SPECIAL]
    if not extra:
        directory.reasons.add(
            f"{name} has no language tokens, and neither special_tokens_map.json nor tokenizer_config.json names any "
            "(additional_special_tokens): add one of them, or a tokenizer.json"
        )
        return None
    vocabulary = hf_vocabulary.sentencepiece_with_offset(directory.file(name), 1, FAIRSEQ, {}, directory.reasons)
    if vocabulary is None:
        return None
    return _behind(vocabulary, (*extra, "<mask>"), directory)


def _behind(vocabulary: Vocabulary, tokens: tuple[str, ...], directory: Directory) -> Vocabulary | None:
    """With special tokens behind the pieces, of which the model counts one more than SentencePiece does."""
    first = vocabulary.source.reachable()
    more = {token: directory.numbered.get(token, first + index) for index, token in enumerate(tokens)}
    [path] = vocabulary.read
    return hf_vocabulary.sentencepiece_with_offset(path, 1, FAIRSEQ, more, directory.reasons)


def _plbart(directory: Directory) -> Vocabulary | None:
    if directory.has("tokenizer.json"):
        path = directory.file("tokenizer.json")
        return hf_vocabulary.tokenizer_json(path, TOKENS["plbart"].fullmatch, directory.reasons)
    named = directory.settings.get("language_codes", "base")
    if named not in PLBART:
        directory.reasons.add(f"language_codes must be one of {', '.join(PLBART)}, the tokenizer says {short(named)}")
        return None
    path = directory.file("sentencepiece.bpe.model")
    vocabulary = hf_vocabulary.sentencepiece_with_offset(path, 1, FAIRSEQ, {}, directory.reasons)
    return None if vocabulary is None else _behind(vocabulary, PLBART[named], directory)


def _bart(directory: Directory, *, begins_with_space: bool = False) -> Vocabulary | None:
    if (path := _tokenizer_json_or("vocab.json", directory)) is not None:
        return hf_vocabulary.tokenizer_json(path, SPECIAL.__contains__, directory.reasons)
    if not directory.has("vocab.json"):
        return None
    files = directory.file("vocab.json"), directory.file("merges.txt")
    return hf_vocabulary.byte_level_bpe(*files, SPECIAL, directory.reasons, begins_with_space=begins_with_space)


def _blenderbot(directory: Directory) -> Vocabulary | None:
    begins_with_space = directory.settings.get("add_prefix_space", True) is not False
    return _bart(directory, begins_with_space=begins_with_space)


def _t5(directory: Directory) -> Vocabulary | None:
    if (path := _tokenizer_json_or("spiece.model", directory)) is not None:
        return hf_vocabulary.tokenizer_json(path, TOKENS["t5"].fullmatch, directory.reasons)
    if not directory.has("spiece.model"):
        return None
    vocabulary = hf_vocabulary.sentencepiece_alone(directory.file("spiece.model"), directory.reasons)
    if vocabulary is None:
        return None
    assert vocabulary.encode is not None, "made with a SentencePiece model"
    tokens = languages("t5", vocabulary.source.ids)
    spelt = [token for token, index in tokens.values() if index in vocabulary.encode(token)]
    notes = (
        (f"a text that contains {spelt[0]} is read as asking for that language, as the model's own",) if spelt else ()
    )
    side = _with_special(vocabulary.source, tokens)
    return replace(vocabulary, source=side, target=side, notes=notes)


def _pegasus(directory: Directory) -> Vocabulary | None:
    if (path := _tokenizer_json_or("spiece.model", directory)) is not None:
        return hf_vocabulary.tokenizer_json(path, re.compile(r"<(mask|unk)_\d+>").fullmatch, directory.reasons)
    if not directory.has("spiece.model"):
        return None
    offset = directory.settings.get("offset", 103)
    if type(offset) is not int or offset < 0:
        directory.reasons.add(f"offset must be a whole number from 0, tokenizer_config.json says {short(offset)}")
        return None
    fixed = {"<pad>": 0, "</s>": 1, "<unk>": 2 + offset}
    more = {f"<reserved_{index}>": index for index in range(2, 2 + offset)}
    return hf_vocabulary.sentencepiece_with_offset(
        directory.file("spiece.model"), offset, fixed, more, directory.reasons
    )


def _fsmt(directory: Directory) -> Vocabulary | None:
    if directory.settings.get("do_lower_case"):
        directory.reasons.add("do_lower_case is not supported: FSMT's published models keep the case")
    tables = directory.file("vocab-src.json"), directory.file("vocab-tgt.json")
    return hf_vocabulary.merges_with_tables(
        directory.file("merges.txt"), tables, SPECIAL.__contains__, directory.reasons
    )


def _blenderbot_small(directory: Directory) -> Vocabulary | None:
    if not directory.has("vocab.json", "merges.txt"):
        for name in ("vocab.json", "merges.txt"):
            directory.reasons.require(directory.has(name), f"{name} is missing")
        return None
    files = directory.file("vocab.json"), directory.file("merges.txt")
    return hf_vocabulary.parlai_bpe(*files, PARLAI, directory.reasons)


def _bert(directory: Directory) -> Vocabulary | None:
    if (path := _tokenizer_json_or("vocab.txt", directory)) is not None:
        return hf_vocabulary.tokenizer_json(path, WORD_PIECES.__contains__, directory.reasons)
    if not directory.has("vocab.txt"):
        return None
    return hf_vocabulary.word_pieces(directory.file("vocab.txt"), directory.settings, WORD_PIECES, directory.reasons)


def _xlm_roberta(directory: Directory) -> Vocabulary | None:
    name = "sentencepiece.bpe.model"
    if (path := _tokenizer_json_or(name, directory)) is not None:
        return hf_vocabulary.tokenizer_json(path, SPECIAL.__contains__, directory.reasons)
    if not directory.has(name):
        return None
    vocabulary = hf_vocabulary.sentencepiece_with_offset(directory.file(name), 1, FAIRSEQ, {}, directory.reasons)
    return None if vocabulary is None else _behind(vocabulary, ("<mask>",), directory)


def _camembert(directory: Directory) -> Vocabulary | None:
    path = directory.file("tokenizer.json")
    directory.reasons.require(path.is_file(), "tokenizer.json is missing: save CamemBERT's tokenizer with transformers")
    special = (*SPECIAL, "<s>NOTUSED", "</s>NOTUSED", "<unk>NOTUSED")
    return hf_vocabulary.tokenizer_json(path, special.__contains__, directory.reasons) if path.is_file() else None


def _bert_generation(directory: Directory) -> Vocabulary | None:
    vocabulary = _t5(directory)
    return None if vocabulary is None else replace(vocabulary, ends_source=False)


def _t5gemma(directory: Directory) -> Vocabulary | None:
    if (path := _tokenizer_json_or("tokenizer.model", directory)) is not None:
        return hf_vocabulary.tokenizer_json(path, GEMMA.__contains__, directory.reasons)
    if not directory.has("tokenizer.model"):
        return None
    return hf_vocabulary.sentencepiece_alone(directory.file("tokenizer.model"), directory.reasons)


def _with_special(side: Side, languages: dict[str, tuple[str, int]]) -> Side:
    return Side(side.ids, side.special | {token for token, _ in languages.values()})


VOCABULARIES = {
    "marian": _marian,
    "m2m100": _m2m100,
    "nllb": _fairseq,
    "mbart": _fairseq,
    "mbart50": _fairseq,
    "bart": _bart,
    "plbart": _plbart,
    "blenderbot": _blenderbot,
    "t5": _t5,
    "pegasus": _pegasus,
    "fsmt": _fsmt,
    "blenderbot-small": _blenderbot_small,
    "t5gemma": _t5gemma,
    "bert": _bert,
    "roberta": _bart,
    "xlm-roberta": _xlm_roberta,
    "camembert": _camembert,
    "bert-generation": _bert_generation,
}
