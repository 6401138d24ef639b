"""The graphs of a bundle and their tensors: every name that export and server must agree on, said once.

An export traces graphs with the names and shapes of `signature`; the server feeds and reads them by the constants.

Axes: G sources, S source positions, q new nodes a source, T slots of a pool or places of a canvas, n rows (source words
without padding, or nodes of all sources), r rows of all canvases that are asked for, k best words, m chosen words, C
candidate words.
"""

from collections.abc import Mapping
from types import MappingProxyType

from dragoman.bundle.manifest import Architecture, Graph, Nat, Tensor

ENCODER = "encoder"
"""Source words to what attention reads of a source, to first states, and to hidden rows where `nat` reads them."""
STEP = "step"
"""New nodes of many sources' trees to their best next words over the whole vocabulary, and to what is kept of them."""
CANDIDATES = "candidates"
"""Candidate words to their rows of the output layer: run when the candidates change, not at every step."""
STEP_SHORTLIST = "step_shortlist"
"""The step over candidate words."""
STRIDE = "stride"
"""`COUNT` steps of greedy search in one run, one node a source, over the candidates where the bundle has them."""

DEVICE_ENCODER = "device.encoder"
"""On devices, in the place of `ENCODER`: padded sources to their hidden rows."""
DEVICE_JOIN = "device.join"
"""Hidden rows to cross-attention keys and values, written where the step reads them."""
DEVICE_STEP = "device.step"
"""On devices, in the place of `STEP`: new nodes' keys and values are written into slots that the server names first."""
DEVICE_ASKED = "device.asked"
"""The same, and what is seldom asked: chosen words' log-probabilities, the normaliser, attention."""
DEVICE_STRIDE = "device.stride"
"""`DEVICE_STRIDE_STEPS` steps of greedy search in one run, one node a source: each step reads the best word of the last
one. What is sent and said of steps lies step by step: slots and best words of all sources' first, then of their second.
"""
DEVICE_STRIDE_STEPS = 4
DEVICE_POOL_FIT = "device.pool.fit"
"""Rows of nodes from other rows, or with more or fewer slots, in the place where they lie or another."""
DEVICE_MEMORY_FIT = "device.memory.fit"
"""The same of sources' keys and values and their positions."""
DEVICE_HIDDEN_JOIN = "device.hidden.join"
"""Hidden rows, written where CTC decoders read them."""
DEVICE_HIDDEN_FIT = "device.hidden.fit"
"""The same as `DEVICE_MEMORY_FIT` of hidden rows."""
DEVICE_GRAPHS = (
    *(DEVICE_ENCODER, DEVICE_JOIN, DEVICE_STEP, DEVICE_ASKED, DEVICE_STRIDE),
    *(DEVICE_POOL_FIT, DEVICE_MEMORY_FIT, DEVICE_HIDDEN_JOIN, DEVICE_HIDDEN_FIT),
)

IDS, DEPTH, TOP = "ids", "depth", "top"
"""Words and where they stand; a vector as long as the number of best words that are wanted."""
ROWS, PLACES = "rows", "places"
"""Encoder: which place of G x S each word has, and which word stands in each place. Canvases: the rows asked for."""
MASK, SRC_MASK, CANVAS_MASK = "mask", "src_mask", "canvas_mask"
"""Additive, hence 0 where something is seen."""
SLOT_DEPTH = "slot_depth"
"""How many ancestors the node in each slot has, where positions are relative."""
EXTENDED = "extended"
"""Which word each source position holds, where words are copied; ids behind the vocabulary are source positions."""
CHOSEN = "chosen"
"""Words whose log-probability is wanted, whatever it is; over a shortlist, by their place among the candidates."""
CANDIDATE_IDS, ALLOWED, WORDS = "candidates", "allowed", "words"
"""The candidate words, each source's bias of them (very negative where it may not say one), and their output rows."""
OWN, OWN_BIAS = "own", "own_bias"
"""A stride's instead of `ALLOWED`: where each source's own words [G, W] are among the candidates, and their biases."""
WORD_BIAS, WORD_SCALE = "word_bias", "word_scale"
"""Biases of candidate words; in int8, their scales."""
SLOTS, LENGTHS = "slots", "lengths"
"""Devices: the row and the slot that each new node is written to; how many positions each source has."""
COUNT = "count"
"""How many steps a stride takes."""
WHOSE = "whose"
"""Devices: the sources whose canvases are in a pass; no input of a graph, as these have places instead."""
SHOWN = "shown"
"""What masks show of the source's positions; devices: which of these rows, of all sources, each place would show."""

