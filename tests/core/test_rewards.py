"""Rewards worked out by hand: every rule on the same groups, the edges of r, advantages."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from visionthink.core.errors import UsageError
from visionthink.core.rewards import (
    RULES,
    Control,
    Member,
    RewardSettings,
    Rule,
    Way,
    advantages,
    has_signal,
    score_group,
)
from visionthink.training.config import RewardOptions

RIGHT, WRONG = 1.0, 0.0


def members(*kinds: str) -> list[Member]:
    """`D` direct, `H` after a request, `N` neither; upper case right, lower wrong, `?` unscored."""
    ways: dict[str, Way] = {"d": "direct", "h": "requested", "n": "neither"}
    return [
        Member(
            None if kind.endswith("?") else RIGHT if kind[0].isupper() else WRONG,
            True,
            ways[kind[0].lower()],
        )
        for kind in kinds
    ]


def controls(rule: RewardSettings, *kinds: str) -> list[float | None]:
    rewards = score_group(members(*kinds), rule).rewards
    return [None if reward is None else reward.control for reward in rewards]


P = 0.1

MIXED = ("D", "D", "d", "H", "H", "h", "n")  # C_direct = C_high = 2
LUCKY = ("D", "d", "d", "H", "H", "H", "H", "H", "H", "H", "H")  # r = 1/9
HOPELESS = ("d", "d", "h", "h", "n")
DIRECT_ONLY = ("D", "D", "d")
HIGH_ONLY = ("H", "H", "h")


@pytest.mark.parametrize(
    ("name", "group", "r", "expected"),
    [
        # r = 2/4: over theta, so requests are penalised, right or wrong.
        ("paper", MIXED, 0.5, [0, 0, 0, P, P, P, 0]),
        # r = 1/9: under theta, so direct answers are, right or wrong.
        ("paper", LUCKY, 1 / 9, [P, P, P] + [0] * 8),
        ("paper", HOPELESS, None, [0, 0, 0, 0, 0]),
        ("paper", DIRECT_ONLY, 1.0, [0, 0, 0]),
        ("paper", HIGH_ONLY, 0.0, [0, 0, 0]),
        # Only right answers are touched; a request that ends right always is.
        ("released", MIXED, 2 / 4.0001, [0, 0, 0, P, P, 0, 0]),
        ("released", LUCKY, 1 / 9.0001, [P, 0, 0] + [P] * 8),
        ("released", HOPELESS, 0.0, [0, 0, 0, 0, 0]),
        ("released", DIRECT_ONLY, 2 / 2.0001, [0, 0, 0]),
        ("released", HIGH_ONLY, 0.0, [P, P, 0]),
        ("search-r1", MIXED, 0.5, [0, 0, 0, P, P, 0, 0]),
        ("search-r1", LUCKY, 1 / 9, [0, 0, 0] + [P] * 8),
        ("search-r1", HOPELESS, None, [0, 0, 0, 0, 0]),
        ("none", MIXED, 0.5, [0] * 7),
        # Rates: 2 of 3 against 2 of 3.
        ("rates", MIXED, 0.5, [0, 0, 0, P, P, P, 0]),
        # 1 of 3 against 8 of 8: r = (1/3) / (4/3) = 1/4, over a theta of 0.2.
        ("rates", LUCKY, 0.25, [0, 0, 0] + [P] * 8),
        ("rates", HOPELESS, None, [0, 0, 0, 0, 0]),
        # One way alone cannot be compared.
        ("rates", DIRECT_ONLY, None, [0, 0, 0]),
        ("rates", HIGH_ONLY, None, [0, 0, 0]),
    ],
)
def test_control_penalty_by_rule(name, group, r, expected):
    rule = RewardSettings(rule=name, theta=0.2, penalty=P)
    score = score_group(members(*group), rule)
    assert score.r == (None if r is None else pytest.approx(r, abs=1e-12))
    assert controls(rule, *group) == expected


def test_theta_is_the_first_value_that_penalises_requests():
    """One right direct answer and four right requests: r = 1/5 = theta, so I(r >= theta) holds."""
    group = ("D", "H", "H", "H", "H")
    assert controls(RewardSettings(theta=0.2), *group) == [0, P, P, P, P]
    assert controls(RewardSettings(theta=0.2000001), *group) == [P, 0, 0, 0, 0]


def test_theta_edge_of_the_released_rule():
    """r = 1/5.0001 lies under theta 0.2: the direct answer is penalised as well as requests."""
    assert controls(RewardSettings(rule="released", theta=0.2), "D", "H", "H", "H", "H") == [P] * 5


@pytest.mark.parametrize(("name", "threshold"), [("paper", 0.2), ("released", 0.2), ("rates", 0.4)])
def test_theta_is_the_rule_s_own_unless_given(name, threshold):
    assert RewardSettings(rule=name).threshold == threshold
    assert RewardSettings(rule=name, theta=0.0).threshold == 0.0


def test_rates_do_not_mistake_a_policy_that_requests_often():
    """One direct and 15 requests, all right: by counts r = 1/16, as if the direct answer were luck;
    by rates r = 1/2, and requesting is what is penalised.
    """
    group = ("D", *["H"] * 15)
    assert controls(RewardSettings(rule="paper"), *group) == [P] + [0] * 15
    assert controls(RewardSettings(rule="rates"), *group) == [0] + [P] * 15


def test_theta_zero_never_penalises_direct_answers():
    """Fig. 8's edge: r >= 0 always, so Eq. 5 penalises every request."""
    assert controls(RewardSettings(theta=0.0), *LUCKY) == [0, 0, 0] + [P] * 8


