"""An hf engine's twin that prunes: same weights, fewer visual tokens."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

from visionthink.core.engine import Engine
from visionthink.core.ledger import Pruned
from visionthink.pruning.layout import Prompt, layout_of
from visionthink.pruning.methods import Method, VisionZip


def pruned_engine(engine: Engine, method: Method, first_look_only: bool = False) -> Engine:
    """An engine that replies as `engine` does, on the same weights, with visual tokens pruned.

    Replies come one at a time, and never while `engine` computes; `engine` itself stays as it is.
    Each reply's `usage.pruned` tells what was run.

    Args:
        engine: an hf engine, with sdpa or eager attention.
        method: see `parse_method`.
        first_look_only: leave images that are delivered on request whole. With look "auto" that is
            pruning joined to requesting.

    Raises:
        UsageError: another kind of engine, or a model that the method does not fit.
    """
    return engine.altered(Pruning(method, first_look_only))


@dataclass(frozen=True)
class Pruning:
    """What the engine runs its replies under."""

    method: Method
    first_look_only: bool

    @property
    def reuses_prefix(self) -> bool:
        """VisionZip alone: it chooses by the image, so that a longer prompt is pruned the same.

        FastV and SparseVLM choose by the last words: the choice for one turn is not that for the
        next, which is prefilled anew.
        """
        return isinstance(self.method, VisionZip)

    def check(self, checkpoint: Any) -> None:
        """Raise UsageError if the method does not fit the model."""
        from visionthink.pruning.checks import check_model

        check_model(checkpoint.model, self.method, checkpoint.shape)

    def during(
        self, checkpoint: Any, prompt: Prompt, past: int
    ) -> AbstractContextManager[Callable[[], Pruned]]:
        """Hooks for one reply; removed however it ends."""
        from visionthink.pruning.layers import LayerPruning
        from visionthink.pruning.tower import TowerPruning

        shape, network, runner = checkpoint.shape, checkpoint.model, checkpoint.runner
        language = runner.language(network)
        layout = layout_of(
            prompt,
            past,
            image_id=checkpoint.tokens.image,
            first_look_only=self.first_look_only,
        )
        if isinstance(self.method, VisionZip):
            tower = runner.tower(network)
            return TowerPruning(self.method, layout, tower, language, shape).hooked()
        return LayerPruning(self.method, layout, language, shape).hooked()
