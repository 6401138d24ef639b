"""fairseq's own checkpoints, logits and searches against the imported and exported models: `make test-fairseq`."""

import os
import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import sentencepiece
import torch

from dragoman.export.export import export
from dragoman.export.graphs.running import padded
from dragoman.export.importers.fairseq.importer import read_fairseq
from dragoman.export.network.load import load_network
from dragoman.export.network.nat import decoder_of
from dragoman.server.core.segments import Segment
from dragoman.server.lanes.opening import open_lanes

GOLDEN = Path(os.environ.get("GOLDEN", ".cache/fairseq/golden"))
TOLERANCE = 1e-4
CASES = sorted(path.name for path in GOLDEN.iterdir() if path.is_dir()) if GOLDEN.is_dir() else []
SEARCHED = ("post-norm", "learned", "wider-encoder", "version-2")
LIMIT = 12
PAD = 1


@pytest.fixture(scope="session", autouse=True)
def subwords():
    """A SentencePiece model that knows the words of the dictionaries."""
    assert CASES, "no golden models: run make test-fairseq"
    words = [f"w{n}" for n in range(60)]
    for name in CASES:
        path = GOLDEN / name / "sentencepiece.bpe.model"
        if not path.is_file():
            sentencepiece.SentencePieceTrainer.train(
                sentence_iterator=iter([" ".join(words)] * 3),
                model_prefix=str(path.with_suffix("")),
                vocab_size=63,
                model_type="word",
                minloglevel=2,
            )


def golden(name):
    with np.load(GOLDEN / name / "golden.npz") as archive:
        found = dict(archive)
    sources = [found[f"source.{n}"].tolist() for n in range(sum(key.startswith("source.") for key in found))]
    return found, sources


@pytest.mark.parametrize("name", [name for name in CASES if not name.startswith(("nat", "cmlm"))])
def test_logits_are_fairseqs(name):
    """A checkpoint of fairseq's own, in a left-padded batch of fairseq's, teacher-forced: within 1e-4."""
    found, sources = golden(name)
    network = load_network(read_fairseq(GOLDEN / name, None, None))
    ids, mask = (torch.from_numpy(a) for a in padded(sources))

    with torch.inference_mode():
        logits = network.full(torch.from_numpy(found["read"]), network.memory(ids, mask), mask)

    np.testing.assert_allclose(logits.numpy(), found["logits"], atol=TOLERANCE, rtol=TOLERANCE)
    assert found["logits"].std() > 0.3, "logits that hardly differ prove nothing"


@pytest.mark.parametrize("name", [name for name in CASES if name.startswith(("nat", "cmlm"))])
@torch.inference_mode()
def test_canvases_are_fairseqs(name):
    """Lengths, and words at all places, in a first pass that may read the source's words and in later ones of masks."""
    found, sources = golden(name)
    checkpoint = read_fairseq(GOLDEN / name, None, None)
    nat, network = checkpoint.nat["mask-predict"], load_network(checkpoint)
    decoder = decoder_of(network, "mask-predict")
    for n, source in enumerate(sources):
        ids, mask = (torch.from_numpy(a) for a in padded([source]))
        places = torch.arange(len(source))[None]
        hidden = network.encode(ids[0], places[0], places[0], places, mask)
        memory = decoder.memory(hidden, places)
        masks = found[f"{n}.canvas"][0]
        last = len(masks) - 1
        copied = np.array(source)[np.rint(np.arange(last + 1) * (len(source) - 1) / last).astype(int)]
        for step, canvas in (("first", copied if nat.canvas == "source" else masks), ("later", masks)):
            rows = decoder.run(
                decoder.embed(network, torch.from_numpy(canvas[None])),
                (1, last + 1),
                torch.zeros(1, 1, 1, last + 1),
                memory,
                mask,
            )
            logits = decoder.logits(network, rows).numpy()
            np.testing.assert_allclose(logits, found[f"{n}.{step}"][0], atol=TOLERANCE, rtol=TOLERANCE)
        lengths = decoder.length_logits(hidden, places, mask).numpy()
        np.testing.assert_allclose(lengths, found[f"{n}.lengths"], atol=TOLERANCE, rtol=TOLERANCE)
        chosen = int(lengths.argmax()) + (len(source) - nat.length_classes // 2 if nat.length_offset else 0)
        assert max(2, chosen) == found[f"{n}.chosen"].shape[1]


class Observer:
    """Lanes report to it."""

    def __getattr__(self, name):
        return lambda *args: None


@pytest.mark.parametrize("name", [name for name in CASES if name in SEARCHED])
def test_searches_are_fairseqs(name, tmp_path):
    """SequenceGenerator's hypotheses with beams of 1 and 5, in their order and with their scores."""
    found, sources = golden(name)
    checkpoint = read_fairseq(GOLDEN / name, None, None)
    bundle = export(checkpoint, tmp_path / "bundle", precision="fp32", progress=lambda _: None)
    lanes = open_lanes(bundle, num_lanes=1, threads_per_lane=1, max_batch=8, observer=Observer())
    try:
        for width in (1, 5):
            decoding = replace(checkpoint.decoding, beam_size=width, num_hypotheses=width, max_length=LIMIT)
            for n, source in enumerate(sources):
                answer = decoded(lanes, Segment(tuple(source), decoding, suppressed_ids=(PAD,)))
                ranks = sum(key.startswith(f"{width}.{n}.") and key.endswith("ids") for key in found)
                expected = [found[f"{width}.{n}.{rank}.ids"].tolist() for rank in range(ranks)]
                scores = [float(found[f"{width}.{n}.{rank}.score"]) for rank in range(ranks)]
                assert [[*h.ids, 2] for h in answer.hypotheses] == expected
                assert [h.score for h in answer.hypotheses] == pytest.approx(scores, abs=TOLERANCE)
    finally:
        lanes.close()


def decoded(lanes, segment):
    answers, answered = [], threading.Event()
    lanes.submit(segment, lambda answer: (answers.append(answer), answered.set()))
    assert answered.wait(60)
    if isinstance(answers[0], Exception):
        raise answers[0]
    return answers[0]
