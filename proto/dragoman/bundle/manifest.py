"""The manifest: everything a bundle says about itself, as typed values.

Export writes it, the server reads it, and neither imports the other: this module is where they meet. Every class is
frozen and plain; `dragoman.bundle.codec` turns it into JSON and back, refusing what it does not know.
"""

from dataclasses import dataclass, field, replace
from typing import Literal

FORMAT_VERSION = 3
"""Raised when a reader of the previous version would misread a bundle; a reader refuses newer versions."""

MANIFEST_NAME = "manifest.json"

MAY_BE_ABSENT = {"may_be_absent": True}
"""Marks a field that bundles written before it was known lack; its default is what holds for them."""

DecoderKind = Literal["self-attention", "linear-attention", "ssru", "lstm", "gru", "tanh"]
"""The last three, of which `tanh` has plain cells, have an encoder of their own kind."""
RECURRENT = ("lstm", "gru", "tanh")
AttentionScore = Literal["dot", "general", "additive", "heads", "none"]
"""`heads`: scaled products of several heads, with matrices for queries, keys, values and their result."""
AttentionHistory = Literal["none", "sum", "last"]
"""What additive scores know of attention's weights at earlier words: their sum, which is coverage (See et al., Tu et
al.), or those at the last word, which makes attention location-aware (Chorowski et al.)."""
RecurrentPart = Literal["word", "context", "hidden"]
"""The embedded word, what attention made of the source, and the state that attention was asked with; behind all cells,
`hidden` is the last one's."""
FirstStates = Literal["last", "top", "mean", "zeros"]
"""Of the encoder: each layer's last states, for as many layers of the decoder; those of its last layer, for all of
them; the mean of its rows; or nothing."""
EncoderForm = Literal["layers", "stacks", "alternating", "tower"]
"""`layers`: each layer reads what the one below gives, both directions together (torch's). `stacks`: a stack of
layers reads forwards, another one backwards, and their tops stand side by side; `alternating`: such two, in each of
which every other layer reads the other way. `tower`: the first layer reads both ways, those above it forwards."""
CellNorm = Literal["none", "whole", "split"]
"""What is normed before it is summed: products of words, of states, of keys and queries, of each part that the output
matrix reads, and the bridge's. `whole`: all gates together (Marian); `split`: the new state's apart (Nematus)."""
ApproximationKind = Literal["linformer", "compressed", "linear", "sinkhorn", "lsh", "routing"]
"""Keys and values are projected to a few by matrices over positions (Linformer), made of stretches by a convolution
(memory-compressed attention), or summed in a product with what is made of keys (linear); or a word sees its own block
and one that is sorted there (sparse Sinkhorn attention), its bucket (LSH, Reformer), or its clusters (routing)."""
NormPlacement = Literal["pre", "post", "both"]
"""`both`: each part reads normed rows, and what it adds is normed, too."""
NormKind = Literal["layer", "rms", "affine"]
Activation = Literal["relu", "relu-squared", "gelu", "gelu-tanh", "gelu-sigmoid", "swish", "tanh", "linear"]
Positions = Literal["sinusoidal", "learned", "relative", "shaw", "rotary"]
"""The last three are of distances between words: a bias of each attention score, in T5's buckets; vectors that are
added to keys and values (Shaw et al.); or queries and keys that are turned by where they stand (`Rotary`)."""
Tying = Literal["all", "decoder", "none"]
Precision = Literal["fp32", "fp16", "int8"]
Profile = Literal["marian", "fairseq", "hf", "ct2"]
LengthPenaltyKind = Literal["power", "gnmt"]
EarlyStopping = Literal["first", "heuristic", "exhaustive"]
TextSplitting = Literal["sentences", "lines", "none"]
LongTexts = Literal["split", "reject", "truncate"]
UnknownHandling = Literal["allow", "suppress", "copy"]
TokenizerKind = Literal["sentencepiece", "sentencepiece-vocabulary", "tokenizers", "moses-fastbpe", "parlai-bpe"]
"""Ids are the SentencePiece model's own; or a JSON vocabulary's, of its pieces; or those of a `tokenizer.json`; or a
JSON vocabulary's, of the pieces that merges cut words into: the words of Moses' rules, or of ParlAI's."""
NatKind = Literal["mask-predict", "ctc"]
NatCanvas = Literal["masks", "source", "shown", "split", "late"]
"""What a canvas holds before its first pass: masks; the source's words at an even pace (needs tying `all`); masks that
each show a source position's hidden row, at an even pace: mask_id + position; or, of CTC alone, each source position's
hidden row cut into several. A late one holds nothing before: the rows are cut behind the layers."""
LengthSearch = Literal["best", "around"]
"""Which lengths are tried side by side: the most probable ones, or the neighbours of the most probable one."""
Slot = Literal["source", "target"]
"""Stands for the ids of the request's source or target language."""


