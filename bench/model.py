"""A Qwen2.5-VL of about 100 M random weights: real arithmetic, meaningless text."""

from __future__ import annotations

from pathlib import Path

import torch
from transformers import AutoTokenizer, Qwen2_5_VLConfig, Qwen2_5_VLForConditionalGeneration
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

from visionthink.mini import CHECKPOINTS


def save_bench_model(folder: Path, hidden: int = 768, layers: int = 12) -> Path:
    """Write the checkpoint; the same weights each time. `hidden` is a multiple of 128."""
    tokenizer = AutoTokenizer.from_pretrained(CHECKPOINTS / "mini-base")

    def of(token: str) -> int:
        return tokenizer.convert_tokens_to_ids(token)

    config = Qwen2_5_VLConfig(
        text_config={
            "vocab_size": len(tokenizer),
            "hidden_size": hidden,
            "intermediate_size": 3 * hidden,
            "num_hidden_layers": layers,
            "num_attention_heads": hidden // 64,
            "num_key_value_heads": 2,
            "max_position_embeddings": 8192,
            "rope_parameters": {
                "rope_type": "default",
                "rope_theta": 1_000_000.0,
                "mrope_section": [8, 12, 12],
            },
        },
        # As in the real models: windows of 4x4 visual tokens, one block in four sees everything.
        vision_config={
            "depth": 8,
            "hidden_size": 384,
            "intermediate_size": 1024,
            "num_heads": 6,
            "out_hidden_size": hidden,
            "fullatt_block_indexes": [3, 7],
            "window_size": 112,
        },
        image_token_id=of("<|image_pad|>"),
        video_token_id=of("<|video_pad|>"),
        vision_start_token_id=of("<|vision_start|>"),
        vision_end_token_id=of("<|vision_end|>"),
        tie_word_embeddings=True,
    )
    torch.manual_seed(0)
    Qwen2_5_VLForConditionalGeneration(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    Qwen2VLImageProcessorPil(max_pixels=12_845_056).save_pretrained(folder)
    return folder
