"""From labelled rows to conversations, and from conversations to padded batches.

A row that half size is enough for becomes a direct answer to the half view; one that needs more
becomes a request and then the answer to the original. Images are opened when a batch is made.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch

from visionthink.core import protocol
from visionthink.core.errors import DataError, UsageError
from visionthink.core.images import Picture, half_view
from visionthink.core.profiles import Profile
from visionthink.core.protocol import Answer, Request
from visionthink.core.types import Example, Message
from visionthink.data.rows import Row
from visionthink.engines.hf_checkpoint import Checkpoint
from visionthink.engines.hf_prompt import build_prompt, pixels
from visionthink.training.config import MixtureOptions, ThoughtOptions

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
    """One conversation to learn: a row, and the one or two replies that are to be said."""

    row: Row
    replies: tuple[str, ...]

    @property
    def way(self) -> Way:
        return "direct" if len(self.replies) == 1 else "request"


@dataclass(frozen=True)
class Tokens:
    """A conversation as tokens.

    Attributes:
        ids: T token ids, image placeholders expanded.
        labels: T, the token itself inside replies, `IGNORED` elsewhere.
        weights: T factors on the loss of predicting each token; 0 outside replies.
        pictures: the images in order of appearance.
        grids: (1, patch rows, patch columns) of each.
    """

    ids: tuple[int, ...]
    labels: tuple[int, ...]
    weights: tuple[float, ...]
    pictures: tuple[Picture, ...]
    grids: tuple[tuple[int, int, int], ...]


def lessons_of(
    rows: Sequence[Row],
    profile: Profile,
    *,
    mixture: MixtureOptions,
    thoughts: ThoughtOptions,
    seed: int,
) -> list[Lesson]:
    """Conversations of the labelled rows, as many of each way as `mixture` says.

    A row's metadata may hold "replies", one or two texts that are used as they are, and "label" or
    "kind". Rows with another label (undecided, failed) are left out.

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
    wanted = {"direct": mixture.direct, "request": mixture.request}
    draw = random.Random(seed)
    chosen: list[Lesson] = []
    for way, lessons in found.items():
        count = wanted[way]
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
        case [Answer()] | [Request(), Answer()]:
            return Lesson(row, replies)
        case _:
            told = ", ".join(protocol.outcome(reply) for reply in parsed) or "nothing"
            raise DataError(
                f"row {row.id!r}: its replies are read as {told}; wanted an answer, or a request "
                "and then an answer"
            )


def written_replies(
    way: Way, answer: str, profile: Profile, thoughts: ThoughtOptions
) -> tuple[str, ...]:
    """The replies of a row that brings none: our words, the row's answer."""
    text = protocol.plain_text(answer)
    if way == "direct":
        return (protocol.direct_reply(thoughts.direct, text),)
    if profile.marker is None:
        request = protocol.request_reply(thoughts.request)
    else:
        request = protocol.render_thought(thoughts.request) + profile.marker
    return request, protocol.direct_reply(thoughts.after, text)


def tokenise(
    example: Example,
    replies: Sequence[str],
    profile: Profile,
    checkpoint: Checkpoint,
    tool_turn_loss_weight: float,
) -> Tokens:
    """The conversation in the tokens that an episode has, each reply with its end of turn.

    Tokens of a reply weigh 1, of one that requests `tool_turn_loss_weight`, all others 0.
    """
    end = checkpoint.tokenizer.convert_tokens_to_ids("<|im_end|>")
    first = tuple(half_view(picture, checkpoint.grid) for picture in example.images)
    messages = list(protocol.opening(profile, first, example.question))
    labels: list[int] = []
    weights: list[float] = []
    for number, reply in enumerate(replies, start=1):
        if number > 1:
            messages.append(protocol.tool_response(profile, example.images))
        prompt = build_prompt(messages, checkpoint)
        said = (*checkpoint.tokenizer(reply, add_special_tokens=False)["input_ids"], end)
        unsaid = len(prompt.ids) - len(labels)
        weight = 1.0 if number == len(replies) else tool_turn_loss_weight
        labels += [*[IGNORED] * unsaid, *said]
        weights += [*[0.0] * unsaid, *[weight] * len(said)]
        messages.append(Message("assistant", (reply,), token_ids=said))
    return Tokens(prompt.ids + said, tuple(labels), tuple(weights), prompt.pictures, prompt.grids)


@dataclass(frozen=True)
class Collator:
    """Opens the images of a batch of lessons and pads its tokens on the right."""

    checkpoint: Checkpoint
    profile: Profile
    tool_turn_loss_weight: float = 1.0

    def __call__(self, lessons: Sequence[Lesson]) -> dict[str, Any]:
        """`input_ids`, `attention_mask`, `labels`, `mm_token_type_ids` and `loss_weights` are
        (B, T), `pixel_values` (patches, values), `image_grid_thw` (images, 3).

        A label is there for each token of a reply, whatever its weight.

        Raises:
            ImageError: an image cannot be opened; names the row.
        """
        batch = [
            tokenise(
                lesson.row.open(),
                lesson.replies,
                self.profile,
                self.checkpoint,
                self.tool_turn_loss_weight,
            )
            for lesson in lessons
        ]
        longest = max(len(tokens.ids) for tokens in batch)
        ids = torch.full((len(batch), longest), self.checkpoint.pad_id)
        mask = torch.zeros_like(ids)
        weights = torch.zeros(ids.shape)
        labels = torch.full_like(ids, IGNORED)
        for row, tokens in enumerate(batch):
            length = len(tokens.ids)
            ids[row, :length] = torch.tensor(tokens.ids)
            mask[row, :length] = 1
            labels[row, :length] = torch.tensor(tokens.labels)
            weights[row, :length] = torch.tensor(tokens.weights)
        pictures = [picture for tokens in batch for picture in tokens.pictures]
        grids = [grid for tokens in batch for grid in tokens.grids]
        return {
            "input_ids": ids,
            "attention_mask": mask,
            "labels": labels,
            "loss_weights": weights,
            "mm_token_type_ids": (ids == self.checkpoint.image_id).int(),
            "pixel_values": pixels(pictures, grids, self.checkpoint),
            "image_grid_thw": torch.tensor(grids),
        }
