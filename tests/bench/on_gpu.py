"""dragoman on a GPU beside transformers' generate, or CTranslate2, on the same card: one random Transformer in float16.

The network has 6 + 6 layers, d 512, ffn 2048, 8 heads and 32,000 words (`random_model.BIG`); its outputs are exactly as
long as their sources, so both do the same number of steps.

  batches  so many sources at once, for each batch and beam: tokens a second and seconds until the last is answered, of
           one lane and of the other, in rounds that alternate; figures are medians, ratios medians of the rounds' own.
           What a step takes stands beside its floor: the bytes that it must read, which are the decoder's weights and
           the keys and values of its batch, at the speed at which the card copies memory.
  lanes    many sources at once over the largest batch: one lane, and two, of which one thinks while the other computes.

float16 rounds in other places here and there, so some outputs differ in words; the share of equal ones is shown.
`make bench-gpu` runs it by `gpu_stages.py`, a process for each part. `--provider cpu --model tiny` runs all of it on a
processor, in float32: to see that it runs, not how fast.
"""

import argparse
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import random_model
from engines import CACHE, CTranslate2, Dragoman, Engine, Transformers, bundle_of, ctranslate2_of
from measure import alternate, median, percentile, processor, progress, timed, verdict

from dragoman.bundle.reader import open_bundle
from dragoman.server.app.serve_options import GPU_LANES
from dragoman.server.core.ports import LaneObserver
from dragoman.server.runtime.buffers import Resident
from dragoman.server.runtime.hardware import Hardware, hardware_of

MODELS = {"big": random_model.BIG, "tiny": random_model.TINY}
BARS = {1: 5.0, 64: 3.5}
"""By batch: dragoman's speed over transformers'."""
WARM_ROUNDS = 3
"""Before anything is timed: the second run of each size is the one that captures it."""
COPIED = 1 << 28
"""Bytes that are copied to learn the speed of memory."""


class Steps(LaneObserver):
    """Keeps how long steps took; `Reads` adds what they read."""

    def __init__(self) -> None:
        self.rounds_s: list[float] = []

    def on_step(self, rows: int, used_rows: int, seconds: float) -> None:
        """With all that a lane does around a run of the decoder."""
        self.rounds_s.append(seconds)


class Reads:
    """The runs of the decoder themselves: how long they took, and how many bytes of keys and values they read."""

    def __init__(self, engine: Dragoman) -> None:
        self.runs_s: list[float] = []
        self.bytes: list[int] = []
        self._step = engine.lanes.runtime.step
        engine.lanes.runtime.step = self.step  # type: ignore[method-assign]

    def step(self, graph: str, feed: dict[str, Any], *, attention: bool) -> Any:
        """As the runtime's own."""
        started_s = time.perf_counter()
        found = self._step(graph, feed, attention=attention)
        self.runs_s.append(time.perf_counter() - started_s)
        kept = [value for name, value in feed.items() if isinstance(value, Resident)]
        self.bytes.append(sum(int(np.prod(one.shape)) * one.dtype.itemsize for one in kept))
        return found


def weights_read(bundle: Path) -> int:
    """Bytes of the matrices that a step multiplies with."""
    name = "device.step.onnx" if (bundle / "device.step.onnx").is_file() else "step.onnx"
    graph = onnx.load(bundle / name, load_external_data=False).graph
    sizes = {
        one.name: int(np.prod(one.dims)) * (2 if one.data_type == onnx.TensorProto.FLOAT16 else 4)
        for one in graph.initializer
    }
    turned = {node.output[0]: node.input[0] for node in graph.node if node.op_type == "Transpose"}
    read = {turned.get(name, name) for node in graph.node if node.op_type == "MatMul" for name in node.input}
    return sum(size for name, size in sizes.items() if name in read)


