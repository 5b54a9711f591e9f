"""Clients' connections: how many, how long their headers may be and take, and how slowly they may
read. uvicorn bounds none of these.
"""

from __future__ import annotations

import asyncio
import logging
import select
import time
from collections import OrderedDict
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from visionthink.serving.api_error import ApiError
from visionthink.serving.serve_options import ServeLimits

SPARE = 32
"""Further connections for `ALWAYS` while all others are busy."""
ALWAYS = ("/health", "/ready", "/metrics")
MAX_PIPELINED = 8
"""Requests that may wait on a connection for the answer to an earlier one."""
PIECE = 2**20
"""Bytes that are sent at once: a slow client holds no more of a long answer."""
QUIET_SECONDS = 10.0
"""Between two lines in the log about the same trouble."""
LOOK_SECONDS = 0.5

console = logging.getLogger(__package__)


class ClientGone(Exception):
    """The client left, or does not read its answer."""


@dataclass
class Connections:
    """What all connections of a server share.

    Attributes:
        limits: of a server.
        most: how many there may be.
        silent: those on which nothing was asked yet, the oldest first.
        idle: those without a request in progress, the longest idle one first.
    """

    limits: ServeLimits
    most: int
    silent: OrderedDict[Connection, None] = field(default_factory=OrderedDict)
    idle: OrderedDict[Connection, None] = field(default_factory=OrderedDict)
    _spoken: float = -QUIET_SECONDS
    _closed: int = 0

    def busy(self, connection: Connection) -> None:
        """Neither silent nor idle any more."""
        self.silent.pop(connection, None)
        self.idle.pop(connection, None)

    def closed_one(self) -> None:
        """Count a connection that was closed for another; say so now and then."""
        self._closed += 1
        if time.monotonic() - self._spoken >= QUIET_SECONDS:
            console.warning("all %d connections are taken; closed: %d", self.most, self._closed)
            self._spoken, self._closed = time.monotonic(), 0


def protocol(connections: Connections) -> type[HttpToolsProtocol]:
    """The protocol for uvicorn's option `http`."""
    return type("BoundedConnection", (Connection,), {"shared": connections})


