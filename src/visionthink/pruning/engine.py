"""A copy of an hf engine that prunes: same weights, fewer visual tokens."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

from visionthink.core.engine import Engine
from visionthink.core.errors import UsageError
from visionthink.core.ledger import Pruned
from visionthink.pruning.layout import Prompt, layout_of
from visionthink.pruning.methods import Method, VisionZip, check_shape

KERNELS = ("sdpa", "eager")


def pruned_engine(engine: Engine, method: Method, first_look_only: bool = False) -> Engine:
    """An engine that replies as `engine` does, on the same weights, with visual tokens pruned.

    Replies come one at a time, and never while `engine` computes; `engine` itself stays as it is.
    Each reply's `usage.pruned` says what was run.

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
        """Only VisionZip: it chooses by the image, so a longer prompt is pruned the same way.

        FastV and SparseVLM choose by the last words: the choice for one turn does not hold for the
        next, which is prefilled again.
        """
        return isinstance(self.method, VisionZip)

    def check(self, checkpoint: Any) -> None:
        """Refuse a model that the method does not fit.

        Raises:
            UsageError: its attention or its layers.
        """
        config = checkpoint.model.config
        for part in (config.get_text_config(), config.vision_config):
            kernel = part._attn_implementation
            if kernel not in KERNELS:
                raise UsageError(
                    f"pruning works with sdpa and eager attention; this model runs {kernel!r}: "
                    "model.set_attn_implementation('sdpa')"
                )
        kinds = getattr(config.get_text_config(), "layer_types", None) or ()
        if "sliding_attention" in kinds:
            raise UsageError("pruning needs layers that attend to everything; some here do not")
        check_shape(self.method, checkpoint.shape)

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
