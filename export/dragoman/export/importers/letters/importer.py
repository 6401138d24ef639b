"""Import what the Python packages g2p-en and e2k carry: words as sounds, and as Japanese would write them.

    g2p-en  checkpoint*.npz         English letters to the sounds of CMUdict: a GRU each side, no attention
    e2k     model-*.safetensors     letters or sounds to katakana: a GRU, attention of four heads, a GRU

A word is a text; both search greedily. What e2k does not know it leaves out, what g2p-en does not know is its unknown
letter. g2p-en looks words up before it asks its model, which is a matter of the caller's.
"""

from pathlib import Path
from typing import Any

import numpy as np

from dragoman.bundle.manifest import Architecture, Decoding, LanguagePair, Limits, Recurrent, Texts, Tokenizer
from dragoman.bundle.rules import shape_problems
from dragoman.export.core.checkpoint import Checkpoint
from dragoman.export.core.digests import sha256
from dragoman.export.core.reasons import Reasons
from dragoman.export.importers.files.word_tables import Cut, characters_but, replaced, word_table, words_but
from dragoman.export.importers.letters.arrays import Floats, read_arrays
from dragoman.export.importers.letters.folder import metadata, recognises

LETTERS = ("<pad>", "<unk>", "</s>", *"abcdefghijklmnopqrstuvwxyz")
_SOUNDS = """
AA0 AA1 AA2 AE0 AE1 AE2 AH0 AH1 AH2 AO0 AO1 AO2 AW0 AW1 AW2 AY0 AY1 AY2 B CH D DH EH0 EH1 EH2 ER0 ER1 ER2 EY0 EY1 EY2 F
G HH IH0 IH1 IH2 IY0 IY1 IY2 JH K L M N NG OW0 OW1 OW2 OY0 OY1 OY2 P R S SH T TH UH0 UH1 UH2 UW UW0 UW1 UW2 V W Y Z ZH
"""
SOUNDS = ("<pad>", "<unk>", "<s>", "</s>", *_SOUNDS.split())
"""g2p-en's tables, which stand in its code."""
PLAIN = ({"type": "NFD"}, {"type": "StripAccents"}, {"type": "Lowercase"})
"""What g2p-en makes of a word before its model reads it."""
LONGEST_SOURCE = 1024
LONGEST_NUMBER = 9
"""Digits of an id."""
GRU = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
AXES = {"weight": 2, "bias": 1}
G2P = {
    **dict.fromkeys(("enc_emb", "dec_emb", "fc_w"), 2),
    "fc_b": 1,
    **{f"{side}_w_{part}": 2 for side in ("enc", "dec") for part in ("ih", "hh")},
    **{f"{side}_b_{part}": 1 for side in ("enc", "dec") for part in ("ih", "hh")},
}
"""g2p-en's arrays, and how many axes each has."""
E2K = {
    **dict.fromkeys(("e_emb.weight", "k_emb.weight", "attn.in_proj_weight"), 2),
    "attn.in_proj_bias": 1,
    **{f"{part}.{kind}": axes for part in ("encoder_fc.0", "attn.out_proj", "fc") for kind, axes in AXES.items()},
    **{
        f"{cell}.{part}_{way}": AXES[part.partition("_")[0]]
        for cell, ways in (("encoder", ("l0", "l0_reverse")), ("pre_decoder", ("l0",)), ("post_decoder", ("l0",)))
        for way in ways
        for part in GRU
    },
}
"""e2k's."""
LICENCES = {
    "b8af35e4596d8dd5836dfd3fe9b2ba4f97b9c311efe8879544cbcfcbd566d8c6": "Apache-2.0",
    "ffc05e3a27be0e167e240d529ea1d60fa6db626f6eafafaed366a4fac09d8f71": "Unlicense",
    "fea9de9ac0de35f313fb5652967ae3d750a68a46a2ce2d28879a73532729be08": "Unlicense",
    "a9439606b9fc78015eaee09662efcb26ce858a8543acafa0f43efbdb69b643f8": "Unlicense",
    "68caad5c0125553bcf1b015e79bff1905d288d61a9c4db6b8005576e385cb6e1": "Unlicense",
}
"""What g2p-en 2.1.0 and e2k 0.8.1 are under, of the files in them by their SHA-256."""


