"""Mini: the embedded default. A procedural image world and a small model that looks twice.

`world` draws images with questions and answers; `recipe` makes two of the checkpoints shipped here,
`mini-base` (requests as often as not) and `mini-sft` (requests where a label says so); `mini` is
what `train grpo mini` makes of `mini-base`, and the default. `bars` measures them. Nothing here
needs a network.
"""

from __future__ import annotations

from pathlib import Path

CHECKPOINTS = Path(__file__).parent / "checkpoints"
SAMPLES = Path(__file__).parent / "samples"
DEFAULT_CHECKPOINT = "mini"
