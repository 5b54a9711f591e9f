"""What becomes of dropped tokens: density peaks (SparseVLM), nearest targets (VisionZip)."""

from __future__ import annotations

import torch


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
