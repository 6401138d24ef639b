"""Numbers that are none, and files that change under a server."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import time
from functools import partial
from pathlib import Path

import pytest
import sentencepiece
from callers import SENTENCES, Calls, bulk, call, one_by_one, request, sentences
from damaged import changed, not_numbers, poke_not_numbers
from serving import RefusedToServe, ServerProcess, serving

from dragoman.v1 import translation_pb2 as pb
from dragoman.v1 import translation_pb2_grpc as pb_grpc

pytestmark = pytest.mark.asyncio

SMALL = Path(__file__).parents[2] / "models/en-pt"
STALL_S = 2.0
STALL = ("--stall-seconds", str(STALL_S))


@pytest.fixture(scope="module")
def right() -> str:
    """What the sound bundle makes of a sentence."""

    async def ask() -> str:
        with serving(SMALL) as server:
            async with server.channel() as channel:
                answer = await pb_grpc.TranslationServiceStub(channel).Translate(request(SENTENCES[0]), timeout=30)
                return str(answer.results[0].text)

    return asyncio.run(ask())


async def noticed(server: ServerProcess, within_s: float, right: str) -> tuple[str, float]:
    """What shows, and when, that the server does not translate; -1 seconds where nothing does."""
    start_s, calls, wrong = time.monotonic(), Calls(), 0
    async with server.channel() as channel:
        stub = pb_grpc.TranslationServiceStub(channel)
        while (seconds := time.monotonic() - start_s) < within_s:
            if not server.is_alive():
                return f"{calls}, {wrong} of them wrong, then {server.fate()}", seconds
            if server.get("/livez")[0] == 503:
                return f"{calls}, {wrong} of them wrong, then /livez 503", seconds
            answer = await call(calls, lambda: stub.Translate(request(SENTENCES[0]), timeout=5))
            wrong += answer is not None and answer.results[0].text != right
            await asyncio.sleep(0.05)
    failures = server.total("dragoman_lane_failures_total")
    return f"{calls}, {wrong} of them wrong; /livez {server.get('/livez')[0]}, {failures:.0f} lane failures", -1


@pytest.mark.parametrize("graph", ["encoder", "step"])
async def test_numbers_that_are_none_from_the_start(fault, tmp_path, right, graph):
    """A bundle with a graph that gives NaN is not served."""
    row = fault(f"weights of the {graph} graph are NaN at the start")
    broken = changed(SMALL, tmp_path / "bundle", partial(not_numbers, graph=graph))
    start_s, refusal = time.monotonic(), None
    try:
        with serving(broken, options=STALL) as server:
            row.happens, seconds = await noticed(server, 12.0, right)
            row.seen, row.lost = f"{seconds:.1f} s" if seconds >= 0 else "never", "all texts meanwhile"
    except RefusedToServe as error:
        refusal = error
        row.happens = f"start refused with {error.exit_code}: {error.log.strip().splitlines()[-1][:100]}"
        row.seen, row.lost = f"{time.monotonic() - start_s:.1f} s", "nothing"
    assert refusal
    assert refusal.exit_code == 1
    assert "Traceback" not in refusal.log


async def test_a_bundle_with_numbers_that_are_none_takes_nobodys_place(fault, tmp_path, right):
    """An encoder that is NaN comes while another is served: it is not loaded, and what is served goes on."""
    row = fault("a bundle whose encoder is NaN replaces one that is served")
    bundle = changed(SMALL, tmp_path / "models/bundle", lambda folder, manifest: None)
    broken = changed(SMALL, tmp_path / "broken", partial(not_numbers, graph="encoder"))
    with serving(options=["--models", str(bundle.parent), "--look-s", "0"]) as server:
        for file in broken.iterdir():
            file.rename(bundle / file.name)
        start_s = time.monotonic()
        server.process.send_signal(signal.SIGHUP)
        while not server.total("dragoman_bundles", state="failed") and time.monotonic() - start_s < 20:
            await asyncio.sleep(0.1)
        seconds = time.monotonic() - start_s
        async with server.channel() as channel:
            answer = await pb_grpc.TranslationServiceStub(channel).Translate(request(SENTENCES[0]), timeout=30)
        [line] = [line for line in server.log().splitlines() if "bundle_not_loaded" in line]
        row.happens, row.seen, row.lost = f"not loaded: {line[-110:]}", f"{seconds:.1f} s", "nothing"
        assert answer.results[0].text == right
        assert "not finite, or no number at all" in line


async def test_numbers_that_are_none_while_serving(fault, right):
    """Weights that become NaN in memory: liveness ends after the stall time, and the process after twice of it.

    Nobody but this process can write there, as the weights are a private copy that was checked when it was made: it
    takes a memory that fails. Of the step alone, whose numbers are looked at; those of an int8 encoder go unseen where
    they are rounded, and it is what comes from files that is looked at instead.
    """
    graph = "step"
    row = fault(f"weights of the {graph} graph become NaN in memory")
    with serving(SMALL, options=STALL) as server:
        async with server.channel() as channel:
            await one_by_one(channel, 0.5)
        assert poke_not_numbers(server.pid, SMALL, graph) > 0
        row.happens, seconds = await noticed(server, 15.0, right)
        row.seen, row.lost = f"{seconds:.1f} s" if seconds >= 0 else "never", "all texts meanwhile"
        assert seconds >= 0
        start_s = time.monotonic()
        async with server.channel() as channel:
            stub = pb_grpc.TranslationServiceStub(channel)
            while server.is_alive() and time.monotonic() - start_s < 10 * STALL_S:
                await call(Calls(), lambda: stub.Translate(request(SENTENCES[0]), timeout=1))
                await asyncio.sleep(0.05)
        row.happens += f"; {server.fate()} {time.monotonic() - start_s:.1f} s later"
        assert server.process.poll() == 3


async def test_one_poisoned_caller_does_not_end_the_process(fault):
    """Requests that cannot be decoded, one after another, leave liveness alone while others are answered."""
    row = fault("one caller's requests ban every word, others' do not")
    banned = pb.DecodingOptions(min_length=511, max_length=512, no_repeat_ngram_size=1, max_length_factor=100)
    with serving(SMALL, options=STALL) as server:
        async with (
            server.channel() as loud,
            server.channel() as quiet,
            bulk(loud, request("House", decoding=banned), streams=2) as asked,
        ):
            others = await one_by_one(quiet, 5 * STALL_S)
        status, _ = server.get("/livez")
        row.happens = f"{asked}; others: {others}; /livez {status}; {server.fate()}"
        assert status == 200
        assert others.codes.keys() == {"OK"}


def zeros(path: Path) -> None:
    _write_into(path, bytes(path.stat().st_size // 2))


def noise(path: Path) -> None:
    _write_into(path, random.Random(1).randbytes(path.stat().st_size))


def truncated(path: Path) -> None:
    os.truncate(path, 4096)


def deleted(path: Path) -> None:
    path.unlink()


def copied_over(path: Path) -> None:
    """As `cp other weights.bin` does: the file is cut to nothing and written anew."""
    content = bytearray(path.read_bytes())
    random.Random(2).shuffle(memoryview(content)[:65_536])
    with path.open("wb") as file:
        file.write(content)


def _write_into(path: Path, content: bytes) -> None:
    with path.open("r+b") as file:
        file.write(content)


@pytest.mark.parametrize("file", ["weights.bin", "shortlist.npz", "vocabulary.spm", "manifest.json"])
@pytest.mark.parametrize("damage", [zeros, noise, truncated, deleted, copied_over])
async def test_files_that_change_while_serving(fault, tmp_path, damage, file):
    """Whatever happens to a bundle's files, the server goes on and says what it would have said."""
    if file != "weights.bin" and damage is not truncated:
        pytest.skip("one damage shows whether a small file is read again")
    row = fault(f"{file} {damage.__name__.replace('_', ' ')} while serving")
    bundle = changed(SMALL, tmp_path / "bundle", lambda folder, manifest: None)
    texts, longer = sentences(40), [" ".join(SENTENCES) * 6]
    with serving(SMALL) as server:
        async with server.channel() as channel:
            stub = pb_grpc.TranslationServiceStub(channel)
            expected = [(await stub.Translate(request(*part), timeout=60)).results for part in (texts, longer)]
    with serving(bundle, options=STALL) as server:
        async with server.channel() as channel:
            stub, calls = pb_grpc.TranslationServiceStub(channel), Calls()
            await call(calls, lambda: stub.Translate(request(SENTENCES[2]), timeout=60))
            damage(bundle / file)
            answers = [
                await call(calls, lambda p=part: stub.Translate(request(*p), timeout=60)) for part in (texts, longer)
            ]
            await asyncio.sleep(0.5)
            wrong = sum(
                got.text != wanted.text
                for answer, results in zip(answers, expected, strict=True)
                if answer
                for got, wanted in zip(answer.results, results, strict=True)
            )
            row.happens = f"{calls}; {wrong} wrong texts; {server.fate()}"
            row.lost = (
                "nothing"
                if all(answers) and not wrong
                else f"{wrong} texts wrong, {calls.codes.total() - calls.codes['OK']} calls"
            )
            assert server.is_alive()
            assert calls.codes.keys() == {"OK"}
            assert wrong == 0


