"""`dragoman serve`: serve bundles over gRPC until a signal says stop."""

import os

# gRPC's core writes to standard error by itself, a line for each client that fails to greet, and waits where nobody
# reads. It looks at this as it is imported.
os.environ.setdefault("GRPC_VERBOSITY", "NONE")

import argparse
import asyncio
import json
import logging
import sys

from prometheus_client import disable_created_metrics

from dragoman.server.app import allocator
from dragoman.server.app.app import App
from dragoman.server.app.option_parsing import Loaded, add_flags, load
from dragoman.server.app.serve_options import ServeOptions
from dragoman.server.core import logs
from dragoman.server.core.addresses import split_address
from dragoman.server.core.errors import StartError
from dragoman.server.core.log_writer import LogWriter

_logger = logging.getLogger(__name__)
SWITCH_S = 0.0005
"""After so long a thread that runs Python lets another go on. A call waits for that ten times: with Python's own 5 ms
it took 50 ms longer wherever a text was prepared beside it."""
_LAST_LINES_S = 1.0
"""How long the log has to take its last lines."""

DESCRIPTION = """\
Serve bundles over gRPC, and their metrics over HTTP.

Each option has an environment variable and a key in a TOML file (--config); a flag wins over the variable, the
variable over the file. SIGTERM and SIGINT drain: requests in flight are finished, new ones refused. A second signal
ends at once.
"""


def register(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.description = DESCRIPTION
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    add_flags(parser, ServeOptions)
    parser.add_argument("--json", action="store_true", help="print what is served, and where, as one line of JSON")


def run(args: argparse.Namespace) -> int:
    """Serve; the process's exit code."""
    _open_standard_files()
    try:
        loaded = load(ServeOptions, vars(args))
        if args.print_config:
            print(loaded)
            return 0
        allocator.set_up()
        sys.setswitchinterval(SWITCH_S)
        return asyncio.run(_serve(loaded, as_json=args.json))
    except StartError as error:
        print(f"dragoman serve: {error}", file=sys.stderr)
        return 1


async def _serve(loaded: Loaded[ServeOptions], *, as_json: bool) -> int:
    options = loaded.values
    # Half of all series would be times of creation, which Prometheus has no use for.
    disable_created_metrics()  # type: ignore[no-untyped-call]
    lines = LogWriter(_lines_dropped)
    logs.configure(options.log_level, options.log_format, lines)
    app = App(options)
    try:
        return await app.run(lambda: _print(_facts(app) if as_json else _announcement(app)))
    finally:
        lines.settle(_LAST_LINES_S)


def _open_standard_files() -> None:
    """Let no connection have the number of a standard file that was closed: what is printed would go there."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # the lowest number that is free


def _lines_dropped(number: int) -> None:
    logs.event(_logger, logging.WARNING, "log_lines_dropped", lines=number)


def _print(text: str) -> None:
    """Say on standard output what is served. Where that cannot be written, the server serves all the same."""
    try:
        print(text, flush=True)
    except OSError as error:
        logs.event(_logger, logging.WARNING, "output_not_written", reason=error.strerror)
        # What is left in its buffer would fail again at the end, and with it the exit code.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _addresses(app: App) -> tuple[str, str]:
    """Where gRPC and HTTP are served, with the ports that were taken."""
    grpc_host = app.options.listen.rpartition(":")[0]
    http_host = app.options.metrics_listen.rpartition(":")[0]
    return f"{grpc_host}:{app.port}", f"{http_host}:{app.metrics_port}"


def _facts(app: App) -> str:
    listen, metrics_listen = _addresses(app)
    models = [
        {"name": pipeline.name, "version": pipeline.version, "pairs": list(pipeline.directions.names)}
        for pipeline in app.models
    ]
    return json.dumps({"listen": listen, "metrics_listen": metrics_listen, "models": models})


def _announcement(app: App) -> str:
    """What is served, where, and how to call it."""
    listen, metrics_listen = _addresses(app)
    lines = [
        f"serving {model.name}  {model.directions}  {model.bundle.manifest.precision}  version {model.version}"
        for model in app.models
    ]
    lines.append(f"on {listen} with {app.options.num_lanes} lanes; metrics on http://{metrics_listen}/metrics")
    if not len(app.models):
        return "\n".join([*lines, f"no bundle yet: waiting for one in {app.options.models}"])
    first = next(iter(app.models)).directions.first
    host, port = split_address(listen)
    target = f"127.0.0.1:{port}" if host in ("0.0.0.0", "::") else listen  # noqa: S104 - compared, not listened on
    lines.append(f'try: dragoman translate --server {target} --from {first.source} --to {first.target} "Hello, world!"')
    return "\n".join(lines)
