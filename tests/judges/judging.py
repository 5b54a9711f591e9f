"""Asking judges in tests: on scripted replies or a scripted server, without waits between tries."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from itertools import chain, repeat

import pytest

from visionthink.core.errors import JudgeError, Reason, ServerError
from visionthink.core.types import Message
from visionthink.engines.scripted import ScriptedEngine
from visionthink.judges import Judge, JudgeOptions, JudgeStats, LlmJudge, Verdict, open_judge

KEY = "sk-0123456789abcdef"
CASE = ("What colour is it?", "red", "crimson")


@pytest.fixture(autouse=True)
def alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the machine's proxies and keys, and with a short back-off."""
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "OPENAI_API_KEY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    monkeypatch.setattr("visionthink.judges.llm.FIRST_PAUSE", 0.001)


class Slow(ScriptedEngine):
    """Takes a moment for each reply; `most` is how many it ever had in progress."""

    now = most = 0

    async def generate(self, messages, sampling):
        self.now += 1
        self.most = max(self.most, self.now)
        await asyncio.sleep(0.02)
        try:
            return await super().generate(messages, sampling)
        finally:
            self.now -= 1


def script(*replies: str | Exception) -> Slow:
    """An engine that gives each reply, or raises it, and the last one for ever."""
    waiting = chain(replies, repeat(replies[-1]))

    def next_reply(messages: Sequence[Message]) -> str:
        reply = next(waiting)
        if isinstance(reply, Exception):
            raise reply
        return reply

    return Slow(next_reply)


def failure(reason: Reason = "refused", status: int | None = None) -> ServerError:
    error = ServerError(f"the server failed ({status})")
    error.reason, error.status = reason, status
    return error


def judge_on(engine: ScriptedEngine, **options) -> LlmJudge:
    return LlmJudge(engine, JudgeOptions.model_validate({"model": "m", "retries": 2} | options))


def llm(url: str, **options) -> Judge:
    given = {"kind": "llm", "base_url": url, "model": "m", "timeout": 5.0, "retries": 2}
    return open_judge(JudgeOptions.model_validate(given | options))


def score(judge: Judge, *cases: tuple[str, str | Sequence[str], str]) -> list[Verdict]:
    """The verdicts on cases that are asked all at once."""

    async def run() -> list[Verdict]:
        return await asyncio.gather(*(judge.score(*case) for case in cases or (CASE,)))

    return asyncio.run(run())


def fail(judge: Judge, case=CASE) -> str:
    """The message of the JudgeError; one short line."""
    with pytest.raises(JudgeError) as caught:
        score(judge, case)
    message = str(caught.value)
    assert message.isprintable()
    assert len(message) < 500
    return message


def counts(judge: Judge) -> JudgeStats:
    """The judge's counters without tokens, which scripted replies count by words."""
    return replace(judge.stats, prompt_tokens=0, completion_tokens=0)