async def refused(row, bundle: Path, *words: str) -> None:
    """The start is refused with one line that says why, and no more than a screen of it."""
    refusal = None
    try:
        with serving(bundle) as server:
            async with server.channel() as channel:
                calls = await one_by_one(channel, 1.0)
            row.happens = f"served: {calls}, {server.fate()}"
    except RefusedToServe as error:
        refusal = error
        row.happens = f"start refused with {error.exit_code}: {error.log.strip()[:120]}"
        row.seen, row.lost = "at the start", "nothing"
    assert refusal
    assert refusal.exit_code == 1
    assert "Traceback" not in refusal.log
    assert len(refusal.log) < 4096
    assert any(word in refusal.log for word in words)


async def test_a_vocabulary_that_is_smaller_than_the_network(fault, tmp_path):
    """A tokenizer that lacks words of the network's vocabulary is refused at the start."""
    row = fault("a SentencePiece file smaller than the vocabulary")
    (tmp_path / "text").write_text("\n".join(sentences(200)), "utf-8")

    def shrink(folder: Path, manifest: dict) -> None:
        prefix = tmp_path / "small"
        sentencepiece.SentencePieceTrainer.train(
            input=str(tmp_path / "text"), model_prefix=str(prefix), vocab_size=90, minloglevel=2
        )
        (folder / "vocabulary.spm").write_bytes(prefix.with_suffix(".model").read_bytes())

    await refused(row, changed(SMALL, tmp_path / "bundle", shrink), "vocabulary")


async def test_a_bundle_whose_name_is_a_megabyte(fault, tmp_path):
    """A name that no label, log line or header can carry is refused at the start."""
    row = fault("a bundle whose name has 1 MB")
    bundle = changed(SMALL, tmp_path / "bundle", lambda folder, manifest: manifest.update(name="m" * 2**20))

    await refused(row, bundle, "name")
