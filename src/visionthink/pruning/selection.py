"""What layer and tower pruning share: attention of chosen rows, and merging of dropped tokens.

Fused attention kernels return no weights, and eager attention would hold those of every layer.
Computing the needed rows again from the queries and the cached keys is cheap and the same for both.
"""

from __future__ import annotations

from typing import Any

import torch
from transformers import DynamicCache

from visionthink.core.errors import EngineError

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


def density_peaks(states: torch.Tensor, count: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Merge tokens around those that are dense and far from any denser one.

    With k = `count`: a token's density is exp(-mean of its k smallest squared distances, its own 0
    among them), its reach the distance to the nearest denser token (the largest of all distances
    where there is none); centres are the `count` largest products. Distances are divided by √D; of
    equally dense tokens the first counts as denser.

    Args:
        states: (N, D).
        count: how many clusters, N at most.

    Returns:
        The centres' places, ascending, and the mean of each one's cluster: (count,), (count, D).
    """
    points = states.float()
    distances = torch.cdist(points, points, compute_mode="donot_use_mm_for_euclid_dist")
    distances = distances / points.shape[1] ** 0.5
    nearest = distances.topk(count, dim=-1, largest=False).values
    density = -nearest.square().mean(dim=-1)  # in logarithms: exp would be 0 for far-off tokens
    order = torch.arange(len(points), device=points.device)
    denser = density[None, :] > density[:, None]
    denser |= (density[None, :] == density[:, None]) & (order[None, :] < order[:, None])
    reach = torch.where(denser, distances, distances.max()).min(dim=-1).values
    centres = best(density + reach.log(), count)
    cluster = distances[:, centres].argmin(dim=-1)
    cluster[centres] = torch.arange(count, device=centres.device)
    return centres, _means(points, cluster, count).to(states.dtype)


def contextual(
    states: torch.Tensor, keys: torch.Tensor, count: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Add to evenly spaced tokens the mean of those whose keys are most like theirs.

    Args:
        states: (N, D).
        keys: (N, d), compared by their angle.
        count: how many targets, N at most.

    Returns:
        The targets' places, ascending, and what they become: (count,), (count, D).
    """
    everything = torch.arange(len(states), device=states.device)
    targets = everything[:: max(1, len(states) // count)][:count]
    others = everything[~torch.isin(everything, targets)]
    merged = states[targets]
    if len(others):
        keys = torch.nn.functional.normalize(keys.float(), dim=-1)
        nearest = (keys[others] @ keys[targets].T).argmax(dim=-1)
        merged = merged + _means(states[others].float(), nearest, count).to(states.dtype)
    return targets, merged


def best(scores: torch.Tensor, count: int) -> torch.Tensor:
    """Places of the `count` highest scores, ascending; of equal ones the first."""
    return scores.argsort(descending=True, stable=True)[:count].sort().values


def _means(states: torch.Tensor, group: torch.Tensor, groups: int) -> torch.Tensor:
    """The mean of each group of rows; 0 for a group without any."""
    sums = states.new_zeros(groups, states.shape[1]).index_add_(0, group, states)
    return sums / torch.bincount(group, minlength=groups).clamp(min=1)[:, None]


def check_call(embeddings: torch.Tensor, cache: Any) -> None:
    """Refuse a batch, and a cache of fixed size.

    Raises:
        EngineError: the model was called with either.
    """
    if len(embeddings) != 1:
        raise EngineError(f"pruning takes one prompt at a time; got a batch of {len(embeddings)}")
    if not isinstance(cache, DynamicCache):
        raise EngineError(
            f"pruning needs a cache that grows, DynamicCache; got {type(cache).__name__}"
        )