class Connection(HttpToolsProtocol):
    """A connection within limits.

    A new one beyond the most that there may be takes the place of the oldest on which nothing was
    asked, else of the one that is idle for longest. If all are busy it may ask for `ALWAYS` only,
    so that who watches the server still sees it.
    """

    shared: Connections

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.app = self._bounded(self.app)
        self._spare = False
        self._refused = False
        self._clock: asyncio.TimerHandle | None = None
        self._unread = 0  # bytes since the last progress of a request
        self._begun: list[RequestResponseCycle] = []

    # Connections

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        shared = self.shared
        if len(self.connections) > shared.most:
            if unused := shared.silent or shared.idle:
                oldest, _ = unused.popitem(last=False)
                oldest.cut()
            elif len(self.connections) <= shared.most + SPARE:
                self._spare = True
            else:
                self.cut()
            shared.closed_one()
        shared.silent[self] = None
        self._start_clock()

    def connection_lost(self, exc: Exception | None) -> None:
        self.shared.busy(self)
        self._stop_clock()
        self.pipeline.clear()
        for cycle in self._begun:  # uvicorn tells the last one only
            cycle.disconnected = not cycle.response_complete
            cycle.message_event.set()
        super().connection_lost(exc)

    def cut(self) -> None:
        """Close it at once, whatever is not sent yet."""
        self.connections.discard(self)
        self.transport.abort()

    # Headers

    def data_received(self, data: bytes) -> None:
        self._unread += len(data)
        super().data_received(data)
        if self._unread > self.shared.limits.header_bytes:
            self._refuse(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)
        elif self in self.shared.idle:
            self._start_clock()

    def on_headers_complete(self) -> None:
        length = len(self.url) + sum(len(name) + len(value) for name, value in self.headers)
        if length > self.shared.limits.header_bytes:
            self._refuse(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)
            raise ValueError("the header is too long")
        if len(self.pipeline) >= MAX_PIPELINED:
            self._refuse(HTTPStatus.TOO_MANY_REQUESTS)
            raise ValueError("too many requests are waiting on this connection")
        self._unread = 0
        self._stop_clock()
        self.shared.busy(self)
        self.scope["extensions"] = {"connection": self}  # type: ignore[typeddict-item]
        super().on_headers_complete()
        self._begun = [*(each for each in self._begun if not each.response_complete), self.cycle]

    def on_body(self, body: bytes) -> None:
        self._unread = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._unread = 0
        super().on_message_complete()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self.cycle.response_complete and not self.pipeline and not self.transport.is_closing():
            self.shared.idle[self] = None

    def send_400_response(self, msg: str) -> None:
        if not self._refused:
            super().send_400_response(msg)

    def _start_clock(self) -> None:
        if self._clock is None:
            seconds = self.shared.limits.header_seconds
            self._clock = self.loop.call_later(seconds, self._refuse, HTTPStatus.REQUEST_TIMEOUT)

    def _stop_clock(self) -> None:
        if self._clock is not None:
            self._clock.cancel()
            self._clock = None

    def _refuse(self, status: HTTPStatus) -> None:
        """End a connection on which no request is complete."""
        if self._refused or self.transport.is_closing():
            return
        self._refused = True
        if self.cycle is None or self.cycle.response_complete:
            line = f"HTTP/1.1 {status.value} {status.phrase}\r\n"
            rest = "content-length: 0\r\nconnection: close\r\n\r\n"
            self.transport.write((line + rest).encode())
            self.transport.close()
        else:
            self.cut()

    # Answers

    def _bounded(self, app: ASGIApp) -> Any:
        """`app` with every send bounded in time; the connection of who does not read is cut."""

        async def bounded(scope: Scope, receive: Receive, send: Send) -> None:
            async def send_in_time(message: Message) -> None:
                for piece in _pieces(message):
                    async with self._in_time():
                        await send(piece)
                if message["type"] == "http.response.body" and not message.get("more_body", False):
                    async with self._in_time():
                        await self._flushed()

            if self._spare and scope["path"] not in ALWAYS:
                await _busy(scope, receive, send_in_time)
                return
            with suppress(ClientGone):
                await app(scope, receive, send_in_time)

        return bounded

    @asynccontextmanager
    async def _in_time(self) -> AsyncGenerator[None]:
        try:
            async with asyncio.timeout(self.shared.limits.send_seconds):
                yield
        except TimeoutError:
            self.cut()
            raise ClientGone from None

    async def _flushed(self) -> None:
        """Wait until the system has taken all that was sent."""
        with suppress(RuntimeError):  # it is closed: nothing is left to send
            self.transport.set_write_buffer_limits(0)
            await self.flow.drain()
            self.transport.set_write_buffer_limits()


async def peer_left(scope: Scope) -> None:
    """Return when the client has closed its connection although its body is not read yet.

    As long as a body is not read, neither is what follows it: the end of the connection.
    """
    connection = scope.get("extensions", {}).get("connection")
    sock = connection.transport.get_extra_info("socket") if connection is not None else None
    if connection is None or sock is None or not hasattr(select, "POLLRDHUP"):
        await asyncio.Event().wait()
        return
    ended = select.POLLRDHUP | select.POLLHUP | select.POLLERR
    while not connection.transport.is_closing():
        watch = select.poll()
        watch.register(sock.fileno(), ended)
        if watch.poll(0):
            return
        await asyncio.sleep(LOOK_SECONDS)


async def _busy(scope: Scope, receive: Receive, send: Send) -> None:
    error = ApiError(503, "the server has too many connections", code="server_busy", retry_after=5)
    response = error.response
    response.headers["Connection"] = "close"
    await response(scope, receive, send)


def _pieces(message: Message) -> list[Message]:
    """A message of a long body as several."""
    body = message.get("body", b"")
    if len(body) <= PIECE:
        return [message]
    view = memoryview(body)
    found: list[Message] = [
        {**message, "body": bytes(view[at : at + PIECE]), "more_body": True}
        for at in range(0, len(body), PIECE)
    ]
    found[-1]["more_body"] = message.get("more_body", False)
    return found
