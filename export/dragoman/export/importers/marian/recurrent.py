"""Marian's recurrent models (`s2s`, `amun`, `nematus`): an architecture of options, canonical weights of parameters.

The three types are one network. Its encoder is two stacks of layers, or a tower on a layer of both ways; its decoder is
a pair of cells around additive attention, and more, that one state goes through, and layers on them. Files of `amun`
and `nematus` call parameters what Nematus did. `layer-normalization` norms each product before it is summed: of all
gates together, or, of `nematus`, the new state's apart, with biases before the norm.

The bias of a GRU's new state is within the reset gate's product in cells behind attention, and outside it in others.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from dragoman.bundle.manifest import Architecture, CellNorm, DecoderKind, EncoderForm, Recurrent
from dragoman.export.core.reasons import Reasons, short
from dragoman.export.importers.marian.files import Floats, MarianFile
from dragoman.export.importers.marian.options import (
    Options,
    check_fixed,
    read_size,
    read_tying,
    read_vocabularies,
    shares_source_and_target,
)

TYPES = ("s2s", "amun", "nematus")
CELLS: dict[str, DecoderKind] = {"gru": "gru", "gru-nematus": "gru", "lstm": "lstm", "tanh": "tanh"}
FORMS: dict[str, EncoderForm] = {"bidirectional": "stacks", "alternating": "alternating", "bi-unidirectional": "tower"}
EPSILONS: dict[CellNorm, float] = {"whole": 1e-9, "split": 1e-5}
MOST_LAYERS, WIDEST = 64, 65_536
MOST_MISSING = 200
"""Parameters that are told by name."""
LSTM_GATES = (1, 0, 2, 3)
"""The places of torch's gates among Marian's: forget, input, cell, output."""
IGNORED = frozenset({"decoder_c_tt"})
_PART = r"([UWb]x?)"
_NORM = r"(_ln[sb]|)"
NAMES: tuple[tuple[str, str], ...] = (
    (rf"encoder_(r_|){_PART}{_NORM}", r"encoder_bi_\1\2\3"),
    (r"encoder_(r_|)(gamma[12])", r"encoder_bi_\1\2"),
    (rf"decoder_{_PART}_nl{_NORM}", r"decoder_cell2_\1\2"),
    (rf"decoder_Wc(x?){_NORM}", r"decoder_cell2_W\1\2"),
    (rf"decoder_{_PART}{_NORM}", r"decoder_cell1_\1\2"),
    *(
        (rf"ff_logit_{part}_(W|b|ln_s|ln_b)", rf"decoder_ff_logit_l1_\g<1>{n}")
        for n, part in enumerate(("prev", "lstm", "ctx"))
    ),
    (r"ff_logit_l1_(gamma[012])", r"decoder_ff_logit_l1_\1"),
    (r"ff_logit_(W|b)", r"decoder_ff_logit_l2_\1"),
    (r"ff_state_(.*)", r"decoder_ff_state_\1"),
    (r"Wemb_dec", "decoder_Wemb"),
    *((rf"encoder_(r_|){_PART}_drt_{n}{_NORM}", rf"encoder_bi_\g<1>cell{n + 1}_\2\3") for n in range(1, 64)),
    *((rf"decoder_{_PART}_nl_drt_{n}{_NORM}", rf"decoder_cell{n + 2}_\1\2") for n in range(1, 64)),
)
"""Names of Nematus' files, and the ones that Marian has for them."""


def is_recurrent(options: Options) -> bool:
    """Whether the options are of such a model."""
    return options.get("type") in TYPES


