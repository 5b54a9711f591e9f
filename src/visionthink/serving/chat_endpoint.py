"""`POST /v1/chat/completions`: one request from its first byte to its last."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Coroutine, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any, TypeVar

from starlette.responses import JSONResponse
from starlette.types import Message, Receive, Scope, Send

from visionthink.core.types import Episode, Look
from visionthink.serving.api_error import ApiError, api_error, send_error
from visionthink.serving.chat_response import (
    answer_of,
    chunk,
    completion,
    details,
    looks_with_pictures,
    so_far,
    usage_chunk,
)
from visionthink.serving.gateway import Gateway, ParsedRequest
from visionthink.serving.telemetry import console, origin, summary

T = TypeVar("T")

BUFFERED = 2**16
"""Bytes that a connection accepts without waiting for the client to read them."""


class _ClientGone(Exception):
    """The client left."""


class ChatEndpoint:
    """An ASGI application; it holds `receive` itself, so that it notices when a client leaves."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        with suppress(asyncio.CancelledError):  # else uvicorn prints a traceback
            await _Exchange(self._gateway, scope, receive, send).run()


class _Exchange:
    """A request and its response."""

    def __init__(self, gateway: Gateway, scope: Scope, receive: Receive, send: Send) -> None:
        self._gateway = gateway
        self._limits = gateway.options.limits
        self._scope = scope
        self._receive = receive
        self._send_now = send
        self._end: Message | None = None
        self._request: ParsedRequest | None = None
        self._read = False
        self._streaming = False

    async def run(self) -> None:
        began = time.perf_counter()
        outcome, status, words = "gone", 499, "the client left"
        episode = None
        try:
            episode = await self._answer()
            outcome, status, words = episode.stop_reason.value, 200, summary(episode)
        except _ClientGone:
            pass
        except (Exception, asyncio.CancelledError) as error:  # cancelled: draining took too long
            refused = api_error(error)
            status, words = refused.status, refused.code or "invalid"
            if refused.code == "internal_error":
                words = origin(error)
            outcome = "failed" if status >= 500 else "busy" if status == 429 else "refused"
            await self._refuse(refused)
        finally:
            seconds = time.perf_counter() - began
            self._gateway.metrics.request_ended(outcome, seconds)
            console.info("%d %s, %.2f s", status, words, seconds)
            self._log(outcome, status, seconds, episode)
            if self._end is not None:
                await self._send_now(self._end)

    async def _send(self, message: Message) -> None:
        """Send, but hold the end back until the request is counted and its place is free.

        A client that has the end may ask again at once, and must not be turned away because of its
        own place. A large end is sent at once: one that the client never reads must keep its place,
        or such requests would pile up.
        """
        last = message["type"] == "http.response.body" and not message.get("more_body", False)
        if last and len(message.get("body", b"")) <= BUFFERED:
            self._end = message
        else:
            await self._send_now(message)

    def _log(self, outcome: str, status: int, seconds: float, episode: Episode | None) -> None:
        if self._gateway.log is None:
            return
        facts: dict[str, Any] = {
            "time": datetime.now(UTC).isoformat(timespec="milliseconds"),
            "status": status,
            "outcome": outcome,
            "seconds": round(seconds, 4),
        }
        if (request := self._request) is not None:
            facts |= {"id": request.head["id"], "model": request.head["model"]}
            facts |= {"look": request.look, "stream": request.stream}
        self._gateway.log.write(facts, episode)

    async def _answer(self) -> Episode:
        self._check_headers()
        async with (
            self._gateway.admission.place(),
            asyncio.timeout(self._limits.request_seconds),
        ):
            body = await self._body()
            async with self._gateway.pixel_budget.share(self._limits.pixels) as shrink:
                request = self._request = await self._gateway.parse(body)
                shrink(request.pixels)
                del body  # the decoded images are enough
                work = self._stream(request) if request.stream else self._whole(request)
                return await self._unless_gone(work)

    def _check_headers(self) -> None:
        headers = {name.lower(): value for name, value in self._scope["headers"]}
        kind = headers.get(b"content-type", b"").split(b";")[0].strip().lower()
        if kind != b"application/json":
            # Browsers ask for permission before they send this type to another site, so no web
            # page can use the server.
            message = "the body must be JSON, sent with the header Content-Type: application/json"
            raise ApiError(415, message)
        length = headers.get(b"content-length", b"0")
        if not length.isdigit() or int(length) > self._limits.body:
            raise self._too_large()

    def _too_large(self) -> ApiError:
        message = (
            f"the body has more than {self._limits.body:,} bytes; send fewer or smaller images"
        )
        return ApiError(413, message, code="body_too_large")

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
            raise ApiError(408, message) from None
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

    async def _whole(self, request: ParsedRequest) -> Episode:
        gateway = self._gateway
        episode = await gateway.answer(request)
        gateway.metrics.episode_finished(episode)
        profile = gateway.profile(request.look)
        reply = completion(request.head, episode, profile, request.stop, request.trace)
        if request.views:
            reply["visionthink"]["looks"] = await _pictured(request, episode.looks)
        await JSONResponse(reply)(self._scope, self._receive, self._send)
        return episode

    async def _stream(self, request: ParsedRequest) -> Episode:
        """Send thoughts as they come, then the answer, which no later turn can change."""
        gateway, profile = self._gateway, self._gateway.profile(request.look)
        turns: list[str] = []
        looks: list[Sequence[Look]] = []
        news = asyncio.Event()

        def watch(turn: int, text: str) -> None:
            turns[turn:] = [text]
            news.set()

        task = asyncio.ensure_future(gateway.answer(request, watch, looks.append))
        task.add_done_callback(lambda _: news.set())
        try:
            sent: dict[str, int] = {"reasoning_content": 0, "content": 0}
            begun = 0
            while news.is_set() or not task.done():
                await news.wait()
                news.clear()
                if turns:
                    await self._begin_events(request)  # the first words may take long
                while request.views and begun < len(turns):
                    facts = {"turn": begun, "looks": await _pictured(request, looks[begun])}
                    await self._send_chunk(request, {}, visionthink=facts)
                    begun += 1
                for name, text in so_far(turns, profile, request.stop).items():
                    if len(text) > sent[name]:
                        await self._send_chunk(request, {name: text[sent[name] :]})
                        sent[name] = len(text)
            episode = await task
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        gateway.metrics.episode_finished(episode)
        answer, finish = answer_of(episode, request.stop)
        if rest := answer[sent["content"] :]:
            await self._send_chunk(request, {"content": rest})
        facts = details(episode, request.trace)
        await self._send_chunk(request, {}, finish, visionthink=facts)
        if request.usage:
            await self._send_event(usage_chunk(request.head, episode))
        await self._end_events()
        return episode

    async def _begin_events(self, request: ParsedRequest) -> None:
        if not self._streaming:
            self._streaming = True
            await self._send({"type": "http.response.start", "status": 200, "headers": _EVENTS})
            role = {"role": "assistant", "content": "", "refusal": None}
            await self._send_chunk(request, role)

    async def _send_chunk(
        self, request: ParsedRequest, delta: dict[str, Any], finish: str | None = None, **more: Any
    ) -> None:
        await self._begin_events(request)
        usage = {"usage": None} if request.usage else {}
        await self._send_event(chunk(request.head, delta, finish, **usage, **more))

    async def _send_event(self, value: dict[str, Any]) -> None:
        body = f"data: {json.dumps(value, separators=(',', ':'))}\n\n".encode()
        await self._send({"type": "http.response.body", "body": body, "more_body": True})

    async def _end_events(self) -> None:
        await self._send({"type": "http.response.body", "body": b"data: [DONE]\n\n"})

    async def _refuse(self, error: ApiError) -> None:
        if self._streaming:  # the status is out already
            await self._send_event(error.body)
            await self._end_events()
            return
        unread = not self._read and error.code != "shutting_down"  # then there is no time for it
        await send_error(error, self._scope, self._receive, self._send, unread=unread)


async def _pictured(request: ParsedRequest, looks: Sequence[Look]) -> list[dict[str, Any]]:
    return await asyncio.to_thread(looks_with_pictures, looks, request.example.images)


_EVENTS = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-cache"),
    (b"x-accel-buffering", b"no"),  # nginx would hold the events back
]
