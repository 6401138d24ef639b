"""One training, from its first step to its last, which may be stopped anywhere and picked up again.

What a step does follows from its number and the weights alone: the batch, the words that take part and all noise are
drawn from generators that are seeded with the step. A checkpoint therefore holds weights, their mean, the optimiser
and a number, and a training that was killed ends with the very bytes of one that was not.
"""

import io
import os
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.func import functional_call

from dragoman.export.core.errors import ExportError
from dragoman.export.distill.autoregressive import Autoregressive
from dragoman.export.distill.corpus import Corpus, Ints, batches_of, collate
from dragoman.export.distill.ctc import Ctc
from dragoman.export.distill.inputs import Inputs, Words, inputs_of, sample_words
from dragoman.export.distill.mask_predict import MaskPredict
from dragoman.export.distill.work_folder import write_whole

LARGEST_GRADIENT = 1.0
MEAN_DECAY = 0.9995
BETAS = (0.9, 0.98)
HALF_CAPABILITIES = ("avx512_bf16", "amx_bf16", "bf16")
"""What torch calls instructions for bfloat16 on processors of Intel and AMD, and of Arm."""


@dataclass(frozen=True)
class Settings:
    """All that a training depends on: the same settings on the same corpus give the same weights."""

    epochs: float
    """How often every pair is seen."""
    batch_words: int
    """Places in the longer side of a batch, padding included."""
    learning_rate: float
    warm_up: int
    """Steps over which the learning rate rises."""
    cool_down: float = 0.4
    """Over this last share of the training it falls to zero."""
    random_words: int = 2000
    """Words of the vocabulary that take part in a step besides those of its batch."""
    first_words: int = 64
    """The first ids of a vocabulary, which are its most frequent, always take part."""
    seed: int = 1
    guided_attention: float = 0.0
    """What looking elsewhere than the teacher counts beside saying something else."""
    checkpoint_every: int = 100
    evaluate_every: int = 1000

    def rate(self, step: int, progress: float) -> float:
        """Learning rate of a step, counted from 0, when such a share of the training is done."""
        rise = (step + 1) / max(1, self.warm_up)
        return self.learning_rate * max(0.0, min(rise, (1 - progress) / self.cool_down, 1.0))


@dataclass(frozen=True)
class Point:
    """What was measured after a step."""

    step: int
    loss: float
    """Mean since the last point."""
    processor_s: float
    """Processor time of all steps so far."""
    quality: dict[str, float] | None = None


Student = Autoregressive | Ctc | MaskPredict
Evaluate = Callable[[], dict[str, float]]
Watch = Callable[[Point], None]


