"""The step for devices beside the portable one on 200 lines of real text, by the model that comes with the project.

It runs on the provider for processors, in float32: there both say the same words.
"""

import importlib.util
import os
import sys
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from sentencepiece import SentencePieceProcessor

from dragoman.bundle.graphs import DEVICE_STEP
from dragoman.bundle.reader import Bundle
from dragoman.export.export import export
from dragoman.export.importers.bundle.importer import read_bundle
from dragoman.server.core.segments import Segment
from dragoman.server.decode.strategies.nat import NonAutoregressive
from dragoman.server.runtime.hardware import PROCESSOR, Hardware

ROOT = Path(__file__).parents[3]
DATA = Path(os.environ.get("DATA", ROOT.parent / "shared/data/en-pt"))
LINES = 200
PLACED = Hardware(keeps=True)
TIE = 1e-3
"""Two translations whose scores are this close are equally good."""


@pytest.fixture(scope="module")
def e2e() -> ModuleType:
    """The models of `tests/e2e`."""
    spec = importlib.util.spec_from_file_location("e2e_models", ROOT / "tests/e2e/conftest.py")
    assert spec is not None
    assert spec.loader is not None
    sys.modules["e2e_models"] = module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def joined(e2e) -> Bundle:
    """`models/en-pt` in float32, with all its decoders: one has a step for devices."""
    bundle: Bundle = e2e.kept(
        "default-fp32",
        lambda at: export(
            read_bundle(ROOT / "models/en-pt", None, None), at, precision="fp32", progress=lambda _: None
        ),
    )
    assert DEVICE_STEP in bundle.manifest.graphs
    return bundle


@pytest.fixture(scope="module")
def ids(joined) -> list[tuple[int, ...]]:
    """Of each line, as far as the model reads it."""
    file = DATA / "dev.en"
    assert file.is_file(), f"no {file}: name a folder with dev.en, DATA=..."
    facts = joined.manifest
    pieces = SentencePieceProcessor(model_file=str(joined.path(facts.tokenizer.source)))
    lines = file.read_text("utf-8").splitlines()[:LINES]
    assert len(lines) == LINES
    return [(*pieces.encode(line)[: facts.limits.max_source_tokens - 1], facts.tokenizer.eos_id) for line in lines]


@pytest.mark.parametrize(
    ("beam", "options"),
    [(1, {}), (4, {}), (1, {"decoder": "ssru"}), (1, {"strategy": NonAutoregressive("ctc")})],
    ids=["greedy", "beam", "recurrent", "ctc"],
)
def test_200_lines_are_the_same_word_for_word(e2e, joined, ids, beam, options):
    """By each decoder of the bundle, 32 sources at a time on two lanes: words, and scores to rounding."""
    decoding = replace(joined.manifest.decoding, beam_size=beam, num_hypotheses=1, shortlist=False)
    given = [Segment(one, decoding, **options) for one in ids]
    answers = []
    for hardware in (PROCESSOR, PLACED):
        decoder = e2e.Decoder(joined, max_batch=32, hardware=hardware)
        answers.append([answer.hypotheses[0] for answer in decoder.together(given)])
        decoder.lanes.close()

    others = [(a, b) for a, b in zip(*answers, strict=True) if a.ids != b.ids]
    print(f"{len(ids) - len(others)} of {len(ids)} lines have the same words")
    assert [pair for pair in others if abs(pair[0].score - pair[1].score) > TIE] == []
    assert len(others) <= LINES // 100
    same = [(a.token_logps, b.token_logps) for a, b in zip(*answers, strict=True) if a.ids == b.ids]
    for here, there in same:
        np.testing.assert_allclose(there, here, atol=1e-3)
