"""Rewards: accuracy, format and the control penalty, as pure functions over one prompt's group.

R = R_accuracy + R_format - P_control (arXiv 2507.13348, Eq. 4). The control penalty decides between
answering directly and requesting, by looking at which of the two succeeds inside the group:

    r = C_direct / (C_direct + C_high)

with C the numbers of correct answers given directly and after a request. Where only lucky guesses
succeed directly (r < θ), answering directly is penalised, else requesting is (Eq. 5).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from visionthink.core.errors import UsageError
from visionthink.core.types import Episode, StopReason

Way = Literal["direct", "requested", "neither"]
"""How an episode ended: answered from the first look, after the original came, or not at all."""

RuleName = Literal["paper", "released", "none", "search-r1", "ours"]
RULES: tuple[RuleName, ...] = ("paper", "released", "none", "search-r1", "ours")

DEFAULT_THETA: dict[RuleName, float] = {**dict.fromkeys(RULES, 0.2), "ours": 0.4}

RELEASED_EPSILON = 1e-4  # in the denominator of r in the authors' code


@dataclass(frozen=True)
class Member:
    """One episode of a group. `accuracy` is the judge's verdict, None where it gave none."""

    accuracy: float | None
    format_valid: bool
    way: Way


@dataclass(frozen=True)
class RewardRule:
    """Which control penalty, and how much each part weighs.

    Attributes:
        name: "paper" is Eq. 5; "released" is what the authors' code does; "none" leaves the penalty
            out; "search-r1" penalises every correct answer after a request; "ours" compares success
            rates in place of counts (see `direct_share`).
        theta: θ, the r below which direct answers count as lucky; None is `DEFAULT_THETA` of the
            rule, since r is a share of counts for some and of rates for "ours".
        penalty: what P_control takes away.
        format_weight: R_format of an episode whose whole format is valid.
        accuracy_weight: R_accuracy of a correct answer.
    """

    name: RuleName = "paper"
    theta: float | None = None
    penalty: float = 0.1
    format_weight: float = 0.5
    accuracy_weight: float = 1.0

    def __post_init__(self) -> None:
        if self.name not in RULES:
            raise UsageError(f"reward rule must be one of {', '.join(RULES)}; got {self.name!r}")
        if self.theta is not None and not 0 <= self.theta <= 1:
            raise UsageError(f"theta must be from 0 to 1; got {self.theta}")
        for field in ("penalty", "format_weight", "accuracy_weight"):
            value = getattr(self, field)
            if not 0 <= value < math.inf:
                raise UsageError(f"{field} must be 0 or more and finite; got {value}")

    @property
    def threshold(self) -> float:
        """θ in force."""
        return DEFAULT_THETA[self.name] if self.theta is None else self.theta


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
    return Member(accuracy, episode.format_valid, way_of(episode))


def score_group(members: Sequence[Member], rule: RewardRule) -> GroupScore:
    """Rewards of one prompt's G episodes (Eq. 4 and 5).

    Unscored members count nowhere: not in r, and their own reward is None.
    """
    r = direct_share(members, rule)
    rewards = tuple(
        None
        if member.accuracy is None
        else Reward(
            accuracy=rule.accuracy_weight * member.accuracy,
            format=rule.format_weight if member.format_valid else 0.0,
            control=_control(member, r, rule),
        )
        for member in members
    )
    return GroupScore(r, rewards)


def direct_share(members: Sequence[Member], rule: RewardRule) -> float | None:
    """r: the direct answers' share of the group's success; None where it is undefined.

    For "paper" success is counted, C_direct / (C_direct + C_high), and undefined without a correct
    answer; "released" adds 1e-4 to the denominator, so that r is 0 then. For "ours" it is a rate,
    s = correct / given of each way, r = s_direct / (s_direct + s_high), and undefined unless both
    ways occur and one succeeds: r then does not fall only because the policy requests often, nor
    rise only because it seldom does.
    """
    correct = {way: _count(members, way, correct=True) for way in ("direct", "requested")}
    direct, high = float(correct["direct"]), float(correct["requested"])
    if rule.name == "released":
        return direct / (direct + high + RELEASED_EPSILON)
    if rule.name == "ours":
        given = [_count(members, way, correct=False) for way in ("direct", "requested")]
        if 0 in given:
            return None
        direct, high = direct / given[0], high / given[1]
    return direct / (direct + high) if direct + high else None


def _count(members: Sequence[Member], way: Way, correct: bool) -> int:
    """Scored members of a way; only the correct ones if asked."""
    return sum(
        member.way == way and member.accuracy is not None and (member.accuracy > 0 or not correct)
        for member in members
    )


def _control(member: Member, r: float | None, rule: RewardRule) -> float:
    """P_control of one member, given its group's r."""
    if r is None or rule.name == "none" or member.way == "neither":
        return 0.0
    correct = bool(member.accuracy)
    match rule.name, member.way:
        case ("paper" | "ours", "direct"):
            penalised = r < rule.threshold
        case ("paper" | "ours", _):
            penalised = r >= rule.threshold
        case ("released", "direct"):
            penalised = correct and 0 < r < rule.threshold
        case _:  # released and search-r1, after a request; search-r1 leaves direct answers alone
            penalised = correct and member.way == "requested"
    return rule.penalty if penalised else 0.0


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
