"""Episodes of random weights whose replies are scripted and whose arithmetic is real."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
from PIL import Image

from visionthink.core import protocol
from visionthink.core.engine import Engine, EngineInfo
from visionthink.core.episode import run_episode
from visionthink.core.images import Picture
from visionthink.core.ledger import text_flops
from visionthink.core.types import Completion, Episode, Example, LookMode, Message, Sampling

TOKENS_PER_TURN = 32
DIRECT = protocol.direct_reply("Clear enough.", "red")
REQUEST = protocol.request_reply("Too small to see.")
AGAIN = protocol.direct_reply("Clear now.", "red")


class ScriptedCourse(Engine):
    """Samples real tokens from the engine, then replaces the text by the script's."""

    def __init__(self, engine: Engine, replies: Sequence[str]) -> None:
        self._engine = engine
        self._replies = list(replies)

    @property
    def about(self) -> EngineInfo:
        return replace(self._engine.about, profile="mini")

    async def generate(self, messages: Sequence[Message], sampling: Sampling) -> Completion:
        completion = await self._engine.generate(messages, sampling)
        return replace(completion, text=self._replies.pop(0))

    async def close(self) -> None:
        await self._engine.close()


def episode(engine: Engine, example: Example, look: LookMode, replies: Sequence[str]) -> Episode:
    course = ScriptedCourse(engine, replies)
    sampling = Sampling(max_tokens=TOKENS_PER_TURN)
    return asyncio.run(run_episode(example, course, look=look, sampling=sampling))


def noise(side: int) -> Example:
    """A question about a square image of noise, which does not compress."""
    values = np.random.default_rng(0).integers(0, 256, (side, side, 3), dtype=np.uint8)
    return Example((Picture(Image.fromarray(values)),), "What colour is the circle?")


def seconds(action: Callable[[], object]) -> float:
    started = time.perf_counter()
    action()
    return time.perf_counter() - started


def flops(done: Episode, engine: Engine) -> int:
    """Prefill plus decode of all turns. After pruning a token attends to what the last layer kept,
    which is a little less than on the layers before.
    """
    about = engine.about
    assert about.shape is not None
    assert done.ledger.prefill_flops is not None
    total, dropped = done.ledger.prefill_flops, 0
    for number, cost in enumerate(done.ledger.turns):
        if cost.kept_visual_tokens is not None:
            seen = sum(look.visual_tokens for look in done.looks_of(number))
            dropped += seen - cost.kept_visual_tokens
        for step in range(cost.completion_tokens - 1):
            total += text_flops(1, cost.prompt_tokens - dropped + step, about.shape)
    return total
