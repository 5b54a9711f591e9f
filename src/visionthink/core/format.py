"""The strict format check of an episode's replies, for the format reward of training."""

from __future__ import annotations

import json
from collections.abc import Sequence

from visionthink.core.actions import Problem
from visionthink.core.profiles import Profile, Tagged
from visionthink.core.protocol import (
    ANSWER,
    CALL,
    RESIZE,
    THINK,
    outcome,
    parse_reply,
    read_call,
)


def format_valid(replies: Sequence[str], profile: Profile) -> bool:
    """Whether all replies of an episode have the exact form that training rewards.

    One reply: a think element, then an answer element, exactly one of each tag and no request.
    More: every earlier reply is a think element, then one valid request and no answer; the last is
    as above. Profiles that do not think need no think element; plain replies have no form.
    """
    if not replies:
        return False
    *earlier, last = replies
    if not isinstance(profile, Tagged):
        kinds = [outcome(parse_reply(text, profile)) for text in replies]
        return kinds == ["request"] * len(earlier) + ["answer"]
    return all(_requests_strictly(text, profile) for text in earlier) and _answers_strictly(
        last, profile
    )


def _answers_strictly(text: str, profile: Tagged) -> bool:
    return (
        _has_shape(text, profile, *ANSWER)
        and _once(text, *ANSWER)
        and (CALL[0] if profile.marker is None else RESIZE) not in text
    )


def _requests_strictly(text: str, profile: Tagged) -> bool:
    if not profile.can_request or any(tag in text for tag in ANSWER):
        return False
    if profile.marker is not None:
        return text.count(RESIZE) == 1 and _has_shape(text, profile, profile.marker)
    if not (_has_shape(text, profile, *CALL) and _once(text, *CALL)):
        return False
    body = text.split(CALL[0])[1].split(CALL[1])[0]
    try:
        json.loads(body)
    except (ValueError, RecursionError):
        return False
    return not isinstance(read_call(body, profile), Problem)


def _has_shape(text: str, profile: Tagged, opened: str, closed: str | None = None) -> bool:
    """A think element, then `.*OPENED.*CLOSED$` with dots that match newlines.

    Without CLOSED the end is `OPENED$`. The think element may be missing where the profile does
    not think.
    """
    if profile.thinks or any(tag in text for tag in THINK):
        if not (text.startswith(THINK[0]) and _once(text, *THINK)):
            return False
        text = text.split(THINK[1], 1)[1]
    text = text.removesuffix("\n")
    if closed is None:
        return text.endswith(opened)
    start = text.find(opened)
    return start >= 0 and text[start + len(opened) :].endswith(closed)


def _once(text: str, opened: str, closed: str) -> bool:
    return text.count(opened) == 1 and text.count(closed) == 1
