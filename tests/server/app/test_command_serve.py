"""`dragoman serve`: what it takes, and what it says when it serves."""

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Callable

import pytest

from dragoman.bundle.reader import Bundle
from dragoman.server.app import command_serve
from dragoman.server.app.app import App
from dragoman.server.testing import FakeLanes


class ServesOnce(App):
    """A server that stops as soon as it has said where it is."""

    async def run(self, announce: Callable[[], None]) -> int:
        await self.start()
        announce()
        await self.stop()
        return 0


def arguments(*given: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    command_serve.register(parser)
    return parser.parse_args(given)


def test_threads_let_each_other_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server does so ten times as often as Python does by itself."""
    before = sys.getswitchinterval()
    monkeypatch.setattr(command_serve.allocator, "set_up", lambda: None)
    try:
        assert command_serve.run(arguments()) == 1  # there is no bundle
        assert sys.getswitchinterval() == command_serve.SWITCH_S < before
    finally:
        sys.setswitchinterval(before)


def test_print_config_shows_and_stops(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Each option with its value and origin; nothing is served."""
    monkeypatch.setenv("DRAGOMAN_MAX_BATCH", "7")

    assert command_serve.run(arguments("--lanes", "3", "--print-config")) == 0

    printed = capsys.readouterr().out
    assert "lanes = 3  # --lanes\n" in printed
    assert "max-batch = 7  # DRAGOMAN_MAX_BATCH\n" in printed
    assert 'listen = "127.0.0.1:50051"  # default\n' in printed


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (["--lanes", "x"], "--lanes: 'x' is not a whole number"),
        ([], "no bundle to serve: name at least one directory"),
        (["/nowhere"], "/nowhere: no such directory"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(capsys: pytest.CaptureFixture[str], given: list[str], message: str) -> None:
    """Exit code 1 and no traceback."""
    assert command_serve.run(arguments(*given)) == 1

    error = capsys.readouterr().err
    assert error.startswith(f"dragoman serve: {message}")
    assert "Traceback" not in error


@pytest.fixture
def announced(
    bundle: Bundle, lanes: FakeLanes, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Callable[..., str]:
    """Runs the command with the given arguments; what it prints."""

    def run(*given: str) -> str:
        monkeypatch.setattr(command_serve, "App", lambda options: ServesOnce(options, lambda bundle, observer: lanes))
        monkeypatch.setattr(command_serve, "disable_created_metrics", lambda: None)  # it holds for the whole process
        free = ("--metrics-listen", "127.0.0.1:0")
        assert command_serve.run(arguments(str(bundle.directory), *free, *given)) == 0
        return capsys.readouterr().out

    return run


def test_people_are_told_what_is_served_where_and_how_to_call_it(announced: Callable[..., str], bundle: Bundle) -> None:
    """With the port that was taken, and an address that a client can reach."""
    model, place, hint = announced("--listen", "0.0.0.0:0", "--plaintext", "any", "--lanes", "2").splitlines()

    port = place.split()[1].rpartition(":")[2]
    assert model == f"serving echo  en-pt  fp32  version {bundle.digest[:12]}"
    assert place.startswith(f"on 0.0.0.0:{port} with 2 lanes; metrics on http://127.0.0.1:")
    assert hint == f'try: dragoman translate --server 127.0.0.1:{port} --from en --to pt "Hello, world!"'


def test_programs_are_told_the_same_as_json(announced: Callable[..., str], bundle: Bundle) -> None:
    """In one line."""
    [line] = announced("--listen", "127.0.0.1:0", "--json").splitlines()

    facts = json.loads(line)
    assert facts["models"] == [{"name": "echo", "version": bundle.digest[:12], "pairs": ["en-pt"]}]
    assert facts["listen"].startswith("127.0.0.1:")
    assert facts["metrics_listen"].startswith("127.0.0.1:")
    assert "0" not in (facts["listen"].rpartition(":")[2], facts["metrics_listen"].rpartition(":")[2])


def test_standard_files_that_are_closed_are_opened_on_nothing() -> None:
    """So that no connection gets the number that messages are printed to."""
    program = """
import os
from dragoman.server.app import command_serve
os.close(0)
os.close(2)
command_serve._open_standard_files()
print(*(os.path.samestat(os.fstat(number), os.stat(os.devnull)) for number in range(3)))
"""
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True, env=environ, check=True)

    assert done.stdout == "True False True\n"
