"""Attention, computed once more for the few rows that a method looks at.

Attention kernels keep no weights, and eager attention would keep all of them in all layers.
Computing the needed rows from the queries and the cached keys is cheap and the same for both.
"""

from __future__ import annotations

from typing import Any

import torch

MOST_WEIGHTS = 2**22
"""Attention weights held at once: 16 MB in float32, about what a CPU's cache holds."""


def layer_attention(
    attention: Any,
    hidden: torch.Tensor,
    rotary: tuple[torch.Tensor, torch.Tensor],
    keys: torch.Tensor,
    rows: torch.Tensor,
) -> torch.Tensor:
    """What some tokens of a causal layer attend to, averaged over its heads.

    Args:
        attention: the layer's attention module.
        hidden: its input, (1, T, D).
        rotary: cos and sin of the positions, (1, T, d) each.
        keys: the layer's rotated keys, (1, KV heads, T, d).
        rows: places of the R tokens.

    Returns:
        (R, T), float32.
    """
    cos, sin = (part[0, rows] for part in rotary)
    heads, length, width = keys.shape[1:]
    queries = attention.q_proj(hidden[0, rows]).view(len(rows), -1, width)
    if hasattr(attention, "q_norm"):  # Qwen3
        queries = attention.q_norm(queries)
    queries = _rotate(queries.transpose(0, 1), cos, sin)  # (heads, R, d)
    columns = torch.arange(length, device=keys.device)
    at_once = max(1, MOST_WEIGHTS // (len(queries) * length))
    found: list[torch.Tensor] = []
    for part, own in zip(queries.split(at_once, dim=1), rows.split(at_once), strict=True):
        grouped = part.reshape(heads, -1, width)  # heads that share a key head, one after the other
        logits = (grouped @ keys[0].transpose(1, 2)).float() * attention.scaling
        logits = logits.view(len(queries), len(own), length)
        logits = logits.masked_fill(columns > own[:, None], float("-inf"))
        found.append(logits.softmax(dim=-1).mean(dim=0))
    return torch.cat(found)


def received_attention(
    queries: torch.Tensor, keys: torch.Tensor, lengths: list[int], scaling: float
) -> torch.Tensor:
    """How much attention each patch gets from all patches of its segment, averaged over heads.

    Args:
        queries: rotated queries, (N, heads, d).
        keys: rotated keys, (N, heads, d).
        lengths: of the segments that attend to themselves only, one after the other.
        scaling: what the products are multiplied by.

    Returns:
        (N,), float32; a segment's sum is its length.
    """
    heads = queries.shape[1]
    found: list[torch.Tensor] = []
    for query, key in zip(queries.split(lengths), keys.split(lengths), strict=True):
        across = key.permute(1, 2, 0).contiguous()  # (heads, d, n)
        at_once = max(1, MOST_WEIGHTS // (heads * len(key)))
        total = queries.new_zeros(len(key), dtype=torch.float32)
        for rows in (query.transpose(0, 1) * scaling).split(at_once, dim=1):
            total += (rows @ across).float().softmax(dim=-1).sum(dim=(0, 1))
        found.append(total / heads)
    return torch.cat(found)


def rotate_patches(states: torch.Tensor, rotary: tuple[torch.Tensor, torch.Tensor]) -> torch.Tensor:
    """Queries or keys (N, heads, d) of a vision tower at their positions; cos and sin (N, d)."""
    cos, sin = (part[:, None].float() for part in rotary)
    return _rotate(states.float(), cos, sin).to(states.dtype)


def _rotate(states: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor) -> torch.Tensor:
    left, right = states.chunk(2, dim=-1)
    return states * cos + torch.cat((-right, left), dim=-1) * sin
