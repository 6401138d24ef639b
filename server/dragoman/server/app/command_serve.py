"""`dragoman serve`: serve bundles over gRPC until a signal says stop."""

import argparse
import asyncio
import json
import sys

from prometheus_client import disable_created_metrics

from dragoman.server.app.app import App
from dragoman.server.app.options import Loaded, add_flags, load
from dragoman.server.app.serve_options import ServeOptions
from dragoman.server.core import logs
from dragoman.server.core.addresses import split_address
from dragoman.server.core.errors import StartError

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
    try:
        loaded = load(ServeOptions, vars(args))
        if args.print_config:
            print(loaded)
            return 0
        return asyncio.run(_serve(loaded, as_json=args.json))
    except StartError as error:
        print(f"dragoman serve: {error}", file=sys.stderr)
        return 1


async def _serve(loaded: Loaded[ServeOptions], *, as_json: bool) -> int:
    options = loaded.values
    # Half of all series would be times of creation, which Prometheus has no use for.
    disable_created_metrics()  # type: ignore[no-untyped-call]
    logs.configure(options.log_level, options.log_format)
    app = App(options)
    return await app.run(lambda: print(_facts(app) if as_json else _announcement(app), flush=True))


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