def read_recurrent(options: Options, reasons: Reasons) -> Architecture | None:
    """The architecture that the options describe; None when there is a reason against it."""
    before = len(reasons)
    check_fixed(options, reasons, without="transformer-")
    width, hidden = (read_size(options, name, WIDEST, reasons) for name in ("dim-emb", "dim-rnn"))
    depths = ("enc-depth", "enc-cell-depth", "dec-depth", "dec-cell-base-depth", "dec-cell-high-depth")
    layers, cells, decoder, base, high = (read_size(options, name, MOST_LAYERS, reasons) for name in depths)
    source, target = read_vocabularies(options, reasons)
    form = _form(options, reasons)
    kind, norm = _cells(options, reasons), _norm(options, reasons)
    if "gru-nematus" in (options.get("enc-cell"), options.get("dec-cell")):
        reasons.require(decoder <= 1 or high <= 1, "dec-cell-high-depth must be 1 with gru-nematus, as in Marian")
        in_tower = form == "tower" and layers > 1 and cells > 1
        reasons.require(not in_tower, "enc-cell-depth must be 1 with gru-nematus in a bi-unidirectional encoder")
    if len(reasons) > before:
        return None
    form = "stacks" if layers == 1 else form
    above = decoder - 1
    can_skip = above > 0 or layers > 1 + (form == "tower")
    return Architecture(
        d_model=width,
        heads=0,
        ffn=0,
        encoder_layers=layers,
        decoder_layers=base + above * high,
        source_vocabulary=source,
        target_vocabulary=target,
        decoder=kind,
        embedding_scale=1.0,
        tying=read_tying(options),
        output_bias=not options.get("output-omit-bias", False),
        norm_epsilon=EPSILONS.get(norm, 1e-6),
        recurrent=Recurrent(
            source_width=width,
            target_width=width,
            encoder_hidden=hidden,
            decoder_hidden=hidden,
            attention="additive",
            attention_width=hidden * (1 if form == "tower" else 2),
            input_feeding=False,
            bridge=True,
            bridge_activation="tanh",
            first="mean",
            before=1,
            is_transition=True,
            cell_reads=("context",) if base > 1 else ("hidden", "context"),
            output_reads=("word", "hidden", "context"),
            encoder_form=form,
            encoder_cells=cells,
            upper_layers=above,
            upper_cells=high if above else 1,
            skips=bool(options.get("skip", False)) and can_skip,
            cell_norm=norm,
            output_size=width,
        ),
    )


def _form(options: Options, reasons: Reasons) -> EncoderForm:
    value = options.get("enc-type", "bidirectional")
    if isinstance(value, str) and value in FORMS:
        return FORMS[value]
    reasons.add(f"enc-type must be {', '.join(FORMS)}, the model's is {short(value)}")
    return "stacks"


def _cells(options: Options, reasons: Reasons) -> DecoderKind:
    named = [options.get(name, "gru") for name in ("enc-cell", "dec-cell")]
    for name, value in zip(("enc-cell", "dec-cell"), named, strict=True):
        is_known = isinstance(value, str) and value in CELLS
        reasons.require(is_known, f"{name} must be {', '.join(CELLS)}, the model's is {short(value)}")
    kinds = {CELLS.get(value, "gru") if isinstance(value, str) else "gru" for value in named}
    reasons.require(len(kinds) == 1, f"enc-cell and dec-cell must be of one kind, the model's are {short(named)}")
    is_nematus = options.get("type") == "nematus"
    reasons.require(
        not is_nematus or named == ["gru-nematus"] * 2, "enc-cell and dec-cell of a nematus are gru-nematus"
    )
    return kinds.pop()


def _norm(options: Options, reasons: Reasons) -> CellNorm:
    if not options.get("layer-normalization", False):
        return "none"
    cells = {options.get(name, "gru") for name in ("enc-cell", "dec-cell") if isinstance(options.get(name, "gru"), str)}
    reasons.require("tanh" not in cells, "layer-normalization must be false for tanh cells, the model's is true")
    if options.get("type") == "nematus":
        return "split"
    reasons.require("gru-nematus" not in cells, "gru-nematus with layer-normalization is of models of type nematus")
    return "whole"


