"""Tokenizers of Hugging Face directories, from the files to the server, beside the libraries that define them."""

import json
import random
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from sentencepiece import SentencePieceProcessor, SentencePieceTrainer
from tokenizers import BertWordPieceTokenizer, ByteLevelBPETokenizer, SentencePieceBPETokenizer

from dragoman.bundle.directions import Directions
from dragoman.bundle.manifest import Architecture, Decoding, Graph, LanguagePair, Limits, Manifest, Provenance
from dragoman.bundle.writer import BundleWriter
from dragoman.export.importers.hf.bert import flattened
from dragoman.export.importers.hf.tokenizer import TokenizerSource, read_tokenizer
from dragoman.server.text.tokenizer import Tokenizer

transformers = pytest.importorskip("transformers")

CORPUS = [
    "The quick brown fox jumps over the lazy dog.",
    "Pack my box with five dozen liquor jugs!",
    "How vexingly quick daft zebras jump; is it true?",
    "A translation is the model's, and nothing is cut, dropped or guessed in silence.",
    "Zwölf Boxkämpfer jagen Viktor quer über den großen Sylter Deich.",
    "À noite, vovô Kowalsky vê o ímã cair no pé do pinguim queixoso.",
    "0 1 2 3 4 5 6 7 8 9 ( ) [ ] { } - + * / = % & $ # @ ' \" , : ; < >",
]

TEXTS = [
    *CORPUS,
    "",
    " ",
    "\t\n \u3000",
    "two  spaces,   three\ttab\nline\r\nline",
    "  leading and trailing  ",
    "\ufb01ne \u2460 \uff26\uff55\uff4c\uff4c \u00bd \u2122 \u2018quotes\u2019 \u201cdouble\u201d \u2026 \u2013 \u2014",
    "e\u0301 o\u0308 a\u0323\u0302",
    "<<>> ><>< </><",
    "👩\u200d👧 🇵🇹 ❤\ufe0f",
    "日本語のテキスト、漢字。",
    "한국어 עברית العربية हिन्दी ไทย",
    "\u200b\ufeff\u00ad",
    "a\u200bb\u00a0c\u2028d\u0085e",
    "x\x00y\x07z",
    "▁ ▁▁lower one eighth block▁",
    "don't can't I'm we've it's they're",
    "http://example.org/?q=a&b=c#d user@example.org 3.14 1,000,000",
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
    "<b>not</b> a token, nor <this>",
    "The quick brown fox. " * 500,
    "q" * 10_000,
]
"""None of them spells a special token."""


@dataclass(frozen=True)
class Case:
    """A directory, its config.json, and the tokenizer that it must agree with."""

    directory: Path
    config: dict[str, Any]
    own: Any
    """The tokenizer of the family itself, or what stands for it."""
    options: dict[str, str]
    pair: LanguagePair


def train(path: Path, size: int = 260, **options: Any) -> SentencePieceProcessor:
    path.parent.mkdir(parents=True, exist_ok=True)
    defaults = {"vocab_size": size, "hard_vocab_limit": False, "character_coverage": 1.0, "minloglevel": 2}
    with path.open("wb") as file:
        SentencePieceTrainer.train(sentence_iterator=iter(CORPUS * 4), model_writer=file, **(defaults | options))
    return SentencePieceProcessor(model_file=str(path))


def pieces_of(processor: SentencePieceProcessor) -> list[str]:
    return [processor.id_to_piece(index) for index in range(processor.get_piece_size())]


def charsmap() -> bytes:
    """The normalisation of SentencePiece (NFKC and more), as fast tokenizers hold it."""
    from transformers.utils import sentencepiece_model_pb2_new as proto

    path = scratch() / "normal" / "sp.model"
    train(path)
    model = proto.ModelProto()
    model.ParseFromString(path.read_bytes())
    return bytes(model.normalizer_spec.precompiled_charsmap)


@cache
def scratch() -> Path:
    import tempfile

    return Path(tempfile.mkdtemp(prefix="hf-tokenizers-"))


def numbered(*lists: list[str]) -> dict[str, int]:
    """Ids in the order of first mention."""
    return {token: index for index, token in enumerate(dict.fromkeys(token for one in lists for token in one))}


