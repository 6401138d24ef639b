"""A real `dragoman serve` in a process of its own, and what can be seen of it from outside."""

from __future__ import annotations

import json
import os
import resource
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import grpc
from prometheus_client.parser import text_string_to_metric_families

COMMAND = (sys.executable, "-c", "from dragoman.cli.main import main; raise SystemExit(main())")
CGROUPS = Path("/sys/fs/cgroup")
VERSION_1 = "memory.limit_in_bytes", "memory.memsw.limit_in_bytes"
VERSION_2 = "memory.max", "memory.swap.max"
"""Files of a control group: memory, and memory and swap, or swap alone."""
START_S = 60.0

# The server looks for its limit where a container's own control group is mounted.
SEE_LIMIT = """
mount -t tmpfs none /sys/fs/cgroup && mkdir /sys/fs/cgroup/memory && echo $0 > /sys/fs/cgroup/memory.max &&
echo $0 > /sys/fs/cgroup/memory/memory.limit_in_bytes && exec "$@"
"""


class RefusedToServe(Exception):
    """The process ended before it was ready."""

    def __init__(self, exit_code: int, log: str) -> None:
        super().__init__(f"ended with {exit_code} before it was ready: {log[-2000:]}")
        self.exit_code, self.log = exit_code, log


class ServerProcess:
    """What is asked of it over HTTP, and what /proc says."""

    def __init__(self, process: subprocess.Popen[bytes], facts: Mapping[str, Any], log: Path) -> None:
        self.process, self.pid = process, process.pid
        self.address, self.metrics_address = facts["listen"], facts["metrics_listen"]
        self._log = log
        self.limit_is = "no limit"

    def log(self) -> str:
        """What it has written to stderr, where that is the harness's file."""
        return self._log.read_text("utf-8", "replace")

    def channel(self, **options: Any) -> grpc.aio.Channel:
        """A connection that is shared with nobody."""
        given = {"grpc.use_local_subchannel_pool": 1, **options}
        return grpc.aio.insecure_channel(self.address, options=list(given.items()))

    def is_alive(self) -> bool:
        """Whether the process has not ended."""
        return self.process.poll() is None

    def fate(self) -> str:
        """In words."""
        code = self.process.poll()
        if code is None:
            return "alive"
        return f"killed by {signal.Signals(-code).name}" if code < 0 else f"ended with {code}"

    def get(self, path: str, timeout_s: float = 5.0) -> tuple[int, str]:
        """A page of the metrics port: status, 0 where none came in time, and content."""
        try:
            with urllib.request.urlopen(f"http://{self.metrics_address}{path}", timeout=timeout_s) as answer:
                return int(answer.status), answer.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()
        except OSError as error:
            return 0, str(error)

    def total(self, metric: str, **labels: str) -> float:
        """The sum of a metric's series that have these labels."""
        status, page = self.get("/metrics", timeout_s=20)
        if status != 200:
            raise OSError(f"/metrics answered {status}: {page}")
        return sum(
            sample.value
            for family in text_string_to_metric_families(page)
            for sample in family.samples
            if sample.name == metric and labels.items() <= sample.labels.items()
        )

    def _status(self, key: str) -> int:
        text = Path(f"/proc/{self.pid}/status").read_text("ascii", "replace")
        return next((int(line.split()[1]) for line in text.splitlines() if line.startswith(f"{key}:")), 0)

    def resident(self) -> int:
        """Bytes in memory now."""
        return 1024 * self._status("VmRSS")

    def peak(self) -> int:
        """Most bytes in memory since the start, or since `forget_peak`."""
        return 1024 * self._status("VmHWM")

    def address_space(self) -> int:
        """Bytes of all mappings."""
        return 1024 * self._status("VmSize")

    def threads(self) -> int:
        """Threads now."""
        return self._status("Threads")

    def forget_peak(self) -> None:
        """`peak` begins anew."""
        Path(f"/proc/{self.pid}/clear_refs").write_text("5", "ascii")

    def descriptors(self) -> int:
        """Open files and connections."""
        return len(os.listdir(f"/proc/{self.pid}/fd"))

    def cpu_s(self) -> float:
        """Seconds of processor time used so far."""
        fields = Path(f"/proc/{self.pid}/stat").read_text("ascii", "replace").rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@contextmanager
