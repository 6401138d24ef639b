"""Live translation: how far each rule stays behind, and what it costs in quality.

Each line is written word by word. A rule's lag is its mean average lagging (Ma et al. 2019, in source words): how many
words it is behind a translator who says everything as soon as it is read, until the line is whole. BLEU is of what was
said in the end, against the references. That nothing was taken back is checked after each word.
"""

import argparse
import asyncio
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

DATA = Path(__file__).parents[3] / "shared" / "data" / "en-pt"
WAITS = (1, 3, 5, 7)
AT_ONCE = 32
"""Lines that are written side by side."""


def lagging(read_at: Sequence[int], num_source: int) -> float:
    """Average lagging of target words said when so many source words were read."""
    if not read_at:
        return float(num_source)
    rate = len(read_at) / num_source
    until = next((n for n, read in enumerate(read_at, 1) if read >= num_source), len(read_at))
    return sum(read - n / rate for n, read in enumerate(read_at[:until])) / until


async def written(translate: Any, line: str, live: Any) -> tuple[str, float]:
    """What is said of a line in the end, and its average lagging."""
    from dragoman.server.core.requests import Request
    from dragoman.server.pipeline.live import LiveText

    words, text, said, read_at = line.split(), LiveText(translate), "", list[int]()
    for number in range(1, len(words) + 1):
        is_whole = number == len(words)
        source = line if is_whole else " ".join(words[:number]) + " "
        outcome: Any = await text.read(Request((source,), live=live), is_whole=is_whole)
        if isinstance(outcome, Exception):
            raise outcome
        now = outcome.hypotheses[0].text
        if not now.startswith(said):
            raise SystemExit(f"taken back: {said!r} became {now!r}")
        said = now
        read_at += [number] * (len(said.split()) - len(read_at))
    return said, lagging(read_at, len(words))


async def measured(pipeline: Any, lines: Sequence[str], live: Any) -> list[tuple[str, float]]:
    """All lines, several at a time."""
    permits = asyncio.Semaphore(AT_ONCE)

    async def one(line: str) -> tuple[str, float]:
        async with permits:
            return await written(pipeline.translate, line, live)

    return list(await asyncio.gather(*map(one, lines)))


def table(rows: Sequence[dict[str, Any]]) -> str:
    """The rows as Markdown."""
    lines = ["| rule | average lagging | BLEU |", "|---|---|---|"]
    return "\n".join([*lines, *(f"| {row['rule']} | {row['lagging']:.1f} | {row['bleu']:.1f} |" for row in rows)])


def main(argv: Sequence[str] | None = None) -> int:
    """Measure and print."""
    import sacrebleu

    from dragoman.server.app.translator import LocalTranslator
    from dragoman.server.core.requests import Live

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bundle", type=Path, required=True)
    parser.add_argument("--source", type=Path, default=DATA / "dev.en")
    parser.add_argument("--reference", type=Path, default=DATA / "dev.pt")
    parser.add_argument("--lines", type=int, default=200)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args(argv)
    pairs = zip(*(path.read_text("utf-8").splitlines() for path in (args.source, args.reference)), strict=True)
    given = [(source, reference) for source, reference in pairs if source.strip()][: args.lines]
    sources, references = [source for source, _ in given], [reference for _, reference in given]
    rules: list[tuple[str, Any]] = [(f"wait {wait}", Live(wait)) for wait in WAITS]
    rows: list[dict[str, Any]] = []
    with LocalTranslator(args.bundle, args.threads) as translator:
        for name, live in [*rules, ("agreement", Live())]:
            found = asyncio.run(measured(translator.pipeline, sources, live))
            bleu = sacrebleu.corpus_bleu([text for text, _ in found], [references]).score
            rows.append({"rule": name, "lagging": sum(lag for _, lag in found) / len(found), "bleu": bleu})
            print(f"{name}: {rows[-1]}", file=sys.stderr)
        whole = [translation.hypotheses[0].text for translation in translator.translate(sources)]
    lag = sum(len(source.split()) for source in sources) / len(sources)
    bleu = sacrebleu.corpus_bleu(whole, [references]).score
    rows.append({"rule": "the whole line at once", "lagging": lag, "bleu": bleu})
    print(json.dumps(rows) if args.json else table(rows))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
