"""`POST /v1/chat/completions`."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial

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
from visionthink.serving.usage_note import UsageNote


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
        fails_open = self.gateway.passthrough is not None and self.gateway.options.fail_open
        with self.gateway.admission.presence():
            async with self.room_for_body() as keep:
                body = await self.body()
                kept = body if fails_open else b""
                try:
                    asked = await self.gateway.read(body)
                    if not isinstance(asked, Untouched):
                        del body
                        return await self.unless_gone(
                            self._ask(asked, (lambda _: None) if fails_open else keep)
                        )
                except ApiError as error:
                    if not fails_open or error.status != 400 or self._events is not None:
                        raise
                    anyway = partial(self.gateway.anyway, note=error.message)
                    asked = await self.gateway.in_reader(anyway, kept)
                return await self._pass_on(asked)

    async def _pass_on(self, asked: Untouched) -> Outcome:
        request = self.forwarded("chat/completions", asked.body, asked.key)
        if asked.note:
            self.facts["note"] = asked.note
            headers = [each for each in request.headers if each[0].lower() != "accept-encoding"]
            note = UsageNote(asked.note, stream=asked.stream)
            request = replace(request, headers=headers, edit=note)
        return await self.pass_on(request, asked.reason)

    async def _ask(self, asked: ChatRequest, keep: Callable[[int], None]) -> Outcome:
        unknown = asked.unknown
        files = await self.gateway.image_files(asked)
        async with self.gateway.image_memory.share(memory_of(files.values())) as shrink:
            request = await self.gateway.parse(asked, files, self._tenant())
            del asked, files
            keep(0)  # the pictures are enough
            shrink(request.memory)
            self.facts |= {"id": request.head["id"], "model": request.head["model"]}
            self.facts |= {"look": request.look, "stream": request.stream}
            self.facts["unknown_fields"] = unknown or None
            async with (
                self.gateway.admission.place(),
                asyncio.timeout(self.limits.request_seconds),
            ):
                try:
                    episodes = await (self._stream if request.stream else self._whole)(request)
                finally:
                    self.facts["upstream"] = next(iter(request.upstreams), None)
        return Outcome(episodes[0].stop_reason.value, 200, summary(episodes[0]), episodes)

    def _tenant(self) -> str:
        """Whose conversations the request may continue: those of its key."""
        return hashlib.sha256(self.header(b"authorization")).hexdigest()

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
        reply = completion(
            request.head, episodes, request.profile, request.stop, request.trace, request.notes
        )
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
