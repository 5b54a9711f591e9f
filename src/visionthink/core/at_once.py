"""Many things to do, so many of them at once."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import TypeVar

T = TypeVar("T")


async def at_once(count: int, items: Iterable[T], work: Callable[[T], Awaitable[object]]) -> None:
    """Do `work` on each item, `count` of them at a time, taken in order and only when needed.

    The first error, or being cancelled, ends what is under way and is raised as it is.
    """
    waiting = iter(items)

    async def worker() -> None:
        for item in waiting:
            await work(item)

    tasks = [asyncio.create_task(worker()) for _ in range(count)]
    try:
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
