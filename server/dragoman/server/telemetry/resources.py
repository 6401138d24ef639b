"""How much of what the server lives on is used, as Linux tells it."""

import ctypes
import os
import resource
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

from dragoman.server.telemetry import sockets

_PAGE = os.sysconf("SC_PAGE_SIZE")
_PROC = Path("/proc")
_CGROUPS = Path("/sys/fs/cgroup")
_UNLIMITED = 2**60
"""What cgroups of the first version say where there is no limit is larger than this."""
_CONNECTIONS_EVERY_S = 1.0
"""Counting them asks the kernel for each."""


def memory_share() -> float:
    """How much is used of the memory that there is: the cgroup's, the machine's or the address space, the tightest."""
    size, resident = (int(pages) * _PAGE for pages in (_PROC / "self/statm").read_text().split()[:2])
    address_space, _ = resource.getrlimit(resource.RLIMIT_AS)
    of_addresses = 0.0 if address_space == resource.RLIM_INFINITY else size / address_space
    return max(_of_cgroup(), resident / (resident + _available()), of_addresses)


def memory_limit() -> int:
    """Bytes of memory that this process may come to have: the tightest of its cgroups' limits, else the machine's."""
    return min([_meminfo("MemTotal:"), *(most for _, most, _, _ in _limited_cgroups())])


def resident_bytes() -> int:
    """Memory that this process has."""
    return int((_PROC / "self/statm").read_text().split()[1]) * _PAGE


def give_back() -> None:
    """Return to the system what the allocator keeps of what is free."""
    with suppress(OSError, AttributeError):  # not every C library has it
        ctypes.CDLL(None).malloc_trim(0)


def descriptors_share() -> float:
    """How many are open of the file descriptors that there may be."""
    most, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        # A descriptor more is open while they are counted.
        return (len(os.listdir(_PROC / "self/fd")) - 1) / most
    except OSError:
        return 1.0


def raise_descriptor_limit() -> int:
    """Take as many as the system allows; how many these are."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        with suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]


class Connections:
    """Established connections to a port of this process, counted at most once a second."""

    def __init__(self, port: Callable[[], int], limit: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._port, self._limit, self._clock = port, limit, clock
        self._counted_s = -_CONNECTIONS_EVERY_S
        self.number = 0

    def share(self) -> float:
        """How many are open of those that may be."""
        now_s = self._clock()
        if now_s - self._counted_s >= _CONNECTIONS_EVERY_S:
            self._counted_s = now_s
            with suppress(OSError):
                self.number = sum(1 for _ in sockets.established((self._port(),)))
        return self.number / self._limit


def _available() -> int:
    """Bytes of the machine's memory that nobody needs."""
    return _meminfo("MemAvailable:")


def _meminfo(name: str) -> int:
    with suppress(OSError):
        for line in (_PROC / "meminfo").read_text().splitlines():
            if line.startswith(name):
                return int(line.split()[1]) * 1024
    return _UNLIMITED


def _of_cgroup() -> float:
    """How much of the cgroup's memory is used, without what the kernel can drop: pages of files."""
    shares = [0.0]
    for folder, most, used, files in _limited_cgroups():
        with suppress(OSError, ValueError):
            stat = dict(line.split() for line in (folder / "memory.stat").read_text().splitlines())
            shares.append((int((folder / used).read_text()) - int(stat.get(files, 0))) / most)
    return max(shares)


def _limited_cgroups() -> Iterator[tuple[Path, int, str, str]]:
    """Folders of the process's cgroups and those around them, their limits, and where they say what is used.

    Inside a container the root is the container's own.
    """
    with suppress(OSError):
        for line in (_PROC / "self/cgroup").read_text().splitlines():
            _, controllers, path = line.split(":", 2)
            if not controllers:
                root, limit, used, files = _CGROUPS, "memory.max", "memory.current", "file"
            elif "memory" in controllers.split(","):
                root, limit = _CGROUPS / "memory", "memory.limit_in_bytes"
                used, files = "memory.usage_in_bytes", "total_cache"
            else:
                continue
            group = root / path.lstrip("/")
            for folder in (group, *group.parents) if group.is_dir() else (root,):
                if not folder.is_relative_to(root):
                    break
                with suppress(OSError, ValueError):
                    most = int((folder / limit).read_text())
                    if 0 < most < _UNLIMITED:
                        yield folder, most, used, files
