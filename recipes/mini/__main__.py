"""`python -m recipes.mini --out DIR`: make the tokenizer, `mini-base` and `mini-sft`."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from pathlib import Path


def main(arguments: Sequence[str] | None = None) -> None:
    """Make `mini-base` and `mini-sft` from scratch; an interrupted run resumes."""
    parser = argparse.ArgumentParser(prog="python -m recipes.mini", description=main.__doc__)
    parser.add_argument("--out", type=Path, required=True, help="folder for states and checkpoints")
    options = parser.parse_args(arguments)
    # Drawing multiplies small matrices while two cores train; more threads only slow it down.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

    import torch

    from recipes.mini.recipe import run_recipe

    torch.set_num_threads(1)
    torch.set_float32_matmul_precision("medium")  # bfloat16 products, twice as fast on a CPU
    run_recipe(options.out)


if __name__ == "__main__":
    main()
