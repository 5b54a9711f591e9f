"""Recycled tokens against a reference in plain Python loops."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from masked_model import Masked, slow_raters
from pruning_models import LAYERS, deep_checkpoint, logits_of, picture, prompt_about, visual_places

from checkpoints import save_qwen2_5_vl
from visionthink.pruning import SparseVLM
from visionthink.pruning.selection import density_peaks

Points = list[list[float]]


def distance(a: list[float], b: list[float]) -> float:
    return math.sqrt(sum((x - y) ** 2 for x, y in zip(a, b, strict=True))) / math.sqrt(len(a))


def slow_density_peaks(points: Points, count: int) -> tuple[list[int], Points]:
    """The method in words: dense points that are far from any denser one gather the others."""
    places = range(len(points))
    farthest = max(distance(a, b) for a in points for b in points)
    density: list[float] = []
    for a in points:
        nearest = sorted(distance(a, b) for b in points)[:count]
        density.append(math.exp(-sum(d * d for d in nearest) / count))
    products: list[float] = []
    for i in places:
        denser = [
            distance(points[i], points[j])
            for j in places
            if density[j] > density[i] or (density[j] == density[i] and j < i)
        ]
        products.append(density[i] * min(denser, default=farthest))
    centres = sorted(sorted(places, key=lambda i: -products[i])[:count])
    members: dict[int, list[int]] = {centre: [] for centre in centres}
    for i in places:
        near = min(centres, key=lambda centre: distance(points[i], points[centre]))
        members[i if i in centres else near].append(i)
    means = [
        [
            sum(points[i][axis] for i in members[centre]) / len(members[centre])
            for axis in range(len(points[0]))
        ]
        for centre in centres
    ]
    return centres, means


@pytest.mark.parametrize(("points", "count"), [(1, 1), (2, 1), (7, 2), (30, 4), (30, 30), (61, 7)])
def test_density_peaks_equal_the_slow_reference(points: int, count: int):
    torch.manual_seed(points)
    states = torch.randn(points, 5) * torch.rand(points, 1)
    centres, means = density_peaks(states, count)
    slow_centres, slow_means = slow_density_peaks(states.double().tolist(), count)
    assert centres.tolist() == slow_centres
    torch.testing.assert_close(means, torch.tensor(slow_means), rtol=1e-5, atol=1e-5)


def test_density_peaks_of_two_heaps():
    """With k = 2 the mean of squares is 1/2 in the first heap and 0 in the second. Point 3 has no
    denser one: reach 10, product 10. Point 4 is as dense as 3: reach 0. Points 0 and 2 are as dense
    as 1: of 0 the nearest denser one is 10 away, of 1 and 2 it is 1. So 3 and 0 are centres."""
    states = torch.tensor([[-1.0], [0.0], [1.0], [9.0], [9.0]])
    centres, means = density_peaks(states, 2)
    assert centres.tolist() == [0, 3]
    assert means.flatten().tolist() == [0.0, 9.0]


def test_density_peaks_of_tokens_far_from_each_other():
    """exp(-5000) for 0, 1 and 2 and exp(-800) for 3 and 4 are 0 even in float64, but 10,040 and 40
    times the second are still more than 10,000 times the first."""
    states = torch.tensor([[0.0], [100.0], [200.0], [10_000.0], [10_040.0]])
    assert density_peaks(states, 2)[0].tolist() == [3, 4]


def merged_in(budget: int, tokens: int) -> tuple[int, int]:
    """How many of the dropped tokens are merged, into how many, so that the budget is met."""
    for kept in range(budget, 0, -1):
        pool = int(0.3 * (tokens - kept)) + 1
        into = int(0.1 * pool) + 1
        if kept + into == budget:
            return pool, into
    raise AssertionError


@pytest.mark.parametrize("kernel", ["sdpa", "eager"])
def test_recycled_tokens_in_a_model_equal_the_slow_reference(tmp_path: Path, kernel: str):
    """What layer 1 runs after pruning, from what would have entered it, token by token: hidden
    states and positions. Merged tokens stand where their centres stood. Of 192 visual tokens 41 are
    left (192 / 4.64): 36 as they are, and of the 156 others int(46.8) + 1 merged into 5."""
    checkpoint = deep_checkpoint(save_qwen2_5_vl, tmp_path)
    checkpoint.model.set_attn_implementation(kernel)
    prompt = prompt_about(checkpoint, picture(1, (448, 336)))  # 16 x 12 visual tokens
    method = SparseVLM(0.01)
    layer = checkpoint.model.model.language_model.layers[1]
    hidden: list[torch.Tensor] = []
    cosines: list[torch.Tensor] = []
    layer.input_layernorm.register_forward_pre_hook(lambda module, args: hidden.append(args[0][0]))
    layer.self_attn.register_forward_pre_hook(
        lambda module, args, kwargs: cosines.append(kwargs["position_embeddings"][0][0]),
        with_kwargs=True,
    )
    visual = visual_places(prompt, checkpoint)
    raters = slow_raters(checkpoint, prompt)
    scores = Masked(checkpoint, prompt).run()[1][0][raters].mean(dim=0).tolist()
    whole, positions = hidden[-1], cosines[-1]
    logits_of(checkpoint, prompt, method)

    budget = method.schedule([len(visual)], LAYERS)[1]
    pool, into = merged_in(budget, len(visual))
    assert (len(visual), budget, pool, into) == (192, 41, 47, 5)
    ranked = sorted(visual, key=lambda place: -scores[place])
    kept, recycled = ranked[: budget - into], sorted(ranked[budget - into :][:pool])
    centres, means = slow_density_peaks([whole[place].tolist() for place in recycled], into)
    stand_ins = {recycled[centre]: mean for centre, mean in zip(centres, means, strict=True)}
    stays = {*kept, *stand_ins}
    places = [place for place in range(len(whole)) if place not in visual or place in stays]
    wanted = [
        torch.tensor(stand_ins[place]) if place in stand_ins else whole[place] for place in places
    ]
    torch.testing.assert_close(hidden[-1], torch.stack(wanted), rtol=1e-5, atol=1e-4)
    assert cosines[-1].equal(positions[places])
