"""Turns of callers at what does one thing at a time: however much one of them asks, each other waits for one of its."""

import asyncio
from collections import OrderedDict, deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class Turns:
    """One holder at a time, of one event loop; callers take turns, and what one asks comes in its order."""

    def __init__(self) -> None:
        self._waiting: OrderedDict[str, deque[asyncio.Future[None]]] = OrderedDict()
        self._is_taken, self._last = False, ""

    def __repr__(self) -> str:
        return f"<Turns {sum(map(len, self._waiting.values()))} waiting>"

    @asynccontextmanager
    async def of(self, caller: str) -> AsyncIterator[None]:
        """Held from the caller's turn on."""
        if self._is_taken:
            await self._turn(caller)
        self._is_taken, self._last = True, caller
        try:
            yield
        finally:
            self._pass_on()

    async def _turn(self, caller: str) -> None:
        turn = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(caller, deque()).append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():  # it had come, and nobody takes it
                self._pass_on()
            raise

    def _pass_on(self) -> None:
        if self._last in self._waiting:
            self._waiting.move_to_end(self._last)
        while self._waiting:
            caller, turns = self._waiting.popitem(last=False)
            turn = turns.popleft()
            if turns:
                self._waiting[caller] = turns
            if not turn.done():
                turn.set_result(None)
                return
        self._is_taken = False
