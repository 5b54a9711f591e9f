"""The part of a streamed reply that later text cannot change.

Each function returns a prefix of what `parse_reply` finds in the finished reply, read as
`streamed`, and so of what the function itself returns when more of the reply is there.
"""

from __future__ import annotations

from collections.abc import Sequence

from visionthink.core.profiles import Profile, Tagged
from visionthink.core.protocol import (
    ANNOUNCED,
    ANSWER,
    CALL,
    THINK,
    action_tags,
    begun_answer,
    split_plain,
    thoughts_in,
)


def thought_so_far(text: str, profile: Profile) -> str:
    """The part of the thought that cannot change."""
    if not isinstance(profile, Tagged):
        thought, _ = split_plain(text)
        return thought if THINK[1] in text else _whole_tags(thought, (THINK[1],)).strip()
    thoughts, _, inside = thoughts_in(text, profile)
    if inside:
        thoughts[-1] = _whole_tags(thoughts[-1], (THINK[1], *action_tags(profile)))
    return "\n".join(thought.strip() for thought in thoughts)


def answer_so_far(text: str, profile: Profile) -> str:
    """The part of the answer that cannot change."""
    if isinstance(profile, Tagged):
        return _tagged_answer(text, profile)
    if THINK[0].startswith(text.lstrip()):
        return ""  # it may become a thought
    _, rest = split_plain(text)
    if profile.can_request:
        rest, call, _ = rest.partition(CALL[0])
        rest = rest if call else _whole_tags(rest, (CALL[0],))
        if len(rest.strip()) <= ANNOUNCED:
            return ""  # it may announce a call
    return rest.strip()


def _tagged_answer(text: str, profile: Tagged) -> str:
    """Without a boxed answer until it is whole, and without text that is in no element: only the
    end shows that no element follows.
    """
    begun = begun_answer(text, profile)
    if begun is None:
        return ""
    if begun.end:
        return begun.answer
    if begun.boxed or "\\boxed{".startswith(begun.body.strip()):
        return ""
    return _whole_tags(begun.body, (ANSWER[1], *action_tags(profile))).strip()


def _whole_tags(text: str, tags: Sequence[str]) -> str:
    """`text` without the half of a tag that it ends with."""
    halves = {tag[:end] for tag in tags for end in range(1, len(tag))}
    return text.removesuffix(max(filter(text.endswith, halves), key=len, default=""))
