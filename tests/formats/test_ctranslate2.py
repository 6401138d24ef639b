"""CTranslate2's own searches beside those of bundles that are made of its folders: `make test-formats`."""

import threading
from dataclasses import replace

import converted
import ctranslate2
import numpy as np
import pytest

from dragoman.export.export import export
from dragoman.export.importers.ctranslate2.importer import read_ctranslate2
from dragoman.server.core.ports import LaneObserver
from dragoman.server.core.segments import Segment
from dragoman.server.lanes.opening import open_lanes

LIMIT, TEXTS = 12, 60


def searched(bundle, segments):
    """What the server's lanes find for all of them at once."""
    answers, done = {}, threading.Semaphore(0)
    lanes = open_lanes(bundle, num_lanes=1, threads_per_lane=1, max_batch=16, observer=LaneObserver())
    try:
        for n, segment in enumerate(segments):
            lanes.submit(segment, lambda answer, n=n: (answers.__setitem__(n, answer), done.release()))
        for _ in segments:
            assert done.acquire(timeout=60)
    finally:
        lanes.close()
    return [answers[n] for n in range(len(segments))]


@pytest.mark.parametrize("case", ["opennmt", "post-norm", "t5"])
def test_searches_are_the_librarys(tmp_path, case):
    """Greedy and a beam of 4 with four hypotheses, of 60 random sources: the same words."""
    folder = converted.save(tmp_path / "m", **converted.CASES[case])
    checkpoint = read_ctranslate2(folder, "en", "pt")
    bundle = export(checkpoint, tmp_path / "bundle", precision="fp32")
    rng, words = np.random.default_rng(2), checkpoint.tokenizer
    end = [words.eos_id] * words.source_end
    sources = [[*rng.integers(4, converted.WORDS, rng.integers(1, 20)).tolist(), *end] for _ in range(TEXTS)]
    names = converted.tokens(converted.WORDS)
    translator = ctranslate2.Translator(str(folder), compute_type="float32", intra_threads=1)
    for beam in (1, 4):
        decoding = replace(checkpoint.decoding, beam_size=beam, num_hypotheses=beam, max_length=LIMIT)
        theirs = translator.translate_batch(
            [[names[n] for n in source] for source in sources],
            beam_size=beam,
            num_hypotheses=beam,
            max_decoding_length=LIMIT,
        )

        ours = searched(bundle, [Segment(tuple(source), decoding) for source in sources])

        for mine, other in zip(ours, theirs, strict=True):
            said = [[names[n] for n in each.ids if n != words.eos_id] for each in mine.hypotheses]
            assert said == other.hypotheses