HIDDEN = "hidden"
"""The encoder's rows, one a word, which non-autoregressive decoders read."""
TOPK_LOGP, TOPK_ID, CHOSEN_LOGP, NORMALISER = "topk_logp", "topk_id", "chosen_logp", "normaliser"
"""Log-probabilities and ids of the best words, those of the chosen ones, and the log of the softmax's denominator."""
ATTENTION = "attention"
"""What each new token gave to each source token."""
LENGTH_LOGP = "length_logp"
"""Log-probabilities of the lengths that a decoder tells apart."""

SELF, CROSS, NEW, RECENT = "self_", "cross_", "new_", "recent_"
"""Before `k.N` and `v.N`, the keys and values of layer N: the pool's, the source's, those of new nodes (which may have
`new_state.N` instead), and those of the same stride's earlier nodes."""
STATE, INITIAL = "state.", "initial."
"""Before N: a node's states, and those that the encoder gives a root."""

AT, TO, KEPT = "at", "to", "kept"
"""Graphs that write: rows that are read, rows that are written, and how many slots or positions stay."""
PADS = "pads.1"
"""How far slots or positions are padded, in the form that ONNX pads three axes by."""

SHORTLIST_BLOCK = 32
"""Candidates come in multiples of this many: the best of them are searched for block by block."""

_DEVICE, _NAT, _MEMORY, _SHORTLIST = "device.", "nat.", ".memory", ".shortlist"
_Shape = tuple[int | str, ...]


def sibling_graph(sibling: str | None, graph: str) -> str:
    """The name that a graph of a further autoregressive decoder has in a bundle; None: the architecture's own."""
    return graph if sibling is None else f"{sibling}.{graph}"


def file_of(graph: str) -> str:
    """The file of the bundle that a graph lies in."""
    return f"{graph}.onnx"


def nat_graph(decoder: str, *, shortlist: bool = False) -> str:
    """Canvases, or for CTC the encoder's rows, to the best words of their places: run for each pass and each draft."""
    return f"{_NAT}{decoder}{_SHORTLIST if shortlist else ''}"


def nat_memory_graph(decoder: str) -> str:
    """Hidden rows to keys and values of that decoder's layers and to lengths: once a source, for mask-predict alone."""
    return f"{_NAT}{decoder}{_MEMORY}"


def device_nat_graph(decoder: str) -> str:
    """On devices, in the place of both graphs of mask-predict: canvases and the encoder's rows to the best words."""
    return f"{_DEVICE}{_NAT}{decoder}"


def device_lengths(decoder: str) -> str:
    """The output of `DEVICE_ENCODER` with log-probabilities of the lengths that a decoder tells apart."""
    return f"{LENGTH_LOGP}.{decoder}"


def is_for_devices(graph: str) -> bool:
    """Whether a graph runs on devices alone."""
    return graph.startswith(_DEVICE)


def nat_graphs(decoder: str, nat: Nat, *, shortlist: bool) -> tuple[str, ...]:
    """The graphs of a non-autoregressive decoder, in the order in which they are made."""
    memory = (nat_memory_graph(decoder),) if nat.kind == "mask-predict" else ()
    return (*memory, nat_graph(decoder), *((nat_graph(decoder, shortlist=True),) if shortlist else ()))


def is_nat(graph: str) -> bool:
    """Whether a graph belongs to a non-autoregressive decoder."""
    return graph.startswith(_NAT)


def is_nat_memory(graph: str) -> bool:
    """Whether a graph makes what a non-autoregressive decoder reads of a source."""
    return is_nat(graph) and graph.endswith(_MEMORY)


def is_over_shortlist(graph: str) -> bool:
    """Whether a graph chooses among candidate words."""
    return graph == STEP_SHORTLIST or (is_nat(graph) and graph.endswith(_SHORTLIST))


