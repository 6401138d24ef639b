"""Random models, exported and decoded by real lanes, against the torch network and against themselves."""

import dataclasses
import threading
import time

import numpy as np
import pytest
import torch

from dragoman.bundle.manifest import Decoding
from dragoman.export.network.load import load_network
from dragoman.server.core.errors import Cancelled, DeadlineExceeded, EngineFailure
from dragoman.server.core.segments import FinishReason, Segment
from dragoman.server.lanes.opening import load_shortlist
from dragoman.server.telemetry.liveness import Fault, fault_of

VOCABULARY, EOS = 320, 0


def sources(count: int, seed: int = 0) -> list[tuple[int, ...]]:
    """Sources of 1 to 60 words, the shortest being the end token alone."""
    rng = np.random.default_rng(seed)
    lengths = [0, 1, 15, 16, 31, *rng.integers(1, 60, count)][:count]
    return [(*map(int, rng.integers(2, VOCABULARY, n)), EOS) for n in lengths]


def options(beam: int, *, shortlist: bool = False, penalty: float = 1.0, limit: int = 40) -> Decoding:
    return Decoding(beam_size=beam, num_hypotheses=beam, length_penalty=penalty, max_length=limit, shortlist=shortlist)


@torch.inference_mode()
def plain_beam(network, source, decoding, limit, allowed=None):
    """Marian's beam search over teacher-forced passes: slow, and nothing but lists."""
    ids = torch.tensor([source])
    mask = torch.zeros(1, 1, 1, len(source))
    memory = network.memory(ids, mask)
    beams, room, ended = [(0.0, ())], decoding.beam_size, []
    while beams:
        candidates = []
        for place, (score, words) in enumerate(beams):
            logits = network.full(torch.tensor([[VOCABULARY, *words]]), memory, mask)[0, -1].double()
            if allowed is not None:
                logits = torch.where(allowed, logits, -torch.inf)
            logp = logits.log_softmax(-1)
            logp[1] = -torch.inf
            best = logp.topk(min(decoding.beam_size + 1, VOCABULARY))
            candidates += [
                (-(score + v), place, w) for v, w in zip(best.values.tolist(), best.indices.tolist(), strict=True)
            ]
        chosen = [(-s, (*beams[p][1], w)) for s, p, w in sorted(candidates)[:room]]
        room -= sum(w[-1] == EOS for _, w in chosen)
        ended += [(s / len(w) ** decoding.length_penalty, w) for s, w in chosen if w[-1] == EOS or len(w) == limit]
        beams = [(s, w) for s, w in chosen if w[-1] != EOS and len(w) < limit]
    return sorted(ended, key=lambda e: -e[0])[: decoding.num_hypotheses]


@pytest.mark.parametrize("beam", [1, 4])
@pytest.mark.parametrize("shortlist", [False, True])
def test_decoding_equals_a_plain_search_over_the_network(tiny_checkpoint, tiny_fp32, decoder, beam, shortlist):
    """float32: ids and scores of every hypothesis are those of a list-based search over teacher-forced torch passes."""
    network = load_network(tiny_checkpoint)
    decoding = options(beam, shortlist=shortlist, penalty=0.6, limit=12)
    segments = [Segment(s, decoding) for s in sources(14)]
    lanes = decoder(tiny_fp32, max_batch=4)

    found = lanes.together(segments)

    for segment, answer in zip(segments, found, strict=True):
        allowed = None
        if shortlist:
            allowed = torch.zeros(VOCABULARY, dtype=torch.bool)
            allowed[load_shortlist(tiny_fp32).candidates(segment.ids)] = True
        expected = plain_beam(network, segment.ids, decoding, segment.max_target_tokens, allowed)
        assert [h.ids for h in answer.hypotheses] == [tuple(w for w in words if w != EOS) for _, words in expected]
        assert [h.score for h in answer.hypotheses] == pytest.approx([s for s, _ in expected], abs=1e-4)


@pytest.mark.parametrize("beam", [1, 3])
@pytest.mark.parametrize("shortlist", [False, True])
def test_a_batch_changes_nothing(tiny, decoder, beam, shortlist):
    """Sixty sources of mixed lengths, joining and leaving between steps, come out as each does alone."""
    segments = [Segment(s, options(beam, shortlist=shortlist)) for s in sources(60, seed=3)]
    lanes = decoder(tiny, max_batch=7)

    together = lanes.together(segments)
    alone = lanes.one_by_one(segments)

    assert [[h.ids for h in a.hypotheses] for a in together] == [[h.ids for h in a.hypotheses] for a in alone]
    assert [[h.score for h in a.hypotheses] for a in together] == [[h.score for h in a.hypotheses] for a in alone]
    lengths = {len(a.hypotheses[0].ids) for a in together}
    assert len(lengths) > 5, f"the data does not hurt: all outputs have lengths {lengths}"


