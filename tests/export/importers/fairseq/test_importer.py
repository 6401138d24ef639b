"""What a fairseq import refuses, with all reasons at once, and what it makes of the files beside a checkpoint."""

from __future__ import annotations

import json
import os
import shutil

import pytest
import torch

from dragoman.bundle.manifest import LanguagePair
from dragoman.export.core.errors import ExportError, UnsupportedModel
from dragoman.export.importers.fairseq.importer import read_fairseq
from dragoman.export.importers.formats import read
from dragoman.server.text.moses import MosesPieces
from dragoman.server.text.vocabularies import NumberedPieces


def reasons_of(path, source=None, target=None) -> tuple[str, ...]:
    with pytest.raises(UnsupportedModel) as caught:
        read_fairseq(path, source, target)
    return caught.value.reasons


REFUSED = [
    ("arch", "levenshtein_transformer_wmt_en_de", "edits a translation"),
    ("arch", "glat_decomposed_with_link_base", "DA-Transformer"),
    ("arch", "nacrf_transformer", "conditional random field"),
    ("arch", "multilingual_transformer_iwslt_de_en", "a network for each language"),
    ("arch", "transformer_lm_big", "does not translate"),
    ("arch", "fconv_wmt_en_ro", "convolutions"),
    ("arch", "s2t_transformer_s", "does not read text"),
    ("arch", None, "name no architecture"),
    ("adaptive_input", True, "adaptive input embeddings"),
    ("adaptive_softmax_cutoff", "10,20", "an adaptive softmax"),
    ("cross_self_attention", True, "one attention for source and target"),
    ("no_cross_attention", True, "no attention to the source"),
    ("base_layers", 2, "BASE layers"),
    ("char_inputs", True, "characters as input"),
    ("quant_noise_pq", 0.1, "behind the embeddings"),
    ("quant_noise_scalar", 0.5, "quantised as it runs"),
    ("scale_heads", True, "weights of heads"),
    ("activation_fn", "mish", "activation_fn must be one of relu"),
    ("encoder_attention_heads", 5, "must divide encoder_embed_dim 12"),
    ("encoder_attention_heads", None, "encoder_attention_heads must be a whole number"),
    ("decoder_layers", -1, "decoder_layers must be a whole number"),
    ("encoder_layers", 10**9, "encoder_layers must be a whole number from 1 to 256"),
    ("encoder_layers_to_keep", "0,x", "encoder_layers_to_keep must be numbers"),
    ("share_all_embeddings", "maybe", "share_all_embeddings must be true or false"),
    ("task", "denoising", "the task 'denoising' reads texts in a way of its own"),
    ("source_lang", None, "name them with --from"),
    ("target_lang", "../../etc", "dict.txt is missing"),
]


@pytest.mark.parametrize(("option", "value", "said"), REFUSED)
def test_options_that_cannot_be_exported(fairseq, option, value, said):
    """Each is refused by name."""
    model = fairseq()
    model.options[option] = value

    assert any(said in reason for reason in reasons_of(model.write()))


def test_all_reasons_are_told_at_once(fairseq):
    """Of options, tensors and files beside the checkpoint alike."""
    model = fairseq(scale_attn=True, adaptive_input=True)
    (model.folder / "sentencepiece.bpe.model").unlink()
    (model.folder / "dict.en.txt").unlink()

    reasons = reasons_of(model.write())

    for said in ("scale_attn", "adaptive_input", "dict.en.txt is missing"):
        assert any(said in reason for reason in reasons)


def spoil_shape(model):
    model.tensors["encoder.layers.1.fc1.weight"] = torch.zeros(18, 13)
    return "encoder.layers.1.fc1.weight has the shape [18, 13], the options call for [18, 12]"


def spoil_missing(model):
    del model.tensors["decoder.layers.0.encoder_attn.k_proj.bias"]
    return "decoder.layers.0.encoder_attn.k_proj.bias is missing, which the options call for"


def spoil_unknown(model):
    model.tensors["encoder.quant_noise.weight"] = torch.zeros(12, 12)
    return "encoder.quant_noise.weight is not known to a transformer_tiny"


def spoil_final_norm(model):
    for kind in ("weight", "bias"):
        model.tensors[f"decoder.layer_norm.{kind}"] = torch.ones(12)
    return "2 tensors, decoder.layer_norm.bias, decoder.layer_norm.weight, are not known"


def spoil_shared(model):
    model.options["share_decoder_input_output_embed"] = True
    return "decoder.output_projection.weight is not what it is shared with"


def spoil_numbers(model):
    model.tensors["decoder.layers.0.fc1.bias"][3] = float("nan")
    return "decoder.layers.0.fc1.bias holds numbers that are not finite"


