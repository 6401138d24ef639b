"""The `dragoman` command: what it loads, and how it ends."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dragoman.cli.main import COMMANDS, Command, main

Install = Callable[[str], Command]
RUN = "import sys; from dragoman.cli.main import main; sys.exit(main())"


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Install:
    """Makes a command of a module's source text."""
    monkeypatch.syspath_prepend(tmp_path)

    def write(source: str) -> Command:
        name = f"a_command_{len(list(tmp_path.iterdir()))}"
        (tmp_path / f"{name}.py").write_text(source)
        monkeypatch.delitem(sys.modules, name, raising=False)
        return Command("play", "plays", name, "cpu")

    return write


def start(*arguments: str, **options: Any) -> subprocess.Popen[bytes]:
    """The command in a process of its own."""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path), "PYTHONWARNINGS": "error"}
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.Popen([sys.executable, "-c", RUN, *arguments], env=environment, **{**pipes, **options})


def test_a_command_gets_its_arguments_and_gives_the_exit_code(install: Install) -> None:
    """What `register` declares, `run` reads, and what it returns is the exit code."""
    command = install("def register(parser): parser.add_argument('--code', type=int)\ndef run(args): return args.code")

    assert main(["play", "--code", "7"], [command]) == 7


def test_only_the_chosen_command_is_loaded(install: Install) -> None:
    """A command that is broken or heavy costs the others nothing."""
    broken = Command("other", "is broken", install("raise RuntimeError").module, "cpu")
    command = install("def register(parser): pass\ndef run(args): return 0")

    assert main(["play"], [broken, command]) == 0


@pytest.mark.parametrize(
    "source",
    [
        "import no_such_library\ndef register(parser): pass",
        "def register(parser): pass\ndef run(args): import no_such_library.deep",
    ],
    ids=["when it is loaded", "when it runs"],
)
def test_a_missing_extra_is_named_with_the_way_to_install_it(
    install: Install, capsys: pytest.CaptureFixture[str], source: str
) -> None:
    """No traceback: what is missing, and the line that installs it."""
    assert main(["play"], [install(source)]) == 2
    assert capsys.readouterr().err == "dragoman play needs no_such_library: pip install 'dragoman[cpu]'\n"


def test_a_missing_module_of_dragoman_itself_is_a_defect(install: Install) -> None:
    """No extra would install it, so no advice hides it."""
    with pytest.raises(ModuleNotFoundError):
        main(["play"], [install("import dragoman.client.no_such_module")])


@pytest.mark.parametrize("arguments", [[], ["no-such-command"], ["--no-such-flag"]])
def test_bad_usage_ends_with_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """And says how it is used."""
    with pytest.raises(SystemExit) as caught:
        main(arguments)

    assert caught.value.code == 2
    assert capsys.readouterr().err.startswith("usage: dragoman")


def test_the_version_is_the_distributions(capsys: pytest.CaptureFixture[str]) -> None:
    """`dragoman --version` names the installed version."""
    with pytest.raises(SystemExit) as caught:
        main(["--version"])

    assert caught.value.code == 0
    assert capsys.readouterr().out == f"dragoman {importlib.metadata.version('dragoman')}\n"


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.name)
def test_every_command_of_the_table_exists(command: Command) -> None:
    """A name in the table leads to a module."""
    assert importlib.util.find_spec(command.module) is not None


def test_an_interrupt_ends_with_130(install: Install) -> None:
    """Ctrl-C is the user's wish and needs no traceback."""
    assert main(["play"], [install("def register(parser): pass\ndef run(args): raise KeyboardInterrupt")]) == 130


def test_ctrl_c_while_a_call_is_under_way_ends_quietly(fake: Any) -> None:
    """The process ends with 130 and prints nothing, though the server has not answered."""
    fake.reply = lambda request, context: fake.cancelled.wait(20)
    process = start("translate", "--server", fake.address, "hello")
    assert fake.arrived.acquire(timeout=20)

    process.send_signal(signal.SIGINT)

    assert process.communicate(timeout=20) == (b"", b"")
    assert process.returncode == 130
    fake.cancelled.set()


def test_a_reader_that_goes_away_ends_the_command_quietly(fake: Any) -> None:
    """As in `dragoman translate < book | head -1`: no traceback about a broken pipe."""
    with open(os.devnull, "wb") as nothing:
        process = start("translate", "--server", fake.address, *["a" * 100_000] * 4, stdin=nothing)
    assert process.stdout is not None
    assert process.stderr is not None
    with process:
        assert process.stdout.read(10) == b"A" * 10
        process.stdout.close()

        assert process.stderr.read() == b""
    assert process.returncode == 1


ONLY_THE_BASE_INSTALL = """
import importlib.abc, importlib.machinery, sys

class BaseInstall(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        # A folder of a namespace, as google and dragoman are, has no origin.
        spec = importlib.machinery.PathFinder.find_spec(name, path, target)
        installed = spec is not None and "site-packages" in (spec.origin or "")
        if installed and name.partition(".")[0] not in {"google", "grpc", "typing_extensions"}:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
        return None

sys.meta_path.insert(0, BaseInstall())
sys.argv = ["dragoman", *sys.argv[1:]]
from dragoman.cli.main import main
sys.exit(main())
"""


@pytest.mark.parametrize("missing", [False, True])
def test_translating_needs_nothing_but_grpcio_and_protobuf(fake: Any, tmp_path: Path, missing: bool) -> None:
    """With every other distribution out of reach a server is used, and --bundle says what to install."""
    where = ["--bundle", str(tmp_path)] if missing else ["--server", fake.address]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}

    done = subprocess.run(
        [sys.executable, "-c", ONLY_THE_BASE_INSTALL, "translate", *where, "hello"],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )

    if missing:
        assert (done.returncode, done.stdout) == (2, "")
        assert re.fullmatch(r"dragoman translate needs \w+: pip install 'dragoman\[cpu\]'\n", done.stderr)
    else:
        assert (done.returncode, done.stdout, done.stderr) == (0, "HELLO\n", "")