def test_requests_of_different_options_share_a_lane(tiny, decoder):
    """Beams of different widths, with and without shortlist, submitted at once, do not disturb one another."""
    kinds = [options(1), options(4), options(2, shortlist=True), options(1, shortlist=True), options(4, penalty=0.0)]
    segments = [Segment(s, kinds[n % 5]) for n, s in enumerate(sources(50, seed=4))]
    lanes = decoder(tiny, max_batch=16)

    together = lanes.together(segments)
    alone = lanes.one_by_one(segments)

    assert [[h.ids for h in a.hypotheses] for a in together] == [[h.ids for h in a.hypotheses] for a in alone]


def test_a_limit_is_said(tiny, decoder):
    """A hypothesis that reaches its limit has that many words and says LENGTH; one that ends says STOP."""
    segments = [Segment(s, options(1, limit=5)) for s in sources(30, seed=6)]

    answers = decoder(tiny).together(segments)

    reasons = {a.hypotheses[0].reason for a in answers}
    assert reasons == {FinishReason.STOP, FinishReason.LENGTH}
    for segment, answer in zip(segments, answers, strict=True):
        (best,) = answer.hypotheses
        limit = segment.max_target_tokens
        assert len(best.ids) == limit if best.reason is FinishReason.LENGTH else len(best.ids) < limit
        assert answer.steps == len(best.ids) + (best.reason is FinishReason.STOP)


def endless(source):
    """A segment that nothing but its limit of 400 words ends soon."""
    asked = dataclasses.replace(options(4), min_length=400, max_length=400, max_length_factor=100.0)
    return Segment(source, asked)


def test_a_late_segment_is_answered_as_late(tiny, decoder):
    """A past deadline is answered with DeadlineExceeded, and the next segment decodes."""
    lanes = decoder(tiny, lanes=1)

    with pytest.raises(DeadlineExceeded):
        lanes.together([dataclasses.replace(endless(sources(1)[0]), deadline_s=0.0)])

    assert lanes.together([Segment(sources(1)[0], options(1))])[0].hypotheses


def test_a_cancelled_segment_costs_at_most_one_more_step(tiny, decoder):
    """Cancelled in the middle of decoding, it is answered with Cancelled before a second step is run."""
    lanes = decoder(tiny, lanes=1)
    ticket, answers, steps_then = [], [], []

    def cancel_at_the_third_step(*_: object) -> None:
        lanes.observer.steps.append((0, 0))
        if len(lanes.observer.steps) == 3:
            steps_then.append(3)
            lanes.lanes.cancel(ticket[0])

    lanes.observer.on_step = cancel_at_the_third_step
    answered = threading.Event()

    def done(answer: object) -> None:
        answers.append((answer, len(lanes.observer.steps)))
        answered.set()

    encode = lanes.lanes.runtime.encode
    is_submitted = threading.Event()
    lanes.lanes.runtime.encode = lambda *inputs, **wanted: (is_submitted.wait(30), encode(*inputs, **wanted))[1]
    ticket.append(lanes.lanes.submit(endless(sources(8, seed=8)[7]), done))
    is_submitted.set()

    assert answered.wait(30)
    ((answer, steps),) = answers
    assert isinstance(answer, Cancelled)
    assert steps <= steps_then[0] + 1
    assert lanes.observer.dropped == [(steps, "cancelled")]


def test_a_lane_that_stops_in_the_middle_of_work_has_no_pulse(tiny, decoder):
    """It shows within the limit, the other lane's does not, and it is well again once it moves."""
    lanes = decoder(tiny, lanes=2)
    has_stopped, may_go_on, answered = threading.Event(), threading.Event(), threading.Event()

    def stop(*_: object) -> None:
        has_stopped.set()
        may_go_on.wait(30)

    lanes.observer.on_step = stop
    lanes.lanes.submit(Segment(sources(1)[0], options(1)), lambda _: answered.set())
    assert has_stopped.wait(30)
    now_s = time.monotonic()
    pulses, oldest_s = lanes.lanes.pulses, lanes.lanes.oldest_arrived_s
    later = [fault_of(pulses, oldest_s, now_s + after_s, limit_s=30) for after_s in (29, 31)]
    stalled = sorted(pulse.stalled_s(now_s + 31) > 30 for pulse in pulses)
    may_go_on.set()
    assert answered.wait(30)
    lanes.lanes.close()

    assert later == [None, Fault.HANG]
    assert stalled == [False, True]
    assert fault_of(pulses, None, time.monotonic() + 3600, limit_s=30) is None


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_lane_whose_thread_ends_by_an_error_has_crashed(tiny, decoder):
    """Whatever it was, outside of a round nothing catches it, and nobody else would notice."""
    lanes = decoder(tiny, lanes=2)
    lanes.together([Segment(sources(1)[0], options(1))])
    lanes.lanes.take = lambda *_, **__: 1 / 0

    lanes.lanes.submit(Segment(sources(1)[0], options(1)), lambda _: None)  # wakes one of them, which asks again
    crashed = [lane.thread for lane in lanes.lanes._lanes]
    deadline_s = time.monotonic() + 30
    while all(thread.is_alive() for thread in crashed) and time.monotonic() < deadline_s:
        crashed[0].join(0.01)

    assert fault_of(lanes.lanes.pulses, None, time.monotonic(), limit_s=30) is Fault.CRASH


