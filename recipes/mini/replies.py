"""The replies that the mini model learns: one short thought for each of the three cases."""

from __future__ import annotations

from visionthink.core.protocol import direct_reply, request_reply

CLEAR = "Clear enough."
TOO_SMALL = "Too small to see."
CLEAR_NOW = "Clear now."


def answer_at_once(answer: str) -> str:
    return direct_reply(CLEAR, answer)


def request_original() -> str:
    return request_reply(TOO_SMALL)


def answer_after_request(answer: str) -> str:
    return direct_reply(CLEAR_NOW, answer)