def memory_speed(provider: str) -> float:
    """Bytes a second that are read while as many are written, doubled: what a copy moves."""
    if provider == "cpu":
        source = np.ones(COPIED // 8)
        took_s = min(timed(source.copy) for _ in range(5))
        return 2 * COPIED / took_s
    import torch

    tensor = torch.ones(COPIED // 4, device="cuda")
    target = torch.empty_like(tensor)

    def copy() -> None:
        target.copy_(tensor)
        torch.cuda.synchronize()

    copy()
    return 2 * COPIED / min(timed(copy) for _ in range(20))


def sources_of(model: random_model.RandomModel, count: int, seed: int) -> list[tuple[int, ...]]:
    """Of 20 to 30 tokens."""
    return random_model.texts(model, np.random.default_rng(seed).integers(20, 31, count).tolist())


def batches(args: argparse.Namespace, bundle: Path, hardware: Hardware) -> dict[str, Any]:
    """Every batch and beam, beside the other engine."""
    model, theirs = MODELS[args.model], other_of(args)
    weights, speed, results = weights_read(bundle), memory_speed(args.provider), {}
    for batch in args.batches:
        for beam in args.beams:
            progress(f"batch {batch}, beam {beam}")
            sources = sources_of(model, batch, seed=batch)
            steps = Steps()
            ours = Dragoman(bundle, lanes=1, max_batch=batch, hardware=hardware, observer=steps)
            outputs = ours.translate(sources, beam)
            for _ in range(WARM_ROUNDS - 1):
                ours.translate(sources, beam)
            reads = Reads(ours)
            steps.rounds_s.clear()
            run = lambda: timed(lambda: ours.translate(sources, beam))  # noqa: E731, B023
            result = compared(run, theirs, sources, beam, args.rounds)
            floor_s = (weights + median(reads.bytes)) / speed
            result["step_ms"] = 1e3 * median(reads.runs_s)
            result["round_ms"] = 1e3 * median(steps.rounds_s)
            result["floor_ms"], result["over_floor"] = 1e3 * floor_s, median(reads.runs_s) / floor_s
            if theirs is not None:
                other = theirs.translate(sources, beam)
                result["same"] = sum(a == b for a, b in zip(outputs, other, strict=True)) / batch
            results[f"{batch}x{beam}"] = result
            ours.close()
    return {"bytes_a_second": speed, "weights_bytes": weights, "cases": results}


def other_of(args: argparse.Namespace) -> Engine | None:
    """What dragoman is compared with; None where it is alone."""
    model, device = MODELS[args.model], args.provider
    if args.alone:
        return None
    if args.beside == "transformers":
        return Transformers(model, device=device)
    return CTranslate2(model, ctranslate2_of(model, args.cache), "fp32" if device == "cpu" else "fp16", device=device)


def compared(
    run: Callable[[], float], theirs: Engine | None, sources: list[tuple[int, ...]], beam: int, rounds: int
) -> dict[str, Any]:
    """Tokens a second and latency of both; of dragoman alone where there is no other."""
    words = sum(map(len, sources))
    if theirs is None:
        ours = [run() for _ in range(rounds)]
        return {"dragoman": words / median(ours), "p50_ms": 1e3 * median(ours), "p99_ms": 1e3 * percentile(ours, 0.99)}
    pairs = alternate(rounds, run, lambda: timed(lambda: theirs.translate(sources, beam)))
    ours, others = [a for a, _ in pairs], [b for _, b in pairs]
    return {
        "dragoman": words / median(ours),
        "other": words / median(others),
        "p50_ms": 1e3 * median(ours),
        "p99_ms": 1e3 * percentile(ours, 0.99),
        "other_p50_ms": 1e3 * median(others),
        "ratio": median(b / a for a, b in pairs),
        "rounds": [b / a for a, b in pairs],
    }


def lanes(args: argparse.Namespace, bundle: Path, hardware: Hardware) -> dict[str, float]:
    """Tokens a second by the number of lanes, everything offered at once."""
    model, batch, found = MODELS[args.model], max(args.batches), {}
    sources = sources_of(model, args.offered, seed=3)
    for count in (1, GPU_LANES):
        progress(f"{count} lanes")
        engine = Dragoman(bundle, lanes=count, max_batch=batch, hardware=hardware)
        for _ in range(WARM_ROUNDS):
            engine.translate(sources, 1)
        took_s = median(timed(lambda: engine.translate(sources, 1)) for _ in range(args.rounds))  # noqa: B023
        found[str(count)] = sum(map(len, sources)) / took_s
        engine.close()
    return found


def show(report: dict[str, Any]) -> None:
    """The tables."""
    print(
        f"{'batch x beam':14}{'tokens/s':>10}{report['beside']:>14}{'ratio':>7}{'same':>6}{'p50 ms':>9}{'p99 ms':>9}"
        f"{'step ms':>9}{'round ms':>9}{'floor ms':>9}{'over it':>8}   bar"
    )
    for case, one in report["batches"]["cases"].items():
        batch = int(case.partition("x")[0])
        other, ratio, same = (f"{one[key]:{form}}" if key in one else "-" for key, form in _OTHER.items())
        has_bar = batch in BARS and "ratio" in one and report["beside"] == "transformers"
        bar = verdict(one["ratio"], BARS[batch]) if has_bar else ""
        times = f"{one['p50_ms']:9.1f}{one['p99_ms']:9.1f}{one['step_ms']:9.3f}{one['round_ms']:9.3f}"
        floor = f"{one['floor_ms']:9.4f}{one['over_floor']:8.1f}"
        print(f"{case:14}{one['dragoman']:10.0f}{other:>14}{ratio:>7}{same:>6}{times}{floor}   {bar}".rstrip())
    print(
        f"memory {report['batches']['bytes_a_second'] / 1e9:,.0f} GB/s copied; "
        f"{report['batches']['weights_bytes'] / 1e6:,.1f} MB of weights a step"
    )
    for count, speed in report["lanes"].items():
        print(f"{count} lane{'s' if count != '1' else ''}, all at once{speed:12.0f} tokens/s")


_OTHER = {"other": ".0f", "ratio": ".2f", "same": ".0%"}


def card(provider: str) -> str:
    """What the figures were measured on."""
    if provider == "cpu":
        return processor()
    import torch

    return torch.cuda.get_device_name()


def arguments() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--provider", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--model", choices=MODELS, default="big")
    parser.add_argument("--batches", nargs="+", type=int, default=[1, 8, 64, 256], help="default: %(default)s")
    parser.add_argument("--beams", nargs="+", type=int, default=[1, 4], help="default: %(default)s")
    parser.add_argument("--rounds", type=int, default=9, help="default: %(default)s")
    parser.add_argument("--offered", type=int, default=2048, help="sources of the lanes' table (default: %(default)s)")
    parser.add_argument("--only-bundle", action="store_true", help="make the bundle, and measure nothing")
    parser.add_argument("--no-lanes", action="store_true", help="without the lanes' table")
    parser.add_argument("--beside", choices=("transformers", "ctranslate2"), default="transformers")
    parser.add_argument("--alone", action="store_true", help="without another engine")
    parser.add_argument("--bundle", type=Path, help="measure this bundle of the model instead of exporting it")
    parser.add_argument("--cache", type=Path, default=CACHE, help="where models are kept (default: %(default)s)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write everything measured to FILE")
    return parser


def main() -> int:
    """Measure and print."""
    args = arguments().parse_args()
    form = "fp16" if args.provider == "cuda" else "fp32"
    hardware = hardware_of("cuda", 0) if args.provider == "cuda" else Hardware(keeps=True)
    bundle = args.bundle or bundle_of(MODELS[args.model], form, args.cache)  # type: ignore[arg-type]
    if args.only_bundle:
        args.json.write_text(json.dumps({"bundle": str(bundle)}) + "\n", encoding="utf-8")
        return 0
    precision = open_bundle(bundle).manifest.precision
    report: dict[str, Any] = {"device": card(args.provider), "precision": precision, "rounds": args.rounds}
    report["beside"] = args.beside
    print(f"random model, {precision}, {args.rounds} rounds, {report['device']}")
    report["batches"] = batches(args, bundle, hardware)
    report["lanes"] = {} if args.no_lanes else lanes(args, bundle, hardware)
    progress("")
    show(report)
    if args.json:
        args.json.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