def marian(name: str, languages: list[str], *, separate: bool = False) -> Case:
    folder = scratch() / name
    source, target = train(folder / "source.spm", 200), train(folder / "target.spm", 240, model_type="bpe")
    ends = [pieces_of(source)] if separate else [pieces_of(source), pieces_of(target)]
    vocabulary = numbered(["</s>", "<unk>"], languages, *ends, ["<pad>"])
    (folder / "vocab.json").write_text(json.dumps(vocabulary), "utf-8")
    config = {"model_type": "marian", "vocab_size": len(vocabulary), "eos_token_id": 0}
    options: dict[str, Any] = {"source_lang": "eng", "target_lang": "roa" if languages else "por"}
    files = [str(folder / file) for file in ("source.spm", "target.spm", "vocab.json")]
    if separate:
        words = numbered(["</s>", "<unk>"], pieces_of(target), ["<pad>"])
        (folder / "target_vocab.json").write_text(json.dumps(words), "utf-8")
        config["decoder_vocab_size"] = len(words)
        options |= {"separate_vocabs": True, "target_vocab_file": str(folder / "target_vocab.json")}
    own = transformers.MarianTokenizer(*files, **options)
    own.save_pretrained(folder)
    config["decoder_start_token_id"] = vocabulary["<pad>"]
    return Case(folder, config | {"bad_words_ids": [[vocabulary["<pad>"]]]}, own, {}, LanguagePair("en", "pt"))


def m2m100() -> Case:
    folder = scratch() / "m2m100"
    processor = train(folder / "sentencepiece.bpe.model", model_type="bpe")
    vocabulary = numbered(["<s>", "<pad>", "</s>", "<unk>"], pieces_of(processor))
    (folder / "vocab.json").write_text(json.dumps(vocabulary), "utf-8")
    own = transformers.M2M100Tokenizer(
        str(folder / "vocab.json"), str(folder / "sentencepiece.bpe.model"), src_lang="en", tgt_lang="pt"
    )
    own.save_pretrained(folder)
    config = {"model_type": "m2m_100", "vocab_size": len(vocabulary) + 108, "eos_token_id": 2}
    return Case(folder, config | {"decoder_start_token_id": 2}, own, {}, LanguagePair("en", "pt"))


def unigram(name: str, kind: str, first: list[str], config: dict[str, Any], **options: Any) -> Case:
    """A tokenizer.json of a Unigram family, with the scores of a SentencePiece model."""
    processor = train(scratch() / f"{name}-pieces" / "sp.model")
    words = [(p, processor.get_score(i)) for i, p in enumerate(pieces_of(processor)) if i > 2]
    vocabulary = [(token, 0.0) for token in first] + words
    own = getattr(transformers, kind)(vocab=vocabulary, _spm_precompiled_charsmap=charsmap(), **options)
    own.save_pretrained(scratch() / name)
    return Case(scratch() / name, {"vocab_size": len(own)} | config, own, {}, LanguagePair("en", "pt"))


def t5() -> Case:
    ids = {"model_type": "t5", "eos_token_id": 1, "decoder_start_token_id": 0}
    return unigram("t5-en-pt", "T5Tokenizer", ["<pad>", "</s>", "<unk>"], ids)


def pegasus() -> Case:
    ids = {"model_type": "pegasus", "eos_token_id": 1, "decoder_start_token_id": 0}
    return unigram("pegasus-en-pt", "PegasusTokenizer", ["<pad>", "</s>", "<unk>"], ids)


def mbart() -> Case:
    ids = {"model_type": "mbart", "eos_token_id": 2}
    case = unigram("mbart", "MBartTokenizer", ["<s>", "<pad>", "</s>", "<unk>"], ids, src_lang="en_XX")
    case.config["decoder_start_token_id"] = case.own.convert_tokens_to_ids("ro_RO")
    return Case(case.directory, case.config, case.own, {}, LanguagePair("en", "ro"))


def mbart50() -> Case:
    ids = {"model_type": "mbart", "eos_token_id": 2, "decoder_start_token_id": 2}
    return unigram("mbart50", "MBart50Tokenizer", ["<s>", "<pad>", "</s>", "<unk>"], ids, src_lang="en_XX")


