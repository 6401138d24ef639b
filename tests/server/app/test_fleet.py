"""Bundles come and go while a server runs."""

import asyncio
import gc
import shutil
import threading
import weakref
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from dragoman.bundle.manifest import Decoding
from dragoman.server.app import fleet, garbage
from dragoman.server.core.errors import Draining, StartError, UnknownModel
from dragoman.server.testing import FakeLanes, write_bundle
from dragoman.v1 import translation_pb2 as pb
from dragoman.v1 import translation_pb2_grpc as pb_grpc

pytestmark = pytest.mark.asyncio(loop_scope="session")

Serve = Callable[..., Awaitable[Any]]


@pytest.fixture(autouse=True)
def _gone_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fleet, "MISSING_S", 0.0)


def write(directory: Path, name: str = "echo", length: int = 64) -> str:
    """A bundle, another version for each length; its version."""
    if directory.exists():
        shutil.rmtree(directory)
    return write_bundle(directory, name=name, decoding=Decoding(max_length=length)).version


def versions(served: Any) -> list[tuple[str, str]]:
    return [(pipeline.name, pipeline.version) for pipeline in served.app.models]


async def settled(served: Any) -> None:
    """Until nothing leaves any more."""
    while served.app.models.leaving:
        await asyncio.sleep(0.01)


async def test_a_folder_is_followed(serve: Serve, tmp_path: Path) -> None:
    """What comes is served, what changes is replaced, what goes is not served any more; versions lie side by side."""
    first = write(tmp_path / "echo")
    (tmp_path / ".partial").mkdir()
    served = await serve(models=str(tmp_path), look_s=0)
    assert versions(served) == [("echo", first)]

    old, new = write(tmp_path / "other/1", "other"), write(tmp_path / "other/2", "other", 32)
    await served.app.fleet.look()
    assert versions(served) == [("echo", first), ("other", new), ("other", old)]

    second = write(tmp_path / "echo", length=48)
    shutil.rmtree(tmp_path / "other/2")
    await served.app.fleet.look()
    await settled(served)
    assert versions(served) == [("echo", second), ("other", old)]
    assert served.value("dragoman_bundles", state="serving") == 2
    assert served.app.models.named("other").version == old


async def test_what_cannot_be_served_changes_nothing(serve: Serve, tmp_path: Path) -> None:
    """A bundle that is broken, half copied or emptied is told of once, and taken up when it is whole."""
    first = write(tmp_path / "echo")
    served = await serve(models=str(tmp_path), look_s=0)

    vocabulary = tmp_path / "echo/vocabulary.spm"
    vocabulary.write_bytes(vocabulary.read_bytes()[:-1])
    (tmp_path / "echo/manifest.json").touch()
    await served.app.fleet.look()
    assert versions(served) == [("echo", first)]
    assert served.value("dragoman_bundles", state="failed") == 1
    [berth] = served.app.fleet.berths
    assert "vocabulary.spm" in berth.problem

    for file in (tmp_path / "echo").iterdir():
        file.unlink()
    await served.app.fleet.look()
    assert versions(served) == [("echo", first)]

    second = write(tmp_path / "echo", length=48)
    await served.app.fleet.look()
    await settled(served)
    assert versions(served) == [("echo", second)]
    assert served.value("dragoman_bundles", state="failed") == 0


async def test_a_replacement_fails_no_call(serve: Serve, tmp_path: Path) -> None:
    """Calls that are under way are answered by the version that they reached, new ones by the new one."""
    first = write(tmp_path / "echo")
    served = await serve(models=str(tmp_path), look_s=0)
    held = served.lanes
    held.hold()
    request = pb.TranslateRequest(texts=[pb.Text(text="The dog.")])

    async with grpc.aio.insecure_channel(served.target) as channel:
        stub = pb_grpc.TranslationServiceStub(channel)
        under_way = asyncio.ensure_future(stub.Translate(request))
        await asyncio.to_thread(held.wait_until, 1)
        second = write(tmp_path / "echo", length=48)
        await served.app.fleet.look()

        states = {model.version: model.state for model in (await stub.ListModels(pb.ListModelsRequest())).models}
        assert states == {second: pb.MODEL_STATE_SERVING, first: pb.MODEL_STATE_DRAINING}
        assert served.value("dragoman_bundles", state="draining") == 1
        held.release()
        assert (await under_way).model_version == first
        assert (await stub.Translate(request)).model_version == second
        await settled(served)
        assert [model.version for model in (await stub.ListModels(pb.ListModelsRequest())).models] == [second]


