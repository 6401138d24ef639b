"""Where the time of decoding goes: in the graphs, by kind of node, and around them, by function of the host.

One lane decodes one batch three times, on one processor: as it is, for the totals; with ONNX Runtime's own profile of
every node; and with Python's profile of the lane's thread. Profiles cost time themselves, Python's most for small
functions: trust the totals, and of the profiles the shares.
"""

import argparse
import cProfile
import json
import os
import pstats
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import floor
import onnxruntime
import random_model
from against_ctranslate2 import lengths
from engines import CACHE, FORMS, Dragoman, add_shape, bundle_of
from measure import processor, usable

from dragoman.bundle.reader import open_bundle
from dragoman.server.core.ports import LaneObserver
from dragoman.server.lanes import lanes as lanes_module
from dragoman.server.runtime import sessions as sessions_module

PRODUCTS = ("MatMul", "Gemm")
Sources = Sequence[Sequence[int]]


class Clock(LaneObserver):
    """Adds up what it is told."""

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        """Begin anew."""
        self.steps = self.rows = self.used_rows = self.encodes = 0
        self.step_s = self.encode_s = 0.0

    def on_step(self, rows: int, used_rows: int, seconds: float) -> None:
        """A run of the decoder."""
        self.steps += 1
        self.rows += rows
        self.used_rows += used_rows
        self.step_s += seconds

    def on_encode(self, sources: int, tokens: int, padded_tokens: int, seconds: float) -> None:
        """A run of the encoder."""
        self.encodes += 1
        self.encode_s += seconds


def decode(bundle: Path, sources: Sources, beam: int, repeats: int) -> dict[str, float]:
    """Totals of decoding the batch so many times, after once that is not counted."""
    clock = Clock()
    engine = Dragoman(bundle, lanes=1, max_batch=len(sources), observer=clock)
    engine.translate(sources, beam)
    clock.clear()
    started_s = time.perf_counter()
    for _ in range(repeats):
        out = engine.translate(sources, beam)
    total_s = time.perf_counter() - started_s
    engine.close()
    return {
        "seconds": total_s / repeats,
        "tokens": sum(len(ids) + 1 for ids in out),
        "steps": clock.steps / repeats,
        "step_ms": 1e3 * clock.step_s / clock.steps,
        "encode_ms": 1e3 * clock.encode_s / max(1, clock.encodes),
        "encodes": clock.encodes / repeats,
        "used_rows": clock.used_rows / clock.rows,
    }


@contextmanager
def node_profiles(directory: Path) -> Iterator[list[tuple[str, Any]]]:
    """Every session made inside profiles itself; gives (graph's name, session)."""
    plain, load, made = onnxruntime.InferenceSession, sessions_module._load, list[tuple[str, Any]]()

    def profiling(model: Any, options: Any, **more: Any) -> Any:
        options.enable_profiling = True
        options.profile_file_prefix = str(directory / f"{len(made)}")
        return plain(model, options, **more)

    def naming(bundle: Any, name: str, *more: Any) -> Any:
        made.append((name, load(bundle, name, *more)))
        return made[-1][1]

    onnxruntime.InferenceSession, sessions_module._load = profiling, naming  # type: ignore[misc, assignment]
    try:
        yield made
    finally:
        onnxruntime.InferenceSession, sessions_module._load = plain, load  # type: ignore[misc]


def graphs(bundle: Path, sources: Sources, beam: int, repeats: int) -> dict[str, Any]:
    """Milliseconds a run of each graph: of its kernels, by kind, and of the runtime between them."""
    with tempfile.TemporaryDirectory() as directory, node_profiles(Path(directory)) as made:
        decode(bundle, sources, beam, repeats)
        logs = [(name, json.loads(Path(session.end_profiling()).read_text())) for name, session in made]
    return {name: summed(events) for name, events in logs if any(e.get("name") == "model_run" for e in events)}


def summed(events: list[dict[str, Any]]) -> dict[str, Any]:
    """One session's events, added up for each run."""
    runs = [event["dur"] for event in events if event["name"] == "model_run"]
    kinds: dict[str, list[float]] = defaultdict(lambda: [0.0, 0])
    products: dict[str, list[float]] = defaultdict(lambda: [0.0, 0, 0.0])
    for event in events:
        if event.get("cat") != "Node" or not event["name"].endswith("_kernel_time"):
            continue
        args, took = event["args"], event["dur"]
        kind = kinds[args["op_name"]]
        kind[0] += took
        kind[1] += 1
        if any(word in args["op_name"] for word in PRODUCTS):
            left, out = (next(iter(args[key][0].values())) for key in ("input_type_shape", "output_type_shape"))
            # Constants are not listed, but the widths tell; attention's products have one more axis, for the heads.
            size = f"{left[-1]} -> {out[-1]}" if len(left) < 4 else "of attention"
            product = products[f"{args['op_name']} {size}"]
            product[0] += took
            product[1] += 1
            product[2] += count(out) * left[-1]
    scale = 1e-3 / len(runs)
    kernels = sum(took for took, _ in kinds.values()) * scale
    return {
        "runs": len(runs),
        "run_ms": sum(runs) * scale,
        "kernels_ms": kernels,
        "between_ms": sum(runs) * scale - kernels,
        "kinds": {k: {"ms": t * scale, "nodes": n / len(runs)} for k, (t, n) in by_time(kinds)},
        "products": {
            k: {"ms": t * scale, "nodes": n / len(runs), "gmac_s": macs / t / 1e3 if t else 0.0}
            for k, (t, n, macs) in by_time(products)
        },
    }


