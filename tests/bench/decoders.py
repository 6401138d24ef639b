"""All decoders of a model beside one another: quality, latency of one request at a time, throughput of many.

The teacher is the model that the decoders were distilled from, and decodes greedily and with a beam of 4; the student
is a bundle that `dragoman distill --keep-teacher` wrote: unasked it answers with the teacher's decoder, and it is asked
for its own by name. Two situations, each measured in a process of its own:

  at once   all lines in one request, two processors: BLEU, chrF, source words a second. Speculation must say what
            greedy search says on every line.
  latency   one line a request, one request at a time, one thread bound to one processor. All ways take turns on each
            line, so that noise meets all of them; a line's time is its median over the rounds.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import floor
from measure import in_own_process, median, percentile, processor, progress, timed, usable, verdict

DATA = Path(__file__).parents[3] / "shared" / "data" / "en-pt"
TEACHER, STUDENT = "teacher", "student"
GREEDY, SPECULATIVE = "student, greedy", "student, speculative"
ONE_PASS = "ctc, 1 pass"
DEFAULT = "as it answers unasked"
DEFAULT_BLEU = 52.3


@dataclass(frozen=True)
class Way:
    """One way to decode one of the two bundles."""

    bundle: str
    options: dict[str, Any]
    """Of a `Request`."""


def ways(decoders: dict[str, Any]) -> dict[str, Way]:
    """All that can be compared, by name; `decoders` are the student's non-autoregressive ones."""
    from dragoman.server.core.requests import DecodingOverrides, EnginePreference, NatOverrides

    greedy = {"engine": EnginePreference.GREEDY}
    beam = {"engine": EnginePreference.BEAM, "overrides": DecodingOverrides(beam_size=4)}
    trained = {"decoder": "self-attention"}
    found = {
        "teacher, greedy": Way(TEACHER, greedy),
        "teacher, beam 4": Way(TEACHER, beam),
        DEFAULT: Way(STUDENT, {}),
        GREEDY: Way(STUDENT, greedy | trained),
        "student, beam 4": Way(STUDENT, beam | trained),
        SPECULATIVE: Way(STUDENT, {"engine": EnginePreference.SPECULATIVE}),
    }
    for kind, decoder in sorted(decoders.items()):
        for passes in (1, 2, 4) if kind != "ctc" or decoder.refines else (1,):
            nat = {"engine": EnginePreference.NAT, "nat": NatOverrides(passes=passes, decoder=kind)}
            found[f"{kind}, {passes} pass{'es' * (passes > 1)}"] = Way(STUDENT, nat)
        rescored = DecodingOverrides(beam_size=8) if kind == "ctc" else DecodingOverrides()
        candidates = None if kind == "ctc" else 4
        found[f"{kind}, rescored"] = Way(
            STUDENT,
            {
                "engine": EnginePreference.NAT,
                "overrides": rescored,
                "nat": NatOverrides(decoder=kind, rescore=True, length_candidates=candidates),
            },
        )
    return found


def translate(translator: Any, way: Way, texts: Sequence[str]) -> list[str]:
    """The translations; raises what went wrong."""
    from dragoman.server.core.requests import Request

    found = translator.outcomes(Request(tuple(texts), **way.options))
    for one in found:
        if isinstance(one, Exception):
            raise one
    return [one.text for one in found]


def at_once(translators: dict[str, Any], lines: Sequence[str], references: Sequence[str], rounds: int) -> Any:
    """Quality and throughput of each way."""
    import sacrebleu

    words = sum(len(line.split()) for line in lines)
    decoders = translators[STUDENT].bundle.manifest.nat
    texts: dict[str, list[str]] = {}
    rows: dict[str, dict[str, float]] = {}
    for name, way in ways(decoders).items():
        progress(f"{name}, all lines at once")
        run = partial(translate, translators[way.bundle], way, lines)
        texts[name] = run()
        rows[name] = {
            "bleu": sacrebleu.corpus_bleu(texts[name], [list(references)]).score,
            "chrf": sacrebleu.corpus_chrf(texts[name], [list(references)]).score,
            "words_per_second": words / median(timed(run) for _ in range(rounds)),
        }
    pairs = zip(texts[GREEDY], texts[SPECULATIVE], strict=True)
    return {"rows": rows, "speculation_differs": sum(a != b for a, b in pairs)}


