"""An engine on transformers: one process, one model, CPU, CUDA or MPS.

Concurrent episodes are batched. A single-stream episode (nothing else waiting) continues its second
turn from the first turn's KV cache, so that only the new tokens are prefilled.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Protocol

from visionthink.core.engine import Engine, EngineInfo
from visionthink.core.errors import EngineError, PromptError, UsageError
from visionthink.core.ledger import Pruned
from visionthink.core.types import Completion, Message, Sampling, Usage
from visionthink.engines.hf_checkpoint import Checkpoint, load_checkpoint, torch
from visionthink.engines.hf_decode import Decoded, Prefix, decode
from visionthink.engines.hf_prompt import Prompt, build_prompt

HALF = "\ufffd"
"""What bytes of a partial character decode to; the next token may complete it."""
GATHER_SECONDS = 0.001
"""How long a batch waits for episodes that are about to ask."""


@dataclass
class _Job:
    messages: tuple[Message, ...]
    sampling: Sampling
    future: asyncio.Future[Completion]
    heard: Callable[[str], None] | None
    started: float = field(default_factory=time.perf_counter)


@dataclass
class _Queue:
    """The jobs of one event loop that wait, and the task that processes them."""

    waiting: list[_Job] = field(default_factory=list)
    worker: asyncio.Task[None] | None = None


class Intervention(Protocol):
    """Changes how the model computes a reply, as the methods of `pruning` do."""

    @property
    def reuses_prefix(self) -> bool:
        """Whether the next turn may continue from the KV cache that it leaves."""
        ...

    def check(self, checkpoint: Checkpoint) -> None:
        """Raise UsageError if it does not fit the model."""
        ...

    def during(
        self, checkpoint: Checkpoint, prompt: Prompt, past: int
    ) -> AbstractContextManager[Callable[[], Pruned]]:
        """In force while the context is open; `past` tokens of the prompt are cached.

        The context yields a function that returns, after the reply, what was run of the prompt.
        """
        ...


class HFEngine(Engine):
    """Replies with a transformers model.

    Args:
        model: folder or hub id, or a checkpoint already loaded.
        name: of the model in records; default: `model`.
        device, dtype, max_pixels, trust_remote_code: see `load_checkpoint`.
        max_batch: how many concurrent replies are computed together.
        reuse_prefix: continue a second turn from the first turn's KV cache.

    Attributes:
        thread: where the model computes, one batch after another for all event loops. Code that
            uses `checkpoint` directly should run in it too, or both become slower.
    """

    def __init__(
        self,
        model: str | Path | Checkpoint,
        *,
        name: str | None = None,
        device: str = "auto",
        dtype: str = "auto",
        max_pixels: int | None = None,
        trust_remote_code: bool = False,
        max_batch: int = 16,
        reuse_prefix: bool = True,
    ) -> None:
        if max_batch < 1:
            raise UsageError(f"max_batch must be at least 1; got {max_batch}")
        # All computation, loading included, happens in this one thread. Each computing thread has
        # its own OpenMP team, and teams that together outnumber the cores sleep between
        # operations: decoding would take 50 % longer.
        self.thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="visionthink-model")
        if isinstance(model, Checkpoint):
            self.checkpoint = model
        else:
            load = partial(
                load_checkpoint,
                model,
                device=device,
                dtype=dtype,
                max_pixels=max_pixels,
                trust_remote_code=trust_remote_code,
            )
            self.checkpoint = self.thread.submit(load).result()
        self._name = name
        self._max_batch = max_batch
        self._reuse_prefix = reuse_prefix
        self._prefix: Prefix | None = None
        self._queues: dict[asyncio.AbstractEventLoop, _Queue] = {}
        self._intervention: Intervention | None = None

    @property
    def about(self) -> EngineInfo:
        checkpoint = self.checkpoint
        return EngineInfo(
            model=self._name or checkpoint.name,
            grid=checkpoint.grid,
            shape=checkpoint.shape,
            profile=checkpoint.profile,
            device=checkpoint.device.type,
        )

    def altered(self, intervention: Intervention) -> HFEngine:
        """An engine on the same weights that replies under `intervention`, one reply at a time.

        The two never compute at the same time, so this one stays as it is.

        Raises:
            UsageError: the intervention does not fit the model.
        """
        intervention.check(self.checkpoint)
        reuse = self._reuse_prefix and intervention.reuses_prefix
        changed = HFEngine(self.checkpoint, name=self._name, max_batch=1, reuse_prefix=reuse)
        changed._intervention = intervention
        changed.thread = self.thread
        return changed

    async def generate(self, messages: Sequence[Message], sampling: Sampling) -> Completion:
        """Reply to `messages` in the next batch. Raises EngineError."""
        return await self._ask(messages, sampling, None)

    async def stream(
        self, messages: Sequence[Message], sampling: Sampling, heard: Callable[[str], None]
    ) -> Completion:
        """As `generate`; `heard` gets the reply so far with each token that adds to it."""
        return await self._ask(messages, sampling, heard)

    async def _ask(
        self,
        messages: Sequence[Message],
        sampling: Sampling,
        heard: Callable[[str], None] | None,
    ) -> Completion:
        loop = asyncio.get_running_loop()
        queue = self._queue(loop)
        job = _Job(tuple(messages), sampling, loop.create_future(), heard)
        queue.waiting.append(job)
        if queue.worker is None or queue.worker.done():
            queue.worker = loop.create_task(self._work(queue))
        return await job.future

    async def close(self) -> None:
        """Drop the KV cache; the model is freed with the engine."""
        self._prefix = None

    def _queue(self, loop: asyncio.AbstractEventLoop) -> _Queue:
        """The queue of this loop: tasks and futures cannot change loops."""
        for ended in [other for other in list(self._queues) if other.is_closed()]:
            self._queues.pop(ended, None)
        return self._queues.setdefault(loop, _Queue())

    async def _work(self, queue: _Queue) -> None:
        loop = asyncio.get_running_loop()
        while queue.waiting:
            if self._max_batch > 1:
                await asyncio.sleep(GATHER_SECONDS)
            batch = queue.waiting[: self._max_batch]
            del queue.waiting[: self._max_batch]
            batch = [job for job in batch if not job.future.done()]
            if not batch:
                continue
            try:
                replies = await loop.run_in_executor(self.thread, self._reply, batch)
            except Exception as error:
                replies = [error] * len(batch)
            for job, reply in zip(batch, replies, strict=True):
                if job.future.done():
                    continue
                if isinstance(reply, Exception):
                    job.future.set_exception(reply)
                else:
                    job.future.set_result(reply)

    def _reply(self, batch: Sequence[_Job]) -> list[Completion | Exception]:
        """Reply to a batch; a prompt that cannot be built fails alone."""
        results: dict[int, Completion | Exception] = {}
        prompts: dict[int, Prompt] = {}
        for index, job in enumerate(batch):
            try:
                prompts[index] = self._prompt(job)
            except Exception as error:  # chat templates raise anything
                results[index] = error
        if prompts:
            samplings = [self._sampling(batch[i], prompt) for i, prompt in prompts.items()]
            rows = [batch[i] for i in prompts]
            decoded = self._decode(
                list(prompts.values()),
                samplings,
                lambda row: rows[row].future.done(),
                {row: self._follower(job, job.heard) for row, job in enumerate(rows) if job.heard},
            )
            for index, reply in zip(prompts, decoded, strict=True):
                results[index] = self._completion(batch[index], prompts[index], reply)
        return [results[index] for index in range(len(batch))]

    def _prompt(self, job: _Job) -> Prompt:
        prompt = build_prompt(job.messages, self.checkpoint)
        if len(prompt.ids) >= self._context:
            raise PromptError(
                f"the prompt has {len(prompt.ids):,} tokens, but {self.about.model!r} takes at "
                f"most {self._context:,}; shorten the question or lower max_pixels"
            )
        return prompt

    def _sampling(self, job: _Job, prompt: Prompt) -> Sampling:
        """The job's settings, with `max_tokens` limited to what is left of the context."""
        left = self._context - len(prompt.ids)
        return replace(job.sampling, max_tokens=min(job.sampling.max_tokens, left))

    @property
    def _context(self) -> int:
        return self.checkpoint.model.config.get_text_config().max_position_embeddings

    def _decode(
        self,
        prompts: list[Prompt],
        samplings: list[Sampling],
        abandoned: Callable[[int], bool],
        followers: Mapping[int, Callable[[int], None]],
    ) -> list[Decoded]:
        prefix, self._prefix = self._prefix, None
        if len(prompts) > 1 or prefix is None or not prefix.fits(prompts[0]):
            prefix = None
        try:
            with self._altered(prompts[0], prefix) as pruned:
                replies, following = decode(
                    prompts, samplings, self.checkpoint, prefix, abandoned, followers
                )
        except torch.OutOfMemoryError as error:
            raise EngineError(
                f"out of memory on {self.checkpoint.device} with {len(prompts)} replies at once; "
                "lower max_batch or max_pixels"
            ) from error
        if self._reuse_prefix:
            self._prefix = following
        return [replace(reply, pruned=pruned()) for reply in replies]

    def _altered(
        self, prompt: Prompt, prefix: Prefix | None
    ) -> AbstractContextManager[Callable[[], Pruned | None]]:
        if self._intervention is None:
            return nullcontext(lambda: None)
        past = len(prefix.ids) if prefix else 0
        return self._intervention.during(self.checkpoint, prompt, past)

    def _follower(self, job: _Job, heard: Callable[[str], None]) -> Callable[[int], None]:
        """A function that takes a job's tokens, in the model's thread, and calls `heard` in the
        job's event loop.
        """
        loop, spelling = job.future.get_loop(), Spelling(self._text)

        def tell(text: str) -> None:
            if job.future.done():
                return
            try:
                heard(text)
            except Exception as error:  # raised by the listener: it ends the reply
                job.future.set_exception(error)

        def follow(token: int) -> None:
            if spelling.add(token):
                loop.call_soon_threadsafe(tell, spelling.text)

        return follow

    def _text(self, ids: Sequence[int]) -> str:
        return self.checkpoint.tokenizer.decode(
            ids, skip_special_tokens=True, clean_up_tokenization_spaces=False
        )

    def _completion(self, job: _Job, prompt: Prompt, reply: Decoded) -> Completion:
        return Completion(
            text=self._text(reply.ids[:-1] if reply.stopped else reply.ids),
            finish="stop" if reply.stopped else "length",
            usage=Usage(
                prompt_tokens=len(prompt.ids),
                completion_tokens=len(reply.ids),
                cached_tokens=reply.cached_tokens,
                seconds=time.perf_counter() - job.started,
                pruned=reply.pruned,
            ),
            token_ids=reply.ids,
        )


class Spelling:
    """The text of the tokens so far, without a partial character at its end.

    With byte-level tokenizers it is a prefix of what `decode` makes of all tokens together: text
    that ends with a whole character stays as it is, so only the tokens after it are decoded again.
    """

    def __init__(self, decode: Callable[[Sequence[int]], str]) -> None:
        self._decode = decode
        self._after: list[int] = []
        self.text = ""

    def add(self, token: int) -> bool:
        """Take in the next token; whether the text grew."""
        self._after.append(token)
        piece = self._decode(self._after)
        if piece.endswith(HALF):
            return False
        self._after.clear()
        self.text += piece
        return bool(piece)
