"""A translation does not depend on what is decoded beside it: alone, and again under full mixed load.

Each text is decoded with nothing else in the lanes. Then all are offered again, among as many strangers: short and very
long ones, of other beam sizes, many of them cancelled at random moments. No output may differ. Also counted are the
steps that were still run for a request after it had been cancelled.
"""

import argparse
import gzip
import json
import random
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import random_model
from engines import CACHE, FORMS, MAX_BATCH, bundle_of
from load import Answer, Load, Offer, alone, differs, furthest
from measure import progress

from dragoman.bundle.reader import Bundle, open_bundle
from dragoman.server.core.ports import LaneObserver
from dragoman.server.core.segments import Segment
from dragoman.server.lanes.opening import open_lanes
from dragoman.server.text.tokenizer import Tokenizer

DATA = Path(__file__).parents[3] / "shared" / "data" / "en-pt" / "mono.en.gz"
BEAMS = (1, 2, 4, 5)
OPEN = 96
"""Requests that are kept in the lanes and before them: several full batches of every beam size."""


def read(file: Path, count: int) -> list[str]:
    """The first lines of a file, compressed or not, that are not empty."""
    with gzip.open(file, "rt", encoding="utf-8") if file.suffix == ".gz" else file.open(encoding="utf-8") as lines:
        found = [line.strip() for line in lines if line.strip()][:count]
    if len(found) < count:
        raise SystemExit(f"{file}: {len(found)} lines, {count} are wanted: name fewer with --sentences")
    return found


def segments_of(bundle: Bundle, texts: Sequence[str], beam: int) -> list[Segment]:
    """Texts as segments, each as a whole, up to what the model can read."""
    tokenizer, manifest = Tokenizer(bundle), bundle.manifest
    encoded = [tokenizer.encode(text) for text in texts]
    decoding = replace(manifest.decoding, beam_size=beam, max_length=manifest.limits.max_target_tokens)
    return [Segment(ids, decoding) for ids in encoded if 0 < len(ids) <= manifest.limits.max_source_tokens]


def strangers(segments: Sequence[Segment], rng: random.Random) -> Iterator[Segment]:
    """Endlessly: other lengths, up to ten sentences in one, and other beam sizes."""
    while True:
        parts = rng.choice((1, 1, 1, 2, 4, 10))
        chosen = [rng.choice(segments) for _ in range(parts)]
        ids = tuple(n for segment in chosen for n in segment.ids[:-1]) + chosen[0].ids[-1:]
        most = chosen[0].decoding.max_length
        yield replace(
            chosen[0],
            ids=ids[:most],
            decoding=replace(chosen[0].decoding, beam_size=rng.choice(BEAMS), max_length_factor=rng.choice((0.5, 2.0))),
        )


def offers(segments: Sequence[Segment], rng: random.Random) -> Iterator[Offer]:
    """All segments in random order, a stranger after each; half of the strangers are doomed."""
    others = strangers(segments, rng)
    for n in rng.sample(range(len(segments)), len(segments)):
        yield Offer(segments[n], n)
        yield Offer(next(others), None, is_doomed=rng.random() < 0.5)


def check(bundle: Bundle, segments: Sequence[Segment], *, lanes: int, max_batch: int, seed: int) -> dict[str, Any]:
    """Both ways, compared."""
    rng, started_s = random.Random(seed), time.perf_counter()
    engine = open_lanes(bundle, num_lanes=lanes, threads_per_lane=1, max_batch=max_batch, observer=LaneObserver())
    expected = []
    for n, segment in enumerate(segments):
        if n % 50 == 0:
            progress(f"{bundle.manifest.name}: alone, {n} of {len(segments)}")
        expected.append(alone(engine, segment))
    alone_s = time.perf_counter() - started_s
    found: dict[int, Answer] = {}

    def take(key: int | None, answer: Answer) -> None:
        if key is not None:
            found[key] = answer
            progress(f"{bundle.manifest.name}: under load, {len(found)} of {len(segments)}")

    outcome = Load(engine, take, seed).run(offers(segments, rng), lambda: OPEN)
    engine.close()
    return {
        "model": bundle.manifest.name,
        "precision": bundle.manifest.precision,
        "outputs": len(found),
        "differ": sum(differs(expected[n], found[n]) for n in range(len(segments))),
        "furthest_logp": max(
            furthest(expected[n], found[n]) for n in range(len(segments)) if not differs(expected[n], found[n])
        ),
        "strangers_cancelled": outcome.cancelled,
        "cancelled_in_lanes": outcome.cancelled_in_lanes,
        "strangers_answered": outcome.answered - len(found),
        "most_steps_after_cancellation": outcome.most_steps_after,
        "alone_s": alone_s,
        "loaded_s": time.perf_counter() - started_s - alone_s,
    }


def main() -> int:
    """The real model, then the random one; 1 where an output differs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bundle", type=Path, help="the en-pt bundle; without it only the random model is checked")
    parser.add_argument(
        "--file", type=Path, default=DATA, help="one sentence a line, may be .gz (default: %(default)s)"
    )
    parser.add_argument("--sentences", type=int, default=2000)
    parser.add_argument("--beam", type=int, default=1, help="of the real model's sentences (default: %(default)s)")
    parser.add_argument(
        "--random", type=int, default=2000, help="sources for the random model, beam 4; 0 leaves it out"
    )
    parser.add_argument("--precision", choices=FORMS, default="int8", help="of the random model")
    parser.add_argument("--lanes", type=int, default=2)
    parser.add_argument("--max-batch", type=int, default=MAX_BATCH)
    parser.add_argument("--seed", type=int, default=11)
    parser.add_argument("--cache", type=Path, default=CACHE)
    parser.add_argument("--json", type=Path, metavar="FILE")
    args = parser.parse_args()
    options = {"lanes": args.lanes, "max_batch": args.max_batch, "seed": args.seed}
    results = []
    if args.bundle:
        bundle = open_bundle(args.bundle)
        results.append(check(bundle, segments_of(bundle, read(args.file, args.sentences), args.beam), **options))
    if args.random:
        bundle = open_bundle(bundle_of(random_model.BIG_NEAR, args.precision, args.cache))
        decoding = replace(bundle.manifest.decoding, beam_size=4, max_length=64)
        rng = random.Random(args.seed)
        sources = random_model.texts(random_model.BIG_NEAR, [rng.randint(5, 40) for _ in range(args.random)])
        results.append(check(bundle, [Segment(source, decoding) for source in sources], **options))
    progress("")
    for result in results:
        print(
            "{model} {precision}: {differ} of {outputs} outputs differ (log-probabilities by {furthest_logp:.0e}); "
            "{strangers_answered} strangers answered, {strangers_cancelled} cancelled, "
            "{cancelled_in_lanes} of them in lanes, {most_steps_after_cancellation} step at most after a cancellation; "
            "{alone_s:.0f} s alone, {loaded_s:.0f} s under load".format(**result)
        )
    if args.json:
        args.json.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")
    return int(any(result["differ"] or result["most_steps_after_cancellation"] > 1 for result in results))


if __name__ == "__main__":
    sys.exit(main())
