"""Verdicts of a model: equal questions are asked once, and an outage costs minutes, not hours."""

from __future__ import annotations

import asyncio
import os
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from visionthink.core.engine import Engine
from visionthink.core.errors import EngineError, JudgeError, ServerError, UsageError
from visionthink.core.types import Completion, Message, Sampling
from visionthink.judges.cache import VerdictCache, cache_key
from visionthink.judges.judge import JudgeOptions, JudgeStats, Verdict, accepted
from visionthink.judges.llm_prompt import AGAIN, READING, judge_messages, read_verdict, repeated

LONGEST_PREDICTION = 20_000
"""Characters. A longer prediction is wrong by rule, so that none can overflow the judge."""
FIRST_PAUSE, LONGEST_PAUSE = 0.5, 8.0
"""Seconds of back-off before the first retry, doubled for each further one up to the longest."""
EXCERPT = 120
"""Characters of a reply that an error quotes."""
PASSING = (408, 409, 429)
"""Statuses below 500 that a server may not repeat."""


@dataclass(frozen=True)
class _Loop:
    """What belongs to one event loop. Equal questions wait for one of the `pending` tasks."""

    slots: asyncio.Semaphore
    pending: dict[str, asyncio.Task[Any]] = field(default_factory=dict[str, "asyncio.Task[Any]"])