def spoil_layers(model):
    model.options["encoder_layers"] = 3
    return "tensors, such as encoder.layers.2."


def spoil_positions(model):
    model.options["encoder_learned_pos"] = True
    model.tensors["encoder.embed_positions.weight"] = torch.zeros(40, 12)
    return "encoder.embed_positions.weight has the shape [40, 12], the options call for [42, 12]"


def spoil_dictionary(model):
    with (model.folder / "dict.de.txt").open("a") as file:
        file.write("more 1\n")
    return "encoder.embed_tokens.weight has the shape [31, 12], the options call for [32, 12]"


@pytest.mark.parametrize(
    "spoil",
    [
        spoil_shape,
        spoil_missing,
        spoil_unknown,
        spoil_final_norm,
        spoil_shared,
        spoil_numbers,
        spoil_layers,
        spoil_positions,
        spoil_dictionary,
    ],
)
def test_weights_that_contradict_the_options(fairseq, spoil):
    """What is wrong, with both sides of the contradiction."""
    model = fairseq()
    said = spoil(model)

    reasons = reasons_of(model.write())

    assert any(said in reason for reason in reasons), reasons


class Evil:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (self.path,)


def test_a_checkpoint_that_wants_to_run_code_leaves_nothing(fairseq, tmp_path):
    """It is refused by name, through the command's own way, and no file has come of it."""
    model = fairseq()
    model.options["encoder_layers"] = Evil(str(tmp_path / "made"))
    model.write()
    before = sorted(file.name for file in tmp_path.iterdir())

    with pytest.raises(ExportError, match=r"names \w+\.mkdir, which loading it would call"):
        read(tmp_path, "auto", None, None)

    assert sorted(file.name for file in tmp_path.iterdir()) == before


def test_auto_recognises_a_folder_and_a_file(fairseq):
    """Either way the same checkpoint, and its files as provenance."""
    model = fairseq()
    file = model.write()

    found = [read(path, "auto", None, None) for path in (file, model.folder)]

    assert [each.name for each in found] == ["de-en", "de-en"]
    assert found[0].source_format == "fairseq-transformer_tiny"
    names = {path.name for path in found[0].source_files}
    assert names == {"model.pt", "dict.de.txt", "dict.en.txt", "sentencepiece.bpe.model"}


def test_languages_are_the_options_own_or_the_users(fairseq):
    """Codes of files that are no tags are named by --from and --to."""
    model = fairseq(source_lang="in", target_lang="complexword")
    path = model.write()

    assert "name them with --to" in reasons_of(path)[0]
    assert read_fairseq(path, None, "zh").pairs == (LanguagePair("id", "zh"),)


def numbered(checkpoint, side="source"):
    """The server's own vocabulary of a checkpoint's files."""
    import sentencepiece

    tokenizer = checkpoint.tokenizer
    model = checkpoint.tokenizer_files[getattr(tokenizer, side)]
    table = json.loads(checkpoint.tokenizer_files[getattr(tokenizer, f"{side}_vocabulary")])
    processor = sentencepiece.SentencePieceProcessor(model_file=str(model))
    return processor, NumberedPieces(processor, table, tokenizer.unk_id)


@pytest.mark.parametrize("text", ["a bad ride", "beer", "</s> <unk> madeupword0001", "xyz \u4f60", "  \n", ""])
def test_sentencepiece_ids_are_the_dictionarys(fairseq, text):
    """Pieces have the numbers of their lines behind fairseq's own four words; what is not listed is unknown."""
    model = fairseq()
    checkpoint = read_fairseq(model.write(), None, None)
    lines = (model.folder / "dict.de.txt").read_text(encoding="utf-8").splitlines()
    numbers = {line.rpartition(" ")[0]: n for n, line in enumerate(lines, 4)}

    processor, words = numbered(checkpoint)

    assert words.encode(text) == [numbers.get(piece, 3) for piece in processor.encode(text, out_type=str)]
    assert all(index > 2 for index in words.encode(text)), "a text is never a control token"


def test_one_vocabulary_is_one_file(fairseq):
    """Dictionaries that are alike are stored once, others twice."""
    shared = read_fairseq(fairseq(share_all_embeddings=True).write(), None, None).tokenizer
    own = read_fairseq(fairseq().write(), None, None).tokenizer

    assert shared.source_vocabulary == shared.target_vocabulary
    assert own.source_vocabulary != own.target_vocabulary
    assert own.source == own.target


WORDS = "der hund lauft die katze schlaft das hunde laufen"
CODES = [
    "d e",
    "u n",
    "h un",
    "a u",
    "l au",
    "f t</w>",
    "lau ft</w>",
    "hun d</w>",
    "hun de</w>",
    "d e</w>",
    "hu nd</w>",
]


