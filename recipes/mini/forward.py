"""The model's forward pass for training: a whole batch at once.

On a CPU, transformers' vision tower loops over the images of a batch. Here all images have one size
and go through attention together, and several questions share one image (see `packing`). A test
checks that the results equal those of the stock forward pass.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from transformers.models.qwen2_5_vl.modeling_qwen2_5_vl import apply_rotary_pos_emb_vision

from recipes.mini.model import IMAGE_MEAN, IMAGE_STD
from visionthink.mini.sheet import PATCH

MERGE = 2


def patches_of(pixels: np.ndarray) -> torch.Tensor:
    """Images (B, H, W, 3) uint8 as normalised patches (B, N, 3 * 14 * 14) in merge order."""
    images = torch.from_numpy(pixels).permute(0, 3, 1, 2).float()
    images = (images / 255.0 - IMAGE_MEAN) / IMAGE_STD
    batch, channels, height, width = images.shape
    rows, columns = height // PATCH // MERGE, width // PATCH // MERGE
    split = images.reshape(batch, channels, rows, MERGE, PATCH, columns, MERGE, PATCH)
    ordered = split.permute(0, 2, 5, 3, 6, 1, 4, 7)
    return ordered.reshape(batch, rows * columns * MERGE**2, channels * PATCH**2)


def patch_positions(rows: int, columns: int) -> torch.Tensor:
    """Row and column (N, 2) of each patch of a grid of merged tokens, in merge order."""
    y, x = torch.meshgrid(torch.arange(rows * MERGE), torch.arange(columns * MERGE), indexing="ij")
    grid = torch.stack([y, x]).reshape(2, rows, MERGE, columns, MERGE)
    return grid.permute(0, 1, 3, 2, 4).reshape(2, -1).T


def see(visual: Any, patches: torch.Tensor, grid: tuple[int, int]) -> torch.Tensor:
    """Visual tokens (B, rows * columns, D) of patches (B, N, P); `grid` is (rows, columns)."""
    # A still image is one frame twice, so the two temporal halves of the kernel add up.
    kernel = visual.patch_embed.proj.weight.sum(dim=2).flatten(1)
    hidden = F.linear(patches, kernel)
    cos, sin = visual.rotary_pos_emb(hidden, patch_positions(*grid))
    for block in visual.blocks:
        hidden = hidden + _attend(block.attn, block.norm1(hidden), cos, sin)
        hidden = hidden + block.mlp(block.norm2(hidden))
    batch = len(hidden)
    return visual.merger(hidden.reshape(-1, hidden.shape[-1])).reshape(batch, grid[0] * grid[1], -1)


def _attend(attention: Any, hidden: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor):
    batch, length, _ = hidden.shape
    qkv = attention.qkv(hidden).reshape(batch, length, 3, attention.num_heads, -1)
    query, key, value = qkv.unbind(2)  # each (B, N, heads, head size)
    query, key = apply_rotary_pos_emb_vision(query, key, cos, sin)
    query, key, value = (part.transpose(1, 2) for part in (query, key, value))
    # Plain products: the fused kernel takes twice as long where float32 products run in bfloat16.
    weights = torch.softmax((query * attention.scaling) @ key.transpose(2, 3), dim=-1)
    mixed = weights @ value
    return attention.proj(mixed.transpose(1, 2).reshape(batch, length, -1))
