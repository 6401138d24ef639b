"""dragoman, CTranslate2 and transformers behind one call: sources as ids in, target ids out.

Each is set up as its own documentation advises for the processor, and each is timed from ids (CTranslate2: its string
tokens, made beforehand) to ids. Scores are not asked for where that saves work.
"""

import argparse
import hashlib
import shutil
import threading
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, Protocol

import random_model
from random_model import END, RandomModel

from dragoman.bundle.manifest import Precision
from dragoman.bundle.reader import open_bundle
from dragoman.server.app import allocator
from dragoman.server.app.serve_options import ServeOptions
from dragoman.server.core.ports import LaneObserver
from dragoman.server.core.segments import Decoded, Segment
from dragoman.server.lanes.opening import open_lanes
from dragoman.server.runtime.hardware import PROCESSOR, Hardware

ROOT = Path(__file__).parents[2]
CACHE = ROOT / ".cache" / "bench"
Ids = Sequence[int]
Form = Literal["int8", "int8-fixed", "fp32", "fp16"]
"""Of a bundle; int8 with scales for each row, as CTranslate2 has them, or with fixed ones measured beforehand."""
FORMS: tuple[Form, ...] = ("int8", "int8-fixed", "fp32")
"""Those for processors."""
MAX_BATCH = ServeOptions().max_batch
"""Sources that a lane of the server steps together unless it is told otherwise."""
DIGITS = 12
"""Of the state that a kept model's name ends with."""
LONGEST = 256
"""Most tokens an engine may put out: out of reach, as the model ends its outputs itself."""


def add_shape(parser: argparse.ArgumentParser) -> None:
    """`--shape`, of every comparison that takes other models than the first."""
    told = ", ".join(
        f"{name} ({m.layers}+{m.layers} layers, d {m.d_model}, ffn {m.ffn}, V {m.vocabulary:,})"
        for name, m in random_model.SHAPES.items()
    )
    parser.add_argument(
        "--shape", choices=random_model.SHAPES, default="base", help=f"of the random model: {told} (default: base)"
    )


class Engine(Protocol):
    """What is compared."""

    def translate(self, sources: Sequence[Ids], beam: int) -> list[list[int]]:
        """The best output of each source, without the end token. All sources are there from the start."""


class Dragoman:
    """Lanes of one thread each, as the server has them."""

    def __init__(
        self,
        bundle: Path,
        *,
        lanes: int,
        max_batch: int,
        hardware: Hardware = PROCESSOR,
        observer: LaneObserver | None = None,
    ) -> None:
        allocator.set_up()
        opened = open_bundle(bundle)
        self.decoding = replace(opened.manifest.decoding, max_length=LONGEST)
        self.lanes = open_lanes(
            opened,
            num_lanes=lanes,
            threads_per_lane=1,
            max_batch=max_batch,
            observer=observer or LaneObserver(),
            hardware=hardware,
        )

    def segment(self, source: Ids, beam: int) -> Segment:
        """A source as the lanes take it."""
        return Segment(tuple(source), replace(self.decoding, beam_size=beam))

    def translate(self, sources: Sequence[Ids], beam: int) -> list[list[int]]:
        """See `Engine`."""
        answers: list[Decoded | Exception | None] = [None] * len(sources)
        answered = threading.Semaphore(0)

        def keep(index: int, answer: Decoded | Exception) -> None:
            answers[index] = answer
            answered.release()

        # Under the lock, or a lane would start on the first alone before the last is offered.
        with self.lanes._changed:
            for n, source in enumerate(sources):
                self.lanes.submit(self.segment(source, beam), lambda answer, n=n: keep(n, answer))  # type: ignore[misc]
        for _ in sources:
            answered.acquire()
        for answer in answers:
            if not isinstance(answer, Decoded):
                raise answer or RuntimeError("a lane did not answer")
        return [list(answer.hypotheses[0].ids) for answer in answers]  # type: ignore[union-attr]

    def close(self) -> None:
        """End the lanes."""
        self.lanes.close()


