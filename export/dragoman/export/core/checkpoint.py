"""A checkpoint as an importer read it: architecture, canonical weights, tokenizer, decoding settings.

Canonical names are those of the torch modules in `dragoman.export.network.network`; matrices are [in, out]
(y = x @ w + b):

    source_embedding [Vs, d]   target_embedding [Vt, d]   output_embedding [Vt, d]   output_bias [Vt]
        (tying "all": only source_embedding; "decoder": source_embedding and target_embedding; "none": all three)
    source_positions, target_positions [max_positions, d]          learned positions only; sources may have others
    {encoder,decoder}.embedding_norm.{weight,bias}                 embedding_norm only
    {encoder,decoder}.norm.{weight,bias}                           pre-norm only: after the last layer
    {encoder,decoder}.relative.table [buckets, heads]              relative positions only
    {encoder,decoder}.relative.tables.N [buckets, heads]           instead, where each layer has its own
    decoder.transform.{dense,norm}.{weight,bias}                   output_transform only
    encoder.layers.N.self.{q,k,v,o}.{weight,bias}                  N counts from 0
    {encoder,decoder}.layers.N.self.{relative_k,relative_v} [2 * farthest + 1, e]   positions "shaw" only
    encoder.layers.N.self.whole.{q,k,v}.{weight,bias}              a window's first words
    encoder.layers.N.self.sum_norm.{weight,bias}                   a window's sums, and once for all layers
    encoder.windows.side.table [buckets, heads]
    encoder.layers.N.self.token_norm.{weight,bias}                 a window's tokens, and once for all layers
    encoder.windows.tokens [tokens, d]
    encoder.layers.N.self.{keys_down,values_down} [positions, size]          encoder_attention "linformer"
    encoder.layers.N.self.compress.{k,v}.{weight,bias} [size * H * e, H * e] "compressed": of words side by side
    encoder.layers.N.self.sort.{inner,outer}.{weight,bias}         "sinkhorn": [d, d], [d, H * blocks]
    encoder.layers.N.self.rotations [rounds, H, e, count / 2]      "lsh", which has no .k, as keys are the queries
    encoder.layers.N.self.centroids [H, count, e]                  "routing"
    {encoder,decoder}.layers.N.{self_norm,ffn_norm}.{weight,bias}
    {encoder,decoder}.layers.N.ffn.{up,down}.{weight,bias}         and .gate where it is gated
    {encoder,decoder}.layers.N.{self_after,cross_after,ffn_after}.{weight,bias}     norm "both" only
    decoder.layers.N.self.{q,k,v,o}.{weight,bias}                  decoder "self-attention", "linear-attention"
    decoder.layers.N.rnn.input.weight, .rnn.forget.{weight,bias}   decoder "ssru" (self_norm follows it)
    decoder.layers.N.cross.{q,k,v,o}.{weight,bias}, .cross_norm.{weight,bias}
    nat.NAME....                                                   non-autoregressive decoders, NAME as in `nat`:
        .layers.N....   as of a decoder "self-attention", without .cross and .cross_norm for canvas "late"; .norm and,
                        but for "late", .embedding_norm where the decoder has them
        .mask [d], .blank [d] and .blank_bias [1]                  a mask or blank that is no word of the vocabulary
        .length.{weight,bias} [d, classes]                         lengths are predicted
        .split.{weight,bias} [d, upsample * d]                     canvases "split", "late" and "shown"
        .said.weight [upsample * d, d]                             canvas "late" that refines
        .canvas_positions [max_canvas, d]                          CTC with learned positions, but for "late"

    pointer.gate [n], pointer.bias [1]                             copies only; the gate reads what the output layer
                                                                   reads, then the embedded word

Recurrent models have embeddings, output and pointer (whose gate reads the context, the hidden state and the embedded
word) under the same names, and more; h is the width of the decoder, M that of the encoder's row of a word:

    encoder.rnn.{weight,bias}_{ih,hh}_lN[_reverse]                 as torch's LSTM, GRU and RNN have them
    encoder.stacks.D.N.C.... and encoder.tower.N.C....             instead, unless encoder_form is "layers": cells as
                                                                   the decoder's; D is 0 forwards, 1 backwards, and
                                                                   cell C of layer N reads nothing where C is not 0
    encoder.out.{weight,bias}                                      row_width only: [2w or w, M]
    decoder.bridge.{hidden,cell}.{weight,bias}                     bridge only: [M, h]
    decoder.layers.N.{input,state}.{weight,bias}                   of what a cell reads, and its state; [in, gates * h],
                                                                   in torch's order; no input.weight where it reads
                                                                   nothing (is_transition)
    decoder.layers.N.{input,state}_norm.{weight,bias}              cell_norm only, and of the encoder's cells too; and
    decoder.attention.{key,query}_norm.{weight,bias}               there are no other biases than of cells that read
    decoder.bridge_norm.{hidden,cell}.{weight,bias}                nothing where that is "whole"
    decoder.attention.{parts,part_norms}.PART.{weight,bias}        instead of `out`, where products are normed
    decoder.attention.key.weight [M, h]                            attention "general"
    decoder.attention.{key.{weight,bias},query.weight,score}       attention "additive": [M, e], [e], [h, e], [e]
    decoder.attention.{query,key,value,result}.{weight,bias}       attention "heads": [h, e], [M, e], [M, e], [e, h]
    decoder.attention.location [e, 2 * history_reach + 1]          attention_history only
    decoder.attention.out.{weight,bias} [all that it reads, h]     output_reads only, with output_matrix
    decoder.out.{weight,bias} [h, d]                               where the output layer is not as wide as the decoder

Norms of kind `rms` have no bias, nor have matrices without `linear_bias`. Attention scores are divided by the root of
the head's width when weights are loaded; an importer whose model does not do that multiplies the keys' matrix by it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from dragoman.bundle.manifest import Architecture, Decoding, LanguagePair, Limits, Nat, Texts, Tokenizer


@dataclass(frozen=True)
class Quantized:
    """A weight that the source holds as integers: real = values * scale."""

    values: npt.NDArray[np.int8]
    """Same shape and orientation as the canonical weight."""
    scale: float
    activation_scale: float | None
    """The source's own calibrated scale of the input: real = integer * scale. None where it has none."""


