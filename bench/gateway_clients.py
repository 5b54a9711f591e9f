"""Two clients of the bench: one runs the episodes itself, one leaves them to the server.

`BareClient` is what a careful engineer writes with httpx and Pillow: one pool of connections,
images off the event loop, each encoded once and sent as the same bytes in both turns. It uses
the prompts of the profile, and no other code of ours.
"""

from __future__ import annotations

import asyncio
import base64
import io
import re
import time
from dataclasses import dataclass
from typing import Any

import httpx2
from PIL import Image

from visionthink.core.profiles import PROFILES
from visionthink.core.protocol import CALL

RULES = PROFILES["mini"]
TOKENS = 2048
BLOCK = 32
"""Tokens in a block of vLLM's cache on a CPU; whole blocks are found again."""


@dataclass(frozen=True)
class Answered:
    """What came of a question. `tokens`: of the prompts and of the replies; `hit`: whether the
    second prompt met the cache of the first; `image_seconds`: that the client took over images.
    """

    text: str
    requested: bool
    tokens: tuple[int, int]
    hit: bool
    image_seconds: float


def halve(data: bytes) -> Image.Image:
    """The image of a file at half width and height."""
    image = Image.open(io.BytesIO(data)).convert("RGB")
    return image.resize((image.width // 2, image.height // 2), Image.Resampling.LANCZOS)


def halved_file(data: bytes) -> bytes:
    buffer = io.BytesIO()
    halve(data).save(buffer, "PNG", compress_level=4)
    return buffer.getvalue()


def image_part(data: bytes) -> dict[str, Any]:
    url = f"data:image/png;base64,{base64.b64encode(data).decode()}"
    return {"type": "image_url", "image_url": {"url": url}}


def parts_of(template: str, image: dict[str, Any], question: str = "") -> list[dict[str, Any]]:
    """The template with the image and the question in their places."""
    before, after = template.replace("{question}", question).split("{image}")
    texts = [{"type": "text", "text": text} if text else None for text in (before, after)]
    return [part for part in (texts[0], image, texts[1]) if part]


def finds_first(first_prompt: int, cached: int) -> bool:
    """Whether all whole blocks of the first prompt, image included, were found in the cache."""
    return cached >= first_prompt // BLOCK * BLOCK > 0


@dataclass(frozen=True)
class Client:
    """Asks for a chat completion at `url`, which ends in /v1."""

    http: httpx2.AsyncClient
    url: str
    model: str

    async def complete(self, messages: list[dict[str, Any]], **fields: Any) -> dict[str, Any]:
        body = {"model": self.model, "messages": messages, **fields}
        response = await self.http.post(f"{self.url}/chat/completions", json=body)
        response.raise_for_status()
        return response.json()


class BareClient(Client):
    """Asks the upstream itself."""

    async def ask(self, data: bytes, question: str) -> Answered:
        began = time.perf_counter()
        half = await asyncio.to_thread(halved_file, data)
        image_seconds = time.perf_counter() - began
        messages = [
            {"role": "system", "content": RULES.system},
            {"role": "user", "content": parts_of(RULES.user, image_part(half), question)},
        ]
        text, first = await self._reply(messages)
        turns = [first]
        if CALL[0] in text:
            assert RULES.tool_response
            shown = parts_of(RULES.tool_response, image_part(data))
            messages += [
                {"role": "assistant", "content": text},
                {"role": "user", "content": shown},
            ]
            text, second = await self._reply(messages)
            turns.append(second)
        found = re.search(r"<answer>(.*?)</answer>", text, re.DOTALL)
        prompt, generated = (
            sum(turn[name] for turn in turns) for name in ("prompt_tokens", "completion_tokens")
        )
        cached = turns[-1]["prompt_tokens_details"]["cached_tokens"]
        hit = finds_first(turns[0]["prompt_tokens"], cached)
        answer = found[1].strip() if found else ""
        return Answered(answer, len(turns) > 1, (prompt, generated), hit, image_seconds)

    async def _reply(self, messages: list[dict[str, Any]]) -> tuple[str, dict[str, Any]]:
        reply = await self.complete(messages, temperature=0, max_tokens=TOKENS)
        return reply["choices"][0]["message"]["content"], reply["usage"]


class ServerClient(Client):
    """Asks `visionthink serve`, with its turns in the reply."""

    async def ask(self, data: bytes, question: str) -> Answered:
        content = [{"type": "text", "text": question}, image_part(data)]
        reply = await self.complete([{"role": "user", "content": content}])
        usage, turns = reply["usage"], reply["visionthink"]["turns"]
        return Answered(
            reply["choices"][0]["message"]["content"],
            usage["visionthink"]["requested"],
            (usage["prompt_tokens"], usage["completion_tokens"]),
            finds_first(turns[0]["cost"]["prompt_tokens"], turns[-1]["cost"]["cached_tokens"]),
            0.0,
        )
