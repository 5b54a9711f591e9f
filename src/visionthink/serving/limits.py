"""Limits that all requests share: how many run and wait, and how many decoded pixels are held."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from math import ceil

from visionthink.serving.api_error import ApiError

LONGEST_WAIT = 60
"""Seconds; clients ignore a longer Retry-After."""


class Admission:
    """A bounded number of requests run, a bounded number wait, and the rest get 429.

    The bodies of waiting requests are not read yet, so they use no memory.
    """

    def __init__(self, running: int, waiting: int) -> None:
        self._places = asyncio.Semaphore(running)
        self._max_running = running
        self._max_waiting = waiting
        self._seconds = 1.0  # moving mean of how long a request runs
        self.running = 0
        self.waiting = 0

    @asynccontextmanager
    async def place(self) -> AsyncGenerator[None]:
        """Wait for a place and hold it.

        Raises:
            ApiError: 429; too many requests are waiting.
        """
        if self._places.locked() and self.waiting >= self._max_waiting:
            message = f"{self.running} requests are running and {self.waiting} waiting; retry later"
            raise ApiError(429, message, code="server_busy", retry_after=self._retry_after())
        self.waiting += 1
        try:
            await self._places.acquire()
        finally:
            self.waiting -= 1
        self.running += 1
        began = time.perf_counter()
        try:
            yield
        finally:
            self.running -= 1
            self._places.release()
            self._seconds += 0.1 * (time.perf_counter() - began - self._seconds)

    def _retry_after(self) -> int:
        """Seconds in which about half of the waiting requests will have started."""
        rounds = (self.waiting / 2 + 1) / self._max_running
        return min(LONGEST_WAIT, max(1, ceil(self._seconds * rounds)))


class PixelBudget:
    """A bounded number of decoded pixels, shared by all requests.

    First come, first served; later, smaller requests do not overtake.

    Attributes:
        free: pixels that nobody holds.
    """

    def __init__(self, pixels: int) -> None:
        self.free = pixels
        self._queue: deque[tuple[int, asyncio.Future[None]]] = deque()

    @asynccontextmanager
    async def share(self, pixels: int) -> AsyncGenerator[Callable[[int], None]]:
        """Wait for `pixels`, at most the whole budget, and hold them.

        It yields a function that keeps fewer of them and gives the rest back.
        """
        await self._take(pixels)
        held = pixels

        def shrink(kept: int) -> None:
            nonlocal held
            rest, held = held - kept, kept
            self._give_back(rest)

        try:
            yield shrink
        finally:
            self._give_back(held)

    async def _take(self, pixels: int) -> None:
        if not self._queue and pixels <= self.free:
            self.free -= pixels
            return
        turn = asyncio.get_running_loop().create_future()
        self._queue.append((pixels, turn))
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():  # its turn came in the same moment
                self._give_back(pixels)
            else:
                self._queue.remove((pixels, turn))
                self._wake()
            raise

    def _give_back(self, pixels: int) -> None:
        self.free += pixels
        self._wake()

    def _wake(self) -> None:
        while self._queue and self._queue[0][0] <= self.free:
            pixels, turn = self._queue.popleft()
            self.free -= pixels
            turn.set_result(None)
