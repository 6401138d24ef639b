"""The `dragoman` command: finds the subcommand and runs it, and loads nothing that the others need.

Exit codes: 0 done, 1 failed, 2 bad usage or something is not installed, 130 interrupted.
"""

import argparse
import importlib
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from typing import Protocol, cast

DONE, FAILED, BAD_USAGE, INTERRUPTED = 0, 1, 2, 130


@dataclass(frozen=True)
class Command:
    """A subcommand: its module has `register(parser)` and `run(args) -> int`."""

    name: str
    help: str
    module: str
    extra: str
    """The extra of the distribution that installs what the command needs beyond the base install."""


COMMANDS = (
    Command("translate", "translate texts, a file or a pipe", "dragoman.client.commands.translate", "cpu"),
    Command("score", "score given translations", "dragoman.client.commands.score", "cpu"),
    Command("models", "list the models that a server holds", "dragoman.client.commands.models", "cpu"),
    Command("bundles", "load bundles into a running server", "dragoman.client.commands.bundles", "cpu"),
    Command("bench", "put a load on a server and measure it", "dragoman.client.bench.command", "cpu"),
    Command("top", "show live what a server does", "dragoman.client.commands.top", "cpu"),
    Command("serve", "serve bundles over gRPC", "dragoman.server.app.command_serve", "cpu"),
    Command("export", "turn a trained checkpoint into a bundle", "dragoman.export.command", "cpu,export"),
    Command("distill", "train faster decoders for a model", "dragoman.export.distill.command", "cpu,export"),
    Command(
        "join", "put another bundle's decoder beside a bundle's own", "dragoman.export.joining.command", "cpu,export"
    ),
    Command("inspect", "verify a bundle and show what it holds", "dragoman.bundle.command_inspect", "cpu"),
    Command("probe", "learn what a bundle's model copies", "dragoman.export.probe.command", "cpu"),
    Command("evaluate", "measure a bundle's translations of a test set", "dragoman.server.app.command_evaluate", "cpu"),
)


class CommandModule(Protocol):
    """What a subcommand's module offers."""

    def register(self, parser: argparse.ArgumentParser) -> None:
        """Declare the command's arguments."""

    def run(self, args: argparse.Namespace) -> int:
        """Do it; the process's exit code."""


def main(argv: Sequence[str] | None = None, commands: Sequence[Command] = COMMANDS) -> int:
    """Run the command line; the process's exit code."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    named = next((argument for argument in arguments if not argument.startswith("-")), None)
    command = next((command for command in commands if command.name == named), None)
    try:
        code = _run(arguments, commands, command)
        if sys.stdout:  # None where it is closed
            sys.stdout.flush()  # here, where a reader that has gone away can still be met quietly
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        # The interpreter flushes once more at its end, which must find something to write to.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return FAILED
    except ModuleNotFoundError as error:
        if command is None or (error.name or "").partition(".")[0] == "dragoman":
            raise
        print(f"dragoman {command.name} needs {error.name}: pip install 'dragoman[{command.extra}]'", file=sys.stderr)
        return BAD_USAGE
    return code


def _run(arguments: list[str], commands: Sequence[Command], chosen: Command | None) -> int:
    parser = argparse.ArgumentParser(
        prog="dragoman",
        description="Serve trained translation models: export them, serve them, translate with them.",
        epilog="`dragoman COMMAND --help` describes a command.",
    )
    parser.add_argument("--version", action="version", version=f"dragoman {version('dragoman')}")
    subparsers = parser.add_subparsers(metavar="COMMAND", required=True)
    module: CommandModule | None = None
    for command in commands:
        subparser = subparsers.add_parser(command.name, help=command.help, description=command.help)
        if command is chosen:
            module = cast(CommandModule, importlib.import_module(command.module))
            module.register(subparser)
    args = parser.parse_args(arguments)
    assert module is not None  # argparse refuses a line without a command, and commands that are not in the table
    return module.run(args)
