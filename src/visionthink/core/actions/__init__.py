"""Actions: what a model may request, by name."""

from __future__ import annotations

from visionthink.core.actions.action import Action, Problem, View
from visionthink.core.actions.original import Original

__all__ = ["ACTIONS", "Action", "Original", "Problem", "View"]

ACTIONS: dict[str, type[Action]] = {action.name: action for action in (Original,)}
