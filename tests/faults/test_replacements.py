"""A bundle that is replaced again and again while it is called."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
from collections import Counter
from pathlib import Path

import grpc
import pytest
from callers import SENTENCES, request
from serving import ServerProcess, serving

from dragoman.v1 import translation_pb2 as pb
from dragoman.v1 import translation_pb2_grpc as pb_grpc

pytestmark = pytest.mark.asyncio

SMALL = Path(__file__).parents[2] / "models/en-pt"
REPLACEMENTS = int(os.environ.get("REPLACEMENTS", "50"))
CALLERS, GROWTH, PATIENCE_S = 6, 1.05, 30
LOAD_S, REST_S = 5, 20


def put(folder: Path, number: int) -> None:
    """Another version takes the place of the last one at once: its limit differs, and so its digest."""
    coming = folder / f".{number}"
    shutil.copytree(SMALL, coming)
    manifest = json.loads((coming / "manifest.json").read_text())
    manifest["decoding"]["max_length"] -= number % 2
    (coming / "manifest.json").write_text(json.dumps(manifest))
    if (folder / "en-pt").exists():
        (folder / "en-pt").rename(folder / f".old{number}")
    coming.rename(folder / "en-pt")
    shutil.rmtree(folder / f".old{number}", ignore_errors=True)


async def served(stub: pb_grpc.TranslationServiceStub, before: set[str]) -> set[str]:
    """The digests that are served, once another than before is and no predecessor is left."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            models = (await stub.ListModels(pb.ListModelsRequest())).models
            digests = {model.digest for model in models}
            if digests != before and all(model.state == pb.MODEL_STATE_SERVING for model in models):
                return digests
            await asyncio.sleep(0.05)


async def at_rest(server: ServerProcess) -> tuple[int, int, int]:
    """Bytes, descriptors and threads when nothing is asked; of bytes the fewest, as memory is given back bit by bit."""
    sizes = []
    for _ in range(REST_S):
        await asyncio.sleep(1)
        sizes.append(server.resident())
    return min(sizes), server.descriptors(), server.threads()


async def test_a_bundle_is_replaced_under_load(fault, tmp_path):
    """No call fails, and memory is what it was before the first time, within 5 %; so are descriptors and threads."""
    row = fault(f"a bundle replaced {REPLACEMENTS} times under load")
    folder = tmp_path / "models"
    folder.mkdir()
    put(folder, 0)
    ends, goes_on = Counter[str](), True
    with serving(options=["--models", str(folder), "--look-s", "0.2"]) as server:
        async with server.channel() as channel:
            stub = pb_grpc.TranslationServiceStub(channel)

            async def call() -> None:
                while goes_on:
                    try:
                        answer = await stub.Translate(request(SENTENCES[0]), timeout=PATIENCE_S)
                        ends["OK" if answer.results[0].text else "empty"] += 1
                    except grpc.aio.AioRpcError as error:
                        ends[f"{error.code().name}: {error.details()}"] += 1

            digests, states = await served(stub, set()), []
            for numbers in (range(0), range(1, REPLACEMENTS + 1)):
                goes_on = True
                calls = [asyncio.create_task(call()) for _ in range(CALLERS)]
                await asyncio.sleep(LOAD_S)
                for number in numbers:
                    put(folder, number)
                    digests = await served(stub, digests)
                goes_on = False
                await asyncio.gather(*calls)
                states.append(await at_rest(server))

    (memory_before, files_before, threads_before), (memory, files, threads) = states
    row.happens = f"{dict(ends)}; {memory_before >> 20} MiB before, {memory >> 20} MiB in the end"
    row.happens += f"; descriptors {files_before} and {files}, threads {threads_before} and {threads}"
    row.lost = f"{ends.total() - ends['OK']} of {ends.total()} calls"
    assert set(ends) == {"OK"}
    assert memory <= GROWTH * memory_before
    assert (files, threads) <= (files_before, threads_before)
