"""Who is let in by a token, and for how long."""

import asyncio
import hashlib
import os
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import grpc
import pytest

from dragoman.server.core.errors import ServingError, StartError, TooManyCalls, Unauthenticated
from dragoman.server.core.segments import Priority
from dragoman.server.transport import doors as doors_module
from dragoman.server.transport import followed
from dragoman.server.transport.callers import ANYBODY
from dragoman.server.transport.doors import Doors
from dragoman.v1 import translation_pb2 as pb
from dragoman.v1 import translation_pb2_grpc as pb_grpc


def row(name: str, *tokens: str, more: str = "") -> str:
    hashes = [hashlib.sha256(token.encode()).hexdigest() for token in tokens]
    return f"[{name}]\nsha256 = {hashes}\n{more}\n"


def bearer(token: str) -> tuple[tuple[str, str]]:
    return (("authorization", f"Bearer {token}"),)


class Clock:
    """The doors' time of day, which a test moves."""

    def __init__(self) -> None:
        self.ahead = timedelta()

    def now(self, zone: timezone) -> datetime:
        return datetime.now(zone) + self.ahead


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(doors_module, "datetime", clock)
    return clock


SOON = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
"""When no test runs any more."""


def _enters(doors: Doors, token: str) -> bool:
    try:
        with doors.entered(bearer(token)):
            return True
    except ServingError:
        return False


def test_without_a_file_everybody_comes_in() -> None:
    """A token that somebody sends all the same is not looked at."""
    with Doors().entered(bearer("x")) as visit:
        assert visit.caller is ANYBODY


@pytest.mark.parametrize(
    "metadata",
    [
        (),
        (("authorization", "x"),),
        (("authorization", "Basic x"),),
        (("authorization", "Bearer "),),
        (*bearer("x"), *bearer("x")),
        bearer("y"),
        (("authorization-bin", b"Bearer x"),),
    ],
)
def test_who_has_no_token_stays_outside(tmp_path: Path, metadata: tuple[tuple[str, str | bytes], ...]) -> None:
    """None, none in the right form, two, or one that is not known; no message repeats it."""
    (tmp_path / "tokens").write_text(row("a", "x") + row("b", ""))

    with pytest.raises(Unauthenticated) as refused, Doors(str(tmp_path / "tokens")).entered(metadata):
        pass
    assert "Bearer x" not in str(refused.value)


def test_a_changed_file_holds_from_the_next_look_on(tmp_path: Path) -> None:
    """A token that was taken out is refused, a new one is let in; a file that is broken or gone changes nothing."""
    path = tmp_path / "tokens"
    path.write_text(row("a", "old"))
    doors = Doors(str(path))

    def enters(*tokens: str) -> list[bool]:
        doors.look()
        return [_enters(doors, token) for token in tokens]

    assert enters("old", "new") == [True, False]
    path.write_text(row("a", "new") + row("b", "other"))
    assert enters("old", "new", "other") == [False, True, True]
    for broken in (b"[a", b"", b"\xff", row("a", "new").encode() + b"x" * 2**20):
        path.write_bytes(broken)
        assert enters("old", "new", "other") == [False, True, True]
    path.unlink()
    assert enters("new") == [True]
    path.write_text(row("a", "old"))
    assert enters("old", "new") == [True, False]


def test_half_a_file_widens_no_rights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first lines of a table are a table, too, and what they do not say is allowed: they are not read."""
    monkeypatch.setattr(followed, "STILL_S", 60.0)
    path = tmp_path / "tokens"
    path.write_text(row("a", "x", more='models = ["m"]\nmax_priority = "batch"'))
    monkeypatch.setattr(followed, "STILL_S", 0.0)
    doors = Doors(str(path))
    monkeypatch.setattr(followed, "STILL_S", 60.0)

    with path.open("w") as file:
        file.write(row("a", "x"))
        file.flush()
        for _ in range(3):
            doors.look()
            with doors.entered(bearer("x")) as visit:
                assert (visit.caller.models, visit.caller.max_priority) == (frozenset("m"), Priority.BATCH)
        file.write('models = ["n"]\nmax_priority = "normal"\n')
    monkeypatch.setattr(followed, "STILL_S", 0.0)
    doors.look()
    with doors.entered(bearer("x")) as visit:
        assert (visit.caller.models, visit.caller.max_priority) == (frozenset("n"), Priority.NORMAL)


def test_what_is_no_file_starts_no_server(tmp_path: Path) -> None:
    """A named pipe makes nobody wait."""
    os.mkfifo(tmp_path / "pipe")

    with pytest.raises(StartError, match=r"--tokens .*pipe is not a file, but a named pipe"):
        Doors(str(tmp_path / "pipe"))


async def _outcome(doors: Doors, token: str, over: asyncio.Event) -> str:
    """How a call ends that goes on until it is over."""
    try:
        with doors.entered(bearer(token), asyncio.current_task()):
            await over.wait()
    except ServingError as error:
        return error.outcome
    return "ok"


@pytest.mark.asyncio(loop_scope="session")
async def test_calls_whose_tokens_are_good_no_more_end(tmp_path: Path, clock: Clock) -> None:
    """Those that were taken out, have expired or are no operator's any more; the others go on."""
    path, over = tmp_path / "tokens", asyncio.Event()
    others = row("b", "y", more="is_operator = true") + row("d", "w", more="is_operator = true")
    expiring = row("c", "z", more=f"is_operator = true\nexpires = {SOON}")
    path.write_text(row("a", "x", more="is_operator = true") + others + expiring)
    doors = Doors(str(path), for_operators=True)
    calls = [asyncio.create_task(_outcome(doors, token, over)) for token in "xyzw"]
    await asyncio.sleep(0)
    doors.sweep()
    path.write_text(row("b", "y") + row("d", "w", more="is_operator = true") + expiring)
    doors.look()
    doors.sweep()
    await asyncio.sleep(0.01)
    assert [call.done() for call in calls] == [True, True, False, False]
    clock.ahead = timedelta(hours=1)
    doors.sweep()
    over.set()

    assert await asyncio.gather(*calls) == ["unauthenticated", "forbidden", "unauthenticated", "ok"]


