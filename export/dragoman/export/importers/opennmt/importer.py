"""Import a checkpoint of OpenNMT-py, `.pt`, of release 3: an RNN or a Transformer with its vocabularies.

    1. the file -> tensors, options, vocabularies     files/torch_pickle reads it and runs nothing
    2. options and tensors -> canonical weights       networks
    3. SentencePiece beside it                        files/listed_words

Its sources have no end token; its translations begin with `<s>`.
"""

from pathlib import Path
from typing import Any

import torch

from dragoman.bundle.manifest import Decoding, LanguagePair, Limits, Tokenizer
from dragoman.bundle.rules import MAX_LENGTH_FACTOR
from dragoman.export.core.checkpoint import Checkpoint
from dragoman.export.core.reasons import Reasons, short
from dragoman.export.importers.files.listed_words import ListedWords, Lists, read_listed_words
from dragoman.export.importers.files.model_card import CARD, licence_of
from dragoman.export.importers.files.tensors import Pickled, Tensors
from dragoman.export.importers.files.torch_pickle import plain, read_pickle
from dragoman.export.importers.files.word_tables import Cut
from dragoman.export.importers.opennmt.folder import checkpoint_of
from dragoman.export.importers.opennmt.networks import Network, Saved, read_network

BEGIN, END, UNKNOWN, BLANK = "<s>", "</s>", "<unk>", "<blank>"
BEAM, LONGEST = 5, 250
"""onmt_translate's own."""


def read_opennmt(
    path: Path, source_language: str | None, target_language: str | None, words: Cut | None = None
) -> Checkpoint:
    """Read the model at `path`, a checkpoint or a folder with one. Raises `ExportError`."""
    reasons = Reasons()
    file = checkpoint_of(path)
    reasons.require(file, "there is no checkpoint of OpenNMT-py, or several: name the .pt file")
    reasons.require(source_language and target_language, "a checkpoint does not say its languages: --from and --to")
    reasons.raise_if_any(path)
    assert file is not None, "a file that is not found is a reason"
    pair = LanguagePair(str(source_language), str(target_language))
    saved = read_pickle(file, reasons)
    reasons.raise_if_any(path)
    source, lists = _source(file, saved, reasons), _lists(saved, reasons)
    network = None if source is None else read_network(source)
    found = None if lists is None else _tokenizer(file, saved, lists, network, words, reasons)
    reasons.raise_if_any(path)
    assert network is not None, "a network that is not read has a reason"
    assert found is not None, "a tokenizer that is not read has a reason"
    arch, weights = network
    licence = licence_of(file.parent / CARD)
    return Checkpoint(
        name=str(pair),
        pairs=(pair,),
        architecture=arch,
        weights=weights,
        quantized={},
        tokenizer=found[0],
        tokenizer_files=found[1].files,
        decoding=Decoding(
            profile="ct2",
            beam_size=BEAM,
            length_penalty=0.0,
            max_length=min(LONGEST, arch.max_positions),
            max_length_factor=MAX_LENGTH_FACTOR,
            unknown_handling="allow",
        ),
        limits=Limits(arch.max_positions, arch.max_positions),
        source_format=f"opennmt-{'rnn' if arch.recurrent else 'transformer'}",
        source_files=(file, *found[1].read),
        licence=licence,
        notes=() if licence else ("the files state no licence",),
    )


def _source(file: Path, saved: Any, reasons: Reasons) -> Saved | None:
    model, generator = (saved.get(name) if isinstance(saved, dict) else None for name in ("model", "generator"))
    if not isinstance(model, dict) or not isinstance(generator, dict):
        reasons.add("the checkpoint holds no model and generator: weights in a file of their own are not read")
        return None
    named = {**{str(n): t for n, t in model.items()}, **{f"generator.{n}": t for n, t in generator.items()}}
    tensors = {name: tensor for name, tensor in named.items() if isinstance(tensor, torch.Tensor)}
    try:
        options = plain(saved.get("opt"))
    except ValueError as error:
        reasons.add(str(error))
        return None
    if not isinstance(options, dict):
        reasons.add("the checkpoint holds no options")
        return None
    return Saved(options, Tensors((file,), dict.fromkeys(tensors, Pickled(tensors))), reasons)


def _lists(saved: Any, reasons: Reasons) -> Lists | None:
    vocabulary = saved.get("vocab") if isinstance(saved, dict) else None
    found = vocabulary if isinstance(vocabulary, dict) else {}
    sides = [found.get(side) for side in ("src", "tgt")]
    lists = [tuple(side) for side in sides if isinstance(side, list) and all(isinstance(word, str) for word in side)]
    if len(lists) != 2:
        reasons.add("the vocabularies are not lists of words: a checkpoint of before release 3 is not read")
        return None
    reasons.require(not found.get("src_feats"), "the source's words have features, which are not read")
    return lists[0], lists[1]


def _tokenizer(
    file: Path, saved: Any, lists: Lists, network: Network | None, words: Cut | None, reasons: Reasons
) -> tuple[Tokenizer, ListedWords] | None:
    source, target = lists
    start = saved["vocab"].get("decoder_start_token") or BEGIN
    for word in (END, start):
        reasons.require(word in target, f"{short(word)} is not in the target vocabulary")
    if network is not None:
        sizes = network[0].source_vocabulary, network[0].target_vocabulary
        reasons.require(sizes == (len(source), len(target)), "the vocabularies are not as long as the embeddings")
    special = frozenset((BEGIN, END, UNKNOWN, BLANK, str(start)))
    listed = read_listed_words((file.parent,), lists, special, UNKNOWN, words, reasons)
    if listed is None or len(reasons):
        return None
    return Tokenizer(
        kind=listed.kind,
        source=listed.models[0],
        target=listed.models[1],
        eos_id=target.index(END),
        unk_id=target.index(UNKNOWN),
        start_id=target.index(start),
        source_vocabulary=listed.tables[0],
        target_vocabulary=listed.tables[1],
        source_end=False,
        suppressed_ids=tuple(target.index(word) for word in (BLANK,) if word in target),
        hidden_ids=tuple(sorted(target.index(word) for word in special if word in target)),
    ), listed
