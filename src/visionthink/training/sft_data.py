"""From labelled rows to conversations, and from conversations to padded batches.

A row that half size is enough for becomes a direct answer to the half view; one that needs more
becomes a request and then the answer to the original. Written replies are replayed through
`run_episode`, so that a lesson has exactly the tokens of an episode. Images are opened when a batch
is made.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch

from visionthink.core import protocol
from visionthink.core.engine import Engine, EngineInfo
from visionthink.core.episode import run_episode
from visionthink.core.errors import DataError, UsageError
from visionthink.core.profiles import Profile, Tagged
from visionthink.core.protocol import Answer, Request
from visionthink.core.types import Completion, Message, Sampling, Usage
from visionthink.data.rows import Row
from visionthink.engines.hf_checkpoint import Checkpoint
from visionthink.training.config import MixtureOptions, ThoughtOptions
from visionthink.training.packing import Packed, pack_episode

IGNORED = -100

Way = Literal["direct", "request"]

WAYS: dict[str, Way] = {
    "low": "direct",
    "weak": "direct",
    "high": "request",
    "strong": "request",
    "lucky": "request",
}
"""What `label` or a row's kind says → how the example conversation goes."""


@dataclass(frozen=True)
class Lesson:
    """One conversation to learn: a row, and the replies that are to be said, the answer last."""

    row: Row
    replies: tuple[str, ...]

    @property
    def way(self) -> Way:
        return "direct" if len(self.replies) == 1 else "request"


def lessons_of(
    rows: Sequence[Row],
    profile: Profile,
    *,
    mixture: MixtureOptions,
    thoughts: ThoughtOptions,
    seed: int,
) -> list[Lesson]:
    """Conversations of the labelled rows, as many of each way as `mixture` says.

    A row's metadata may hold "replies", texts that are used as they are, and "label" or "kind".
    Rows with another label (undecided, failed) are left out.

    Raises:
        DataError: no row says which way it goes, or its replies are not what the profile reads.
        UsageError: `mixture` wants more than there are.
    """
    found: dict[Way, list[Lesson]] = {"direct": [], "request": []}
    for row in rows:
        lesson = _lesson(row, profile, thoughts)
        if lesson is not None:
            found[lesson.way].append(lesson)
    if not any(found.values()):
        seen = Counter(str(row.metadata.get("label", row.kind)) for row in rows)
        raise DataError(
            f"none of {len(rows)} rows says whether it needs the original (label or kind: "
            f"{', '.join(WAYS)}); got {', '.join(sorted(seen))}; run visionthink label on them"
        )
    counts = {"direct": mixture.direct, "request": mixture.request}
    draw = random.Random(seed)
    chosen: list[Lesson] = []
    for way, lessons in found.items():
        count = counts[way]
        if count is not None and count > len(lessons):
            raise UsageError(f"mixture.{way} is {count}, but the data has only {len(lessons)}")
        chosen += lessons if count is None else draw.sample(lessons, count)
    return chosen


def _lesson(row: Row, profile: Profile, thoughts: ThoughtOptions) -> Lesson | None:
    given = row.metadata.get("replies")
    if given is not None:
        replies = tuple(str(reply) for reply in given)
    else:
        way = WAYS.get(str(row.metadata.get("label", row.kind)))
        if way is None:
            return None
        replies = written_replies(way, row.answer, profile, thoughts)
    parsed = [protocol.parse_reply(reply, profile) for reply in replies]
    match parsed:
        case [*requests, Answer()] if all(isinstance(reply, Request) for reply in requests):
            return Lesson(row, replies)
        case _:
            found = ", ".join(protocol.outcome(reply) for reply in parsed) or "nothing"
            raise DataError(
                f"row {row.id!r}: expected an answer, or requests and then an answer; its replies "
                f"are read as {found}"
            )


def written_replies(
    way: Way, answer: str, profile: Profile, thoughts: ThoughtOptions
) -> tuple[str, ...]:
    """The replies of a row that brings none: our words, the row's answer."""
    text = protocol.plain_text(answer)
    if way == "direct":
        return (protocol.direct_reply(thoughts.direct, text),)
    marker = profile.marker if isinstance(profile, Tagged) else None
    request = protocol.request_reply(thoughts.request, marker=marker)
    return request, protocol.direct_reply(thoughts.after, text)


class ReplayEngine(Engine):
    """Gives the written replies of one lesson, each with its end of turn. No FLOPs are counted."""

    def __init__(self, replies: Sequence[str], checkpoint: Checkpoint) -> None:
        self._replies = iter(replies)
        self._checkpoint = checkpoint

    @property
    def about(self) -> EngineInfo:
        return EngineInfo(self._checkpoint.name, self._checkpoint.grid)

    async def generate(self, messages: Sequence[Message], sampling: Sampling) -> Completion:
        """The next written reply."""
        tokenizer, reply = self._checkpoint.tokenizer, next(self._replies)
        ids = tokenizer(reply, add_special_tokens=False)["input_ids"]
        ids = (*ids, self._checkpoint.tokens.end)
        return Completion(reply, "stop", Usage(0, len(ids)), token_ids=ids)


def replay(lesson: Lesson, profile: Profile, checkpoint: Checkpoint) -> Packed:
    """The tokens of a lesson's conversation: those of an episode with its replies.

    Raises:
        ImageError: an image cannot be opened; names the row.
    """
    engine = ReplayEngine(lesson.replies, checkpoint)
    turns = len(lesson.replies)
    episode = run_episode(lesson.row.open(), engine, profile=profile.name, max_turns=turns)
    return pack_episode(asyncio.run(episode), checkpoint)


@dataclass(frozen=True)
class Collator:
    """Opens the images of a batch of lessons and pads its tokens on the right."""

    checkpoint: Checkpoint
    profile: Profile
    tool_turn_loss_weight: float = 1.0

    def __call__(self, lessons: Sequence[Lesson]) -> dict[str, Any]:
        """`input_ids`, `attention_mask`, `labels` and `loss_weights` are (B, T); the rest is what
        the family's models take, `pixel_values` for one.

        Each token of a reply has a label. It weighs 1, in a reply that requests
        `tool_turn_loss_weight`; all other tokens weigh 0.

        Raises:
            ImageError: an image cannot be opened; names the row.
        """
        batch = [replay(lesson, self.profile, self.checkpoint) for lesson in lessons]
        longest = max(len(tokens.prompt_ids) + len(tokens.completion_ids) for tokens in batch)
        ids = torch.full((len(batch), longest), self.checkpoint.pad_id)
        mask = torch.zeros_like(ids)
        weights = torch.zeros(ids.shape)
        labels = torch.full_like(ids, IGNORED)
        for row, (lesson, tokens) in enumerate(zip(lessons, batch, strict=True)):
            conversation = (*tokens.prompt_ids, *tokens.completion_ids)
            ids[row, : len(conversation)] = torch.tensor(conversation)
            mask[row, : len(conversation)] = 1
            for place, reply in enumerate(tokens.replies, start=len(tokens.prompt_ids)):
                if reply is not None:
                    requests = reply + 1 < len(lesson.replies)
                    labels[row, place] = conversation[place]
                    weights[row, place] = self.tool_turn_loss_weight if requests else 1.0
        pictures = [picture for tokens in batch for picture in tokens.pictures]
        return {
            "input_ids": ids,
            "attention_mask": mask,
            "labels": labels,
            "loss_weights": weights,
            **self.checkpoint.markers(ids),
            **self.checkpoint.inputs(pictures),
        }
