"""Runs dragoman's own lanes on the real CUDA provider over the stand-in, and says what that took.

    lab.py loads BUNDLE...            every graph of each bundle loads on CUDA, every way of decoding is captured
    lab.py budget BUNDLE 1x1 64x4     what a step takes, by sources x beam
    lab.py flow BUNDLE 64x1           what a step takes in the mean where sources join and leave
    lab.py canvases BUNDLE 1 64           what a translation without autoregression takes, by sources
    lab.py refusals BUNDLE                what is said of bundles of other kinds, which a GPU does not run
    lab.py bfloat16 BUNDLE                which graphs for devices the provider has kernels for in bfloat16
    lab.py busy BUNDLE 1-120 3000 mixed   a lane that never rests, with so many sources at a time, mixed or of one beam
    lab.py traffic BUNDLE             rounds of mixed traffic: what is replayed, captured and held

Each line that it prints is one JSON object. It runs in the environment that conftest.py makes. No kernel is executed,
so what the decoder says is put in its place: the same words, best first, at every step. TWIN names what is broken.
"""

import ctypes
import itertools
import json
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from statistics import mean, median
from typing import Any

import numpy as np
import onnx
import onnxruntime
import twins

from dragoman.bundle.graphs import DEVICE_GRAPHS, DEVICE_STRIDE_STEPS, STRIDE, TOPK_ID, TOPK_LOGP, file_of
from dragoman.bundle.manifest import Decoding, Manifest, Recurrent
from dragoman.bundle.reader import Bundle, open_bundle
from dragoman.server.batches.warm_up import rehearse
from dragoman.server.core.errors import StartError
from dragoman.server.core.ports import LaneObserver
from dragoman.server.core.segments import Decoded, Segment
from dragoman.server.core.strategies import DraftSource
from dragoman.server.decode.strategies.nat import NonAutoregressive
from dragoman.server.decode.strategies.sampling import Sampling
from dragoman.server.decode.strategies.speculative import DRAFT_TOKENS, Speculative
from dragoman.server.lanes import lanes as lanes_of_a_bundle
from dragoman.server.lanes.opening import open_lanes
from dragoman.server.runtime.hardware import PROVIDERS, hardware_of

CUDA = hardware_of("cuda", 0)
SAID = 7
"""The best word of every row; those behind it are the next numbers."""
CELLS = ("lstm", "gru")
PASSES = 3
WAIT_S = 120


class Counts(ctypes.Structure):
    """As journal.h has them."""

    _fields_ = [
        (name, ctypes.c_uint64)
        for name in (
            *(
                "launches",
                "nodes",
                "captures",
                "replays",
                "replayed",
                "copies_in",
                "bytes_in",
                "copies_out",
                "bytes_out",
            ),
            *("waits", "allocations", "cudnn", "violations", "alive"),
        )
    ]

    def __sub__(self, other: "Counts") -> dict[str, int]:
        return {name: getattr(self, name) - getattr(other, name) for name, _ in self._fields_}


class Journal:
    """What the stand-in counted."""

    def __init__(self) -> None:
        self._library = ctypes.CDLL("libcudart.so.13")

    def counts(self) -> Counts:
        """So far."""
        counts = Counts()
        self._library.journal_counts(ctypes.byref(counts))
        return counts

    def script(self, path: Path | None) -> None:
        """Have every event written to a file from now on, or none."""
        self._library.journal_script(None if path is None else str(path).encode())


@dataclass
class Steps:
    """What each step of the decoder took, all that a lane does between two of them included."""

    journal: Journal
    taken: list[dict[str, Any]]
    last: tuple[Counts, float] | None = None
    number: int = 0
    replayed: list[bool] = field(default_factory=list)
    """Of each step, whether it and all that came before it, encoders included, only repeated what was captured."""
    ended: Counts | None = None

    def note(self, graph: str) -> None:
        """One more has ended."""
        now = self.journal.counts(), time.thread_time()
        self.number += 1
        if self.ended is not None:
            spent = now[0] - self.ended
            self.replayed.append(spent["replays"] > 0 and not spent["launches"])
        self.ended = now[0]
        if (last := self.last) is not None:  # another lane may restart meanwhile
            self.taken.append({"graph": graph, "host_s": now[1] - last[1], **(now[0] - last[0])})
        self.last = self.journal.counts(), time.thread_time()

    def clear(self) -> None:
        """Nothing was noted so far."""
        self.taken.clear()
        self.replayed.clear()

    def restart(self) -> None:
        """What follows is not part of a step: the encoder ran."""
        self.last = None