@pytest.mark.asyncio(loop_scope="session")
async def test_a_call_that_its_client_has_cancelled_is_cancelled(tmp_path: Path) -> None:
    """Only what the doors have ended themselves ends as their error."""
    path, over = tmp_path / "tokens", asyncio.Event()
    path.write_text(row("a", "x"))
    call = asyncio.create_task(_outcome(Doors(str(path)), "x", over))
    await asyncio.sleep(0)
    call.cancel()

    with pytest.raises(asyncio.CancelledError):
        await call


@pytest.mark.asyncio(loop_scope="session")
async def test_a_call_under_way_may_do_what_its_caller_may_now(tmp_path: Path) -> None:
    """A pipe's next message goes by the rights of its moment; its place among its caller's calls is given back."""
    path = tmp_path / "tokens"
    path.write_text(row("a", "x", more="max_calls = 1"))
    doors = Doors(str(path))

    with doors.entered(bearer("x")) as visit:
        assert visit.caller.max_priority is Priority.INTERACTIVE
        path.write_text(
            row("b", "x", more='max_calls = 1\nmax_priority = "batch"') + row("a", "y", more="max_calls = 1")
        )
        doors.look()
        doors.sweep()
        assert (visit.caller.name, visit.caller.max_priority) == ("b", Priority.BATCH)
        assert not _enters(doors, "y")
    assert _enters(doors, "y")


def test_nothing_interrupts_an_answer_on_its_way_out(tmp_path: Path) -> None:
    """A call that is ended meanwhile ends when the answer is out, and takes nothing new."""
    path = tmp_path / "tokens"
    path.write_text(row("a", "x"))
    doors = Doors(str(path))

    with doors.entered(bearer("x")) as visit:
        visit.is_away = True
        path.write_text(row("a", "y"))
        doors.look()
        doors.sweep()
        with pytest.raises(Unauthenticated):
            assert visit.caller
        with pytest.raises(Unauthenticated):
            visit.back()


def test_a_file_that_cannot_be_read_is_no_open_door(tmp_path: Path) -> None:
    """The server does not start."""
    with pytest.raises(StartError, match=r"--tokens .*missing"):
        Doors(str(tmp_path / "missing"))


def test_a_caller_has_no_more_calls_under_way_than_it_may(tmp_path: Path) -> None:
    """Others are not counted; a call that has ended, however, makes room."""
    (tmp_path / "tokens").write_text(row("a", "x", more="max_calls = 2") + row("b", "y", more="max_calls = 1"))
    doors = Doors(str(tmp_path / "tokens"))

    with ExitStack() as calls:
        calls.enter_context(doors.entered(bearer("x")))
        with pytest.raises(RuntimeError), doors.entered(bearer("x")):
            raise RuntimeError
        calls.enter_context(doors.entered(bearer("x")))
        with pytest.raises(TooManyCalls, match="2 calls of a are under way"), doors.entered(bearer("x")):
            pass
        calls.enter_context(doors.entered(bearer("y")))
    with doors.entered(bearer("x")):
        pass