@dataclass(frozen=True)
class Recurrent:
    """The numbers and choices of a recurrent encoder-decoder.

    Words go through the cells before attention, which the newest hidden state asks (where no cell comes before, the
    last state of the word before); cells after it read what it gives. As left out: Luong's, all cells before.
    `Architecture.d_model` is the width that the output layer reads: where it is not what comes before, a matrix stands
    between. Such a network has no heads, feed-forwards, norms and positions.
    """

    source_width: int
    """Width of source embeddings."""
    target_width: int
    encoder_hidden: int
    """Width of the encoder's hidden states, in each direction."""
    decoder_hidden: int
    bidirectional: bool = True
    attention: AttentionScore = "general"
    attention_width: int | None = None
    """Width of additive attention's sum of query and key, or of all heads together; None: `decoder_hidden`."""
    input_feeding: bool = True
    """The first cell reads, beside a word, the rows behind attention of the step before."""
    bridge: bool = False
    """The decoder's first states are made of the encoder's by a matrix; else they are the same."""
    bridge_activation: Activation = field(default="linear", metadata=MAY_BE_ABSENT)
    """What is made of the bridge's product."""
    first: FirstStates = field(default="last", metadata=MAY_BE_ABSENT)
    """What the decoder's first states are made of."""
    attention_heads: int = field(default=1, metadata=MAY_BE_ABSENT)
    before: int | None = field(default=None, metadata=MAY_BE_ABSENT)
    """How many of the decoder's cells come before attention; None: all."""
    is_transition: bool = field(default=False, metadata=MAY_BE_ABSENT)
    """One state goes through all cells in turn, and comes back to the first at the next word (Nematus). Cells behind
    the one that reads attention read nothing but it."""
    cell_reads: tuple[RecurrentPart, ...] = field(default=("hidden", "context"), metadata=MAY_BE_ABSENT)
    """What the first cell after attention reads, side by side."""
    output_reads: tuple[RecurrentPart, ...] = field(default=("context", "hidden"), metadata=MAY_BE_ABSENT)
    """What the rows behind all cells are made of; empty: the last hidden state is such a row."""
    output_matrix: bool = field(default=True, metadata=MAY_BE_ABSENT)
    """Whether a matrix makes them of it, as wide as the decoder; else they are these parts side by side."""
    output_activation: Activation = field(default="tanh", metadata=MAY_BE_ABSENT)
    """What is made of that matrix's product."""
    row_width: int | None = field(default=None, metadata=MAY_BE_ABSENT)
    """Width of what a matrix and tanh make of the encoder's rows before attention reads them; None: none do."""
    encoder_form: EncoderForm = field(default="layers", metadata=MAY_BE_ABSENT)
    """How the encoder's layers stand."""
    encoder_cells: int = field(default=1, metadata=MAY_BE_ABSENT)
    """So many cells make a layer of the encoder: one state goes through them, and the first alone reads."""
    upper_layers: int = field(default=0, metadata=MAY_BE_ABSENT)
    """So many layers, each with a state of its own, stand on the one that goes through the decoder's other cells."""
    upper_cells: int = field(default=1, metadata=MAY_BE_ABSENT)
    """So many cells make one of them: its state goes through them, and the first alone reads."""
    skips: bool = field(default=False, metadata=MAY_BE_ABSENT)
    """A layer that stands on another gives, on both sides, what it reads and what its cells make of it, added."""
    cell_norm: CellNorm = field(default="none", metadata=MAY_BE_ABSENT)
    """Which products are normed."""
    attention_history: AttentionHistory = field(default="none", metadata=MAY_BE_ABSENT)
    """What attention knows of its weights at earlier words."""
    history_reach: int = field(default=0, metadata=MAY_BE_ABSENT)
    """Scores read earlier weights of so many positions on either side of a source word, besides its own."""
    output_size: int | None = field(default=None, metadata=MAY_BE_ABSENT)
    """Width of what the output matrix makes; None: the decoder's."""

    @property
    def encoder_width(self) -> int:
        """Width of the encoder's hidden states, all directions together."""
        return self.encoder_hidden * (2 if self.bidirectional and self.encoder_form != "tower" else 1)

    @property
    def memory_width(self) -> int:
        """Width of the row of a source word that attention reads."""
        return self.encoder_width if self.row_width is None else self.row_width

    @property
    def first_width(self) -> int:
        """Width of what the decoder's first states are made of."""
        return self.memory_width if self.first == "mean" else self.encoder_width

    @property
    def key_width(self) -> int:
        """Width of the attention's keys, all heads together."""
        return self.decoder_hidden if self.attention_width is None else self.attention_width

    @property
    def value_width(self) -> int:
        """Width of the attention's values, all heads together."""
        return self.key_width if self.attention == "heads" else self.memory_width

    @property
    def context_width(self) -> int:
        """Width of what attention makes of the source."""
        return (
            0 if self.attention == "none" else self.decoder_hidden if self.attention == "heads" else self.memory_width
        )

    @property
    def output_width(self) -> int:
        """Width of the rows behind all cells."""
        if self.output_reads and not self.output_matrix:
            return self.width_of(self.output_reads)
        return self.decoder_hidden if self.output_size is None else self.output_size

    def layers_of(self, cells: int) -> int:
        """How many layers, each of which has a state, are made of a decoder's so many cells."""
        return 1 + self.upper_layers if self.is_transition else cells

    def base_of(self, cells: int) -> int:
        """How many of a decoder's so many cells stand on no other layer, where layers stand on one another."""
        return cells - self.upper_layers * self.upper_cells

    def read_behind(self, cells: int) -> tuple[RecurrentPart, ...]:
        """All that is read behind attention by a decoder of so many cells."""
        return (*self.output_reads, *(() if self.before in (None, self.base_of(cells)) else self.cell_reads))

    def width_of(self, parts: tuple[RecurrentPart, ...]) -> int:
        """Width of these, side by side."""
        widths = {"word": self.target_width, "context": self.context_width, "hidden": self.decoder_hidden}
        return sum(widths[part] for part in parts)


