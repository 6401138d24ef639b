"""What tests of the server, and of its users, build on: a bundle without graphs, and lanes without a model.

`FakeLanes` translates a segment into itself, on another thread, as the lanes do, by every strategy. It can be told to
hold segments back, to fail, and it keeps the rules of the real ones: one answer for each segment, deadlines and
cancelling included.
"""

import itertools
import random
import threading
import time
from collections import deque
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from sentencepiece import SentencePieceTrainer

from dragoman.bundle import manifest
from dragoman.bundle.graphs import ATTENTION, ENCODER, STEP, file_of, nat_graphs
from dragoman.bundle.reader import Bundle
from dragoman.bundle.writer import BundleWriter
from dragoman.server.core.errors import Cancelled, DeadlineExceeded, Draining
from dragoman.server.core.ports import DeviceWork, Done, Pulse
from dragoman.server.core.segments import Decoded, FinishReason, Hypothesis, Priority, Segment, Work
from dragoman.server.core.strategies import Engine
from dragoman.server.decode.strategies.alternatives import Alternatives
from dragoman.server.decode.strategies.forced import Forced
from dragoman.server.decode.strategies.nat import NonAutoregressive
from dragoman.server.decode.strategies.sampling import Sampling
from dragoman.server.decode.strategies.speculative import Speculative

VOCABULARY = 400
_SENTENCES = (
    "The quick brown fox jumps over the lazy dog.",
    "Pack my box with five dozen liquor jugs!",
    "How vexingly quick daft zebras jump; is it true?",
    "A translation is the model's, and nothing is cut, dropped or guessed in silence.",
    "Zwölf Boxkämpfer jagen Viktor quer über den großen Sylter Deich.",
    "À noite, vovô Kowalsky vê o ímã cair no pé do pinguim queixoso.",
    "0 1 2 3 4 5 6 7 8 9 ( ) [ ] { } - + * / = % & $ # @ ' \" , : ;",
)


def write_vocabulary(path: Path) -> None:
    """Train a small SentencePiece model: end 0, unknown 1, every byte of what it has not seen (byte fallback)."""
    with path.open("wb") as file:
        SentencePieceTrainer.train(
            sentence_iterator=iter(_SENTENCES * 4),
            model_writer=file,
            vocab_size=VOCABULARY,
            hard_vocab_limit=False,
            character_coverage=1.0,
            byte_fallback=True,
            eos_id=0,
            unk_id=1,
            bos_id=-1,
            pad_id=-1,
            minloglevel=2,
        )


def write_bundle(
    directory: Path,
    *,
    name: str = "echo",
    pairs: tuple[str, ...] = ("en-pt",),
    decoding: manifest.Decoding | None = None,
    limits: manifest.Limits | None = None,
    nat: dict[str, manifest.Nat] | None = None,
    texts: manifest.Texts | None = None,
    **tokenizer: Any,
) -> Bundle:
    """Write a bundle whose vocabulary is real and whose graphs are not; other keywords are its tokenizer's fields."""
    vocabulary = manifest.Tokenizer("sentencepiece", "vocabulary.spm", "vocabulary.spm", eos_id=0, unk_id=1, start_id=0)
    facts = manifest.Manifest(
        name=name,
        pairs=tuple(manifest.LanguagePair(*pair.split("-", 1)) for pair in pairs),
        architecture=manifest.Architecture(8, 1, 8, 1, 1, VOCABULARY, VOCABULARY),
        decoding=decoding or manifest.Decoding(max_length=64),
        tokenizer=replace(vocabulary, **tokenizer),
        graphs={
            ENCODER: manifest.Graph(file_of(ENCODER), (), ()),
            STEP: manifest.Graph(file_of(STEP), (), (manifest.Tensor(ATTENTION, "float32", ("G", "q", "S")),)),
            **{
                graph: manifest.Graph(f"{graph}.onnx", (), ())
                for name, one in (nat or {}).items()
                for graph in nat_graphs(name, one, shortlist=False)
            },
        },
        nat=nat or {},
        limits=limits or manifest.Limits(max_source_tokens=32, max_target_tokens=64),
        precision="fp32",
        provenance=manifest.Provenance("test", {}, "0"),
        texts=texts or manifest.Texts(),
    )
    with BundleWriter(directory) as writer:
        write_vocabulary(writer.path("vocabulary.spm"))
        for graph in facts.graphs.values():
            writer.path(graph.file).write_bytes(b"not a graph")
        return writer.commit(facts)


