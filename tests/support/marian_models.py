"""Random recurrent models as Marian saves them; names and shapes of parameters are those of Marian's own source.

`make test-marian` has Marian itself decode them, and tests without Marian compare with what it then said of some.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

WORDS = 40
SOURCES = [
    "w3 w9 w4 w5 w8 w31",
    "w7",
    "w35 w36 w37",
    "w38 w28 w15",
    "w16 w17 w18 w19 w20 w24",
    "w25 w30",
    "w6 w2 w2 w39 w12 w13 w14 w20 w21 w22 w23 w6 w2",
    "w11 w5",
    "w10 w11 w12 w13",
]
BASE: dict[str, Any] = {
    "type": "s2s",
    "dim-emb": 14,
    "dim-rnn": 18,
    "enc-type": "bidirectional",
    "enc-cell": "gru",
    "enc-cell-depth": 1,
    "enc-depth": 1,
    "dec-cell": "gru",
    "dec-cell-base-depth": 2,
    "dec-cell-high-depth": 1,
    "dec-depth": 1,
    "skip": False,
    "layer-normalization": False,
    "tied-embeddings": False,
    "tied-embeddings-src": False,
    "tied-embeddings-all": False,
}
CASES: dict[str, dict[str, Any]] = {
    "amun": {"type": "amun"},
    "amun-norms": {"type": "amun", "layer-normalization": True, "tied-embeddings": True},
    "nematus": {
        "type": "nematus",
        "enc-cell": "gru-nematus",
        "dec-cell": "gru-nematus",
        "layer-normalization": True,
        "enc-cell-depth": 3,
        "dec-cell-base-depth": 4,
    },
    "nematus-plain": {
        "type": "nematus",
        "enc-cell": "gru-nematus",
        "dec-cell": "gru-nematus",
        "enc-depth": 2,
        "dec-depth": 2,
        "skip": True,
    },
    "lstm": {"enc-cell": "lstm", "dec-cell": "lstm", "enc-depth": 2, "dec-depth": 3, "skip": True},
    "lstm-norms": {
        "enc-cell": "lstm",
        "dec-cell": "lstm",
        "layer-normalization": True,
        "enc-type": "bi-unidirectional",
        "enc-depth": 3,
        "skip": True,
        "dec-cell-base-depth": 1,
        "tied-embeddings-src": True,
    },
    "alternating": {
        "enc-type": "alternating",
        "enc-depth": 4,
        "enc-cell-depth": 2,
        "dec-depth": 3,
        "dec-cell-base-depth": 4,
        "dec-cell-high-depth": 2,
        "layer-normalization": True,
        "skip": True,
        "tied-embeddings-all": True,
    },
    "one-way": {"enc-type": "bi-unidirectional", "enc-depth": 2, "enc-cell-depth": 2, "dec-depth": 2},
    "tanh": {"enc-cell": "tanh", "dec-cell": "tanh", "enc-depth": 2, "dec-depth": 2, "dec-cell-high-depth": 2},
}

AMUN = {
    "decoder_cell1_": "decoder_",
    "decoder_ff_logit_l1_W0": "ff_logit_prev_W",
    "decoder_ff_logit_l1_W1": "ff_logit_lstm_W",
    "decoder_ff_logit_l1_W2": "ff_logit_ctx_W",
    "decoder_ff_logit_l1_b0": "ff_logit_prev_b",
    "decoder_ff_logit_l1_b1": "ff_logit_lstm_b",
    "decoder_ff_logit_l1_b2": "ff_logit_ctx_b",
    "decoder_ff_logit_l1_gamma": "ff_logit_l1_gamma",
    "decoder_ff_logit_l2_": "ff_logit_",
    "decoder_ff_state_": "ff_state_",
    "decoder_cell2_W": "decoder_Wc",
    "decoder_Wemb": "Wemb_dec",
    "encoder_Wemb": "Wemb",
    "encoder_bi_r_": "encoder_r_",
    "encoder_bi_": "encoder_",
}
"""Beginnings of names, and what stands for them in files of the type amun."""


class Parameters:
    """Names and shapes of a model's parameters, as Marian's source has them."""

    def __init__(self, options: dict[str, Any]) -> None:
        self.options = options
        self.shapes: dict[str, tuple[int, int]] = {}
        self.norm = options["layer-normalization"] and options["type"]
        self.emb, self.rnn = options["dim-emb"], options["dim-rnn"]
        self._encoder()
        self._decoder()

    def add(self, name: str, *shape: int) -> None:
        assert name not in self.shapes
        self.shapes[name] = (shape[0], shape[1])

    def cell(self, name: str, kind: str, inputs: int) -> None:
        gates = {"gru": 3, "gru-nematus": 3, "lstm": 4, "tanh": 1}[kind]
        parts = [("", 2), ("x", 1)] if gates == 3 else [("", gates)]
        for part, n in parts:
            self.add(f"{name}_U{part}", self.rnn, n * self.rnn)
            self.add(f"{name}_b{part}", 1, n * self.rnn)
            if inputs:
                self.add(f"{name}_W{part}", inputs, n * self.rnn)
            for each in ("W", "U") if inputs else ("U",):
                if self.norm and kind == "gru-nematus":
                    self.add(f"{name}_{each}{part}_lns", 1, n * self.rnn)
                    self.add(f"{name}_{each}{part}_lnb", 1, n * self.rnn)
        if self.norm and kind != "gru-nematus":
            for number in (1, 2) if inputs else (2,):
                self.add(f"{name}_gamma{number}", 1, gates * self.rnn)

    def dense(self, name: str, inputs: int, outputs: int, number: str = "") -> None:
        self.add(f"{name}_W{number}", inputs, outputs)
        self.add(f"{name}_b{number}", 1, outputs)
        if self.norm == "nematus":
            self.add(f"{name}_ln_s{number}", 1, outputs)
            self.add(f"{name}_ln_b{number}", 1, outputs)
        elif self.norm:
            self.add(f"{name}_gamma{number}", 1, outputs)

    def _encoder(self) -> None:
        o, kind = self.options, self.options["enc-cell"]
        depth, cells = o["enc-depth"], range(1, o["enc-cell-depth"] + 1)
        is_tower = o["enc-type"] == "bi-unidirectional"
        for side in ("", "_r"):
            for i in range(1, (1 if is_tower else depth) + 1):
                for j in cells:
                    name = f"encoder_bi{side}" + (f"_l{i}" if i > 1 else "") + (f"_cell{j}" if i > 1 or j > 1 else "")
                    self.cell(name, kind, (self.emb if i == 1 else self.rnn) if j == 1 else 0)
        if is_tower:
            for i in range(2, depth + 1):
                for j in cells:
                    self.cell(f"encoder_l{i}_cell{j}", kind, (2 * self.rnn if i == 2 else self.rnn) if j == 1 else 0)
        self.memory = self.rnn if is_tower and depth > 1 else 2 * self.rnn

    def _decoder(self) -> None:
        o, kind, m = self.options, self.options["dec-cell"], self.memory
        for i in range(1, o["dec-cell-base-depth"] + 1):
            self.cell(f"decoder_cell{i}", kind, self.emb if i == 1 else m if i == 2 else 0)
        for i in range(2, o["dec-depth"] + 1):
            for j in range(1, o["dec-cell-high-depth"] + 1):
                self.cell(f"decoder_l{i}_cell{j}", kind, self.rnn if j == 1 else 0)
        self.add("decoder_W_comb_att", self.rnn, m)
        self.add("decoder_Wc_att", m, m)
        self.add("decoder_U_att", m, 1)
        self.add("decoder_b_att", 1, m)
        for each in ("Wc_att", "W_comb_att") if self.norm == "nematus" else ():
            self.add(f"decoder_{each}_lns", 1, m)
            self.add(f"decoder_{each}_lnb", 1, m)
        for number in (1, 2) if self.norm and self.norm != "nematus" else ():
            self.add(f"decoder_att_gamma{number}", 1, m)
        self.dense("decoder_ff_state", m, self.rnn)
        for number, inputs in enumerate((self.emb, self.rnn, m)):
            self.dense("decoder_ff_logit_l1", inputs, self.emb, str(number))
        self.add("decoder_ff_logit_l2_b", 1, WORDS)
        if o["tied-embeddings-all"] or o["tied-embeddings-src"]:
            self.add("Wemb", WORDS, self.emb)
        else:
            self.add("encoder_Wemb", WORDS, self.emb)
            self.add("decoder_Wemb", WORDS, self.emb)
        if not (o["tied-embeddings-all"] or o["tied-embeddings"]):
            self.add("decoder_ff_logit_l2_Wt", WORDS, self.emb)


def saved_names(names: list[str]) -> Iterator[tuple[str, str]]:
    """Names, and those that files of the types amun and nematus have for them."""
    second = {"decoder_cell2_U": "decoder_U_nl", "decoder_cell2_Ux": "decoder_Ux_nl", "decoder_cell2_b": "decoder_b_nl"}
    second |= {"decoder_cell2_bx": "decoder_bx_nl", "decoder_cell2_Wx": "decoder_Wcx", "decoder_cell2_W": "decoder_Wc"}
    whole = {"decoder_cell1_gamma1", "decoder_cell1_gamma2", "decoder_cell2_gamma1", "decoder_cell2_gamma2"}
    whole |= {"decoder_ff_logit_l2_Wt"}
    parts = {"0": "prev", "1": "lstm", "2": "ctx"}
    for name in names:
        base, norm = (name[:-4], name[-4:]) if name.endswith(("_lns", "_lnb")) else (name, "")
        if name in whole:
            yield name, name
        elif base in second:
            yield name, second[base] + norm
        elif name.startswith("decoder_ff_logit_l1_ln_"):
            yield name, f"ff_logit_{parts[name[-1]]}_{name[len('decoder_ff_logit_l1_') : -1]}"
        elif name.startswith(("encoder_bi_cell", "encoder_bi_r_cell")):
            side, cell = name[len("encoder_bi") :].split("_cell")
            number, _, part = cell.partition("_")
            stem, _, tail = part.partition("_")
            yield name, f"encoder{side}_{stem}_drt_{int(number) - 1}" + (f"_{tail}" if tail else "")
        elif name.startswith("decoder_cell") and name[len("decoder_cell")] > "2":
            number, _, part = name[len("decoder_cell") :].partition("_")
            stem, _, tail = part.partition("_")
            yield name, f"decoder_{stem}_nl_drt_{int(number) - 2}" + (f"_{tail}" if tail else "")
        elif name.startswith(("encoder_bi_l", "encoder_bi_r_l")):
            yield name, name
        else:
            begin = next((begin for begin in AMUN if name.startswith(begin)), None)
            yield name, name if begin is None else AMUN[begin] + name[len(begin) :]


def weights(options: dict[str, Any], seed: int) -> dict[str, np.ndarray]:
    """Random weights: matrices that make states differ, norms about one, and an end of a sentence now and then."""
    rng = np.random.default_rng(seed)
    made = {}
    # Plain cells have no gates that keep small differences from growing.
    size = 0.8 if options["dec-cell"] == "tanh" else 1.4
    for name, shape in Parameters(options).shapes.items():
        is_scale = name.endswith(("_lns", "_s", "_s0", "_s1", "_s2")) or "gamma" in name
        values = rng.normal(0, size / shape[0] ** 0.5 if shape[0] > 1 else 0.5, shape)
        made[name] = (values * 0.3 + 1 if is_scale else values).astype(np.float32)
    for name in ("Wemb", "encoder_Wemb", "decoder_Wemb", "decoder_ff_logit_l2_Wt"):
        if name in made:
            made[name] = rng.normal(0, 1.0, made[name].shape).astype(np.float32)
    made["decoder_ff_logit_l2_b"][0, 0] += 2.0
    return made


def save(folder: Path, name: str) -> dict[str, Any]:
    """Write the model of a case and its vocabulary, and return its options."""
    folder.mkdir(parents=True, exist_ok=True)
    options = BASE | CASES[name]
    words = ["</s>", "<unk>", *(f"w{n}" for n in range(2, WORDS))]
    (folder / "vocab.yml").write_text("".join(f'"{word}": {index}\n' for index, word in enumerate(words)))
    write(folder / "model.npz", weights(options, [*CASES].index(name)), options)
    return options


def write(file: Path, arrays: dict[str, np.ndarray], options: dict[str, Any]) -> None:
    """A model file of these parameters and options."""
    if options["type"] in ("amun", "nematus"):
        arrays = {saved: arrays[name] for name, saved in saved_names(list(arrays))}
        arrays["decoder_c_tt"] = np.zeros((1, 0), np.float32)
    more = {"dim-vocabs": [WORDS, WORDS], "vocabs": ["vocab.yml"] * 2, "version": "v1.12.42", "max-length": 50}
    text = "\n".join(f"{key}: {json.dumps(value)}" for key, value in (options | more).items()) + "\n"
    np.savez(file, **arrays, **{"special:model.yml": np.frombuffer(text.encode() + b"\0", np.int8)})
