"""Asking a model for verdicts: retries, sharing, cache and counters around single tries."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Sequence
from typing import Any, Literal

from visionthink.core.errors import JudgeError, UsageError
from visionthink.judges.cache import VerdictCache, cache_key
from visionthink.judges.chat import ChatServer, Failed, Line, Said
from visionthink.judges.judge import JudgeStats, Verdict, accepted
from visionthink.judges.options import JudgeOptions
from visionthink.judges.question import AGAIN, judge_messages
from visionthink.judges.reply import read_verdict

LONGEST_PREDICTION = 20_000
"""Characters; a longer prediction is wrong by rule, so that none can overflow the judge."""
FIRST_PAUSE, LONGEST_PAUSE = 0.5, 8.0
"""Seconds of back-off before the first retry, doubled for each further one up to the longest."""


class LlmJudge:
    """Verdicts of the model that `options` name.

    The same question, answer and prediction is asked once: later it comes from the cache, and
    callers that ask at the same moment share one request, or its failure.

    Raises:
        UsageError: base_url or model is missing, or an option is not usable.
        MissingExtraError: the `openai` package is not installed.
    """

    def __init__(self, options: JudgeOptions) -> None:
        if not options.base_url or not options.model:
            missing = "base_url" if not options.base_url else "model"
            raise UsageError(
                f"the judge {options.kind!r} needs {missing}: the server and its model"
            )
        self._options = options
        self._model = options.model
        self._server = ChatServer(
            options.base_url,
            api_key_env=options.api_key_env,
            timeout=options.timeout,
            concurrency=options.concurrency,
        )
        self._cache = VerdictCache(options.cache)
        self._stats = JudgeStats()
        self._down_since: float | None = None
        self._probing = False

    @property
    def name(self) -> str:
        return f"llm:{self._model}"

    @property
    def stats(self) -> JudgeStats:
        return self._stats

    async def score(self, question: str, answer: str | Sequence[str], prediction: str) -> Verdict:
        """Ask the model; an empty or endless prediction is wrong without asking.

        Raises:
            JudgeError: the server gave no reply, or none that is a verdict, or counts as down.
        """
        if not prediction.strip() or len(prediction) > LONGEST_PREDICTION:
            self._count(by_rules=1)
            return Verdict(0, "rules")
        answers = accepted(answer)
        body = self._body(judge_messages(question, answers, prediction))
        key = cache_key([body, AGAIN])
        known = self._cache.get(key)
        if known is not None:
            self._count(by_llm=1, cached=1)
            return Verdict(known, "llm", cached=True)
        line = await self._server.line()
        asking = line.pending.get(key)
        shared = asking is not None
        if asking is None:
            again = self._body(judge_messages(question, answers, prediction, again=True))
            asking = asyncio.create_task(self._ask(line, key, body, again))
            line.pending[key] = asking
            asking.add_done_callback(lambda task: _forget(line, key, task))
        try:
            score = await asyncio.shield(asking)  # one caller's end does not end the others' wait
        except JudgeError:
            self._count(failures=1)
            raise
        self._count(by_llm=1, cached=int(shared))
        return Verdict(score, "llm", cached=shared)

    async def close(self) -> None:
        await self._server.close()
        self._cache.close()

    def _body(self, messages: list[dict[str, str]]) -> dict[str, Any]:
        """The whole request; also what the cache's key is made of."""
        body = {
            "model": self._model,
            "messages": messages,
            "temperature": 0,
            "max_tokens": self._options.max_tokens,
        } | self._options.extra_body
        return {name: value for name, value in body.items() if value is not None}

    async def _ask(
        self, line: Line, key: str, body: dict[str, Any], again: dict[str, Any]
    ) -> Literal[0, 1]:
        """The model's verdict within the bounds of retries and patience."""
        async with line.slots:
            problem = ""
            for attempt in range(self._options.retries + 1):
                if attempt:
                    self._count(retries=1)
                try:
                    said = await self._try(line, body)
                except Failed as failure:
                    problem = str(failure)
                    if not failure.passing or self._is_down():
                        raise self._no_verdict(problem, attempt + 1) from None
                    if attempt < self._options.retries:
                        await asyncio.sleep(
                            _pause(attempt) if failure.wait is None else failure.wait
                        )
                    continue
                score = None if said.text is None else read_verdict(said.text)
                if score is not None:
                    self._cache.put(key, score, self._model)
                    return score
                self._count(unreadable=1)
                problem = f"gave {said.note}, which states neither Score: 0 nor Score: 1"
                body = again
            raise self._no_verdict(problem, self._options.retries + 1)

    async def _try(self, line: Line, body: dict[str, Any]) -> Said:
        """One request, unless the server counts as down and is being probed already."""
        down = self._is_down()
        if down and self._probing:
            waited = f"{self._options.patience:g}"
            raise Failed(f"counts as down after {waited} s without a reply", passing=False)
        self._probing = down
        self._count(calls=1)
        try:
            said = await self._server.ask(line.client, body)
        except Failed as failure:
            if failure.passing and self._down_since is None:
                self._down_since = time.monotonic()
            raise
        finally:
            if down:
                self._probing = False
        self._down_since = None
        self._count(prompt_tokens=said.prompt_tokens, completion_tokens=said.completion_tokens)
        return said

    def _is_down(self) -> bool:
        """Whether nothing has come for longer than the patience, since tries began to fail."""
        since = self._down_since
        return since is not None and time.monotonic() - since >= self._options.patience

    def _no_verdict(self, problem: str, tries: int) -> JudgeError:
        tried = "" if tries == 1 else f" ({tries} tries)"
        where = self._server.excerpt(f"{self._model} at {self._server.url}")
        return JudgeError(f"the judge {where} {problem}{tried}; the prediction stays unscored")

    def _count(self, **counts: int) -> None:
        self._stats = self._stats.plus(**counts)


def _pause(attempt: int) -> float:
    """Back-off with jitter, so that what failed together does not come back together."""
    return min(FIRST_PAUSE * 2**attempt, LONGEST_PAUSE) * random.uniform(0.5, 1.0)


def _forget(line: Line, key: str, task: asyncio.Task[Any]) -> None:
    line.pending.pop(key, None)
    if not task.cancelled():
        task.exception()  # read, so that no one is told it never was
