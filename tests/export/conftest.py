"""Tiny Marian models, written in every form that is read. Names are spelt out here, independently of the importer."""

import argparse
import functools
import io
import shutil
import struct
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sentencepiece
import torch
import yaml
from torch import nn

from dragoman.export.importers.marian.bin import FLOAT32, INT8, INTGEMM8, Item, write_items
from dragoman.export.network.network import MASKED

WIDTH, INNER, HEADS, WORDS = 8, 12, 2, 24


@dataclass
class TinyMarian:
    """Options and parameters of a model; change them, then write."""

    folder: Path
    options: dict[str, Any]
    parameters: dict[str, np.ndarray]
    settings: dict[str, Any] = field(default_factory=dict)

    def write(self, form: str = "bin") -> Path:
        """Write the model (`bin`, `int8` or `npz`) and its settings; the folder is returned."""
        config = yaml.safe_dump(self.options).encode() + b"\0"
        name = f"model.ende.{'npz' if form == 'npz' else 'bin'}"
        if form == "npz":
            np.savez(self.folder / name, **self.parameters, **{"special:model.yml": np.frombuffer(config, np.int8)})
        else:
            items = [self._item(key, value, form) for key, value in sorted(self.parameters.items())]
            items.append(Item("special:model.yml", INT8, (len(config),), memoryview(config)))
            write_items(self.folder / name, items)
        if self.settings:
            (self.folder / "config.yml").write_text(yaml.safe_dump({"models": [name], **self.settings}))
        return self.folder

    @staticmethod
    def _item(name: str, value: np.ndarray, form: str) -> Item:
        is_matrix = "Wemb" in name or ("_W" in name and "_ln_" not in name and not name.endswith("_QuantMultA"))
        if form == "int8" and is_matrix:
            multiplier = np.float32(127 / np.abs(value).max())
            integers = np.rint(value * multiplier).astype(np.int8)
            stored = integers if "Wemb" in name else integers.T
            data = stored.tobytes() + struct.pack("<f", multiplier) + b"garbage"
            return Item(name, INTGEMM8, value.shape, memoryview(data))
        data = value.astype("<f4").tobytes()
        return Item(name, FLOAT32, value.shape, memoryview(data + b"\xff" * (-len(data) % 256)))


def _attention(prefix: str, norm: str) -> dict[str, tuple[int, ...]]:
    shapes: dict[str, tuple[int, ...]] = {}
    for part in "qkvo":
        shapes |= {f"{prefix}_W{part}": (WIDTH, WIDTH), f"{prefix}_b{part}": (1, WIDTH)}
    return shapes | _norm(f"{prefix}_Wo", norm)


def _norm(prefix: str, norm: str) -> dict[str, tuple[int, ...]]:
    return {f"{prefix}_ln_{part}{'_pre' if norm == 'pre' else ''}": (1, WIDTH) for part in ("scale", "bias")}


def _feed_forward(prefix: str, norm: str) -> dict[str, tuple[int, ...]]:
    shapes = {"W1": (WIDTH, INNER), "b1": (1, INNER), "W2": (INNER, WIDTH), "b2": (1, WIDTH)}
    return {f"{prefix}_ffn_{name}": shape for name, shape in shapes.items()} | _norm(f"{prefix}_ffn_ffn", norm)


def shapes_of(decoder: str, norm: str, tying: str) -> dict[str, tuple[int, ...]]:
    """One encoder layer and two decoder layers, under Marian's names."""
    shapes: dict[str, tuple[int, ...]] = {"decoder_ff_logit_out_b": (1, WORDS)}
    shapes |= dict.fromkeys(["Wemb"] if tying == "all" else ["encoder_Wemb", "decoder_Wemb"], (WORDS, WIDTH))
    if tying == "none":
        shapes["decoder_ff_logit_out_Wt"] = (WORDS, WIDTH)
    shapes |= _attention("encoder_l1_self", norm) | _feed_forward("encoder_l1", norm)
    for layer in ("decoder_l1", "decoder_l2"):
        if decoder == "ssru":
            shapes |= {
                f"{layer}_rnn_W": (WIDTH, WIDTH),
                f"{layer}_rnn_Wf": (WIDTH, WIDTH),
                f"{layer}_rnn_bf": (1, WIDTH),
            }
            shapes |= _norm(f"{layer}_rnn" if norm == "pre" else f"{layer}_rnn_ffn", norm)
        else:
            shapes |= _attention(f"{layer}_self", norm)
        shapes |= _attention(f"{layer}_context", norm) | _feed_forward(layer, norm)
    if norm == "pre":
        shapes |= _norm("encoder_top", "post") | _norm("decoder_top", "post")
    return shapes