def marian_names(floats: dict[str, Floats]) -> dict[str, Floats]:
    """Parameters of a file of the types amun and nematus under Marian's names; other files have these already."""
    if not floats.keys() & IGNORED:
        return floats
    renamed: dict[str, Floats] = {}
    is_shared = "Wemb_dec" not in floats
    for name in floats.keys() - IGNORED:
        found = next(((old, new) for old, new in NAMES if re.fullmatch(old, name)), None)
        ours = name if found is None else re.sub(*found, name)
        if name == "Wemb" and not is_shared:
            ours = "encoder_Wemb"
        renamed[ours] = floats[name].reshape(1, -1) if floats[name].ndim == 1 else floats[name]
    return renamed


def place_recurrent(
    model: MarianFile, options: Options, architecture: Architecture, reasons: Reasons
) -> dict[str, Floats]:
    """Canonical weights. What is missing, misshapen or left over is a reason."""
    reasons.require(not model.integers, "weights are int8, which are read of Transformers and their students alone")
    table = _Parameters(marian_names(model.floats), reasons)
    weights: dict[str, Floats] = {}
    for name, values in _weights(table, options, architecture):
        weights[name] = values
        if table.num_missing > MOST_MISSING:
            reasons.add("more parameters are missing: the sizes and depths of the configuration are not the file's")
            return weights
    for name in sorted(table.left):
        reasons.add(f"the parameter {name} has no place in this architecture")
    return weights


@dataclass
class _Parameters:
    """The file's parameters, of which those that were taken are known."""

    floats: dict[str, Floats]
    reasons: Reasons
    left: set[str] = field(init=False)
    num_missing: int = 0
    """Those that are missing or misshapen. Once there is one nothing is made of parameters: of sizes that nobody has
    seen weights of it could be more than there is memory.
    """

    def __post_init__(self) -> None:
        self.left = set(self.floats)

    def take(self, name: str, *shape: int) -> Floats:
        """A matrix, or a vector of one row; where it is missing, which is a reason, zeros that take no memory."""
        wanted = shape if len(shape) == 2 else (1, *shape)
        values = self.floats.get(name)
        self.left.discard(name)
        if values is None:
            self.reasons.add(f"the parameter {name} {list(wanted)} is missing")
        elif values.shape != wanted:
            self.reasons.add(f"the parameter {name} is {list(values.shape)}, expected {list(wanted)}")
        else:
            return values.reshape(shape)
        self.num_missing += 1
        return np.broadcast_to(np.float32(0), shape)

    def joined(self, parts: Sequence[Floats], axis: int) -> Floats:
        """Parts in one; any of them where one is missing."""
        return parts[0] if self.num_missing else np.concatenate(parts, axis)


def _weights(table: _Parameters, options: Options, arch: Architecture) -> Iterator[tuple[str, Floats]]:
    sizes = arch.recurrent
    assert sizes is not None, "the options made it so"
    yield from _embeddings(table, arch, is_shared=shares_source_and_target(options))
    build = _Cells(table, arch.decoder, sizes.cell_norm)
    inner = [0] * (sizes.encoder_cells - 1)
    heights = 1 if sizes.encoder_form == "tower" else arch.encoder_layers
    for way, side in enumerate(("encoder_bi", "encoder_bi_r")):
        for n in range(heights):
            for c, inputs in enumerate([arch.d_model if n == 0 else sizes.encoder_hidden, *inner]):
                theirs = side + (f"_l{n + 1}" if n else "") + (f"_cell{c + 1}" if n or c else "")
                yield from build.cell(f"encoder.stacks.{way}.{n}.{c}", theirs, inputs, sizes.encoder_hidden)
    for n in range(arch.encoder_layers - heights):
        for c, inputs in enumerate([sizes.encoder_hidden * (1 if n else 2), *inner]):
            theirs = f"encoder_l{n + 2}_cell{c + 1}"
            yield from build.cell(f"encoder.tower.{n}.{c}", theirs, inputs, sizes.encoder_hidden)
    yield from _decoder(build, arch, sizes)
    yield from build.attention(sizes)
    states = ("hidden", "cell") if arch.decoder == "lstm" else ("hidden",)
    bridge = dict(build.dense("decoder_ff_state", "", sizes.memory_width, sizes.decoder_hidden))
    for state in states:  # both begin with the same
        for part, values in bridge.items():
            module, name = part.split(".")
            yield f"decoder.bridge{module}.{state}.{name}", values
    yield from build.output(sizes, arch.d_model)


