"""Time and memory of encoders over the length of a source: what windows and approximations cost beside full attention.

Each row is an encoder of random weights (2 layers, d 256, 4 heads, ffn 1024, and one decoder layer's keys and values),
run by one thread as the server runs it, in a process of its own for each length. Time is the process's own, the least
of three runs; memory is how much more the process came to hold while it read one source. A slope is that of the
logarithms: 1 is linear, 2 is the square. `beside` is the long source with sixteen of 20 tokens, cut into runs as the
server cuts them.
"""

import argparse
import json
import math
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from dragoman.bundle.graphs import ENCODER
from dragoman.bundle.manifest import Approximation, Architecture, Decoding, Window
from dragoman.export.graphs.running import session
from dragoman.export.graphs.trace import trace
from dragoman.export.graphs.weights_file import save
from dragoman.export.network.network import Network
from dragoman.server.batches.encoding import encode, encoder_runs
from dragoman.server.core.segments import Segment

LENGTHS = (512, 1024, 2048, 4096, 8192, 16_384)
SHORT, BESIDE = 20, 16
LAYERS, WORDS = 2, 1000
T5: dict[str, Any] = {
    "norm": "pre",
    "norm_kind": "rms",
    "linear_bias": False,
    "positions": "relative",
    "relative_buckets": 32,
    "relative_distance": 128,
}
FULL = "full attention"
ENCODERS: dict[str, dict[str, Any]] = {
    FULL: {},
    "LED, windows of 1,024 and a first word": {"encoder_window": Window((512,) * LAYERS, first=1)},
    "LongT5, a radius of 127": {"encoder_window": Window((127,) * LAYERS), **T5},
    "LongT5, and sums of 16": {"encoder_window": Window((127,) * LAYERS, summed=16), **T5},
    "Pegasus-X, stretches of 512 and 32 tokens": {
        "encoder_window": Window((511,) * LAYERS, stretch=512, is_staggered=True, tokens=32),
        "norm": "pre",
    },
    "BigBird, stretches of 64": {"encoder_window": Window((127,) * LAYERS, stretch=64, linked=4), "norm": "pre"},
    "linear attention": {"encoder_attention": Approximation("linear")},
    "Linformer, 256 keys": {"encoder_attention": Approximation("linformer", 256)},
    "compressed, one key of three": {"encoder_attention": Approximation("compressed", 3)},
    "Sinkhorn, blocks of 64": {"encoder_attention": Approximation("sinkhorn", 64, rounds=5)},
    "LSH, chunks of 64, 64 buckets, one round": {"encoder_attention": Approximation("lsh", 64, 64, 1)},
    "routing, 16 clusters of 256": {"encoder_attention": Approximation("routing", 256, 16)},
}
MOST_FULL = 4096
"""The square of more than this is not measured: its scores alone would be gigabytes."""


class Encoder:
    """The encoder graph of a folder, in the place of a runtime."""

    def __init__(self, folder: Path) -> None:
        self._session = session(folder, ENCODER)
        self._names = [value.name for value in self._session.get_outputs()]

    def encode(self, feed: dict[str, Any], *, cross: bool, hidden: bool) -> dict[str, Any]:
        """Keys and values [G, ...]."""
        assert cross, "it gives nothing else"
        assert not hidden, "it gives nothing else"
        return dict(zip(self._names, self._session.run(self._names, feed), strict=True))


def write(name: str, folder: Path) -> None:
    """An encoder of random weights."""
    torch.manual_seed(0)
    sizes = {"d_model": 256, "heads": 4, "ffn": 1024, "encoder_layers": LAYERS, "decoder_layers": 1}
    words = {"source_vocabulary": WORDS, "target_vocabulary": WORDS, "max_positions": LENGTHS[-1]}
    network = Network(Architecture(**{**sizes, **words, **ENCODERS[name]})).eval().requires_grad_(False)
    for parameter in network.parameters():
        parameter.normal_(0, 0.05)
    save({ENCODER: trace(network, ENCODER)}, folder)


def measured(folder: Path, length: int) -> dict[str, float]:
    """Seconds alone and beside short sources, and megabytes."""
    rng, decoding = np.random.default_rng(0), Decoding()
    texts = [Segment(tuple(rng.integers(0, WORDS, n).tolist()), decoding) for n in (length, *[SHORT] * BESIDE)]
    runtime: Any = Encoder(folder)
    Path("/proc/self/clear_refs").write_text("5", "ascii")  # the most that was held begins anew
    before = held("VmRSS")

    def seconds(runs: list[list[Segment]]) -> float:
        taken = []
        for _ in range(3):
            started = time.process_time()
            for run in runs:
                encode(runtime, run)
            taken.append(time.process_time() - started)
        return min(taken)

    encode(runtime, texts[:1])
    memory = held("VmHWM") - before
    alone = seconds([texts[:1]])
    return {"alone": alone, "beside": seconds(encoder_runs(texts, lambda text: len(text.ids))), "memory": memory}


def held(which: str) -> float:
    """Megabytes of this process: now (`VmRSS`) or at most (`VmHWM`)."""
    lines = Path("/proc/self/status").read_text("ascii").splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith(which))


def slope(lengths: list[int], values: list[float]) -> float:
    """Of logarithms, by least squares."""
    return float(np.polyfit([math.log(n) for n in lengths], [math.log(max(v, 1e-3)) for v in values], 1)[0])


def main() -> None:
    """Print a table of all encoders, or of those that are named."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", action="append", choices=[*ENCODERS], help="an encoder to measure; by default all")
    parser.add_argument("--measure", nargs=2, metavar=("FOLDER", "LENGTH"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        print(json.dumps(measured(Path(options.measure[0]), int(options.measure[1]))))
        return
    print(f"| encoder | | {' | '.join(f'{n:,}' for n in LENGTHS)} | slope |")
    print(f"|{'---|' * (len(LENGTHS) + 3)}")
    for name in options.only or ENCODERS:
        with tempfile.TemporaryDirectory() as folder:
            write(name, Path(folder))
            lengths = [n for n in LENGTHS if name != FULL or n <= MOST_FULL]
            command = [sys.executable, __file__, "--measure", folder]
            rows = [
                json.loads(subprocess.run([*command, str(n)], check=True, capture_output=True).stdout) for n in lengths
            ]
        for what, unit in (("alone", "s"), ("beside", "s"), ("memory", "MB")):
            values = [row[what] for row in rows]
            cells = [f"{v:.3g} {unit}" for v in values] + ["-"] * (len(LENGTHS) - len(values))
            print(f"| {name} | {what} | {' | '.join(cells)} | {slope(lengths, values):.2f} |", flush=True)


if __name__ == "__main__":
    main()
