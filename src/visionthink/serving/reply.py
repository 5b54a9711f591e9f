"""From an episode to what goes over the wire: a chat completion, whole or in chunks."""

from __future__ import annotations

import time
import uuid
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from visionthink.core.partial import answer_so_far, thought_so_far
from visionthink.core.profiles import Profile
from visionthink.core.protocol import outcome, parse_reply
from visionthink.core.types import Episode, StopReason

"""Of an episode: the first look, and the originals."""


@dataclass(frozen=True)
class Head:
    """What all chunks of one answer share. `model` is the name that was asked."""

    id: str
    created: int
    model: str

    @classmethod
    def new(cls, model: str) -> Head:
        return cls(f"chatcmpl-{uuid.uuid4().hex}", int(time.time()), model)

    def json(self, kind: str) -> dict[str, Any]:
        return {"id": self.id, "object": kind, "created": self.created, "model": self.model}


def completion(
    head: Head, episode: Episode, profile: Profile, stop: Sequence[str], trace: bool
) -> dict[str, Any]:
    """The answer to a request that is not streamed."""
    answer, finish = answer_of(episode, stop)
    message = {
        "role": "assistant",
        "content": answer,
        "refusal": None,
        "reasoning_content": reasoning([turn.text for turn in episode.turns], profile),
    }
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": finish}
    return {
        **head.json("chat.completion"),
        "choices": [choice],
        "usage": usage(episode),
        "visionthink": story(episode, trace),
    }


def chunk(
    head: Head, delta: dict[str, Any], finish: str | None = None, **more: Any
) -> dict[str, Any]:
    """A piece of a streamed answer."""
    choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
    return {**head.json("chat.completion.chunk"), "choices": [choice], **more}


def usage_chunk(head: Head, episode: Episode) -> dict[str, Any]:
    """The last piece where the client wants the usage: it has no choice."""
    return {**head.json("chat.completion.chunk"), "choices": [], "usage": usage(episode)}


def answer_of(episode: Episode, stop: Sequence[str]) -> tuple[str, str]:
    """The bare answer, ended before the first stop sequence, and the finish reason."""
    answer = episode.answer
    ends = [place for text in stop if (place := answer.find(text)) >= 0]
    answer = answer[: min(ends, default=len(answer))]
    cut = episode.stop_reason is StopReason.LENGTH and not ends
    return answer, "length" if cut else "stop"


def so_far(turns: Sequence[str], profile: Profile, stop: Sequence[str]) -> dict[str, str]:
    """What a stream may tell while the last of `turns` grows; every text grows only at its end.

    Without stop sequences: of an answer that one may end, nothing is certain.
    """
    answer = ""
    if turns and not stop:
        answer = answer_so_far(turns[-1], profile, last=len(turns) == profile.max_turns)
    return {"reasoning_content": reasoning(turns, profile), "content": answer}


def beginning(turns: Sequence[str], profile: Profile, views: Sequence[str]) -> dict[str, Any]:
    """What a stream tells when a turn begins after `turns`: whether it was requested, and the
    `views` before the first.
    """
    if not turns:
        return {"turn": 0, "views": [*views]}
    return {"turn": len(turns), "requested": outcome(parse_reply(turns[-1], profile)) == "request"}


def reasoning(turns: Sequence[str], profile: Profile) -> str:
    """The thoughts of the turns, as certain as they are; grows only at its end as turns do."""
    thoughts = [thought_so_far(text, profile) for text in turns]
    return "\n\n".join(thought for thought in thoughts if thought)


def usage(episode: Episode) -> dict[str, Any]:
    """True sums over all turns: a request's second prompt holds its first one again."""
    ledger = episode.ledger
    prompt, generated = ledger.prompt_tokens, ledger.completion_tokens
    return {
        "prompt_tokens": prompt,
        "completion_tokens": generated,
        "total_tokens": prompt + generated,
        "prompt_tokens_details": {"cached_tokens": ledger.cached_tokens},
        "visionthink": {
            "requested": episode.requested,
            "visual_tokens": {
                "first": ledger.first,
                "requested": ledger.requested,
                "processed": ledger.processed,
                "vanilla": ledger.vanilla,
            },
            "saved_ratio": round(1 - ledger.ratio, 4),
        },
    }


def story(episode: Episode, trace: bool) -> dict[str, Any]:
    """How the answer came about; `trace` adds what was said in each turn."""
    told: dict[str, Any] = {
        "look": episode.look,
        "stop_reason": episode.stop_reason.value,
        "format_valid": episode.format_valid,
    }
    if trace:
        told |= {
            "profile": episode.profile,
            "upstream_model": episode.model,
            "turns": [
                {
                    "text": turn.text,
                    "outcome": turn.outcome,
                    "note": turn.note,
                    "saw": [list(look.size) for look in episode.looks_of(number)],
                    "cost": asdict(cost),
                }
                for number, (turn, cost) in enumerate(
                    zip(episode.turns, episode.ledger.turns, strict=True)
                )
            ],
        }
    return told
