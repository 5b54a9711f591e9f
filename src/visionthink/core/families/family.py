"""What a model family says about its models without loading them. Nothing here needs torch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from visionthink.core.images import Grid
from visionthink.core.ledger import ModelShape

Config = Mapping[str, Any]
"""A config.json, as it was read or as a transformers configuration's `to_dict` gives it."""


class Family(Protocol):
    """The models of one `model_type`. Families are values: see `core.families.FAMILIES`."""

    @property
    def model_type(self) -> str:
        """As config.json has it; `engines.families` has a row of the same name."""
        ...

    @property
    def name(self) -> str:
        """As options have it, such as "qwen2.5-vl"."""
        ...

    @property
    def marks(self) -> tuple[str, ...]:
        """Parts, in lower case, by which a served model's name gives the family away."""
        ...

    @property
    def control(self) -> str:
        """A regular expression of the control tokens; data must not spell one."""
        ...

    @property
    def grid(self) -> Grid:
        """How the published checkpoints turn images into visual tokens."""
        ...

    @property
    def published(self) -> Mapping[str, Config]:
        """Hub id → what config.json says about sizes, of checkpoints that are known here."""
        ...

    def grid_of(
        self, config: Config, preprocessor: Config | None, max_pixels: int | None = None
    ) -> Grid:
        """How a checkpoint turns images into visual tokens.

        Args:
            config: its config.json.
            preprocessor: its preprocessor_config.json; without one, as the published ones.
            max_pixels: a lower bound on the pixels of an image, where the family has one.
        """
        ...

    def shape(self, config: Config) -> ModelShape:
        """The sizes that FLOPs depend on. Raises KeyError: the configuration lacks one."""
        ...

    def matrix_parameters(self, config: Config) -> int:
        """Parameters in the model's matrices; biases and norms, about a thousandth, are left out.

        Raises:
            KeyError: as `shape`.
        """
        ...
