"""dragoman beside CTranslate2 and transformers: one random Transformer, the same weights, the same sources.

The network has 6 + 6 layers, d 512, ffn 2048, 8 heads and 32,000 words, or with `--shape` the sizes of OPUS-MT's models
or of NLLB-600M (`random_model.SHAPES`). Its outputs are exactly as long as their sources in every engine and precision,
so all do the same number of steps; nothing is cut or forced.

  static      batches of a fixed size, one thread, the process bound to one processor, for (batch, beam) = (1,1) (1,4)
              (8,1) (8,4) (32,1) (32,4). dragoman is one lane of its server.
  generate    dragoman beside transformers' generate, greedy, one thread, batch 1 and 32.
  saturation  everything is offered at once, mixed lengths, two processors: two lanes beside the best that CTranslate2
              does with any division into workers and threads, and any batch size tried. It sorts by length.
  memory      how far each engine's resident memory rises in a process of its own: loaded, and at most while it does
              the static cases. Both have their weights in it, dragoman's as pages of the bundle's file.

CTranslate2 chooses its kernels itself; nothing about it is switched off. transformers runs in float32, eagerly, as
`generate` does by default, so its bar is for what dragoman would serve: int8.

Rounds alternate between the engines within one process. Figures are medians over the rounds, ratios medians of the
rounds' own ratios: dragoman's speed over the other's. Before it is timed, each case's outputs are compared: in
float32 all are expected to be the same; between two int8 schemes words differ, as rounding does.
"""

import argparse
import json
import multiprocessing
import sys
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import floor
import numpy as np
import random_model
from engines import (
    CACHE,
    FORMS,
    MAX_BATCH,
    CTranslate2,
    Dragoman,
    Engine,
    Transformers,
    add_shape,
    bundle_of,
    ctranslate2_of,
)
from measure import (
    CLOCKS,
    alternate,
    geometric_mean,
    in_own_process,
    median,
    processor,
    progress,
    timed,
    usable,
    verdict,
)
from random_model import SHAPES, RandomModel

CASES = ["1x1", "1x4", "8x1", "8x4", "32x1", "32x4"]
BARS = {"int8": (1.6, 1.25), "int8-fixed": (1.6, 1.25), "fp32": (0.9, 0.9)}
"""Of the static cases: geometric mean, and every single one."""
SATURATION_BAR, GENERATE_BAR = 1.8, 5.0
OTHER_BARS, OTHER_SATURATION_BAR = (1.1, 1.1), 1.3
"""Those of int8 where the shape is another than the first."""
WAYS = [(2, 1), (1, 2)]
"""CTranslate2's workers and threads of each, on two processors."""
SIZES = [(16, "examples"), (32, "examples"), (64, "examples"), (1024, "tokens"), (2048, "tokens")]
"""Its batches: so many sources, or so many tokens with their padding."""


def lengths(count: int, shortest: int, longest: int, seed: int) -> list[int]:
    """Source lengths, the end token counted."""
    return np.random.default_rng(seed).integers(shortest, longest + 1, count).tolist()


def parsed(case: str) -> tuple[int, int]:
    """`8x4` is batches of 8 with beam 4."""
    batch, beam = case.split("x")
    return int(batch), int(beam)


def agreement(ours: list[list[int]], theirs: list[list[int]]) -> dict[str, float]:
    """Share of equal outputs, and of those that are at least of the same length."""
    pairs = list(zip(ours, theirs, strict=True))
    return {
        "same": sum(a == b for a, b in pairs) / len(pairs),
        "same_length": sum(len(a) == len(b) for a, b in pairs) / len(pairs),
        "different_words": len({n for a, _ in pairs for n in a}),
    }


def compared(
    ours: Engine, theirs: Engine, batches: list[list[tuple[int, ...]]], beam: int, rounds: int, clock: str
) -> dict[str, Any]:
    """Tokens a second of both over the same batches, one batch at a time."""
    words = sum(len(source) for batch in batches for source in batch)
    found = [[out for batch in batches for out in engine.translate(batch, beam)] for engine in (ours, theirs)]
    if isinstance(theirs, CTranslate2):
        prepared = [theirs.tokens(batch) for batch in batches]
        other = lambda: timed(lambda: [theirs.run(batch, beam) for batch in prepared], clock)  # noqa: E731
    else:
        other = lambda: timed(lambda: [theirs.translate(batch, beam) for batch in batches], clock)  # noqa: E731
    pairs = alternate(rounds, lambda: timed(lambda: [ours.translate(batch, beam) for batch in batches], clock), other)
    return {
        "dragoman": words / median(a for a, _ in pairs),
        "other": words / median(b for _, b in pairs),
        "ratio": median(b / a for a, b in pairs),
        "rounds": [b / a for a, b in pairs],
        **agreement(*found),
    }


def batches_of(model: RandomModel, batch: int, fewest: int) -> list[list[tuple[int, ...]]]:
    """The sources of a static case."""
    sources = random_model.texts(model, lengths(max(batch, fewest), 20, 30, seed=batch))
    return [sources[n : n + batch] for n in range(0, len(sources) - batch + 1, batch)]


