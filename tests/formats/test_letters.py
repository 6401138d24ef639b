"""g2p-en's and e2k's own outputs beside those of bundles that are made of their weights: `make test-formats`."""

import os
import random
import re
from pathlib import Path

import carried_models as packages
import pytest

from dragoman.bundle.manifest import Precision
from dragoman.export.export import export
from dragoman.export.importers.letters.importer import read_letters
from dragoman.server.app.translator import LocalTranslator
from dragoman.server.core.requests import OnLoop, Request

PACKAGES = Path(os.environ.get("PACKAGES", ".cache/formats/packages"))
ROOT = Path(__file__).parents[2]
WORDS = 2000


@pytest.fixture(scope="session")
def words():
    """2,000 words: of this project's documents, and 500 that nobody has written."""
    rng = random.Random(7)
    texts = "\n".join(path.read_text("utf-8") for path in sorted(ROOT.glob("**/*.md")) if ".venv" not in path.parts)
    written = sorted(set(re.findall(r"[a-z][a-z'-]+", texts.lower())))
    letters = "abcdefghijklmnopqrstuvwxyz"
    made = {rng.choice(letters) + "".join(rng.choices(f"{letters}'", k=rng.randint(0, 17))) for _ in range(500)}
    assert len(written) >= WORDS - 500
    return [*rng.sample(written, WORDS - len(made)), *sorted(made)]


@pytest.fixture
def translated(tmp_path):
    """Makes a bundle of a model's file and translates texts with it."""

    def translate(path: Path, texts: list[str], precision: Precision = "fp32") -> list[str]:
        bundle = export(read_letters(path, None, None), tmp_path / "bundle", precision=precision)
        plain = Request(tuple(texts), on_loop=OnLoop.CONTINUE)
        with LocalTranslator(bundle.directory, 2) as translator:
            outcomes = translator.outcomes(plain)
        return [outcome.hypotheses[0].text for outcome in outcomes]

    return translate


def test_sounds_are_those_of_g2p(translated, words):
    """2,000 words, all alike."""
    model = packages.g2p(PACKAGES)
    expected = [" ".join(model.predict(word)) for word in words]

    assert translated(PACKAGES / "g2p_en" / "checkpoint20.npz", words) == expected


@pytest.mark.parametrize("variant", ["base", "turbo"])
def test_katakana_of_letters_is_that_of_e2k(translated, words, variant):
    """2,000 words, all alike, in capitals and with what its table lacks, too."""
    model = packages.e2k(PACKAGES).C2K(model=variant)
    words = [word.capitalize() if n % 3 == 0 else f"{word}?é" if n % 7 == 0 else word for n, word in enumerate(words)]
    name = "model-c2k.safetensors" if variant == "base" else "model-c2k-turbo.safetensors"

    assert translated(PACKAGES / "e2k" / "models" / name, words) == [model(word) for word in words]


@pytest.mark.parametrize("variant", ["base", "turbo"])
def test_katakana_of_sounds_is_that_of_e2k(translated, words, variant):
    """The sounds that g2p-en gives of 2,000 words, and some that nobody knows."""
    g2p, model = packages.g2p(PACKAGES), packages.e2k(PACKAGES).P2K(model=variant)
    sounds = [[*g2p.predict(word), *(["XX"] if n % 9 == 0 else [])] for n, word in enumerate(words)]
    name = "model-p2k.safetensors" if variant == "base" else "model-p2k-turbo.safetensors"

    texts = [" ".join(each) for each in sounds]

    found = translated(PACKAGES / "e2k" / "models" / name, texts)

    assert found == [model(each) for each in sounds]
