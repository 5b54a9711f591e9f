"""What is kept of every episode of a generation batch: small, picklable, gathered on all processes.

Pixels never travel between processes, and neither do texts: the group's rewards need a few numbers.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from visionthink.core.errors import JudgeError
from visionthink.core.rewards import GroupScore, Member, has_signal, member_of
from visionthink.core.types import Episode, StopReason
from visionthink.judges import Judge, Verdict

Undecided = Literal["wrong", "leave_out"]
"""What an answer counts as that the judge cannot tell: wrong, or as one without a verdict."""
R_BINS = 10
FIRST_PAUSE = 0.5
"""Seconds before a judge that failed is asked again; each later pause is twice as long."""


@dataclass(frozen=True)
class Facts:
    """One episode in numbers; `row` is its place in the data set.

    `undecided`: the judge cannot tell; then the member's accuracy is 0, or None if left out.
    """

    row: int
    member: Member
    family: str
    kind: str
    requested: bool
    stop: StopReason
    generated_tokens: int
    visual_tokens: int
    vanilla_tokens: int
    undecided: bool = False


def facts_of(
    row: int, episode: Episode, verdict: Verdict | None, count_undecided: Undecided = "wrong"
) -> Facts:
    """The facts of one episode and its verdict, None where the judge failed."""
    metadata = episode.example.metadata
    undecided = verdict is not None and verdict.score is None
    accuracy = None if verdict is None else verdict.score
    if undecided and count_undecided == "wrong":
        accuracy = 0
    return Facts(
        row=row,
        member=member_of(episode, None if accuracy is None else float(accuracy)),
        family=str(metadata.get("family") or ""),
        kind=str(metadata.get("kind") or ""),
        requested=episode.requested,
        stop=episode.stop_reason,
        generated_tokens=episode.ledger.completion_tokens,
        visual_tokens=episode.ledger.processed,
        vanilla_tokens=episode.ledger.vanilla,
        undecided=undecided,
    )


async def judge_all(
    episodes: Sequence[Episode],
    judge: Judge,
    patience_s: float = 0.0,
    reasons: list[str] | None = None,
) -> list[Verdict | None]:
    """The verdict on every episode; None where the judge failed: an outage is no wrong answer.

    Failed ones are asked again, less and less often, until `patience_s` seconds have passed. Why
    they failed is added to `reasons`.
    """
    verdicts: dict[int, Verdict] = {}

    async def one(index: int) -> None:
        example = episodes[index].example
        truth = example.metadata.get("answers") or example.answer or ""
        try:
            verdicts[index] = await judge.score(example.question, truth, episodes[index].answer)
        except JudgeError as error:
            if reasons is not None:
                reasons.append(str(error))

    end = time.monotonic() + patience_s
    pause = FIRST_PAUSE
    while True:
        missing = [index for index in range(len(episodes)) if index not in verdicts]
        await asyncio.gather(*(one(index) for index in missing))
        left = end - time.monotonic()
        if len(verdicts) == len(episodes) or left <= 0:
            return [verdicts.get(index) for index in range(len(episodes))]
        await asyncio.sleep(min(pause, left))
        pause *= 2


def is_unscored(fact: Facts) -> bool:
    """Whether the judge failed on it; one that it cannot tell is no failure."""
    return fact.member.accuracy is None and not fact.undecided


def mean_or_nan(values: Sequence[float]) -> float:
    """The mean, or nan of nothing."""
    return math.fsum(values) / len(values) if values else math.nan


def share(flags: Sequence[bool]) -> float:
    return mean_or_nan([float(flag) for flag in flags])


def rollout_metrics(facts: Sequence[Facts]) -> dict[str, float]:
    """Shares over episodes, overall and by kind and family. Keys without a value are left out."""
    metrics = {
        "episode/request_rate": share([f.requested for f in facts]),
        "episode/malformed_rate": share([not f.member.format_valid for f in facts]),
        "episode/overlong_rate": share([f.stop is StopReason.LENGTH for f in facts]),
        "episode/unanswered_rate": share([f.member.way == "neither" for f in facts]),
        "episode/accuracy": _accuracy(facts),
        "judge/unscored_rate": share([is_unscored(f) for f in facts]),
        "judge/undecided_rate": share([f.undecided for f in facts]),
        "length/episode_tokens": mean_or_nan([f.generated_tokens for f in facts]),
        "cost/visual_token_ratio": sum(f.visual_tokens for f in facts)
        / max(1, sum(f.vanilla_tokens for f in facts)),
    }
    for field in ("kind", "family"):
        parts: dict[str, list[Facts]] = defaultdict(list)
        for fact in facts:
            if name := getattr(fact, field):
                parts[name].append(fact)
        for name, found in sorted(parts.items()):
            metrics[f"episode/request_rate/{field}/{name}"] = share([f.requested for f in found])
            metrics[f"episode/accuracy/{field}/{name}"] = _accuracy(found)
    return {key: value for key, value in metrics.items() if not math.isnan(value)}


def _accuracy(facts: Sequence[Facts]) -> float:
    return mean_or_nan([f.member.accuracy for f in facts if f.member.accuracy is not None])


def reward_metrics(scores: Sequence[GroupScore]) -> dict[str, float]:
    """Means of the reward's parts over scored episodes, and what the groups were like."""
    rewards = [reward for score in scores for reward in score.rewards if reward is not None]
    shares = [score.r for score in scores if score.r is not None]
    metrics = {
        "reward/accuracy": mean_or_nan([r.accuracy for r in rewards]),
        "reward/format": mean_or_nan([r.format for r in rewards]),
        "reward/control": -mean_or_nan([r.control for r in rewards]),
        "reward/total": mean_or_nan([r.total for r in rewards]),
        "episode/zero_variance_rate": share([not has_signal(score.totals) for score in scores]),
        "control/r_mean": mean_or_nan(shares),
        "control/r_undefined": float(len(scores) - len(shares)),
    }
    return {key: value for key, value in metrics.items() if not math.isnan(value)}


def r_histogram(scores: Sequence[GroupScore]) -> list[int]:
    """How many groups have r in each tenth of [0, 1]; 1 belongs to the last."""
    counts = [0] * R_BINS
    for score in scores:
        if score.r is not None:
            counts[min(R_BINS - 1, int(score.r * R_BINS))] += 1
    return counts


def request_variance(groups: Sequence[Sequence[Facts]]) -> float:
    """Mean over groups of the variance p (1 - p) of requesting inside the group, 0 to 0.25."""
    rates = [share([f.requested for f in group]) for group in groups]
    return mean_or_nan([rate * (1 - rate) for rate in rates])
