"""The methods as values: how many visual tokens stay on which layer of the language model.

Retention r has two conventions. *Kept* is the share of the visual tokens that is left once pruning
is over; *average* is the share that the layers run on average, Σ n_l / L. A method that prunes
inside the language model runs its first layers in full, so that the two differ.

Written as `NAME:r`, or `NAME:r@OPTION,…`:

    fastv:0.5                   half of the tokens stay after layer 2
    fastv:0.5@average,k=3       half on average, pruned after layer 3
    sparsevlm:0.7@no-recycling  dropped tokens leave nothing behind
    visionzip:0.5               0.45 dominant and 0.05 contextual tokens

r = 1 prunes nothing.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from visionthink.core.errors import UsageError
from visionthink.core.families import QwenVision
from visionthink.core.ledger import ModelShape

Convention = Literal["kept", "average"]

SPARSE_DEPTHS = (2 / 32, 6 / 32, 15 / 32)
"""Where SparseVLM prunes, as shares of the depth: after layers 2, 6 and 15 (from 0) of 32."""

RECYCLED = 0.3
"""Share of the dropped tokens, best scores first, that SparseVLM merges instead."""

CLUSTERS = 0.1
"""Clusters that it merges them into, per token."""

CONTEXTUAL = 0.05
"""Share of an image's tokens that VisionZip keeps as contextual ones."""


@dataclass(frozen=True)
class FastV:
    """FastV (Chen et al., ECCV 2024): the tokens that the last one attends to most stay.

    The first `layer` layers run in full; the attention of the last of them decides, averaged over
    its heads.
    """

    retained: float
    convention: Convention = "kept"
    layer: int = 2

    def __post_init__(self) -> None:
        _check_share(self.retained)
        if self.layer < 1:
            raise UsageError(f"fastv needs a layer to look at: k is at least 1; got {self.layer}")

    def __str__(self) -> str:
        return _name("fastv", self, f"k={self.layer}" if self.layer != 2 else "")

    def schedule(self, images: Sequence[int], layers: int) -> tuple[int, ...]:
        """Visual tokens on each layer, of images with this many; each image keeps one at least.

        Raises:
            UsageError: the model has too few layers for it.
        """
        if self.layer >= layers:
            raise UsageError(
                f"{self} prunes after {self.layer} layers; the model has {layers} altogether"
            )
        share, rest = self.retained, layers - self.layer
        if self.convention == "average":
            _check_average(self, self.layer, layers)
            share = (share * layers - self.layer) / rest
        return (sum(images),) * self.layer + (_budget(images, share),) * rest


@dataclass(frozen=True)
class SparseVLM:
    """SparseVLM (Zhang et al., ICML 2025): the tokens that telling words attend to most stay.

    Prunes in up to three stages, each to the same share of the one before (a fixed schedule in
    place of the paper's rank rule, which short questions drive far below 50 %; the authors' later
    versions have fixed schedules too). Of the dropped tokens the best are merged into a few, which
    count as kept.
    """

    retained: float
    convention: Convention = "kept"
    recycling: bool = True

    def __post_init__(self) -> None:
        _check_share(self.retained)

    def __str__(self) -> str:
        return _name("sparsevlm", self, "" if self.recycling else "no-recycling")

    def schedule(self, images: Sequence[int], layers: int) -> tuple[int, ...]:
        """Visual tokens on each layer, of images with this many; each image keeps one at least.

        Raises:
            UsageError: the model has too few layers for it.
        """
        starts = [0, *self.stages(layers), layers]
        if len(starts) == 2:
            raise UsageError(f"{self} needs a model of two layers or more; this one has {layers}")
        widths = [end - start for start, end in itertools.pairwise(starts)]
        share = self.retained ** (1 / (len(widths) - 1))
        if self.convention == "average":
            _check_average(self, widths[0], layers)
            share = _solve_average(widths, self.retained)
        return tuple(
            _budget(images, share**stage)
            for stage, width in enumerate(widths)
            for _ in range(width)
        )

    @staticmethod
    def stages(layers: int) -> tuple[int, ...]:
        """The layers whose input is pruned, of a model with this many."""
        return tuple(
            sorted({round(depth * layers) + 1 for depth in SPARSE_DEPTHS} & {*range(layers)})
        )

    def merged(self, tokens: int, budget: int, images: int) -> int:
        """How many of the `budget` that is left of `tokens` are merged ones.

        Fewer kept as they are means more dropped and so more merged; the two together fill the
        budget. Every image keeps one token as it is.
        """
        merged = 0
        while self.recycling and merged < budget - images:
            if clusters(recycled(tokens - budget + merged)) <= merged:
                break
            merged += 1
        return merged


def recycled(dropped: int) -> int:
    """How many of the dropped tokens SparseVLM merges."""
    return int(RECYCLED * dropped) + 1


def clusters(tokens: int) -> int:
    """How many tokens SparseVLM merges these into."""
    return int(CLUSTERS * tokens) + 1