def options_of(decoder: str, norm: str, tying: str) -> dict[str, Any]:
    """The options that Marian saves with such a model, and some that say nothing about it."""
    is_pre = norm == "pre"
    return {
        "type": "transformer",
        "enc-depth": 1,
        "dec-depth": 2,
        "dim-emb": WIDTH,
        "dim-vocabs": [WORDS, WORDS],
        "dim-rnn": 1024,
        "enc-cell": "gru",
        "transformer-heads": HEADS,
        "transformer-dim-ffn": INNER,
        "transformer-ffn-depth": 2,
        "transformer-ffn-activation": "relu",
        "transformer-preprocess": "n" if is_pre else "",
        "transformer-postprocess": "da" if is_pre else "dan",
        "transformer-postprocess-top": "n" if is_pre else "",
        "transformer-postprocess-emb": "d",
        "transformer-decoder-autoreg": "rnn" if decoder == "ssru" else "self-attention",
        "transformer-tied-layers": [],
        "dec-cell": "ssru",
        "tied-embeddings-all": tying == "all",
        "tied-embeddings": tying == "decoder",
        "layer-normalization": False,
        "version": "v1.9.56",
    }


@pytest.fixture(scope="session")
def vocabulary(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A SentencePiece model of exactly WORDS pieces, numbered as Marian numbers them."""
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(["a cab ride", "bad ideas decide", "be rice, deer beer", "acid bread braces"] * 5),
        model_writer=model,
        vocab_size=WORDS,
        eos_id=0,
        unk_id=1,
        bos_id=-1,
        pad_id=-1,
        minloglevel=2,
    )
    return model.getvalue()


@pytest.fixture
def marian(tmp_path, vocabulary):
    """Make a tiny model in `tmp_path`, with its vocabulary."""

    def make(decoder: str = "ssru", norm: str = "post", tying: str = "all") -> TinyMarian:
        random = np.random.default_rng(7)
        shapes = shapes_of(decoder, norm, tying)
        parameters = {name: random.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}
        (tmp_path / "vocab.ende.spm").write_bytes(vocabulary)
        return TinyMarian(tmp_path, options_of(decoder, norm, tying), parameters)

    return make


@pytest.fixture(scope="session")
def saved_t5(tmp_path_factory, vocabulary):
    """A tiny T5 as transformers saves it, with a SentencePiece model, a card, and decoding defaults."""
    import transformers

    folder = tmp_path_factory.mktemp("t5")
    torch.manual_seed(3)
    pad = WORDS + 1
    sizes = {"d_model": 16, "d_kv": 6, "d_ff": 20, "num_layers": 1, "num_heads": 2}
    config = transformers.T5Config(vocab_size=WORDS + 4, pad_token_id=pad, eos_token_id=0, **sizes)
    model = transformers.T5ForConditionalGeneration(config)
    for weight in model.parameters():
        torch.nn.init.normal_(weight, 0.1, 0.5)
    model.generation_config.update(decoder_start_token_id=pad, bad_words_ids=[[pad]], num_beams=3, max_length=20)
    model.save_pretrained(folder)
    (folder / "spiece.model").write_bytes(vocabulary)
    (folder / "README.md").write_text("---\nlanguage: en\nlicense: apache-2.0\n---\n# A model\n", encoding="utf-8")
    return folder


@pytest.fixture
def t5(tmp_path, saved_t5):
    """A copy of it, to be spoilt."""
    return Path(shutil.copytree(saved_t5, tmp_path / "t5"))


PLAIN_WORDS = 40
CELLS = {"lstm": (nn.LSTM, nn.LSTMCell), "gru": (nn.GRU, nn.GRUCell)}


class RecurrentReference(nn.Module):
    """A recurrent encoder-decoder as one would write it with torch: one source, one word at a time."""

    def __init__(self, kind, attention, *, bidirectional=True, layers=2, feeding=True, bridge=True, memory=10, out=9):
        super().__init__()
        self.kind, self.attention, self.feeding = kind, attention, feeding
        rnn, cell = CELLS[kind]
        hidden, score = (memory, 7) if not bridge or attention == "dot" else (8, 7)
        one_way = memory // 2 if bidirectional else memory
        self.source, self.target = nn.Embedding(PLAIN_WORDS, 6), nn.Embedding(PLAIN_WORDS, 5)
        self.rnn = rnn(6, one_way, layers, bidirectional=bidirectional, batch_first=True)
        widths = [5 + (hidden if feeding else 0), *[hidden] * (layers - 1)]
        self.cells = nn.ModuleList(cell(width, hidden) for width in widths)
        names = ("hidden", "cell") if kind == "lstm" else ("hidden",)
        self.bridges = nn.ModuleDict({name: nn.Linear(memory, hidden) for name in names} if bridge else {})
        if attention == "general":
            self.key = nn.Linear(memory, hidden, bias=False)
        if attention == "additive":
            self.key, self.query = nn.Linear(memory, score), nn.Linear(hidden, score, bias=False)
            self.score = nn.Parameter(torch.empty(score))
        self.combine = None if attention == "none" else nn.Linear(memory + hidden, hidden)
        self.out = nn.Linear(hidden, out) if out != hidden else None
        self.words = nn.Linear(out, PLAIN_WORDS)
        self.architecture = {
            "d_model": out,
            "heads": 0,
            "ffn": 0,
            "encoder_layers": layers,
            "decoder_layers": layers,
            "source_vocabulary": PLAIN_WORDS,
            "target_vocabulary": PLAIN_WORDS,
            "decoder": kind,
            "tying": "none",
            "recurrent": {
                "source_width": 6,
                "target_width": 5,
                "encoder_hidden": one_way,
                "decoder_hidden": hidden,
                "bidirectional": bidirectional,
                "attention": attention,
                "attention_width": score if attention == "additive" else None,
                "input_feeding": feeding,
                "bridge": bridge,
                **({"output_reads": []} if attention == "none" else {}),
            },
        }
        for weight in self.parameters():
            nn.init.normal_(weight, 0, 0.7)

    def weights(self):
        """Under the names of a plain folder."""
        found = {"source_embedding": self.source.weight, "target_embedding": self.target.weight}
        found |= {"output_embedding": self.words.weight, "output_bias": self.words.bias}
        parts = {"encoder.rnn": self.rnn, "decoder.attention.out": self.combine, "decoder.out": self.out}
        parts |= {f"decoder.bridge.{name}": bridge for name, bridge in self.bridges.items()}
        parts |= {f"decoder.layers.{n}": cell for n, cell in enumerate(self.cells)}
        parts |= {f"decoder.attention.{name}": getattr(self, name, None) for name in ("key", "query")}
        for prefix, part in parts.items():
            found |= {} if part is None else {f"{prefix}.{name}": weight for name, weight in part.named_parameters()}
        return found | ({"decoder.attention.score": self.score} if self.attention == "additive" else {})

    @torch.inference_mode()
    def forward(self, source, read):
        """Logits [T, V] after each word that is read, and what each attended to [T, S]."""
        memory, last = self.rnn(self.source(torch.tensor([source])))
        memory, last = memory[0], last if self.kind == "lstm" else (last,)
        # [layers * directions, 1, h] -> for each layer its directions side by side
        states = [state.reshape(len(self.cells), -1) for state in last]
        if self.bridges:
            states = [bridge(state) for bridge, state in zip(self.bridges.values(), states, strict=True)]
        own = [[state[n : n + 1] for state in states] for n in range(len(self.cells))]
        fed, logits, attended = torch.zeros(1, self.cells[0].hidden_size), [], []
        for word in read:
            x = self.target(torch.tensor([word]))
            x = torch.cat([x, fed], 1) if self.feeding else x
            for n, cell in enumerate(self.cells):
                new = cell(x, tuple(own[n])) if self.kind == "lstm" else (cell(x, own[n][0]),)
                own[n], x = list(new), new[0]
            if self.attention == "none":
                fed = x
                logits.append(self.words(fed if self.out is None else self.out(fed))[0])
                continue
            scores = {
                "dot": lambda h: memory @ h,
                "general": lambda h: self.key(memory) @ h,
                "additive": lambda h: torch.tanh(self.query(h) + self.key(memory)) @ self.score,
            }[self.attention](x[0])
            weights = scores.softmax(0)
            fed = torch.tanh(self.combine(torch.cat([weights @ memory, x[0]])))[None]
            logits.append(self.words(fed if self.out is None else self.out(fed))[0])
            attended.append(weights)
        return torch.stack(logits), torch.stack(attended) if attended else None

    def assert_same_steps(self, network):
        """Logits and attention of each step, of a padded batch, are within 1e-4; so are those of the full pass."""
        sources = [[5, 6, 7, 8, 9, 10, 0], [11, 0], [0], [5, 12, 13, 0]]
        target = torch.randint(0, PLAIN_WORDS, (len(sources), 6))
        ids = torch.tensor([[*source, *[0] * (7 - len(source))] for source in sources])
        mask = torch.zeros(len(sources), 1, 1, 7)
        for g, source in enumerate(sources):
            mask[g, ..., len(source) :] = MASKED
        memory = network.memory(ids, mask)
        state, found, attended = network.first(memory), [], []
        for t in range(6):
            x, row, state = network.step(target[:, t : t + 1], torch.full((4, 1), t), None, state, memory, mask)
            state = [each[:, None] for each in state]
            found.append(network.logits(x))
            attended += [] if row is None else [row[:, 0]]
        full = network.full(target, memory, mask)
        for g, source in enumerate(sources):
            logits, weights = self(source, target[g].tolist())
            for ours in (torch.stack(found, 1)[g], full[g]):
                torch.testing.assert_close(ours, logits, atol=1e-4, rtol=1e-4)
            assert (weights is None) == (not attended)
            if weights is not None:
                rows = torch.stack(attended, 1)[g, :, : len(source)]
                torch.testing.assert_close(rows, weights, atol=1e-4, rtol=1e-4)


@pytest.fixture
def recurrent_reference():
    """Makes recurrent models of torch's own cells, with weights that are the same each time."""

    def make(kind, attention, **shape):
        torch.manual_seed(3)
        return RecurrentReference(kind, attention, **shape)

    return make


FAIRSEQ_WORDS = 31, 37
FAIRSEQ_OPTIONS = {
    "arch": "transformer_tiny",
    "task": "translation",
    "source_lang": "de",
    "target_lang": "en",
    "encoder_embed_dim": 12,
    "encoder_ffn_embed_dim": 18,
    "encoder_layers": 2,
    "encoder_attention_heads": 3,
    "decoder_embed_dim": 12,
    "decoder_ffn_embed_dim": 20,
    "decoder_layers": 2,
    "decoder_attention_heads": 2,
    "encoder_normalize_before": False,
    "decoder_normalize_before": False,
    "encoder_learned_pos": False,
    "decoder_learned_pos": False,
    "max_source_positions": 40,
    "max_target_positions": 32,
    "activation_fn": "relu",
    "share_all_embeddings": False,
    "share_decoder_input_output_embed": False,
    "no_scale_embedding": False,
    "layernorm_embedding": False,
    "dropout": 0.3,
}


@dataclass
class TinyFairseq:
    """Options and tensors of a model as fairseq keeps them; change them, then write."""

    folder: Path
    options: dict[str, Any]
    tensors: dict[str, torch.Tensor]

    def write(self, form: str = "args", name: str = "model.pt", **how: Any) -> Path:
        """Save with `args`, or with a `cfg` that is `flat` or `nested`; the file is returned."""
        options = dict(self.options)
        saved: dict[str, Any] = {"args": None, "cfg": None, "model": self.tensors, "extra_state": {"epoch": 1}}
        if form == "args":
            saved["args"] = argparse.Namespace(**options)
        else:
            task = {
                "_name": options.pop("task"),
                **{f"{s}_lang": options.pop(f"{s}_lang") for s in ("source", "target")},
            }
            model: dict[str, Any] = {"_name": options.pop("arch")}
            for key, value in options.items():
                side, _, rest = key.partition("_")
                if form == "nested" and side in ("encoder", "decoder"):
                    model.setdefault(side, {})[rest] = value
                else:
                    model[key] = value
            saved["cfg"] = {"task": task, "model": argparse.Namespace(**model) if form == "flat" else model}
        torch.save(saved, self.folder / name, **how)
        return self.folder / name


def fairseq_shapes(o: dict[str, Any], words: tuple[int, int]) -> dict[str, tuple[int, ...]]:
    """Every tensor of a model with these options, under fairseq's names."""
    shapes: dict[str, tuple[int, ...]] = {}
    for side, rows in zip(("encoder", "decoder"), words, strict=True):
        d, ffn = o[f"{side}_embed_dim"], o[f"{side}_ffn_embed_dim"]
        shapes[f"{side}.version"] = (1,)
        shapes[f"{side}.embed_tokens.weight"] = (rows, o.get("decoder_input_dim", d) if side == "decoder" else d)
        if o[f"{side}_learned_pos"]:
            most = o["max_source_positions" if side == "encoder" else "max_target_positions"]
            shapes[f"{side}.embed_positions.weight"] = (most + 2, d)
        norms = ["self_attn_layer_norm", "final_layer_norm"] + (
            ["encoder_attn_layer_norm"] if side == "decoder" else []
        )
        for n in range(o[f"{side}_layers"]):
            layer = f"{side}.layers.{n}"
            for part in ("self_attn", *(("encoder_attn",) if side == "decoder" else ())):
                for p in "qkv":
                    width = o["encoder_embed_dim"] if part == "encoder_attn" and p != "q" else d
                    shapes |= {f"{layer}.{part}.{p}_proj.weight": (d, width), f"{layer}.{part}.{p}_proj.bias": (d,)}
                shapes |= {f"{layer}.{part}.out_proj.weight": (d, d), f"{layer}.{part}.out_proj.bias": (d,)}
            shapes |= {f"{layer}.fc1.weight": (ffn, d), f"{layer}.fc1.bias": (ffn,)}
            shapes |= {f"{layer}.fc2.weight": (d, ffn), f"{layer}.fc2.bias": (d,)}
            shapes |= {f"{layer}.{norm}.{kind}": (d,) for norm in norms for kind in ("weight", "bias")}
        top = [f"{side}.layernorm_embedding"] if o["layernorm_embedding"] else []
        if o[f"{side}_normalize_before"] and not (side == "decoder" and o.get("no_decoder_final_norm")):
            top.append(f"{side}.layer_norm")
        shapes |= {f"{norm}.{kind}": (d,) for norm in top for kind in ("weight", "bias")}
    d, into, out = o["decoder_embed_dim"], o.get("decoder_input_dim"), o.get("decoder_output_dim")
    if into is not None:
        shapes["decoder.project_in_dim.weight"] = (d, into)
    if out is not None:
        shapes["decoder.project_out_dim.weight"] = (out, d)
    shapes["decoder.output_projection.weight"] = (words[1], out or d)
    return shapes


@pytest.fixture(scope="session")
def fairseq_in(vocabulary):
    """Make a tiny model with random weights in a folder, beside its dictionaries and subwords."""
    import sentencepiece

    pieces = sentencepiece.SentencePieceProcessor(model_proto=vocabulary)
    listed = [pieces.id_to_piece(n) for n in range(pieces.get_piece_size()) if not pieces.is_control(n)]
    listed.remove("<unk>")

    def make(folder: Path, **options: Any) -> TinyFairseq:
        o = {**FAIRSEQ_OPTIONS, **options}
        is_shared = o["share_all_embeddings"]
        words = (FAIRSEQ_WORDS[0],) * 2 if is_shared else FAIRSEQ_WORDS
        for side, rows in zip(("source", "target"), words, strict=True):
            fillers = [f"madeupword{n:04d}" for n in range(rows - 4 - len(listed))]
            order = listed if is_shared or side == "source" else listed[::-1]
            lines = "".join(f"{word} 9\n" for word in (*order, *fillers))
            (folder / f"dict.{o[f'{side}_lang']}.txt").write_text(lines, encoding="utf-8")
        (folder / "sentencepiece.bpe.model").write_bytes(vocabulary)
        torch.manual_seed(11)
        tensors = {}
        for name, shape in fairseq_shapes(o, words).items():
            is_scale = "norm" in name and name.endswith("weight")
            tensors[name] = torch.full((1,), 3.0) if name.endswith("version") else torch.randn(shape) * 0.4 + is_scale
        if is_shared:
            tensors["decoder.embed_tokens.weight"] = tensors["encoder.embed_tokens.weight"]
        if is_shared or o["share_decoder_input_output_embed"]:
            tensors["decoder.output_projection.weight"] = tensors["decoder.embed_tokens.weight"]
        return TinyFairseq(folder, o, tensors)

    return make


@pytest.fixture
def fairseq(tmp_path, fairseq_in):
    """The same in `tmp_path`."""
    return functools.partial(fairseq_in, tmp_path)