def nllb(*, legacy: bool) -> Case:
    trained = SentencePieceBPETokenizer()
    trained.train_from_iterator(CORPUS * 4, vocab_size=300, special_tokens=["<s>", "<pad>", "</s>", "<unk>"])
    model = json.loads(trained.to_str())["model"]
    own = transformers.NllbTokenizer(
        vocab=model["vocab"],
        merges=[tuple(merge) for merge in model["merges"]],
        _spm_precompiled_charsmap=charsmap(),
        src_lang="eng_Latn",
        tgt_lang="por_Latn",
        legacy_behaviour=legacy,
    )
    folder = scratch() / f"nllb-{legacy}"
    own.save_pretrained(folder)
    config = {"model_type": "m2m_100", "vocab_size": len(own), "eos_token_id": 2, "decoder_start_token_id": 2}
    return Case(folder, config, own, {}, LanguagePair("en", "pt"))


def bart(*, is_old: bool, name: str = "bart") -> Case:
    trained = ByteLevelBPETokenizer()
    trained.train_from_iterator(CORPUS * 4, vocab_size=400, special_tokens=["<s>", "<pad>", "</s>", "<unk>", "<mask>"])
    folder = scratch() / f"{name}-{is_old}-en-pt"
    folder.mkdir()
    trained.save_model(str(folder))
    own = transformers.BartTokenizer(str(folder / "vocab.json"), str(folder / "merges.txt"))
    if not is_old:
        own.save_pretrained(folder)
    ids = {"bos_token_id": 0, "eos_token_id": 2, "decoder_start_token_id": 2, "forced_bos_token_id": 0}
    return Case(folder, {"model_type": "bart", "vocab_size": len(own), **ids}, own, {}, LanguagePair("en", "pt"))


def plbart(codes: str) -> Case:
    folder = scratch() / f"plbart-{codes}"
    train(folder / "sentencepiece.bpe.model")
    own = transformers.PLBartTokenizer(
        str(folder / "sentencepiece.bpe.model"),
        language_codes=codes,
        src_lang="python",
        tgt_lang="en_XX",
        clean_up_tokenization_spaces=False,
    )
    own.save_pretrained(folder)
    start = own.convert_tokens_to_ids("__en_XX__")
    config = {"model_type": "plbart", "vocab_size": len(own), "eos_token_id": 2, "decoder_start_token_id": start}
    return Case(folder, config, own, {}, LanguagePair("x-python", "en"))


def blenderbot(*, is_old: bool) -> Case:
    trained = ByteLevelBPETokenizer()
    trained.train_from_iterator(CORPUS * 4, vocab_size=400, special_tokens=["<pad>", "<s>", "</s>", "<unk>", "<mask>"])
    folder = scratch() / f"blenderbot-{is_old}-en-pt"
    folder.mkdir()
    trained.save_model(str(folder))
    own = transformers.BlenderbotTokenizer.from_pretrained(folder)
    if not is_old:
        own.save_pretrained(folder)
    ids = {"bos_token_id": 1, "eos_token_id": 2, "decoder_start_token_id": 1}
    return Case(folder, {"model_type": "blenderbot", "vocab_size": len(own), **ids}, own, {}, LanguagePair("en", "pt"))


def blenderbot_small() -> Case:
    folder = scratch() / "blenderbot-small-en-pt"
    folder.mkdir()
    merges = ["t h", "th e</w>", "e r", "o x</w>", "q u", "i n", "_ _", "__ n", ". a</w>", "q q", "qq qq", "i s</w>"]
    (folder / "merges.txt").write_text("".join(f"{line}\n" for line in ("#version: 0.2", *merges)), "utf-8")
    letters = sorted({c for line in CORPUS for c in line.lower() if not c.isspace()} | {"_", "n"})
    joined = [merge.replace(" ", "") for merge in merges]
    words = [piece.removesuffix("</w>") if piece.endswith("</w>") else f"{piece}@@" for piece in joined]
    vocabulary = numbered(["__null__", "__start__", "__end__", "__unk__"], words, letters, [f"{c}@@" for c in letters])
    (folder / "vocab.json").write_text(json.dumps(vocabulary), "utf-8")
    own = transformers.BlenderbotSmallTokenizer(str(folder / "vocab.json"), str(folder / "merges.txt"))
    ids = {"bos_token_id": 1, "eos_token_id": 2, "decoder_start_token_id": 1}
    config = {"model_type": "blenderbot-small", "vocab_size": len(own), **ids}
    return Case(folder, config, own, {}, LanguagePair("en", "pt"))


