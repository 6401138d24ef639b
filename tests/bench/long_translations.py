"""A decoder's step after so many words: self-attention, which reads all of them, beside linear attention's sums.

Decoders of random weights (2 layers, d 256, 4 heads, ffn 1024, 1,000 words) run one step of eight sources of 64 tokens
by one thread, with one hypothesis each and with four that have no word in common. Time is the process's own, the median
of several runs; bytes are what is kept of a hypothesis' words.
"""

import argparse
import tempfile
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from measure import median, timed

from dragoman.bundle.graphs import SELF, STATE, STEP, signature
from dragoman.bundle.manifest import Architecture
from dragoman.export.graphs.running import session
from dragoman.export.graphs.trace import trace
from dragoman.export.graphs.weights_file import save
from dragoman.export.network.network import Network

WORDS = (32, 128, 512, 2048, 8192)
SOURCES, SOURCE, WIDTHS = 8, 64, (1, 4)
SIZES: dict[str, Any] = {
    "d_model": 256,
    "heads": 4,
    "ffn": 1024,
    "encoder_layers": 1,
    "decoder_layers": 2,
    "source_vocabulary": 1000,
    "target_vocabulary": 1000,
    "max_positions": WORDS[-1] + 1,
}
DECODERS = ("self-attention", "linear-attention")


def feed_of(arch: Architecture, width: int, words: int) -> dict[str, npt.NDArray[Any]]:
    """Numbers for all inputs of a step, in which every slot is seen."""
    sizes = {"G": SOURCES, "q": width, "n": SOURCES * width, "T": words * width, "S": SOURCE, "m": 1, "k": 8}
    sizes["T+q"] = sizes["T"] + width
    rng, feed = np.random.default_rng(0), {}
    for tensor in signature(arch, STEP).inputs:
        shape = [size if isinstance(size, int) else sizes[size] for size in tensor.shape]
        if tensor.dtype == "int64":
            feed[tensor.name] = np.ones(shape, np.int64)
        else:
            drawn = rng.random(shape, np.float32) if tensor.name.startswith(STATE) else rng.normal(size=shape)
            feed[tensor.name] = np.zeros(shape, np.float32) if "mask" in tensor.name else drawn.astype(np.float32)
    return feed


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.parse_args()
    print(f"| decoder | hypotheses | {' | '.join(f'{n:,} words' for n in WORDS)} |")
    print(f"|{'---|' * (len(WORDS) + 2)}")
    for decoder in DECODERS:
        arch = Architecture(**SIZES, decoder=decoder)
        torch.manual_seed(0)
        network = Network(arch).eval().requires_grad_(False)
        for parameter in network.parameters():
            parameter.normal_(0, 0.05)
        with tempfile.TemporaryDirectory() as folder:
            save({STEP: trace(network, STEP)}, Path(folder))
            step = session(Path(folder), STEP)
        for width in WIDTHS:
            cells = []
            for words in WORDS:
                feed = feed_of(arch, width, words)
                run = partial(step.run, None, feed)
                kept = sum(v.nbytes for n, v in feed.items() if n.startswith((STATE, SELF))) / (SOURCES * width)
                taken = [timed(run, "cpu") for _ in range(max(5, 4096 // words))]
                cells.append(f"{1e3 * median(taken):.2f} ms, {kept / 1024:,.0f} KiB")
            print(f"| {decoder} | {SOURCES} x {width} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