@dataclass(frozen=True)
class Rotary:
    """Attention of a stack whose positions turn queries and keys, and what such models have besides (Gemma's line)."""

    base: float
    """Pair i of the n that a head's numbers are, its halves side by side, turns by position / base**(i / n)."""
    key_heads: int
    """Heads of keys and values; as many queries as there are heads for each of them share one."""
    cap: float | None = None
    """Scores become cap * tanh(score / cap) before they are masked."""
    reach: tuple[int | None, ...] = ()
    """How many positions away each layer of the stack sees; None, and layers that are not listed: all."""


@dataclass(frozen=True)
class Window:
    """Self-attention of an encoder for long sources, whose cost grows with their length and not with its square.

    A word sees those that are near, and a few that stand for all others.
    """

    reach: tuple[int, ...]
    """How many positions away the words of each layer see."""
    first: int = 0
    """So many first words of a source see all of it, with queries, keys and values of their own, and all see them."""
    summed: int = 0
    """A word sees, besides, the normed sum of each stretch of so many words (LongT5's transient globals), a power of
    two. Words behind the last whole stretch belong to that; sources shorter than a stretch have none."""
    stretch: int = field(default=0, metadata=MAY_BE_ABSENT)
    """A word sees no others of its reach than those in its own stretch of so many words (Pegasus-X); 0: all of them."""
    is_staggered: bool = field(default=False, metadata=MAY_BE_ABSENT)
    """In every other layer stretches begin half a stretch earlier."""
    linked: int = field(default=0, metadata=MAY_BE_ABSENT)
    """If not 0, a word sees the stretches beside its own, too, and the first and the last stretch of its source, whose
    words see all; the first counts so many times (BigBird). Sources of up to 3 + 2 * `linked` stretches see all."""
    tokens: int = field(default=0, metadata=MAY_BE_ABSENT)
    """So many trained rows go through the layers beside a source's words; they see each other and all words, which see
    them. Nothing else reads them."""