def decoder_name(graph: str) -> str:
    """The non-autoregressive decoder that a graph belongs to."""
    return graph.removeprefix(_DEVICE).removeprefix(_NAT).removesuffix(_MEMORY).removesuffix(_SHORTLIST)


def key_value_names(kind: str, layers: int) -> list[str]:
    """`k.0`, `v.0`, `k.1`, ... with SELF, CROSS, NEW or RECENT before them."""
    return [f"{kind}{x}.{n}" for n in range(layers) for x in "kv"]


def incoming(tensor: str) -> str:
    """The input with the new rows of a tensor, in a graph that writes."""
    return f"from.{tensor}"


def written(tensor: str) -> str:
    """The output of such a graph, which the server binds onto the input's buffer: only what changes is written."""
    return f"{tensor}.written"


def written_by(step: int, tensor: str) -> str:
    """The same of a graph of several steps, each of which writes: all these outputs are bound onto the one buffer."""
    return written(f"{tensor}.{step}")


def has_device_graphs(arch: Architecture) -> bool:
    """Whether a network has graphs of its own for devices: those whose attention is that of one operator."""
    is_plain = arch.decoder == "self-attention" and arch.positions not in ("shaw", "rotary") and arch.norm != "both"
    is_plain = is_plain and arch.encoder_window is None and arch.encoder_attention is None
    return is_plain and arch.decoder_layers > 0 and not arch.copies and arch.output_cap is None


def signature(arch: Architecture, graph: str, nat: Mapping[str, Nat] = MappingProxyType({})) -> Graph:
    """Inputs and outputs of a graph as it is traced, in float32; `nat` are the non-autoregressive decoders by name.

    int8 makes `WORDS` integers and puts `WORD_SCALE` beside them where each word has its own; fp16 halves keys and
    values. A bundle's own manifest has all graphs as they are written.
    """
    if is_nat(graph):
        return _nat_signature(arch, graph, nat[decoder_name(graph)])
    if graph in (DEVICE_ENCODER, DEVICE_JOIN, DEVICE_STEP, DEVICE_ASKED, DEVICE_STRIDE):
        return _device_signature(arch, graph, nat)
    if graph.startswith(f"{_DEVICE}{_NAT}"):
        return _device_nat_signature(arch, graph, nat[decoder_name(graph)])
    if graph == ENCODER:
        return _encoder_signature(arch, has_nat=bool(nat))
    if graph == CANDIDATES:
        candidates, _, words = _shortlist(arch)
        return Graph(file_of(graph), (candidates,), (words, Tensor(WORD_BIAS, "float32", ("C",))))
    return _step_signature(arch, graph)


def _encoder_signature(arch: Architecture, *, has_nat: bool) -> Graph:
    words = [Tensor(name, "int64", ("n",)) for name in (IDS, DEPTH, ROWS)]
    first = [Tensor(f"{INITIAL}{n}", "float32", ("G", width)) for n, width in enumerate(_state_widths(arch)[0])]
    hidden = [_hidden(arch)] if has_nat else []
    return Graph(file_of(ENCODER), (*words, _places(), _src_mask()), (*_cross(arch), *first, *hidden))


def _step_signature(arch: Architecture, graph: str) -> Graph:
    inputs = [Tensor(IDS, "int64", ("G", "q")), Tensor(DEPTH, "int64", ("G", "q"))]
    if arch.keeps_states:
        widths = [width for part in _state_widths(arch) for width in part]
        inputs += [Tensor(f"{STATE}{n}", "float32", ("G", "q", width)) for n, width in enumerate(widths)]
        kept = [Tensor(f"{NEW}{STATE}{n}", "float32", ("n", width)) for n, width in enumerate(widths)]
    else:
        pool: _Shape = ("G", arch.key_heads, "T", arch.head_dim)
        new: _Shape = ("G", arch.key_heads, "q", arch.head_dim)
        inputs.append(Tensor(MASK, "float32", ("G", 1, "q", "T+q")))
        if arch.is_relative:
            inputs.append(Tensor(SLOT_DEPTH, "int64", ("G", "T")))
        inputs += [Tensor(name, "float32", pool) for name in key_value_names(SELF, arch.decoder_layers)]
        kept = [Tensor(name, "float32", new) for name in key_value_names(NEW, arch.decoder_layers)]
    inputs += [*_cross(arch), _src_mask()]
    if arch.copies:
        inputs.append(Tensor(EXTENDED, "int64", ("G", "S")))
    if graph == STEP_SHORTLIST:
        inputs += _shortlist(arch)
    inputs += [Tensor(CHOSEN, "int64", ("G", "q", "m")), _top()]
    attention = (Tensor(ATTENTION, "float32", ("G", "q", "S")),) if _cross(arch) else ()
    outputs = (
        *_best_words("n"),
        Tensor(CHOSEN_LOGP, "float32", ("n", "m")),
        Tensor(NORMALISER, "float32", ("n", 1)),
        *attention,
    )
    return Graph(file_of(graph), tuple(inputs), (*outputs, *kept))


