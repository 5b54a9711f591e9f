"""Streamed replies: server-sent events, joined into the body of an unstreamed reply."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator
from typing import Any

from visionthink.core.protocol import render_thought
from visionthink.engines.openai_http import MAX_BODY, UNREADABLE
from visionthink.engines.openai_replies import Server, printable, read_json


async def received(response: Any) -> AsyncGenerator[bytes]:
    """The body of a response as it arrives, bounded; errors are those of an unstreamed request."""
    import httpx2
    import openai

    size = 0
    try:
        async for data in response.aiter_bytes():
            size += len(data)
            if size > MAX_BODY:
                raise openai.APIResponseValidationError(response, None)
            yield data
    except httpx2.TimeoutException as error:
        raise openai.APITimeoutError(response.request) from error
    except httpx2.DecodingError:
        raise openai.APIResponseValidationError(response, None, message=UNREADABLE) from None
    except httpx2.TransportError as error:
        raise openai.APIConnectionError(request=response.request) from error
    finally:
        await response.aclose()


class Pieces:
    """A partial reply. `feed` it what arrives; `text` only grows at its end."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._half_line = b""
        self._ended = False
        self._thought = ""
        self._content = ""
        self._calls: dict[int, dict[str, str]] = {}
        self._finish: str | None = None
        self._usage: object = None
        self._logprobs: list[Any] = []

    def feed(self, data: bytes) -> None:
        """Add what arrived.

        Raises:
            ServerError: the server reports a failure, or sends something other than events.
        """
        *lines, self._half_line = (self._half_line + data).split(b"\n")
        for line in lines:
            if line.startswith(b"data:"):
                self._take(line[5:].strip())

    @property
    def text(self) -> str:
        """The reply so far; calls are left out until it is complete."""
        if not self._thought:
            return printable(self._content)
        closed = bool(self._content or self._calls)
        return printable(render_thought(self._thought, closed=closed) + self._content)

    def whole(self) -> bytes:
        """The body that the reply would have had unstreamed.

        Raises:
            ServerError: the stream ended before the reply did.
        """
        if not self._ended:
            raise self._server.cut_off()
        calls = [
            {"id": self._calls[index].pop("id", None), "function": self._calls[index]}
            for index in sorted(self._calls)
        ]
        # An unstreamed body distinguishes an empty reply from one without text or calls.
        content = self._content if self._content or not (calls or self._thought) else None
        message = {"content": content, "reasoning": self._thought, "tool_calls": calls}
        choice: dict[str, Any] = {"message": message, "finish_reason": self._finish}
        choice["logprobs"] = {"content": self._logprobs} if self._logprobs else None
        return json.dumps({"choices": [choice], "usage": self._usage}).encode()

    def _take(self, data: bytes) -> None:
        if data == b"[DONE]":
            self._ended = True
            return
        event = read_json(self._server, data)
        if event.get("error"):
            raise self._server.failed_midway(data)
        self._usage = event.get("usage") or self._usage
        choices = event.get("choices")
        choice = choices[0] if isinstance(choices, list) and choices else None
        if not isinstance(choice, dict):
            return
        if isinstance(finish := choice.get("finish_reason"), str):
            self._finish, self._ended = finish, True
        logprobs = choice.get("logprobs")
        tokens = logprobs.get("content") if isinstance(logprobs, dict) else None
        self._logprobs += tokens if isinstance(tokens, list) else []
        delta = choice.get("delta")
        if not isinstance(delta, dict):
            return
        thought = delta.get("reasoning_content") or delta.get("reasoning")
        content = delta.get("content") or delta.get("refusal")
        self._thought += thought if isinstance(thought, str) else ""
        self._content += content if isinstance(content, str) else ""
        calls = delta.get("tool_calls")
        for call in calls if isinstance(calls, list) else ():
            self._take_call(call)

    def _take_call(self, piece: Any) -> None:
        function = piece.get("function") if isinstance(piece, dict) else None
        if not isinstance(function, dict):
            return
        index = piece.get("index")
        call = self._calls.setdefault(index if isinstance(index, int) else 0, {"arguments": ""})
        if isinstance(piece.get("id"), str):
            call["id"] = piece["id"]
        for name in ("name", "arguments"):
            if isinstance(function.get(name), str):
                call[name] = call.get(name, "") + function[name]