def read_letters(path: Path, source_language: str | None, target_language: str | None) -> Checkpoint:
    """Read a model file of either package. Raises `ExportError`."""
    reasons = Reasons()
    kind = recognises(path)
    reasons.require(kind, "this is neither e2k's model-*.safetensors nor g2p-en's checkpoint*.npz")
    reasons.raise_if_any(path)
    read, axes = (_g2p, G2P) if kind == "g2p-en's model" else (_e2k, E2K)
    arrays = read_arrays(path, axes, reasons)
    reasons.raise_if_any(path)
    return read(path, arrays, source_language, target_language, reasons)


def _g2p(path: Path, arrays: dict[str, Floats], source: str | None, target: str | None, reasons: Reasons) -> Checkpoint:
    width = arrays["enc_w_hh"].shape[-1]
    for name, size in (("enc_emb", len(LETTERS)), ("fc_w", len(SOUNDS))):
        rows = len(arrays[name])
        reasons.require(rows == size, f"{name} has {rows} rows, and g2p-en's own table {size}")
    reasons.raise_if_any(path)
    sizes = Recurrent(
        source_width=arrays["enc_emb"].shape[1],
        target_width=arrays["dec_emb"].shape[1],
        encoder_hidden=width,
        decoder_hidden=width,
        bidirectional=False,
        attention="none",
        input_feeding=False,
        output_reads=(),
    )
    weights = {
        "source_embedding": arrays["enc_emb"],
        "target_embedding": arrays["dec_emb"],
        "output_embedding": arrays["fc_w"],
        "output_bias": arrays["fc_b"],
        **{f"encoder.rnn.{part}_l0": arrays[f"enc_{part.replace('weight', 'w').replace('bias', 'b')}"] for part in GRU},
        **_cell(0, *(arrays[f"dec_{part.replace('weight', 'w').replace('bias', 'b')}"] for part in GRU)),
    }
    tokenizer = Tokenizer(
        kind="tokenizers",
        source="letters.json",
        target="sounds.json",
        eos_id=SOUNDS.index("</s>"),
        unk_id=1,
        start_id=SOUNDS.index("<s>"),
        suffix=(LETTERS.index("</s>"),),
        source_end=False,
        hidden_ids=(SOUNDS.index("</s>"),),
    )
    files = {
        "letters.json": _table(LETTERS[1:2] + LETTERS[3:], 1, "characters", LETTERS, PLAIN),
        "sounds.json": _table(SOUNDS, 1, "spaces", SOUNDS),
    }
    pair = LanguagePair(source or "en", target or "en-fonipa")
    return _checkpoint(path, "g2p-en", sizes, weights, tokenizer, files, pair, reasons, longest=20)