def _device_signature(arch: Architecture, graph: str, nat: Mapping[str, Nat]) -> Graph:
    """Keys and values lie side by side, all heads of a place together: what a matrix makes is written as it is."""
    lengths, wide = Tensor(LENGTHS, "int64", ("G",)), arch.heads * arch.head_dim
    if graph == DEVICE_ENCODER:
        hidden = Tensor(HIDDEN, "float32", ("G", "S", arch.of_encoder.d_model))
        told = [
            Tensor(device_lengths(name), "float32", ("G", one.length_classes))
            for name, one in nat.items()
            if one.length_classes
        ]
        return Graph(file_of(graph), (Tensor(IDS, "int64", ("G", "S")), lengths), (hidden, *told))
    cross = [Tensor(name, "float32", ("G", "S", wide)) for name in key_value_names(CROSS, arch.decoder_layers)]
    if graph == DEVICE_JOIN:
        hidden, to = Tensor(HIDDEN, "float32", ("n", arch.of_encoder.d_model)), Tensor(TO, "int64", ("n", 2))
        return Graph(file_of(graph), (hidden, to, *cross), tuple(map(_written, cross)))
    pool = [Tensor(name, "float32", ("G", "T", wide)) for name in key_value_names(SELF, arch.decoder_layers)]
    nodes = [Tensor(name, "int64", ("G", "q")) for name in (IDS, DEPTH)]
    mask, slots = Tensor(MASK, "float32", ("G", 1, "q", "T")), Tensor(SLOTS, "int64", ("n", 2))
    where = [Tensor(SLOT_DEPTH, "int64", ("G", "T"))] if arch.is_relative else []
    asked = [Tensor(CHOSEN, "int64", ("G", "q", "m"))] if graph == DEVICE_ASKED else []
    answers = [
        Tensor(CHOSEN_LOGP, "float32", ("n", "m")),
        Tensor(NORMALISER, "float32", ("n", 1)),
        Tensor(ATTENTION, "float32", ("G", "q", "S")),
    ]
    outputs = (*_best_words("n"), *(answers if asked else []), *map(_written, pool))
    if graph == DEVICE_STRIDE:
        steps = DEVICE_STRIDE_STEPS
        nodes = [Tensor(IDS, "int64", ("G", 1)), Tensor(DEPTH, "int64", ("G", steps))]
        mask = Tensor(MASK, "float32", ("G", 1, steps, "T"))
        kept = [Tensor(written_by(step, t.name), t.dtype, t.shape) for step in range(steps) for t in pool]
        outputs = (*_best_words("n"), *kept)
    return Graph(file_of(graph), (*nodes, mask, *where, slots, *pool, *cross, lengths, *asked, _top()), outputs)


def _device_nat_signature(arch: Architecture, graph: str, nat: Nat) -> Graph:
    """As the two portable graphs: of the rows in which masks are shown, it is said where they are among all of them."""
    canvas = (Tensor(IDS, "int64", ("G", "T")), Tensor(CANVAS_MASK, "float32", ("G", 1, 1, "T")))
    shown = (Tensor(SHOWN, "int64", ("G", "T")),) if nat.canvas == "shown" else ()
    inputs = (_hidden(arch), _places(), _src_mask(), *canvas, *shown, Tensor(ROWS, "int64", ("r",)), _top())
    return Graph(file_of(graph), inputs, _best_words("r"))


