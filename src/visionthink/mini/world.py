"""The image world: thirteen families of questions about images that we draw.

For *weak* families half size is enough; *strong* ones need the original (see `ink`); the *lucky*
one needs it too, but has two answers, so a guess is right half of the time. Family, seed and split
determine the drawing.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Literal

import numpy as np
from PIL import Image

from visionthink.core.images import Picture, open_picture
from visionthink.core.types import Example
from visionthink.mini import SAMPLES
from visionthink.mini.chart import make_chart, make_hatch
from visionthink.mini.cloth import make_weave
from visionthink.mini.handwriting import make_digit, make_watermark
from visionthink.mini.paper import make_receipt, make_tag
from visionthink.mini.scene import make_scene
from visionthink.mini.sheet import SIZES, Sheet, Size, pick
from visionthink.mini.sign import make_sign

Kind = Literal["weak", "strong", "lucky"]
Split = Literal["train", "test"]
Maker = Callable[[np.random.Generator, Size, str], Sheet]

FAMILIES: dict[str, tuple[Kind, Maker]] = {
    "colour": ("weak", make_scene),
    "shape": ("weak", partial(make_scene, most=1)),
    "count": ("weak", make_scene),
    "position": ("weak", partial(make_scene, most=1)),
    "presence": ("weak", partial(make_scene, most=1)),
    "large_print": ("weak", make_sign),
    "digit": ("weak", make_digit),
    "receipt": ("strong", make_receipt),
    "tag": ("strong", make_tag),
    "chart_label": ("strong", make_chart),
    "hatch": ("strong", make_hatch),
    "watermark": ("strong", make_watermark),
    "weave": ("lucky", make_weave),
}


@dataclass(frozen=True)
class Drawing:
    """One question about one image: `pixels` (H, W, 3) uint8."""

    family: str
    kind: Kind
    pixels: np.ndarray
    question: str
    answer: str


def generator(*names: object) -> np.random.Generator:
    """A random generator determined by `names`."""
    digest = hashlib.sha256("/".join(str(name) for name in names).encode()).digest()
    return np.random.default_rng(int.from_bytes(digest[:16], "big"))


def draw(family: str, seed: int, split: Split) -> Drawing:
    """The drawing of this family and seed; train and test never share a random stream."""
    kind, make = FAMILIES[family]
    rng = generator(split, family, seed)
    sheet = make(rng, pick(rng, SIZES), split)
    question, answer = pick(rng, sheet.asks[family])
    return Drawing(family, kind, sheet.pixels, question, answer)


def make_example(family: str, seed: int, split: Split) -> Example:
    """The same drawing as an `Example`, ready for an episode."""
    drawing = draw(family, seed, split)
    name = f"{family}-{split}-{seed}"
    return Example(
        images=(Picture(Image.fromarray(drawing.pixels), name=f"{name}.png"),),
        question=drawing.question,
        answer=drawing.answer,
        id=name,
        metadata={"family": family, "kind": drawing.kind},
    )


def load_samples() -> list[Example]:
    """The sample images that ship with the package, from weak and strong families; all unseen."""
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
