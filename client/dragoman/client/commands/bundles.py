"""`dragoman bundles`: which bundles a running server serves, and others instead."""

import argparse
import dataclasses
import json
import os
import sys
from collections.abc import Sequence

from dragoman.client.bundles import DEFAULT_ADMIN, Bundles, ServedBundle
from dragoman.client.commands import server_argument
from dragoman.client.commands.models import table
from dragoman.client.errors import DragomanError, Unavailable

HEADER = ("MODEL", "VERSION", "STATE", "DIRECTORY")
VARIABLE = "DRAGOMAN_ADMIN"


def register(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.epilog = "The server needs --admin-listen. Without an action the bundles are listed."
    action = parser.add_mutually_exclusive_group()
    action.add_argument("--load", metavar="DIR", help="serve this directory's bundle, in place of an earlier version")
    action.add_argument("--unload", metavar="MODEL", help="serve this model no more")
    action.add_argument("--refresh", action="store_true", help="look for changed bundles now")
    parser.add_argument(
        "--version", metavar="VERSION", help="which version to unload (default: the one that came last)"
    )
    server_argument.register(parser, variable=VARIABLE, default=DEFAULT_ADMIN)
    parser.add_argument("--json", action="store_true", help="one JSON object a bundle")


def run(args: argparse.Namespace) -> int:
    """Do what is asked for, and list what is there; the process's exit code."""
    if sys.stdout is None:
        print("dragoman bundles: the standard output is closed", file=sys.stderr)
        return 2
    if args.version and not args.unload:
        print("dragoman bundles: --version is for --unload: give both", file=sys.stderr)
        return 2
    args.server = args.server or os.environ.get(VARIABLE) or DEFAULT_ADMIN
    try:
        where = server_argument.connection_of(args)
        with Bundles(where.server, credentials=where.credentials) as bundles:
            listed = _done(bundles, args)
    except Unavailable as error:
        print(f"dragoman bundles: {args.server} does not answer: {error}", file=sys.stderr)
        return 1
    except (DragomanError, OSError) as error:
        print(f"dragoman bundles: {error}", file=sys.stderr)
        return 1
    for line in map(_json, listed) if args.json else table([HEADER, *map(_row, listed)]):
        print(line)
    for one in listed:
        if one.problem:
            print(f"{one.directory}: {one.problem}", file=sys.stderr)
    return 0


def _done(bundles: Bundles, args: argparse.Namespace) -> Sequence[ServedBundle]:
    if args.load:
        bundles.load(os.path.abspath(args.load))
    elif args.unload:
        bundles.unload(args.unload, args.version or "")
    return bundles.refresh() if args.refresh else bundles.list()


def _json(bundle: ServedBundle) -> str:
    return json.dumps(dataclasses.asdict(bundle), ensure_ascii=False)


def _row(bundle: ServedBundle) -> tuple[str, ...]:
    return bundle.model or "-", bundle.version or "-", bundle.state, bundle.directory
