"""Rewards: accuracy, format and the control penalty, as pure functions over one prompt's group.

R = R_accuracy + R_format - P_control (arXiv 2507.13348, Eq. 4). The control penalty decides between
answering directly and requesting, by looking at which of the two succeeds inside the group:

    r = C_direct / (C_direct + C_high)

with C the numbers of correct answers given directly and after a request. If direct answers succeed
only by luck (r < θ), answering directly is penalised, otherwise requesting is (Eq. 5). Each way to
compute the penalty is a function and a row of `RULES`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from visionthink.core.errors import UsageError
from visionthink.core.types import Episode, StopReason

Way = Literal["direct", "requested", "neither"]
"""How an episode ended: answered from the first look, after a requested one, or not at all."""

RELEASED_EPSILON = 1e-4  # in the denominator of r in the authors' code


@dataclass(frozen=True)
class Member:
    """One episode of a group.

    Attributes:
        accuracy: the judge's verdict, None where it gave none.
        cost: visual tokens processed, over vanilla's.
    """

    accuracy: float | None
    format_valid: bool
    way: Way
    cost: float = 0.0


@dataclass(frozen=True)
class RewardSettings:
    """Which control penalty, and how much each part weighs.

    Attributes:
        rule: a name in `RULES`.
        theta: θ, the r below which direct answers count as lucky; None: the rule's own.
        penalty: how much P_control takes away.
        format_weight: R_format of an episode whose whole format is valid.
        accuracy_weight: R_accuracy of a correct answer.
    """

    rule: str = "paper"
    theta: float | None = None
    penalty: float = 0.1
    format_weight: float = 0.5
    accuracy_weight: float = 1.0

    def __post_init__(self) -> None:
        if self.rule not in RULES:
            raise UsageError(f"reward rule must be one of {', '.join(RULES)}; got {self.rule!r}")
        if self.theta is not None and not 0 <= self.theta <= 1:
            raise UsageError(f"theta must be from 0 to 1; got {self.theta}")
        for field in ("penalty", "format_weight", "accuracy_weight"):
            value = getattr(self, field)
            if not 0 <= value < math.inf:
                raise UsageError(f"{field} must be 0 or more and finite; got {value}")

    @property
    def threshold(self) -> float:
        """θ in force."""
        return RULES[self.rule].theta if self.theta is None else self.theta


@dataclass(frozen=True)
class Control:
    """P_control of each member of a group, and the group's r; None where it is undefined."""

    r: float | None
    penalties: Sequence[float]


@dataclass(frozen=True)
class Rule:
    """A control penalty. `control` sees all members; those without a verdict count nowhere."""

    control: Callable[[Sequence[Member], RewardSettings], Control]
    theta: float = 0.2


@dataclass(frozen=True)
class Reward:
    """The parts of one episode's reward; `control` is what was taken away, 0 or more."""

    accuracy: float
    format: float
    control: float

    @property
    def total(self) -> float:
        """Eq. 4."""
        return self.accuracy + self.format - self.control


@dataclass(frozen=True)
class GroupScore:
    """Rewards of a group, None for members that no judge scored; `r` is None where undefined."""

    r: float | None
    rewards: tuple[Reward | None, ...]

    @property
    def totals(self) -> list[float | None]:
        """R of each member, as `advantages` and `has_signal` take them."""
        return [None if reward is None else reward.total for reward in self.rewards]


def way_of(episode: Episode) -> Way:
    """How an episode ended. One that was cut off or malformed has not "answered directly"."""
    if episode.stop_reason is not StopReason.ANSWERED:
        return "neither"
    return "requested" if episode.requested else "direct"


def member_of(episode: Episode, accuracy: float | None) -> Member:
    """The episode as its group sees it."""
    return Member(accuracy, episode.format_valid, way_of(episode), episode.ledger.ratio)


def score_group(members: Sequence[Member], settings: RewardSettings) -> GroupScore:
    """Rewards of one prompt's G episodes (Eq. 4).

    Members without a verdict count nowhere: not in r, and their own reward is None.
    """
    control = RULES[settings.rule].control(members, settings)
    rewards = tuple(
        None
        if member.accuracy is None
        else Reward(
            accuracy=settings.accuracy_weight * member.accuracy,
            format=settings.format_weight if member.format_valid else 0.0,
            control=penalty,
        )
        for member, penalty in zip(members, control.penalties, strict=True)
    )
    return GroupScore(control.r, rewards)


# The rules


def no_control(members: Sequence[Member], settings: RewardSettings) -> Control:
    """No penalty; r is reported as in `paper_control`."""
    return Control(_share_of_counts(members), [0.0] * len(members))


