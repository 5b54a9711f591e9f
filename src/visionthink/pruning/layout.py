"""Where the visual tokens of a prompt are, and which of them may be pruned."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from visionthink.core.images import Cells


class Prompt(Protocol):
    """A tokenised conversation, as the hf engine makes it: see `engines.hf_prompt`."""

    @property
    def ids(self) -> tuple[int, ...]: ...

    @property
    def cells(self) -> tuple[Cells, ...]: ...

    @property
    def looks(self) -> tuple[int, ...]: ...


@dataclass(frozen=True)
class Layout:
    """The part of a prompt that is run: what follows the cached tokens.

    Attributes:
        tokens: how many there are.
        images: the places of each image's tokens; counted, as everything here, from the first token
            that is run.
        cells: columns and rows of each image.
        prunable: which of `images` may be pruned.
        latest: which of `images` came just before the reply.
    """

    tokens: int
    images: tuple[range, ...]
    cells: tuple[Cells, ...]
    prunable: range
    latest: range

    @property
    def owner(self) -> list[int]:
        """For each token the number of the image, among `images`, that it is pruned with, or -1."""
        owner = [-1] * self.tokens
        for image in self.prunable:
            for place in self.images[image]:
                owner[place] = image
        return owner

    @property
    def prunable_sizes(self) -> list[int]:
        return [len(self.images[image]) for image in self.prunable]


def layout_of(prompt: Prompt, past: int, *, image_id: int, first_look_only: bool) -> Layout:
    """The layout of what follows `past` cached tokens.

    Args:
        prompt: the whole conversation.
        past: how many of its tokens are cached; they end between images.
        image_id: the id of a visual token.
        first_look_only: whether images that came after a reply stay whole.
    """
    places = [place - past for place, token in enumerate(prompt.ids) if token == image_id]
    images = _split(places, [columns * rows for columns, rows in prompt.cells])
    cached = sum(1 for image in images if image.start < 0)
    first = prompt.looks[0] if first_look_only else len(images)
    return Layout(
        tokens=len(prompt.ids) - past,
        images=tuple(images[cached:]),
        cells=prompt.cells[cached:],
        prunable=range(max(0, first - cached)),
        latest=range(max(0, len(images) - prompt.looks[-1] - cached), len(images) - cached),
    )


def _split(places: Sequence[int], sizes: Sequence[int]) -> list[range]:
    """One range an image: its placeholders stand together."""
    ranges: list[range] = []
    start = 0
    for size in sizes:
        ranges.append(range(places[start], places[start] + size))
        start += size
    return ranges
