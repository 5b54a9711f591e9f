"""The Qwen-VL families: Qwen2-VL, Qwen2.5-VL, Qwen3-VL and its mixture of experts.

`qwen.json` holds what the published config.json of each known model says about sizes.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from visionthink.core.errors import ImageError
from visionthink.core.families.family import Config
from visionthink.core.images import MAX_ASPECT, Cells, Grid, Size, shape_problem
from visionthink.core.ledger import ModelShape


@dataclass(frozen=True)
class QwenGrid:
    """Squares of `cell` px of the resized image become one visual token each.

    `cell` is the patch side times the merge size. The processor enlarges images below `min_pixels`
    and shrinks those above `max_pixels`.
    """

    cell: int = 28
    min_pixels: int = 56 * 56
    max_pixels: int = 28 * 28 * 16384

    def resized(self, size: Size) -> Size:
        """The size to which the processor resizes an image: both sides multiples of `cell`.

        The rule is `smart_resize` in transformers' `qwen2_vl`: each side goes to the nearest
        multiple, ties to even; if that area is outside [min_pixels, max_pixels], the given sides
        are scaled by one factor to the bound that was crossed, then go to the next multiple below
        or above.

        Raises:
            ImageError: a side is below 1 px, or the sides are more than 200:1 apart.
        """
        if problem := shape_problem(size, MAX_ASPECT):
            raise ImageError(f"cannot fit an image to the model: {problem}; crop or pad it")
        columns, rows = (round(side / self.cell) for side in size)
        area = columns * rows * self.cell**2
        if area > self.max_pixels:
            shrink = math.sqrt(math.prod(size) / self.max_pixels)
            columns, rows = (max(1, math.floor(side / shrink / self.cell)) for side in size)
        elif area < self.min_pixels:
            grow = math.sqrt(self.min_pixels / math.prod(size))
            columns, rows = (math.ceil(side * grow / self.cell) for side in size)
        return columns * self.cell, rows * self.cell

    def cells(self, size: Size, budget: int | None = None) -> Cells:
        """Columns and rows of visual tokens. Raises as `resized`."""
        width, height = self.resized(size)
        return width // self.cell, height // self.cell

    def seen_size(self, size: Size, budget: int | None = None) -> Size:
        """The size itself within `max_pixels`, else that to which the image is shrunk."""
        return size if math.prod(size) <= self.max_pixels else self.resized(size)

    def first_look(self, size: Size) -> tuple[Size, None]:
        """Half the width and height, a quarter of the tokens.

        An image beyond `max_pixels` is halved from the size at which the model would see it;
        otherwise a huge original and its half would cost the same. Each side stays at least one
        cell, and the sides at most 200:1 apart. Where that makes the half view cost more than the
        original (tiny images and thin strips), there is no smaller view, and `size` itself is
        returned: the first look never costs more than the original.

        Raises:
            ImageError: as `resized`.
        """
        width, height = self.seen_size(size)
        width, height = max(self.cell, width // 2), max(self.cell, height // 2)
        least = math.ceil(max(width, height) / MAX_ASPECT)
        half = max(least, width), max(least, height)
        fewer = math.prod(self.cells(half)) <= math.prod(self.cells(size))
        return half if fewer else size, None


# The bounds in the published checkpoints' preprocessor_config.json. The class default in
# transformers is lower (28 * 28 * 1280), and no checkpoint relies on it.
QWEN2_5_VL = QwenGrid()
QWEN3_VL = QwenGrid(cell=32, min_pixels=65536, max_pixels=16777216)


@dataclass(frozen=True)
class QwenVision:
    """Sizes of the vision tower. `window` is the side of an attention window in visual tokens, None
    where every block attends to the whole image; `full_blocks` of the `depth` blocks always do.
    """

    depth: int
    hidden: int
    mlp: int
    mlp_matrices: int
    patch_values: int
    merge: int
    out: int
    mergers: int = 1
    window: int | None = None
    full_blocks: int = 0

    @property
    def deepstack(self) -> int:
        return self.mergers - 1

    @property
    def token_values(self) -> int:
        return self.merge**2 * self.patch_values

    def flops(self, images: Sequence[Cells]) -> int:
        """FLOPs for images of the given cells, patch embedding to projector."""
        d, cell_patches = self.hidden, self.merge**2
        total = 0
        for columns, rows in images:
            patches = columns * rows * cell_patches
            linear = 8 * patches * d * d + 2 * self.mlp_matrices * patches * d * self.mlp
            windows = _windows(columns, rows, self.window)
            windowed = 4 * d * sum((cells * cell_patches) ** 2 for cells in windows)
            full = 4 * d * patches**2
            full_blocks = self.depth if self.window is None else self.full_blocks
            merged = d * cell_patches
            total += 2 * patches * self.patch_values * d + self.depth * linear
            total += full_blocks * full + (self.depth - full_blocks) * windowed
            total += self.mergers * 2 * columns * rows * merged * (merged + self.out)
        return total


def _windows(columns: int, rows: int, window: int | None) -> list[int]:
    """Sizes, in cells, of the attention windows that tile an image; partial ones at the edges."""
    if window is None:
        return [columns * rows]
    widths = [min(window, columns - x) for x in range(0, columns, window)]
    heights = [min(window, rows - y) for y in range(0, rows, window)]
    return [width * height for width in widths for height in heights]


@dataclass(frozen=True)
class QwenFamily:
    """One `model_type` of the families; see `Family`."""

    model_type: str
    name: str
    marks: tuple[str, ...]
    grid: QwenGrid
    control: str = r"<\|[^|<>\s]{1,64}\|>"

    @property
    def published(self) -> Mapping[str, Config]:
        return {
            name: config
            for name, config in _published().items()
            if config["model_type"] == self.model_type
        }

    def grid_of(
        self, config: Config, preprocessor: Config | None, max_pixels: int | None = None
    ) -> Grid:
        held: Config = preprocessor or {}
        size: Config = held.get("size") or {}
        vision = config["vision_config"]
        least = size.get("shortest_edge") or held.get("min_pixels")
        most = max_pixels or size.get("longest_edge") or held.get("max_pixels")
        return QwenGrid(
            cell=_side(vision["patch_size"]) * vision["spatial_merge_size"],
            min_pixels=least or self.grid.min_pixels,
            max_pixels=most or self.grid.max_pixels,
        )

    def shape(self, config: Config) -> ModelShape:
        text, vision = _text(config), config["vision_config"]
        mlp = text["intermediate_size"]
        if experts := text.get("num_experts_per_tok"):
            mlp = experts * text["moe_intermediate_size"]
        heads = text["num_attention_heads"]
        return ModelShape(
            layers=text["num_hidden_layers"],
            hidden=text["hidden_size"],
            heads=heads,
            kv_heads=text["num_key_value_heads"],
            head_dim=text.get("head_dim") or text["hidden_size"] // heads,
            mlp=mlp,
            vocabulary=text["vocab_size"],
            vision=self._vision(vision, text["hidden_size"]),
        )

    def _vision(self, vision: Config, out: int) -> QwenVision:
        patch, merge = _side(vision["patch_size"]), vision["spatial_merge_size"]
        qwen2, qwen2_5 = self.model_type == "qwen2_vl", self.model_type == "qwen2_5_vl"
        hidden = vision["embed_dim" if qwen2 else "hidden_size"]
        channels = vision.get("in_channels", vision.get("in_chans", 3))
        return QwenVision(
            depth=vision["depth"],
            hidden=hidden,
            mlp=int(hidden * vision["mlp_ratio"]) if qwen2 else vision["intermediate_size"],
            mlp_matrices=3 if qwen2_5 else 2,
            patch_values=channels * _side(vision["temporal_patch_size"]) * patch * patch,
            merge=merge,
            out=out,
            mergers=1 + len(vision.get("deepstack_visual_indexes", ())),
            window=vision["window_size"] // (patch * merge) if qwen2_5 else None,
            full_blocks=len(vision["fullatt_block_indexes"]) if qwen2_5 else 0,
        )

    def matrix_parameters(self, config: Config) -> int:
        text, shape = _text(config), self.shape(config)
        vision, d = self._vision(config["vision_config"], shape.hidden), shape.hidden
        values = (2 * shape.heads + 2 * shape.kv_heads) * shape.head_dim
        feed_forward = 3 * d * shape.mlp
        if experts := text.get("num_experts"):
            feed_forward = experts * 3 * d * text["moe_intermediate_size"] + experts * d
        tied = config.get("tie_word_embeddings", text.get("tie_word_embeddings", False))
        embeddings = (1 if tied else 2) * shape.vocabulary * d
        block = 4 * vision.hidden**2 + vision.mlp_matrices * vision.hidden * vision.mlp
        positions = config["vision_config"].get("num_position_embeddings", 0)
        merged = vision.hidden * vision.merge**2
        tower = (vision.patch_values + positions) * vision.hidden + vision.depth * block
        tower += vision.mergers * merged * (merged + vision.out)
        return embeddings + shape.layers * (d * values + feed_forward) + tower


QWEN_FAMILIES = (
    QwenFamily("qwen2_vl", "qwen2-vl", ("qwen2-vl",), QWEN2_5_VL),
    QwenFamily("qwen2_5_vl", "qwen2.5-vl", ("qwen2",), QWEN2_5_VL),
    QwenFamily("qwen3_vl", "qwen3-vl", ("qwen3",), QWEN3_VL),
    QwenFamily("qwen3_vl_moe", "qwen3-vl", (), QWEN3_VL),
)


@cache
def _published() -> dict[str, Config]:
    return json.loads(Path(__file__).with_name("qwen.json").read_text(encoding="utf-8"))


def _text(config: Config) -> Config:
    """The language model's part; older files hold it at their top."""
    return config.get("text_config") or config


def _side(value: int | Sequence[int]) -> int:
    return value if isinstance(value, int) else value[-1]
