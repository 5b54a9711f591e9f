"""The cost of an episode: visual tokens, text tokens, prefill FLOPs, seconds.

Every token figure says what it counts. *First* is the first look, *requested* all later ones,
*processed* their sum: all visual tokens the model ran over. *Vanilla* is the original alone. If
every request is for the original, a request rate p costs 0.25 + p of vanilla, and breaks even at
p = 75 %.

Two counts of prefill FLOPs. `paper_prefill_flops` is the formula of the paper (§2.2), which counts
multiply-accumulates of a plain transformer: no grouped-query attention, two FFN matrices, no vision
tower. `text_flops` and a family's `Vision.flops` count two operations per multiply-accumulate of
every matrix product that the models really run. Compare like with like.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from visionthink.core.images import Cells

CHARACTERS_PER_TOKEN = 4
"""Of English text, about: for estimates made without a tokenizer."""
BYTES = {"float32": 4, "bfloat16": 2, "float16": 2}
"""Of one number."""


class Vision(Protocol):
    """Sizes of a vision tower, as its family defines them."""

    @property
    def deepstack(self) -> int:
        """How many of the language model's first layers add visual features to those tokens."""
        ...

    @property
    def token_values(self) -> int:
        """How many numbers the tower reads for one visual token."""
        ...

    def flops(self, images: Sequence[Cells]) -> int:
        """FLOPs of the tower and its projector for images of these cells (`Grid.cells`)."""
        ...


@dataclass(frozen=True)
class ModelShape:
    """Sizes of a vision language model, as its configuration gives them."""

    layers: int
    hidden: int
    heads: int
    kv_heads: int
    head_dim: int
    mlp: int
    vocabulary: int
    vision: Vision


@dataclass(frozen=True)
class Pruned:
    """What was left of a prompt whose visual tokens were pruned, one number per layer of the
    language model.

    Attributes:
        run: tokens that the layer ran.
        cached: tokens that its cache held before.
        visual: those of `run` that are visual tokens of the images just before the reply.
        extra_flops: of choosing and merging the tokens.
    """

    run: tuple[int, ...]
    cached: tuple[int, ...]
    visual: tuple[int, ...]
    extra_flops: int = 0


def paper_prefill_flops(n: int, shape: ModelShape) -> int:
    """T·(4nd² + 2n²d + 2ndm) for a prompt of n tokens (§2.2 of the paper)."""
    return shape.layers * _paper_layer_flops(n, shape)


def _paper_layer_flops(n: int, shape: ModelShape) -> int:
    d, m = shape.hidden, shape.mlp
    return 4 * n * d * d + 2 * n * n * d + 2 * n * d * m


def text_flops(new: int, past: int, shape: ModelShape) -> int:
    """Language-model FLOPs to run `new` tokens after `past` cached ones, logits of the last only.

    Attention is counted dense (new x (past + new)), as the kernels compute it; the feed-forward
    network has the three matrices of SwiGLU. The routers of mixtures of experts, half a percent or
    less, are left out (2 * new * d * experts a layer).
    """
    return shape.layers * _layer_flops(new, past, shape) + 2 * shape.hidden * shape.vocabulary


def _layer_flops(new: int, past: int, shape: ModelShape) -> int:
    d = shape.hidden
    queries = shape.heads * shape.head_dim
    keys = shape.kv_heads * shape.head_dim
    projections = 2 * new * d * (2 * queries + 2 * keys)
    attention = 4 * new * (past + new) * queries
    feed_forward = 6 * new * d * shape.mlp
    return projections + attention + feed_forward


def pruned_text_flops(pruned: Pruned, shape: ModelShape) -> int:
    """`text_flops` of a prompt that was pruned, and of the pruning itself."""
    layers = zip(pruned.run, pruned.cached, strict=True)
    run = sum(_layer_flops(new, past, shape) for new, past in layers)
    return run + 2 * shape.hidden * shape.vocabulary + pruned.extra_flops


def pruned_paper_flops(pruned: Pruned, shape: ModelShape) -> int:
    """The formula of the paper, summed over layers of different lengths."""
    return sum(
        _paper_layer_flops(past + new, shape) - _paper_layer_flops(past, shape)
        for new, past in zip(pruned.run, pruned.cached, strict=True)
    )


@dataclass(frozen=True)
class Usage:
    """What one reply took.

    `cached_tokens` of the `prompt_tokens` were not computed again; `seconds` is wall clock,
    including the wait for a batch or in the server's queue. `prompt_tokens` counts the prompt as it
    was sent; `pruned` says what was left of it where visual tokens were dropped. `image_tokens` are
    those of the prompt's images, where a server counts them.
    """

    prompt_tokens: int
    completion_tokens: int
    cached_tokens: int = 0
    seconds: float = 0.0
    pruned: Pruned | None = None
    image_tokens: int | None = None


@dataclass(frozen=True)
class TurnCost:
    """Cost of one reply. `visual_tokens` are those of the images that came just before it; FLOPs
    are None where the model's sizes are not known.

    Where visual tokens were pruned, `visual_tokens` is their number averaged over the layers of the
    language model, rounded, and `kept_visual_tokens` how many were left in the last one.
    """

    visual_tokens: int
    prompt_tokens: int
    cached_tokens: int
    completion_tokens: int
    seconds: float
    prefill_flops: int | None = None
    paper_prefill_flops: int | None = None
    kept_visual_tokens: int | None = None