class Trainer:
    """A student, its optimiser, and how far the training is."""

    def __init__(
        self, student: Student, corpus: Corpus, settings: Settings, path: Path, *, device: torch.device, half: bool
    ) -> None:
        self.student, self.corpus, self.settings, self.path = student, corpus, settings, path
        self.device, self.dtype = device, torch.bfloat16 if half else torch.float32
        student.to(device)
        self.trained = {name: p for name, p in student.named_parameters() if p.requires_grad}
        self.mean = {name: p.detach().clone() for name, p in self.trained.items()}
        both = (*student.named_parameters(), *student.named_buffers())
        self._frozen = {n: self._cast(v) for n, v in both if n not in self.trained}
        self.optimiser = torch.optim.Adam(self.trained.values(), lr=0.0, betas=BETAS, eps=1e-9, fused=True)
        self.step, self.epoch, self.taken = 0, 0, 0
        """Steps done; epochs finished; batches of this epoch that were taken."""
        self._order = self._batches()
        self.processor_s = 0.0
        self.history: list[Point] = []
        self._losses: list[float] = []

    def run(self, evaluate: Evaluate, watch: Watch) -> None:
        """Take all steps that are left. While `evaluate` runs, the student has the mean weights."""
        settings = self.settings
        while self.progress < 1:
            before = _processor_s()
            loss = self._take(self._next())
            if not np.isfinite(loss):
                raise ExportError(
                    f"the loss of step {self.step} is {loss}: begin again with a lower --learning-rate than "
                    f"{settings.learning_rate:g}"
                )
            self._losses.append(loss)
            self.step += 1
            self.processor_s += _processor_s() - before
            is_evaluated = self.progress >= 1 or self.step % settings.evaluate_every == 0
            if is_evaluated or self.step % settings.checkpoint_every == 0:
                quality = self._evaluated(evaluate) if is_evaluated else None
                point = Point(self.step, float(np.mean(self._losses)), round(self.processor_s, 1), quality)
                self._losses = []
                self.history.append(point)
                self.save()
                watch(point)

    @property
    def epochs(self) -> float:
        """How often every pair has been seen."""
        return self.epoch + self.taken / len(self._order)

    @property
    def progress(self) -> float:
        """Share of the training that is done."""
        return self.epochs / self.settings.epochs

    def _batches(self) -> list[Ints]:
        """The batches of this epoch, in their order."""
        return batches_of(self.corpus.lengths, self.settings.batch_words, (self.settings.seed, self.epoch))

    def _next(self) -> Ints:
        if self.taken == len(self._order):
            self.epoch, self.taken = self.epoch + 1, 0
            self._order = self._batches()
        self.taken += 1
        return self._order[self.taken - 1]

    def _take(self, chosen: Ints) -> float:
        """One step; its loss."""
        settings = self.settings
        progress = min(self.progress, 1.0)
        torch.manual_seed((settings.seed << 32) + self.step)
        random = np.random.default_rng((settings.seed, self.step, 1))
        batch = collate(self.corpus, chosen)
        given = inputs_of(batch, progress, self.device, self.dtype)
        words = sample_words(self.student.network, batch.targets, settings.random_words, random, settings.first_words)
        loss = self.loss(given, words)
        self.optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(self.trained.values(), LARGEST_GRADIENT)
        for group in self.optimiser.param_groups:
            group["lr"] = settings.rate(self.step, progress)
        self.optimiser.step()
        decay = min(MEAN_DECAY, (1 + self.step) / (10 + self.step))
        torch._foreach_lerp_(list(self.mean.values()), [p.detach() for p in self.trained.values()], 1 - decay)
        return float(loss.detach())

    def loss(self, given: Inputs, words: Words) -> Tensor:
        """The loss of one batch. Products are made in half precision; the weights that are trained stay float32."""
        weights = {**self._frozen, **{name: self._cast(p) for name, p in self.trained.items()}}
        loss: Tensor = functional_call(self.student, weights, (given, words))
        return loss

    def _cast(self, value: Tensor) -> Tensor:
        return value.to(self.dtype) if value.is_floating_point() else value

    def _evaluated(self, evaluate: Evaluate) -> dict[str, float]:
        trained = {name: p.detach().clone() for name, p in self.trained.items()}
        self.use_mean()
        try:
            return evaluate()
        finally:
            for name, p in self.trained.items():
                p.data.copy_(trained[name])

    def use_mean(self) -> None:
        """Put the mean of the weights of the last steps into the student: it is better than any of them."""
        for name, p in self.trained.items():
            p.data.copy_(self.mean[name])

    def save(self) -> None:
        """Write the checkpoint whole: to a file beside it, which then takes its place."""
        content = io.BytesIO()
        torch.save(self._state(), content)
        write_whole(self.path, content.getvalue())

    def _state(self) -> dict[str, Any]:
        return {
            "settings": asdict(self.settings),
            "pairs": len(self.corpus),
            "step": self.step,
            "epoch": self.epoch,
            "taken": self.taken,
            "batches": len(self._order),
            "processor_s": self.processor_s,
            "history": [asdict(point) for point in self.history],
            "trained": {name: p.detach() for name, p in self.trained.items()},
            "mean": self.mean,
            "optimiser": self.optimiser.state_dict(),
        }

    def resume(self) -> bool:
        """Go on from the checkpoint, if there is one. Epochs and the size of batches may be others than they were."""
        if not self.path.exists():
            return False
        state = torch.load(self.path, map_location=self.device, weights_only=True)
        self._check(state)
        self.step, self.epoch = state["step"], state["epoch"]
        self._order = self._batches()
        self.taken = round(state["taken"] / state["batches"] * len(self._order))
        self.processor_s = state["processor_s"]
        self.history = [Point(**point) for point in state["history"]]
        for name, p in self.trained.items():
            p.data.copy_(state["trained"][name])
            self.mean[name].copy_(state["mean"][name])
        self.optimiser.load_state_dict(state["optimiser"])
        return True

    def _check(self, state: dict[str, Any]) -> None:
        guided = state["settings"].get("guided_attention", 0.0)
        if guided != self.settings.guided_attention:
            raise ExportError(
                f"{self.path} is of a training with --guided-attention {guided:g}, and this one has "
                f"{self.settings.guided_attention:g}: name another --work"
            )
        shapes = {name: tuple(p.shape) for name, p in self.trained.items()}
        stored = {name: tuple(p.shape) for name, p in state["trained"].items()}
        if shapes != stored or state["pairs"] != len(self.corpus):
            raise ExportError(
                f"{self.path} is of another training ({state['pairs']:,} pairs, {len(stored)} weights; this one has "
                f"{len(self.corpus):,} and {len(shapes)}): name another --work"
            )


def multiplies_halves(device: torch.device) -> bool:
    """Whether products in bfloat16 are faster than in float32 there."""
    if device.type != "cpu":
        return bool(torch.cuda.is_bf16_supported())
    capabilities = torch.cpu.get_capabilities()
    return any(capabilities.get(name) for name in HALF_CAPABILITIES)


def _processor_s() -> float:
    times = os.times()
    return times.user + times.system
