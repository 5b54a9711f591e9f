"""A generation: the settings of its episodes and rewards, and its results."""

from __future__ import annotations

from dataclasses import dataclass, field

from visionthink.core.rewards import GroupScore, RewardSettings
from visionthink.core.types import Episode, LookMode
from visionthink.training.rollout_facts import Facts


@dataclass(frozen=True)
class RolloutSettings:
    """Settings of episodes and rewards.

    Attributes:
        reward: how episodes are rewarded.
        advantage_floor: added to the standard deviation of a group, see `rewards.advantages`.
        resample_rounds: how often groups without reward variance are redrawn; 0 keeps them.
        max_unscored_rate: a larger share of unscored episodes stops the run.
        patience_s: how many seconds to keep asking a judge that fails.
        rollout_batch: replies generated together on a process; None: all.
    """

    look: LookMode = "auto"
    profile: str | None = None
    max_turns: int | None = None
    reward: RewardSettings = field(default_factory=RewardSettings)
    advantage_floor: float = 1e-4
    resample_rounds: int = 0
    max_unscored_rate: float = 0.2
    patience_s: float = 60.0
    rollout_batch: int | None = None


@dataclass
class Rollouts:
    """One generation batch of this process, and the facts of all processes.

    Attributes:
        rows: places in the data set, N on this process.
        episodes: N.
        facts: of all N x processes episodes, groups contiguous; the same on every process.
        scores: of all groups.
        shares: the advantages of all episodes.
    """

    rows: list[int]
    episodes: list[Episode]
    facts: list[Facts]
    scores: list[GroupScore] = field(default_factory=list)
    shares: list[float] = field(default_factory=list)
