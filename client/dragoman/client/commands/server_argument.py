"""Which server a command calls: `--server`, the environment, or the one on this machine."""

import os

from dragoman.cli.arguments import Arguments
from dragoman.client.channel import DEFAULT_SERVER

VARIABLE = "DRAGOMAN_SERVER"


def register(group: Arguments) -> None:
    """Declare the argument."""
    help_text = f"default: the variable {VARIABLE}, or else {DEFAULT_SERVER}"
    group.add_argument("--server", metavar="HOST:PORT", help=help_text)


def server_of(given: str | None) -> str:
    """The server that the argument names, or the environment, or else the default."""
    return given or os.environ.get(VARIABLE) or DEFAULT_SERVER