def _written(tensor: Tensor) -> Tensor:
    return Tensor(written(tensor.name), tensor.dtype, tensor.shape)


def _nat_signature(arch: Architecture, graph: str, nat: Nat) -> Graph:
    cross = _keys_and_values(nat.layers, arch.heads, arch.head_dim, arch.head_dim)
    shown = (Tensor(SHOWN, "float32", ("G", "S", arch.d_model)),) if nat.canvas == "shown" else ()
    source = (_hidden(arch), _places(), _src_mask())
    if is_nat_memory(graph):
        lengths = (Tensor(LENGTH_LOGP, "float32", ("G", nat.length_classes)),) if nat.length_classes else ()
        return Graph(file_of(graph), source, (*cross, *shown, *lengths))
    if nat.kind == "ctc":
        said = (Tensor(IDS, "int64", ("G", "S", nat.upsample)),) if nat.refines else ()
        inputs = (*source, *said)
    else:
        canvas = (Tensor(IDS, "int64", ("G", "T")), Tensor(CANVAS_MASK, "float32", ("G", 1, 1, "T")))
        inputs = (*canvas, *cross, *shown, _src_mask())
    words = _shortlist(arch) if is_over_shortlist(graph) else ()
    return Graph(file_of(graph), (*inputs, *words, Tensor(ROWS, "int64", ("r",)), _top()), _best_words("r"))


def _cross(arch: Architecture) -> tuple[Tensor, ...]:
    """What attention reads of a source; recurrent decoders attend once, or never."""
    sizes = arch.recurrent
    if sizes is not None:
        heads = sizes.attention_heads
        layers = 0 if sizes.attention == "none" else 1
        return _keys_and_values(layers, heads, sizes.key_width // heads, sizes.value_width // heads)
    return _keys_and_values(arch.decoder_layers, arch.key_heads, arch.head_dim, arch.head_dim)


def _keys_and_values(layers: int, heads: int, key: int, value: int) -> tuple[Tensor, ...]:
    """Keys and values of a source. Keys come turned: every step then reads them in the order they lie in."""
    shapes: tuple[_Shape, _Shape] = ("G", heads, key, "S"), ("G", heads, "S", value)
    names = key_value_names(CROSS, layers)
    return tuple(Tensor(name, "float32", shape) for name, shape in zip(names, shapes * layers, strict=True))


def _state_widths(arch: Architecture) -> tuple[list[int], list[int | str]]:
    """Widths of a node's states: those that the encoder gives a root, and those that begin with zeros. What is kept of
    attention is as wide as the source.
    """
    sizes = arch.recurrent
    if sizes is None:
        return [], [arch.state_width] * arch.decoder_layers if arch.keeps_states else []
    layers = sizes.layers_of(arch.decoder_layers)
    states = [sizes.decoder_hidden] * layers * (2 if arch.decoder == "lstm" else 1)
    zeros: list[int | str] = [sizes.output_width] * sizes.input_feeding
    zeros += [] if sizes.attention_history == "none" else ["S"]
    return ([], [*states, *zeros]) if sizes.first == "zeros" else (states, zeros)


def _shortlist(arch: Architecture) -> tuple[Tensor, Tensor, Tensor]:
    allowed = Tensor(ALLOWED, "float32", ("G", "C"))
    return Tensor(CANDIDATE_IDS, "int64", ("C",)), allowed, Tensor(WORDS, "float32", ("C", arch.d_model))


def _best_words(row: str) -> tuple[Tensor, Tensor]:
    return Tensor(TOPK_LOGP, "float32", (row, "k")), Tensor(TOPK_ID, "int64", (row, "k"))


def _hidden(arch: Architecture) -> Tensor:
    return Tensor(HIDDEN, "float32", ("n", arch.of_encoder.d_model))


def _places() -> Tensor:
    return Tensor(PLACES, "int64", ("G", "S"))


def _src_mask() -> Tensor:
    return Tensor(SRC_MASK, "float32", ("G", 1, 1, "S"))


def _top() -> Tensor:
    return Tensor(TOP, "int64", ("k",))
