"""The seam between the episode and whatever produces text."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from visionthink.core.errors import UsageError
from visionthink.core.images import Grid
from visionthink.core.ledger import ModelShape
from visionthink.core.types import Completion, Message, Sampling


@dataclass(frozen=True)
class EngineInfo:
    """What an engine says about its model.

    Attributes:
        model: name, for records.
        grid: how the model turns images into visual tokens.
        shape: sizes that FLOPs depend on; None where they are not known.
        profile: the prompt profile that the checkpoint was trained with, if it names one.
        takes_tools: whether a message's `tools`, `calls` and `call_id` reach the model.
        device: type of the device that computes, such as "cuda"; None: in another process.
    """

    model: str
    grid: Grid
    shape: ModelShape | None = None
    profile: str | None = None
    takes_tools: bool = False
    device: str | None = None


class Engine(Protocol):
    """Replies to a conversation. Engines subclass it and define at least `about` and `generate`."""

    @property
    @abstractmethod
    def about(self) -> EngineInfo:
        """The model. May block while a server is asked about it, and raise as `generate`."""
        ...

    @abstractmethod
    async def generate(self, messages: Sequence[Message], sampling: Sampling) -> Completion:
        """Reply to `messages`, the last of which is the user's.

        Safe to call concurrently: engines batch or queue by themselves.

        Raises:
            EngineError: the model could not reply.
        """
        ...

    async def stream(
        self, messages: Sequence[Message], sampling: Sampling, heard: Callable[[str], None]
    ) -> Completion:
        """As `generate`; `heard` is called in the event loop with the reply so far as it grows.

        Each text that it gets is a prefix of the reply's, unless the reply fails. Engines that
        cannot stream call it once, with the whole reply.
        """
        completion = await self.generate(messages, sampling)
        heard(completion.text)
        return completion

    def altered(self, intervention: Any) -> Engine:
        """An engine on the same weights whose replies are computed under an `Intervention` of
        `engines.hf`, such as the pruning of visual tokens.

        Raises:
            UsageError: the model does not run in this process.
        """
        raise UsageError(
            f"changing how a model computes needs the hf engine; got {type(self).__name__}"
        )

    async def close(self) -> None:
        """Free what the engine holds; it cannot be used afterwards."""
