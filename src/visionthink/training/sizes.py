"""The sizes of a model without its weights: from a folder's config.json, or a table that ships."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import torch
import transformers

from visionthink.core.errors import UsageError
from visionthink.core.families import family_of, published_models
from visionthink.core.images import Grid
from visionthink.core.ledger import ModelShape
from visionthink.engines.families import RUNNERS
from visionthink.training.config import ModelOptions
from visionthink.training.export import PREPROCESSOR, source_file


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
        RUNNERS[config.model_type].tower(network).requires_grad_(False)
    adapters = 0
    if options.lora is not None:
        from peft import get_peft_model

        with torch.device("meta"):
            network = get_peft_model(network, options.lora.build())
        adapters = sum(parameter.numel() for parameter in network.parameters()) - parameters
    trainable = sum(p.numel() for p in network.parameters() if p.requires_grad)
    shape = family_of(config.to_dict(), options.name).shape(config.to_dict())
    return Sizes(parameters, trainable, adapters, shape, grid)


def _config(options: ModelOptions) -> tuple[Any, Grid]:
    """The transformers configuration and the grid; from the table, transformers fills the rest."""
    path = source_file(options.source, "config.json")
    if path is None:
        known = published_models()
        if options.name not in known:
            raise UsageError(
                f"the sizes of model {options.name!r} are not known here: give a folder, or one of "
                f"{', '.join(known)}, or download its config.json first"
            )
        sizes = dict(known[options.name])
        config = transformers.CONFIG_MAPPING[sizes.pop("model_type")](**sizes)
    else:
        config = transformers.AutoConfig.from_pretrained(path.parent)
    file = None if path is None else source_file(options.source, PREPROCESSOR)
    preprocessor = None if file is None else json.loads(file.read_text(encoding="utf-8"))
    family = family_of(config.to_dict(), options.name)
    return config, family.grid_of(config.to_dict(), preprocessor, options.max_pixels)
