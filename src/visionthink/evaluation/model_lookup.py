"""The sizes of a model by its name, without its weights."""

from __future__ import annotations

import difflib
import json
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from visionthink.core.errors import CheckpointError, UsageError
from visionthink.core.families import family_of, published_models
from visionthink.core.images import Grid
from visionthink.core.ledger import ModelShape
from visionthink.mini import CHECKPOINTS, EMBEDDED


@dataclass(frozen=True)
class PlannedModel:
    """What the costs of a model follow from; `parameters` are those of its matrices."""

    name: str
    shape: ModelShape
    grid: Grid
    parameters: int

    def kv_bytes(self, element: int) -> int:
        """Bytes of keys and values for one token, at `element` bytes a number."""
        return 2 * self.shape.layers * self.shape.kv_heads * self.shape.head_dim * element


def find_model(name: str, max_pixels: int | None = None) -> PlannedModel:
    """A known model by its hub id or a short form of it, an embedded one, or that of a folder.

    Raises:
        UsageError: no such model is known, or max_pixels is below 1.
        CheckpointError: the folder's config.json is missing, unreadable or of another family.
    """
    if max_pixels is not None and max_pixels < 1:
        raise UsageError(f"max_pixels must be at least 1; got {max_pixels}")
    preprocessor = None
    folder = CHECKPOINTS / name if name in EMBEDDED else Path(name)
    published = published_models()
    organisations = {full.partition("/")[0].lower() for full in published}
    known = {_short(full, organisations): full for full in published}
    short = _short(name, organisations)
    if short in known:
        name = known[short]
        config = published[name]
    elif folder.is_dir() or name.startswith((".", "/", "~")):
        config = _read_json(folder / "config.json")
        if (file := folder / "preprocessor_config.json").is_file():
            preprocessor = _read_json(file)
    else:
        names = {**known, **{embedded: embedded for embedded in EMBEDDED}}
        near = difflib.get_close_matches(short, names, n=3, cutoff=0.6)
        meant = f"did you mean {' or '.join(names[each] for each in near)}?" if near else ""
        raise UsageError(
            f"the sizes of model {name!r} are not known here; "
            f"{meant or 'known are ' + ', '.join(names.values()) + '.'} "
            "Or give a folder with its config.json"
        )
    family = family_of(config, name)
    try:
        grid = family.grid_of(config, preprocessor, max_pixels)
        return PlannedModel(name, family.shape(config), grid, family.matrix_parameters(config))
    except (KeyError, TypeError, AttributeError) as error:
        raise CheckpointError(f"the config.json of model {name!r} lacks sizes: {error}") from error


def _short(name: str, organisations: Collection[str]) -> str:
    """A hub id without the organisation, if it is one that publishes, and without "-instruct"."""
    organisation, slash, rest = name.lower().partition("/")
    published = slash and organisation in organisations
    return (rest if published else name.lower()).removesuffix("-instruct")


def _read_json(path: Path) -> dict[str, Any]:
    try:
        held = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise CheckpointError(
            f"there is no {path.name} in {str(path.parent)!r}; give a model's folder or name"
        ) from None
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or error
        raise CheckpointError(f"cannot read {str(path)!r}: {why}") from error
    if not isinstance(held, dict):
        raise CheckpointError(f"{str(path)!r} must hold a JSON object; got {type(held).__name__}")
    return held
