"""Files that are replaced while they are followed, of which half is never read.

Somebody who writes into a file leaves half of it there for a while, and half of a list of rights can be a list of more
rights. So what lies there is read where nothing has happened to it for `STILL_S`: whoever writes for longer, renames.
What is no file is not opened: a named pipe would never end, and to open a device may do something.
"""

import os
import stat
import time
from collections.abc import Callable, Sequence
from pathlib import Path

STILL_S = 1.0
"""What has not changed for so long is whole, or as good as whole."""
MAX_BYTES = 1 << 20
"""No list of callers and no chain of certificates is larger."""
PATIENCE_S = 10.0
"""How long the first reading waits for files that change."""
_LOOK_S = 0.05

Stamp = tuple[tuple[int, int, int, int, int], ...]


class Followed:
    """Files that belong together. Used from a thread at a time.

    `clock` never goes back, `now` is the time of day: whether a file is still is seen by either, as its own times are
    those of whoever has it.
    """

    def __init__(
        self,
        paths: Sequence[Path],
        *,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], float] = time.time,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.paths = tuple(paths)
        self._clock, self._now, self._sleep = clock, now, sleep
        self._read: Stamp | None = None
        self._seen: Stamp | None = None
        self._seen_s = clock()

    def __repr__(self) -> str:
        return f"<Followed {', '.join(map(str, self.paths))}>"

    def first(self) -> list[bytes]:
        """What they hold, once they lie still; raises what is wrong with them."""
        for path in self.paths:
            os.stat(path)  # what is missing is not waited for
        until_s = self._clock() + PATIENCE_S
        while (contents := self.changed()) is None:
            if self._clock() > until_s:
                raise ValueError(f"{', '.join(map(str, self.paths))}: changing all the time")
            self._sleep(_LOOK_S)
        return contents

    def changed(self) -> list[bytes] | None:
        """What they hold where that has changed and lies still, else None.

        Raises OSError or ValueError where it cannot be read; each state of the files is read once.
        """
        stamp, newest_s = self._look()
        if stamp == self._read:
            return None
        clock_s = self._clock()
        if stamp != self._seen:
            self._seen, self._seen_s = stamp, clock_s
        if clock_s - self._seen_s < STILL_S and self._now() - newest_s < STILL_S:
            return None
        before, self._read = self._read, stamp
        contents = [_content(path) for path in self.paths]
        if self._look()[0] != stamp:  # what is seen then is read when it lies still
            self._read = before
            return None
        return contents

    def _look(self) -> tuple[Stamp, float]:
        """What changes with the files, be they written, renamed or linked anew, and when that happened last.

        Nothing where one is missing, which is only known to last by looking again.
        """
        try:
            found = [os.stat(path) for path in self.paths]
        except OSError:
            return (), self._now()
        stamp = tuple((one.st_dev, one.st_ino, one.st_size, one.st_mtime_ns, one.st_ctime_ns) for one in found)
        return stamp, max((one.st_ctime for one in found), default=0.0)


def _content(path: Path) -> bytes:
    _check(path, os.stat(path))
    # A pipe may have come in its place: one that is opened so makes nobody wait.
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | getattr(os, "O_NONBLOCK", 0))
    with os.fdopen(descriptor, "rb") as file:
        _check(path, os.fstat(descriptor))
        content = file.read(MAX_BYTES + 1)
    if len(content) > MAX_BYTES:
        raise ValueError(f"{path} has more than {MAX_BYTES} bytes")
    return content


def _check(path: Path, status: os.stat_result) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise ValueError(f"{path} is not a file, but {_kind(status.st_mode)}")


def _kind(mode: int) -> str:
    kinds = {stat.S_IFDIR: "a directory", stat.S_IFIFO: "a named pipe", stat.S_IFSOCK: "a socket"}
    return kinds.get(stat.S_IFMT(mode), "a device")