def latency(translators: dict[str, Any], lines: Sequence[str], _: Sequence[str], rounds: int) -> Any:
    """Milliseconds of each way, line by line."""
    found = ways(translators[STUDENT].bundle.manifest.nat)
    times: dict[str, list[list[float]]] = {name: [[] for _ in lines] for name in found}
    for round_ in range(-1, rounds):  # the first is not counted
        progress(f"one request at a time, round {max(0, round_) + 1} of {rounds}")
        for n, line in enumerate(lines if round_ >= 0 else lines[:20]):
            for name, way in found.items():
                seconds = timed(partial(translate, translators[way.bundle], way, [line]))
                if round_ >= 0:
                    times[name][n].append(1e3 * seconds)
    return {name: [median(one) for one in own] for name, own in times.items()}


PHASES = {"at once": at_once, "latency": latency}


def measure(args: argparse.Namespace, lines: list[str], references: list[str]) -> int:
    """One phase, in this process; prints JSON."""
    from dragoman.server.app.translator import LocalTranslator

    threads = 1 if args.phase == "latency" else 2
    with LocalTranslator(args.teacher, threads) as teacher, LocalTranslator(args.student, threads) as student:
        both = {TEACHER: teacher, STUDENT: student}
        print(json.dumps(PHASES[args.phase](both, lines, references, args.rounds)))
    return 0


def main() -> int:
    """Measure both phases, print the table, and say whether the bars are reached."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--teacher", type=Path, required=True, help="the bundle that was distilled from")
    parser.add_argument("--student", type=Path, required=True, help="the bundle of all decoders")
    parser.add_argument("--source", type=Path, default=DATA / "dev.en", help="one text a line (default: %(default)s)")
    parser.add_argument("--reference", type=Path, default=DATA / "dev.pt", help="default: %(default)s")
    parser.add_argument("--lines", type=int, default=500)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--phase", choices=PHASES, help=argparse.SUPPRESS)
    args = parser.parse_args()
    for path in (args.source, args.reference):
        if not path.is_file():
            print(f"{path}: no such file; name others with --source and --reference", file=sys.stderr)
            return 2
    lines, references = (
        path.read_text(encoding="utf-8").splitlines()[: args.lines] for path in (args.source, args.reference)
    )
    if args.phase:
        return measure(args, lines, references)
    own = ("teacher", "student", "source", "reference", "lines", "rounds")
    given = [text for name in own for text in (f"--{name}", str(getattr(args, name)))]
    lowest = floor.beside()
    quality = in_own_process(__file__, [*given, "--phase", "at once"], usable(2))
    times = in_own_process(__file__, [*given, "--phase", "latency"], usable(1))
    rows = {
        name: {**row, "median_ms": median(times[name]), "p99_ms": percentile(times[name], 0.99)}
        for name, row in quality["rows"].items()
    }
    differs = quality["speculation_differs"]
    if args.json:
        facts = {"processor": processor(), "floor": vars(lowest), "lines": len(lines)}
        print(json.dumps({**facts, "rows": rows, "differs": differs}, indent=2))
        return 0
    print(f"{len(lines)} lines, {args.rounds} rounds, {processor()}\n{lowest.line()}")
    print(f"{'':24}{'BLEU':>7}{'chrF':>7}{'median ms':>11}{'p99 ms':>9}{'words/s':>9}")
    for name, row in rows.items():
        print(
            f"{name:24}{row['bleu']:7.2f}{row['chrf']:7.2f}{row['median_ms']:11.1f}{row['p99_ms']:9.1f}"
            f"{row['words_per_second']:9.0f}"
        )
    for line in bars(rows, times, differs):
        print(line)
    return 0


def bars(rows: dict[str, dict[str, float]], times: dict[str, list[float]], differs: int) -> list[str]:
    """What is held to, and whether it is reached; ratios are medians over the lines."""
    faster = median(a / b for a, b in zip(times[GREEDY], times[SPECULATIVE], strict=True))
    unasked = median(a / b for a, b in zip(times[DEFAULT], times["teacher, greedy"], strict=True))
    found = [
        f"unasked, BLEU: {rows[DEFAULT]['bleu']:.2f}   {verdict(rows[DEFAULT]['bleu'], DEFAULT_BLEU)}",
        f"unasked, of the teacher's latency: {unasked:.2f}   {verdict(unasked, 1.01, most=True)}",
        f"speculation, times as fast as greedy: {faster:.2f}   {verdict(faster, 1.6)}",
        f"lines on which speculation differs from greedy: {differs}   {verdict(differs, 0, most=True)}",
    ]
    if ONE_PASS in rows:
        share = median(a / b for a, b in zip(times[ONE_PASS], times[GREEDY], strict=True))
        found.append(f"{ONE_PASS}, of greedy's latency: {share:.2f}   {verdict(share, 0.35, most=True)}")
    return found


if __name__ == "__main__":
    sys.exit(main())