@pytest.mark.parametrize("run", ["step", "encode"])
def test_a_round_that_fails_is_told(tiny, decoder, run):
    """All that the lane was decoding, or was to encode, fails with it, and the lane goes on; its pulse knows."""
    lanes = decoder(tiny, lanes=1)
    runtime, segment = lanes.lanes.runtime, Segment(sources(1)[0], options(1))
    whole = getattr(runtime, run)
    setattr(runtime, run, lambda *_, **__: 1 / 0)
    for _ in range(2):
        with pytest.raises(EngineFailure):
            lanes.together([segment])
    lost = lanes.lanes.pulses[0].failures
    setattr(runtime, run, whole)

    assert lanes.together([segment])[0].hypotheses
    assert (lanes.observer.failed_rounds, lost, lanes.lanes.pulses[0].failures) == (2, 2, 0)
    assert not any(pulse.has_crashed for pulse in lanes.lanes.pulses)


def test_a_caller_that_raises_costs_nobody_else_their_answer(tiny, decoder, caplog):
    """Segments that finish together are all answered, whatever the first one's callback does."""
    lanes = decoder(tiny, lanes=1)
    answers = []
    answered = threading.Semaphore(0)

    def raise_it(answer: object) -> None:
        answered.release()
        raise KeyError("the caller's own defect")

    def keep(answer: object) -> None:
        answers.append(answer)
        answered.release()

    for done in (raise_it, keep, keep):
        lanes.lanes.submit(Segment(sources(1)[0], options(1)), done)
    for _ in range(3):
        assert answered.acquire(timeout=30)

    assert len(answers) == 2
    assert not any(isinstance(a, Exception) for a in answers)


def test_a_source_that_cannot_be_encoded_fails_alone(tiny, decoder):
    """An id outside the vocabulary is that segment's EngineFailure; those that are being decoded go on."""
    lanes = decoder(tiny, lanes=1)
    answers = []
    answered = threading.Semaphore(0)

    def keep(answer: object) -> None:
        answers.append(answer)
        answered.release()

    lanes.lanes.submit(endless(sources(8, seed=8)[7]), keep)
    lanes.lanes.submit(Segment((VOCABULARY + 5, EOS), options(1)), keep)
    for _ in range(2):
        assert answered.acquire(timeout=60)

    assert sorted(type(a).__name__ for a in answers) == ["Decoded", "EngineFailure"]


def test_what_a_long_source_needed_is_given_up(tiny, decoder):
    """After a source of 400 positions and 400 words, the batch of a short one is as small as if it had never been."""
    lanes = decoder(tiny, lanes=1)
    short = Segment(sources(6)[4], options(2))
    sizes = []
    step = lanes.lanes.runtime.step

    def measured(graph, feed, **asked):
        sizes.append({name: array.shape for name, array in feed.items()})
        return step(graph, feed, **asked)

    lanes.lanes.runtime.step = measured
    lanes.one_by_one([short])
    fresh = sizes[-1]
    lanes.one_by_one([dataclasses.replace(endless((*[5] * 400, EOS)), decoding=endless(()).decoding), short])

    assert sizes[-1] == fresh


def test_closing_answers_everything(tiny, decoder):
    """Lanes that are closed finish what was submitted, and take no more."""
    lanes = decoder(tiny, lanes=1, max_batch=4)
    answers = []
    for source in sources(30, seed=9):
        lanes.lanes.submit(Segment(source, options(1)), answers.append)

    lanes.lanes.close()

    assert len(answers) == 30
    assert not any(isinstance(a, Exception) for a in answers)


def test_rows_of_use_are_counted(tiny, decoder):
    """A beam of 4 on one source starts with one useful row of four; a greedy source uses every row."""
    lanes = decoder(tiny, lanes=1)

    lanes.one_by_one([Segment(sources(6)[5], options(4))])
    assert lanes.observer.steps[0] == (4, 1)

    lanes.observer.steps.clear()
    lanes.one_by_one([Segment(sources(6)[5], options(1))])
    assert set(lanes.observer.steps) == {(1, 1)}
