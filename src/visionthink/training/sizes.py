"""The sizes of a model without its weights: from a folder's config.json, or a table that ships."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import transformers

from visionthink.core.errors import CheckpointError, UsageError
from visionthink.core.images import QWEN2_5_VL, QWEN3_VL, Grid
from visionthink.core.ledger import ModelShape
from visionthink.engines.hf_checkpoint import FAMILIES, model_shape
from visionthink.training.config import ModelOptions
from visionthink.training.export import PREPROCESSOR, source_file

SHAPES = Path(__file__).parent / "shapes.json"
"""What the published config.json of each model in our presets says about sizes."""


@dataclass(frozen=True)
class Sizes:
    """Counts of parameters, and what visual tokens and FLOPs follow from.

    Attributes:
        parameters: of the model, without adapters.
        trainable: that get a gradient; with adapters theirs only.
        adapters: that adapters add.
    """

    parameters: int
    trainable: int
    adapters: int
    shape: ModelShape
    grid: Grid


def model_sizes(options: ModelOptions) -> Sizes:
    """Build the model without memory for its weights, and count.

    Raises:
        UsageError: nothing is known here about the model's sizes; no network is asked.
    """
    config, grid = _config(options)
    with torch.device("meta"):
        network: Any = transformers.AutoModelForImageTextToText.from_config(config)
    parameters = sum(parameter.numel() for parameter in network.parameters())
    if options.freeze_vision:
        network.model.visual.requires_grad_(False)
    adapters = 0
    if options.lora is not None:
        from peft import get_peft_model

        with torch.device("meta"):
            network = get_peft_model(network, options.lora.build())
        adapters = sum(parameter.numel() for parameter in network.parameters()) - parameters
    trainable = sum(p.numel() for p in network.parameters() if p.requires_grad)
    return Sizes(parameters, trainable, adapters, model_shape(config), grid)


def _config(options: ModelOptions) -> tuple[Any, Grid]:
    path = source_file(options.source, "config.json")
    if path is not None:
        config = transformers.AutoConfig.from_pretrained(path.parent)
        if config.model_type not in FAMILIES:
            raise CheckpointError(
                f"model {options.name!r} is of type {config.model_type!r}; wanted one of "
                f"{', '.join(FAMILIES)}"
            )
        return config, _grid(config, source_file(options.source, PREPROCESSOR), options.max_pixels)
    shapes = json.loads(SHAPES.read_text(encoding="utf-8"))
    if options.name not in shapes:
        raise UsageError(
            f"the sizes of model {options.name!r} are not known here: give a folder, or one of "
            f"{', '.join(shapes)}, or download its config.json first"
        )
    known = dict(shapes[options.name])
    config = transformers.CONFIG_MAPPING[known.pop("model_type")](**known)
    return config, _grid(config, None, options.max_pixels)


def _grid(config: Any, preprocessor: Path | None, max_pixels: int | None) -> Grid:
    """As the image processor cuts; without its file, as the published ones of the family do."""
    published = QWEN3_VL if config.model_type.startswith("qwen3") else QWEN2_5_VL
    held: Mapping[str, Any] = {}
    if preprocessor is not None:
        held = json.loads(preprocessor.read_text(encoding="utf-8"))
    size = held.get("size") or {}
    vision = config.vision_config
    return Grid(
        cell=vision.patch_size * vision.spatial_merge_size,
        min_pixels=size.get("shortest_edge") or held.get("min_pixels") or published.min_pixels,
        max_pixels=max_pixels
        or size.get("longest_edge")
        or held.get("max_pixels")
        or published.max_pixels,
    )
