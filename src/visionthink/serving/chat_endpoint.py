"""`POST /v1/chat/completions`: one request from its first byte to its last."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

from starlette.responses import JSONResponse
from starlette.types import Receive, Scope, Send

from visionthink.core.types import Episode, Look
from visionthink.serving.api_error import ApiError
from visionthink.serving.chat_request import ChatRequest
from visionthink.serving.chat_response import (
    answer_of,
    chunk,
    completion,
    details,
    looks_with_pictures,
    so_far,
    usage_chunk,
)
from visionthink.serving.exchange import Exchange, Outcome
from visionthink.serving.gateway import Gateway, ParsedRequest, Untouched, memory_of
from visionthink.serving.telemetry import summary


class ChatEndpoint:
    """An ASGI application; it holds `receive` itself, so that it notices when a client leaves."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        with suppress(asyncio.CancelledError):  # else uvicorn prints a traceback
            await _Chat(self._gateway, scope, receive, send).run()


class _Chat(Exchange):
    """A chat request and its response."""

    async def answer(self) -> Outcome:
        self._check_headers()
        with self.gateway.admission.presence():
            async with self.room_for_body() as keep:
                body = await self.body()
                asked = await self.gateway.read(body)
                if isinstance(asked, Untouched):
                    request = self.forwarded("chat/completions", asked.body, asked.key)
                    return await self.pass_on(request, asked.reason)
                del body
                return await self.unless_gone(self._ask(asked, keep))

    async def _ask(self, asked: ChatRequest, keep: Callable[[int], None]) -> Outcome:
        files = await self.gateway.image_files(asked)
        async with self.gateway.image_memory.share(memory_of(files.values())) as shrink:
            request = await self.gateway.parse(asked, files)
            del asked, files
            keep(0)  # the pictures are enough
            shrink(request.memory)
            self.facts |= {"id": request.head["id"], "model": request.head["model"]}
            self.facts |= {"look": request.look, "stream": request.stream}
            async with (
                self.gateway.admission.place(),
                asyncio.timeout(self.limits.request_seconds),
            ):
                episode = await (self._stream if request.stream else self._whole)(request)
        return Outcome(episode.stop_reason.value, 200, summary(episode), [episode])

    def _check_headers(self) -> None:
        kind = self.header(b"content-type").split(b";")[0].strip().lower()
        if kind != b"application/json":
            # Browsers ask for permission before they send this type to another site, so no web
            # page can use the server.
            message = "the body must be JSON, sent with the header Content-Type: application/json"
            raise ApiError(415, message)
        self.check_length()

    async def _whole(self, request: ParsedRequest) -> Episode:
        gateway = self.gateway
        episode = await gateway.answer(request)
        gateway.metrics.episode_finished(episode)
        profile = gateway.profile(request.look, request.profile)
        reply = completion(request.head, episode, profile, request.stop, request.trace)
        if request.views:
            reply["visionthink"]["looks"] = await _pictured(request, episode.looks)
        await JSONResponse(reply)(self.scope, self.receive, self.send)
        return episode

    async def _stream(self, request: ParsedRequest) -> Episode:
        """Send thoughts as they come, then the answer, which no later turn can change."""
        gateway, profile = self.gateway, self.gateway.profile(request.look, request.profile)
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
        if not self.streaming:
            self.streaming = True
            await self.send({"type": "http.response.start", "status": 200, "headers": _EVENTS})
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
        await self.send({"type": "http.response.body", "body": body, "more_body": True})

    async def _end_events(self) -> None:
        await self.send({"type": "http.response.body", "body": b"data: [DONE]\n\n"})

    async def refuse(self, error: ApiError) -> None:
        if self.streaming:  # the status is out already
            await self._send_event(error.body)
            await self._end_events()
        else:
            await super().refuse(error)


async def _pictured(request: ParsedRequest, looks: Sequence[Look]) -> list[dict[str, Any]]:
    return await asyncio.to_thread(looks_with_pictures, looks, request.example.images)


_EVENTS = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-cache"),
    (b"x-accel-buffering", b"no"),  # nginx would hold the events back
]
