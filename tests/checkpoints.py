"""Small checkpoints with random weights, of the architectures that users load from the hub."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
from transformers import (
    PreTrainedTokenizerFast,
    Qwen2_5_VLConfig,
    Qwen2_5_VLForConditionalGeneration,
    Qwen2VLConfig,
    Qwen2VLForConditionalGeneration,
    Qwen3VLConfig,
    Qwen3VLForConditionalGeneration,
)
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

CONTROL = (
    *("<|endoftext|>", "<|im_start|>", "<|im_end|>"),
    *("<|vision_start|>", "<|vision_end|>", "<|image_pad|>", "<|video_pad|>"),
)

CHAT_TEMPLATE = """\
{%- for message in messages -%}
<|im_start|>{{ message.role }}
{% if message.content is string -%}
{{ message.content }}
{%- else -%}
{%- for part in message.content -%}
{{ part.text if part.type == "text" else "<|vision_start|><|image_pad|><|vision_end|>" }}
{%- endfor -%}
{%- endif -%}
<|im_end|>
{% endfor -%}
{%- if add_generation_prompt -%}
<|im_start|>assistant
{% endif -%}
"""

# Wide weights, so that a greedy reply is not one token repeated and depends on the whole prompt.
SPREAD = 0.2


def save_qwen2_vl(folder: Path, *, seed: int = 0) -> Path:
    """A Qwen2-VL of two layers; visual tokens of 28 px, every block sees the whole image."""
    tokenizer = _tokenizer()
    config = Qwen2VLConfig(
        text_config={**_text(tokenizer), "rope_parameters": _rope([4, 6, 6])},
        vision_config={
            "depth": 2,
            "embed_dim": 64,
            "hidden_size": 128,
            "mlp_ratio": 2,
            "num_heads": 2,
            "initializer_range": SPREAD,
        },
        **_ids(tokenizer),
    )
    processor = Qwen2VLImageProcessorPil(min_pixels=28**2, max_pixels=256 * 28**2)
    return _save(Qwen2VLForConditionalGeneration, config, processor, tokenizer, folder, seed)


def save_qwen2_5_vl(folder: Path, *, seed: int = 0) -> Path:
    """A Qwen2.5-VL of two layers; windows of 2x2 visual tokens, 28 px each."""
    tokenizer = _tokenizer()
    config = Qwen2_5_VLConfig(
        text_config={**_text(tokenizer), "rope_parameters": _rope([4, 6, 6])},
        vision_config={
            "depth": 2,
            "hidden_size": 64,
            "intermediate_size": 96,
            "num_heads": 2,
            "out_hidden_size": 128,
            "fullatt_block_indexes": [1],
            "window_size": 56,
            "initializer_range": SPREAD,
        },
        **_ids(tokenizer),
    )
    processor = Qwen2VLImageProcessorPil(min_pixels=28**2, max_pixels=256 * 28**2)
    return _save(Qwen2_5_VLForConditionalGeneration, config, processor, tokenizer, folder, seed)


def save_qwen3_vl(folder: Path, *, seed: int = 0) -> Path:
    """A Qwen3-VL of two layers with one deepstack level; visual tokens of 32 px."""
    tokenizer = _tokenizer()
    config = Qwen3VLConfig(
        text_config={
            **_text(tokenizer),
            "head_dim": 32,
            "rope_parameters": {**_rope([6, 5, 5]), "mrope_interleaved": True},
        },
        vision_config={
            "depth": 2,
            "hidden_size": 64,
            "intermediate_size": 96,
            "num_heads": 2,
            "out_hidden_size": 128,
            "num_position_embeddings": 64,
            "deepstack_visual_indexes": [0],
            "initializer_range": SPREAD,
        },
        **_ids(tokenizer),
    )
    processor = Qwen2VLImageProcessorPil(
        patch_size=16,
        min_pixels=32**2,
        max_pixels=256 * 32**2,
        image_mean=[0.5] * 3,
        image_std=[0.5] * 3,
    )
    return _save(Qwen3VLForConditionalGeneration, config, processor, tokenizer, folder, seed)


def _text(tokenizer: PreTrainedTokenizerFast) -> dict[str, Any]:
    return {
        "vocab_size": len(tokenizer),
        "hidden_size": 128,
        "intermediate_size": 192,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 4096,
        "initializer_range": SPREAD,
    }


def _rope(sections: list[int]) -> dict[str, Any]:
    """Sections sum to half of a head's 32 dimensions."""
    return {"rope_type": "default", "rope_theta": 10000.0, "mrope_section": sections}


def _ids(tokenizer: PreTrainedTokenizerFast) -> dict[str, Any]:
    of = tokenizer.convert_tokens_to_ids
    return {
        "image_token_id": of("<|image_pad|>"),
        "video_token_id": of("<|video_pad|>"),
        "vision_start_token_id": of("<|vision_start|>"),
        "vision_end_token_id": of("<|vision_end|>"),
        "tie_word_embeddings": False,
        "initializer_range": SPREAD,
    }


def _save(
    kind: Any,
    config: Any,
    processor: Qwen2VLImageProcessorPil,
    tokenizer: PreTrainedTokenizerFast,
    folder: Path,
    seed: int,
) -> Path:
    torch.manual_seed(seed)
    model = kind(config)
    # It says printable ASCII only: other bytes would make broken UTF-8.
    end = tokenizer.convert_tokens_to_ids("<|im_end|>")
    silent = torch.ones(len(tokenizer), dtype=torch.bool)
    for character in map(chr, range(33, 127)):
        silent[tokenizer.convert_tokens_to_ids(character)] = False
    silent[end] = False
    with torch.no_grad():
        model.lm_head.weight[silent] = 0  # logit 0; the largest of a hundred random ones is above
    model.generation_config.eos_token_id = end
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder


def _tokenizer() -> PreTrainedTokenizerFast:
    """Single bytes and the control tokens."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    backend = Tokenizer(models.BPE(vocab={b: i for i, b in enumerate(alphabet)}, merges=[]))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    backend.add_special_tokens([AddedToken(token, normalized=False) for token in CONTROL])
    return PreTrainedTokenizerFast(
        tokenizer_object=backend,
        chat_template=CHAT_TEMPLATE,
        eos_token="<|im_end|>",  # noqa: S106 - a token of text, no secret
        pad_token="<|endoftext|>",  # noqa: S106
    )
