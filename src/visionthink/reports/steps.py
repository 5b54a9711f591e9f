"""What happened in an episode, reply by reply: what was shown before it, and what it did."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from visionthink.core.images import Picture, Size
from visionthink.core.profiles import PROFILES
from visionthink.core.protocol import Request, parse_reply
from visionthink.core.types import Episode, StopReason

ENDINGS: dict[StopReason, str] = {
    StopReason.ANSWERED: "answered",
    StopReason.MALFORMED: "the last reply holds neither an answer nor a valid request",
    StopReason.OUT_OF_TURNS: "the last turn was used for a request",
    StopReason.LENGTH: "a token limit cut off the last reply",
}
Box = tuple[int, int, int, int]


@dataclass(frozen=True)
class Look:
    """One image as the model was shown it."""

    turn: int
    image: int
    action: str | None
    box: Box | None
    size: Size
    visual_tokens: int
    picture: Picture


@dataclass(frozen=True)
class Step:
    """One reply, and the looks that came just before it.

    `action` names what a request asks for, and `delivered` says whether it was shown; `note` says
    why a reply is malformed, or why a request was not served.
    """

    looks: tuple[Look, ...]
    thought: str
    outcome: Literal["answer", "request", "malformed"]
    action: str = ""
    note: str = ""
    delivered: bool = False


def looks_of(episode: Episode) -> tuple[Look, ...]:
    """Everything that the model was shown, in order."""
    pending: list[Picture] = []
    turns: list[list[Picture]] = []
    for message in episode.messages:
        if message.role == "assistant":
            turns.append(pending)
            pending = []
        else:
            pending += message.images
    looks: list[Look] = []
    for at, (turn, cost) in enumerate(zip(episode.turns, episode.ledger.turns, strict=True)):
        action = None if at == 0 else "original"
        tokens = share_tokens(cost.visual_tokens, turn.saw)
        looks += [
            Look(at, image, action, None, size, share, picture)
            for image, (size, share, picture) in enumerate(
                zip(turn.saw, tokens, turns[at], strict=False)
            )
        ]
    return tuple(looks)


def share_tokens(tokens: int, sizes: Sequence[Size]) -> list[int]:
    """The visual tokens of several images, divided by their areas: exact for a single one."""
    shares: list[int] = []
    areas = [width * height for width, height in sizes]
    for at, area in enumerate(areas):
        left = sum(areas[at:])
        shares.append(round((tokens - sum(shares)) * area / left) if left else 0)
    return shares


def steps(episode: Episode, looks: Sequence[Look] | None = None) -> tuple[Step, ...]:
    """The replies of an episode, in order."""
    looks = looks_of(episode) if looks is None else looks
    found: list[Step] = []
    for at, turn in enumerate(episode.turns):
        reply = parse_reply(turn.text, PROFILES[episode.profile])
        after = [look for look in looks if look.turn == at + 1]
        delivered = turn.outcome == "request" and bool(after)
        action, note = "", turn.note
        if turn.outcome == "request":
            asked = reply.action if isinstance(reply, Request) else ""
            action = (after[0].action if after else None) or str(asked) or "original"
            if not delivered and not note:
                last = at + 1 == len(episode.turns)
                note = "no turn was left to serve it" if last else "refused"
        shown = tuple(look for look in looks if look.turn == at)
        found.append(Step(shown, reply.thought, turn.outcome, action, note, delivered))
    return tuple(found)


def shows_all_at_first(episode: Episode) -> bool:
    """Whether the first look costs as much as the originals: there is no smaller view of them."""
    first = [look.visual_tokens for look in looks_of(episode) if look.action is None]
    return sum(first) >= episode.ledger.vanilla


def ending(episode: Episode) -> str:
    """Why there is no answer, or what is wrong with it; empty where nothing is."""
    if episode.stop_reason is not StopReason.ANSWERED:
        return ENDINGS[episode.stop_reason]
    return "" if episode.answer else "the answer is empty"