def of_pair(kind: str, words: int, **ids: Any) -> dict[str, Any]:
    """The configuration of a pair of stacks, as far as tokenizers read it."""
    sides = {side: {"model_type": kind, "vocab_size": words} for side in ("encoder", "decoder")}
    return flattened({"model_type": "encoder-decoder", **sides, **ids})


def bert(*, is_old: bool, cased: bool = False, ends_otherwise: bool = False) -> Case:
    name = f"bert-{is_old}-{cased}-en-pt"
    trained = BertWordPieceTokenizer(lowercase=not cased)
    trained.train_from_iterator(CORPUS * 4, vocab_size=300)
    folder = scratch() / name
    folder.mkdir()
    words = sorted(trained.get_vocab(), key=trained.get_vocab().__getitem__)
    (folder / "vocab.txt").write_text("".join(f"{word}\n" for word in words), "utf-8")
    own = transformers.BertTokenizer(
        {word: n for n, word in enumerate(words)}, do_lower_case=not cased, strip_accents=False if cased else None
    )
    if is_old:
        settings = {"do_lower_case": not cased, "strip_accents": False if cased else None}
        (folder / "tokenizer_config.json").write_text(json.dumps(settings), "utf-8")
    else:
        own.save_pretrained(folder)
    end = own.cls_token_id if ends_otherwise else own.sep_token_id
    ids = {"decoder_start_token_id": own.cls_token_id, "eos_token_id": end}
    return Case(folder, of_pair("bert", len(own), **ids), own, {}, LanguagePair("en", "pt"))


def roberta() -> Case:
    case = bart(is_old=True, name="roberta")
    own = transformers.RobertaTokenizer.from_pretrained(case.directory)
    ids = {"decoder_start_token_id": 0, "eos_token_id": 2}
    return Case(case.directory, of_pair("roberta", len(own), **ids), own, {}, case.pair)


def xlm_roberta() -> Case:
    case = unigram("xlm-roberta-en-pt", "XLMRobertaTokenizer", ["<s>", "<pad>", "</s>", "<unk>"], {})
    ids = {"decoder_start_token_id": 0, "eos_token_id": 2}
    return Case(case.directory, of_pair("xlm-roberta", len(case.own), **ids), case.own, {}, case.pair)


def bert_generation() -> Case:
    folder = scratch() / "generation-en-pt"
    processor = train(folder / "spiece.model", pad_id=0, eos_id=1, unk_id=2, bos_id=3)
    own = Pieces(processor, int, numbered(pieces_of(processor)), suffix=(), strips=False)
    ids = {"decoder_start_token_id": 3, "eos_token_id": 1}
    return Case(folder, of_pair("bert-generation", len(own), **ids), own, {}, LanguagePair("en", "pt"))


def t5gemma() -> Case:
    trained = SentencePieceBPETokenizer(add_prefix_space=False)
    special = ["<pad>", "<eos>", "<bos>", "<unk>", "<mask>", *(f"<0x{byte:02X}>" for byte in range(256))]
    trained.train_from_iterator(CORPUS * 4, vocab_size=520, special_tokens=special)
    model = json.loads(trained.to_str())["model"]
    own = transformers.GemmaTokenizer(
        vocab=model["vocab"], merges=[tuple(merge) for merge in model["merges"]], add_bos_token=True
    )
    folder = scratch() / "t5gemma-en-pt"
    own.save_pretrained(folder)
    side = {"vocab_size": len(own), "bos_token_id": 2, "eos_token_id": 1, "pad_token_id": 0}
    config = flattened({"model_type": "t5gemma", "encoder": side, "decoder": side, "vocab_size": len(own)})
    return Case(folder, config, own, {}, LanguagePair("en", "pt"))


