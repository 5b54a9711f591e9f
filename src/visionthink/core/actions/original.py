"""The paper's action: show the whole image at its original resolution."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Self, cast

from visionthink.core.actions.action import Problem, View, quoted
from visionthink.core.images import Grid, Picture
from visionthink.core.types import Look


@dataclass(frozen=True)
class Original:
    """All images at once, each as it was given."""

    name: ClassVar[str] = "original"
    function: ClassVar[str] = "resize_image"

    @classmethod
    def read(cls, arguments: object) -> Self | Problem:
        if not isinstance(arguments, dict):
            return Problem('the arguments must be {"action": "resize"}')
        action = cast(dict[str, Any], arguments).get("action")
        if action != "resize":
            return Problem(f"there is no action {quoted(action)}, only 'resize'")
        return cls()

    def arguments(self) -> Mapping[str, Any]:
        return {"action": "resize"}

    def views(
        self, originals: Sequence[Picture], looks: Sequence[Look], grid: Grid
    ) -> tuple[View, ...] | Problem:
        if any(look.action == self.name for look in looks):
            return Problem("the image is already shown at its original resolution")
        return tuple(View(image, picture) for image, picture in enumerate(originals))