def test_parts_and_total():
    """Right and valid after a request in a group with r = 1/2: 1 + 0.5 - 0.1 = 1.4."""
    group = [
        Member(RIGHT, True, "direct"),
        Member(RIGHT, True, "requested"),
        Member(WRONG, False, "direct"),
    ]
    totals = [reward.total for reward in score_group(group, RewardSettings()).rewards if reward]
    assert totals == pytest.approx([1.5, 1.4, 0.0])
    rule = RewardSettings(format_weight=0.25, accuracy_weight=2.0, penalty=0.5)
    totals = [reward.total for reward in score_group(group, rule).rewards if reward]
    assert totals == pytest.approx([2.25, 1.75, 0.0])


def test_unscored_members_count_nowhere():
    """Without the unscored direct answer r = 0/1 = 0; were it counted right, r would be 1/2."""
    score = score_group(members("D?", "d", "H"), RewardSettings())
    assert score.r == 0.0
    assert score.rewards[0] is None
    assert [reward.control for reward in score.rewards[1:] if reward] == [P, 0]


def test_a_group_without_any_verdict():
    score = score_group(members("D?", "H?"), RewardSettings())
    assert (score.r, score.rewards) == (None, (None, None))


@pytest.mark.parametrize(
    ("totals", "floor", "expected"),
    [
        # mean 0.5; unbiased std of (1, 0) is 1/sqrt(2): +-0.5 sqrt(2)
        ([1.0, 0.0], 0.0, [math.sqrt(0.5), -math.sqrt(0.5)]),
        # the unscored member gets 0 and moves nothing
        ([1.0, None, 0.0], 0.0, [math.sqrt(0.5), 0.0, -math.sqrt(0.5)]),
        # all alike: 0 / floor
        ([1.5, 1.5, 1.5], 1e-4, [0.0, 0.0, 0.0]),
        ([None, None], 1e-4, [0.0, 0.0]),
        ([1.5, None], 1e-4, [0.0, 0.0]),
        # mean 1.45, std 0.1 / sqrt(2); with a floor of 0.05 it is 0.05 / (0.0707 + 0.05)
        (
            [1.5, 1.4],
            0.05,
            [0.05 / (0.1 / math.sqrt(2) + 0.05), -0.05 / (0.1 / math.sqrt(2) + 0.05)],
        ),
    ],
)
def test_advantages(totals, floor, expected):
    assert advantages(totals, floor) == pytest.approx(expected, abs=1e-9)


def test_signal():
    assert has_signal([1.0, None, 0.9])
    assert not has_signal([1.0, None, 1.0])
    assert not has_signal([None])
    assert not has_signal([])


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"rule": "mine"}, "reward rule must be one of paper, released"),
        ({"theta": 1.5}, "theta must be from 0 to 1; got 1.5"),
        ({"penalty": -1}, "penalty must be 0 or more"),
        ({"format_weight": math.nan}, "format_weight must be 0 or more"),
    ],
)
def test_bad_rules(fields, message):
    with pytest.raises(UsageError, match=message):
        RewardSettings(**fields)


KINDS = st.lists(st.sampled_from(["D", "d", "H", "h", "N", "n", "D?", "H?"]), max_size=16)


@given(KINDS, st.sampled_from(list(RULES)), st.floats(0, 1))
def test_rewards_stay_in_their_bounds(kinds, name, theta):
    """Whatever the group: r in [0, 1], each part in its range, None exactly for the unscored."""
    rule = RewardSettings(rule=name, theta=theta)
    group = members(*kinds)
    score = score_group(group, rule)
    assert score.r is None or 0 <= score.r <= 1
    for member, reward in zip(group, score.rewards, strict=True):
        assert (reward is None) == (member.accuracy is None)
        if reward is not None:
            assert reward.control in (0.0, rule.penalty)
            assert reward.total <= 1.5


@given(KINDS)
def test_order_inside_a_group_changes_nothing(kinds):
    rule = RewardSettings()
    there, back = score_group(members(*kinds), rule), score_group(members(*kinds[::-1]), rule)
    assert there.r == back.r
    assert there.rewards == back.rewards[::-1]


def test_a_new_rule_is_one_function_and_one_row(monkeypatch: pytest.MonkeyPatch):
    """A rule that exists only here: correct answers pay half of what they cost in visual tokens."""

    def by_cost(group: Sequence[Member], settings: RewardSettings) -> Control:
        return Control(None, [settings.penalty * m.cost * bool(m.accuracy) for m in group])

    monkeypatch.setitem(RULES, "by-cost", Rule(by_cost))
    group = [
        Member(RIGHT, True, "direct", cost=0.25),
        Member(RIGHT, True, "requested", cost=1.25),
        Member(WRONG, True, "direct", cost=0.25),
    ]
    score = score_group(group, RewardSettings(rule="by-cost", penalty=0.5))
    assert score.totals == [1.5 - 0.125, 1.5 - 0.625, 0.5]
    assert RewardOptions(rule="by-cost").build() == RewardSettings(rule="by-cost")
