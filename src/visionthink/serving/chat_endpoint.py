"""`POST /v1/chat/completions`."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress

from starlette.responses import JSONResponse
from starlette.types import Receive, Scope, Send

from visionthink.core.types import Episode
from visionthink.serving.api_error import ApiError
from visionthink.serving.chat_request import ChatRequest
from visionthink.serving.chat_response import completion
from visionthink.serving.chat_stream import EventStream, all_or_none, pictured, stream_answer
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

    _events: EventStream | None = None

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
            keep(0)  # the pictures are enough
            shrink(request.memory)
            self.facts |= {"id": request.head["id"], "model": request.head["model"]}
            self.facts |= {"look": request.look, "stream": request.stream}
            self.facts |= {"unknown_fields": asked.unknown or None}
            del asked, files
            async with (
                self.gateway.admission.place(),
                asyncio.timeout(self.limits.request_seconds),
            ):
                episodes = await (self._stream if request.stream else self._whole)(request)
        return Outcome(episodes[0].stop_reason.value, 200, summary(episodes[0]), episodes)

    def _check_headers(self) -> None:
        kind = self.header(b"content-type").split(b";")[0].strip().lower()
        if kind != b"application/json":
            # Browsers ask for permission before they send this type to another site, so no web
            # page can use the server.
            message = "the body must be JSON, sent with the header Content-Type: application/json"
            raise ApiError(415, message)
        self.check_length()

    async def _whole(self, request: ParsedRequest) -> Sequence[Episode]:
        numbers = range(len(request.choices))
        answers = (self.gateway.answer(request, number) for number in numbers)
        episodes = await all_or_none(answers)
        reply = completion(request.head, episodes, request.profile, request.stop, request.trace)
        if request.views:
            reply["visionthink"]["looks"] = await pictured(request, episodes[0].looks)
        await JSONResponse(reply)(self.scope, self.receive, self.send)
        return episodes

    async def _stream(self, request: ParsedRequest) -> Sequence[Episode]:
        events = EventStream(self.send)
        try:
            return await stream_answer(self.gateway, request, events)
        finally:
            self._events = events if events.begun else None

    async def refuse(self, error: ApiError) -> None:
        if self._events is not None:  # the status is out already
            await self._events.event(error.body)
            await self._events.end()
        else:
            await super().refuse(error)
