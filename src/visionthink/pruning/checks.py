"""What pruning cannot work with: each a line that says so."""

from __future__ import annotations

from typing import Any

import torch
from transformers import DynamicCache

from visionthink.core.errors import EngineError, UsageError
from visionthink.core.ledger import ModelShape
from visionthink.pruning.methods import Method, check_shape

KERNELS = ("sdpa", "eager")


def check_model(model: Any, method: Method, shape: ModelShape) -> None:
    """Refuse a model that the method does not fit.

    Raises:
        UsageError: its attention or its layers.
    """
    config = model.config
    for part in (config.get_text_config(), config.vision_config):
        kernel = part._attn_implementation
        if kernel not in KERNELS:
            raise UsageError(
                f"pruning works with sdpa and eager attention; this model runs {kernel!r}: "
                "model.set_attn_implementation('sdpa')"
            )
    kinds = getattr(config.get_text_config(), "layer_types", None) or ()
    if "sliding_attention" in kinds:
        raise UsageError("pruning needs layers that attend to everything; some here have a window")
    check_shape(method, shape)


def check_call(embeddings: torch.Tensor, cache: Any) -> None:
    """Refuse a batch, and a cache of fixed size.

    Raises:
        EngineError: the model was called with either.
    """
    if len(embeddings) != 1:
        raise EngineError(f"pruning takes one prompt at a time; got a batch of {len(embeddings)}")
    if not isinstance(cache, DynamicCache):
        raise EngineError(
            f"pruning needs a cache that grows, DynamicCache; got {type(cache).__name__}"
        )
