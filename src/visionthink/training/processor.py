"""A processor of a tokenizer and a PIL image processor, which is all that training needs.

The Qwen-VL processors of transformers bring a video processor, which cannot be built without
torchvision.
"""

from __future__ import annotations

from typing import Any

from transformers import ProcessorMixin

from visionthink.engines.hf_checkpoint import Checkpoint


class VisionProcessor(ProcessorMixin):
    """`image_processor` and `tokenizer`, side by side."""

    def __init__(self, image_processor: Any, tokenizer: Any, **kwargs: Any) -> None:
        super().__init__(image_processor, tokenizer, **kwargs)

    def check_argument_for_proper_class(self, argument_name: str, argument: Any) -> Any:
        """Any image processor and tokenizer will do: a checkpoint's own were loaded already."""
        return type(argument)


def processor_of(checkpoint: Checkpoint) -> VisionProcessor:
    """The processor of a loaded checkpoint; prompts are padded on the left, as generation needs."""
    checkpoint.tokenizer.padding_side = "left"
    return VisionProcessor(checkpoint.image_processor, checkpoint.tokenizer)
