"""`dragoman models`: what a server holds."""

import argparse
import dataclasses
import json
import sys
from collections.abc import Sequence

from dragoman.client.client import Client
from dragoman.client.commands import server_argument
from dragoman.client.commands.server_argument import connection_of, server_of
from dragoman.client.errors import DragomanError, Unavailable
from dragoman.client.types import Model

HEADER = ("NAME", "VERSION", "PAIRS", "ENGINES", "PRECISION", "STATE")


def register(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    server_argument.register(parser)
    parser.add_argument("--json", action="store_true", help="one JSON object a model, with all that is known about it")


def run(args: argparse.Namespace) -> int:
    """List the models; the process's exit code."""
    if sys.stdout is None:
        print("dragoman models: the standard output is closed", file=sys.stderr)
        return 2
    try:
        where = connection_of(args)
        with Client(where.server, credentials=where.credentials) as client:
            models = client.list_models()
    except Unavailable as error:
        print(f"dragoman models: {server_of(args.server)} does not answer: {error}", file=sys.stderr)
        return 1
    except (DragomanError, OSError) as error:
        print(f"dragoman models: {error}", file=sys.stderr)
        return 1
    for line in map(_json, models) if args.json else table([HEADER, *map(_row, models)]):
        print(line)
    return 0


def _json(model: Model) -> str:
    return json.dumps(dataclasses.asdict(model), ensure_ascii=False)


def _row(model: Model) -> tuple[str, ...]:
    pairs, engines = ",".join(map(str, model.language_pairs)), ",".join(model.engines)
    if model.source_languages:
        pairs = f"{len(model.source_languages)} into {len(model.target_languages)} languages"
    return (model.name, model.version, pairs or "-", engines or "-", model.precision or "-", model.state)


def table(rows: Sequence[tuple[str, ...]]) -> list[str]:
    """The rows with their columns under each other."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
