"""Contextual tokens by hand, and the order of the best."""

from __future__ import annotations

import torch

from visionthink.pruning.selection import best, contextual


def test_contextual_tokens_by_hand():
    """Five tokens, two targets: every second, so 0 and 2. Keys of 1 and 3 point where target 0's
    does, 4's where target 2's does, whatever their length. 10 + (1 + 3) / 2 and 30 + 5."""
    states = torch.tensor([[10.0], [1.0], [30.0], [3.0], [5.0]])
    keys = torch.tensor([[1.0, 0.0], [9.0, 1.0], [0.0, 2.0], [0.1, 0.0], [-1.0, 3.0]])
    targets, merged = contextual(states, keys, 2)
    assert targets.tolist() == [0, 2]
    assert merged.flatten().tolist() == [12.0, 35.0]


def test_targets_without_others_stay_as_they_are():
    """Three of five: every first one, up to three; nobody is like the second."""
    states = torch.tensor([[1.0], [2.0], [3.0], [4.0], [5.0]])
    keys = torch.tensor([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0], [1.0, 0.1], [-1.0, 0.1]])
    targets, merged = contextual(states, keys, 3)
    assert targets.tolist() == [0, 1, 2]
    assert merged.flatten().tolist() == [5.0, 2.0, 8.0]
    assert contextual(states, keys, 5)[1].equal(states)


def test_the_best_in_the_order_of_the_prompt():
    assert best(torch.tensor([3.0, 1.0, 2.0, 3.0, 3.0]), 3).tolist() == [0, 3, 4]
    assert best(torch.tensor([1.0, 1.0, 1.0]), 2).tolist() == [0, 1]