@dataclass(eq=False)
class FakeTicket:
    """A submitted segment."""

    segment: Segment
    done: Done
    submitted_s: float


class FakeLanes:
    """Lanes that translate every segment into itself."""

    def __init__(self) -> None:
        self.submitted: list[Segment] = []
        self.cancelled = 0
        self.failure: Exception | None = None
        """What segments are answered with instead, where set."""
        self.says: Callable[[Segment, int], Sequence[int]] | None = None
        """What a segment is translated into, by its rank, where set: a model that is not well-behaved."""
        self.waits_s: dict[Priority, float] = {}
        """What `predicted_wait_s` says; 0 for priorities that are not in it."""
        self.paces_s: dict[Engine, float] = {}
        """What `seconds_per_token` says; None for engines that are not in it."""
        self.pulses = [Pulse(time.monotonic())]
        self.provider = "cpu"
        self.device: DeviceWork | None = None
        self._waiting: deque[FakeTicket] = deque()
        self._changed = threading.Condition()
        self._held = False
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="fake-lane", daemon=True)
        self._thread.start()

    def __repr__(self) -> str:
        return f"<FakeLanes {self.waiting_segments} waiting, {len(self.submitted)} submitted>"

    def hold(self) -> None:
        """Answer nothing until `release`, but deadlines and cancelling."""
        with self._changed:
            self._held = True

    def release(self) -> None:
        """Answer what has been held back."""
        with self._changed:
            self._held = False
            self._changed.notify_all()

    def wait_until(self, waiting: int, timeout_s: float = 10.0) -> None:
        """Block until this many segments wait."""
        with self._changed:
            if not self._changed.wait_for(lambda: len(self._waiting) == waiting, timeout_s):
                raise TimeoutError(f"{waiting} segments wanted, {self!r} after {timeout_s:g} s")

    def submit(self, segment: Segment, done: Done, flow: Hashable = None) -> FakeTicket:  # noqa: ARG002 - first come
        """Take a segment; it is answered from another thread."""
        ticket = FakeTicket(segment, done, time.monotonic())
        with self._changed:
            if self._closed:
                raise Draining
            self.submitted.append(segment)
            self._waiting.append(ticket)
            self._changed.notify_all()
        return ticket

    def cancel(self, ticket: FakeTicket) -> None:
        """Answer a segment that still waits with `Cancelled`."""
        with self._changed:
            if ticket not in self._waiting:
                return
            self._waiting.remove(ticket)
            self.cancelled += 1
            self._changed.notify_all()
        ticket.done(Cancelled())

    def predicted_wait_s(self, priority: Priority, cost: int = 0) -> float:  # noqa: ARG002 - as the test says
        """What the test has set."""
        return self.waits_s.get(priority, 0.0)

    def seconds_per_token(self, engine: Engine, *, bulk: bool = False) -> float | None:  # noqa: ARG002
        """What the test has set."""
        return self.paces_s.get(engine)

    @property
    def waiting_segments(self) -> int:
        """Segments that wait."""
        return len(self._waiting)

    @property
    def waiting_tokens(self) -> int:
        """Source tokens that wait."""
        return sum(len(ticket.segment.ids) for ticket in tuple(self._waiting))

    @property
    def active_segments(self) -> int:
        """None: answering takes no time here."""
        return 0

    @property
    def oldest_arrived_s(self) -> float | None:
        """When the oldest of those that wait was submitted."""
        return min((ticket.submitted_s for ticket in tuple(self._waiting)), default=None)

    def close(self) -> None:
        """Answer what waits and stop."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        self._thread.join()

    def _run(self) -> None:
        while (ticket := self._next()) is not None:
            self.pulses[0].beat(time.monotonic(), is_busy=False)
            late = ticket.segment.deadline_s is not None and time.monotonic() >= ticket.segment.deadline_s
            if late:
                ticket.done(DeadlineExceeded())
            elif self._held:  # only a stop hands out what is held
                ticket.done(Cancelled("the lanes were closed"))
            else:
                ticket.done(self.failure or echo(ticket, self.says))

    def _next(self) -> FakeTicket | None:
        """The next segment to be answered; None when closed and empty."""
        with self._changed:
            while True:
                now = time.monotonic()
                deadlines = {ticket: ticket.segment.deadline_s for ticket in self._waiting}
                late = [ticket for ticket, at in deadlines.items() if at is not None and at <= now]
                ready = late or (list(self._waiting) if self._closed or not self._held else [])
                if ready:
                    self._waiting.remove(ready[0])
                    self._changed.notify_all()
                    return ready[0]
                if self._closed:
                    return None
                next_s = min((at for at in deadlines.values() if at is not None), default=None)
                self._changed.wait(None if next_s is None else max(0.0, next_s - now))


def echo(ticket: FakeTicket, says: Callable[[Segment, int], Sequence[int]] | None = None) -> Decoded:
    """The segment itself as its best hypothesis, or what a model `says`; each further one repeats its last token once
    more.

    A token costs 1, an end token 1 and the hypothesis's rank. Each token gives 3/4 of its attention to the source token
    in its place, the rest to the end of the source. Draws are rotations of the segment, and the n-th best alternative
    has the probability 2**-n. All of the source's tokens are drafted right, and all others wrong.
    """
    segment, strategy = ticket.segment, ticket.segment.strategy
    engine, work = Engine.BEAM if segment.decoding.beam_size > 1 else Engine.GREEDY, Work()
    number = segment.decoding.num_hypotheses
    match strategy:
        case Sampling():
            engine = Engine.SAMPLING
        case Forced():
            number = 1
        case NonAutoregressive(passes=passes):
            engine, work = Engine.NAT, Work(nat_passes=passes)
        case Speculative(tokens=tokens, lossy=lossy):
            engine = Engine.SPECULATIVE_LOSSY if lossy else Engine.SPECULATIVE
            work = Work(drafted_tokens=tokens * len(segment.ids), accepted_tokens=len(segment.ids))
        case Alternatives(count, min_probability):
            number = sum(2.0**-rank >= min_probability for rank in range(1, count + 1))
    waited_s = time.monotonic() - ticket.submitted_s
    hypotheses = tuple(_hypothesis(segment, rank, says) for rank in range(max(1, number)))
    return Decoded(hypotheses, engine, len(segment.ids), queue_s=waited_s, encode_s=0.001, decode_s=0.002, work=work)


def _hypothesis(segment: Segment, rank: int, says: Callable[[Segment, int], Sequence[int]] | None) -> Hypothesis:
    source = tuple(index for index in segment.ids[:-1] if index not in segment.suppressed_ids)
    match segment.strategy:
        case Forced(target):
            ids = target
        case Sampling(seed):
            turned = random.Random(f"{seed}/{rank}").randrange(len(source))  # noqa: S311 - a test's
            ids = segment.prefix + source[turned:] + source[:turned]
        case _:
            ids = segment.prefix + source + tuple(itertools.repeat(source[-1], rank))
    if says is not None and not isinstance(segment.strategy, Forced):
        ids = (*segment.prefix, *says(segment, rank))
    limit = len(ids) + 1 if isinstance(segment.strategy, Forced) else segment.max_target_tokens
    is_cut = len(ids) + 1 > limit
    costs = (*itertools.repeat(-1.0, len(ids)), -1.0 - rank)[:limit]
    decoding, logp = segment.decoding, sum(costs)
    base = float(len(costs)) if decoding.length_penalty_kind == "power" else (5.0 + len(costs)) / 6.0
    score = logp / base**decoding.length_penalty + decoding.word_penalty * len(costs)
    attention = None
    if segment.attention:
        attention = np.zeros((len(costs), len(segment.ids)), np.float32)
        attention[:, -1] = 0.25
        for place in range(len(costs)):
            own = min(max(0, place - len(segment.prefix)), len(segment.ids) - 1)
            attention[place, own] += 0.75
    reason = FinishReason.LENGTH if is_cut else FinishReason.STOP
    return Hypothesis(ids[:limit] if is_cut else ids, logp, score, reason, costs, attention)
