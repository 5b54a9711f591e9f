"""Models deep enough to prune, prompts about noise, and logits step by step."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from transformers import AutoConfig, AutoModelForImageTextToText, DynamicCache

from visionthink.core import protocol
from visionthink.core.images import Picture
from visionthink.core.ledger import Pruned
from visionthink.core.profiles import PROFILES
from visionthink.core.types import Message
from visionthink.engines.hf_checkpoint import Checkpoint, load_checkpoint
from visionthink.engines.hf_prompt import Prompt, build_prompt
from visionthink.pruning.engine import Pruning
from visionthink.pruning.methods import Method

LAYERS = 6
MINI = PROFILES["mini"]
SPOKEN = (65, 90, 33, 70, 101)  # any tokens will do


def assert_close(found: torch.Tensor, wanted: torch.Tensor) -> None:
    """Logits are of the order of 10."""
    torch.testing.assert_close(found, wanted, rtol=0, atol=1e-3)


def deep_checkpoint(save: Callable[[Path], Path], folder: Path) -> Checkpoint:
    """What `save` makes, with six layers in place of two."""
    shallow = AutoModelForImageTextToText.from_pretrained(save(folder))
    config = AutoConfig.from_pretrained(folder)
    config.text_config.num_hidden_layers = LAYERS
    config.text_config.layer_types = ["full_attention"] * LAYERS
    torch.manual_seed(0)
    model = AutoModelForImageTextToText.from_config(config)
    with torch.no_grad():
        model.lm_head.weight.copy_(shallow.lm_head.weight)  # it says printable ASCII only
    model.generation_config.eos_token_id = shallow.generation_config.eos_token_id
    model.save_pretrained(folder)
    return load_checkpoint(folder, device="cpu")


@contextmanager
def attention_by(kernel: str, checkpoint: Checkpoint) -> Iterator[None]:
    """The model attends by this kernel, and afterwards by its own again."""
    before = checkpoint.model.config._attn_implementation
    checkpoint.model.set_attn_implementation(kernel)
    try:
        yield
    finally:
        checkpoint.model.set_attn_implementation(before)


def picture(seed: int, size: tuple[int, int] = (224, 168)) -> Picture:
    """Noise with a slope in it; 8 x 6 visual tokens of 28 px, unless another size is asked for."""
    width, height = size
    noise = np.random.default_rng(seed).integers(0, 128, (height, width, 3))
    slope = np.linspace(0, 127, width)[None, :, None]
    return Picture(Image.fromarray((noise + slope).astype(np.uint8)))


def messages_about(*pictures: Picture, question: str = "what is it?") -> list[Message]:
    return list(protocol.opening(MINI, pictures, question))


def prompt_about(checkpoint: Checkpoint, *pictures: Picture) -> Prompt:
    return build_prompt(messages_about(*pictures), checkpoint)


def visual_places(prompt: Prompt, checkpoint: Checkpoint) -> list[int]:
    return [place for place, token in enumerate(prompt.ids) if token == checkpoint.tokens.image]


def longer(prompt: Prompt, spoken: Sequence[int]) -> Prompt:
    """The prompt with tokens of a reply at its end."""
    return replace(prompt, ids=(*prompt.ids, *spoken))


@torch.inference_mode()
def logits_of(
    checkpoint: Checkpoint,
    prompt: Prompt,
    method: Method | None = None,
    spoken: Sequence[int] = (),
    **options: Any,
) -> tuple[torch.Tensor, Pruned | None]:
    """Logits after the prompt and after each spoken token, and what was run: (1 + spoken, V)."""
    images = checkpoint.inputs(prompt.pictures)
    ids = torch.tensor([(*prompt.ids, *spoken)])
    positions = positions_of(checkpoint, ids, prompt)
    cache, length = DynamicCache(config=checkpoint.model.config.get_text_config()), len(prompt.ids)
    found: list[torch.Tensor] = []
    with _during(checkpoint, prompt, method) as pruned:
        for start, end in [(0, length), *((at, at + 1) for at in range(length, ids.shape[1]))]:
            output = checkpoint.model(
                input_ids=ids[:, start:end],
                position_ids=positions[:, :, start:end],
                past_key_values=cache,
                logits_to_keep=1,
                **(images if start == 0 else {}),
                **options,
            )
            found.append(output.logits[0, -1])
        told = pruned() if method else None
    return torch.stack(found), told


def positions_of(checkpoint: Checkpoint, ids: torch.Tensor, prompt: Prompt) -> torch.Tensor:
    image = checkpoint.tokens.image
    return checkpoint.runner.positions(checkpoint.model, ids, None, prompt.cells, image)[0]


def _during(
    checkpoint: Checkpoint, prompt: Prompt, method: Method | None
) -> AbstractContextManager[Any]:
    if method is None:
        return nullcontext()
    return Pruning(method, first_look_only=False).during(checkpoint, prompt, 0)


def hooks_in(model: torch.nn.Module) -> int:
    """How many forward hooks and pre-hooks there are in all modules."""
    return sum(
        len(module._forward_hooks) + len(module._forward_pre_hooks) for module in model.modules()
    )
