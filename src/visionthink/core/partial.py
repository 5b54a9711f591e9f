"""The part of a streamed reply that later text cannot change.

Each function returns a prefix of what `parse_reply` finds in the finished reply, and so of what the
function itself returns when more of the reply is there.
"""

from __future__ import annotations

from collections.abc import Sequence

from visionthink.core.profiles import Plain, Profile, Tagged
from visionthink.core.protocol import (
    CALL,
    THINK,
    action_tags,
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


def answer_so_far(text: str, profile: Profile, *, last: bool) -> str:
    """The part of the answer that cannot change: of plain replies, where no request can be served.

    In tagged replies a later answer element may replace it, so nothing is certain before the end.
    """
    if not isinstance(profile, Plain) or (profile.can_request and not last):
        return ""
    if THINK[0].startswith(text.lstrip()):
        return ""  # it may become a thought
    _, rest = split_plain(text)
    said, call, _ = rest.partition(CALL[0])
    if not profile.can_request:
        said = rest
    elif not call:
        said = _whole_tags(said, (CALL[0],))
    return said.strip()


def _whole_tags(text: str, tags: Sequence[str]) -> str:
    """`text` without the half of a tag that it ends with."""
    halves = {tag[:end] for tag in tags for end in range(1, len(tag))}
    return text.removesuffix(max(filter(text.endswith, halves), key=len, default=""))