@dataclass(frozen=True)
class Approximation:
    """Self-attention of an encoder whose words do not see all others one by one, by its formula's name."""

    kind: ApproximationKind
    size: int = 0
    """`linformer`: keys and values of a source; `compressed`: words that become one of each; of the others: words of a
    block (`sinkhorn`), chunk (`lsh`), or cluster (`routing`)."""
    count: int = 0
    """Buckets (`lsh`) or clusters (`routing`)."""
    rounds: int = 0
    """How often sums are balanced (`sinkhorn`), or words are hashed (`lsh`)."""


@dataclass(frozen=True)
class Architecture:
    """The numbers and choices that fix the network.

    `heads` and `ffn` are the decoder's, whose keys and values the server keeps; the encoder may have others.
    """

    d_model: int
    heads: int
    ffn: int
    encoder_layers: int
    decoder_layers: int
    source_vocabulary: int
    target_vocabulary: int
    decoder: DecoderKind = "self-attention"
    norm: NormPlacement = "post"
    activation: Activation = "relu"
    positions: Positions = "sinusoidal"
    # Exponent of the sinusoid's frequencies is i / (d/2 - 1) in Marian and fairseq, i / (d/2) in Hugging Face's Marian.
    sinusoid_divisor_minus_one: bool = True
    max_positions: int = 1024
    embedding_scale: float = 1.0
    tying: Tying = "all"
    embedding_norm: bool = False
    embedding_norm_first: bool = field(default=False, metadata=MAY_BE_ABSENT)
    """The decoder norms words alone, which it does not scale, and adds positions behind that norm."""
    output_bias: bool = True
    norm_epsilon: float = 1e-6
    encoder_heads: int | None = None
    """Heads of the encoder; None: as many as the decoder has."""
    encoder_ffn: int | None = None
    """Width of the encoder's feed-forwards; None: as wide as the decoder's."""
    encoder_width: int | None = None
    """Width of the encoder's embeddings and layers; None: `d_model`."""
    encoder_activation: Activation | None = field(default=None, metadata=MAY_BE_ABSENT)
    """None: the decoder's."""
    encoder_norm: NormPlacement | None = None
    """Where the encoder has its norms; None: where the decoder has them."""
    encoder_norm_epsilon: float | None = field(default=None, metadata=MAY_BE_ABSENT)
    """None: the decoder's."""
    encoder_final_norm: bool = True
    """Whether a norm follows the last of the encoder's layers, where they are pre-norm."""
    decoder_final_norm: bool = True
    encoder_window: Window | None = field(default=None, metadata=MAY_BE_ABSENT)
    """None: every word of a source sees all others."""
    encoder_attention: Approximation | None = field(default=None, metadata=MAY_BE_ABSENT)
    """None: words of a source see others, by one score each."""
    encoder_positions: int | None = field(default=None, metadata=MAY_BE_ABSENT)
    """How many positions sources have; None: `max_positions`, as translations."""
    head_width: int | None = None
    """Width of a head; None: the heads share `d_model` between them."""
    encoder_head_width: int | None = field(default=None, metadata=MAY_BE_ABSENT)
    """None: the decoder's."""
    norm_kind: NormKind = "layer"
    """`rms` neither takes the mean away nor adds a bias; `affine` only scales and adds (PowerNorm after training)."""
    gated: bool = False
    """The feed-forward has a second matrix whose activated product is multiplied with the first's."""
    linear_bias: bool = True
    position_offset: int = 0
    """Row of the sinusoid that the first position reads; learned positions are stored without such rows."""
    relative_buckets: int = 0
    """Relative positions: how many biases of attention scores each head has, chosen by the distance to the key."""
    relative_distance: int = 0
    """Keys as far away as this, and farther, share a bucket (`relative`) or a vector (`shaw`)."""
    relative_by_layer: bool = field(default=False, metadata=MAY_BE_ABSENT)
    """Each layer has such biases of its own, and not all layers of a stack the same."""
    alignment_head: int | None = None
    """Head of the last decoder layer whose attention tells which source words a word comes from; None: their mean."""
    output_transform: Activation | None = field(default=None, metadata=MAY_BE_ABSENT)
    """The output layer reads what a matrix, this activation and a norm make of the last layer's rows (BERT's heads)."""
    copies: bool = False
    """A gate shares each word's probability between the output layer and the source's own words (pointer-generator).
    Both sides have one vocabulary; ids from its size upwards stand for source positions with words that it lacks."""
    rotary: Rotary | None = field(default=None, metadata=MAY_BE_ABSENT)
    """The decoder's, where positions are rotary."""
    encoder_rotary: Rotary | None = field(default=None, metadata=MAY_BE_ABSENT)
    """None: the decoder's."""
    output_cap: float | None = field(default=None, metadata=MAY_BE_ABSENT)
    """Words' scores, without their biases, become cap * tanh(score / cap)."""
    recurrent: Recurrent | None = None
    """The sizes of a recurrent network: the decoders of `RECURRENT` have them, and no other has."""

    @property
    def keeps_states(self) -> bool:
        """Whether a node has states of its own, made of its parent's, and not keys and values for its descendants."""
        return self.decoder != "self-attention"

    @property
    def state_width(self) -> int:
        """Of a node's state in each layer, where it has one in each: an SSRU's, or what linear attention adds up."""
        return self.heads * self.head_dim * (self.head_dim + 1) if self.decoder == "linear-attention" else self.d_model

    @property
    def is_relative(self) -> bool:
        """Whether attention depends on distances, so that a step must know where nodes stand."""
        is_near = self.rotary is not None and any(seen is not None for seen in self.rotary.reach)
        return self.positions in ("relative", "shaw") or is_near

    @property
    def key_heads(self) -> int:
        """Heads of the decoder's keys and values."""
        return self.heads if self.rotary is None else self.rotary.key_heads

    @property
    def target_scale(self) -> float:
        """What the decoder's words are multiplied with when they are read."""
        return 1.0 if self.embedding_norm_first else self.embedding_scale

    @property
    def head_dim(self) -> int:
        """Width of one attention head of the decoder."""
        return self.head_width or self.d_model // self.heads

    @property
    def encoder_head_dim(self) -> int:
        """Width of one attention head of the encoder."""
        width = self.encoder_head_width or self.head_width
        return width or (self.encoder_width or self.d_model) // (self.encoder_heads or self.heads)

    @property
    def source_positions(self) -> int:
        """How many positions sources have."""
        return self.max_positions if self.encoder_positions is None else self.encoder_positions

    @property
    def of_encoder(self) -> "Architecture":
        """This architecture with the encoder's sizes and norms in the place of the decoder's."""
        return replace(
            self,
            d_model=self.encoder_width or self.d_model,
            heads=self.encoder_heads or self.heads,
            ffn=self.encoder_ffn or self.ffn,
            norm=self.encoder_norm or self.norm,
            activation=self.encoder_activation or self.activation,
            norm_epsilon=self.encoder_norm_epsilon or self.norm_epsilon,
            head_width=self.encoder_head_width or self.head_width,
            rotary=self.encoder_rotary or self.rotary,
            max_positions=self.source_positions,
        )