def static(args: argparse.Namespace) -> dict[str, Any]:
    """Every case of one precision."""
    results, model = {}, SHAPES[args.shape]
    theirs = CTranslate2(model, ctranslate2_of(model, args.cache), args.phase_precision)
    for case in args.cases:
        batch, beam = parsed(case)
        progress(f"{args.phase_precision} {case}")
        batches = batches_of(model, batch, args.sources)
        ours = Dragoman(bundle(args, args.phase_precision), lanes=1, max_batch=batch)
        results[case] = compared(ours, theirs, batches, beam, args.rounds, args.clock)
        ours.close()
    return results


def generate(args: argparse.Namespace) -> dict[str, Any]:
    """Batch 1 and 32, greedy, beside transformers."""
    results, model = {}, SHAPES[args.shape]
    theirs = Transformers(model)
    for batch in (1, 32):
        progress(f"{args.phase_precision} generate {batch}")
        sources = random_model.texts(model, lengths(max(batch, 2), 20, 30, seed=batch))
        ours = Dragoman(bundle(args, args.phase_precision), lanes=1, max_batch=batch)
        batches = [sources[n : n + batch] for n in range(0, len(sources), batch)]
        results[f"{batch}x1"] = compared(ours, theirs, batches, 1, max(3, args.rounds // 2), args.clock)
        ours.close()
    return results


def saturation(args: argparse.Namespace) -> dict[str, Any]:
    """Everything at once on two processors: the best way of CTranslate2 is looked for first."""
    beam, precision, clock, model = args.beam, args.phase_precision, args.clock, SHAPES[args.shape]
    sources = random_model.texts(model, lengths(args.offered, 5, 80, seed=3))
    words = sum(map(len, sources))
    tried = ways(sources, args)
    workers, threads, size, unit = max(tried, key=tried.__getitem__)
    theirs = CTranslate2(model, ctranslate2_of(model, args.cache), precision, workers=workers, threads=threads)
    prepared = theirs.tokens(sources)
    run = lambda: theirs.run(prepared, beam, max_batch_size=size, batch_type=unit)  # noqa: E731
    ours = Dragoman(bundle(args, precision), lanes=2, max_batch=args.max_batch)
    found = ours.translate(sources, beam), [[theirs.ids[t] for t in r.hypotheses[0]] for r in run()]
    pairs = alternate(
        args.rounds, lambda: timed(lambda: ours.translate(sources, beam), clock), lambda: timed(run, clock)
    )
    ours.close()
    return {
        "dragoman": words / median(a for a, _ in pairs),
        "other": words / median(b for _, b in pairs),
        "ratio": median(b / a for a, b in pairs),
        "rounds": [b / a for a, b in pairs],
        "best": {"workers": workers, "threads": threads, "batch": size, "unit": unit},
        "tried": [
            dict(zip(("workers", "threads", "batch", "unit"), way, strict=True), speed=v) for way, v in tried.items()
        ],
        **agreement(*found),
    }


def ways(sources: list[tuple[int, ...]], args: argparse.Namespace) -> dict[tuple[int, int, int, str], float]:
    """Tokens a second of CTranslate2 by workers, threads of each, batch size and its unit: the better of two runs."""
    tried, model = {}, SHAPES[args.shape]
    for workers, threads in WAYS:
        directory = ctranslate2_of(model, args.cache)
        theirs = CTranslate2(model, directory, args.phase_precision, workers=workers, threads=threads)
        prepared = theirs.tokens(sources)
        for size, unit in SIZES:
            progress(
                f"CTranslate2 {args.phase_precision}: {workers} workers x {threads} threads, {size} {unit} a batch"
            )
            run = lambda: theirs.run(prepared, args.beam, max_batch_size=size, batch_type=unit)  # noqa: E731, B023
            took_s = min(timed(run, args.clock) for _ in range(2))
            tried[workers, threads, size, unit] = sum(map(len, sources)) / took_s
    return tried


def memory(args: argparse.Namespace) -> dict[str, Any]:
    """Megabytes of each engine, one after the other, each in a fresh process."""
    context, found = multiprocessing.get_context("spawn"), {}
    for name in ("dragoman", "other"):
        progress(f"{args.phase_precision} memory {name}")
        with ProcessPoolExecutor(1, mp_context=context) as pool:
            found[name] = pool.submit(risen, name, args).result()
    return found


def risen(name: str, args: argparse.Namespace) -> dict[str, float]:
    """In a process of its own: what an engine adds to what Python and its libraries take, loaded and at most."""
    model, precision = SHAPES[args.shape], args.phase_precision
    cases = [*map(parsed, args.cases)]
    random_model.words(model)
    before = resident("VmRSS")
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # the highest from now on
    engine: Engine
    if name == "dragoman":
        engine = Dragoman(bundle(args, precision), lanes=1, max_batch=max(batch for batch, _ in cases))
    else:
        engine = CTranslate2(model, ctranslate2_of(model, args.cache), precision)
    loaded = resident("VmRSS")
    for batch, beam in cases:
        for sources in batches_of(model, batch, args.sources):
            engine.translate(sources, beam)
    return {"loaded": loaded - before, "peak": resident("VmHWM") - before}


def resident(field: str) -> float:
    """Megabytes, of this process."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return int(next(line for line in status.splitlines() if line.startswith(f"{field}:")).split()[1]) / 1024


PHASES = {"static": static, "generate": generate, "saturation": saturation, "memory": memory}


def bundle(args: argparse.Namespace, precision: str) -> Path:
    """The bundle to measure."""
    return args.bundle or bundle_of(SHAPES[args.shape], precision, args.cache)  # type: ignore[arg-type]


def arguments() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_shape(parser)
    parser.add_argument("--phases", nargs="+", choices=PHASES, default=list(PHASES), metavar="PHASE")
    parser.add_argument("--cases", nargs="+", default=CASES, metavar="BATCHxBEAM", help="default: %(default)s")
    parser.add_argument("--precision", nargs="+", choices=FORMS, default=["int8", "fp32"], help="of dragoman's bundle")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--sources", type=int, default=8, help="fewest sources of a static case (default: %(default)s)")
    parser.add_argument("--offered", type=int, default=512, help="sources of saturation (default: %(default)s)")
    parser.add_argument("--beam", type=int, default=1, help="beam size of saturation (default: %(default)s)")
    parser.add_argument(
        "--max-batch", type=int, default=MAX_BATCH, help="sources a lane, saturation (default: %(default)s)"
    )
    parser.add_argument(
        "--clock", choices=CLOCKS, default="wall", help="of the phases with one processor; see measure.py"
    )
    parser.add_argument("--bundle", type=Path, help="measure this bundle of the model instead of exporting it")
    parser.add_argument("--cache", type=Path, default=CACHE, help="where models are kept (default: %(default)s)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write everything measured to FILE")
    parser.add_argument("--phase", choices=PHASES, help=argparse.SUPPRESS)
    parser.add_argument("--phase-precision", choices=FORMS, help=argparse.SUPPRESS)
    return parser


def row(name: str, result: dict[str, Any], bar: str = "") -> str:
    """One line of the table."""
    same = f"{result['same']:5.0%}{result['same_length']:6.0%}"
    return f"  {name:26}{result['dragoman']:10.1f}{result['other']:10.1f}{result['ratio']:8.2f}{same}   {bar}".rstrip()


def show(precision: str, shape: str, results: dict[str, Any]) -> None:
    """The table of one precision."""
    is_other = shape != "base" and precision != "fp32"
    print(f"\n{precision:28}{'dragoman':>10}{'other':>10}{'ratio':>8} same length   bar     (tokens a second)")
    if "static" in results:
        cases = results["static"]
        whole, single = OTHER_BARS if is_other else BARS[precision]
        for case, result in cases.items():
            print(
                row("CTranslate2 {0[0]} x beam {0[1]}".format(parsed(case)), result, verdict(result["ratio"], single))
            )
        mean = geometric_mean(result["ratio"] for result in cases.values())
        print(f"  {'geometric mean':46}{mean:8.2f}{'':14}{verdict(mean, whole)}")
    for case, result in results.get("generate", {}).items():
        bar = verdict(result["ratio"], GENERATE_BAR) if precision != "fp32" else ""
        print(row(f"transformers {parsed(case)[0]} x greedy", result, bar))
    if "saturation" in results:
        result = results["saturation"]
        bar = (
            verdict(result["ratio"], OTHER_SATURATION_BAR if is_other else SATURATION_BAR)
            if precision != "fp32"
            else ""
        )
        best = "{workers} workers x {threads} threads, batches of {batch} {unit}".format(**result["best"])
        print(row("saturation, 2 processors", result, bar) + f"\n    CTranslate2's best: {best}")
    for state in ("loaded", "peak") if "memory" in results else ():
        ours, theirs = (results["memory"][engine][state] for engine in ("dragoman", "other"))
        print(f"  {f'memory {state}, MB':26}{ours:10.0f}{theirs:10.0f}{ours / theirs:8.2f}")


def main() -> int:
    """Measure each phase in a process of its own, and print tables."""
    args = arguments().parse_args()
    if args.phase:
        print(json.dumps(PHASES[args.phase](args)))
        return 0
    lowest = floor.beside()
    report: dict[str, Any] = {
        "processor": processor(),
        "floor": vars(lowest),
        "rounds": args.rounds,
        "shape": args.shape,
    }
    ctranslate2_of(SHAPES[args.shape], args.cache)
    print(f"random model, shape {args.shape}, {args.rounds} rounds, {report['processor']}\n{lowest.line()}")
    for precision in args.precision:
        made = str(bundle(args, precision))
        report[precision] = {}
        for phase in args.phases:
            given = [*sys.argv[1:], "--phase", phase, "--phase-precision", precision, "--bundle", made]
            processors = usable(2 if phase == "saturation" else 1)
            report[precision][phase] = in_own_process(__file__, given, processors)
        progress("")
        show(precision, args.shape, report[precision])
    if args.json:
        args.json.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
