"""What a model may request: another look. Each action is one file here and one row of `ACTIONS`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol, Self

from visionthink.core.images import Grid, Picture
from visionthink.core.types import Box, Look


@dataclass(frozen=True)
class Problem:
    """Why a request cannot be served; `text` is what the model is shown."""

    text: str


@dataclass(frozen=True)
class View:
    """What an action shows: original number `image`, or its part `box`, as `picture`."""

    image: int
    picture: Picture
    box: Box | None = None


class Action(Protocol):
    """A parsed request. Implementations are frozen dataclasses of their arguments.

    Attributes:
        name: in records and options, as "original".
        function: the tool's name in a call, as "resize_image".
    """

    name: ClassVar[str]
    function: ClassVar[str]

    @classmethod
    def read(cls, arguments: object) -> Self | Problem:
        """The request that a call's `arguments` (decoded JSON of any kind) make; never raises."""
        ...

    def arguments(self) -> Mapping[str, Any]:
        """What `read` reads this request from."""
        ...

    def views(
        self, originals: Sequence[Picture], looks: Sequence[Look], grid: Grid
    ) -> tuple[View, ...] | Problem:
        """What to show next, cut from the `originals`, after the `looks` that were shown."""
        ...


def quoted(value: object) -> str:
    """`value` as an error message shows it, at most 60 characters."""
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
