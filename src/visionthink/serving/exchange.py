"""One HTTP request from its first byte to its last, whatever it asks for.

`Exchange` reads the body within limits, notices when the client leaves, turns errors into OpenAI's
form, and writes the line in the log. What is asked for is up to its subclasses.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any, NamedTuple, TypeVar

from starlette.types import Message, Receive, Scope, Send

from visionthink.core.types import Episode
from visionthink.engines.openai_http import MORE_HEADERS
from visionthink.serving.api_error import ApiError, api_error, send_error
from visionthink.serving.connection import ClientGone, peer_left
from visionthink.serving.gateway import Gateway
from visionthink.serving.guards import KEY
from visionthink.serving.keys import Key
from visionthink.serving.passthrough import BrokenReply, Forwarded, Request
from visionthink.serving.request_ids import REQUEST_ID, ids_of, returned, sent_on
from visionthink.serving.telemetry import console, origin

T = TypeVar("T")

BODY_COPIES = 4
"""How much memory a body takes at most, over its length: as bytes, as JSON, as decoded images."""
SLOW = 64 * 2**10
"""Bytes a second; while others wait, a slower upload is cut."""
PATIENCE = 2.0
"""Seconds that it has to become faster."""
BUFFERED = 2**16
"""Bytes that a connection accepts without waiting for the client to read them."""


class Outcome(NamedTuple):
    """How a request ended: in a word, by status, in words for the console; its episodes."""

    kind: str
    status: int
    words: str
    episodes: Sequence[Episode] = ()


class Exchange:
    """A request and its response.

    Attributes:
        facts: what the log says about the request.
        passed: why it went to an upstream untouched; "" if it did not.
    """

    def __init__(self, gateway: Gateway, scope: Scope, receive: Receive, send: Send) -> None:
        self.gateway = gateway
        self.limits = gateway.options.limits
        self.scope = scope
        self.receive = receive
        self.ids = ids_of(scope["headers"])
        self.key: Key | None = scope.get(KEY)
        client = scope.get("client")
        self.facts: dict[str, Any] = {
            "request_id": self.ids[REQUEST_ID],
            "client": client[0] if client else None,
            "key": self.key.name if self.key else None,
        }
        self.passed = ""
        self._send_now = send
        self._end: Message | None = None
        self._read = False

    async def answer(self) -> Outcome:
        """Send the response."""
        raise NotImplementedError

    async def run(self) -> None:
        began = time.perf_counter()
        MORE_HEADERS.set(self._more_headers())
        ended = Outcome("gone", 499, "the client left")
        try:
            if self.key:
                self.key.admit()
            ended = await self.answer()
        except ClientGone:
            pass
        except BrokenReply as error:  # the response has begun: all that is left is to cut it
            ended = Outcome("failed", 502, str(error))
        except (Exception, asyncio.CancelledError) as error:  # cancelled: draining took too long
            refused = api_error(error)
            self.facts |= {"code": refused.code, "param": refused.param}
            said = refused.code or "invalid"
            words = origin(error) if refused.code == "internal_error" else said
            ended = Outcome(_kind(refused.status), refused.status, words)
            await self.refuse(refused)
        finally:
            seconds = time.perf_counter() - began
            if self.passed:
                self.gateway.metrics.request_passed(self.passed, ended.status)
            else:
                self.gateway.metrics.request_ended(ended.kind, seconds)
            if self.key:
                tokens = sum(episode.ledger.processed for episode in ended.episodes)
                self.key.spent(tokens)
                self.gateway.metrics.key_used(self.key.name, tokens)
            console.info("%d %s, %.2f s", ended.status, ended.words, seconds)
            self._log(ended, seconds)
            if self._end is not None:
                await self._send_now(self._end)

    async def send(self, message: Message) -> None:
        """Send, but hold the end back until the request is counted and its place is free.

        A client that has the end may ask again at once, and must not be turned away because of its
        own place. A large end is sent at once: one that the client never reads must keep its place,
        or such requests would pile up.
        """
        if message["type"] == "http.response.start":
            headers = returned(self.ids, message.get("headers", ()))
            message = {**message, "headers": headers}
        last = message["type"] == "http.response.body" and not message.get("more_body", False)
        if last and len(message.get("body", b"")) <= BUFFERED:
            self._end = message
        else:
            await self._send_now(message)

    def _more_headers(self) -> dict[str, str]:
        """What upstreams learn of the request; its key only where this server has none itself."""
        key = self.header(b"authorization").decode("latin-1")
        own_keys = self.gateway.options.requires_key
        return self.ids | ({"Authorization": key} if key and not own_keys else {})

    def _log(self, ended: Outcome, seconds: float) -> None:
        if self.gateway.log is None:
            return
        facts: dict[str, Any] = {
            "time": datetime.now(UTC).isoformat(timespec="milliseconds"),
            "status": ended.status,
            "outcome": ended.kind,
            "seconds": round(seconds, 4),
        }
        said = {name: value for name, value in self.facts.items() if value is not None}
        if self.passed:
            said["passed"] = self.passed
        self.gateway.log.write(facts | said, ended.episodes)

    async def pass_on(self, request: Request, reason: str) -> Outcome:
        """Send the request to an upstream as it came, and its reply back."""
        self.passed = reason
        passthrough = self.gateway.passthrough
        assert passthrough is not None  # noqa: S101 - else nothing is passed on

        async def forward() -> Forwarded:
            async with self.gateway.admission.place():
                return await passthrough.forward(request, self.send)

        done = await self.unless_gone(forward())
        self.facts["upstream"] = done.upstream
        kind = "answered" if done.status < 400 else _kind(done.status)
        return Outcome(kind, done.status, f"passed on ({reason}) to {done.upstream}")

    def forwarded(self, path: str, body: bytes, key: bytes = b"") -> Request:
        """The client's request, with another body, for `path` below an upstream's base URL."""
        query = self.scope["query_string"].decode("latin-1")
        headers = [
            (name.decode("latin-1"), value.decode("latin-1"))
            for name, value in self.scope["headers"]
        ]
        return Request(
            self.scope["method"],
            f"{path}?{query}" if query else path,
            sent_on(self.ids, headers),
            body,
            key,
        )

    def header(self, name: bytes) -> bytes:
        """The first header of this (lower-case) name; empty if there is none."""
        return next((value for key, value in self.scope["headers"] if key.lower() == name), b"")

    def check_length(self) -> None:
        length = self.header(b"content-length") or b"0"
        if not length.isdigit() or int(length) > self.limits.body:
            raise self.too_large()

    def too_large(self) -> ApiError:
        message = f"the body has more than {self.limits.body:,} bytes; send fewer or smaller images"
        return ApiError(413, message, code="body_too_large")

    @asynccontextmanager
    async def room_for_body(self) -> AsyncGenerator[Callable[[int], None]]:
        """Wait for the memory that the body needs, and hold it; see `Budget.share`.

        Nothing of the body beyond what the connection buffers is read before.
        """
        length = self.header(b"content-length")
        count = BODY_COPIES * (int(length) if length else self.limits.body)
        share = self.gateway.body_memory.share(count)
        keep = await self.unless_gone(share.__aenter__(), peer_left(self.scope))
        try:
            yield keep
        finally:
            await share.__aexit__(None, None, None)

    async def body(self) -> bytes:
        body = bytearray()
        began = time.monotonic()
        while not self._read:
            try:
                async with asyncio.timeout(min(PATIENCE, self.limits.upload_seconds)):
                    body += await self.next_part()
            except TimeoutError:  # nothing came, which is too slow only if others wait
                pass
            if len(body) > self.limits.body:
                raise self.too_large()
            seconds = time.monotonic() - began
            if seconds > self.limits.upload_seconds:
                message = f"the body took longer than {self.limits.upload_seconds:g} s"
                raise ApiError(408, message)
            slow = seconds > PATIENCE and len(body) < SLOW * seconds
            if slow and not self._read and self.gateway.crowded:
                raise ApiError(
                    408, "the body came too slowly while others waited", code="slow_body"
                )
        return bytes(body)

    async def next_part(self) -> bytes:
        message = await self.receive()
        if message["type"] == "http.disconnect":
            raise ClientGone
        self._read = not message.get("more_body", False)
        return message.get("body", b"")

    async def unless_gone(
        self, work: Coroutine[Any, Any, T], leaving: Awaitable[object] | None = None
    ) -> T:
        """The result of `work`, which is cancelled when the client leaves: at the end of `leaving`.

        Default: the next message, which is the disconnect once the body is read.
        """
        task = asyncio.ensure_future(work)
        gone = asyncio.ensure_future(self.receive() if leaving is None else leaving)
        try:
            await asyncio.wait((task, gone), return_when=asyncio.FIRST_COMPLETED)
            if not task.done():
                raise ClientGone
            return await task
        finally:
            task.cancel()
            gone.cancel()
            await asyncio.gather(task, gone, return_exceptions=True)

    async def refuse(self, error: ApiError) -> None:
        unread = not self._read and error.code != "shutting_down"  # then there is no time for it
        await send_error(error, self.scope, self.receive, self.send, unread=unread)


def _kind(status: int) -> str:
    return "failed" if status >= 500 else "busy" if status == 429 else "refused"
