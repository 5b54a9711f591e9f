"""`visionthink` on every process.

    torchrun --nproc_per_node 2 worker_cli.py train grpo CONFIG --out RUN

With BREAKS=1 a scorer that breaks on the second process in generation three; with what `FSDP2` of
`launching.py` says, sharded weights.
"""

from __future__ import annotations

import os

import visionthink.judges
from training.worker import allow_fsdp_on_cpu
from visionthink.cli.main import main
from visionthink.judges import Judge, JudgeOptions, open_judge
from visionthink.judges.judge import Verdict

EPISODES = 4
"""Of one process in one generation."""


def breaking(options: JudgeOptions) -> Judge:
    judge = open_judge(options)
    score, asked = judge.score, 0

    async def score_or_break(*words: str) -> Verdict:
        nonlocal asked
        asked += 1
        if asked > 2 * EPISODES and os.environ["RANK"] == "1":
            raise RuntimeError("the scorer broke")
        return await score(*words)

    judge.score = score_or_break  # pyright: ignore[reportAttributeAccessIssue] -- names differ
    return judge


if __name__ == "__main__":
    if os.environ.get("BREAKS"):
        visionthink.judges.open_judge = breaking
    if os.environ.get("ACCELERATE_USE_FSDP") == "true":
        allow_fsdp_on_cpu()
    main()
