"""Texts that are still being written, against a real socket."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest

from dragoman.client import (
    AsyncClient,
    Cancelled,
    Client,
    DeadlineExceeded,
    DragomanError,
    InvalidRequest,
    Options,
    ServerFault,
    Unavailable,
)
from dragoman.v1 import translation_pb2 as pb


def blocking(fake: Any, texts: list[tuple[str, bool]], **settings: Any) -> list[Any]:
    """What `Client.live` says of each, errors in their place."""
    said: list[Any] = []
    with Client(fake.address) as client, client.live(**settings) as live:
        for text, is_whole in texts:
            try:
                said.append(live.translate(text, is_whole=is_whole).text)
            except DragomanError as error:
                said.append((type(error), live.is_open))
    return said


def with_asyncio(fake: Any, texts: list[tuple[str, bool]], **settings: Any) -> list[Any]:
    """What `AsyncClient.live` says of each, errors in their place."""

    async def all_said() -> list[Any]:
        said: list[Any] = []
        async with AsyncClient(fake.address) as client, client.live(**settings) as live:
            for text, is_whole in texts:
                try:
                    said.append((await live.translate(text, is_whole=is_whole)).text)
                except DragomanError as error:
                    said.append((type(error), live.is_open))
        return said

    return asyncio.run(all_said())


both = pytest.mark.parametrize("spoken", [blocking, with_asyncio])


@both
def test_what_is_said_grows_with_the_text(spoken: Any, fake: Any) -> None:
    """Two texts on one pipe; settings travel once, and what is not asked for is not sent."""
    texts = [("The d", False), ("The dog i", False), ("The dog is.", True), ("", False), ("No", True)]

    said = spoken(fake, texts, options=Options(target_language="pt"), wait=3)

    assert said == ["THE", "THE DOG", "THE DOG IS.", "", "NO"]
    assert fake.piped[0].settings == pb.TranslateRequest(target_language="pt", live={"wait": 3})
    assert not any(message.HasField("settings") for message in fake.piped[1:])
    assert [(message.texts[0].text, message.is_whole) for message in fake.piped] == texts


@both
def test_without_a_wait_translations_have_to_agree(spoken: Any, fake: Any) -> None:
    """That is asked for, too: a pipe without `live` has texts that are whole."""
    spoken(fake, [("a", True)])

    assert fake.piped[0].settings == pb.TranslateRequest(live={})
    assert fake.piped[0].settings.HasField("live")


@both
def test_a_text_that_fails_leaves_the_pipe_open(spoken: Any, fake: Any) -> None:
    """What ends the pipe does not, and says so to each further text."""
    texts = [("bad", False), ("good", True), ("worse", False), ("good", True)]

    assert spoken(fake, texts) == [(InvalidRequest, True), "GOOD", (InvalidRequest, False), (Cancelled, False)]


@both
def test_a_pipe_that_ends_by_itself_is_a_fault(spoken: Any, fake: Any) -> None:
    """A server answers each text."""
    assert spoken(fake, [("end", True)]) == [(ServerFault, False)]


@both
def test_an_answer_that_takes_too_long_is_given_up(spoken: Any, fake: Any) -> None:
    """The server learns of it; a pipe as such has no limit."""
    texts = [("good", True), ("slow", False)]

    assert spoken(fake, texts, timeout_s=0.3) == ["GOOD", (DeadlineExceeded, False)]
    assert fake.cancelled.wait(10)


@both
def test_what_cannot_be_sent_is_refused_by_name(spoken: Any, fake: Any) -> None:
    """A number that no server can be asked for, or a text without UTF-8; nothing is sent."""
    assert spoken(fake, [("a", False)], wait=-1) == [(InvalidRequest, True)]
    assert spoken(fake, [("\ud800", False), ("a", True)]) == [(InvalidRequest, True), "A"]


@both
def test_a_server_that_is_not_there_is_unavailable(spoken: Any, fake: Any) -> None:
    """As for every other call."""
    fake.address = "127.0.0.1:1"

    assert spoken(fake, [("a", False)]) == [(Unavailable, False)]


def test_closing_ends_what_is_under_way(fake: Any) -> None:
    """From another thread; the server learns of it."""
    with Client(fake.address) as client:
        live = client.live()
        threading.Timer(0.2, live.close).start()
        with pytest.raises(Cancelled):
            live.translate("slow")

    assert repr(live) == "<LiveTranslation, ended>"
    assert fake.cancelled.wait(10)


def test_a_task_that_is_cancelled_ends_its_pipe(fake: Any) -> None:
    """And the server learns of it."""

    async def cancelled() -> None:
        async with AsyncClient(fake.address) as client, client.live() as live:
            task = asyncio.create_task(live.translate("slow"))
            while not fake.piped:
                await asyncio.sleep(0.01)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert not live.is_open

    asyncio.run(cancelled())
    assert fake.cancelled.wait(10)
