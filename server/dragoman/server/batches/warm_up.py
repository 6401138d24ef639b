"""A bundle's graphs are run before any request is answered. Where one fails, or its numbers are not finite, the bundle
is not served; and the first request pays for nothing that a runtime puts off until its first run.

On a device each lane rehearses, too: what it will run most is launched once in each size that needs no more memory than
it has from the first source on, and captured. A lane that never rests would launch it as usual otherwise.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TypeAlias

import numpy as np

from dragoman.bundle.graphs import CROSS, DEVICE_STEP, SELF, STEP
from dragoman.bundle.manifest import Manifest
from dragoman.server.batches.encoding import encode
from dragoman.server.batches.factory import GroupFactory
from dragoman.server.batches.group import Group
from dragoman.server.batches.step_batch import StepBatch
from dragoman.server.core.errors import EngineFailure, StartError
from dragoman.server.core.segments import Decoded, Segment
from dragoman.server.core.strategies import DraftSource
from dragoman.server.decode.draft_costs import Costs
from dragoman.server.decode.strategies.nat import NonAutoregressive
from dragoman.server.decode.strategies.sampling import Sampling
from dragoman.server.decode.strategies.speculative import DRAFT_TOKENS, Speculative
from dragoman.server.runtime.device_rows import row_level, source_level
from dragoman.server.runtime.runtime import Runtime

WORDS = 128
"""Of each source, from all over the vocabulary: what is mapped of the words' table is then in memory."""
FEW_WORDS = 16
"""Of a source that is translated without autoregression over the whole vocabulary: each of its words, and of others in
between, has a number for each word of that, which of many words is all that a server at rest has in memory.
"""
MOST_TOKENS = 8
LONG, SHORT = 100, 20
"""Words of a source: positions of either come in another size."""
REHEARSED_BEAM, REHEARSED_CHOICES = 4, 40
"""The beam that most ask for who ask for one, and the words that most draw from who say from how many."""
Size: TypeAlias = tuple[int, int, int]
FEW: tuple[Size, ...] = (64, LONG, 256), (64, SHORT, 64), (8, SHORT, 256), (1, SHORT, 256)
"""Sources at a time, of so many words, with so many slots: the largest first, whose memory serves the others, too."""
MANY: tuple[Size, ...] = (128, SHORT, 256), (128, SHORT, 64)
"""The same of a way that most sources go."""
ALONE: tuple[Size, ...] = (8, LONG, 256), (1, LONG, 256)
"""What only the encoder has another size for, which is the same one for all ways."""

LARGEST = 1 << 30
"""Bytes of the keys and values of a size that is rehearsed beyond what every lane has memory for: larger models leave a
device less room, and such a size comes seldom there."""


def warm_up(directory: Path, runtime: Runtime, factory: GroupFactory) -> None:
    """Decode something by each way that the bundle in this directory has. Raises `StartError`."""
    for decoder in (None, *runtime.siblings):
        for segment in _segments(runtime.of(decoder).manifest):
            _try(directory, replace(segment, decoder=decoder), factory)


def _try(directory: Path, segment: Segment, factory: GroupFactory) -> None:
    """Decode it, or say why the bundle cannot be served."""
    engine = segment.strategy.engine(segment.decoding).value
    engine += f" by {segment.decoder}" if segment.decoder else ""
    try:
        decoded = _decoded(segment, factory)
    except EngineFailure as failure:
        raise StartError(f"{directory}: it cannot decode ({engine}): {failure.detail}") from failure
    if not decoded.hypotheses:
        raise StartError(
            f"{directory}: what it decodes ({engine}) is not finite: its weights are damaged, or too large "
            "for its precision: export it again"
        )


def rehearse(runtime: Runtime, factory: GroupFactory, most: int, decoder: str | None = None) -> None:
    """Have the lane that calls run what it will run most, of few sources and of many, short ones and long ones, and
    capture that; it has at most so many sources at a time.
    """
    for segment, sizes in _rehearsed(runtime.of(decoder).manifest, decoder):
        drafts = (True, False) if isinstance(segment.strategy, Speculative) else (False,)
        seen: set[Size] = set()
        for rows, words, slots in sizes:
            size = row_level(min(rows, most)), words, slots
            if size not in seen:
                seen.add(size)
                for pays in drafts:
                    _step_once(factory, [_of_words(segment, runtime.manifest, words)] * min(rows, most), slots, pays)
    while runtime.prepare():
        pass


