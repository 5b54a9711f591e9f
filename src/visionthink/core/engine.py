"""The seam between the episode and whatever produces text."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol, runtime_checkable

from visionthink.core.images import Grid
from visionthink.core.ledger import ModelShape
from visionthink.core.types import Completion, Message, Sampling


class Engine(Protocol):
    """Replies to a conversation. Implemented by `engines/`: hf, openai, scripted.

    An engine that passes a message's `tools`, `calls` and `call_id` on says `takes_tools = True`.
    """

    @property
    def model(self) -> str:
        """Name of the model, for records."""
        ...

    @property
    def grid(self) -> Grid:
        """How the model cuts images into visual tokens."""
        ...

    @property
    def shape(self) -> ModelShape | None:
        """Sizes of the model for FLOPs; None where they are not known."""
        ...

    @property
    def profile(self) -> str | None:
        """Name of the prompt profile the checkpoint was trained with, if it says so."""
        ...

    async def generate(self, messages: Sequence[Message], sampling: Sampling) -> Completion:
        """Reply to `messages`, the last of which is the user's.

        Safe to call concurrently: engines batch or queue by themselves.

        Raises:
            EngineError: the model could not reply.
        """
        ...

    async def close(self) -> None:
        """Free what the engine holds; it cannot be used afterwards."""
        ...


@runtime_checkable
class Streams(Protocol):
    """Of an engine: its replies can be followed while they grow."""

    async def stream(
        self, messages: Sequence[Message], sampling: Sampling, heard: Callable[[str], None]
    ) -> Completion:
        """As `generate`; `heard` gets all of the reply so far, again and again, in the event loop.

        What it got is a beginning of the reply's text, unless the reply fails.
        """
        ...
