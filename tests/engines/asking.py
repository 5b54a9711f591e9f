"""Asking the openai engine in tests: `ask` for replies, `fail` for the error."""

import asyncio
import pickle

import pytest

from visionthink.core.errors import ServerError
from visionthink.core.types import Completion, Message, Sampling
from visionthink.engines.openai import OpenAIEngine

HELLO = (Message("user", ("hello",)),)
KEY = "sk-0123456789abcdef"


@pytest.fixture(autouse=True)
def no_environment(monkeypatch):
    """Neither a proxy nor a key of the machine takes part."""
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "OPENAI_API_KEY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


def ask(
    url, *conversations, model: str | None = "qwen2.5-vl", sampling=None, **options
) -> list[Completion]:
    """The replies to `conversations`, one after the other, on a new engine."""

    async def run():
        engine = OpenAIEngine(url, model, **{"max_retries": 1, "timeout": 5.0} | options)
        try:
            return [
                await engine.generate(conversation, sampling or Sampling())
                for conversation in conversations or (HELLO,)
            ]
        finally:
            await engine.close()

    return asyncio.run(run())


def fail(url, **options) -> str:
    """The message of the ServerError; it must be one short line that survives pickling."""
    with pytest.raises(ServerError) as caught:
        ask(url, **options)
    message = str(caught.value)
    assert message.isprintable()
    assert len(message) <= 300
    assert str(pickle.loads(pickle.dumps(caught.value))) == message  # noqa: S301  (our own bytes)
    return message
