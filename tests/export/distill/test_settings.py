"""What a distillation is asked for."""

from pathlib import Path

import pytest

from dragoman.bundle.manifest import Architecture
from dragoman.bundle.nat_rules import nat_problems
from dragoman.export.distill.settings import EVALUATE_EVERY, Decoder, Recipe
from dragoman.export.network.network import Network

ARCH = Architecture(16, 4, 24, 1, 1, 40, 40, max_positions=64)


@pytest.mark.parametrize("kind", ["ctc", "mask-predict"])
def test_a_decoder_is_one_that_a_manifest_may_have(kind):
    """With the layers that were asked for, on the network's own words and positions."""
    nat = Decoder(kind, 1.0, 3).nat(Network(ARCH), eos_id=2)

    assert list(nat_problems(kind, nat, ARCH)) == []
    assert (nat.kind, nat.layers) == (kind, 3)


@pytest.mark.parametrize(("epochs", "batches", "steps"), [(0.01, 100, 1), (1.0, 100, 100), (10.0, 5000, 50_000)])
def test_a_training_is_measured_in_epochs(epochs, batches, steps):
    """How long it warms up, and how often it is saved and evaluated, follows from its steps."""
    recipe = Recipe(
        source=Path("model"),
        format="auto",
        languages=(None, None),
        texts=(),
        output=Path("out"),
        work=Path("work"),
        decoders=(),
        development=None,
        precision="int8",
        replace=False,
        beam_size=None,
        max_tokens=100,
        batch_words=4000,
        learning_rate=1e-3,
        seed=1,
        threads=1,
        device="cpu",
    )

    settings = recipe.settings(Decoder("ctc", epochs, 2), batches)

    assert settings.epochs == epochs
    assert settings.warm_up <= steps / 5
    assert 1 <= settings.checkpoint_every <= 50
    assert settings.evaluate_every >= EVALUATE_EVERY
