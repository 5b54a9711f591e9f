"""The sample images that ship with the package: unseen in training, with question and answer."""

from __future__ import annotations

import json

from visionthink.core.images import open_picture
from visionthink.core.types import Example
from visionthink.mini import SAMPLES


def load_samples() -> list[Example]:
    """All shipped samples, weak-detail and strong-detail families mixed."""
    rows = json.loads((SAMPLES / "samples.json").read_text(encoding="utf-8"))
    return [
        Example(
            images=(open_picture(SAMPLES / row["file"]),),
            question=row["question"],
            answer=row["answer"],
            id=row["file"],
            metadata={"family": row["family"], "kind": row["kind"]},
        )
        for row in rows
    ]