def _e2k(path: Path, arrays: dict[str, Floats], source: str | None, target: str | None, reasons: Reasons) -> Checkpoint:
    facts = metadata(path)
    read, said = (str(facts[name]).split("\0") for name in ("in_table", "out_table"))
    start, end = (_number(str(facts[name])) for name in ("sos_idx", "eos_idx"))
    fit = 0 <= start < end < min(len(read), len(said)) and len(set(read)) == len(read) and len(set(said)) == len(said)
    reasons.require(fit, "its tables do not hold what they say")
    rows = len(arrays["e_emb.weight"]), len(arrays["k_emb.weight"])
    reasons.require(rows == (len(read), len(said)), "its tables are not as long as its embeddings")
    known = [word for index, word in enumerate(read) if index > end]
    reasons.require(known and all(known), "its table of what it reads has no words behind the end's, or empty ones")
    for name in ("attn.in_proj_weight", "attn.in_proj_bias"):
        reasons.require(len(arrays[name]) % 3 == 0, f"{name} is not queries, keys and values of one size")
    reasons.raise_if_any(path)
    width = arrays["encoder.weight_hh_l0"].shape[1]
    hidden = arrays["post_decoder.weight_hh_l0"].shape[1]
    sizes = Recurrent(
        source_width=arrays["e_emb.weight"].shape[1],
        target_width=arrays["k_emb.weight"].shape[1],
        encoder_hidden=width,
        decoder_hidden=hidden,
        attention="heads",
        attention_heads=4,
        input_feeding=False,
        first="zeros",
        before=1,
        output_reads=(),
        row_width=len(arrays["encoder_fc.0.weight"]),
    )
    heads = dict(zip(("query", "key", "value"), np.split(arrays["attn.in_proj_weight"], 3), strict=True))
    biases = dict(zip(heads, np.split(arrays["attn.in_proj_bias"], 3), strict=True))
    weights = {
        "source_embedding": arrays["e_emb.weight"],
        "target_embedding": arrays["k_emb.weight"],
        "output_embedding": arrays["fc.weight"],
        "output_bias": arrays["fc.bias"],
        **{f"encoder.rnn.{p}_l0{way}": arrays[f"encoder.{p}_l0{way}"] for p in GRU for way in ("", "_reverse")},
        "encoder.out.weight": arrays["encoder_fc.0.weight"].T,
        "encoder.out.bias": arrays["encoder_fc.0.bias"],
        **_cell(0, *(arrays[f"pre_decoder.{part}_l0"] for part in GRU)),
        **_cell(1, *(arrays[f"post_decoder.{part}_l0"] for part in GRU)),
        **{f"decoder.attention.{part}.weight": matrix.T for part, matrix in heads.items()},
        **{f"decoder.attention.{part}.bias": bias for part, bias in biases.items()},
        "decoder.attention.result.weight": arrays["attn.out_proj.weight"].T,
        "decoder.attention.result.bias": arrays["attn.out_proj.bias"],
    }
    is_sounds = any(len(word) > 1 for word in known)
    cut: Cut = "spaces" if is_sounds else "characters"
    left_out = replaced(words_but(known) if is_sounds else characters_but(known), "")
    normalizers = (left_out,) if is_sounds else ({"type": "Lowercase"}, left_out)
    tokenizer = Tokenizer(
        kind="tokenizers",
        source="read.json",
        target="katakana.json",
        eos_id=end,
        unk_id=0,
        start_id=start,
        prefix=(start,),
        hidden_ids=(end,),
    )
    files = {
        "read.json": _table(known, 0, cut, read, normalizers),
        "katakana.json": _table(said, 0, "characters", said),
    }
    pair = LanguagePair(source or ("en-fonipa" if is_sounds else "en"), target or "ja-Kana")
    return _checkpoint(path, "e2k", sizes, weights, tokenizer, files, pair, reasons, longest=16)


def _number(text: str) -> int:
    """A number of few digits; -1 where it is none."""
    return int(text) if text.isdecimal() and len(text) <= LONGEST_NUMBER else -1


def _cell(number: int, *parts: Floats) -> dict[str, Floats]:
    """A cell of torch's as canonical weights."""
    names = ("input.weight", "state.weight", "input.bias", "state.bias")
    return {f"decoder.layers.{number}.{name}": part.T for name, part in zip(names, parts, strict=True)}


def _table(words: Any, unknown: int, cut: Cut, table: Any, normalizers: tuple[dict[str, Any], ...] = ()) -> bytes:
    """Some words of a table, and its unknown one."""
    ids = {word: index for index, word in enumerate(table) if word in words or index == unknown}
    space = " " if cut == "characters" and " " in ids else None
    return word_table(ids, table[unknown], cut, space=space, normalizers=normalizers)


def _checkpoint(
    path: Path,
    name: str,
    sizes: Recurrent,
    weights: dict[str, Floats],
    tokenizer: Tokenizer,
    files: dict[str, bytes],
    pair: LanguagePair,
    reasons: Reasons,
    *,
    longest: int,
) -> Checkpoint:
    shape = Architecture(
        d_model=sizes.output_width,
        heads=0,
        ffn=0,
        encoder_layers=1,
        decoder_layers=1 if sizes.before is None else 2,
        source_vocabulary=len(weights["source_embedding"]),
        target_vocabulary=len(weights["target_embedding"]),
        decoder="gru",
        tying="none",
        recurrent=sizes,
    )
    for problem in shape_problems(shape):
        reasons.add(problem)
    reasons.raise_if_any(path)
    licence = LICENCES.get(sha256(path), "")
    return Checkpoint(
        name=name,
        pairs=(pair,),
        architecture=shape,
        weights={name: np.ascontiguousarray(weight) for name, weight in weights.items()},
        quantized={},
        tokenizer=tokenizer,
        tokenizer_files=files,
        decoding=Decoding(
            profile="hf", max_length=longest, max_length_factor=100.0, unknown_handling="allow", length_penalty=0.0
        ),
        limits=Limits(LONGEST_SOURCE, LONGEST_SOURCE),
        source_format="letters",
        source_files=(path,),
        licence=licence,
        notes=() if licence else ("the files state no licence",),
        texts=Texts("none", "truncate", translated=False),
    )
