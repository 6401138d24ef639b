"""Marian's own recurrent models and searches against what is imported and exported of them: `make test-marian`."""

import json
import os
import threading
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import torch

from dragoman.export.export import export
from dragoman.export.graphs.running import padded
from dragoman.export.importers.formats import read
from dragoman.export.network.load import load_network
from dragoman.server.core.segments import Segment
from dragoman.server.lanes.opening import open_lanes

GOLDEN = Path(os.environ.get("GOLDEN", ".cache/marian/golden"))
CASES = sorted(path.name for path in GOLDEN.iterdir() if path.is_dir()) if GOLDEN.is_dir() else []
TOLERANCE = 1e-4
END, WORDS = 0, 40
BEAMS = (1, 6)


@pytest.fixture(scope="session", autouse=True)
def golden_models():
    """Fails where there is nothing to compare with."""
    assert CASES, "no golden models: run make test-marian"


@dataclass(frozen=True)
class Line:
    """One hypothesis, as Marian prints it."""

    ids: tuple[int, ...]
    """Without the end."""
    words: list[float]
    """Log-probability of each word, the end's among them where it was reached."""
    attention: list[list[float]]
    score: float


def ids_of(text):
    return tuple(int(word[1:]) for word in text.split())


def line_of(text):
    _, words, attention, scores, _, score = text.split(" ||| ")
    weights = [[float(number) for number in each.split(",")] for each in attention.split()]
    return Line(ids_of(words), [float(each) for each in scores.split("=")[1].split()], weights, float(score))


def golden(name):
    """Sources, and Marian's hypotheses of each by the width of the beam."""
    found = json.loads((GOLDEN / name / "golden.json").read_text())
    sources = [[*ids_of(source), END] for source in found["sources"]]
    return sources, {width: [[*map(line_of, each)] for each in found[str(width)]] for width in BEAMS}


def imported(name):
    return read(GOLDEN / name, "auto", "en", "pt", "spaces")


@pytest.mark.parametrize("name", CASES)
@torch.inference_mode()
def test_each_step_is_marians(name):
    """In a padded batch, every word of every hypothesis: its log-probability, and its attention to each source word."""
    sources, lines = golden(name)
    network = load_network(imported(name))
    ids, mask = (torch.from_numpy(each) for each in padded(sources))
    memory = network.memory(ids, mask)
    said, seen = 0, set()

    for g, length in enumerate(map(len, sources)):
        own, own_mask = [each[g : g + 1] for each in memory], mask[g : g + 1]
        for line in (each for width in BEAMS for each in lines[width][g]):
            state = network.first(own)
            for n, expected in enumerate(line.words):
                read_word = torch.tensor([[line.ids[n - 1] if n else WORDS]])
                rows, attention, kept = network.step(read_word, torch.tensor([[n]]), None, state, own, own_mask)
                state = [each[:, None] for each in kept]
                word = line.ids[n] if n < len(line.ids) else END
                assert network.logits(rows).log_softmax(-1)[0, word] == pytest.approx(expected, abs=TOLERANCE)
                torch.testing.assert_close(
                    attention[0, 0, :length], torch.tensor(line.attention[n]), atol=TOLERANCE, rtol=0
                )
                said += 1
                seen.add(word)
    assert said > 200, "few words prove little"
    assert len(seen) > 5, "words that hardly differ prove nothing"


def test_what_tests_without_marian_compare_with_is_marians():
    """`tests/data/marian_recurrent.json` is what this Marian says."""
    ours = json.loads((Path(__file__).parents[1] / "data/marian_recurrent.json").read_text())
    theirs = json.loads((GOLDEN / "kept.json").read_text())
    assert ours.keys() == theirs.keys()
    for name, lines in theirs.items():
        assert [words for words, _ in ours[name]] == [words for words, _ in lines]
        for (_, kept), (_, scores) in zip(ours[name], lines, strict=True):
            assert kept == pytest.approx(scores, abs=TOLERANCE)


class Observer:
    """Lanes report to it."""

    def __getattr__(self, name):
        return lambda *args: None


@pytest.mark.parametrize("name", CASES)
def test_searches_are_marians(name, tmp_path):
    """Hypotheses of the exported graphs, in their order, with their scores, beams of 1 and 6; all sources at once."""
    sources, lines = golden(name)
    checkpoint = imported(name)
    bundle = export(checkpoint, tmp_path / "bundle", precision="fp32", progress=lambda _: None)
    lanes = open_lanes(bundle, num_lanes=1, threads_per_lane=1, max_batch=8, observer=Observer())
    try:
        for width in BEAMS:
            decoding = replace(checkpoint.decoding, beam_size=width, num_hypotheses=width, length_penalty=0.6)
            segments = [Segment(tuple(source), decoding, suppressed_ids=(1,)) for source in sources]
            for answer, expected in zip(decoded(lanes, segments), lines[width], strict=True):
                assert [h.ids for h in answer.hypotheses] == [each.ids for each in expected]
                assert [h.score for h in answer.hypotheses] == pytest.approx([e.score for e in expected], abs=TOLERANCE)
    finally:
        lanes.close()


def decoded(lanes, segments):
    answers, answered = [None] * len(segments), [threading.Event() for _ in segments]

    def keep(n):
        return lambda answer: (answers.__setitem__(n, answer), answered[n].set())

    for n, segment in enumerate(segments):
        lanes.submit(segment, keep(n))
    assert all(each.wait(60) for each in answered)
    for answer in answers:
        if isinstance(answer, Exception):
            raise answer
    return answers
