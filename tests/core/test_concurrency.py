from __future__ import annotations

import asyncio
from collections.abc import Generator

import pytest

from visionthink.core.concurrency import run_bounded


class Bench:
    """Work that takes a few turns of the loop; knows what began, what ended, and the crowd."""

    def __init__(self, bad: int | None = None) -> None:
        self.bad = bad
        self.began: list[int] = []
        self.ended: list[int] = []
        self.taken: list[int] = []
        self.most = 0

    def items(self, count: int) -> Generator[int]:
        for item in range(count):
            self.taken.append(item)
            yield item

    async def work(self, item: int) -> None:
        self.began.append(item)
        self.most = max(self.most, len(self.began) - len(self.ended))
        try:
            for _ in range(1 + item % 3):
                await asyncio.sleep(0)
            if item == self.bad:
                raise KeyError(item)
        finally:
            self.ended.append(item)


def test_items_are_started_in_order_and_at_most_count_run_together():
    bench = Bench()
    asyncio.run(run_bounded(4, bench.items(20), bench.work))
    assert bench.began == list(range(20))
    assert sorted(bench.ended) == list(range(20))
    assert bench.most == 4


def test_fewer_items_than_the_bound():
    bench = Bench()
    asyncio.run(run_bounded(8, bench.items(3), bench.work))
    assert (bench.began, bench.most) == ([0, 1, 2], 3)


def test_no_items():
    bench = Bench()
    asyncio.run(run_bounded(2, [], bench.work))
    assert bench.began == []


def test_the_first_error_ends_the_rest():
    """Item 5 fails in its third turn; nobody takes items after it for long, and none is left."""
    bench = Bench(bad=5)
    with pytest.raises(KeyError):
        asyncio.run(run_bounded(2, bench.items(1000), bench.work))
    assert sorted(bench.ended) == sorted(bench.began)
    assert len(bench.taken) < 12


def test_cancelling_ends_all_work():
    bench = Bench()

    async def main() -> None:
        task = asyncio.create_task(run_bounded(3, bench.items(1000), bench.work))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert len(asyncio.all_tasks()) == 1

    asyncio.run(main())
    assert 0 < len(bench.began) < 1000