def count(shape: Sequence[int]) -> int:
    """Elements."""
    total = 1
    for size in shape:
        total *= size
    return total


def by_time(table: dict[str, list[float]]) -> list[tuple[str, list[float]]]:
    """Longest first."""
    return sorted(table.items(), key=lambda item: -item[1][0])


def host(bundle: Path, sources: Sources, beam: int, repeats: int) -> dict[str, Any]:
    """Milliseconds a step that the lane's thread spends in each function of the server, and in the runtime's call."""
    profile, plain = cProfile.Profile(), lanes_module._Lane._run
    lanes_module._Lane._run = lambda lane: profile.runcall(plain, lane)  # type: ignore[method-assign, assignment]
    try:
        totals = decode(bundle, sources, beam, repeats)
    finally:
        lanes_module._Lane._run = plain  # type: ignore[method-assign]
    steps = totals["steps"] * (repeats + 1)
    functions = {}
    stats: dict[tuple[str, int, str], tuple[int, int, float, float, object]] = pstats.Stats(profile).stats  # type: ignore[attr-defined]
    for (file, line, function), (_, calls, own_s, whole_s, _) in stats.items():
        place = Path(file)
        if "dragoman" in file:
            name = f"{place.stem}.{function}:{line}"
        elif "onnxruntime" in function and function.endswith((".run>", "run_with_iobinding>")):
            name = "onnxruntime run"
        else:
            name = function if file == "~" else f"{place.parent.name}/{place.stem}.{function}"
        functions[name] = {"own_ms": 1e3 * own_s / steps, "whole_ms": 1e3 * whole_s / steps, "calls": calls / steps}
    return functions


def show(report: dict[str, Any], top: int) -> None:
    """The tables."""
    totals = report["totals"]
    print(
        "{tokens} tokens in {seconds:.4f} s: {encodes:.0f} x {encode_ms:.2f} ms encoding, "
        "{steps:.0f} steps of {step_ms:.3f} ms; {used_rows:.0%} of rows in use".format(**totals)
    )
    for name, graph in report["graphs"].items():
        parts = "{run_ms:.3f} ms a run: kernels {kernels_ms:.3f}, between them {between_ms:.3f}".format(**graph)
        print(f"\n{name}: {parts}")
        for kind, row in list(graph["kinds"].items())[:top]:
            share = row["ms"] / graph["run_ms"]
            print(f"  {kind:34}{row['ms']:9.3f} ms{share:6.0%}{row['nodes']:7.0f} nodes")
        for product, row in list(graph["products"].items())[:top]:
            print(f"    {product:36}{row['ms']:9.3f} ms{row['nodes']:7.0f} nodes{row['gmac_s']:8.0f} GMAC/s")
    print(f"\nhost, milliseconds a step (under Python's profile){'own':>12}{'whole':>10}{'calls':>8}")
    functions = sorted(report["host"].items(), key=lambda item: -item[1]["own_ms"])
    for name, row in functions[: 2 * top]:
        print(f"  {name:58}{row['own_ms']:10.4f}{row['whole_ms']:10.4f}{row['calls']:8.1f}")


def main() -> int:
    """Profile one batch."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bundle", type=Path, help="any bundle (default: the random model)")
    add_shape(parser)
    parser.add_argument("--precision", choices=FORMS, default="int8", help="of the random model")
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--beam", type=int, default=4)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--top", type=int, default=15, help="lines a table (default: %(default)s)")
    parser.add_argument("--cache", type=Path, default=CACHE)
    parser.add_argument("--json", type=Path, metavar="FILE")
    args = parser.parse_args()
    lowest = floor.beside()
    os.sched_setaffinity(0, usable(1))
    bundle = args.bundle or bundle_of(random_model.SHAPES[args.shape], args.precision, args.cache)
    manifest = open_bundle(bundle).manifest
    vocabulary = min(manifest.architecture.source_vocabulary, manifest.architecture.target_vocabulary)
    sources = random_model.texts_of(vocabulary, manifest.tokenizer.eos_id, lengths(args.batch, 20, 30, seed=args.batch))
    given = (bundle, sources, args.beam, args.repeats)
    report: dict[str, Any] = {"processor": processor(), "floor": vars(lowest), "batch": args.batch, "beam": args.beam}
    report |= {"totals": decode(*given), "graphs": graphs(*given), "host": host(*given)}
    print(f"{manifest.name} {manifest.precision}, batch {args.batch}, beam {args.beam}, {report['processor']}")
    print(lowest.line())
    show(report, args.top)
    if args.json:
        args.json.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
