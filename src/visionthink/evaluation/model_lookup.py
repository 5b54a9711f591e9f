"""What a plan starts from: the sizes of a model by its name, and those of images in a folder."""

from __future__ import annotations

import difflib
import json
import warnings
from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from visionthink.api import EMBEDDED
from visionthink.core.errors import CheckpointError, DataError, UsageError
from visionthink.core.families import family_of, published_models
from visionthink.core.images import DEFAULT_LIMITS, Grid, Size
from visionthink.core.ledger import ModelShape
from visionthink.data.images import FORMATS, file_problem
from visionthink.mini import CHECKPOINTS

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".gif", ".tif", ".tiff", ".bmp")


@dataclass(frozen=True)
class PlannedModel:
    """What costs follow from. `parameters` are those of its matrices."""

    name: str
    shape: ModelShape
    grid: Grid
    parameters: int

    def kv_bytes(self, element: int) -> int:
        """Bytes of keys and values that one token keeps, at `element` bytes a number."""
        return 2 * self.shape.layers * self.shape.kv_heads * self.shape.head_dim * element


def find_model(name: str, max_pixels: int | None = None) -> PlannedModel:
    """A known model by its hub id or a short form of it, an embedded one, or a folder's.

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
        near = difflib.get_close_matches(short, known, n=3, cutoff=0.5) or known
        raise UsageError(
            f"the sizes of model {name!r} are not known here; did you mean "
            f"{', '.join(known[each] for each in near)}? Or give a folder with its config.json"
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
        raise CheckpointError(f"cannot read {str(path)!r}: {error}") from error
    if not isinstance(held, dict):
        raise CheckpointError(f"{str(path)!r} must hold a JSON object; got {type(held).__name__}")
    return held


def image_sizes(folder: Path) -> tuple[Counter[Size], list[str]]:
    """Sizes of the images in a folder and below it, and why others were left out.

    Only headers are read. Orientation tags are not: a turned image has as many tokens.

    Raises:
        DataError: there is no image that can be used.
    """
    sizes: Counter[Size] = Counter()
    left_out: list[str] = []
    for path in sorted(folder.rglob("*")):
        if path.suffix.lower() not in SUFFIXES:
            continue
        if problem := file_problem(path, DEFAULT_LIMITS):
            left_out.append(f"{path}: {problem}")
            continue
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(path, formats=FORMATS) as image:
                sizes[image.size] += 1
    if not sizes:
        why = f"; {left_out[0]}" if left_out else ""
        raise DataError(
            f"folder {str(folder)!r} holds no image that can be used ({', '.join(SUFFIXES)}){why}"
        )
    return sizes, left_out
