"""The way from lanes to an event loop: what many answers of one step have to say wakes it once."""

import asyncio
from collections import deque
from collections.abc import Callable
from contextlib import suppress

Work = Callable[[], None]


class Mailbox:
    """Has work done on an event loop, soon. From any thread."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self._work: deque[Work] = deque()
        self._is_awake = False

    def __repr__(self) -> str:
        return f"<Mailbox {len(self._work)} to do>"

    def put(self, work: Work) -> None:
        """Have it done; never, where the loop is closed: nobody listens then."""
        self._work.append(work)
        if not self._is_awake:
            self._is_awake = True
            with suppress(RuntimeError):
                self.loop.call_soon_threadsafe(self._take)

    def _take(self) -> None:
        self._is_awake = False  # first: what is put from here on wakes the loop again
        while self._work:
            self._work.popleft()()
