"""A bundle's graphs without a model: arithmetic on the numbers that real graphs get."""

from collections.abc import Collection, Hashable, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Any

import numpy as np

from dragoman.bundle.graphs import (
    ALLOWED,
    ATTENTION,
    CANDIDATE_IDS,
    CANDIDATES,
    CANVAS_MASK,
    CHOSEN,
    CHOSEN_LOGP,
    COUNT,
    CROSS,
    DEPTH,
    ENCODER,
    HIDDEN,
    IDS,
    LENGTH_LOGP,
    MASK,
    NEW,
    NORMALISER,
    PLACES,
    ROWS,
    SELF,
    SRC_MASK,
    STATE,
    STEP,
    STRIDE,
    TOP,
    TOPK_ID,
    TOPK_LOGP,
    WORD_BIAS,
    WORDS,
    decoder_name,
    is_nat_memory,
    nat_graphs,
    signature,
)
from dragoman.bundle.manifest import (
    Architecture,
    Decoding,
    LanguagePair,
    Limits,
    Manifest,
    Nat,
    Provenance,
    Tensor,
    Tokenizer,
)
from dragoman.server.decode.arrays import Floats32
from dragoman.server.runtime.buffers import Feed
from dragoman.server.runtime.host_store import HostStore
from dragoman.server.runtime.stores import Store

FAKE_WORDS, FAKE_STATES = 24, 97


