"""How transformers runs the models of a family: special tokens, images in prompts, model inputs."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch

from visionthink.core.errors import UsageError
from visionthink.core.images import Cells, Picture
from visionthink.core.types import Part


@dataclass(frozen=True)
class SpecialTokens:
    """Ids of the tokens that a family gives a meaning.

    Attributes:
        image: stands for one visual token.
        end: ends a reply.
        turn: begins a turn; None if turns cannot be counted by one token.
        banned: placeholders, never to be sampled: one would shift every later image.
    """

    image: int
    end: int
    turn: int | None
    banned: tuple[int, ...]


class Runner(Protocol):
    """One family under transformers. Families subclass it; the defaults fit plain decoders, with
    one position a token, whose tower is `model.vision_tower`.

    Attributes:
        marker_input: name of the model's input that marks the visual tokens, if it takes one.
    """

    marker_input: str | None = None

    @abstractmethod
    def special_tokens(self, config: Any, tokenizer: Any) -> SpecialTokens:
        """Looked up in a transformers configuration and tokenizer."""
        ...

    @abstractmethod
    def inputs(
        self, pictures: Sequence[Picture], cells: Sequence[Cells], processor: Any
    ) -> dict[str, torch.Tensor]:
        """What the model takes of `pictures` besides tokens, on the CPU.

        Raises:
            EngineError: the processor makes other visual tokens of them than `cells` says.
        """
        ...

    def limit_pixels(self, processor: Any, max_pixels: int) -> None:
        """Have the image processor shrink larger images. Raises UsageError: it cannot."""
        raise UsageError(
            "max_pixels does not apply to this model: its visual tokens do not follow from pixels"
        )

    def saved_processor(self, held: dict[str, Any], processor: Any) -> dict[str, Any]:
        """The preprocessor_config.json `held` with the limits that `processor` has now."""
        return held

    def content(self, parts: Sequence[Part]) -> Any:
        """The parts of a message as the chat template takes them."""
        if all(isinstance(part, str) for part in parts):
            return "".join(part for part in parts if isinstance(part, str))
        return [
            {"type": "text", "text": part} if isinstance(part, str) else {"type": "image"}
            for part in parts
        ]

    def expanded(self, cells: Cells, tokens: SpecialTokens) -> tuple[int, ...]:
        """What replaces the template's one placeholder of an image."""
        columns, rows = cells
        return (tokens.image,) * (columns * rows)

    def collapsed(self, ids: Sequence[int], tokens: SpecialTokens) -> list[int]:
        """The inverse of `expanded`, for servers that expand by themselves."""
        return [
            token
            for place, token in enumerate(ids)
            if token != tokens.image or place == 0 or ids[place - 1] != tokens.image
        ]

    def positions(
        self,
        network: Any,
        ids: torch.Tensor,
        mask: torch.Tensor | None,
        cells: Sequence[Cells],
        image: int,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Positions of a batch and how far those of later tokens lag behind their places.

        Args:
            network: the model.
            ids: (B, T).
            mask: (B, T), 0 where rows are padded on the left; None without padding.
            cells: of all images of the batch in order.
            image: the id of a visual token.

        Returns:
            (B, T), with further axes before them if a token has several positions; and (B, 1).
        """
        ones = torch.ones_like(ids) if mask is None else mask
        return (ones.cumsum(dim=1) - 1).clamp(min=0), ids.new_zeros(len(ids), 1)

    def tower(self, network: Any) -> torch.nn.Module:
        """The vision tower."""
        return network.model.vision_tower

    def language(self, network: Any) -> torch.nn.Module:
        """The language model."""
        return network.model.language_model
