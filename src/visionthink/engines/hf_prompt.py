"""From messages to token ids and pixels, with the exact tokens of earlier replies kept."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from visionthink.core.errors import EngineError, PromptError
from visionthink.core.images import Cells, Picture
from visionthink.core.types import Message
from visionthink.engines.hf_checkpoint import Checkpoint

# Replaces an earlier reply while the chat template runs; private characters, unlikely in text.
_REPLY = "\ue000reply\ue001"


@dataclass(frozen=True)
class Prompt:
    """A tokenised conversation.

    Attributes:
        ids: token ids, image placeholders expanded to one per visual token.
        pictures: the images in order of appearance.
        cells: columns and rows of the visual tokens of each.
        looks: how many of the pictures came before the first reply of this model, how many between
            that and the second, …
    """

    ids: tuple[int, ...]
    pictures: tuple[Picture, ...]
    cells: tuple[Cells, ...]
    looks: tuple[int, ...]


def build_prompt(messages: Sequence[Message], checkpoint: Checkpoint) -> Prompt:
    """Render the chat template and tokenise it.

    Replies that carry token ids are spliced in as those ids: re-tokenised text can differ from what
    was sampled, and then a cached prefix would no longer fit.

    Raises:
        EngineError: text of a message became a control token, or the template lost an image.
    """
    replies = [m.token_ids for m in messages if m.role == "assistant" and m.token_ids is not None]
    rendered = checkpoint.prompt([_template_message(message, checkpoint) for message in messages])
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

    cells, tokens = tuple(checkpoint.cells(pictures)), checkpoint.tokens
    images = iter(cells)
    expanded: list[int] = []
    for token in ids:
        is_image = token == tokens.image
        expanded += checkpoint.runner.expanded(next(images), tokens) if is_image else (token,)
    return Prompt(tuple(expanded), pictures, cells, _looks(messages))


def _looks(messages: Sequence[Message]) -> tuple[int, ...]:
    looks = [0]
    for message in messages:
        looks[-1] += len(message.images)
        if message.token_ids is not None:
            looks.append(0)
    return tuple(looks)


def _template_message(message: Message, checkpoint: Checkpoint) -> dict[str, Any]:
    if message.role == "assistant" and message.token_ids is not None:
        return {"role": "assistant", "content": _REPLY}
    return {"role": message.role, "content": checkpoint.runner.content(message.parts)}


def _check_control_tokens(
    ids: Sequence[int],
    messages: Sequence[Message],
    pictures: Sequence[Picture],
    checkpoint: Checkpoint,
) -> None:
    tokens = checkpoint.tokens
    images = ids.count(tokens.image)
    if images != len(pictures):
        raise PromptError(
            f"the prompt of {checkpoint.name!r} has {images} image placeholders "
            f"for {len(pictures)} images; does the text hold control tokens?"
        )
    turns = len(messages) + 1 if tokens.turn is None else ids.count(tokens.turn)
    if turns != len(messages) + 1:
        raise PromptError(
            f"the prompt of {checkpoint.name!r} has {turns} turns "
            f"for {len(messages)} messages and a reply; does the text hold control tokens?"
        )