COMPUTE_TYPES = {"fp32": "float32", "fp16": "float16", "int8": "int8"}


class CTranslate2:
    """A `Translator` with its own batching: sorted by length, cut into batches, shared by its workers.

    Its int8 is one scheme: a scale for each row of activations and each row of weights.
    """

    def __init__(
        self, model: RandomModel, directory: Path, form: str, *, workers: int = 1, threads: int = 1, device: str = "cpu"
    ) -> None:
        from ctranslate2 import Translator

        self.words = random_model.words(model)
        self.ids = {word: n for n, word in enumerate(self.words)}
        self.translator = Translator(
            str(directory),
            device=device,
            compute_type=COMPUTE_TYPES[form],
            inter_threads=workers,
            intra_threads=threads,
        )

    def tokens(self, sources: Sequence[Ids]) -> list[list[str]]:
        """Sources as this engine takes them."""
        return [[self.words[n] for n in source] for source in sources]

    def run(self, sources: list[list[str]], beam: int, **options: Any) -> list[Any]:
        """Its own call, and its own results."""
        found: list[Any] = self.translator.translate_batch(
            sources, beam_size=beam, max_decoding_length=LONGEST, max_input_length=0, **options
        )
        return found

    def translate(self, sources: Sequence[Ids], beam: int) -> list[list[int]]:
        """See `Engine`."""
        return [[self.ids[t] for t in r.hypotheses[0]] for r in self.run(self.tokens(sources), beam)]


class Transformers:
    """`generate`: in float32 on a processor, which has nothing better, and in float16 on a GPU."""

    def __init__(self, model: RandomModel, *, threads: int = 1, device: str = "cpu") -> None:
        import torch

        torch.set_num_threads(threads)
        self.torch, self.pad, self.device = torch, model.vocabulary, device
        self.model = random_model.to_transformers(model).to(device)
        if device != "cpu":
            self.model.half()

    def translate(self, sources: Sequence[Ids], beam: int) -> list[list[int]]:
        """See `Engine`."""
        torch, longest = self.torch, max(map(len, sources))
        rows = [[*source, *[self.pad] * (longest - len(source))] for source in sources]
        ids = torch.tensor(rows, device=self.device)
        with torch.inference_mode():
            found = self.model.generate(
                input_ids=ids,
                attention_mask=(ids != self.pad).long(),
                num_beams=beam,
                do_sample=False,
                max_new_tokens=LONGEST,
                use_cache=True,
            )
        return [[n for n in row[1:].tolist() if n not in (END, self.pad)] for row in found]


def bundle_of(model: RandomModel, form: Form, cache: Path = CACHE) -> Path:
    """The model as a bundle, exported once for a state of the code that makes it."""
    sources = [*(ROOT / "export").rglob("*.py"), *(ROOT / "proto/dragoman/bundle").glob("*.py")]
    directory = cache / f"{model.name}-{form}-{_state([*sources, Path(random_model.__file__)])}"
    if not directory.exists():
        cache.mkdir(parents=True, exist_ok=True)
        for old in cache.glob(f"{model.name}-{form}-{'?' * DIGITS}"):
            shutil.rmtree(old)
        precision: Precision = form if form in ("fp32", "fp16") else "int8"
        random_model.to_bundle(model, directory, precision, fixed_scales=form == "int8-fixed")
    return directory


def ctranslate2_of(model: RandomModel, cache: Path = CACHE) -> Path:
    """The model as CTranslate2 loads it, made once."""
    directory = cache / f"{model.name}-ctranslate2-{_state([Path(random_model.__file__)])}"
    if not (directory / "model.bin").exists():
        random_model.to_ctranslate2(model, directory)
    return directory


def _state(sources: Sequence[Path]) -> str:
    return hashlib.sha256(b"".join(p.read_bytes() for p in sorted(sources))).hexdigest()[:DIGITS]
