"""Rollouts: many episodes at once, their replies generated in rounds that all processes share.

An episode is `run_episode`, the same code that asks, evaluates and serves. Its engine here gathers
the replies that episodes wait for and hands them to a generator, one batch after another, until no
process has any left. A process that has none left still takes part: sharded models and some servers
need every process in every round.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from visionthink.core.engine import Engine, EngineInfo
from visionthink.core.episode import run_episode
from visionthink.core.rewards import GroupScore
from visionthink.core.types import (
    Completion,
    Episode,
    Example,
    Message,
    Sampling,
    Usage,
)
from visionthink.engines.hf_checkpoint import Checkpoint
from visionthink.engines.hf_prompt import Prompt, build_prompt
from visionthink.training.rollout_facts import Facts


class Generator(Protocol):
    """What turns prompts into replies, on all processes together."""

    def any_process(self, waiting: bool, /) -> bool:
        """Whether any process waits for replies; every process calls this, in step."""
        ...

    def generate(self, prompts: Sequence[Prompt]) -> list[tuple[int, ...]]:
        """Sampled token ids of each prompt, stop token last. `prompts` may be empty."""
        ...


@dataclass
class _Job:
    prompt: Prompt
    max_tokens: int
    future: asyncio.Future[Completion]


class LockstepEngine(Engine):
    """An `Engine` whose replies come in rounds of at most `batch`; see the module."""

    def __init__(self, checkpoint: Checkpoint, generator: Generator, batch: int) -> None:
        self._checkpoint = checkpoint
        self._generator = generator
        self._batch = batch
        self._waiting: list[_Job] = []

    @property
    def about(self) -> EngineInfo:
        held = self._checkpoint
        return EngineInfo(held.name, held.grid, held.shape, held.profile, device=held.device.type)

    async def generate(self, messages: Sequence[Message], sampling: Sampling) -> Completion:
        """Reply in a coming round."""
        future: asyncio.Future[Completion] = asyncio.get_running_loop().create_future()
        prompt = build_prompt(messages, self._checkpoint)
        self._waiting.append(_Job(prompt, sampling.max_tokens, future))
        return await future

    async def serve(self) -> None:
        """Answer whatever waits, round by round, until no process waits for anything."""
        while True:
            # Each episode runs on to its next reply or its end before it gives way.
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            if not self._generator.any_process(bool(self._waiting)):
                return
            jobs = self._waiting[: self._batch]
            del self._waiting[: self._batch]
            started = time.perf_counter()
            replies = self._generator.generate([job.prompt for job in jobs])
            seconds = (time.perf_counter() - started) / max(1, len(jobs))
            for job, ids in zip(jobs, replies, strict=True):
                job.future.set_result(self._completion(job, ids[: job.max_tokens], seconds))

    def _completion(self, job: _Job, ids: tuple[int, ...], seconds: float) -> Completion:
        stopped = bool(ids) and ids[-1] in self._checkpoint.stop_ids
        text = self._checkpoint.tokenizer.decode(
            ids[:-1] if stopped else ids,
            skip_special_tokens=True,
            clean_up_tokenization_spaces=False,
        )
        return Completion(
            text=text,
            finish="stop" if stopped else "length",
            usage=Usage(len(job.prompt.ids), len(ids), seconds=seconds),
            token_ids=ids,
        )


def roll_out(examples: Sequence[Example], engine: LockstepEngine, **options: Any) -> list[Episode]:
    """One episode for each example, in order. Every process must call this at the same time.

    `options` are those of `run_episode`.
    """

    async def run() -> list[Episode]:
        episodes = [
            asyncio.ensure_future(run_episode(example, engine, **options)) for example in examples
        ]
        try:
            await engine.serve()
            return list(await asyncio.gather(*episodes))
        finally:
            for episode in episodes:
                episode.cancel()

    return asyncio.run(run())


@dataclass
class Rollouts:
    """One generation batch of this process, and the facts of all processes.

    Attributes:
        rows: places in the data set, N on this process.
        episodes: N.
        facts: of all N x processes episodes, groups contiguous; the same on every process.
        scores: of all groups.
        shares: the advantages of all episodes.
    """

    rows: list[int]
    episodes: list[Episode]
    facts: list[Facts]
    scores: list[GroupScore] = field(default_factory=list)
    shares: list[float] = field(default_factory=list)