async def test_a_bundle_that_is_held_for_a_moment_is_let_go(
    serve: Serve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever held it when it was closed: it refers to itself, and is not kept as what is there for good."""
    write(tmp_path / "echo")
    served = await serve(models=str(tmp_path), look_s=0)
    monkeypatch.setattr(garbage, "gc", gc)
    monkeypatch.setattr(garbage, "PAUSES_S", (0.02, 0.1, 0.5))
    [held] = served.app.models
    held.itself, old = held, weakref.ref(held)
    write(tmp_path / "echo", length=48)
    await served.app.fleet.look()
    await settled(served)
    await asyncio.sleep(0.03)

    del held
    async with asyncio.timeout(10):
        while old() is not None:
            await asyncio.sleep(0.01)


async def test_health_follows_what_is_served(serve: Serve, tmp_path: Path) -> None:
    """A server without any bundle waits, and is not ready; a model that has gone is not serving."""
    served = await serve(models=str(tmp_path), look_s=0.02)

    async with grpc.aio.insecure_channel(served.target) as channel:
        stub = health_pb2_grpc.HealthStub(channel)

        async def is_serving(name: str) -> bool:
            try:
                answer = await stub.Check(health_pb2.HealthCheckRequest(service=name))
            except grpc.aio.AioRpcError:  # not known yet
                return False
            return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)

        async def until(name: str, *, serving: bool) -> None:
            while await is_serving(name) != serving:
                await asyncio.sleep(0.01)

        await until("", serving=False)
        write(tmp_path / "echo")
        await until("model/echo", serving=True)
        await until("", serving=True)
        write(tmp_path / "other", "other")
        await until("model/other", serving=True)
        shutil.rmtree(tmp_path / "echo")
        await until("model/echo", serving=False)
        await until("", serving=True)
        assert await is_serving("liveness")


async def test_a_bundle_is_loaded_and_unloaded_by_name(serve: Serve, tmp_path: Path) -> None:
    """Wherever it lies; one that was unloaded stays away until it is asked for again."""
    first, other = write(tmp_path / "first"), write(tmp_path / "other", "other")
    served = await serve(tmp_path / "first", look_s=0)

    await served.app.fleet.load(tmp_path / "other")
    assert versions(served) == [("echo", first), ("other", other)]
    await served.app.fleet.unload("echo")
    await served.app.fleet.look()
    assert versions(served) == [("other", other)]
    await served.app.fleet.load(tmp_path / "first")
    assert versions(served) == [("echo", first), ("other", other)]
    with pytest.raises(UnknownModel):
        await served.app.fleet.unload("nobody")
    with pytest.raises(UnknownModel):
        await served.app.fleet.unload("echo", "0")
    with pytest.raises(Exception, match="no such directory"):
        await served.app.fleet.load(tmp_path / "missing")


async def test_the_same_bundle_twice_is_refused(serve: Serve, tmp_path: Path) -> None:
    """At the start, and later with what was served going on."""
    write(tmp_path / "one")
    shutil.copytree(tmp_path / "one", tmp_path / "two")
    with pytest.raises(StartError, match="two bundles are echo"):
        await serve(tmp_path / "one", tmp_path / "two")
    with pytest.raises(StartError, match=r"--models .*missing: no such directory"):
        await serve(models=str(tmp_path / "missing"))

    served = await serve(models=str(tmp_path), look_s=0)
    assert len(served.app.models) == 1
    assert served.value("dragoman_bundles", state="failed") == 1


async def test_a_bundle_that_is_copied_file_by_file_is_served_when_it_is_whole(serve: Serve, tmp_path: Path) -> None:
    """The manifest may come first, and never change again."""
    version = write(tmp_path / "elsewhere/echo")
    (tmp_path / "models/echo").mkdir(parents=True)
    served = await serve(models=str(tmp_path / "models"), look_s=0)
    names = sorted((file.name for file in (tmp_path / "elsewhere/echo").iterdir()), key="manifest.json".__ne__)
    for name in names:
        assert versions(served) == []
        shutil.copy(tmp_path / "elsewhere/echo" / name, tmp_path / "models/echo" / name)
        await served.app.fleet.look()

    assert versions(served) == [("echo", version)]
    assert served.value("dragoman_bundles", state="failed") == 0


async def test_a_directory_may_be_renamed(serve: Serve, tmp_path: Path) -> None:
    """To a name that comes before or behind; its bundle is the same, and is served all the same."""
    version = write(tmp_path / "m")
    served = await serve(models=str(tmp_path), look_s=0)
    for old, new in (("m", "a"), ("a", "z")):
        (tmp_path / old).rename(tmp_path / new)
        await served.app.fleet.look()
        assert versions(served) == [("echo", version)]


async def test_a_folder_that_is_away_takes_nothing_with_it(serve: Serve, tmp_path: Path) -> None:
    """As after an unmounted volume; what changed is taken up when it is back."""
    first = write(tmp_path / "models/echo")
    served = await serve(models=str(tmp_path / "models"), look_s=0)
    (tmp_path / "models").rename(tmp_path / "away")
    await served.app.fleet.look()
    assert versions(served) == [("echo", first)]
    (tmp_path / "away").rename(tmp_path / "models")
    second = write(tmp_path / "models/echo", length=48)
    await served.app.fleet.look()
    assert versions(served) == [("echo", second)]


@pytest.mark.parametrize("name", ["x\0y", "x" * 300])
async def test_a_name_that_no_directory_can_have_spoils_nothing(serve: Serve, tmp_path: Path, name: str) -> None:
    """The operator is told, and the folder is followed as before."""
    served = await serve(models=str(tmp_path), look_s=0)
    with pytest.raises(Exception, match="directory"):
        await served.app.fleet.load(tmp_path / name)
    version = write(tmp_path / "echo")
    await served.app.fleet.look()

    assert versions(served) == [("echo", version)]
    assert len(served.app.fleet.berths) == 1


async def test_links_within_the_folder_are_followed(serve: Serve, tmp_path: Path) -> None:
    """As Kubernetes mounts files (NAME leads to ..data/NAME), and as git-sync and people name a current version."""
    first, second = write(tmp_path / "models/..1/echo"), write(tmp_path / "models/..2/echo", length=48)
    (tmp_path / "models/..data").symlink_to("..1")
    (tmp_path / "models/echo").symlink_to("..data/echo")
    write(tmp_path / "models/other/v1", "other")
    (tmp_path / "link").symlink_to("models")
    served = await serve(models=str(tmp_path / "link"), look_s=0)
    assert ("echo", first) in versions(served)
    assert len(versions(served)) == 2

    (tmp_path / "models/..tmp").symlink_to("..2")
    (tmp_path / "models/..tmp").rename(tmp_path / "models/..data")
    await served.app.fleet.look()
    await settled(served)
    assert ("echo", second) in versions(served)
    assert served.value("dragoman_bundles", state="failed") == 0


@pytest.mark.parametrize("name", ["stray", "folder/stray"])
async def test_a_link_that_leads_out_of_the_folder_is_not_followed(
    serve: Serve, tmp_path: Path, caplog: pytest.LogCaptureFixture, name: str
) -> None:
    """It is told once, and counted; what is served from there goes on, and the others come and go as before."""
    write(tmp_path / "elsewhere/echo", "secret")
    first = write(tmp_path / "models/echo")
    link = tmp_path / "models" / name
    link.parent.mkdir(exist_ok=True)
    link.symlink_to(tmp_path / "elsewhere/echo")
    caplog.set_level("ERROR", "dragoman")
    served = await serve(models=str(tmp_path / "models"), look_s=0)
    await served.app.fleet.look()
    assert versions(served) == [("echo", first)]
    assert served.value("dragoman_bundles", state="failed") == 1
    [told] = caplog.records
    assert f"a link that leads out of {tmp_path / 'models'}, to {tmp_path / 'elsewhere/echo'}" in str(vars(told))

    (tmp_path / "models/echo").rename(tmp_path / "elsewhere/moved")
    (tmp_path / "models/echo").symlink_to(tmp_path / "elsewhere/moved")
    other = write(tmp_path / "models/other", "other")
    await served.app.fleet.look()
    assert versions(served) == [("echo", first), ("other", other)]
    assert served.value("dragoman_bundles", state="failed") == 2

    link.unlink()
    (tmp_path / "models/echo").unlink()
    second = write(tmp_path / "models/echo", length=48)
    await served.app.fleet.look()
    await settled(served)
    assert versions(served) == [("echo", second), ("other", other)]
    assert served.value("dragoman_bundles", state="failed") == 0


async def test_an_operator_may_load_what_lies_elsewhere(serve: Serve, tmp_path: Path) -> None:
    """By its own path: it is the folder that leads nowhere else."""
    version = write(tmp_path / "elsewhere/echo")
    (tmp_path / "models").mkdir()
    served = await serve(models=str(tmp_path / "models"), look_s=0)
    await served.app.fleet.load(tmp_path / "elsewhere/echo")

    assert versions(served) == [("echo", version)]


async def test_a_load_that_nobody_waits_for_is_closed_when_it_is_there(
    serve: Serve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server has stopped meanwhile, within its time, and takes no more changes."""
    served = await serve(drain_grace_s=0.05)
    app, started, going_on, closed = served.app, threading.Event(), threading.Event(), threading.Event()
    lanes = FakeLanes()
    close = lanes.close
    monkeypatch.setattr(lanes, "close", lambda: (close(), closed.set()))

    def slow(*_: object) -> FakeLanes:
        started.set()
        going_on.wait()
        return lanes

    monkeypatch.setattr(app, "_lanes_of", slow)
    write(tmp_path / "other", "other")
    load = asyncio.create_task(app.fleet.load(tmp_path / "other"))
    await asyncio.to_thread(started.wait)
    await app.stop()
    with pytest.raises(asyncio.CancelledError):
        await load
    with pytest.raises(Draining):
        await app.fleet.load(tmp_path / "other")
    assert not await app.fleet.close()
    assert not closed.is_set()

    going_on.set()
    assert await asyncio.to_thread(closed.wait, 10)
    assert await app.fleet.close(10)
