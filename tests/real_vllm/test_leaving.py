"""A client of `visionthink serve` leaves, and the real vLLM server behind it stops generating."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import openai
import pytest
from conftest import Served

from serving.gateway_process import gateway, wait_for
from serving.gateways import image_part, png, request, user

pytestmark = [
    pytest.mark.vllm,
    pytest.mark.parametrize("served", ["random-qwen3-vl"], indirect=True),
]

TALK: Any = request(
    user("4?", image_part(png(128, 128))), model="random-qwen3-vl:high", max_completion_tokens=3000
)
"""Random weights talk on until they have used up their tokens, which takes them many seconds."""


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_vllm_stops_when_a_client_leaves(served: Served, stream: bool):
    """It runs nothing any more, long before the 3,000 tokens are there, and so does the gateway.

    (vLLM's count of aborted requests leaves out those whose clients went away.)
    """

    def generated() -> float:
        return served.server.metric("vllm:generation_tokens_total") - before

    before = 0.0
    before = generated()
    with gateway("--upstream", served.url, "--profile", "mini") as server:
        asyncio.run(leave(server.url, stream, generated))
        wait_for(lambda: server.metric("visionthink_requests_total gone") == 1)
        wait_for(lambda: served.server.metric("vllm:num_requests_running") == 0)
        assert 0 < generated() < 2900
        assert server.metric("visionthink_requests_running") == 0
        assert server.metric(f"visionthink_upstream_running {served.url}") == 0


async def leave(url: str, stream: bool, generated: Callable[[], float]) -> None:
    """Ask, and hang up when the answer has begun."""
    async with openai.AsyncOpenAI(base_url=url, api_key="none", max_retries=0) as client:
        asked = asyncio.create_task(client.chat.completions.create(**TALK, stream=stream))
        if stream:
            events: Any = await asked
            await anext(aiter(events))
            await events.close()
        else:
            while generated() == 0:
                await asyncio.sleep(0.05)
            asked.cancel()
            await asyncio.gather(asked, return_exceptions=True)