def _rehearsed(manifest: Manifest, decoder: str | None) -> Iterator[tuple[Segment, tuple[Size, ...]]]:
    """The ways that are rehearsed, and in which sizes."""
    short = replace(manifest.decoding, num_hypotheses=1, forced_last_id=None, min_length=0, beam_size=1)
    own = manifest.decoding.beam_size
    greedy = Segment((), short, decoder=decoder)
    many = MANY if _bytes_of(manifest, MANY[0]) <= LARGEST else ()
    yield greedy, (*many, *FEW, *ALONE)
    yield replace(greedy, decoding=replace(short, beam_size=own if own > 1 else REHEARSED_BEAM)), (*many, *FEW)
    if _bytes_of(manifest, FEW[0]) <= LARGEST:
        yield replace(greedy, strategy=Sampling(0, top_k=REHEARSED_CHOICES)), FEW
        yield replace(greedy, strategy=Speculative(DraftSource.SOURCE, DRAFT_TOKENS)), FEW


def _bytes_of(manifest: Manifest, size: Size) -> int:
    """What a device keeps of sources in this size: keys and values of slots, and of positions."""
    rows, words, slots = size
    inputs = manifest.graphs[DEVICE_STEP].inputs if DEVICE_STEP in manifest.graphs else ()
    kept = [tensor for tensor in inputs if tensor.name.startswith((SELF, CROSS))]
    many = {"G": rows, "T": slots, "S": source_level(words)}
    return sum(
        math.prod(n if isinstance(n, int) else many[n] for n in tensor.shape) * np.dtype(tensor.dtype).itemsize
        for tensor in kept
    )


def _of_words(segment: Segment, manifest: Manifest, words: int) -> Segment:
    """The same of so many words, as far as a source may have them."""
    ids = *[0] * min(words, manifest.limits.max_source_tokens - 1), manifest.tokenizer.eos_id
    return replace(segment, ids=ids)


def _step_once(factory: GroupFactory, segments: Sequence[Segment], slots: int, is_drafted: bool) -> None:  # noqa: FBT001
    """One step of a group of its own, whose memory the next one has."""
    group: Group[int] = factory.group(segments[0], costs=Costs(is_drafted))
    for owner, source in enumerate(encode(factory.runtime(segments[0].decoder), segments)):
        group.admit(owner, segments[owner], source)
    if isinstance(group, StepBatch):
        group.reserve(slots)
    group.step()


def _decoded(segment: Segment, factory: GroupFactory) -> Decoded:
    """What comes of a segment alone."""
    cross, hidden = factory.reads(segment)
    [source] = encode(factory.runtime(segment.decoder), [segment], cross=cross, hidden=hidden)
    group: Group[None] = factory.group(segment)
    group.admit(None, segment, source)
    while not (done := group.step()):
        pass
    [(_, decoded)] = done
    return decoded


def _segments(manifest: Manifest) -> Iterator[Segment]:
    """Those that take all graphs between them: greedily, by a beam and by each other decoder, with a shortlist and
    without.
    """
    size = manifest.architecture.source_vocabulary
    words = range(0, size, -(-size // min(WORDS, manifest.limits.max_source_tokens - 1)))
    ids = *words, manifest.tokenizer.eos_id
    short = replace(manifest.decoding, min_length=0, max_length=MOST_TOKENS, num_hypotheses=1, forced_last_id=None)
    for shortlist in {manifest.shortlist is not None, False}:
        decoding = replace(short, shortlist=shortlist)
        if STEP in manifest.graphs:
            yield from (Segment(ids, replace(decoding, beam_size=width)) for width in (1, 2))
        for name in manifest.nat:
            strategy = NonAutoregressive(name, manifest.nat[name].passes)
            read = ids if shortlist else (*ids[: FEW_WORDS - 1], manifest.tokenizer.eos_id)
            yield Segment(read, replace(decoding, beam_size=1), strategy=strategy)
