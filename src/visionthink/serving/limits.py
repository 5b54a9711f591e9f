"""Limits that all requests share: how many run and wait, and how much memory they hold."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from math import ceil

from visionthink.serving.api_error import ApiError

LONGEST_WAIT = 60
"""Seconds; clients ignore a longer Retry-After."""


class Admission:
    """A bounded number of requests run, a bounded number wait, and the rest get 429.

    Attributes:
        present: requests that run or wait: for memory, for their body, for a place.
        running: those that have a place.
    """

    def __init__(self, running: int, waiting: int) -> None:
        self._places = asyncio.Semaphore(running)
        self._max_running = running
        self._max_waiting = waiting
        self._seconds = 1.0  # moving mean of how long a request runs
        self.present = 0
        self.running = 0

    @property
    def waiting(self) -> int:
        return self.present - self.running

    @property
    def crowded(self) -> bool:
        """Whether there are more requests than places."""
        return self.present > self._max_running

    @contextmanager
    def presence(self) -> Generator[None]:
        """Be counted until the end of the block.

        Raises:
            ApiError: 429; too many requests are waiting.
        """
        if self.present >= self._max_running + self._max_waiting:
            message = f"{self.running} requests are running and {self.waiting} waiting; retry later"
            raise ApiError(429, message, code="server_busy", retry_after=self._retry_after())
        self.present += 1
        try:
            yield
        finally:
            self.present -= 1

    @asynccontextmanager
    async def place(self) -> AsyncGenerator[None]:
        """Wait for a place and hold it; only for those who are present."""
        async with self._places:
            self.running += 1
            began = time.perf_counter()
            try:
                yield
            finally:
                self.running -= 1
                self._seconds += 0.1 * (time.perf_counter() - began - self._seconds)

    def _retry_after(self) -> int:
        """Seconds in which about half of the waiting requests will have started."""
        rounds = (self.waiting / 2 + 1) / self._max_running
        return min(LONGEST_WAIT, max(1, ceil(self._seconds * rounds)))


class Memory:
    """A bounded number of bytes, shared by all requests.

    Those that need at most `small` have a quarter to themselves, so that they do not wait for large
    ones.
    """

    def __init__(self, total: int, small: int) -> None:
        self.small = Budget(total // 4)
        self.large = Budget(total - total // 4)
        self._most_small = min(small, total // 4)

    @property
    def waiting(self) -> bool:
        """Whether a request waits for others to give memory back."""
        return self.small.waiting or self.large.waiting

    def share(self, count: int) -> AbstractAsyncContextManager[Callable[[int], None]]:
        """See `Budget.share`."""
        return (self.small if count <= self._most_small else self.large).share(count)


class Budget:
    """A bounded number of bytes.

    First come, first served; later, smaller requests do not overtake.

    Attributes:
        free: bytes that nobody holds.
    """

    def __init__(self, total: int) -> None:
        self.total = self.free = total
        self._queue: deque[tuple[int, asyncio.Future[None]]] = deque()

    @property
    def waiting(self) -> bool:
        return bool(self._queue)

    @asynccontextmanager
    async def share(self, count: int) -> AsyncGenerator[Callable[[int], None]]:
        """Wait for `count` bytes, at most the whole budget, and hold them.

        It yields a function that keeps fewer of them and gives the rest back.
        """
        held = min(count, self.total)
        await self._take(held)

        def shrink(kept: int) -> None:
            nonlocal held
            rest = max(held - kept, 0)
            held -= rest
            self._give_back(rest)

        try:
            yield shrink
        finally:
            self._give_back(held)

    async def _take(self, count: int) -> None:
        if not self._queue and count <= self.free:
            self.free -= count
            return
        turn = asyncio.get_running_loop().create_future()
        self._queue.append((count, turn))
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():  # its turn came in the same moment
                self._give_back(count)
            else:
                self._queue.remove((count, turn))
                self._wake()
            raise

    def _give_back(self, count: int) -> None:
        self.free += count
        self._wake()

    def _wake(self) -> None:
        while self._queue and self._queue[0][0] <= self.free:
            count, turn = self._queue.popleft()
            self.free -= count
            turn.set_result(None)
