"""What a distillation is asked for."""

from dataclasses import dataclass
from pathlib import Path

from dragoman.bundle.manifest import Nat, Precision
from dragoman.export.distill.kinds import Kind
from dragoman.export.distill.trainer import Settings
from dragoman.export.network.network import Network

UPSAMPLE = 2
LENGTH_CLASSES = 128
BLOCK = 8
PASSES = 4
WARM_UP = 500
EVALUATE_EVERY = 100
"""The fewest steps between two evaluations: translating takes longer than a few steps."""


@dataclass(frozen=True)
class Decoder:
    """A decoder that is to be trained."""

    kind: Kind
    epochs: float
    layers: int

    def nat(self, network: Network, eos_id: int) -> Nat:
        """The decoder as the manifest describes it, where it is not the autoregressive one."""
        words, positions = network.arch.target_vocabulary, network.arch.max_positions
        if self.kind == "ctc":
            return Nat(
                "ctc",
                layers=self.layers,
                max_canvas=UPSAMPLE * positions,
                canvas="late",
                upsample=UPSAMPLE,
                blank_id=words,
                refines=True,
            )
        return Nat(
            "mask-predict",
            layers=self.layers,
            max_canvas=positions,
            canvas="shown",
            mask_id=words,
            last_id=eos_id,
            length_classes=LENGTH_CLASSES,
            block=BLOCK,
            passes=PASSES,
        )


@dataclass(frozen=True)
class Recipe:
    """All that a distillation is asked for."""

    source: Path
    format: str
    languages: tuple[str | None, str | None]
    texts: tuple[Path, ...]
    output: Path
    work: Path
    decoders: tuple[Decoder, ...]
    development: tuple[Path, Path] | None
    """Source and reference; None: the last pairs of the text are held out, with the teacher's translations."""
    precision: Precision
    replace: bool
    beam_size: int | None
    max_tokens: int
    batch_words: int
    learning_rate: float
    seed: int
    threads: int
    device: str
    keeps_teacher: bool = False
    """Whether the teacher's own decoder stays in the bundle, and searches where a request names none."""
    guided_attention: float = 0.0
    """How much it counts that the autoregressive decoder looks where the teacher looks; 0: not at all."""

    def settings(self, decoder: Decoder, batches: int) -> Settings:
        """How one decoder is trained, where an epoch has so many batches."""
        steps = max(1, round(decoder.epochs * batches))
        return Settings(
            epochs=decoder.epochs,
            batch_words=self.batch_words,
            learning_rate=self.learning_rate,
            warm_up=min(WARM_UP, steps // 5),
            seed=self.seed,
            guided_attention=self.guided_attention if decoder.kind == "autoregressive" else 0.0,
            checkpoint_every=max(1, min(50, steps // 10)),
            evaluate_every=max(EVALUATE_EVERY, steps // 20),
        )
