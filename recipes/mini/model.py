"""The mini model: Qwen2.5-VL's architecture at 3.4 million parameters."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from visionthink.mini.sheet import PATCH, TOKEN

IMAGE_MEAN, IMAGE_STD = 0.72, 0.27
"""Close to the grey of the drawn paper, so that ink is the signal."""

MIN_PIXELS = TOKEN * TOKEN
MAX_PIXELS = 224 * 224
INITIAL_STD = 0.04
WORD_STD = 0.5
"""Word vectors start larger than a layer's output, which would otherwise drown the words."""

TEXT = {
    "hidden_size": 192,
    "intermediate_size": 512,
    "num_hidden_layers": 4,
    "num_attention_heads": 6,
    "num_key_value_heads": 2,
    "max_position_embeddings": 4096,
    "rms_norm_eps": 1e-6,
    "initializer_range": INITIAL_STD,
    "rope_parameters": {
        "rope_type": "default",
        "rope_theta": 10_000.0,
        "mrope_section": [4, 6, 6],
    },
}

VISION = {
    "depth": 5,
    "hidden_size": 128,
    "intermediate_size": 384,
    "num_heads": 4,
    "patch_size": PATCH,
    "spatial_merge_size": 2,
    "temporal_patch_size": 2,
    "out_hidden_size": 192,
    "fullatt_block_indexes": [0, 1, 2, 3, 4],
    "window_size": 1792,
    "initializer_range": INITIAL_STD,
}


def build_model(tokenizer: Any, seed: int) -> Any:
    """A `Qwen2_5_VLForConditionalGeneration` with random float32 weights for this tokenizer."""
    import torch
    from transformers import Qwen2_5_VLConfig, Qwen2_5_VLForConditionalGeneration

    names = {
        "image_token_id": "<|image_pad|>",
        "video_token_id": "<|video_pad|>",
        "vision_start_token_id": "<|vision_start|>",
        "vision_end_token_id": "<|vision_end|>",
    }
    ends = {
        "bos_token_id": None,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
    }
    config = Qwen2_5_VLConfig(
        text_config={**TEXT, **ends, "vocab_size": len(tokenizer)},
        vision_config=dict(VISION),
        tie_word_embeddings=False,
        **{field: tokenizer.convert_tokens_to_ids(name) for field, name in names.items()},
    )
    torch.manual_seed(seed)
    model = Qwen2_5_VLForConditionalGeneration(config).float()
    _settle(model)
    model.generation_config.eos_token_id = tokenizer.eos_token_id
    model.generation_config.pad_token_id = tokenizer.pad_token_id
    model.generation_config.bos_token_id = None
    return model


def _settle(model: Any) -> None:
    """Large word vectors and small layer outputs: the residual stream starts as the tokens."""
    import torch

    language = model.model.language_model
    with torch.no_grad():
        language.embed_tokens.weight.mul_(WORD_STD / INITIAL_STD)
        for layer in language.layers:
            layer.self_attn.o_proj.weight.mul_(0.3)
            layer.mlp.down_proj.weight.mul_(0.3)


def image_processor_config() -> dict[str, Any]:
    """`preprocessor_config.json`: half views are not enlarged, originals are bounded."""
    return {
        "image_processor_type": "Qwen2VLImageProcessor",
        "processor_class": "Qwen2_5_VLProcessor",
        "do_convert_rgb": True,
        "do_resize": True,
        "do_rescale": True,
        "do_normalize": True,
        "image_mean": [IMAGE_MEAN] * 3,
        "image_std": [IMAGE_STD] * 3,
        "rescale_factor": 1 / 255,
        "resample": 3,
        "patch_size": PATCH,
        "temporal_patch_size": 2,
        "merge_size": 2,
        "min_pixels": MIN_PIXELS,
        "max_pixels": MAX_PIXELS,
        "size": {"shortest_edge": MIN_PIXELS, "longest_edge": MAX_PIXELS},
    }


def save_checkpoint(model: Any, tokenizer: Any, folder: Path) -> None:
    """Write a folder that transformers and vLLM load without our code."""
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    for name, content in (
        ("preprocessor_config.json", image_processor_config()),
        ("visionthink.json", {"profile": "mini"}),
    ):
        (folder / name).write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