def bpe(fairseq, codes: str, name: str = "bpecodes", letters: str = "abcdefghklnrstuiz"):
    """A model whose dictionaries are made of BPE."""
    model = fairseq()
    (model.folder / "sentencepiece.bpe.model").unlink()
    (model.folder / name).write_text(codes, encoding="utf-8")
    made = ["hun@@", "lau@@", "hund", "hunde", "lauft", "un@@", "de@@"]
    lines = [*made, *[f"{c}@@" for c in letters], *letters]
    for side, rows in (("de", 31), ("en", 37)):
        listed = (lines + [f"madeupword{n:04d}" for n in range(rows)])[: rows - 4]
        (model.folder / f"dict.{side}.txt").write_text("".join(f"{word} 1\n" for word in listed), encoding="utf-8")
    return model


@pytest.mark.parametrize(
    ("header", "count", "name"), [("", " 7", "bpecodes"), ("#version: 0.2\n", "", "code"), ("", "", "ende.codes")]
)
def test_merges_of_either_program(fairseq, tmp_path, header, count, name):
    """fastBPE's with counts, subword-nmt's with a version: ids are those of the pieces that end in @@ in fairseq."""
    model = bpe(fairseq, header + "".join(f"{line}{count}\n" for line in CODES), name)

    checkpoint = read_fairseq(model.write(), None, None)

    tokenizer = checkpoint.tokenizer
    assert tokenizer.kind == "moses-fastbpe"
    (tmp_path / "merges").write_bytes(checkpoint.tokenizer_files[tokenizer.source])
    table = json.loads(checkpoint.tokenizer_files[tokenizer.source_vocabulary])
    pieces = MosesPieces("de", tmp_path / "merges", table, tokenizer.unk_id)
    # hund, hun@@ + de is not merged before hunde, lau@@ + f@@ + e@@ + n with n unknown to the dictionary or not
    numbers = {
        line.rpartition(" ")[0]: n for n, line in enumerate((model.folder / "dict.de.txt").read_text().split("\n"), 4)
    }
    assert pieces.encode("hund lauft ab") == [numbers["hund"], numbers["lauft"], numbers["a@@"], numbers.get("b", 3)]
    assert pieces.decode([numbers["hun@@"], numbers["a@@"], numbers["hund"]]) == "hunahund"


@pytest.mark.parametrize(
    ("codes", "said"),
    [
        ("#version: 0.1\na b\n", "before 0.2"),
        ("e </w>\n", "before 0.2"),
        ("a\n", "expected two pieces"),
        ("q x\n", "belongs to another model"),
    ],
)
def test_merges_that_do_not_fit(fairseq, codes, said):
    """Another version, another file, another model."""
    model = bpe(fairseq, codes, letters="\u00e4\u00f6\u00fc") if said.startswith("belongs") else bpe(fairseq, codes)
    if said.startswith("belongs"):
        for file in model.folder.glob("dict.*.txt"):
            file.write_text("".join(f"wort{n:02d}@@ 1\n" for n in range(27 if "de" in file.name else 33)))

    assert any(said in reason for reason in reasons_of(model.write()))


def test_subwords_that_are_missing_or_many(fairseq, vocabulary):
    """A folder must say what its texts were cut with, once."""
    model = fairseq()
    path = model.write()
    shutil.copy(model.folder / "sentencepiece.bpe.model", model.folder / "other.model")
    assert any("several files could hold a SentencePiece model" in reason for reason in reasons_of(path))

    for file in model.folder.glob("*.model"):
        file.rename(file.with_name(f"spm.{'de' if 'other' in file.name else 'en'}.model"))
    assert read_fairseq(path, None, None).tokenizer.kind == "sentencepiece-vocabulary"

    for file in model.folder.glob("*.model"):
        file.write_bytes(b"\x0a\x03abc")
    assert any("is not a SentencePiece model" in reason for reason in reasons_of(path))

    for file in model.folder.glob("*.model"):
        file.unlink()
    assert any("a SentencePiece model, which is missing" in reason for reason in reasons_of(path))


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


def test_a_card_may_state_the_licence(fairseq):
    """As it may beside other models."""
    model = fairseq()
    (model.folder / "README.md").write_text("---\nlicense: mit\n---\n")

    assert read_fairseq(model.write(), None, None).licence == "MIT"


def test_what_was_never_told_about_positions_is_bounded(fairseq):
    """Sinusoids for a million positions would be a table of a million; it is said that fewer are kept."""
    model = fairseq(max_source_positions=1_000_000)

    checkpoint = read_fairseq(model.write(), None, None)

    assert checkpoint.limits.max_source_tokens == 4096
    assert any("max_source_positions is 1000000" in note for note in checkpoint.notes)
