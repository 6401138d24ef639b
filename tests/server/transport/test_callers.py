"""Who is let in by which token, and what its holder may do."""

import hashlib
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path

import grpc
import pytest

from dragoman.server.core.errors import StartError, TooManyCalls, Unauthenticated
from dragoman.server.core.segments import Priority
from dragoman.server.transport.callers import ANYBODY, Doors, read_callers
from dragoman.v1 import translation_pb2 as pb
from dragoman.v1 import translation_pb2_grpc as pb_grpc

NOW = datetime(2026, 6, 1, tzinfo=UTC)


def row(name: str, *tokens: str, more: str = "") -> str:
    hashes = [hashlib.sha256(token.encode()).hexdigest() for token in tokens]
    return f"[{name}]\nsha256 = {hashes}\n{more}\n"


def bearer(token: str) -> tuple[tuple[str, str]]:
    return (("authorization", f"Bearer {token}"),)


def test_a_token_is_its_callers_and_no_other_is_anybodys() -> None:
    """Either of two while one replaces the other; a prefix, a longer one, a hash, an empty one are nobody's."""
    callers = read_callers(row("search", "old", "new") + row("mail", "post"))

    assert len(callers) == 2
    assert [getattr(callers.named(token, NOW), "name", None) for token in ("old", "new", "post")] == [
        "search",
        "search",
        "mail",
    ]
    strangers = ["", "ol", "older", "OLD", hashlib.sha256(b"old").hexdigest(), "\udc80"]
    assert not any(callers.named(token, NOW) for token in strangers)


def test_a_row_says_what_its_caller_may() -> None:
    """Each key is read, and what is not said is allowed."""
    more = 'models = ["a", "b"]\nmax_priority = "normal"\nmax_calls = 3\nexpires = 2026-06-02T00:00:00Z'
    bound = read_callers(row("bound", "x", more=more)).named("x", NOW)
    free = read_callers(row("free", "y")).named("y", NOW)

    assert bound is not None
    assert free is not None
    assert (bound.models, bound.max_priority, bound.max_calls) == (frozenset("ab"), Priority.NORMAL, 3)
    assert (free.models, free.max_priority, free.max_calls) == (None, Priority.INTERACTIVE, None)


def test_a_token_is_good_until_it_expires() -> None:
    """To the second, whatever zone the time is written in."""
    callers = read_callers(row("a", "x", more="expires = 2026-06-01T02:00:00+02:00"))

    assert callers.named("x", datetime(2026, 5, 31, 23, 59, 59, tzinfo=UTC))
    assert callers.named("x", NOW) is None


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "nobody could call"),
        ("a = 1", r"\[a\]: a caller is a table"),
        ("[a", "not TOML"),
        ("x = " + "[" * 10_000, "not TOML"),
        ("[a]", r"\[a\] sha256: one or several"),
        ("[a]\nsha256 = []", r"\[a\] sha256: one or several"),
        ('[a]\nsha256 = "secret"', r"\[a\] sha256: one or several"),
        ('["a b"]\nsha256 = "00"', "a name of letters"),
        (row("a", "x") + row("b", "x"), r"\[b\] has a token of \[a\]"),
        (row("a", "x", more="model = 'm'"), r"unknown model; there are expires, is_operator, max_calls, max_pri"),
        (row("a", "x", more="models = 'm'"), "models: a list"),
        (row("a", "x", more="max_priority = 'urgent'"), "max_priority: one of interactive, normal, batch"),
        (row("a", "x", more="max_calls = 0"), "max_calls: a whole number"),
        (row("a", "x", more="max_calls = true"), "max_calls: a whole number"),
        (row("a", "x", more="is_operator = 1"), "is_operator: true or false"),
        (row("a", "x", more="expires = 2027-01-01"), "expires: a time with its zone"),
        (row("a", "x", more="expires = 2027-01-01T00:00:00"), "expires: a time with its zone"),
    ],
)
def test_a_file_with_an_error_says_which(text: str, reason: str) -> None:
    """A key that is not known is one: it may have been meant to forbid something."""
    with pytest.raises(ValueError, match=reason):
        read_callers(text)


def test_without_a_file_everybody_comes_in() -> None:
    """A token that somebody sends all the same is not looked at."""
    with Doors().entered(bearer("x")) as caller:
        assert caller is ANYBODY


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


def test_a_changed_file_holds_at_the_next_call(tmp_path: Path) -> None:
    """A token that was taken out is refused, a new one is let in; a file that is broken or gone changes nothing."""
    path = tmp_path / "tokens"
    path.write_text(row("a", "old"))
    doors = Doors(str(path))

    def enters(token: str) -> bool:
        try:
            with doors.entered(bearer(token)):
                return True
        except Unauthenticated:
            return False

    assert (enters("old"), enters("new")) == (True, False)
    path.write_text(row("a", "new") + row("b", "other"))
    assert (enters("old"), enters("new"), enters("other")) == (False, True, True)
    path.write_text("[a")
    assert (enters("new"), enters("other")) == (True, True)
    path.unlink()
    assert enters("new")
    path.write_text(row("a", "old"))
    assert (enters("old"), enters("new")) == (True, False)


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
