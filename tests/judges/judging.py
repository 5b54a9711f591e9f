"""Asking judges in tests: on a scripted server, without waits between tries."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from visionthink.core.errors import JudgeError
from visionthink.judges import Judge, JudgeOptions, Verdict, open_judge

KEY = "sk-0123456789abcdef"
CASE = ("What colour is it?", "red", "crimson")


@pytest.fixture(autouse=True)
def alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither a proxy nor a key of the machine takes part, and back-off is short."""
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "OPENAI_API_KEY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    monkeypatch.setattr("visionthink.judges.llm.FIRST_PAUSE", 0.001)


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
    assert len(message) < 400
    return message