def paper_control(members: Sequence[Member], settings: RewardSettings) -> Control:
    """Eq. 5: P_control = penalty · [1_direct · I(r < θ) + 1_high · I(r >= θ)], r by counts.

    Without a correct answer in the group r is undefined, and nothing is penalised.
    """
    return _eq5(members, _share_of_counts(members), settings)


def rates_control(members: Sequence[Member], settings: RewardSettings) -> Control:
    """Eq. 5 with r by success rates: s = correct / given of each way, r = s_direct / (s_direct +
    s_high).

    r is undefined unless both ways occur and one succeeds. It does not fall only because the policy
    requests often, nor rise only because it seldom does.
    """
    given = [_count(members, way, correct=False) for way in ("direct", "requested")]
    if 0 in given:
        return _eq5(members, None, settings)
    counts = [_count(members, way, correct=True) for way in ("direct", "requested")]
    direct, high = (count / of for count, of in zip(counts, given, strict=True))
    return _eq5(members, direct / (direct + high) if direct + high else None, settings)


def released_control(members: Sequence[Member], settings: RewardSettings) -> Control:
    """As the authors' code: only correct answers are penalised.

    Those after a request always are, direct ones where 0 < r < θ, with 1e-4 in r's denominator.
    """
    direct = _count(members, "direct", correct=True)
    high = _count(members, "requested", correct=True)
    r = direct / (direct + high + RELEASED_EPSILON)
    lucky = 0 < r < settings.threshold
    penalised = [m.way == "requested" or (m.way == "direct" and lucky) for m in members]
    return Control(r, _penalties(members, penalised, settings, correct_only=True))


def search_r1_control(members: Sequence[Member], settings: RewardSettings) -> Control:
    """Every correct answer after a request is penalised, as Search-R1 does; no r decides."""
    penalised = [member.way == "requested" for member in members]
    penalties = _penalties(members, penalised, settings, correct_only=True)
    return Control(_share_of_counts(members), penalties)


RULES: dict[str, Rule] = {
    "paper": Rule(paper_control),
    "released": Rule(released_control),
    "none": Rule(no_control),
    "search-r1": Rule(search_r1_control),
    "rates": Rule(rates_control, theta=0.4),
}

FORMER_NAMES = {"ours": "rates"}
"""Names of rules in older configs and run folders."""


def _eq5(members: Sequence[Member], r: float | None, settings: RewardSettings) -> Control:
    if r is None:
        return Control(None, [0.0] * len(members))
    penalised_way = "direct" if r < settings.threshold else "requested"
    penalised = [member.way == penalised_way for member in members]
    return Control(r, _penalties(members, penalised, settings))


def _penalties(
    members: Sequence[Member],
    penalised: Sequence[bool],
    settings: RewardSettings,
    correct_only: bool = False,
) -> list[float]:
    return [
        settings.penalty if flag and (member.accuracy or not correct_only) else 0.0
        for member, flag in zip(members, penalised, strict=True)
    ]


def _share_of_counts(members: Sequence[Member]) -> float | None:
    """Eq. 5's r = C_direct / (C_direct + C_high); None without a correct answer."""
    direct = _count(members, "direct", correct=True)
    high = _count(members, "requested", correct=True)
    return direct / (direct + high) if direct + high else None


def _count(members: Sequence[Member], way: Way, correct: bool) -> int:
    """Members of a way that have a verdict; only the correct ones if asked."""
    return sum(
        member.way == way and member.accuracy is not None and (member.accuracy > 0 or not correct)
        for member in members
    )


# Advantages


def advantages(totals: Sequence[float | None], floor: float = 1e-4) -> list[float]:
    """A_i = (R_i - mean R) / (std R + floor) over the scored members; 0 for the others (Eq. 1).

    The standard deviation is the unbiased one. A `floor` of about half the control penalty keeps
    groups that differ in nothing but that penalty from weighing as much as groups in which answers
    are right or wrong.
    """
    scored = [total for total in totals if total is not None]
    if len(scored) < 2:
        return [0.0] * len(totals)
    mean = math.fsum(scored) / len(scored)
    variance = math.fsum((total - mean) ** 2 for total in scored) / (len(scored) - 1)
    scale = math.sqrt(variance) + floor
    return [0.0 if total is None else (total - mean) / scale for total in totals]


def has_signal(totals: Sequence[float | None]) -> bool:
    """Whether a group teaches anything: two scored members with different rewards."""
    scored = [total for total in totals if total is not None]
    return bool(scored) and max(scored) - min(scored) > 1e-9