@dataclass(frozen=True)
class LanguagePair:
    """One direction that a bundle translates, as BCP-47 tags."""

    source: str
    target: str

    def __str__(self) -> str:
        return f"{self.source}-{self.target}"


@dataclass(frozen=True)
class Decoding:
    """The model's own decoding defaults; a request overrides single fields."""

    profile: Profile = "marian"
    """The toolkit whose rules the search follows."""
    beam_size: int = 1
    num_hypotheses: int = 1
    length_penalty: float = 1.0
    length_penalty_kind: LengthPenaltyKind = "power"
    """With n the target tokens, the end token included, the sum of log-probabilities is divided by n**length_penalty
    (power) or by ((5 + n) / 6)**length_penalty (gnmt)."""
    word_penalty: float = 0.0
    """Added to the score for each target token."""
    coverage_penalty: float = 0.0
    """Weight of the log of the attention that each source word got in all, as far as that is below 1."""
    patience: float = 1.0
    """`first` waits for beam_size times this many hypotheses."""
    early_stopping: EarlyStopping = "first"
    """When the search ends: with enough hypotheses (first), when the best live one could not win at its present length
    (heuristic), or when none could win at any length (exhaustive)."""
    min_length: int = 0
    """Target tokens without the end token."""
    max_length: int = 512
    """Target tokens, the end token included; the smaller of this and `max_length_factor` holds."""
    max_length_factor: float = 3.0
    """Target tokens for each source token, both with their end tokens."""
    repetition_penalty: float = 1.0
    """Divides the positive and multiplies the negative scores of tokens that were emitted before."""
    no_repeat_ngram_size: int = 0
    """No sequence of this many tokens comes twice; 0 allows all."""
    source_no_repeat_ngram_size: int = field(default=0, metadata=MAY_BE_ABSENT)
    """No sequence of this many tokens comes that the source has; 0 allows all."""
    unknown_handling: UnknownHandling = "suppress"
    """The unknown-word token is emitted like any other (allow), never (suppress), or replaced by the source word that
    it is aligned with (copy)."""
    shortlist: bool = False
    """Choose target words from the source's lexical shortlist only."""
    forced_last_id: int | None = None
    """What the last token within the length limit is, at no cost (profile `hf`)."""


