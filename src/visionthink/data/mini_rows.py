"""Rows of the embedded world, drawn on access, so memory use does not grow with their number."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import overload

from visionthink.core.errors import UsageError
from visionthink.core.images import Limits, Picture
from visionthink.data.data_options import DataOptions
from visionthink.data.rows import Row, Rows
from visionthink.mini.world import FAMILIES, Split, draw, make_example

SPLITS: tuple[Split, ...] = ("train", "test")
STRIDE = 1_000_000_000
"""Two data sets of different seeds share no drawing below this many rows."""


@dataclass(frozen=True, slots=True)
class DrawnImage:
    """The image of this family, seed and split; drawn each time it is opened."""

    family: str
    seed: int
    split: Split

    @property
    def path(self) -> None:
        return None

    def open(self, limits: Limits) -> Picture:
        return make_example(self.family, self.seed, self.split).images[0]


class DrawnRows(Sequence[Row]):
    """Row i is of family `families[i]` and seed `first + i`; its question is drawn on demand.

    `places` are the i in it; default: all.
    """

    def __init__(
        self, families: Sequence[str], first: int, split: Split, places: range | None = None
    ) -> None:
        self._families = families
        self._first = first
        self._split: Split = split
        self._places = range(len(families)) if places is None else places

    def __len__(self) -> int:
        return len(self._places)

    @overload
    def __getitem__(self, index: int) -> Row: ...
    @overload
    def __getitem__(self, index: slice) -> DrawnRows: ...
    def __getitem__(self, index: int | slice) -> Row | DrawnRows:
        if isinstance(index, slice):
            return DrawnRows(self._families, self._first, self._split, self._places[index])
        place = self._places[index]
        family, seed = self._families[place], self._first + place
        drawing = draw(family, seed, self._split)
        image = DrawnImage(family, seed, self._split)
        return Row(
            id=f"{family}-{self._split}-{seed}",
            images=(image,),
            question=drawing.question,
            answer=drawing.answer,
            metadata={"family": family, "kind": drawing.kind},
        )


def draw_rows(options: DataOptions) -> Rows:
    """The rows that `families`, `size`, `seed` and `split` describe; a larger size begins with the
    same rows. Raises UsageError.
    """
    split = options.split or "train"
    if split not in SPLITS:
        raise UsageError(f"split of the embedded world must be train or test; got {split!r}")
    given = options.families
    weights = given if isinstance(given, dict) else dict.fromkeys(given, 1.0)
    if unknown := [name for name in weights if name not in FAMILIES]:
        raise UsageError(
            f"there is no family {unknown[0]!r} in the embedded world; "
            f"there are {', '.join(FAMILIES)}"
        )
    if not all(0 <= weight < math.inf for weight in weights.values()) or not sum(weights.values()):
        raise UsageError(f"families need weights of 0 or more, one of them above 0; got {weights}")
    size = min(options.size, options.limit or options.size)
    rows = DrawnRows(spread_families(weights, size), options.seed * STRIDE, split)
    return Rows(rows, f"the embedded world ({split})")


def spread_families(weights: Mapping[str, float], size: int) -> list[str]:
    """`size` families, spread by kind first: any few consecutive rows are as weak and strong as all
    rows. Within a kind its families alternate.
    """
    kinds: dict[str, dict[str, float]] = {}
    for name, weight in weights.items():
        kinds.setdefault(FAMILIES[name][0], {})[name] = weight
    shares = {kind: sum(of_kind.values()) for kind, of_kind in kinds.items()}
    turns = {kind: iter(spread(kinds[kind], size)) for kind, share in shares.items() if share}
    return [next(turns[kind]) for kind in spread(shares, size)]


def spread(weights: Mapping[str, float], size: int) -> list[str]:
    """`size` names in the proportions of `weights`, spread evenly: the next name is always the one
    furthest below its share, so that every beginning is balanced, too.
    """
    total = sum(weights.values())
    counts = dict.fromkeys(weights, 0)
    names: list[str] = []
    for length in range(1, size + 1):
        name = max(counts, key=lambda n: weights[n] / total * length - counts[n])
        counts[name] += 1
        names.append(name)
    return names
