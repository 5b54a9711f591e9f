"""Sample images: a test drawing per family, shipped as PNG files with questions and answers."""

from __future__ import annotations

import argparse
import asyncio
import json
from collections.abc import Sequence
from pathlib import Path

from visionthink.core.engine import Engine
from visionthink.core.episode import run_episode
from visionthink.mini.world import make_example

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


async def write_samples(engine: Engine, folder: Path) -> list[dict[str, str]]:
    """For each family shown, save the first test drawing on which the model does what it should.

    That is the right answer, with a request for a strong family and without one for a weak family.
    Samples show what an episode is; `benchmark` measures how often the model is right.
    """
    folder.mkdir(parents=True, exist_ok=True)
    rows: list[dict[str, str]] = []
    for family in FAMILIES_SHOWN:
        for seed in range(FIRST_SEED, FIRST_SEED + PATIENCE):
            example = make_example(family, seed, "test")
            episode = await run_episode(example, engine)
            strong = example.metadata["kind"] == "strong"
            if episode.answer != example.answer or episode.requested != strong:
                continue
            name = f"{family}.png"
            example.images[0].image.save(folder / name, optimize=True)
            row = {"file": name, "question": example.question, "answer": episode.answer}
            rows.append({**row, "family": family, "kind": example.metadata["kind"]})
            break
    (folder / "samples.json").write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
    return rows


def main(arguments: Sequence[str] | None = None) -> None:
    """`python -m recipes.mini.samples CHECKPOINT FOLDER`: write the sample images."""
    from visionthink.engines.hf import HFEngine

    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("folder", type=Path)
    options = parser.parse_args(arguments)
    engine = HFEngine(options.checkpoint, max_batch=1)
    for row in asyncio.run(write_samples(engine, options.folder)):
        print(f"{row['file']}: {row['question']} {row['answer']}")


if __name__ == "__main__":
    main()
