"""The nouns: a question about images (`Example`), a `Message`, and the finished `Episode`.

Frozen dataclasses. A fact is recorded where it happens (what was shown? why did the episode end?)
and never inferred later from strings or floats.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Literal

from visionthink.core.errors import UsageError
from visionthink.core.images import Picture, Size
from visionthink.core.ledger import Ledger
from visionthink.core.ledger import Usage as Usage

LookMode = Literal["auto", "low", "high"]
"""What the model is shown first, and whether it may request more; see `run_episode`."""
LOOK_MODES: tuple[LookMode, ...] = ("auto", "low", "high")

Box = tuple[int, int, int, int]
"""x0, y0, x1, y1 of a part of an image, each 0 to 1000 relative to the whole original."""

Role = Literal["system", "user", "assistant", "tool"]

Part = str | Picture
"""A piece of a message: text, or an image where the model sees it."""


@dataclass(frozen=True)
class Call:
    """A function call that a server parsed out of a reply; `arguments` is JSON text."""

    id: str
    name: str
    arguments: str


@dataclass(frozen=True)
class Message:
    """One message of a conversation.

    Attributes:
        token_ids: what an assistant message was sampled as, so that an engine can continue from
            exactly those tokens instead of re-tokenising the text.
        tools: of a system message: a JSON list of functions that the server's own format offers.
        calls: of an assistant message: its calls in that format; not in `parts`.
        call_id: of a tool message: the call that it responds to.
        extra: more fields that a server gets with the message, such as `name`; they replace ours.
        verbatim: it was said in an earlier episode, and is said again word for word.
    """

    role: Role
    parts: tuple[Part, ...]
    token_ids: tuple[int, ...] | None = None
    tools: str = ""
    calls: tuple[Call, ...] = ()
    call_id: str = ""
    extra: Mapping[str, Any] = field(default_factory=dict[str, Any])
    verbatim: bool = False

    @property
    def text(self) -> str:
        """The text parts, joined; images leave no trace."""
        return "".join(part for part in self.parts if isinstance(part, str))

    @property
    def images(self) -> tuple[Picture, ...]:
        return tuple(part for part in self.parts if isinstance(part, Picture))


@dataclass(frozen=True)
class Example:
    """A question about one or more images; `answer` is the ground truth where it is known.

    `conversation` is set where there are earlier messages, or an image inside the text: a system
    message if there is one, then user and assistant, the user's question last. `images` are then
    all images in it, in order, without those in verbatim messages, which are `delivered`; see
    `conversation_example`.
    """

    images: tuple[Picture, ...]
    question: str
    answer: str | None = None
    id: str = ""
    metadata: Mapping[str, Any] = field(default_factory=dict[str, Any])
    conversation: tuple[Message, ...] = ()
    delivered: tuple[Delivered, ...] = ()


@dataclass(frozen=True)
class Delivered:
    """A look that an earlier episode of the conversation delivered, in a verbatim message: image
    number `image`, or its part `box`, as `picture`.
    """

    image: int
    picture: Picture
    box: Box | None = None


def conversation_example(
    messages: Sequence[Message], delivered: Sequence[Delivered] = ()
) -> Example:
    """The example that asks the last of `messages`, with the others as its history."""
    return Example(
        images=tuple(picture for m in messages if not m.verbatim for picture in m.images),
        question=messages[-1].text,
        conversation=tuple(messages),
        delivered=tuple(delivered),
    )


@dataclass(frozen=True)
class Sampling:
    """How a reply is drawn: greedy by default.

    `max_tokens` bounds one reply; `max_episode_tokens` bounds all replies of an episode together.
    `extra` are further fields that a server gets with each request; they replace ours, and None
    leaves a field out. With `max_completion_tokens` among them the bound has that name.
    """

    temperature: float = 0.0
    top_p: float = 1.0
    max_tokens: int = 1024
    max_episode_tokens: int | None = None
    seed: int = 0
    extra: Mapping[str, Any] = field(default_factory=dict[str, Any])

    def __post_init__(self) -> None:
        if not 0 <= self.temperature < math.inf:
            raise UsageError(f"temperature must be 0 or more and finite; got {self.temperature}")
        if not 0 < self.top_p <= 1:
            raise UsageError(f"top_p must be over 0 and at most 1; got {self.top_p}")
        if self.max_tokens < 1:
            raise UsageError(f"max_tokens must be at least 1; got {self.max_tokens}")
        if self.max_episode_tokens is not None and self.max_episode_tokens < 1:
            raise UsageError(
                f"max_episode_tokens must be at least 1; got {self.max_episode_tokens}"
            )


def seed_of(*names: object) -> int:
    """A seed that depends on these names only: 31 bits of their SHA-256."""
    digest = hashlib.sha256("/".join(map(str, names)).encode()).digest()
    return int.from_bytes(digest[:4], "big") >> 1


@dataclass(frozen=True)
class Completion:
    """One reply of an engine. `finish` is "length" when `max_tokens` cut it off.

    `calls` are those that a server parsed out of the reply; `text` ends with them, as text.
    `logprobs` are what a server says of the tokens, in OpenAI's form.
    """

    text: str
    finish: Literal["stop", "length"]
    usage: Usage
    token_ids: tuple[int, ...] | None = None
    calls: tuple[Call, ...] = ()
    logprobs: Mapping[str, Any] | None = None


class StopReason(StrEnum):
    """Why an episode ended."""

    ANSWERED = "answered"
    """The model gave an answer."""
    MALFORMED = "malformed"
    """The last reply holds neither an answer nor a valid request, and no turn was left for an
    error message (or it was not a failed call, so none is due)."""
    OUT_OF_TURNS = "out_of_turns"
    """The model requested an image in the last turn it had."""
    CALLED = "called"
    """The model called a function of the caller's."""
    LENGTH = "length"
    """A token limit cut the last reply off before it held an answer or a request, or left no token
    for the turn that it asked for."""


