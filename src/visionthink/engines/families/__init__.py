"""How transformers runs each family of `core.families`, by `model_type`."""

from __future__ import annotations

from visionthink.engines.families.family import Runner, SpecialTokens
from visionthink.engines.families.qwen import QwenRunner

__all__ = ["RUNNERS", "Runner", "SpecialTokens"]

RUNNERS: dict[str, Runner] = dict.fromkeys(
    ("qwen2_vl", "qwen2_5_vl", "qwen3_vl", "qwen3_vl_moe"), QwenRunner()
)
