"""The client's own functions beside the request for a look."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from visionthink.core.profiles import Plain, Profile

TOOL_FIELDS = ("tools", "tool_choice", "functions", "function_call")


def offers_tools(fields: Mapping[str, Any]) -> bool:
    """Whether the client lets the model call functions of its own."""
    tools = fields.get("tools") and fields.get("tool_choice") != "none"
    return bool(tools or (fields.get("functions") and fields.get("function_call") != "none"))


def why_not(fields: Mapping[str, Any], profile: Profile) -> str | None:
    """Why the functions cannot be offered beside ours; None: they can."""
    if not offers_tools(fields):
        return None
    if not isinstance(profile, Plain):
        return f"the profile {profile.name!r} has no functions of the client's"
    if fields.get("functions"):
        return "the field functions is not merged with ours; tools is"
    if isinstance(fields.get("tool_choice"), dict):
        return "tool_choice names a function, so that no look can be requested"
    tools = fields["tools"]
    if not isinstance(tools, list) or not all(_name(tool) for tool in tools):
        return "tools has something other than functions"
    ours = [_name(tool) for tool in json.loads(profile.tools or "[]")]
    if taken := [name for tool in tools if (name := _name(tool)) in ours]:
        return f"a function has the name of ours, {taken[0]}"
    return None


def client_functions(fields: Mapping[str, Any]) -> tuple[Mapping[str, Any], ...]:
    """The functions to offer, once `why_not` has nothing against them."""
    return tuple(fields["tools"]) if offers_tools(fields) else ()


def _name(tool: Any) -> str | None:
    function = tool.get("function") if isinstance(tool, dict) else None
    name = function.get("name") if isinstance(function, dict) else None
    return name if isinstance(name, str) and name else None
