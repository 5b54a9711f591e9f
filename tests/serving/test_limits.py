from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

import pytest

from visionthink.serving.api_error import ApiError
from visionthink.serving.limits import Admission, Budget, Memory


async def settle() -> None:
    """Let all tasks run until they wait."""
    for _ in range(10):
        await asyncio.sleep(0)


class Guest:
    """Holds a share until `leave`."""

    def __init__(self, room: Budget, count: int, then: int | None = None) -> None:
        self.inside = False
        self._leave = asyncio.Event()
        self.task = asyncio.create_task(self._stay(room, count, then))

    async def _stay(self, room: Budget, count: int, then: int | None) -> None:
        async with room.share(count) as shrink:
            self.inside = True
            if then is not None:
                shrink(then)
            await self._leave.wait()
        self.inside = False

    async def leave(self) -> None:
        self._leave.set()
        await settle()


def run(story: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(story, 10))


def test_requests_wait_for_free_count_in_the_order_of_their_arrival():
    """Of 10: 6 and 3 are in, 1 is free; 5 waits, and 1 behind it although it would fit."""

    async def story() -> None:
        room = Budget(10)
        six, three, five, one = (Guest(room, count) for count in (6, 3, 5, 1))
        await settle()
        assert [g.inside for g in (six, three, five, one)] == [True, True, False, False]
        await three.leave()  # 4 are free
        assert not five.inside
        await six.leave()  # 10 are free: 5 and 1 come in
        assert (five.inside, one.inside, room.free) == (True, True, 4)
        await five.leave()
        await one.leave()
        assert room.free == 10

    run(story())


def test_shrinking_a_share_lets_the_next_request_in():
    async def story() -> None:
        room = Budget(10)
        first, second = Guest(room, 8, then=2), Guest(room, 8)
        await settle()
        assert (first.inside, second.inside, room.free) == (True, True, 0)
        await first.leave()
        assert room.free == 2
        await second.leave()
        assert room.free == 10

    run(story())


def test_small_requests_do_not_wait_for_large_ones():
    """Of 100 bytes, 25 are for those that need at most 10."""

    async def story() -> None:
        memory = Memory(100, small=10)
        async with memory.share(75):
            waiting = asyncio.create_task(enter(memory, 11))
            await settle()
            assert (waiting.done(), memory.waiting, memory.large.free) == (False, True, 0)
            async with memory.share(10), memory.share(10):
                assert memory.small.free == 5
        await waiting
        assert (memory.small.free, memory.large.free, memory.waiting) == (25, 75, False)

    run(story())


async def enter(memory: Memory, count: int) -> None:
    async with memory.share(count):
        pass


def test_a_request_for_more_than_there_is_gets_all():
    async def story() -> None:
        room = Budget(10)
        async with room.share(11):
            assert room.free == 0
        assert room.free == 10

    run(story())


def test_a_cancelled_first_waiter_lets_the_next_one_in():
    """The first in the queue is cancelled; the one behind it fits."""

    async def story() -> None:
        room = Budget(10)
        inside, large, small = Guest(room, 7), Guest(room, 9), Guest(room, 3)
        await settle()
        assert not small.inside
        large.task.cancel()
        await settle()
        assert small.inside
        await inside.leave()
        await small.leave()
        assert room.free == 10

    run(story())


def test_a_waiter_cancelled_as_it_is_woken_gives_its_count_back():
    async def story() -> None:
        room = Budget(10)
        inside, next_one = Guest(room, 7), Guest(room, 9)
        await settle()
        inside.task.cancel()
        await asyncio.sleep(0)  # its room is free and the next one called, which has not run yet
        assert (room.free, next_one.inside) == (1, False)
        next_one.task.cancel()
        await settle()
        assert room.free == 10

    run(story())


# Retry-After


class Clock:
    """Stands still between the steps of a test."""

    def __init__(self) -> None:
        self.now = 0.0

    def perf_counter(self) -> float:
        return self.now


async def retry_after(admission: Admission) -> int | None:
    """The Retry-After of a request for which there is no place."""
    with pytest.raises(ApiError) as caught, admission.presence():
        pass
    assert (caught.value.status, caught.value.code) == (429, "server_busy")
    return caught.value.retry_after


def test_retry_after_follows_how_long_requests_run(monkeypatch: pytest.MonkeyPatch):
    """One place, nobody may wait. A request is taken to run 1 s; each one that ends moves this by a
    tenth of the difference: 41 s → 1 + 4 = 5, 55 s → 5 + 5 = 10, 2010 s → 10 + 200, at most 60.
    """
    clock = Clock()
    monkeypatch.setattr("visionthink.serving.limits.time", clock)

    async def story() -> list[int | None]:
        admission = Admission(running=1, waiting=0)
        found: list[int | None] = []
        for seconds in (41, 55, 2010, 0):
            with admission.presence():
                async with admission.place():
                    found.append(await retry_after(admission))
                    clock.now += seconds
        return found

    assert asyncio.run(story()) == [1, 5, 10, 60]


def test_retry_after_follows_how_many_wait():
    """Two places, a request runs 1 s: half of 8 and one more are (4 + 1) / 2 rounds, 3 s up."""

    async def story() -> int | None:
        admission = Admission(running=2, waiting=8)
        done = asyncio.Event()

        async def stay() -> None:
            with admission.presence():
                async with admission.place():
                    await done.wait()

        tasks = [asyncio.create_task(stay()) for _ in range(10)]
        await settle()
        assert (admission.running, admission.waiting) == (2, 8)
        found = await retry_after(admission)
        done.set()
        await asyncio.gather(*tasks)
        return found

    assert asyncio.run(story()) == 3
