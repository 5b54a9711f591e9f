"""The Qwen-VL families under transformers: patches in a grid, positions in three dimensions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from visionthink.core.errors import EngineError
from visionthink.core.images import Cells, Picture
from visionthink.engines.families.family import Runner, SpecialTokens


class QwenRunner(Runner):
    """Qwen2-VL, Qwen2.5-VL, Qwen3-VL and its mixture of experts."""

    marker_input = "mm_token_type_ids"

    def special_tokens(self, config: Any, tokenizer: Any) -> SpecialTokens:
        video = getattr(config, "video_token_id", None)
        return SpecialTokens(
            image=config.image_token_id,
            end=tokenizer.convert_tokens_to_ids("<|im_end|>"),
            turn=tokenizer.convert_tokens_to_ids("<|im_start|>"),
            banned=tuple(i for i in (config.image_token_id, video) if i is not None),
        )

    def inputs(
        self, pictures: Sequence[Picture], cells: Sequence[Cells], processor: Any
    ) -> dict[str, torch.Tensor]:
        """`pixel_values` (patches, values) and `image_grid_thw` (images, 3)."""
        features = processor(images=[picture.image for picture in pictures], return_tensors="pt")
        grids, expected = features["image_grid_thw"], _grids(cells, processor.merge_size)
        if grids.tolist() != expected:
            raise EngineError(
                f"the image processor cuts images into {grids.tolist()} patches; "
                f"expected {expected}"
            )
        return {"pixel_values": features["pixel_values"], "image_grid_thw": grids}

    def limit_pixels(self, processor: Any, max_pixels: int) -> None:
        processor.size = {**dict(processor.size), "longest_edge": max_pixels}

    def saved_processor(self, held: dict[str, Any], processor: Any) -> dict[str, Any]:
        size = dict(processor.size)
        if held.get("size") == size:
            return held
        bounds = {"min_pixels": size["shortest_edge"], "max_pixels": size["longest_edge"]}
        return {**held, **bounds, "size": size}

    def positions(
        self,
        network: Any,
        ids: torch.Tensor,
        mask: torch.Tensor | None,
        cells: Sequence[Cells],
        image: int,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Time, row and column of each token: (3, B, T)."""
        merge = network.config.vision_config.spatial_merge_size
        positions, deltas = network.model.get_rope_index(
            ids,
            mm_token_type_ids=(ids == image).int(),
            image_grid_thw=torch.tensor(_grids(cells, merge), device=ids.device) if cells else None,
            attention_mask=mask,
        )
        return positions, deltas.view(-1, 1)

    def tower(self, network: Any) -> torch.nn.Module:
        return network.model.visual


def _grids(cells: Sequence[Cells], merge: int) -> list[list[int]]:
    """Frames, patch rows and patch columns of each image."""
    return [[1, rows * merge, columns * merge] for columns, rows in cells]