@dataclass(frozen=True)
class Tokenizer:
    """How text becomes ids. Files are names inside the bundle; the same name twice is one shared vocabulary.

    The encoder reads: prefix, the text's ids, the end token where `source_end`, suffix.
    """

    kind: TokenizerKind
    source: str
    target: str
    eos_id: int
    unk_id: int
    start_id: int
    """What the decoder reads first. An id outside the vocabulary stands for a zero embedding (Marian)."""
    suppressed_ids: tuple[int, ...] = ()
    """Ids that are never emitted (after normalisation, so that scores stay the model's)."""
    source_vocabulary: str | None = None
    """A JSON file for pieces with ids of their own: an object from pieces to ids, without what is no text."""
    target_vocabulary: str | None = None
    prefix: tuple[int | Slot, ...] = ()
    suffix: tuple[int | Slot, ...] = ()
    forced_first: int | Slot | None = None
    """What every translation must begin with; in the profiles `hf` and `ct2` it costs nothing."""
    source_languages: dict[str, tuple[int, ...]] = field(default_factory=dict)
    """By BCP-47 tag, what `source` stands for in `prefix` and `suffix`; several tags may mean one language."""
    target_languages: dict[str, tuple[int, ...]] = field(default_factory=dict)
    source_end: bool = field(default=True, metadata=MAY_BE_ABSENT)
    """Whether the end token stands behind a source, too."""
    hidden_ids: tuple[int, ...] = ()
    """Target ids that are no text (end, unknown, languages) and are never shown."""

    @property
    def slots(self) -> frozenset[str]:
        """Which of a request's two languages change what the model reads."""
        return frozenset(part for part in (*self.prefix, *self.suffix, self.forced_first) if isinstance(part, str))


