"""Translating in this process."""

import signal
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from dragoman.bundle.errors import BundleMissing
from dragoman.bundle.reader import Bundle
from dragoman.server.app.translator import LocalTranslator
from dragoman.server.core.errors import EngineFailure, InvalidRequest
from dragoman.server.core.requests import DecodingOverrides, Splitting
from dragoman.server.testing import FakeLanes


def test_many_texts_are_translated_and_twice(bundle: Bundle) -> None:
    """More texts than a server would take at once, in order; the translator can be used again."""
    texts = [f"text {n}" for n in range(3000)]

    with LocalTranslator(bundle.directory, lanes=FakeLanes()) as translator:
        first = translator.translate(texts)
        second = translator.translate(["One. Two."], DecodingOverrides(beam_size=2), Splitting.NONE)

    assert [translation.text for translation in first] == texts
    assert second[0].segments == 1


def test_nothing_gives_nothing(bundle: Bundle) -> None:
    """No text is no error here."""
    with LocalTranslator(bundle.directory, lanes=FakeLanes()) as translator:
        assert translator.translate([]) == []


def test_a_bad_text_raises(bundle: Bundle) -> None:
    """In a program an error is an exception."""
    with (
        LocalTranslator(bundle.directory, lanes=FakeLanes()) as translator,
        pytest.raises(InvalidRequest, match=r"texts\[1\]\.text"),
    ):
        translator.translate(["fine", "half \udc00"])


@pytest.mark.parametrize("failure", [EngineFailure("node 7 of step.onnx"), KeyError("node 7 of step.onnx")])
def test_a_failing_engine_says_why(bundle: Bundle, failure: Exception) -> None:
    """There is no log in a program: the detail is in the message."""
    lanes = FakeLanes()
    lanes.failure = failure
    with (
        LocalTranslator(bundle.directory, lanes=lanes) as translator,
        pytest.raises(EngineFailure, match=r"^the engine failed on this text: .*node 7 of step\.onnx"),
    ):
        translator.translate(["fine"])


@pytest.mark.parametrize("thread", [threading.main_thread, threading.current_thread])
def test_ctrl_c_takes_a_text_out_of_the_lanes(bundle: Bundle, thread: Callable[[], threading.Thread]) -> None:
    """Who catches it and goes on finds the lanes free, and is answered; also where the loop's wait is not interrupted.

    A signal that comes just before the main thread waits interrupts as little as one that another thread meets.
    """
    lanes = FakeLanes()
    lanes.hold()

    def interrupt() -> None:
        lanes.wait_until(3)
        signal.pthread_kill(thread().ident or 0, signal.SIGINT)

    with LocalTranslator(bundle.directory, lanes=lanes) as translator:
        waiter = threading.Thread(target=interrupt)
        waiter.start()
        with pytest.raises(KeyboardInterrupt):
            translator.translate(["one", "two", "three"])
        waiter.join()

        assert lanes.waiting_segments == 0
        lanes.release()
        assert [one.text for one in translator.translate(["four"])] == ["four"]


def test_a_missing_bundle_is_said(tmp_path: Path) -> None:
    """Before anything is loaded."""
    with pytest.raises(BundleMissing, match="no such directory"):
        LocalTranslator(tmp_path / "none")
