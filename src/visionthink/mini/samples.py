"""Sample images: a few test drawings of each kind, shipped as PNG files with their questions."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

from PIL import Image

from visionthink.mini.bars import Subject, run_batch
from visionthink.mini.world import draw

FAMILIES_SHOWN = (
    "colour",
    "position",
    "large_print",
    "digit",
    "receipt",
    "tag",
    "chart_label",
    "hatch",
    "watermark",
)
FIRST_SEED = 900_000
PATIENCE = 200


def write_samples(checkpoint: Path, folder: Path) -> list[dict[str, str]]:
    """For each family shown, the first test drawing that the checkpoint treats rightly.

    Rightly: the right answer, with a request for a strong family and without for a weak one.
    """
    subject = Subject(checkpoint)
    folder.mkdir(parents=True, exist_ok=True)
    rows = []
    for family in FAMILIES_SHOWN:
        for seed in range(FIRST_SEED, FIRST_SEED + PATIENCE):
            drawing = draw(family, seed, "test")
            (outcome,) = run_batch(subject, [drawing], "auto")
            if outcome.correct and outcome.requested == (drawing.kind == "strong"):
                name = f"{family}.png"
                Image.fromarray(drawing.pixels).save(folder / name, optimize=True)
                rows.append(
                    {
                        "file": name,
                        "question": drawing.question,
                        "answer": drawing.answer,
                        "family": family,
                        "kind": drawing.kind,
                    }
                )
                break
    (folder / "samples.json").write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
    return rows


def main(arguments: Sequence[str] | None = None) -> None:
    """`python -m visionthink.mini.samples CHECKPOINT FOLDER`: write the sample images."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("folder", type=Path)
    options = parser.parse_args(arguments)
    for row in write_samples(options.checkpoint, options.folder):
        print(f"{row['file']}: {row['question']} {row['answer']}")


if __name__ == "__main__":
    main()