def _embeddings(table: _Parameters, arch: Architecture, *, is_shared: bool) -> Iterator[tuple[str, Floats]]:
    width, source, target = arch.d_model, arch.source_vocabulary, arch.target_vocabulary
    yield "source_embedding", table.take("Wemb" if is_shared else "encoder_Wemb", source, width)
    if arch.tying != "all":
        yield "target_embedding", table.take("Wemb" if is_shared else "decoder_Wemb", target, width)
    if arch.tying == "none":
        is_old = "decoder_ff_logit_l2_W" in table.floats
        shape = (width, target) if is_old else (target, width)
        values = table.take("decoder_ff_logit_l2_" + ("W" if is_old else "Wt"), *shape)
        yield "output_embedding", np.ascontiguousarray(values.T) if is_old and not table.num_missing else values
    if arch.output_bias:
        yield "output_bias", table.take("decoder_ff_logit_l2_b", target)


def _decoder(build: "_Cells", arch: Architecture, sizes: Recurrent) -> Iterator[tuple[str, Floats]]:
    base, hidden = sizes.base_of(arch.decoder_layers), sizes.decoder_hidden
    for n in range(base):
        inputs = (arch.d_model, sizes.memory_width)[n] if n < 2 else 0
        yield from build.cell(f"decoder.layers.{n}", f"decoder_cell{n + 1}", inputs, hidden, is_final=n > 0)
    for layer in range(sizes.upper_layers):
        for c in range(sizes.upper_cells):
            ours = f"decoder.layers.{base + layer * sizes.upper_cells + c}"
            yield from build.cell(ours, f"decoder_l{layer + 2}_cell{c + 1}", 0 if c else hidden, hidden)


