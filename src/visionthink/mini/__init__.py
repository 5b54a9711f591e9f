"""Mini: a procedural image world and the small models that know it, the package's default.

`world` draws images with questions and answers. Three checkpoints ship: `mini-base` requests the
original half of the time, whatever the question; `mini-sft` learnt from labels when to request;
`mini`, the default, learnt it by reinforcement. `recipes/mini` makes and measures them.
"""

from __future__ import annotations

import difflib
import os
from pathlib import Path

from visionthink.core.errors import UsageError

CHECKPOINTS = Path(__file__).parent / "checkpoints"
SAMPLES = Path(__file__).parent / "samples"
EMBEDDED = ("mini", "mini-base", "mini-sft")
"""Names of the shipped checkpoints; `--model` takes them."""
DEFAULT_CHECKPOINT = "mini"


def check_model_name(name: str) -> None:
    """Raise UsageError if `name` is a misspelt name of a shipped checkpoint, such as `minni`.

    Anything that can be a hub id, or is a file or folder, passes.
    """
    if name in EMBEDDED or "/" in name or os.path.exists(name):
        return
    if meant := difflib.get_close_matches(name, EMBEDDED, n=1, cutoff=0.7):
        raise UsageError(f"there is no model {name!r}; did you mean {meant[0]}?")
