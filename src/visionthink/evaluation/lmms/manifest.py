"""What lmms-eval loads from our entry point: names, and nothing that could fail to import.

lmms-eval turns an error in here into a warning, and then knows no model `visionthink`.
"""

# lmms-eval is not in the environment that is checked:
# pyright: reportMissingImports=false

from __future__ import annotations

from typing import Any

MODEL = "visionthink"
_MODULE = "visionthink.evaluation.lmms.model"


def manifests() -> list[Any]:
    """The manifests of `lmms_eval.models.registry_v2`; chat wins unless --force_simple is given."""
    from lmms_eval.models.registry_v2 import ModelManifest

    return [
        ModelManifest(
            model_id=MODEL,
            chat_class_path=f"{_MODULE}.VisionThinkChat",
            simple_class_path=f"{_MODULE}.VisionThinkSimple",
        )
    ]
