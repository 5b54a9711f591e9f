"""Where visual tokens stand, in prompts written out token by token (9 is a visual one)."""

from __future__ import annotations

from typing import Any

from visionthink.engines.hf_prompt import Prompt
from visionthink.pruning.layout import Layout, layout_of

WIDE, TALL = (2, 1), (1, 2)
IDS = (1, 9, 9, 2, 3, 4, 9, 9, 5)
"""A first look in places 1 and 2, a reply, an image that it asked for in 6 and 7."""


def prompt(ids: tuple[int, ...], looks: tuple[int, ...]) -> Prompt:
    pictures: Any = (None,) * sum(looks)
    return Prompt(ids, pictures, (WIDE, TALL)[: sum(looks)], looks)


def layout(ids: tuple[int, ...], looks: tuple[int, ...], past: int, first_look: bool) -> Layout:
    return layout_of(prompt(ids, looks), past, image_id=9, first_look_only=first_look)


def test_two_images_in_one_look():
    """They may stand side by side."""
    found = layout((1, 9, 9, 9, 9, 2), (2,), 0, first_look=False)
    assert found.tokens == 6
    assert found.images == (range(1, 3), range(3, 5))
    assert found.cells == ((2, 1), (1, 2))
    assert [*found.prunable] == [*found.latest] == [0, 1]
    assert found.owner == [-1, 0, 0, 1, 1, -1]
    assert found.prunable_sizes == [2, 2]


def test_the_second_look_of_a_whole_prompt():
    both = layout(IDS, (1, 1), 0, first_look=False)
    assert (both.images, [*both.prunable], [*both.latest]) == (
        (range(1, 3), range(6, 8)),
        [0, 1],
        [1],
    )
    first = layout(IDS, (1, 1), 0, first_look=True)
    assert ([*first.prunable], [*first.latest]) == ([0], [1])
    assert first.owner == [-1, 0, 0, -1, -1, -1, -1, -1, -1]


def test_the_second_look_after_a_cached_first_one():
    """Places count from the first token that is run, the fifth of the prompt."""
    after = layout(IDS, (1, 1), 4, first_look=False)
    assert (after.tokens, after.images, after.cells) == (5, (range(2, 4),), ((1, 2),))
    assert ([*after.prunable], [*after.latest]) == ([0], [0])
    assert [*layout(IDS, (1, 1), 4, first_look=True).prunable] == []


def test_a_turn_that_brings_no_image():
    found = layout((1, 9, 9, 2, 3, 4), (1, 0), 0, first_look=True)
    assert ([*found.prunable], [*found.latest]) == ([0], [])
    cached = layout((1, 9, 9, 2, 3, 4), (1, 0), 4, first_look=False)
    assert (cached.images, [*cached.prunable], [*cached.latest]) == ((), [], [])
