"""Threads for what is done once in a while: they end with it, so that a server at rest has no more than before."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")


async def on_a_thread(name: str, work: Callable[[], T]) -> T:
    """What some work returns, or raises; it is done on a thread that has this name."""
    executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix=name)
    try:
        return await asyncio.get_running_loop().run_in_executor(executor, work)
    finally:
        executor.shutdown(wait=False)
