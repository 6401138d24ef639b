"""Fixed int8 scales: how large the numbers get that each matrix is multiplied with, measured on texts.

The network translates the texts in float32, greedily and by two passes of each other decoder that it has, twice: first
every product notes the largest number that it reads, then how much rounding to a fixed scale loses beside rounding each
row to its own. A fixed scale saves the search for each row's largest number at every step; where rows differ so much
that it would cost more than a bit, a matrix keeps row scales.
"""

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor

from dragoman.export.graphs.running import packed, padded
from dragoman.export.network.layers import Linear
from dragoman.export.network.nat import decoder_of, decoders
from dragoman.export.network.network import Network

OUTPUT = "output"
"""The key of the output layer's scale among those of matrices."""
MAX_TOKENS = 60
BEARABLE = 2.0
"""A fixed scale may lose this many times what row scales lose: one bit."""
Note = Callable[[str, Tensor], None]


def measure_scales(
    network: Network, sources: Sequence[Sequence[int]], *, start_id: int, eos_id: int
) -> dict[str, float | None]:
    """The scale of what each matrix is multiplied with, by the matrix's name, and of what the output layer reads.

    None where row scales are needed.
    """
    largest: dict[str, float] = defaultdict(float)
    lost: dict[str, Tensor] = defaultdict(lambda: torch.zeros(2, dtype=torch.float64))
    rectified = network.arch.activation == "relu" and not network.arch.gated

    def steps(name: str) -> int:
        # What comes out of a ReLU needs no sign and has all of the 8 bits for itself.
        return 255 if rectified and name.endswith("ffn.down.weight") else 127

    def note_largest(name: str, x: Tensor) -> None:
        largest[name] = max(largest[name], float(x.abs().max()))

    def note_lost(name: str, x: Tensor) -> None:
        peaks = torch.tensor(largest[name]).expand(len(x), 1), x.abs().amax(-1, keepdim=True)
        for kind, peak in enumerate(peaks):
            scale = peak.clamp(min=1e-6) / steps(name)
            lost[name][kind] += (x - (x / scale).round() * scale).square().sum()

    for note in (note_largest, note_lost):
        with torch.inference_mode(), _listening(network, note):
            ids, src_mask = map(torch.from_numpy, padded(sources))
            translate(network, ids, src_mask, start_id, eos_id, note)
            fill(network, ids, src_mask)
    return {
        name: max(peak, 1e-6) / steps(name) if lost[name][0] <= BEARABLE**2 * lost[name][1] else None
        for name, peak in largest.items()
    }


@contextmanager
def _listening(network: Network, note: Note) -> Iterator[None]:
    """Have every matrix note what it is multiplied with."""

    def listen(name: str) -> Callable[..., None]:
        return lambda _module, inputs: note(name, inputs[0])

    matrices = {f"{name}.weight": module for name, module in network.named_modules() if isinstance(module, Linear)}
    hooks = [module.register_forward_pre_hook(listen(name)) for name, module in matrices.items()]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def fill(network: Network, ids: Tensor, src_mask: Tensor) -> None:
    """Run two passes of each non-autoregressive decoder: over empty canvases, then over canvases with words.

    Half of the places show what the first pass said, where the decoder reads words at all.
    """
    given = packed(ids, src_mask)
    places = given["places"]
    for name, nat in decoders(network).items():
        decoder = decoder_of(network, name)
        hidden = network.encode(**given)
        shape = (len(ids), places.shape[1] * nat.upsample)
        first = torch.full(shape, network.arch.target_vocabulary)
        if nat.kind == "mask-predict":
            assert nat.mask_id is not None
            cross, shown = decoder.memory(hidden, places), decoder.shown(hidden, places)
            first = nat.mask_id + (torch.zeros(shape).long() if shown is None else torch.arange(shape[1]).expand(shape))
            if nat.length_classes:
                decoder.length_logits(hidden, places, src_mask)
        canvas = first
        for _ in range(1 if nat.kind == "ctc" and not nat.refines else 2):
            if nat.kind == "ctc":
                x = decoder.read(network, hidden, places, src_mask, canvas if nat.refines else None)
            else:
                x = decoder.run(decoder.embed(network, canvas, shown), shape, src_mask, cross, src_mask)
            said = decoder.logits(network, x).argmax(-1).reshape(shape)
            canvas = torch.where(torch.arange(shape[1]) % 2 == 0, said, first)


def translate(
    network: Network, ids: Tensor, src_mask: Tensor, start_id: int, eos_id: int, note: Note, *, most: int = MAX_TOKENS
) -> None:
    """Translate all sources at once, greedily; those that have ended go on and are measured as well."""
    count, arch = len(ids), network.arch
    if not arch.decoder_layers:
        return
    memory = network.memory(ids, src_mask)
    limit = min(most, 2 * ids.shape[1] + 8, arch.max_positions)
    read, is_open = torch.full((count, 1), start_id), torch.ones(count, dtype=torch.bool)
    state = network.first(memory)
    for t in range(limit):
        depth = torch.full((count, 1), t)
        mask = None if arch.keeps_states else torch.zeros(count, 1, 1, t + 1)
        slots = torch.arange(t).expand(count, t) if arch.is_relative else None
        hidden, _, kept = network.step(read, depth, mask, state, memory, src_mask, slots)
        note(OUTPUT, hidden[is_open, : arch.d_model])
        state = (
            [s[:, None] for s in kept]
            if arch.keeps_states
            else [torch.cat(pair, 2) for pair in zip(state, kept, strict=True)]
        )
        read = network.logits(hidden).argmax(-1, keepdim=True)
        is_open &= read[:, 0] != eos_id
        if not is_open.any():
            return