NAT_NAMES = ("mask-predict", "ctc")
"""What decoders of `Manifest.nat` may be called: each by its kind."""


@dataclass(frozen=True)
class Nat:
    """A non-autoregressive decoder on the bundle's encoder: all tokens of a canvas at once.

    Its layers are the architecture's decoder layers with self-attention in both directions; words, output layer and
    (but for CTC) positions are the autoregressive decoder's. `ctc` emits a token or a blank in each place of a
    canvas that is a multiple of the source's length; `mask-predict` fills a canvas whose length is predicted, or a long
    one that is cut at the end token, in one pass or several.

    The layers of a late canvas have no cross-attention: they go on with the source's rows where the encoder ends, and
    only what comes out of them is split into places.
    """

    kind: NatKind
    layers: int
    max_canvas: int
    """Places of the longest canvas."""
    canvas: NatCanvas = "masks"
    mask_id: int | None = None
    """What a place that is to be filled reads. The size of the target vocabulary stands for a vector of its own."""
    upsample: int = 1
    """CTC: places for each source position."""
    blank_id: int | None = None
    """CTC: the size of the target vocabulary stands for a row of the output layer of its own."""
    first_id: int | None = None
    """Mask-predict: what every canvas begins with, and never anything else (fairseq's bos)."""
    last_id: int | None = None
    """Mask-predict: what every canvas of a chosen length ends with; a long canvas ends in masks."""
    length_classes: int = 0
    """How many lengths are told apart; 0: lengths are not predicted, the canvas is long and cut at the end token."""
    length_offset: bool = True
    """Class n is the source's length plus n less half the classes, and not n; both with all that surrounds a text."""
    length_search: LengthSearch = "best"
    canvas_factor: float = 1.5
    """Places of a long canvas for each source position."""
    block: int = 0
    """Masks after a kept beginning that it was trained to fill; 0: it does not draft for speculation."""
    passes: int = 1
    """How many passes a request gets that asks for no number."""
    length_candidates: int = 1
    """Lengths that are tried side by side, where a request asks for no number."""
    refines: bool = False
    """CTC: it learnt to read words that its canvas shows, so that further passes mend what the first has said."""


@dataclass(frozen=True)
class Context:
    """How a model reads what comes before a text: in front of it, and it translates the text alone."""

    separator: tuple[int, ...]
    """Ids that the model reads between the two; empty where it reads nothing there."""
    max_tokens: int
    """How much of it the model reads, the nearest, without the separator."""


@dataclass(frozen=True)
class Texts:
    """What is done with texts where a request says nothing."""

    splitting: TextSplitting = "sentences"
    """How a text is cut into what the model sees one by one."""
    on_too_long: LongTexts = "split"
    """What becomes of a segment that is longer than the model can read."""
    translated: bool = True
    """What comes out says the same in another language: spans, numbers and tags of a text are in it, too. Else nothing
    is protected that a request does not name, and nothing is warned of."""
    context: Context | None = field(default=None, metadata=MAY_BE_ABSENT)
    """None: the model was not trained to read what comes before a text."""


@dataclass(frozen=True)
class Tensor:
    """One graph input or output. An axis is a number or the name of a dynamic size."""

    name: str
    dtype: Literal["float32", "float16", "int64", "uint8"]
    shape: tuple[int | str, ...]


@dataclass(frozen=True)
class Graph:
    """One ONNX graph of the bundle and its signature."""

    file: str
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]


