"""How many decoded pixels are held at once, whoever asks: memory that many requests share."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager


class Room:
    """Room for so many pixels. Who finds none waits in line, and no smaller wish gets past it.

    Attributes:
        free: pixels that nobody holds.
    """

    def __init__(self, pixels: int) -> None:
        self.free = pixels
        self._line: deque[tuple[int, asyncio.Future[None]]] = deque()

    @asynccontextmanager
    async def share(self, pixels: int) -> AsyncGenerator[Share]:
        """Wait for so much room and hold it; `pixels` is at most what there is in all."""
        await self._take(pixels)
        share = Share(self, pixels)
        try:
            yield share
        finally:
            self.give_back(share.pixels)

    async def _take(self, pixels: int) -> None:
        if not self._line and pixels <= self.free:
            self.free -= pixels
            return
        turn = asyncio.get_running_loop().create_future()
        self._line.append((pixels, turn))
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():  # its turn came in the same moment
                self.give_back(pixels)
            else:
                self._line.remove((pixels, turn))
                self._call_next()
            raise

    def give_back(self, pixels: int) -> None:
        self.free += pixels
        self._call_next()

    def _call_next(self) -> None:
        while self._line and self._line[0][0] <= self.free:
            pixels, turn = self._line.popleft()
            self.free -= pixels
            turn.set_result(None)


class Share:
    """What one request holds of the room."""

    def __init__(self, room: Room, pixels: int) -> None:
        self._room = room
        self.pixels = pixels

    def shrink(self, pixels: int) -> None:
        """Give back what is more than `pixels`."""
        more, self.pixels = self.pixels - pixels, pixels
        self._room.give_back(more)
