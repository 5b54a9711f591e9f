"""FLOPs of the methods themselves, and the predicted cost of a prompt: pure functions.

FLOPs count two operations per multiply-accumulate, as `core.ledger` does, of every product that
grows with the prompt; VisionZip's comparison of a few keys, under a millionth, is left out.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from visionthink.core.images import Cells
from visionthink.core.ledger import ModelShape, Pruned
from visionthink.pruning.methods import (
    FastV,
    Method,
    SparseVLM,
    VisionZip,
    check_shape,
    recycled,
    tower_of,
)


def rows_flops(rows: int, columns: int, shape: ModelShape) -> int:
    """Attention of `rows` tokens to `columns`, in one layer: their queries and the products."""
    queries = shape.heads * shape.head_dim
    return 2 * rows * shape.hidden * queries + 2 * rows * columns * queries


def raters_flops(visual: int, texts: int, shape: ModelShape) -> int:
    """The products of visual and text embeddings that SparseVLM takes its raters from."""
    return 2 * visual * texts * shape.hidden


def peaks_flops(dropped: int, shape: ModelShape) -> int:
    """The distances between the tokens that SparseVLM merges when it drops `dropped` tokens."""
    return 2 * recycled(dropped) ** 2 * shape.hidden


def received_flops(images: Sequence[Cells], shape: ModelShape) -> int:
    """The products of all queries and keys of a vision block that attends to whole images."""
    vision = tower_of(shape)
    patches = [columns * rows * vision.merge**2 for columns, rows in images]
    return sum(2 * count * count * vision.hidden for count in patches)


def predict(method: Method, images: Sequence[Cells], text_tokens: int, shape: ModelShape) -> Pruned:
    """The predicted cost of a prompt of one turn.

    Lengths are exact. SparseVLM's own FLOPs are an upper bound: all text is assumed to come after
    the images and to rate them.

    Args:
        method: how it is pruned.
        images: columns and rows of visual tokens of each image.
        text_tokens: all other tokens of the prompt.
        shape: sizes of the model.

    Raises:
        UsageError: the method does not fit the model.
    """
    check_shape(method, shape)
    sizes = [columns * rows for columns, rows in images]
    visual = method.schedule(sizes, shape.layers)
    stages = [(a, b) for a, b in itertools.pairwise(visual) if b < a]
    extra = 0
    match method:
        case FastV():
            extra = sum(rows_flops(1, text_tokens + before, shape) for before, _ in stages)
        case SparseVLM():
            extra = raters_flops(sum(sizes), text_tokens, shape) if stages else 0
            for before, after in stages:
                extra += rows_flops(text_tokens, text_tokens + before, shape)
                merged = method.merged(before, after, len(images))
                extra += peaks_flops(before - after + merged, shape) if merged else 0
        case VisionZip():
            extra = received_flops(images, shape) if visual[0] < sum(sizes) else 0
    return Pruned(
        run=tuple(text_tokens + count for count in visual),
        cached=(0,) * shape.layers,
        visual=visual,
        extra_flops=extra,
    )