@dataclass(frozen=True)
class Limits:
    """What the network can take at most, in tokens with their end tokens."""

    max_source_tokens: int
    max_target_tokens: int


@dataclass(frozen=True)
class Parity:
    """One line of the proof made at export: two forms of the same computation, and how far apart they are."""

    compared: str
    tensor: str
    max_difference: float
    tolerance: float


@dataclass(frozen=True)
class Form:
    """What stands for a stretch that must not change while the model works, because the model copies it."""

    form: str
    """`{n}` in it is a number: `X{n}`."""
    share: float
    """Of those that were put into texts, the share that came back exactly once."""


@dataclass(frozen=True)
class Provenance:
    """Where the weights came from."""

    source_format: str
    source_sha256: dict[str, str]
    tool_version: str
    options: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class File:
    """A file of the bundle as it must be."""

    sha256: str
    size: int


@dataclass(frozen=True)
class Manifest:
    """The typed content of `manifest.json`."""

    name: str
    pairs: tuple[LanguagePair, ...]
    """Empty for a model that translates each of its tokenizer's source languages into each of the target languages."""
    architecture: Architecture
    decoding: Decoding
    tokenizer: Tokenizer
    graphs: dict[str, Graph]
    """By the names of `dragoman.bundle.graphs`: `encoder` and, where the architecture has decoder layers, `step`;
    `candidates` and `step_shortlist` where the bundle has a lexical shortlist; `nat.NAME` and what goes with it for
    each decoder of `nat`; `stride`, and graphs that write to what stays on a device, where they are of use. Those of a
    sibling have its name before them."""
    limits: Limits
    precision: Precision
    provenance: Provenance
    licence: str = ""
    """SPDX expression; empty when it is not known."""
    capabilities: tuple[str, ...] = ("incremental",)
    nat: dict[str, Nat] = field(default_factory=dict)
    """Non-autoregressive decoders on the same encoder, by name: of several, the first of `NAT_NAMES` is the default."""
    siblings: dict[str, Architecture] = field(default_factory=dict, metadata=MAY_BE_ABSENT)
    """Further autoregressive decoders on the same encoder, each by its kind, with the architecture of both. The graphs
    of a sibling have its name before theirs: `ssru.encoder`, `ssru.step`."""
    searcher: str | None = field(default=None, metadata=MAY_BE_ABSENT)
    """The sibling that searches where a request names no decoder; None: the architecture's own decoder does."""
    shortlist: str | None = None
    """Name of the lexical shortlist's file."""
    parity: tuple[Parity, ...] = ()
    forms: tuple[Form, ...] = field(default=(), metadata=MAY_BE_ABSENT)
    """The forms that its model copies best, the best first; empty where that was not tried, or it copies none."""
    texts: Texts = field(default_factory=Texts, metadata=MAY_BE_ABSENT)
    files: dict[str, File] = field(default_factory=dict)
    """Every file but the manifest itself; filled in by `write`."""
    format_version: int = FORMAT_VERSION

    @property
    def decoders(self) -> list[str]:
        """The kinds of its autoregressive decoders, the default first."""
        kinds = [self.architecture.decoder] * bool(self.architecture.decoder_layers) + sorted(self.siblings)
        return sorted(kinds, key=lambda kind: kind != self.searcher)

    def of(self, sibling: str | None) -> "Manifest":
        """The bundle as if it had this autoregressive decoder alone; None is the architecture's own.

        Decoders without autoregression read what the encoder of that one gives, and siblings have none.
        """
        if not self.siblings:
            return self
        if sibling is None:
            graphs = {name: graph for name, graph in self.graphs.items() if name.split(".")[0] not in self.siblings}
            return replace(self, graphs=graphs, siblings={}, searcher=None)
        before = f"{sibling}."
        own = {name.removeprefix(before): graph for name, graph in self.graphs.items() if name.startswith(before)}
        return replace(self, architecture=self.siblings[sibling], graphs=own, nat={}, siblings={}, searcher=None)