@dataclass(frozen=True)
class VisionZip:
    """VisionZip (Yang et al., CVPR 2025): what the vision tower itself looks at stays.

    Dominant tokens are those that receive most attention in its last block; the others are merged
    into contextual ones. Both are chosen before the language model, so that kept and average are
    the same. Of r, 0.05 is contextual, as in the authors' settings for 70 % (0.65 + 0.05) and 50 %
    (0.45 + 0.05); below r = 0.3, r / 6.
    """

    retained: float
    convention: Convention = "kept"

    def __post_init__(self) -> None:
        _check_share(self.retained)

    def __str__(self) -> str:
        return _name("visionzip", self, "")

    def schedule(self, images: Sequence[int], layers: int) -> tuple[int, ...]:
        """Visual tokens on each layer, of images with this many; each image keeps one at least."""
        return (sum(sum(self.parts(tokens)) for tokens in images),) * layers

    def parts(self, tokens: int) -> tuple[int, int]:
        """Dominant and contextual tokens of an image with this many."""
        budget = _budget([tokens], self.retained)
        contextual = round(min(CONTEXTUAL, self.retained / 6) * tokens)
        contextual = min(contextual, budget - 1)
        return budget - contextual, contextual


Method = FastV | SparseVLM | VisionZip


def tower_of(shape: ModelShape) -> QwenVision:
    """The vision tower that VisionZip reads. Raises UsageError: it is of another family."""
    if not isinstance(shape.vision, QwenVision):
        raise UsageError(
            "visionzip reads the attention of a Qwen-VL vision tower, and this model has another; "
            "take fastv or sparsevlm"
        )
    return shape.vision


def check_shape(method: Method, shape: ModelShape) -> None:
    """Refuse a model that the method does not fit.

    Qwen3-VL adds visual features after each of its first layers, to all visual tokens (deepstack).

    Raises:
        UsageError: the model has too few layers, or adds visual features where tokens are missing.
    """
    if isinstance(method, VisionZip):
        tower_of(shape)
    visual = method.schedule([10_000], shape.layers)
    pruned = [layer for layer, count in enumerate(visual) if count < 10_000]
    levels = shape.vision.deepstack
    if not pruned or pruned[0] >= levels:
        return
    if isinstance(method, VisionZip):
        raise UsageError(
            "visionzip prunes before the language model, but this model adds visual features "
            "inside it too (deepstack), and no way to merge those is published; take fastv or "
            "sparsevlm"
        )
    raise UsageError(
        f"{method} prunes after {pruned[0]} layers, but this model adds visual features to all "
        f"visual tokens after each of its first {levels} (deepstack); fastv can prune later: "
        f"k={levels}"
    )


def parse_method(text: str) -> Method:
    """The method that is written so; see the top of this file.

    Raises:
        UsageError: it is written otherwise, or its share is not over 0 and at most 1.
    """
    name, _, rest = text.partition(":")
    share, _, listed = rest.partition("@")
    options = [option.strip() for option in listed.split(",")] if listed else []
    try:
        retained = float(share)
    except ValueError:
        raise UsageError(
            "a pruning method is written as fastv:0.5, sparsevlm:0.7@average or visionzip:0.5; "
            f"got {text!r}"
        ) from None
    convention: Convention = "kept"
    if "average" in options:
        options.remove("average")
        convention = "average"
    match name, options:
        case "fastv", []:
            return FastV(retained, convention)
        case "fastv", [layer] if layer.startswith("k=") and layer[2:].isdecimal():
            return FastV(retained, convention, int(layer[2:]))
        case "sparsevlm", []:
            return SparseVLM(retained, convention)
        case "sparsevlm", ["no-recycling"]:
            return SparseVLM(retained, convention, recycling=False)
        case "visionzip", []:
            return VisionZip(retained, convention)
        case (("fastv" | "sparsevlm" | "visionzip"), _):
            raise UsageError(
                f"{name} has no option {','.join(options)!r}; there are average for all, "
                "k=LAYER for fastv and no-recycling for sparsevlm"
            )
        case _:
            raise UsageError(f"pruning method must be fastv, sparsevlm or visionzip; got {name!r}")


def _name(name: str, method: Method, option: str) -> str:
    options = ["average"] if method.convention == "average" else []
    options += [option] if option else []
    return f"{name}:{method.retained:g}" + (f"@{','.join(options)}" if options else "")


def _check_share(retained: float) -> None:
    if not 0 < retained <= 1:
        raise UsageError(
            f"the share of visual tokens that stays must be over 0 and at most 1; got {retained}"
        )


def _check_average(method: Method, full: int, layers: int) -> None:
    """The layers before the first pruning run everything: no average can be below their share."""
    if method.retained * layers <= full:
        raise UsageError(
            f"{method} cannot be had: {full} of the model's {layers} layers run before the first "
            f"token is dropped, so the average is over {full / layers:.2f}"
        )


def _budget(images: Sequence[int], share: float) -> int:
    return max(len(images), round(sum(images) * share))


def _solve_average(widths: Sequence[int], retained: float) -> float:
    """The share s with Σ w_j s^j = r Σ w_j; the left side grows with s."""
    low, high = 0.0, 1.0
    for _ in range(60):
        middle = (low + high) / 2
        total = sum(width * middle**stage for stage, width in enumerate(widths))
        low, high = (middle, high) if total < retained * sum(widths) else (low, middle)
    return high
