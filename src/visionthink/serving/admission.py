"""How much is taken on at once: so many requests run, so many wait, and more are turned away."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from math import ceil

from visionthink.serving.refusal import Refusal

LONGEST_WAIT = 60
"""Seconds; clients do not heed a longer Retry-After."""


class Admission:
    """Places for requests. Whoever waits has not been read yet, and takes no memory."""

    def __init__(self, running: int, waiting: int) -> None:
        self._places = asyncio.Semaphore(running)
        self._most_running = running
        self._most_waiting = waiting
        self._seconds = 1.0
        self.running = 0
        self.waiting = 0

    @asynccontextmanager
    async def place(self) -> AsyncGenerator[None]:
        """Wait for a place, and hold it.

        Raises:
            Refusal: 429; too many wait already.
        """
        if self._places.locked() and self.waiting >= self._most_waiting:
            message = f"{self.running} requests are running and {self.waiting} waiting; retry later"
            raise Refusal(429, message, code="server_busy", retry_after=self._wait())
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

    def _wait(self) -> int:
        """Seconds in which about half of those who wait will have had their place."""
        rounds = (self.waiting / 2 + 1) / self._most_running
        return min(LONGEST_WAIT, max(1, ceil(self._seconds * rounds)))
