"""A streamed answer: what the model writes becomes events while it writes."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Coroutine, Iterable, Mapping, Sequence
from typing import Any, TypeVar

from starlette.types import Send

from visionthink.core.types import Episode, Look
from visionthink.serving.chat_response import (
    answer_logprobs,
    answer_of,
    chunk,
    details,
    looks_with_pictures,
    so_far,
    tool_calls,
    usage_chunk,
)
from visionthink.serving.gateway import Gateway, ParsedRequest

T = TypeVar("T")

HEADERS = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-cache"),
    (b"x-accel-buffering", b"no"),  # nginx would hold the events back
]


class EventStream:
    """Server-sent events; the response begins with the first of them."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self.begun = False

    async def begin(self) -> None:
        self.begun = True
        await self._send({"type": "http.response.start", "status": 200, "headers": HEADERS})

    async def event(self, value: Mapping[str, Any]) -> None:
        body = f"data: {json.dumps(value, separators=(',', ':'))}\n\n".encode()
        await self._send({"type": "http.response.body", "body": body, "more_body": True})

    async def end(self) -> None:
        await self._send({"type": "http.response.body", "body": b"data: [DONE]\n\n"})


class _Choice:
    """One of the choices of a stream: what was written, and how much of it was sent."""

    def __init__(self, number: int, request: ParsedRequest, news: asyncio.Event) -> None:
        self.number = number
        self._request = request
        self._news = news
        self._turns: list[str] = []
        self._looks: list[Sequence[Look]] = []
        self._sent = {"reasoning_content": "", "content": ""}
        self._begun = 0

    def watch(self, turn: int, text: str) -> None:
        self._turns[turn:] = [text]
        self._news.set()

    def shown(self, looks: Sequence[Look]) -> None:
        self._looks.append(looks)

    @property
    def writing(self) -> bool:
        return bool(self._turns)

    async def news(self) -> list[dict[str, Any]]:
        """Chunks with what came since the last call and cannot change any more."""
        request = self._request
        chunks: list[dict[str, Any]] = []
        while request.views and self._begun < min(len(self._turns), len(self._looks)):
            looks = await pictured(request, self._looks[self._begun])
            chunks.append(self._chunk({}, visionthink={"turn": self._begun, "looks": looks}))
            self._begun += 1
        for name, text in so_far(self._turns, request.profile, request.stop, self._guided).items():
            if rest := text[len(self._sent[name]) :]:
                chunks.append(self._chunk({name: rest}))
                self._sent[name] = text
        return chunks

    def rest(self, episode: Episode) -> list[dict[str, Any]]:
        """What was not sent yet when the episode is over."""
        answer, finish = answer_of(episode, self._request.stop)
        missing = answer[len(self._sent["content"]) :]
        facts = details(episode, self._request.trace)
        last = self._chunk({}, finish, logprobs=answer_logprobs(episode), visionthink=facts)
        calls = [{"index": index, **call} for index, call in enumerate(tool_calls(episode))]
        pieces = [{"content": missing}] * bool(missing) + [{"tool_calls": calls}] * bool(calls)
        return [*map(self._chunk, pieces), last]

    @property
    def _guided(self) -> bool | None:
        """Looks are shown before each turn but the one that keeps the form."""
        return None if self._request.form is None else len(self._turns) > len(self._looks)

    def role(self) -> dict[str, Any]:
        return self._chunk({"role": "assistant", "content": "", "refusal": None})

    def _chunk(
        self, delta: dict[str, Any], finish: str | None = None, **more: Any
    ) -> dict[str, Any]:
        usage = {"usage": None} if self._request.usage else {}
        return chunk(self._request.head, delta, finish, index=self.number, **usage, **more)


async def stream_answer(
    gateway: Gateway, request: ParsedRequest, events: EventStream
) -> Sequence[Episode]:
    """Send thoughts and answers as they come; each choice is an episode.

    Raises:
        ApiError, EngineError, UsageError, ImageError: see `Gateway.answer`.
    """
    news = asyncio.Event()
    choices = [_Choice(number, request, news) for number in range(len(request.choices))]
    answers = (gateway.answer(request, each.number, each.watch, each.shown) for each in choices)
    task = asyncio.ensure_future(all_or_none(answers))
    task.add_done_callback(lambda _: news.set())
    try:
        while news.is_set() or not task.done():
            await news.wait()
            news.clear()
            if any(choice.writing for choice in choices):
                await _begin(events, choices)  # the first words may take long
            for choice in choices:
                for each in await choice.news():
                    await events.event(each)
        episodes = await task
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    await _begin(events, choices)
    for choice, episode in zip(choices, episodes, strict=True):
        for each in choice.rest(episode):
            await events.event(each)
    if request.usage:
        await events.event(usage_chunk(request.head, episodes, request.notes))
    await events.end()
    return episodes


async def _begin(events: EventStream, choices: Sequence[_Choice]) -> None:
    if not events.begun:
        await events.begin()
        for choice in choices:
            await events.event(choice.role())


async def all_or_none(work: Iterable[Coroutine[Any, Any, T]]) -> list[T]:
    """The results; the first error ends all of them."""
    tasks = [asyncio.ensure_future(each) for each in work]
    try:
        return list(await asyncio.gather(*tasks))
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def pictured(request: ParsedRequest, looks: Sequence[Look]) -> list[dict[str, Any]]:
    return await asyncio.to_thread(looks_with_pictures, looks, request.example.images)