@dataclass(frozen=True)
class _Cells:
    """Parts of the network that the norm has a say in."""

    table: _Parameters
    kind: DecoderKind
    norm: CellNorm

    def cell(
        self, ours: str, theirs: str, inputs: int, hidden: int, *, is_final: bool = False
    ) -> Iterator[tuple[str, Floats]]:
        """One cell. A final one has its bias with the state's product, others with what they read."""
        gates = {"gru": 3, "lstm": 4, "tanh": 1}[self.kind] * hidden
        bias, zeros = self._gates(theirs + "_b", hidden, gates, None), np.zeros(gates, np.float32)
        read, kept = (zeros, bias) if is_final else (bias, zeros)
        if inputs:
            yield f"{ours}.input.weight", self._gates(f"{theirs}_W", hidden, gates, inputs)
        yield f"{ours}.state.weight", self._gates(f"{theirs}_U", hidden, gates, hidden)
        if self.norm != "whole" or not inputs:
            yield f"{ours}.input.bias", read
        if self.norm != "whole":
            yield f"{ours}.state.bias", kept
        for side, letter, number, own in (("input", "W", 1, read), ("state", "U", 2, kept)):
            if self.norm == "none" or (side == "input" and not inputs):
                continue
            if self.norm == "whole":
                yield (
                    f"{ours}.{side}_norm.weight",
                    self._turned(self.table.take(f"{theirs}_gamma{number}", gates), hidden),
                )
                yield f"{ours}.{side}_norm.bias", own
            else:
                for part, ending in (("weight", "_lns"), ("bias", "_lnb")):
                    yield f"{ours}.{side}_norm.{part}", self._gates(f"{theirs}_{letter}", hidden, gates, None, ending)

    def _gates(self, name: str, hidden: int, gates: int, rows: int | None, ending: str = "") -> Floats:
        """A matrix or vector of all gates; a GRU's lies in two parts, of which the new state's is called x."""
        shape = () if rows is None else (rows,)
        if self.kind == "gru":
            parts = [
                self.table.take(name + ending, *shape, 2 * hidden),
                self.table.take(name + "x" + ending, *shape, hidden),
            ]
            return self.table.joined(parts, -1)
        return self._turned(self.table.take(name + ending, *shape, gates), hidden)

    def _turned(self, values: Floats, hidden: int) -> Floats:
        """An LSTM's gates in torch's order."""
        if self.kind != "lstm":
            return values
        return self.table.joined([values[..., gate * hidden : (gate + 1) * hidden] for gate in LSTM_GATES], -1)

    def dense(self, theirs: str, number: str, inputs: int, outputs: int) -> Iterator[tuple[str, Floats]]:
        """A matrix and its norm: `.weight`, `.bias`, `_norm.weight`, `_norm.bias`."""
        yield ".weight", self.table.take(f"{theirs}_W{number}", inputs, outputs)
        bias = self.table.take(f"{theirs}_b{number}", outputs)
        if self.norm == "whole":
            yield "_norm.weight", self.table.take(f"{theirs}_gamma{number}", outputs)
            yield "_norm.bias", bias
            return
        yield ".bias", bias
        if self.norm == "split":
            yield "_norm.weight", self.table.take(f"{theirs}_ln_s{number}", outputs)
            yield "_norm.bias", self.table.take(f"{theirs}_ln_b{number}", outputs)

    def attention(self, sizes: Recurrent) -> Iterator[tuple[str, Floats]]:
        """The matrices of keys and queries, and the vector that makes a score of their sum."""
        memory, take, ours = sizes.memory_width, self.table.take, "decoder.attention"
        yield f"{ours}.key.weight", take("decoder_Wc_att", memory, memory)
        yield f"{ours}.query.weight", take("decoder_W_comb_att", sizes.decoder_hidden, memory)
        yield f"{ours}.score", take("decoder_U_att", memory, 1).reshape(-1)
        bias = take("decoder_b_att", memory)
        if self.norm == "whole":
            yield f"{ours}.key_norm.weight", take("decoder_att_gamma1", memory)
            yield f"{ours}.key_norm.bias", bias
            yield f"{ours}.query_norm.weight", take("decoder_att_gamma2", memory)
            yield f"{ours}.query_norm.bias", np.zeros(memory, np.float32)
            return
        yield f"{ours}.key.bias", bias
        for side, name in (("key", "Wc_att"), ("query", "W_comb_att")) if self.norm == "split" else ():
            yield f"{ours}.{side}_norm.weight", take(f"decoder_{name}_lns", memory)
            yield f"{ours}.{side}_norm.bias", take(f"decoder_{name}_lnb", memory)

    def output(self, sizes: Recurrent, width: int) -> Iterator[tuple[str, Floats]]:
        """The hidden layer before the output: a matrix for each part that it reads; without norms they are one."""
        parts = [
            dict(self.dense("decoder_ff_logit_l1", str(number), sizes.width_of((part,)), width))
            for number, part in enumerate(sizes.output_reads)
        ]
        if self.norm == "none":
            yield "decoder.attention.out.weight", self.table.joined([part[".weight"] for part in parts], 0)
            yield "decoder.attention.out.bias", np.sum([part[".bias"] for part in parts], axis=0, dtype=np.float32)
            return
        for name, made in zip(sizes.output_reads, parts, strict=True):
            for place, values in made.items():
                module, tensor = place.split(".")
                ours = "parts" if module == "" else "part_norms"
                yield f"decoder.attention.{ours}.{name}.{tensor}", values
