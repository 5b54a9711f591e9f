"""GRPO as TRL alone does it: a data set with an image column, a processor, reward functions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from datasets import Dataset
from datasets import Image as ImageColumn
from transformers import PrinterCallback, ProcessorMixin
from trl.trainer.grpo_config import GRPOConfig
from trl.trainer.grpo_trainer import GRPOTrainer

from visionthink.core import protocol
from visionthink.core.format import format_valid
from visionthink.core.images import half_view
from visionthink.core.types import Message
from visionthink.data.rows import Row
from visionthink.engines.hf_checkpoint import Checkpoint
from visionthink.judges.rules import Rules

RULES = Rules("exact")


class ImageTextProcessor(ProcessorMixin):
    """`Qwen2_5_VLProcessor` without videos, whose processor cannot be built without torchvision."""

    return_mm_token_type_ids = True

    def __init__(self, image_processor: Any, tokenizer: Any) -> None:
        self.image_token = "<|image_pad|>"  # noqa: S105
        self.image_token_id = tokenizer.convert_tokens_to_ids(self.image_token)
        super().__init__(image_processor, tokenizer, chat_template=tokenizer.chat_template)

    def check_argument_for_proper_class(self, argument_name: str, argument: Any) -> Any:
        return type(argument)

    def replace_image_token(self, image_inputs: dict[str, Any], image_idx: int, **_: Any) -> str:
        patches = int(image_inputs["image_grid_thw"][image_idx].prod())
        return self.image_token * (patches // self.image_processor.merge_size**2)

    @property
    def model_input_names(self) -> list[str]:
        return [*super().model_input_names, "mm_token_type_ids"]


def plain_trainer(checkpoint: Checkpoint, rows: Sequence[Row], profile: str, args: GRPOConfig):
    """TRL's own trainer on the half-size views of `rows`, with the prompt of look `low`."""
    rules = protocol.profile_for("low", profile)
    checkpoint.tokenizer.padding_side = "left"

    def format(completions: Any, **_: Any) -> list[float | None]:
        return [0.5 * format_valid([text_of(c)], rules) for c in completions]

    def accuracy(completions: Any, answer: Any, **_: Any) -> list[float | None]:
        said = [protocol.final_answer(protocol.parse_reply(text_of(c), rules)) for c in completions]
        return [
            float(bool(RULES.decide("", (true,), a))) for a, true in zip(said, answer, strict=True)
        ]

    trainer = GRPOTrainer(
        model=checkpoint.model,
        reward_funcs=[accuracy, format],
        args=args,
        train_dataset=image_rows(rows, rules, checkpoint),
        processing_class=ImageTextProcessor(checkpoint.image_processor, checkpoint.tokenizer),
    )
    trainer.remove_callback(PrinterCallback)
    return trainer


def text_of(completion: Any) -> str:
    return completion[0]["content"]


def image_rows(rows: Sequence[Row], rules: protocol.Profile, checkpoint: Checkpoint) -> Dataset:
    """Columns prompt, image and answer; images are encoded, as in any saved data set."""
    views = [half_view(row.open().images[0], checkpoint.grid) for row in rows]
    asked = zip(rows, views, strict=True)
    prompts = [
        [blocks(message) for message in protocol.opening(rules, (view,), row.question)]
        for row, view in asked
    ]
    columns = {
        "prompt": prompts,
        "image": [view.image for view in views],
        "answer": [row.answer for row in rows],
    }
    return Dataset.from_dict(columns).cast_column("image", ImageColumn())


def blocks(message: Message) -> dict[str, Any]:
    """A message as TRL takes it, its image left open for the image column."""
    content = [
        {"type": "text", "text": part} if isinstance(part, str) else {"type": "image"}
        for part in message.parts
    ]
    return {"role": message.role, "content": content}
