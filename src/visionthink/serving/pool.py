"""The engines that reply: one in this process, or several upstreams that serve the same model.

An episode leases one of them for all its turns, so that its second prompt hits the cache of its
first. An image goes to the upstream that saw it before, unless that is gone or much busier than
another; a new image goes to the least busy one. A reply that fails before any of it was passed on
is asked for again, from another upstream if there is one: asking a model twice changes nothing.
"""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Collection, Generator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from math import ceil
from typing import NoReturn

from visionthink.core.engine import Engine, EngineInfo
from visionthink.core.errors import EngineError, ServerError, UsageError
from visionthink.core.types import Completion, Message, Sampling
from visionthink.serving.api_error import ApiError

SLACK = 8
"""How many more episodes than the least busy upstream an image's own upstream may run."""
MAX_HOMES = 16_384
"""Images whose upstream is remembered."""
MISSES = 2
"""Checks in a row that the last living upstream must fail to count as dead."""
BACK_OFF = 0.5
"""Seconds before the first retry where there is no other upstream; doubles each time."""
TRANSIENT = frozenset((408, 429, 500, 502, 503, 504))
"""Statuses after which another try may succeed."""

Heard = Callable[[str], None]

console = logging.getLogger(__package__)


@dataclass(eq=False)
class Backend:
    """An engine and its state.

    `check` raises if the engine cannot be reached; None: it is in this process.
    """

    name: str
    engine: Engine
    check: Callable[[], Awaitable[None]] | None = None
    alive: bool = True
    running: int = 0
    failures: int = 0
    missed: int = 0
    problem: str = ""


class Pool:
    """Backends of one model, and the choice among them."""

    def __init__(
        self, backends: Sequence[Backend], *, retries: int = 0, check_seconds: float = 5.0
    ) -> None:
        self.backends = tuple(backends)
        self.retries = retries
        self._check_seconds = check_seconds
        self._homes: OrderedDict[bytes, Backend] = OrderedDict()
        self._doubt = asyncio.Event()
        for backend in self.backends:
            backend.alive = backend.check is None

    @property
    def about(self) -> EngineInfo:
        """The model, which all backends share. May block and raise while an upstream is down."""
        return self.backends[0].engine.about

    @property
    def local(self) -> EngineInfo | None:
        """The model in this process; None with upstreams, which need not be reachable yet."""
        return self.about if self.backends[0].check is None else None

    @property
    def ready(self) -> bool:
        return any(backend.alive for backend in self.backends)

    async def watch(self) -> None:
        """Check the backends periodically, and at once when one has failed."""
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(self._check_seconds):
                    await self._doubt.wait()
                    await asyncio.sleep(0.05)  # many requests fail together
            await self.check()

    async def check(self) -> None:
        """Find out which backends can be reached."""
        self._doubt.clear()
        await asyncio.gather(*(self._check(backend) for backend in self.backends))

    async def close(self) -> None:
        for backend in self.backends:
            await backend.engine.close()

    @contextmanager
    def lease(self, key: bytes) -> Generator[Lease]:
        """An engine for one episode about the image `key`.

        Raises:
            ApiError: 503; no backend can be reached.
        """
        lease = Lease(self, self._choose(key))
        try:
            yield lease
        finally:
            lease.release()

    def backend_for(
        self, key: bytes, *, but: Collection[Backend] = (), spread: bool = True
    ) -> Backend:
        """A living backend for a request that no engine sees: without `spread` always the first.

        Raises:
            ApiError: 503; no backend can be reached.
        """
        if spread and key and not but:
            return self._choose(key)
        if spread:
            return self.least_busy(but) or self._none_left()
        alive = [backend for backend in self.backends if backend.alive and backend not in but]
        return alive[0] if alive else self._none_left()

    def _none_left(self) -> NoReturn:
        raise ApiError(
            503,
            "the model's server cannot be reached; try again later",
            code="upstream_unreachable",
            retry_after=ceil(self._check_seconds),
        )

    def _choose(self, key: bytes) -> Backend:
        least = self.least_busy(()) or self._none_left()
        home = self._homes.get(key)
        if home is None or not home.alive or home.running > least.running + SLACK:
            home = least
        self._homes[key] = home
        self._homes.move_to_end(key)
        if len(self._homes) > MAX_HOMES:
            self._homes.popitem(last=False)
        return home

    def least_busy(self, but: Collection[Backend]) -> Backend | None:
        alive = [backend for backend in self.backends if backend.alive and backend not in but]
        return min(alive, key=lambda backend: backend.running, default=None)

    def failed(self, backend: Backend, error: ServerError) -> None:
        """Count a failed reply; after a broken connection, check at once whether it is alive.

        Until then others take its place, if there are any: one broken connection is no reason to
        turn all requests away.
        """
        backend.failures += 1
        if error.reason == "unreachable" and backend.check is not None:
            self._doubt.set()
            if self.least_busy((backend,)) is not None:
                backend.alive = False
                backend.problem = str(error)

    async def _check(self, backend: Backend) -> None:
        if backend.check is None:
            return
        before = backend.problem
        try:
            await backend.check()
        except (EngineError, UsageError) as error:
            backend.missed += 1
            if backend.alive and self.least_busy((backend,)) is None and backend.missed < MISSES:
                self._doubt.set()  # the last one gets another chance
                return
            backend.alive, backend.problem = False, str(error)
        else:
            backend.alive, backend.problem, backend.missed = True, "", 0
        if backend.problem != before:
            console.warning("upstream %s: %s", backend.name, backend.problem or "reachable again")


class Lease(Engine):
    """The engine of one episode: a backend, or the one that took over from it."""

    def __init__(self, pool: Pool, backend: Backend) -> None:
        self._pool = pool
        self._backend = backend
        backend.running += 1

    def release(self) -> None:
        self._backend.running -= 1

    @property
    def name(self) -> str:
        """The backend's."""
        return self._backend.name

    @property
    def about(self) -> EngineInfo:
        return self._backend.engine.about

    async def generate(self, messages: Sequence[Message], sampling: Sampling) -> Completion:
        return await self._try(lambda engine: engine.generate(messages, sampling), lambda: True)

    async def stream(
        self, messages: Sequence[Message], sampling: Sampling, heard: Heard
    ) -> Completion:
        """As `generate`; once some of the reply was passed on, it is not asked for again."""
        passed_on = False

        def pass_on(text: str) -> None:
            nonlocal passed_on
            passed_on = passed_on or bool(text)
            heard(text)

        return await self._try(
            lambda engine: engine.stream(messages, sampling, pass_on), lambda: not passed_on
        )

    async def _try(
        self, ask: Callable[[Engine], Awaitable[Completion]], can_retry: Callable[[], bool]
    ) -> Completion:
        tried: list[Backend] = []
        while True:
            try:
                return await ask(self._backend.engine)
            except ServerError as error:
                self._pool.failed(self._backend, error)
                transient = error.reason == "unreachable" or error.status in TRANSIENT
                if len(tried) == self._pool.retries or not transient or not can_retry():
                    raise
            tried.append(self._backend)
            other = self._pool.least_busy(tried)
            if other is None:
                await asyncio.sleep(BACK_OFF * 2 ** (len(tried) - 1))
            else:
                self.release()
                self._backend = other
                other.running += 1