@dataclass(frozen=True)
class Pieces:
    """What the first, SentencePiece-based tokenizers of these families did: pieces to ids by a rule."""

    processor: SentencePieceProcessor
    id_of: Callable[[int], int]
    vocabulary: dict[str, int]
    prefix: tuple[int, ...] = ()
    suffix: tuple[int, ...] = (2,)
    strips: bool = True

    def __len__(self) -> int:
        return max(self.vocabulary.values()) + 1

    def __call__(self, text: str, **_: object) -> Any:
        ids = [self.id_of(index) for index in self.processor.encode(text)]
        return SimpleNamespace(input_ids=[*self.prefix, *ids, *self.suffix])

    def get_vocab(self) -> dict[str, int]:
        return self.vocabulary

    def decode(self, ids: list[int], **_: object) -> str:
        pieces = {self.id_of(index): index for index in range(self.processor.get_piece_size())}
        special = {index for token, index in self.vocabulary.items() if token not in pieces_of(self.processor)[3:]}
        known = [pieces[index] for index in ids if index in pieces and index not in special]
        text = str(self.processor.decode(known))
        return text.strip() if self.strips else text


def old_t5() -> Case:
    """Ids are SentencePiece's."""
    folder = scratch() / "old-t5-en-pt"
    processor = train(folder / "spiece.model", pad_id=0, eos_id=1, unk_id=2, bos_id=-1)
    own = Pieces(processor, int, numbered(pieces_of(processor)), suffix=(1,), strips=False)
    config = {"model_type": "mt5", "vocab_size": len(own) + 28, "eos_token_id": 1, "decoder_start_token_id": 0}
    return Case(folder, config, own, {}, LanguagePair("en", "pt"))


def old_pegasus() -> Case:
    """SentencePiece's ids, from the unknown word on shifted by 103."""
    folder = scratch() / "old-pegasus-en-pt"
    processor = train(folder / "spiece.model", pad_id=0, eos_id=1, unk_id=2, bos_id=-1)
    vocabulary = {piece: index + 103 if index > 1 else index for index, piece in enumerate(pieces_of(processor))}
    own = Pieces(processor, lambda index: index + 103 if index > 1 else index, vocabulary, suffix=(1,))
    config = {"model_type": "pegasus", "vocab_size": len(own), "eos_token_id": 1, "decoder_start_token_id": 0}
    return Case(folder, config, own, {}, LanguagePair("en", "pt"))


def old_mbart(name: str, codes: list[str], config: dict[str, Any], **options: Any) -> Case:
    """fairseq's first four ids, SentencePiece's shifted by one, then the languages."""
    folder = scratch() / name
    processor = train(folder / "sentencepiece.bpe.model")
    (folder / "special_tokens_map.json").write_text(json.dumps({"additional_special_tokens": codes}), "utf-8")
    fixed = {"<s>": 0, "<pad>": 1, "</s>": 2, "<unk>": 3}
    size = processor.get_piece_size()
    pieces = {piece: index + 1 for index, piece in enumerate(pieces_of(processor)) if index > 2}
    vocabulary = fixed | pieces | {token: size + 1 + index for index, token in enumerate([*codes, "<mask>"])}
    parts = {side: tuple(vocabulary[code] for code in options[side]) for side in ("prefix", "suffix")}
    own = Pieces(processor, lambda index: [3, 0, 2][index] if index < 3 else index + 1, vocabulary, **parts)
    config = {"vocab_size": len(own), "eos_token_id": 2, "decoder_start_token_id": 2} | config
    start = config["decoder_start_token_id"]
    config["decoder_start_token_id"] = vocabulary.get(start, start)
    return Case(folder, config, own, options["asked"], LanguagePair("en", "ro"))


def fsmt() -> Case:
    folder = scratch() / "fsmt"
    folder.mkdir()
    merges = ["t h", "th e</w>", "e r", "o x", "f ox</w>", "q u", "i n", "in g</w>", "&lt ;</w>", "l o", "q q", "qq qq"]
    (folder / "merges.txt").write_text("".join(f"{merge} {9 - n}\n" for n, merge in enumerate(merges)), "utf-8")
    joined = [merge.replace(" ", "") for merge in merges]
    letters = sorted({c for line in CORPUS for c in line if not c.isspace()})
    words = [*joined[2:], *letters, *(f"{c}</w>" for c in letters), "&apos;</w>", "@-@</w>", "&quot;</w>", "&lt;</w>"]
    sides = {
        "src": numbered(["<s>", "<pad>", "</s>", "<unk>"], words),
        "tgt": numbered(["<s>", "<pad>", "</s>", "<unk>"], words[::-1], ["more</w>"]),
    }
    for side, ids in sides.items():
        (folder / f"vocab-{side}.json").write_text(json.dumps(ids), "utf-8")
    files = [str(folder / name) for name in ("vocab-src.json", "vocab-tgt.json", "merges.txt")]
    own = transformers.FSMTTokenizer(["en", "de"], *files)
    own.save_pretrained(folder)
    sizes = {"src_vocab_size": len(sides["src"]), "tgt_vocab_size": len(sides["tgt"])}
    config = {"model_type": "fsmt", "eos_token_id": 2, "decoder_start_token_id": 2, **sizes}
    return Case(folder, config, own, {}, LanguagePair("en", "de"))


