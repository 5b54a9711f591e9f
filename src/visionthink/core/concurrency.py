"""Run a coroutine over items with bounded concurrency."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import TypeVar

T = TypeVar("T")


async def run_bounded(
    count: int, items: Iterable[T], work: Callable[[T], Awaitable[object]]
) -> None:
    """Run `work` on each item, at most `count` at a time; items are taken in order, when needed.

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
