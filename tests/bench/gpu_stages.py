"""Ten minutes on a card: each stage in a process and a time of its own, its result a line of JSON, written at once.

    gpu_stages.py --json FILE      what is known so far is in FILE, whatever fails or hangs later

A stage that fails leaves a line with what it said last. Only where there is no card, the bundle cannot be made, or
nothing decodes at all, the others are left out.
"""

import argparse
import json
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
TOLD = 2000
"""Characters of what a stage that failed said last."""


@dataclass(frozen=True)
class Stage:
    """A run of `on_gpu.py`, or of another file beside it."""

    name: str
    options: tuple[str, ...]
    limit_s: float
    is_needed: bool = field(default=False)
    """Whether nothing else is of use where it fails."""
    file: str = "on_gpu.py"


def stages(model: str, provider: str) -> list[Stage]:
    """The first is the shortest; what is compared with others comes before what is not."""
    common = ("--model", model, "--provider", provider)

    def batch(sources: int, beam: int, *more: str) -> tuple[str, ...]:
        return (*common, "--batches", str(sources), "--beams", str(beam), "--no-lanes", *more)

    return [
        *([Stage("card", (), 30, is_needed=True, file="card.py")] if provider == "cuda" else []),
        Stage("bundle", (*common, "--only-bundle"), 900, is_needed=True),
        Stage("first", batch(1, 1, "--alone", "--rounds", "1"), 120, is_needed=True),
        Stage("transformers 1x1", batch(1, 1, "--rounds", "5"), 90),
        Stage("transformers 64x1", batch(64, 1, "--rounds", "5"), 90),
        *(
            Stage(f"ctranslate2 {sources}x1", batch(sources, 1, "--rounds", "5", "--beside", "ctranslate2"), 60)
            for sources in (1, 64)
        ),
        *(
            Stage(f"{sources}x{beam}", batch(sources, beam, "--alone", "--rounds", "5"), 60)
            for sources in (8, 64, 256)
            for beam in (1, 4)
        ),
        Stage(
            "lanes", (*common, "--batches", "64", "--beams", "1", "--alone", "--rounds", "3", "--offered", "1024"), 120
        ),
    ]


def run(stage: Stage, folder: Path) -> dict[str, Any]:
    """What came of it."""
    report, started_s = folder / "stage.json", time.monotonic()
    report.unlink(missing_ok=True)
    command = [sys.executable, str(HERE / stage.file), *stage.options, "--json", str(report)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=stage.limit_s, check=False)
        problem = None if done.returncode == 0 else (done.stderr or done.stdout)[-TOLD:]
    except subprocess.TimeoutExpired as error:
        said = error.stderr or b""
        problem = f"not done within {stage.limit_s:g} s: {said.decode(errors='replace')[-TOLD:]}"
    found = json.loads(report.read_text("utf-8")) if problem is None else None
    return {"stage": stage.name, "took_s": round(time.monotonic() - started_s, 1), "problem": problem, "found": found}


def all_stages(given: list[Stage], file: Path) -> int:
    """Append a line for each, and flush it; how many failed."""
    failed = 0
    with file.open("a", encoding="utf-8") as out:
        for stage in given:
            line = run(stage, file.parent)
            print(json.dumps(line), file=out, flush=True)
            problem = str(line["problem"] or "")
            said = "failed: " + problem.strip().rpartition("\n")[2] if problem else "done"
            print(f"{stage.name:20}{line['took_s']:8.1f} s  {said}", flush=True)
            failed += bool(problem)
            if problem and stage.is_needed:
                break
    return failed


def main() -> int:
    """Run them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--provider", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--model", choices=("big", "tiny"), default="big")
    parser.add_argument("--json", type=Path, required=True, metavar="FILE", help="lines are appended to FILE")
    args = parser.parse_args()
    args.json.parent.mkdir(parents=True, exist_ok=True)
    return 1 if all_stages(stages(args.model, args.provider), args.json) else 0


if __name__ == "__main__":
    sys.exit(main())