@dataclass(frozen=True)
class Shortlist:
    """For each source id, the target ids worth considering."""

    first: int
    """Target ids below this are always candidates."""
    offsets: npt.NDArray[np.int64]
    """[source vocabulary + 1]: source id s owns `ids[offsets[s]:offsets[s + 1]]`."""
    ids: npt.NDArray[np.int32]


class Oracle(Protocol):
    """The model in the library that it comes from, which the exported graphs are compared with."""

    @property
    def name(self) -> str:
        """The library and its version."""

    @property
    def avoided_ids(self) -> tuple[int, ...]:
        """Ids that it treats as padding, and that no text holds."""

    def seeing(self, first: int) -> "Oracle":
        """The same, where so many first words of a source see all of it."""

    def log_probabilities(self, sources: list[list[int]], read: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
        """Log-probabilities of all words [G, T, V] after each of those that the decoder reads, `read` [G, T]."""


class Sibling(NamedTuple):
    """A further autoregressive decoder on a checkpoint's encoder."""

    architecture: Architecture
    weights: dict[str, npt.NDArray[np.float32]]
    """Its own and the encoder's, in canonical form."""


@dataclass(frozen=True)
class Checkpoint:
    """A trained model in canonical form."""

    name: str
    pairs: tuple[LanguagePair, ...]
    """Empty where the tokenizer's languages say it."""
    architecture: Architecture
    weights: dict[str, npt.NDArray[np.float32]]
    quantized: dict[str, Quantized]
    """By canonical name; each of these is also in `weights`, multiplied out."""
    tokenizer: Tokenizer
    tokenizer_files: Mapping[str, Path | bytes]
    """Name inside the bundle -> a file to copy, or the content itself."""
    decoding: Decoding
    limits: Limits
    source_format: str
    source_files: tuple[Path, ...]
    """Every file that was read, for provenance."""
    licence: str = ""
    output_activation_scale: float | None = None
    """The source's own calibrated scale of the output layer's input, which a tied embedding cannot carry itself."""
    shortlist: Shortlist | None = None
    notes: tuple[str, ...] = field(default=())
    """What a user should know about this import; printed by the command."""
    nat: dict[str, Nat] = field(default_factory=dict)
    """Non-autoregressive decoders on the same encoder, as the manifest describes them."""
    history: dict[str, str] = field(default_factory=dict)
    """What was done to the weights since they were read, for provenance."""
    texts: Texts = Texts()  # noqa: RUF009 - frozen
    """What is done with texts where a request says nothing."""
    oracle: Oracle | None = None
    """The source's own library; None where that is not installed."""
    siblings: dict[str, Sibling] = field(default_factory=dict)
    """Further autoregressive decoders, each by its kind."""
    searcher: str | None = None
    """The sibling that searches where a request names no decoder; None: the architecture's own decoder does."""

    def of(self, decoder: str | None) -> "Checkpoint":
        """As if it had one autoregressive decoder alone, the architecture's own (None) or a sibling."""
        alone = replace(self, siblings={}, searcher=None)
        if decoder is None:
            return alone
        architecture, weights = self.siblings[decoder]
        return replace(alone, architecture=architecture, weights=weights, quantized={}, nat={}, oracle=None)