@pytest.mark.asyncio(loop_scope="session")
async def test_a_server_with_tokens_serves_who_has_one(serve, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Health needs none. A model that is not for the caller is not there for it, nor is a priority above its own."""
    more = 'models = ["echo"]\nmax_priority = "batch"'
    (tmp_path / "tokens").write_text(row("mail", "post", more=more) + row("none", "no", more='models = ["other"]'))
    caplog.set_level("DEBUG", "dragoman")
    served = await serve(tokens=str(tmp_path / "tokens"))
    message = pb.TranslateRequest(texts=[pb.Text(text="The dog.")])

    async with grpc.aio.insecure_channel(served.target) as channel:
        stub = pb_grpc.TranslationServiceStub(channel)

        async def code(message: pb.TranslateRequest, token: str | None) -> str:
            try:
                await stub.Translate(message, metadata=bearer(token) if token else ())
            except grpc.aio.AioRpcError as error:
                return error.code().name
            return "OK"

        assert await code(message, None) == await code(message, "wrong") == "UNAUTHENTICATED"
        assert await code(message, "post") == "OK"
        assert await code(message, "no") == "NOT_FOUND"
        normal = pb.TranslateRequest(texts=message.texts, priority=pb.PRIORITY_NORMAL)
        assert await code(normal, "post") == "PERMISSION_DENIED"
        assert [segment.priority for segment in served.lanes.submitted] == [Priority.BATCH]
        listed = await stub.ListModels(pb.ListModelsRequest(), metadata=bearer("no"))
        assert not listed.models
        health = channel.unary_unary("/grpc.health.v1.Health/Check")
        assert await health(b"") == b"\x08\x01"

    def calls(caller: str, code: str) -> float:
        return served.value("dragoman_caller_calls_total", caller=caller, grpc_code=code)

    assert (calls("mail", "OK"), calls("mail", "PERMISSION_DENIED"), calls("_none", "UNAUTHENTICATED")) == (1, 1, 2)
    assert not any("post" in str(vars(record)) or "wrong" in str(vars(record)) for record in caplog.records)


@pytest.mark.asyncio(loop_scope="session")
@pytest.mark.parametrize("is_removed", [True, False])
async def test_a_stream_ends_with_its_token(serve, tmp_path: Path, clock: Clock, is_removed: bool) -> None:
    """Be it removed or expired: a pipe that waits for its client, and a stream that waits for lanes, are told so."""
    path, next_path = tmp_path / "tokens", tmp_path / "next"
    path.write_text(row("mail", "post", more=f"expires = {SOON}") + row("other", "other"))
    served = await serve(tokens=str(path))
    text = pb.Text(text="The dog.")

    async with grpc.aio.insecure_channel(served.target) as channel:
        stub = pb_grpc.TranslationServiceStub(channel)
        pipe = stub.TranslatePipe(metadata=bearer("post"))
        await pipe.write(pb.TranslatePipeRequest(settings=pb.TranslateRequest(), texts=[text]))
        assert (await pipe.read()).results[0].text == "The dog."
        served.lanes.hold()
        request = pb.TranslateStreamRequest(request=pb.TranslateRequest(texts=[text]))
        stream = stub.TranslateStream(request, metadata=bearer("post"))
        good = stub.Translate(request.request, metadata=bearer("other"))
        await asyncio.to_thread(served.lanes.wait_until, 2)
        if is_removed:
            next_path.write_text(row("other", "other"))
            next_path.rename(path)
        else:
            clock.ahead = timedelta(hours=1)

        for call in (pipe, stream):
            with pytest.raises(grpc.aio.AioRpcError) as ended:
                await asyncio.wait_for(call.read(), 10)
            assert ended.value.code() is grpc.StatusCode.UNAUTHENTICATED
        served.lanes.release()
        assert (await good).results[0].text == "The dog."

    assert served.outcomes() == {"ok": 2, "unauthenticated": 1}
    assert served.value("dragoman_caller_calls_total", caller="mail", grpc_code="UNAUTHENTICATED") == 2


@pytest.mark.asyncio(loop_scope="session")
async def test_every_method_has_the_same_priorities(serve, tmp_path: Path) -> None:
    """Unset it is the caller's own at most, one that is set and above it is refused: of texts, of pairs, of a pipe."""
    (tmp_path / "tokens").write_text(row("mail", "post", more='max_priority = "batch"'))
    served = await serve(tokens=str(tmp_path / "tokens"))
    text, pair = pb.Text(text="The dog."), pb.ScorePair(source="The dog.", target="A fox.")

    async with grpc.aio.insecure_channel(served.target) as channel:
        stub = pb_grpc.TranslationServiceStub(channel)

        async def outcome(priority: pb.Priority, method: str) -> str:
            translate = pb.TranslateRequest(texts=[text], priority=priority)
            settings = pb.TranslateRequest(priority=priority)
            try:
                match method:
                    case "Translate":
                        await stub.Translate(translate, metadata=bearer("post"))
                    case "TranslateStream":
                        stream = stub.TranslateStream(
                            pb.TranslateStreamRequest(request=translate), metadata=bearer("post")
                        )
                        await stream.read()
                    case "Score":
                        await stub.Score(pb.ScoreRequest(pairs=[pair], priority=priority), metadata=bearer("post"))
                    case _:
                        pipe = stub.TranslatePipe(metadata=bearer("post"))
                        await pipe.write(pb.TranslatePipeRequest(settings=settings, texts=[text]))
                        await pipe.read()
            except grpc.aio.AioRpcError as error:
                return error.code().name
            return served.lanes.submitted[-1].priority.name

        for method in ("Translate", "TranslateStream", "Score", "TranslatePipe"):
            outcomes = [await outcome(priority, method) for priority in pb.Priority.values()]
            assert outcomes == ["BATCH", "PERMISSION_DENIED", "PERMISSION_DENIED", "BATCH"], method