class FakeRuntime:
    """Graphs of arithmetic on the numbers that real ones get: sources come by way of the encoder and the memory, words
    that were read by way of slots behind a mask, or of states.

    `logp` is the whole model: what may follow depends on all words of the source and all that were read, and on where.
    """

    provider = "cpu"
    is_placed, work = False, None

    def __init__(
        self,
        *graphs: str,
        nat: dict[str, Nat] | None = None,
        seed: int = 0,
        siblings: Mapping[str, "FakeRuntime"] = MappingProxyType({}),
        **arch: Any,
    ) -> None:
        self.siblings = siblings
        architecture = replace(Architecture(4, 2, 8, 1, 1, FAKE_WORDS, FAKE_WORDS), **arch)
        names = [ENCODER, STEP, *graphs]
        names += [
            name for one in nat or {} for name in nat_graphs(one, (nat or {})[one], shortlist=CANDIDATES in graphs)
        ]
        self.manifest = Manifest(
            name="fake",
            pairs=(LanguagePair("en", "pt"),),
            architecture=architecture,
            decoding=Decoding(max_length=20),
            tokenizer=Tokenizer("sentencepiece", "-", "-", eos_id=0, unk_id=1, start_id=0),
            graphs={name: signature(architecture, name, nat or {}) for name in names},
            nat=nat or {},
            limits=Limits(max_source_tokens=64, max_target_tokens=64),
            precision="fp32",
            provenance=Provenance("test", {}, "0"),
        )
        logits = 2 * np.random.default_rng(seed).normal(size=(FAKE_STATES, FAKE_WORDS)).astype(np.float32)
        self._table = logits - np.log(np.exp(logits).sum(1, keepdims=True))
        self.runs: list[str] = []
        """Graphs, in the order in which they were run."""

    @property
    def graphs(self) -> Collection[str]:
        """All of its manifest."""
        return self.manifest.graphs.keys()

    def of(self, decoder: str | None) -> "FakeRuntime":
        """A sibling's graphs, which are a model of their own."""
        return self if decoder is None else self.siblings[decoder]

    def logp(self, source: Sequence[int], tokens: Sequence[int]) -> Floats32:
        """Log-probabilities of what follows these tokens of a translation."""
        read = (self.manifest.tokenizer.start_id, *tokens)
        found: Floats32 = self._table[(sum(source) + sum(_weight(*one) for one in enumerate(read))) % FAKE_STATES]
        return found

    def store(self, declared: Sequence[Tensor], sizes: Mapping[str, int], kind: Hashable = None) -> Store:
        """Arrays."""
        return HostStore(declared, sizes)

    def encode(self, feed: Feed, *, cross: bool, hidden: bool) -> dict[str, Any]:
        """Each word's keys, values and hidden row are its id."""
        self.runs.append(ENCODER)
        rows = np.repeat(feed[IDS][:, None], self.manifest.architecture.d_model, 1).astype(np.float32)
        return {**(self._memory(ENCODER, rows, feed) if cross else {}), **({HIDDEN: rows} if hidden else {})}

    def step(self, graph: str, feed: Feed, *, attention: bool) -> tuple[dict[str, Any], list[Any]]:
        """What a node says depends on the sum of its source's ids and of the weights of what it sees."""
        self.runs.append(graph)
        weight = _weight(feed[DEPTH], feed[IDS])
        path = self._read(feed, weight)
        said = self._best(feed, path + _source(feed)[:, None])
        if attention:
            is_word = feed[SRC_MASK][:, 0] == 0
            said[ATTENTION] = np.repeat(is_word / is_word.sum(-1, keepdims=True), path.shape[1], 1).astype(np.float32)
        return said, self._new(weight, path)

    def prepare(self) -> bool:
        return False

    def run(self, graph: str, feed: Feed) -> dict[str, Any]:
        """Any other graph."""
        self.runs.append(graph)
        if graph == CANDIDATES:
            ids = feed[CANDIDATE_IDS]
            return {WORDS: np.zeros((len(ids), 1), np.float32), WORD_BIAS: np.zeros(len(ids), np.float32)}
        if graph == STRIDE:
            return self._stride(feed)
        if is_nat_memory(graph):
            return self._memory(graph, feed[HIDDEN], feed)
        if CANVAS_MASK in feed:  # a place says what depends on the source and on all that the canvas shows
            shown = _weight(np.arange(feed[IDS].shape[1]), feed[IDS]) * (feed[CANVAS_MASK][:, 0, 0] == 0)
            state = shown.sum(1, keepdims=True) + np.arange(shown.shape[1]) + _source(feed)[:, None]
        else:  # or on its own word, and what the place shows
            nat = self.manifest.nat[decoder_name(graph)]
            state = feed[HIDDEN][:, 0][feed[PLACES]].repeat(nat.upsample, 1)
            state = state + np.arange(state.shape[1]) + (feed[IDS].reshape(state.shape) if IDS in feed else 0)
        said = self._best(feed, state, feed[ROWS])
        return {TOPK_LOGP: said[TOPK_LOGP], TOPK_ID: said[TOPK_ID]}

    def _stride(self, feed: Feed) -> dict[str, Any]:
        """Steps of one node each, which read the best word of the one before."""
        ids, depth, path, rounds = feed[IDS], feed[DEPTH], 0, []
        for n in range(int(feed[COUNT])):
            weight = _weight(depth + n, ids)
            path = path + weight if n else self._read(feed, weight)
            said = self._best(feed, path + _source(feed)[:, None])
            rounds.append((said[TOPK_LOGP], said[TOPK_ID], *self._new(weight, path)))
            ids = said[TOPK_ID][:, :1]
        logp, words, *new = zip(*rounds, strict=True)
        is_state = self.manifest.architecture.keeps_states
        kept = [np.stack(tensors) if is_state else np.concatenate(tensors, 2) for tensors in new]
        return {TOPK_LOGP: np.stack(logp), TOPK_ID: np.stack(words), **{f"{NEW}{n}": t for n, t in enumerate(kept)}}

    def _read(self, feed: Feed, weight: Any) -> Any:
        """The weights of each node and of all that it sees [G, q]."""
        if MASK not in feed:
            return weight + feed[f"{STATE}0"][..., 0].astype(np.int64)
        pool = feed[f"{SELF}k.0"][:, 0, :, 0]
        every = np.concatenate([pool, weight], 1)
        is_open = feed[MASK][:, 0, :, : every.shape[1]] == 0
        return (is_open * every[:, None]).sum(2).astype(np.int64)

    def _new(self, weight: Any, path: Any) -> list[Any]:
        """What is kept of the nodes."""
        arch, (n, q) = self.manifest.architecture, weight.shape
        if arch.keeps_states:
            return [np.repeat(path.reshape(-1, 1), arch.d_model, 1).astype(np.float32)] * arch.decoder_layers
        shape = n, arch.heads, q, arch.head_dim
        return [np.broadcast_to(weight[:, None, :, None], shape).astype(np.float32)] * (2 * arch.decoder_layers)

    def _memory(self, graph: str, hidden: Any, feed: Feed) -> dict[str, Any]:
        """What a decoder reads of sources, from the hidden rows of their words."""
        ids, made = hidden[:, 0][feed[PLACES]], {}
        for tensor in self.manifest.graphs[graph].outputs:
            shape = [{"G": ids.shape[0], "S": ids.shape[1]}.get(str(n), n) for n in tensor.shape]
            if tensor.name == LENGTH_LOGP:
                made[tensor.name] = self._table[ids.sum(1).astype(np.int64) % FAKE_STATES, : shape[1]]
            elif "S" in tensor.shape:
                axes = [None if n != "S" else slice(None) for n in tensor.shape[1:]]
                made[tensor.name] = np.broadcast_to(ids[(slice(None), *axes)], shape).astype(np.float32)
        return made

    def _best(self, feed: Feed, state: Any, rows: Any = slice(None)) -> dict[str, Any]:
        """The best words of each state [G, q], or of some, among the candidates where there are any."""
        logp = self._table[state.astype(np.int64) % FAKE_STATES]
        words = feed.get(CANDIDATE_IDS, np.arange(FAKE_WORDS))
        if ALLOWED in feed:
            logp = logp[..., words] + feed[ALLOWED][:, None]
        chosen = np.take_along_axis(logp, feed[CHOSEN], 2).reshape(state.size, -1) if CHOSEN in feed else None
        logp = logp.reshape(state.size, -1)[rows]
        order = (-logp).argsort(1, kind="stable")[:, : len(feed[TOP])]
        best = np.take_along_axis(logp, order, 1)
        return {TOPK_LOGP: best, TOPK_ID: words[order], CHOSEN_LOGP: chosen, NORMALISER: np.zeros((state.size, 1))}


def _weight(depth: Any, word: Any) -> Any:
    """What a word that is read somewhere adds to all that follow."""
    return (word + 1) * (depth + 1)


def _source(feed: Feed) -> Any:
    """The sum of each source's ids."""
    return (feed[f"{CROSS}k.0"][:, 0, 0] * (feed[SRC_MASK][:, 0, 0] == 0)).sum(1).astype(np.int64)
