"""What happened in an episode, reply by reply: what was shown before it, and what it did."""

from __future__ import annotations

from dataclasses import dataclass

from visionthink.core.profiles import PROFILES
from visionthink.core.protocol import Request, parse_reply
from visionthink.core.types import Episode, Look, Outcome, StopReason

ENDINGS: dict[StopReason, str] = {
    StopReason.MALFORMED: "the last reply holds neither an answer nor a valid request",
    StopReason.OUT_OF_TURNS: "the last turn was used for a request",
    StopReason.LENGTH: "a token limit cut off the last reply",
}


@dataclass(frozen=True)
class Step:
    """One reply, and the looks that came just before it.

    `action` names what a request asks for, and `delivered` says whether it was shown; `note` says
    why a reply is malformed, or why a request was not served.
    """

    looks: tuple[Look, ...]
    thought: str
    outcome: Outcome
    action: str = ""
    note: str = ""
    delivered: bool = False


def steps(episode: Episode) -> tuple[Step, ...]:
    """The replies of an episode, in order."""
    found: list[Step] = []
    for at, turn in enumerate(episode.turns):
        reply = parse_reply(turn.text, PROFILES[episode.profile])
        after = episode.looks_of(at + 1)
        delivered = turn.outcome == "request" and bool(after)
        action, note = "", turn.note
        if turn.outcome == "request":
            parsed = reply.action.name if isinstance(reply, Request) else "a closer look"
            action = (after[0].action if after else None) or parsed
            if not delivered and not note:
                last = at + 1 == len(episode.turns)
                note = "no turn was left to serve it" if last else "refused"
        shown = episode.looks_of(at)
        found.append(Step(shown, reply.thought, turn.outcome, action, note, delivered))
    return tuple(found)


def shows_all_at_first(episode: Episode) -> bool:
    """Whether the first look costs as much as the originals: there is no smaller view of them."""
    first = sum(look.visual_tokens for look in episode.looks if look.action is None)
    return first >= episode.ledger.vanilla


def ending(episode: Episode) -> str:
    """Why there is no answer, or what is wrong with it; empty where nothing is."""
    if episode.stop_reason is not StopReason.ANSWERED:
        return ENDINGS[episode.stop_reason]
    return "" if episode.answer else "the answer is empty"
