from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

from visionthink.serving.limits import PixelBudget


async def settle() -> None:
    """Let all tasks come as far as they can."""
    for _ in range(10):
        await asyncio.sleep(0)


class Guest:
    """Holds a share until told to leave."""

    def __init__(self, room: PixelBudget, pixels: int, then: int | None = None) -> None:
        self.inside = False
        self._leave = asyncio.Event()
        self.task = asyncio.create_task(self._stay(room, pixels, then))

    async def _stay(self, room: PixelBudget, pixels: int, then: int | None) -> None:
        async with room.share(pixels) as share:
            self.inside = True
            if then is not None:
                share.shrink(then)
            await self._leave.wait()
        self.inside = False

    async def leave(self) -> None:
        self._leave.set()
        await settle()


def run(story: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(story, 10))


def test_who_finds_no_room_waits_and_nobody_gets_past():
    """Of 10: 6 and 3 are in, 1 is free; 5 waits, and 1 behind it although it would fit."""

    async def story() -> None:
        room = PixelBudget(10)
        six, three, five, one = (Guest(room, pixels) for pixels in (6, 3, 5, 1))
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


def test_what_turns_out_not_to_be_needed_lets_the_next_in():
    async def story() -> None:
        room = PixelBudget(10)
        first, second = Guest(room, 8, then=2), Guest(room, 8)
        await settle()
        assert (first.inside, second.inside, room.free) == (True, True, 0)
        await first.leave()
        assert room.free == 2
        await second.leave()
        assert room.free == 10

    run(story())


def test_who_leaves_the_line_holds_up_nobody():
    """The first in line gives up; the one behind it fits."""

    async def story() -> None:
        room = PixelBudget(10)
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


def test_who_gives_up_in_the_moment_of_its_turn_leaves_no_gap():
    async def story() -> None:
        room = PixelBudget(10)
        inside, next_one = Guest(room, 7), Guest(room, 9)
        await settle()
        inside.task.cancel()
        await asyncio.sleep(0)  # its room is free and the next one called, which has not run yet
        assert (room.free, next_one.inside) == (1, False)
        next_one.task.cancel()
        await settle()
        assert room.free == 10

    run(story())
