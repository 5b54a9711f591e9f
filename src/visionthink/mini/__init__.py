"""Mini: a procedural image world and the small models that know it, the package's default.

`world` draws images with questions and answers. Three checkpoints ship: `mini-base` requests the
original half of the time, whatever the question; `mini-sft` learnt from labels when to request;
`mini`, the default, learnt it by reinforcement. `recipes/mini` makes and measures them.
"""

from __future__ import annotations

from pathlib import Path

CHECKPOINTS = Path(__file__).parent / "checkpoints"
SAMPLES = Path(__file__).parent / "samples"
EMBEDDED = ("mini", "mini-base", "mini-sft")
"""Names of the shipped checkpoints; `--model` takes them."""
DEFAULT_CHECKPOINT = "mini"
