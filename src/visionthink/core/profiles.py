"""Profiles: ways to prompt a model.

Prompt texts are files in `prompts/`, byte for byte as the released checkpoints were trained with
them (arXiv 2507.13348, Tables 4 and 10, Fig. 7).

*Tagged* profiles are the paper's. *Plain* ones are for models that were not trained for this; their
requests are in the server's own tool format (`native`), or they cannot request at all (`plain`).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Profile:
    """One way to prompt a model.

    Attributes:
        user: text with `{image}` and `{question}`.
        direct: name of the profile used when no request is possible (looks `low` and `high`).
        actions: names of what the model may request, see `core.actions`; none: it cannot request.
        tool_response: text with `{image}` that delivers what was requested.
        tool_error: text with `{error}` that answers a call that cannot be served; None: such a call
            ends the episode.
        tools: JSON list of functions for the server's own tool format; "" without one.
        max_turns: how many replies an episode may have unless the caller says otherwise.
    """

    name: str
    system: str
    user: str
    direct: str
    actions: tuple[str, ...] = ()
    tool_response: str = ""
    tool_error: str | None = None
    tools: str = ""
    max_turns: int = 2

    @property
    def can_request(self) -> bool:
        return bool(self.actions)


@dataclass(frozen=True)
class Tagged(Profile):
    """Thought, answer and request stand in tags of their own (`core.protocol`).

    Attributes:
        thinks: whether a valid reply starts with a think element.
        marker: the literal request for the original of profiles without a tool call (Table 10).
    """

    thinks: bool = True
    marker: str | None = None


@dataclass(frozen=True)
class Plain(Profile):
    """The reply is the answer, after a think element if it starts with one; a call may follow."""


def _prompt(name: str) -> str:
    return (Path(__file__).parent / "prompts" / f"{name}.txt").read_text(encoding="utf-8")


PROFILES: dict[str, Profile] = {
    profile.name: profile
    for profile in (
        Tagged(
            name="agent",
            system=_prompt("agent_system"),
            user=_prompt("agent_user"),
            actions=("original",),
            tool_response=_prompt("agent_tool_response"),
            tool_error=_prompt("agent_tool_error"),
            direct="general",
        ),
        Tagged(
            name="general",
            system=_prompt("general_system"),
            user=_prompt("general_user"),
            direct="general",
        ),
        # The paper gives no second turn for the two simple profiles: they get the agent's.
        Tagged(
            name="simple-resize",
            system=_prompt("simple_resize_system"),
            user=_prompt("simple_resize_user"),
            actions=("original",),
            tool_response=_prompt("agent_tool_response"),
            marker="<resize></resize>",
            thinks=False,
            direct="general",
        ),
        Tagged(
            name="simple-think-resize",
            system=_prompt("simple_think_resize_system"),
            user=_prompt("simple_think_resize_user"),
            actions=("original",),
            tool_response=_prompt("agent_tool_response"),
            marker="<resize>",
            direct="general",
        ),
        Tagged(
            name="mini",
            system=_prompt("mini_system"),
            user=_prompt("mini_user"),
            actions=("original",),
            tool_response=_prompt("mini_tool_response"),
            tool_error=_prompt("mini_tool_error"),
            direct="mini-direct",
        ),
        Tagged(
            name="mini-direct",
            system=_prompt("mini_direct_system"),
            user=_prompt("mini_user"),
            direct="mini-direct",
        ),
        Plain(
            name="native",
            system=_prompt("native_system"),
            user=_prompt("plain_user"),
            actions=("original",),
            tool_response=_prompt("native_tool_response"),
            tool_error=_prompt("native_tool_error"),
            tools=_prompt("native_tools"),
            direct="plain",
        ),
        Plain(
            name="plain",
            system="",
            user=_prompt("plain_user"),
            direct="plain",
        ),
    )
}
