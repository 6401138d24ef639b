"""Which server a command calls, and how: by arguments, the environment, or else the one on this machine."""

import argparse
import os
from pathlib import Path

from dragoman.cli.arguments import Arguments
from dragoman.client.channel import DEFAULT_SERVER, Connection, connection
from dragoman.client.errors import InvalidRequest

VARIABLE, TOKEN_VARIABLE = "DRAGOMAN_SERVER", "DRAGOMAN_TOKEN"
NAMES = "server", "tls", "tls_ca", "tls_certificate", "tls_key", "token_file"


def register(group: Arguments, *, variable: str = VARIABLE, default: str = DEFAULT_SERVER) -> None:
    """Declare the arguments."""
    help_text = f"default: the variable {variable}, or else {default}"
    group.add_argument("--server", metavar="HOST:PORT", help=help_text)
    group.add_argument("--tls", action="store_const", const=True, help="encrypt, and believe whom this system believes")
    group.add_argument("--tls-ca", type=Path, metavar="FILE", help="encrypt, and believe who signs with these (PEM)")
    group.add_argument("--tls-certificate", type=Path, metavar="FILE", help="this client's certificate (PEM)")
    group.add_argument("--tls-key", type=Path, metavar="FILE", help="its key (PEM)")
    help_text = f"file with the token to call with (default: the variable {TOKEN_VARIABLE}, or none)"
    group.add_argument("--token-file", type=Path, metavar="FILE", help=help_text)


def server_of(given: str | None) -> str:
    """The server that the argument names, or the environment, or else the default."""
    return given or os.environ.get(VARIABLE) or DEFAULT_SERVER


def connection_of(args: argparse.Namespace) -> Connection:
    """What the arguments and the environment say; raises what is wrong with them."""
    server = server_of(args.server)
    if (args.tls_certificate is None) != (args.tls_key is None):
        raise InvalidRequest("--tls-certificate and --tls-key go together: give both or neither")
    is_encrypted = args.tls or args.tls_ca or args.tls_certificate
    token = os.environ.get(TOKEN_VARIABLE) or None
    if args.token_file:
        token = args.token_file.read_text("utf-8").strip()
    try:
        return connection(server, (args.tls_ca, args.tls_key, args.tls_certificate) if is_encrypted else None, token)
    except ValueError as error:
        raise InvalidRequest(f"{error} (--tls, --tls-ca)") from error
