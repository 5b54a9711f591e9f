"""From messages to token ids and pixels, with the exact tokens of earlier replies kept."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from visionthink.core.errors import EngineError, PromptError
from visionthink.core.images import Picture
from visionthink.core.types import Message
from visionthink.engines.hf_checkpoint import Checkpoint

# Stands for an earlier reply while the chat template runs; no text can hold it by accident.
_REPLY = "\ue000reply\ue001"


@dataclass(frozen=True)
class Prompt:
    """A tokenised conversation.

    Attributes:
        ids: token ids, image placeholders expanded to one per visual token.
        pictures: the images in order of appearance.
        grids: (1, patch rows, patch columns) of each, as the model takes them.
        looks: how many of the pictures came before the first reply of this model, how many between
            that and the second, …
    """

    ids: tuple[int, ...]
    pictures: tuple[Picture, ...]
    grids: tuple[tuple[int, int, int], ...]
    looks: tuple[int, ...]


def build_prompt(messages: Sequence[Message], checkpoint: Checkpoint) -> Prompt:
    """Render the chat template and tokenise it.

    Replies that carry token ids are spliced in as those ids: re-tokenised text can differ from what
    was sampled, and then a cached prefix would no longer fit.

    Raises:
        EngineError: text of a message became a control token, or the template lost an image.
    """
    replies = [m.token_ids for m in messages if m.role == "assistant" and m.token_ids is not None]
    rendered: str = checkpoint.tokenizer.apply_chat_template(
        [_template_message(message) for message in messages],
        tokenize=False,
        add_generation_prompt=True,
    )
    pieces = rendered.split(_REPLY)
    if len(pieces) != len(replies) + 1:
        raise EngineError(f"the chat template of {checkpoint.name!r} changes assistant messages")
    tokenised = [
        checkpoint.tokenizer(piece, add_special_tokens=False)["input_ids"] for piece in pieces
    ]
    pictures = tuple(picture for message in messages for picture in message.images)
    _check_control_tokens([i for piece in tokenised for i in piece], messages, pictures, checkpoint)
    ids: list[int] = []
    for number, piece in enumerate(tokenised):
        ids += piece
        if number < len(replies):
            reply = list(replies[number])
            ids += reply[:-1] if reply[-1:] and reply[-1] in checkpoint.stop_ids else reply

    factor = checkpoint.image_processor.merge_size
    cells = [checkpoint.grid.cells(picture.size) for picture in pictures]
    grids = tuple((1, rows * factor, columns * factor) for columns, rows in cells)
    counts = iter([columns * rows for columns, rows in cells])
    expanded: list[int] = []
    for token in ids:
        expanded += [token] * (next(counts) if token == checkpoint.image_id else 1)
    return Prompt(tuple(expanded), pictures, grids, _looks(messages))


def _looks(messages: Sequence[Message]) -> tuple[int, ...]:
    looks = [0]
    for message in messages:
        looks[-1] += len(message.images)
        if message.token_ids is not None:
            looks.append(0)
    return tuple(looks)


def _template_message(message: Message) -> dict[str, Any]:
    if message.role == "assistant" and message.token_ids is not None:
        return {"role": "assistant", "content": _REPLY}
    if not message.images:
        return {"role": message.role, "content": message.text}
    content = [
        {"type": "text", "text": part} if isinstance(part, str) else {"type": "image"}
        for part in message.parts
    ]
    return {"role": message.role, "content": content}


def _check_control_tokens(
    ids: Sequence[int],
    messages: Sequence[Message],
    pictures: Sequence[Picture],
    checkpoint: Checkpoint,
) -> None:
    images, turns = ids.count(checkpoint.image_id), ids.count(checkpoint.turn_id)
    if images != len(pictures):
        raise PromptError(
            f"the prompt of {checkpoint.name!r} has {images} image placeholders "
            f"for {len(pictures)} images; does the text hold control tokens?"
        )
    if turns != len(messages) + 1:
        raise PromptError(
            f"the prompt of {checkpoint.name!r} has {turns} turns "
            f"for {len(messages)} messages and a reply; does the text hold control tokens?"
        )


def pixels(pictures: Sequence[Picture], grids: Sequence[Any], checkpoint: Checkpoint) -> Any:
    """The vision tower's input for `pictures`: (patches, values) in the model's dtype.

    Raises:
        EngineError: the processor cuts an image otherwise than `Grid` says.
    """
    features = checkpoint.image_processor(
        images=[picture.image for picture in pictures], return_tensors="pt"
    )
    if [tuple(grid) for grid in features["image_grid_thw"].tolist()] != [tuple(g) for g in grids]:
        raise EngineError(
            f"the image processor of {checkpoint.name!r} cuts images into "
            f"{features['image_grid_thw'].tolist()} patches; expected {list(grids)}"
        )
    values: torch.Tensor = features["pixel_values"]
    return values.to(checkpoint.device, checkpoint.model.dtype)
