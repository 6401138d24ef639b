"""What Marian makes of random recurrent models: run by `make test-marian`.

    python make_golden.py FOLDER

Each case is a folder with model.npz, vocab.yml and golden.json: for beams of 1 and 6, of each source every hypothesis
with its score, and the log-probability and attention of each word. A parameter that a model lacks ends Marian.
kept.json has, for tests without Marian, the words that greedy search chose, and their log-probabilities.
"""

import json
import os
import sys
from pathlib import Path
from typing import Any

from pymarian import Translator

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "support"))
import marian_models

BEAMS = (1, 6)


def translated(width: int) -> list[list[str]]:
    """Marian's lines of each source, by the model of the current folder."""
    options = {"n_best": True, "word_scores": True, "alignment": "soft", "normalize": 0.6, "max_length_factor": 3}
    process = {"cpu_threads": 1, "quiet_translation": True, "log_level": "warn"}
    files = {"models": ["model.npz"], "vocabs": ["vocab.yml"] * 2}
    marian = Translator(**files, **options, **process, beam_size=width)
    return [marian.translate(source).split("\n") for source in marian_models.SOURCES]


def kept(lines: list[list[str]]) -> list[list[Any]]:
    """Words and log-probabilities of the first of each source's lines."""
    parts = [line[0].split(" ||| ") for line in lines]
    return [[each[1], [float(number) for number in each[3].split("=")[1].split()]] for each in parts]


if __name__ == "__main__":
    root, of_all = Path(sys.argv[1]).resolve(), {}
    for name in marian_models.CASES:
        marian_models.save(root / name, name)
        os.chdir(root / name)  # a model names its vocabulary without a path
        lines = {str(width): translated(width) for width in BEAMS}
        Path("golden.json").write_text(json.dumps({"sources": marian_models.SOURCES, **lines}, indent=1))
        of_all[name] = kept(lines["1"])
        print(name)
    rows = [f"{json.dumps(name)}: {json.dumps(case)}" for name, case in of_all.items()]
    (root / "kept.json").write_text("{" + ",\n".join(rows) + "}\n")