CASES: dict[str, Callable[[], Case]] = {
    "marian": lambda: marian("marian", []),
    "marian-separate": lambda: marian("marian-separate", [], separate=True),
    "marian-many": lambda: marian("marian-many", [">>por<<", ">>fra<<", ">>pt_br<<"]),
    "m2m100": m2m100,
    "nllb": lambda: nllb(legacy=False),
    "nllb-legacy": lambda: nllb(legacy=True),
    "mbart": mbart,
    "mbart50": mbart50,
    "bart": lambda: bart(is_old=False),
    "bart-old-files": lambda: bart(is_old=True),
    "plbart": lambda: plbart("base"),
    "plbart-multi": lambda: plbart("multi"),
    "blenderbot": lambda: blenderbot(is_old=False),
    "blenderbot-old-files": lambda: blenderbot(is_old=True),
    "blenderbot-small": blenderbot_small,
    "t5gemma": t5gemma,
    "bert": lambda: bert(is_old=False),
    "bert-old-files": lambda: bert(is_old=True),
    "bert-cased": lambda: bert(is_old=True, cased=True),
    "bert-with-another-end": lambda: bert(is_old=False, cased=True, ends_otherwise=True),
    "roberta": roberta,
    "xlm-roberta": xlm_roberta,
    "bert-generation": bert_generation,
    "fsmt": fsmt,
    "t5": t5,
    "pegasus": pegasus,
    "t5-sentencepiece": old_t5,
    "pegasus-sentencepiece": old_pegasus,
    "mbart-sentencepiece": lambda: old_mbart(
        "old-mbart",
        ["ar_AR", "en_XX", "ro_RO"],
        {"model_type": "mbart", "decoder_start_token_id": "ro_RO"},
        prefix=[],
        suffix=["</s>", "en_XX"],
        asked={"source": "en"},
    ),
    "mbart50-sentencepiece": lambda: old_mbart(
        "old-mbart50",
        ["ar_AR", "en_XX", "ro_RO", "pt_XX"],
        {"model_type": "mbart"},
        prefix=["en_XX"],
        suffix=["</s>"],
        asked={},
    ),
    "nllb-sentencepiece": lambda: old_mbart(
        "old-nllb",
        ["ace_Arab", "eng_Latn", "ron_Latn"],
        {"model_type": "m2m_100"},
        prefix=["eng_Latn"],
        suffix=["</s>"],
        asked={},
    ),
}


@cache
def case_of(name: str) -> Case:
    return CASES[name]()


def _target_rows(config: dict[str, Any]) -> int:
    return int(config.get("decoder_vocab_size", config.get("tgt_vocab_size", config.get("vocab_size"))))


def served(source: TokenizerSource, config: dict[str, Any], directory: Path) -> Tokenizer:
    """The server's tokenizer of a bundle with these files, written and opened as every bundle is."""
    rows = config.get("src_vocab_size", config.get("vocab_size"))
    manifest = Manifest(
        name="m",
        pairs=source.pairs,
        architecture=Architecture(8, 1, 8, 1, 1, rows, _target_rows(config)),
        decoding=Decoding(),
        tokenizer=source.tokenizer,
        graphs={part: Graph(f"{part}.onnx", (), ()) for part in ("encoder", "step")},
        limits=Limits(100, 100),
        precision="fp32",
        provenance=Provenance("test", {}, "0"),
    )
    with BundleWriter(directory) as writer:
        for name, content in source.files.items():
            writer.path(name).write_bytes(content if isinstance(content, bytes) else content.read_bytes())
        for part in ("encoder", "step"):
            writer.path(f"{part}.onnx").write_bytes(b"")
        return Tokenizer(writer.commit(manifest))