def serving(
    *bundles: Path | str,
    options: Sequence[str] = (),
    environment: Mapping[str, str] | None = None,
    limits: Mapping[int, int] | None = None,
    memory: int | None = None,
    processors: Collection[int] = (),
    stderr: int | None = None,
) -> Iterator[ServerProcess]:
    """Serve until the end of the block, and kill what is left then.

    `limits` are those of `resource`. `memory` is a limit in bytes: a control group where one can be made, else the
    server only sees it, and `peak` says whether it was kept.
    """
    command = [*COMMAND, "serve", *map(str, bundles), "--json"]
    command += ["--listen", "127.0.0.1:0", "--metrics-listen", "127.0.0.1:0", *options]
    group = _memory_group(memory) if memory else None
    sees = memory is not None and group is None and os.geteuid() == 0 and shutil.which("unshare") is not None
    if sees:
        command = ["unshare", "--mount", "--propagation", "private", "sh", "-c", SEE_LIMIT, str(memory), *command]

    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "stderr"
        with log.open("wb") as file:
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=file if stderr is None else stderr,
                env={**os.environ, **(environment or {})},
            )
        try:
            # From here and not by the child before it runs: a fork of this process would have gRPC's threads in it.
            if group is not None:
                (group / "cgroup.procs").write_text(str(process.pid), "ascii")
            if processors:
                os.sched_setaffinity(process.pid, processors)
            for kind, number in (limits or {}).items():
                resource.prlimit(process.pid, kind, (number, number))
            server = ServerProcess(process, _facts(process, log), log)
            if memory is not None:
                server.limit_is = "a cgroup" if group else "peak RSS, limit seen" if sees else "peak RSS, limit unseen"
            yield server
        finally:
            for number in (signal.SIGCONT, signal.SIGKILL):
                with suppress(ProcessLookupError):
                    process.send_signal(number)
            process.wait()
            assert process.stdout is not None
            process.stdout.close()
            if group is not None:
                group.rmdir()


def _facts(process: subprocess.Popen[bytes], log: Path) -> Any:
    """What the server says of itself when it is ready."""
    assert process.stdout is not None
    line, end_s = b"", time.monotonic() + START_S
    while not line.endswith(b"\n"):
        ready, _, _ = select.select([process.stdout], [], [], max(0.0, end_s - time.monotonic()))
        more = os.read(process.stdout.fileno(), 65_536) if ready else b""
        if not more:
            code = process.wait() if ready else -1
            raise RefusedToServe(code, log.read_text("utf-8", "replace"))
        line += more
    return json.loads(line)


def _memory_group(limit: int) -> Path | None:
    """A control group of either version with this limit; None where this process cannot make one."""
    for line in Path("/proc/self/cgroup").read_text("ascii").splitlines():
        _, controllers, own = line.split(":", 2)
        if controllers in ("", "memory"):
            root, limits = (CGROUPS / controllers, VERSION_1) if controllers else (CGROUPS, VERSION_2)
            group = root / own.lstrip("/") / f"faults-{os.getpid()}-{time.monotonic_ns()}"
            if (group.parent / "cgroup.procs").exists():
                with suppress(OSError):
                    return _limited(group, limit, limits)
    return None


def _limited(group: Path, limit: int, limits: Sequence[str]) -> Path:
    group.mkdir()
    try:
        (group / limits[0]).write_text(str(limit), "ascii")
    except OSError:
        group.rmdir()
        raise
    with suppress(OSError):  # where no swapping is counted, there is none
        (group / limits[1]).write_text("0" if limits is VERSION_2 else str(limit), "ascii")
    return group