@dataclass(frozen=True)
class Look:
    """One image as the model was shown it.

    Attributes:
        turn: number of the reply that it came before, from 0.
        image: which of the example's images it shows.
        action: name of the action that requested it; None: a first look.
        box: the part of the original that it shows; None: the whole.
        size: as the model saw it: the picture's own, shrunk to the model's limit if beyond it.
        visual_tokens: that the model's own processor makes of it.
    """

    turn: int
    image: int
    action: str | None
    box: Box | None
    size: Size
    visual_tokens: int
    picture: Picture = field(repr=False)


Outcome = Literal["answer", "request", "call", "guided", "malformed"]


@dataclass(frozen=True)
class Turn:
    """One assistant reply and how it was read.

    `outcome` is the kind of the parsed reply: "answer", "request", "call" (of a function of the
    caller's), "guided" (an answer in the form that the caller demands) or "malformed"; `note` says
    why a reply is malformed.
    """

    text: str
    outcome: Outcome
    usage: Usage
    note: str = ""
    token_ids: tuple[int, ...] | None = None
    logprobs: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class Episode:
    """A finished conversation.

    Attributes:
        messages: the whole conversation, system message first.
        looks: every image that the model was shown, in order.
        calls: of the caller's functions, where the episode ended with them.
    """

    example: Example
    look: LookMode
    profile: str
    model: str
    answer: str
    stop_reason: StopReason
    format_valid: bool
    messages: tuple[Message, ...]
    turns: tuple[Turn, ...]
    looks: tuple[Look, ...]
    ledger: Ledger
    calls: tuple[Call, ...] = ()

    @property
    def requested(self) -> bool:
        """Whether a look was delivered after a request."""
        return any(look.action is not None for look in self.looks)

    def looks_of(self, turn: int) -> tuple[Look, ...]:
        """The looks that came just before reply number `turn`, from 0."""
        return tuple(look for look in self.looks if look.turn == turn)