class LlmJudge:
    """Verdicts of the model behind any engine.

    The same question, answer and prediction is asked once: later it comes from the cache, and
    callers that ask at the same moment share one reply, or its failure.

    Args:
        engine: what replies; it is closed with the judge.
        options: `model` names the model in records and in the cache; default: the engine's name.
    """

    def __init__(self, engine: Engine, options: JudgeOptions) -> None:
        self._engine = engine
        self._options = options
        self._model = options.model or engine.about.model
        self._sampling = Sampling(max_tokens=options.max_tokens)
        self._cache = VerdictCache(options.cache)
        self._stats = JudgeStats()
        self._loops: dict[asyncio.AbstractEventLoop, _Loop] = {}
        self._silent_since: float | None = None
        self._probing = False

    @classmethod
    def open(cls, options: JudgeOptions) -> LlmJudge:
        """The judge on the engine that `options` describe.

        Raises:
            UsageError: base_url or model is missing, or an option is not usable.
            MissingExtraError: the engine's packages are not installed.
            EngineError: the model of an hf engine cannot be loaded.
        """
        if not options.model or (options.engine == "openai" and not options.base_url):
            missing = "model" if options.base_url or options.engine == "hf" else "base_url"
            raise UsageError(
                f"the judge {options.kind!r} needs {missing}: base_url and model of a server, or "
                "with engine hf a folder or hub id as model"
            )
        if options.engine == "hf":
            from visionthink.engines.hf import HFEngine

            return cls(HFEngine(options.model, max_batch=options.concurrency), options)
        from visionthink.engines.openai import OpenAIEngine

        engine = OpenAIEngine(
            options.base_url or "",
            options.model,
            api_key_env=options.api_key_env,
            timeout=options.timeout,
            max_retries=options.retries,
            max_concurrency=options.concurrency,
            # At temperature 0 these say nothing, and some servers refuse them.
            extra_body={"top_p": None, "seed": None} | options.extra_body,
        )
        return cls(engine, options)

    @property
    def name(self) -> str:
        return f"llm:{self._model}"

    @property
    def stats(self) -> JudgeStats:
        return self._stats

    async def score(self, question: str, answer: str | Sequence[str], prediction: str) -> Verdict:
        """Ask the model; an empty or endless prediction is wrong without asking.

        Raises:
            JudgeError: the model did not reply, gave no verdict, or counts as down.
        """
        if not prediction.strip() or len(prediction) > LONGEST_PREDICTION:
            self._count(by_rules=1)
            return Verdict(0, "rules")
        messages = judge_messages(question, accepted(answer), prediction)
        key = self._key(messages)
        known = self._cache.get(key)
        if known is not None:
            self._count(by_llm=1, cached=1)
            return Verdict(known, "llm", cached=True)
        here = self._here()
        asking = here.pending.get(key)
        shared = asking is not None
        if asking is None:
            asking = asyncio.create_task(self._ask(here, key, messages))
            here.pending[key] = asking
            asking.add_done_callback(lambda task: _forget(here, key, task))
        try:
            score = await asyncio.shield(asking)  # others may wait for it when one caller leaves
        except JudgeError:
            self._count(failures=1)
            raise
        self._count(by_llm=1, cached=int(shared))
        return Verdict(score, "llm", cached=shared)

    async def close(self) -> None:
        await self._engine.close()
        self._cache.close()

    def _here(self) -> _Loop:
        """Semaphores and tasks cannot change event loops."""
        for ended in [loop for loop in self._loops if loop.is_closed()]:
            del self._loops[ended]
        loop = asyncio.get_running_loop()
        return self._loops.setdefault(loop, _Loop(asyncio.Semaphore(self._options.concurrency)))

    def _key(self, messages: Sequence[Message]) -> str:
        """The cache's key: everything that is sent, but not where to, and how replies are read."""
        body = {
            "model": self._model,
            "messages": [{"role": message.role, "content": message.text} for message in messages],
            "temperature": 0,
            "max_tokens": self._options.max_tokens,
        } | self._options.extra_body
        sent = {name: v for name, v in body.items() if v is not None}
        return cache_key([sent, AGAIN, READING])

    async def _ask(self, here: _Loop, key: str, messages: list[Message]) -> Literal[0, 1]:
        """The model's verdict. After a reply that is not one it is asked again, more strictly."""
        async with here.slots:
            tries = self._options.retries + 1
            asked, problem = messages, ""
            for attempt in range(tries):
                if attempt:
                    self._count(retries=1)
                try:
                    reply = await self._reply(asked)
                except EngineError as error:
                    # The engine has tried again itself, unless something replied, but not a model.
                    passing = isinstance(error, ServerError) and error.reason == "no_reply"
                    if not passing or attempt + 1 == tries or self._is_down():
                        raise self._no_verdict(str(error)) from error
                    problem = str(error)
                    await asyncio.sleep(_pause(attempt))
                    continue
                whole = reply.finish == "stop" and not reply.calls
                score = read_verdict(reply.text) if whole else None
                if score is not None:
                    self._cache.put(key, score, self._model)
                    return score
                self._count(unreadable=1)
                problem = self._unreadable(reply)
                asked = repeated(messages)
            raise self._no_verdict(f"{problem} ({tries} {'tries' if tries > 1 else 'try'})")

    async def _reply(self, messages: Sequence[Message]) -> Completion:
        """One reply, unless the model counts as down and another question is testing that."""
        down = self._is_down()
        if down and self._probing:
            patience = f"{self._options.patience:g}"
            raise EngineError(f"it counts as down after {patience} s without a reply")
        self._probing = down
        self._count(calls=1)
        began = time.monotonic()
        try:
            reply = await self._engine.generate(messages, self._sampling)
        except ServerError as error:
            if _is_outage(error) and self._silent_since is None:
                self._silent_since = began
            raise
        finally:
            if down:
                self._probing = False
        self._silent_since = None
        used = reply.usage
        self._count(prompt_tokens=used.prompt_tokens, completion_tokens=used.completion_tokens)
        return reply

    def _is_down(self) -> bool:
        """Whether no reply has arrived for longer than the patience."""
        since = self._silent_since
        return since is not None and time.monotonic() - since >= self._options.patience

    def _unreadable(self, reply: Completion) -> str:
        """What is wrong with a reply, in one harmless line."""
        if reply.finish == "length":
            return "its reply was cut off by max_tokens"
        text = reply.text
        key = os.environ.get(self._options.api_key_env, "").strip()
        if len(key) > 4:
            text = text.replace(key, "(key)")
        text = " ".join("".join(char if char.isprintable() else " " for char in text).split())
        text = text if len(text) <= EXCERPT else text[: EXCERPT - 1] + "…"
        return f"its reply “{text}” states neither Score: 0 nor Score: 1"

    def _no_verdict(self, problem: str) -> JudgeError:
        return JudgeError(
            f"the judge {self._model:.60} gave no verdict: {problem}; the prediction stays unscored"
        )

    def _count(self, **counts: int) -> None:
        self._stats = self._stats.plus(**counts)


def _is_outage(error: ServerError) -> bool:
    """Whether the server may reply another time."""
    return error.status is None or error.status >= 500 or error.status in PASSING


def _pause(attempt: int) -> float:
    """Back-off with jitter, so that what failed together does not come back together."""
    return min(FIRST_PAUSE * 2**attempt, LONGEST_PAUSE) * random.uniform(0.5, 1.0)


def _forget(here: _Loop, key: str, task: asyncio.Task[Any]) -> None:
    here.pending.pop(key, None)
    if not task.cancelled():
        task.exception()  # marks it as seen, where every caller has left
