"""Starting two processes that train together."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

LIMIT_S = 300
WORKER = Path(__file__).with_name("worker.py")
FSDP2 = {
    "ACCELERATE_USE_FSDP": "true",
    "FSDP_VERSION": "2",
    "FSDP_AUTO_WRAP_POLICY": "TRANSFORMER_BASED_WRAP",
    "FSDP_STATE_DICT_TYPE": "FULL_STATE_DICT",
    "FSDP_RESHARD_AFTER_FORWARD": "true",
}
"""What `accelerate launch` tells processes that are to shard their weights."""


def torchrun(*words: object, **environment: str) -> subprocess.CompletedProcess[str]:
    """Two processes of a script, or of `-m` a module, over gloo; ends them all when one fails."""
    return subprocess.run(
        [
            *(sys.executable, "-m", "torch.distributed.run", "--standalone"),
            *("--nproc_per_node", "2", *map(str, words)),
        ],
        env={
            **os.environ,
            "OMP_NUM_THREADS": "1",
            "PYTHONPATH": os.pathsep.join(
                [str(WORKER.parents[1]), os.environ.get("PYTHONPATH", "")]
            ),
            **environment,
        },
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
    )
