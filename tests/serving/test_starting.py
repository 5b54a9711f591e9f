"""What a server says of its upstreams when it starts."""

from __future__ import annotations

import json
import logging

import pytest

from engines.chat_server import Behaviour, ChatServer, Handler, sends, status
from serving.gateways import served, upstream


def counts(with_tools: int) -> Behaviour:
    """A prompt of 9 tokens, or of so many with functions."""

    def behave(handler: Handler) -> None:
        tools = "tools" in json.loads(handler.server.owner.others[-1].raw)
        handler.send_json(200, {"count": with_tools if tools else 9})

    return behave


@pytest.mark.parametrize(
    ("behaviour", "profile", "asked", "warned"),
    [
        (counts(9), "native", 2, True),
        (counts(99), "native", 2, False),
        (sends(b"nonsense"), "native", 1, False),
        (status(404), "native", 1, False),
        (counts(9), "agent", 0, False),
    ],
)
def test_a_chat_template_without_functions_is_said_at_once(
    behaviour: Behaviour,
    profile: str,
    asked: int,
    warned: bool,
    caplog: pytest.LogCaptureFixture,
):
    """A prompt has as many tokens with functions as without; nothing is generated for it."""
    with (
        caplog.at_level(logging.INFO, "visionthink"),
        ChatServer(other=behaviour) as vllm,
        served(upstream(vllm.url), profile=profile),
    ):
        assert [seen.path for seen in vllm.others] == ["/tokenize"] * asked
        assert vllm.chats == []
    assert ("leaves functions out" in caplog.text) == warned


def test_an_upstream_without_the_named_model_is_said_at_once(caplog: pytest.LogCaptureFixture):
    with (
        caplog.at_level(logging.INFO, "visionthink"),
        ChatServer(models=["other"]) as vllm,
        served(upstream(vllm.url)),
    ):
        assert "has no model 'qwen2.5-vl'; it has other" in caplog.text