@pytest.fixture(params=CASES)
def case(request: pytest.FixtureRequest) -> Case:
    return case_of(request.param)


@pytest.fixture
def tokenizer(case: Case, tmp_path: Path) -> Tokenizer:
    return served(read_tokenizer(case.directory, case.config, **case.options), case.config, tmp_path / "bundle")


def own_ids(case: Case, text: str) -> list[int]:
    ids = list(case.own(text, split_special_tokens=True).input_ids)
    if case.config["model_type"] == "blenderbot":
        ids.append(2)  # the end, which the model reads and transformers 5 leaves out, as its own example does not
    if ">>por<<" in case.own.get_vocab():
        ids.insert(0, case.own.convert_tokens_to_ids(">>por<<"))  # which its users write before the text
    return ids


def test_ids_are_the_familys_own(case: Case, tokenizer: Tokenizer) -> None:
    """With everything around them; and a text without ids of its own is not read at all."""
    nothing = own_ids(case, "")
    for text in TEXTS:
        expected = own_ids(case, text)
        assert list(tokenizer.encode(text, case.pair)) == ([] if expected == nothing else expected), ascii(text[:80])


def test_decoded_text_is_the_familys_own(case: Case, tokenizer: Tokenizer) -> None:
    """Of any ids at all, special and language tokens among them, which are never shown."""
    rng = random.Random(3)
    size = len(case.own) if "vocab_size" in case.config else _target_rows(case.config)
    size = case.config.get("decoder_vocab_size", size)
    unshown = {i for token, i in case.own.get_vocab().items() if token.startswith(">>")}
    if "decoder_vocab_size" in case.config:  # the family's own takes the source's <pad> for the target's
        unshown |= {case.own.pad_token_id, case.config["decoder_vocab_size"] - 1}
    for length in [0, 1, 1, 1, 2, 3, 5, 8, 13, 40] * 20:
        ids = [rng.randrange(size) for _ in range(length)]
        if "decoder_vocab_size" in case.config:
            ids = [index for index in ids if index != case.own.pad_token_id]
        shown = [index for index in ids if index not in unshown]
        assert tokenizer.decode(ids) == case.own.decode(shown, skip_special_tokens=True), ids


def test_no_text_becomes_a_control_token(case: Case, tokenizer: Tokenizer) -> None:
    """Whatever names it spells: ends, pads, masks, languages."""
    facts = read_tokenizer(case.directory, case.config, **case.options).tokenizer
    around = len(facts.prefix), len(facts.suffix) + facts.source_end
    control = set(facts.hidden_ids) - {facts.unk_id}
    names = {token for token, index in case.own.get_vocab().items() if index in control}
    names |= {token for token in case.own.get_vocab() if token.startswith(">>")}
    assert {"</s>", "__end__", "[SEP]", "[CLS]", "<eos>"} & names
    for name in names:
        for text in (name, f" {name}", f"a{name}b", f"a {name} b", f"{name}{name}", f"{name} Hello."):
            ids = tokenizer.encode(text, case.pair)
            assert not control & set(ids[around[0] : len(ids) - around[1]]), text


def test_the_languages_choose_the_tokens(tmp_path: Path) -> None:
    """By the tags that people write; the pair is found as every request's pair is."""
    case = case_of("nllb")
    source = read_tokenizer(case.directory, case.config)
    tokenizer = served(source, case.config, tmp_path / "bundle")
    ids = case.own.convert_tokens_to_ids
    blocks = ((tuple(source.tokenizer.source_languages), tuple(source.tokenizer.target_languages)),)
    for asked, codes in {
        ("en", "pt"): ("eng_Latn", "por_Latn"),
        ("pt-BR", "en-GB"): ("por_Latn", "eng_Latn"),
        ("zh", "zh-TW"): ("zho_Hans", "zho_Hant"),
        ("zh-Hant-HK", "sr"): ("zho_Hant", "srp_Cyrl"),
        ("nb", "ar"): ("nob_Latn", "arb_Arab"),
        ("ps", "tl"): ("pbt_Arab", "tgl_Latn"),
    }.items():
        [pair] = Directions(blocks).closest(*asked).pairs
        assert tokenizer.encode("Hello.", pair)[0] == ids(codes[0]), asked
        assert tokenizer.forced(pair) == (ids(codes[1]),), asked
