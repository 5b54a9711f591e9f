"""`POST /v1/chat/completions`: one request from its first byte to its last."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Coroutine
from datetime import UTC, datetime
from typing import Any, TypeVar

from starlette.responses import JSONResponse
from starlette.types import Message, Receive, Scope, Send

from visionthink.core.types import Episode
from visionthink.serving.gateway import Gateway, ParsedRequest
from visionthink.serving.log import console, figures, places
from visionthink.serving.refusal import Refusal, refusal_for, send_refusal
from visionthink.serving.reply import (
    Head,
    answer_of,
    beginning,
    chunk,
    completion,
    so_far,
    story,
    usage_chunk,
)

T = TypeVar("T")

MOST_KEPT = 2**16
"""Bytes that a connection takes without waiting for the client to fetch them."""


class _ClientGone(Exception):
    """Nobody waits for the answer any more."""


class ChatEndpoint:
    """An ASGI application; it holds `receive` itself, so that a client that leaves is noticed."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await _Exchange(self._gateway, scope, receive, send).run()


class _Exchange:
    """A request and its response."""

    def __init__(self, gateway: Gateway, scope: Scope, receive: Receive, send: Send) -> None:
        self._gateway = gateway
        self._limits = gateway.options.limits
        self._scope = scope
        self._receive = receive
        self._pass_on = send
        self._last: Message | None = None
        self._asked: ParsedRequest | None = None
        self._read = False
        self._streaming = False

    async def run(self) -> None:
        began = time.perf_counter()
        outcome, status, words = "gone", 499, "the client left"
        episode = None
        try:
            episode = await self._answered()
            outcome, status, words = episode.stop_reason.value, 200, figures(episode)
        except _ClientGone:
            pass
        except Exception as error:
            refusal = refusal_for(error)
            status, words = refusal.status, refusal.code or "invalid"
            if refusal.code == "internal_error":
                words = places(error)
            outcome = "failed" if status >= 500 else "busy" if status == 429 else "refused"
            await self._refuse(refusal)
        finally:
            seconds = time.perf_counter() - began
            self._gateway.metrics.ended(outcome, seconds)
            console.info("%d %s, %.2f s", status, words, seconds)
            self._write_down(outcome, status, seconds, episode)
            if self._last is not None:
                await self._pass_on(self._last)

    async def _send(self, message: Message) -> None:
        """Send, but keep the end back until the request is counted and its place is free.

        Who has it may ask again at once, and would be turned away by a place not yet free. A large
        end goes out at once: one that nobody fetches must keep its place, or they would pile up.
        """
        last = message["type"] == "http.response.body" and not message.get("more_body", False)
        if last and len(message.get("body", b"")) <= MOST_KEPT:
            self._last = message
        else:
            await self._pass_on(message)

    def _write_down(
        self, outcome: str, status: int, seconds: float, episode: Episode | None
    ) -> None:
        if self._gateway.log is None:
            return
        told: dict[str, Any] = {
            "time": datetime.now(UTC).isoformat(timespec="milliseconds"),
            "status": status,
            "outcome": outcome,
            "seconds": round(seconds, 4),
        }
        if (asked := self._asked) is not None:
            told |= {"id": asked.head.id, "model": asked.head.model, "look": asked.look}
            told["stream"] = asked.stream
        self._gateway.log.write(told, episode)

    async def _answered(self) -> Episode:
        self._check_head()
        async with (
            self._gateway.admission.place(),
            asyncio.timeout(self._limits.request_seconds),
        ):
            body = await self._body()
            async with self._gateway.room.share(self._limits.pixels) as share:
                asked = self._asked = await self._gateway.understand(body)
                share.shrink(asked.pixels)
                del body  # the images are held decoded; once is enough
                work = self._stream(asked) if asked.stream else self._whole(asked)
                return await self._unless_gone(work)

    def _check_head(self) -> None:
        """Refuse by the headers alone."""
        headers = {name.lower(): value for name, value in self._scope["headers"]}
        kind = headers.get(b"content-type", b"").split(b";")[0].strip().lower()
        if kind != b"application/json":
            # Browsers ask before they send this type to another site: no page can use the server.
            message = "the body must be JSON, sent with the header Content-Type: application/json"
            raise Refusal(415, message)
        length = headers.get(b"content-length", b"0")
        if not length.isdigit() or int(length) > self._limits.body:
            raise self._too_large()

    def _too_large(self) -> Refusal:
        message = (
            f"the body has more than {self._limits.body:,} bytes; send fewer or smaller images"
        )
        return Refusal(413, message, code="body_too_large")

    async def _body(self) -> bytes:
        body = bytearray()
        try:
            async with asyncio.timeout(self._limits.upload_seconds):
                while not self._read:
                    body += await self._next_part()
                    if len(body) > self._limits.body:
                        raise self._too_large()
        except TimeoutError:
            message = f"the body took longer than {self._limits.upload_seconds:g} s"
            raise Refusal(408, message) from None
        return bytes(body)

    async def _next_part(self) -> bytes:
        message = await self._receive()
        if message["type"] == "http.disconnect":
            raise _ClientGone
        self._read = not message.get("more_body", False)
        return message.get("body", b"")

    async def _unless_gone(self, work: Coroutine[Any, Any, T]) -> T:
        """The result of `work`, which is cancelled when the client leaves."""
        task = asyncio.ensure_future(work)
        gone = asyncio.ensure_future(self._receive())  # the next message is the disconnect
        try:
            await asyncio.wait((task, gone), return_when=asyncio.FIRST_COMPLETED)
            if not task.done():
                raise _ClientGone
            return await task
        finally:
            task.cancel()
            gone.cancel()
            await asyncio.gather(task, gone, return_exceptions=True)

    async def _whole(self, asked: ParsedRequest) -> Episode:
        gateway = self._gateway
        episode = await gateway.answer(asked)
        gateway.metrics.finished(episode)
        profile = gateway.profile(asked.look)
        reply = completion(asked.head, episode, profile, asked.stop, asked.trace)
        if asked.views:
            reply["visionthink"]["views"] = await gateway.views(asked)
        await JSONResponse(reply)(self._scope, self._receive, self._send)
        return episode

    async def _stream(self, asked: ParsedRequest) -> Episode:
        """Send thoughts as they come, then the answer, which no later turn can change."""
        gateway, head = self._gateway, asked.head
        profile = gateway.profile(asked.look)
        turns: list[str] = []
        news = asyncio.Event()

        def watch(turn: int, text: str) -> None:
            turns[turn:] = [text]
            news.set()

        task = asyncio.ensure_future(gateway.answer(asked, watch))
        task.add_done_callback(lambda _: news.set())
        try:
            sent: dict[str, int] = {"reasoning_content": 0, "content": 0}
            begun = 0
            while news.is_set() or not task.done():
                await news.wait()
                news.clear()
                if turns:
                    await self._begin_events(head, asked)  # the first words may be long in coming
                while asked.views and begun < len(turns):
                    views = [] if begun else await gateway.views(asked)
                    told = beginning(turns[:begun], profile, views)
                    await self._send_delta(head, {}, asked, visionthink=told)
                    begun += 1
                for name, text in so_far(turns, profile, asked.stop).items():
                    if len(text) > sent[name]:
                        await self._send_delta(head, {name: text[sent[name] :]}, asked)
                        sent[name] = len(text)
            episode = await task
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        gateway.metrics.finished(episode)
        answer, finish = answer_of(episode, asked.stop)
        if rest := answer[sent["content"] :]:
            await self._send_delta(head, {"content": rest}, asked)
        await self._send_delta(head, {}, asked, finish, visionthink=story(episode, asked.trace))
        if asked.usage:
            await self._send_event(usage_chunk(head, episode))
        await self._end_events()
        return episode

    async def _send_delta(
        self,
        head: Head,
        delta: dict[str, Any],
        asked: ParsedRequest,
        finish: str | None = None,
        **more: Any,
    ) -> None:
        await self._begin_events(head, asked)
        usage = {"usage": None} if asked.usage else {}
        await self._send_event(chunk(head, delta, finish, **usage, **more))

    async def _begin_events(self, head: Head, asked: ParsedRequest) -> None:
        if self._streaming:
            return
        self._streaming = True
        await self._send({"type": "http.response.start", "status": 200, "headers": _EVENTS})
        role = {"role": "assistant", "content": "", "refusal": None}
        await self._send_event(chunk(head, role, **({"usage": None} if asked.usage else {})))

    async def _send_event(self, value: dict[str, Any]) -> None:
        data = json.dumps(value, separators=(",", ":"))
        await self._send_part(f"data: {data}\n\n".encode())

    async def _end_events(self) -> None:
        await self._send_part(b"data: [DONE]\n\n", more=False)

    async def _send_part(self, body: bytes, *, more: bool = True) -> None:
        await self._send({"type": "http.response.body", "body": body, "more_body": more})

    async def _refuse(self, refusal: Refusal) -> None:
        if self._streaming:  # the status is out already
            await self._send_event(refusal.body)
            await self._end_events()
            return
        await send_refusal(refusal, self._scope, self._receive, self._send, unread=not self._read)


_EVENTS = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-cache"),
    (b"x-accel-buffering", b"no"),  # nginx would hold the events back
]