class Lab:
    """A bundle on lanes."""

    def __init__(self, bundle: Bundle, *, lanes: int = 1, max_batch: int = 256) -> None:
        self.bundle, self.journal, self.said = bundle, Journal(), threading.local()
        self.steps = Steps(self.journal, [])
        rehearsed = threading.Semaphore(0)
        lanes_of_a_bundle.rehearse = lambda *given: (rehearse(*given), rehearsed.release())
        self.lanes = open_lanes(
            bundle, num_lanes=lanes, threads_per_lane=1, max_batch=max_batch, observer=LaneObserver(), hardware=CUDA
        )
        runtime: Any = self.lanes.runtime
        decoders = [runtime.of(name) for name in (None, *runtime.siblings)]
        for _ in range(lanes * sum(each.is_placed for each in decoders)):
            if not rehearsed.acquire(timeout=WAIT_S):
                raise TimeoutError("a lane does not rehearse")
        for each in decoders:
            each.step, each.encode = partial(self._stepped, each.step), partial(self._encoded, each.encode)
        self._prepare, runtime.prepare = runtime.prepare, self._prepared
        self.prepared = 0
        """Captures while nobody waited."""
        self._has_rested = threading.Event()

    def _stepped(self, step: Any, graph: str, feed: Any, **options: Any) -> Any:
        said, new = step(graph, feed, **options)
        shape = said[TOPK_ID].shape
        said[TOPK_ID] = np.broadcast_to(np.arange(SAID, SAID + shape[-1]), shape).copy()
        said[TOPK_LOGP] = np.broadcast_to(-1 - np.arange(shape[-1], dtype=np.float32), shape).copy()
        self.steps.note(graph)
        return said, new

    def _encoded(self, encode: Any, *given: Any, **options: Any) -> Any:
        self.steps.restart()
        self._has_rested.clear()
        return encode(*given, **options)

    def _prepared(self) -> bool:
        before = self.journal.counts()
        has_made: bool = self._prepare()
        self.prepared += (self.journal.counts() - before)["captures"]
        if not has_made:
            self._has_rested.set()
        return has_made

    def rest(self) -> None:
        """Wait until a single lane has captured what it would capture while nobody waits."""
        if not self._has_rested.wait(WAIT_S):
            raise TimeoutError("a lane does not come to rest")

    def answers(self, segments: Sequence[Segment]) -> list[Decoded]:
        """Of all of them, offered at once; what fails is raised."""
        found: list[Any] = [None] * len(segments)
        answered = threading.Semaphore(0)

        def keep(index: int) -> Callable[[Any], None]:
            def done(answer: Any) -> None:
                found[index] = answer
                answered.release()

            return done

        with self.lanes._changed:  # or a lane would start on the first alone
            for index, segment in enumerate(segments):
                self.lanes.submit(segment, keep(index))
        for _ in segments:
            if not answered.acquire(timeout=WAIT_S):
                raise TimeoutError("a lane did not answer")
        for answer in found:
            if isinstance(answer, Exception):
                raise answer
        return found

    def segment(self, rng: np.random.Generator, words: int, decoding: Decoding, **options: Any) -> Segment:
        """So many random words and the end."""
        facts = self.bundle.manifest
        ids = rng.integers(2, facts.architecture.source_vocabulary - 1, words).tolist()
        return Segment((*ids, facts.tokenizer.eos_id), decoding, **options)

    def decoding(self, **options: Any) -> Decoding:
        """The bundle's, with one hypothesis."""
        return replace(self.bundle.manifest.decoding, **{"num_hypotheses": 1, "forced_last_id": None, **options})

    def close(self) -> None:
        """End the lanes."""
        self.lanes.close()


