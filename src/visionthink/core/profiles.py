"""Profiles: ways of talking to a model, each with its prompts.

Prompt texts are files in `prompts/`, byte for byte as the released checkpoints were trained with
them (arXiv 2507.13348, Tables 4 and 10, Fig. 7).

*Plain* profiles are for models that were not trained for this: the reply is the answer, after a
think element if it starts with one; a call may follow, in the server's own format (`native`).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Profile:
    """One way of talking to a model.

    Attributes:
        user: text with `{image}` and `{question}`.
        tool_response: text with `{image}` that delivers the original; None if the profile cannot
            request.
        tool_error: text with `{error}` that answers a bad call; None if there is none.
        marker: the literal request of profiles without a tool call (Table 10).
        thinks: whether a valid reply starts with a think element.
        direct: name of the profile used when no request is possible (looks `low` and `high`).
        plain: whether the reply is the answer as it stands, without an answer element.
        tools: JSON list of functions for the server's own tool format; "" without one.
    """

    name: str
    system: str
    user: str
    direct: str
    tool_response: str | None = None
    tool_error: str | None = None
    marker: str | None = None
    thinks: bool = True
    plain: bool = False
    tools: str = ""

    @property
    def can_request(self) -> bool:
        return self.tool_response is not None


def _prompt(name: str) -> str:
    return (Path(__file__).parent / "prompts" / f"{name}.txt").read_text(encoding="utf-8")


PROFILES: dict[str, Profile] = {
    profile.name: profile
    for profile in (
        Profile(
            name="agent",
            system=_prompt("agent_system"),
            user=_prompt("agent_user"),
            tool_response=_prompt("agent_tool_response"),
            tool_error=_prompt("agent_tool_error"),
            direct="general",
        ),
        Profile(
            name="general",
            system=_prompt("general_system"),
            user=_prompt("general_user"),
            direct="general",
        ),
        # The paper gives no second turn for the two simple profiles: they get the agent's.
        Profile(
            name="simple-resize",
            system=_prompt("simple_resize_system"),
            user=_prompt("simple_resize_user"),
            tool_response=_prompt("agent_tool_response"),
            marker="<resize></resize>",
            thinks=False,
            direct="general",
        ),
        Profile(
            name="simple-think-resize",
            system=_prompt("simple_think_resize_system"),
            user=_prompt("simple_think_resize_user"),
            tool_response=_prompt("agent_tool_response"),
            marker="<resize>",
            direct="general",
        ),
        Profile(
            name="mini",
            system=_prompt("mini_system"),
            user=_prompt("mini_user"),
            tool_response=_prompt("mini_tool_response"),
            tool_error=_prompt("mini_tool_error"),
            direct="mini-direct",
        ),
        Profile(
            name="mini-direct",
            system=_prompt("mini_direct_system"),
            user=_prompt("mini_user"),
            direct="mini-direct",
        ),
        Profile(
            name="native",
            system=_prompt("native_system"),
            user=_prompt("plain_user"),
            tool_response=_prompt("native_tool_response"),
            tool_error=_prompt("native_tool_error"),
            thinks=False,
            plain=True,
            tools=_prompt("native_tools"),
            direct="plain",
        ),
        Profile(
            name="plain",
            system="",
            user=_prompt("plain_user"),
            thinks=False,
            plain=True,
            direct="plain",
        ),
    )
}
