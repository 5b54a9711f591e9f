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

    def save_pretrained(self, *args: Any, **kwargs: Any) -> Any:
        """Save; the tokenizer still names the processor of its checkpoint, not this one."""
        named = self.tokenizer._processor_class
        files = super().save_pretrained(*args, **kwargs)
        self.tokenizer._set_processor_class(named)
        return files


def processor_of(checkpoint: Checkpoint) -> VisionProcessor:
    """The processor of a loaded checkpoint; prompts are padded on the left, as generation needs."""
    checkpoint.tokenizer.padding_side = "left"
    return VisionProcessor(checkpoint.image_processor, checkpoint.tokenizer)