def ways(lab: Lab) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every way of decoding that the bundle has: a name, and what a segment is made with."""
    manifest = lab.bundle.manifest
    plain = lab.decoding(shortlist=False, max_length=12)
    for decoder in (None, *manifest.siblings):
        yield from _searches(plain, decoder, manifest.of(decoder))
    for decoder, nat in manifest.nat.items():
        passes = NonAutoregressive(decoder, nat.passes)
        yield decoder, {"decoding": replace(plain, beam_size=1), "strategy": passes}


def _searches(plain: Decoding, decoder: str | None, manifest: Manifest) -> Iterator[tuple[str, dict[str, Any]]]:
    """Those of an autoregressive decoder, where there is one."""
    if not manifest.architecture.decoder_layers:
        return
    name = manifest.architecture.decoder
    alone = {"decoding": replace(plain, beam_size=1), "decoder": decoder}
    wide = {**alone, "decoding": replace(plain, beam_size=4, num_hypotheses=4)}
    several = replace(plain, num_hypotheses=3, beam_size=1)
    yield f"{name}, greedy", alone
    yield f"{name}, beam", wide
    if manifest.shortlist:
        yield f"{name}, over a shortlist", {**alone, "decoding": replace(plain, beam_size=1, shortlist=True)}
    if not manifest.architecture.keeps_states:
        yield f"{name}, drafts", {**alone, "strategy": Speculative(DraftSource.SOURCE, 4)}
    yield f"{name}, draws", {**alone, "decoding": several, "strategy": Sampling(5, temperature=1.3)}
    yield f"{name}, a prefix", {**wide, "prefix": (9, 8)}


def loads(paths: Sequence[str]) -> Iterator[dict[str, Any]]:
    """Every way of every bundle, on one lane and on two."""
    for path in paths:
        bundle = open_bundle(Path(path))
        for lanes in (1, 2):
            lab = Lab(bundle, lanes=lanes, max_batch=16)
            for name, given in ways(lab):
                before = lab.journal.counts()
                rng = np.random.default_rng(1)
                for _ in range(3):
                    lab.answers([lab.segment(rng, int(n), **given) for n in rng.integers(1, 30, 20)])
                yield {"bundle": bundle.directory.name, "lanes": lanes, "way": name, **(lab.journal.counts() - before)}
            lab.close()


def budget(path: str, *cases: str) -> Iterator[dict[str, Any]]:
    """What a step takes where nobody joins, by sources x beam."""
    for case in cases:
        sources, beam = map(int, case.split("x"))
        lab = Lab(open_bundle(Path(path)), max_batch=sources)
        decoding = lab.decoding(beam_size=beam, max_length=25, shortlist=False)
        rng = np.random.default_rng(0)
        segments = [lab.segment(rng, 24, decoding) for _ in range(sources)]
        for _ in range(2):
            lab.answers(segments)
            lab.rest()
        lab.steps.clear()
        before = lab.journal.counts()
        for _ in range(3):
            lab.answers(segments)
        spent, taken = lab.journal.counts() - before, lab.steps.taken
        lab.close()
        middle = {name: median(step[name] for step in taken) for name in taken[0] if name != "graph"}
        yield {
            "case": case,
            "steps": len(taken),
            "words": min(DEVICE_STRIDE_STEPS if step["graph"] == STRIDE else 1 for step in taken),
            "step": middle,
            "whole": spent,
            "alive": lab.journal.counts().alive,
        }


def flow(path: str, *cases: str) -> Iterator[dict[str, Any]]:
    """What a step takes in the mean where sources of many lengths join as others leave, by places x beam."""
    for case in cases:
        places, beam = map(int, case.split("x"))
        lab = Lab(open_bundle(Path(path)), max_batch=places)
        rng = np.random.default_rng(2)
        lengths = rng.integers(10, 60, 8 * places).tolist()
        decodings = [lab.decoding(beam_size=beam, max_length=n, shortlist=False) for n in lengths]
        segments = [lab.segment(rng, n, decoding) for n, decoding in zip(lengths, decodings, strict=True)]
        lab.answers(segments)
        lab.rest()
        lab.steps.clear()
        lab.steps.number, before = 0, lab.journal.counts()
        lab.answers(segments)
        spent, number = lab.journal.counts() - before, lab.steps.number
        lab.close()
        yield {"case": case, "steps": number, "step": {name: count / number for name, count in spent.items()}}


def canvases(path: str, *counts: str) -> Iterator[dict[str, Any]]:
    """What all of a translation takes, by how many sources there are at once: each decoder, in a pass and in some."""
    bundle = open_bundle(Path(path))
    for (name, nat), passes, count in itertools.product(bundle.manifest.nat.items(), (1, PASSES), map(int, counts)):
        lab = Lab(bundle, max_batch=count)
        decoding, rng = lab.decoding(beam_size=1, shortlist=False), np.random.default_rng(0)
        strategy = NonAutoregressive(name, passes)
        segments = [lab.segment(rng, 20, decoding, strategy=strategy) for _ in range(count)]
        lab.answers(segments)
        lab.rest()
        before = lab.journal.counts()
        lab.answers(segments)
        spent = lab.journal.counts() - before
        lab.close()
        yield {
            "decoder": name,
            "predicts": nat.length_classes,
            "passes": passes,
            "sources": count,
            "words": 21 * count * nat.upsample,
            **spent,
        }


def refusals(path: str) -> Iterator[dict[str, Any]]:
    """The bundle as if it were of another kind: what its lanes are refused with."""
    bundle = open_bundle(Path(path))
    manifest = bundle.manifest
    sizes = Recurrent(8, 8, 8, 8)
    others = {
        "int8": {"precision": "int8"},
        **{cell: {"architecture": replace(manifest.architecture, decoder=cell, recurrent=sizes)} for cell in CELLS},
        "a sibling": {
            "siblings": {"gru": replace(manifest.architecture, decoder="gru", recurrent=sizes)},
            "graphs": {**manifest.graphs, "gru.step": manifest.graphs["step"]},
        },
        "copies": {"architecture": replace(manifest.architecture, copies=True)},
        "older": {"graphs": {name: graph for name, graph in manifest.graphs.items() if name not in DEVICE_GRAPHS}},
    }
    for kind, change in others.items():
        changed: Any = change
        try:
            Lab(replace(bundle, manifest=replace(manifest, **changed))).close()
        except StartError as error:
            yield {"kind": kind, "refusal": str(error)}
        else:
            yield {"kind": kind, "refusal": None}


def bfloat16(path: str) -> Iterator[dict[str, Any]]:
    """The graphs for devices with bfloat16 in the place of float16: what the provider says of each."""
    bundle = open_bundle(Path(path))
    for name in bundle.manifest.graphs:
        if name in DEVICE_GRAPHS:
            model = onnx.load(bundle.path(file_of(name)))
            in_bfloat16(model.graph)
            options = onnxruntime.SessionOptions()
            options.log_severity_level = 4
            try:
                onnxruntime.InferenceSession(model.SerializeToString(), options, providers=[PROVIDERS["cuda"]])
                problem = None
            except Exception as error:  # noqa: BLE001 - whatever it is, it is what the provider says
                problem = str(error)
            yield {"graph": name, "problem": problem}


def in_bfloat16(graph: Any) -> None:
    """Change every tensor of float16, in place."""
    half, brain = onnx.TensorProto.FLOAT16, onnx.TensorProto.BFLOAT16
    for value in (*graph.input, *graph.output, *graph.value_info):
        if value.type.tensor_type.elem_type == half:
            value.type.tensor_type.elem_type = brain
    constants = [attribute.t for node in graph.node for attribute in node.attribute if attribute.name == "value"]
    for tensor in (*graph.initializer, *constants):
        if tensor.data_type == half:
            numbers = onnx.numpy_helper.to_array(tensor).astype(np.float32)
            tensor.CopyFrom(onnx.helper.make_tensor(tensor.name, brain, numbers.shape, numbers.flatten().tolist()))
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.name == "to" and attribute.i == half:
                attribute.i = brain


def mixed(lab: Lab, rng: np.random.Generator, words: int) -> Segment:
    """Of ten sources one is drawn, one has drafts, and the others have a beam of 1 or of 4."""
    decoding = lab.decoding(beam_size=1, max_length=int(words * 1.2) + 2, shortlist=False)
    match rng.integers(0, 10):
        case 0:
            return lab.segment(rng, words, decoding, strategy=Sampling(1, top_k=40))
        case 1:
            return lab.segment(rng, words, decoding, strategy=Speculative(DraftSource.SOURCE, DRAFT_TOKENS))
        case number:
            return lab.segment(rng, words, replace(decoding, beam_size=4 if number % 2 else 1))


def alike(beam: int, lab: Lab, rng: np.random.Generator, words: int) -> Segment:
    """All of one beam."""
    decoding = lab.decoding(beam_size=beam, max_length=int(words * 1.2) + 2, shortlist=False)
    return lab.segment(rng, words, decoding)


def busy(path: str, sources: str = "1-120", answers: str = "3000", kind: str = "mixed") -> Iterator[dict[str, Any]]:
    """A lane that never rests: whoever is answered is followed by another, as many at a time as a number says that is
    drawn anew at every 50th answer; first and second half.
    """
    lab = Lab(open_bundle(Path(path)))
    made = mixed if kind == "mixed" else partial(alike, int(kind))
    least, most = (int(number) for number in (sources.split("-") * 2)[:2])
    rng, is_over, problems = np.random.default_rng(3), threading.Event(), []
    marks: list[tuple[Counts, int]] = [(lab.journal.counts(), 0)]
    wanted, answered, active, count = most, 0, 0, int(answers)
    rehearsed, lab.prepared = marks[0][0].captures, 0

    def submit(number: int) -> None:
        nonlocal active
        active += number
        for _ in range(number):
            lab.lanes.submit(made(lab, rng, int(rng.integers(3, 110))), follow)

    def follow(answer: Any) -> None:  # by the lane's own thread, which rests only when none is left
        nonlocal active, answered, wanted
        active, answered = active - 1, answered + 1
        if isinstance(answer, Exception):
            problems.append(answer)
        if answered % 50 == 0:
            wanted = int(rng.integers(least, most + 1))
        if answered in (count // 2, count):
            marks.append((lab.journal.counts(), len(lab.steps.replayed)))
        if answered < count:
            submit(max(0, wanted - active))
        if not active:
            is_over.set()

    lab.steps.clear()
    with lab.lanes._changed:  # or the first would be answered before the last is there
        submit(wanted)
    if not is_over.wait(WAIT_S) or problems:
        raise TimeoutError("a lane did not answer") from (problems or [None])[0]
    for (before, start), (after, end) in itertools.pairwise(marks):
        yield {
            **(after - before),
            "steps": end - start,
            "rehearsed": rehearsed,
            "share": mean(lab.steps.replayed[start:end]),
            "alive": after.alive,
        }
    lab.close()


def traffic(path: str, rounds: str = "4", lanes: str = "1") -> Iterator[dict[str, Any]]:
    """Bursts of mixed lengths and ways; what each round of them took."""
    lab = Lab(open_bundle(Path(path)), lanes=int(lanes))
    rng, rehearsed = np.random.default_rng(1), lab.journal.counts().captures

    for number in range(int(rounds)):
        lab.steps.clear()
        before, lab.prepared = lab.journal.counts(), 0
        for _ in range(12):
            lab.answers([mixed(lab, rng, int(n)) for n in rng.integers(3, 110, int(rng.integers(1, 121)))])
        spent, taken, replayed = lab.journal.counts() - before, lab.steps.taken, lab.steps.replayed
        stalls = spent["captures"] - lab.prepared
        lab.rest()
        yield {
            **spent,
            "round": number,
            "steps": len(replayed),
            "rehearsed": rehearsed,
            "stalls": stalls,
            "share": mean(replayed),
            "host_s": mean(step["host_s"] for step in taken),
            "alive": lab.journal.counts().alive,
        }
    lab.close()


if __name__ == "__main__":
    if "TWIN" in os.environ:
        twins.TWINS[os.environ["TWIN"]]()
    for result in {
        "loads": lambda *paths: loads(paths),
        "budget": budget,
        "flow": flow,
        "canvases": canvases,
        "refusals": refusals,
        "bfloat16": bfloat16,
        "busy": busy,
        "traffic": traffic,
    }[sys.argv[1]](*sys.argv[2:]):
        print(json.dumps(result), flush=True)
