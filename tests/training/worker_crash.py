"""`visionthink` on every process, with a scorer that breaks on the second one in generation three.

torchrun --nproc_per_node 2 worker_crash.py train grpo CONFIG --out RUN
"""

from __future__ import annotations

import os

import visionthink.judges
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
    visionthink.judges.open_judge = breaking
    main()