def turn_cost(
    usage: Usage,
    *,
    images: Sequence[Cells],
    earlier_images: Sequence[Cells],
    shape: ModelShape | None,
) -> TurnCost:
    """Cost of a reply to `images` (new in this turn) after `earlier_images`.

    With a cached prefix, neither its tokens nor the earlier images are computed again; without one,
    all are.
    """
    pruned, cached = usage.pruned, usage.cached_tokens
    exact = paper = None
    if shape is not None:
        encoded = [*images] if cached else [*earlier_images, *images]
        if pruned is not None:
            exact, paper = pruned_text_flops(pruned, shape), pruned_paper_flops(pruned, shape)
        else:
            exact = text_flops(usage.prompt_tokens - cached, cached, shape)
            paper = paper_prefill_flops(usage.prompt_tokens, shape)
            if cached:
                paper -= paper_prefill_flops(cached, shape)
        exact += shape.vision.flops(encoded)
    visual = (_count(images),) if pruned is None else pruned.visual
    return TurnCost(
        visual_tokens=round(sum(visual) / len(visual)),
        prompt_tokens=usage.prompt_tokens,
        cached_tokens=cached,
        completion_tokens=usage.completion_tokens,
        seconds=usage.seconds,
        prefill_flops=exact,
        paper_prefill_flops=paper,
        kept_visual_tokens=None if pruned is None else pruned.visual[-1],
    )


def _count(images: Sequence[Cells]) -> int:
    return sum(columns * rows for columns, rows in images)


@dataclass(frozen=True)
class Ledger:
    """Cost of an episode. The vanilla figures are those of the same first prompt with the originals
    in place of the first look.
    """

    vanilla: int
    turns: tuple[TurnCost, ...]
    vanilla_prefill_flops: int | None = None
    vanilla_paper_prefill_flops: int | None = None

    @property
    def first(self) -> int:
        """Visual tokens of the first look."""
        return sum(turn.visual_tokens for turn in self.turns[:1])

    @property
    def requested(self) -> int:
        """Visual tokens of all that came after a request."""
        return sum(turn.visual_tokens for turn in self.turns[1:])

    @property
    def processed(self) -> int:
        """Visual tokens the model ran over: first + requested."""
        return self.first + self.requested

    @property
    def kept(self) -> int:
        """Visual tokens left in the last layer; as many as processed where nothing was pruned."""
        return sum(
            turn.visual_tokens if turn.kept_visual_tokens is None else turn.kept_visual_tokens
            for turn in self.turns
        )

    @property
    def ratio(self) -> float:
        """Processed visual tokens over vanilla's; 1 where there was no image."""
        return self.processed / self.vanilla if self.vanilla else 1.0

    @property
    def prompt_tokens(self) -> int:
        return sum(turn.prompt_tokens for turn in self.turns)

    @property
    def cached_tokens(self) -> int:
        return sum(turn.cached_tokens for turn in self.turns)

    @property
    def completion_tokens(self) -> int:
        return sum(turn.completion_tokens for turn in self.turns)

    @property
    def seconds(self) -> float:
        return sum(turn.seconds for turn in self.turns)

    @property
    def prefill_flops(self) -> int | None:
        return _sum_known([turn.prefill_flops for turn in self.turns])

    @property
    def paper_prefill_flops(self) -> int | None:
        return _sum_known([turn.paper_prefill_flops for turn in self.turns])

    def to_json(self) -> dict[str, Any]:
        """The `ledger` object of `ask --json`."""
        return {
            "visual_tokens": {
                "first": self.first,
                "requested": self.requested,
                "processed": self.processed,
                "vanilla": self.vanilla,
                "ratio": round(self.ratio, 4),
            },
            "prompt_tokens": self.prompt_tokens,
            "cached_tokens": self.cached_tokens,
            "completion_tokens": self.completion_tokens,
            "prefill_flops": self.prefill_flops,
            "vanilla_prefill_flops": self.vanilla_prefill_flops,
            "paper_prefill_flops": self.paper_prefill_flops,
            "vanilla_paper_prefill_flops": self.vanilla_paper_prefill_flops,
            "seconds": round(self.seconds, 4),
        }


def _sum_known(values: Sequence[int | None]) -> int | None:
    known = [value for value in values if value is not None]
    return sum(known) if len(known) == len(values) else None


def episode_ledger(
    *,
    first: Sequence[Cells],
    vanilla: Sequence[Cells],
    turns: Sequence[TurnCost],
    shape: ModelShape | None,
) -> Ledger:
    """The ledger of a finished episode with at least one turn, whose prompt began with `first`."""
    exact = paper = None
    if shape is not None and turns:
        prompt = turns[0].prompt_tokens - _count(first) + _count(vanilla)
        exact = text_flops(prompt, 0, shape) + shape.vision.flops(vanilla)
        paper = paper_prefill_flops(prompt, shape)
    return Ledger(_count(vanilla), tuple(turns), exact, paper)
