"""Figures of generation batches, worked out by hand, and the patience with judges."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Sequence
from typing import Any

import pytest

from visionthink.core.episode import run_episode
from visionthink.core.errors import JudgeError
from visionthink.core.protocol import direct_reply, request_reply
from visionthink.core.rewards import GroupScore, Member, Reward
from visionthink.core.types import StopReason
from visionthink.engines.scripted import ScriptedEngine
from visionthink.judges.judge import JudgeStats, Verdict
from visionthink.mini.world import make_example
from visionthink.training import rollout_facts as module
from visionthink.training.rollout_facts import (
    Facts,
    facts_of,
    judge_all,
    mean_or_nan,
    r_histogram,
    request_variance,
    reward_metrics,
    rollout_metrics,
)


def fact(
    accuracy: float | None,
    *,
    requested: bool = False,
    valid: bool = True,
    family: str = "",
    stop: StopReason = StopReason.ANSWERED,
) -> Facts:
    """16 visual tokens at first, 64 more on request, 64 of the original alone."""
    way = "neither" if stop is not StopReason.ANSWERED else "requested" if requested else "direct"
    kind = {"colour": "weak", "receipt": "strong"}.get(family, "")
    member = Member(accuracy, valid, way)
    return Facts(0, member, family, kind, requested, stop, 10, 80 if requested else 16, 64)


def test_shares_of_four_episodes():
    """Two of four requested; one unscored, one cut off. Accuracy over the scored: (1 + 0 + 1) / 3.
    Tokens: (16 + 80 + 16 + 80) / (4 * 64).
    """
    found = rollout_metrics(
        [
            fact(1.0, family="colour"),
            fact(0.0, family="receipt", requested=True),
            fact(None, family="colour", valid=False, stop=StopReason.LENGTH),
            fact(1.0, family="receipt", requested=True),
        ]
    )
    assert found == {
        "episode/request_rate": 0.5,
        "episode/malformed_rate": 0.25,
        "episode/overlong_rate": 0.25,
        "episode/unanswered_rate": 0.25,
        "episode/accuracy": 2 / 3,
        "judge/unscored_rate": 0.25,
        "judge/undecided_rate": 0.0,
        "length/episode_tokens": 10.0,
        "cost/visual_token_ratio": 0.75,
        "episode/request_rate/kind/weak": 0.0,
        "episode/accuracy/kind/weak": 1.0,
        "episode/request_rate/kind/strong": 1.0,
        "episode/accuracy/kind/strong": 0.5,
        "episode/request_rate/family/colour": 0.0,
        "episode/accuracy/family/colour": 1.0,
        "episode/request_rate/family/receipt": 1.0,
        "episode/accuracy/family/receipt": 0.5,
    }


def test_what_has_no_value_is_left_out():
    """Nothing scored: no accuracy. No episodes: no shares at all, and no nan."""
    assert "episode/accuracy" not in rollout_metrics([fact(None)])
    assert rollout_metrics([]) == {"cost/visual_token_ratio": 0.0}
    assert math.isnan(mean_or_nan([]))


def test_means_of_rewards():
    """Scored are 1.5, 1.4 and 0.5, in two groups; one has no r, and it teaches nothing."""
    scores = [
        GroupScore(0.5, (Reward(1.0, 0.5, 0.0), Reward(1.0, 0.5, 0.1))),
        GroupScore(None, (Reward(0.0, 0.5, 0.0), None)),
    ]
    found = reward_metrics(scores)
    assert found.pop("reward/total") == pytest.approx(3.4 / 3)
    assert found.pop("reward/control") == pytest.approx(-0.1 / 3)
    assert found == {
        "reward/accuracy": 2 / 3,
        "reward/format": 0.5,
        "episode/zero_variance_rate": 0.5,
        "control/r_mean": 0.5,
        "control/r_undefined": 1.0,
    }


def test_r_in_tenths():
    """0.1 opens the second tenth, 1 belongs to the last, and the undefined to none."""
    shares = [0.0, 0.05, 0.1, 0.95, 1.0, None]
    assert r_histogram([GroupScore(r, ()) for r in shares]) == [2, 1, 0, 0, 0, 0, 0, 0, 0, 2]


def test_variance_of_requesting():
    """Group rates 1/2, 1 and 1/4: (1/4 + 0 + 3/16) / 3."""
    groups = [[True, False], [True, True], [True, False, False, False]]
    found = request_variance([[fact(1.0, requested=flag) for flag in group] for group in groups])
    assert found == pytest.approx((1 / 4 + 3 / 16) / 3)


def test_facts_of_an_episode():
    """A strong family's image, requested and answered rightly."""
    example = make_example("receipt", 0, "train")
    engine = ScriptedEngine([request_reply("small"), direct_reply("now", str(example.answer))])
    episode = asyncio.run(run_episode(example, engine, profile="mini"))
    found = facts_of(7, episode, Verdict(1, "rules"))
    assert (found.row, found.family, found.kind) == (7, "receipt", "strong")
    assert found.member == Member(1.0, True, "requested", 1.25)
    assert found.requested
    assert found.visual_tokens == episode.ledger.processed > found.vanilla_tokens
    assert found.stop is StopReason.ANSWERED


def test_undecided_is_wrong_or_left_out_but_never_a_failure():
    """Four episodes: right, wrong, one that the judge cannot tell, one on which it failed."""
    (episode,) = answering("right")
    verdicts = [RIGHT, WRONG, Verdict(None, "rules"), None]

    def facts(*count: Any) -> list[Facts]:
        return [facts_of(0, episode, verdict, *count) for verdict in verdicts]

    default, left_out = facts(), facts("leave_out")
    assert default == facts("wrong")
    assert [fact.member.accuracy for fact in default] == [1.0, 0.0, 0.0, None]
    assert [fact.member.accuracy for fact in left_out] == [1.0, 0.0, None, None]
    for found, accuracy in ((default, 1 / 3), (left_out, 1 / 2)):
        assert [fact.undecided for fact in found] == [False, False, True, False]
        metrics = rollout_metrics(found)
        assert (metrics["judge/undecided_rate"], metrics["judge/unscored_rate"]) == (0.25, 0.25)
        assert metrics["episode/accuracy"] == pytest.approx(accuracy)


RIGHT, WRONG = Verdict(1, "rules"), Verdict(0, "rules")


class Moody:
    """Fails as often as it is told before it scores; 1 for the right answer."""

    name = "moody"
    stats = JudgeStats()

    def __init__(self, failures: int) -> None:
        self.failures = failures
        self.asked: list[str] = []

    async def score(self, question: str, answer: str | Sequence[str], prediction: str) -> Verdict:
        self.asked.append(prediction)
        if self.failures:
            self.failures -= 1
            raise JudgeError("the judge is down")
        return Verdict(1 if prediction == answer else 0, "rules")

    async def close(self) -> None:
        """Nothing is held."""


def answering(*answers: str) -> list[Any]:
    """Episodes about an example whose answer is "right"."""
    import dataclasses

    example = dataclasses.replace(make_example("colour", 0, "train"), answer="right")
    return [
        asyncio.run(
            run_episode(example, ScriptedEngine([direct_reply("seen", answer)]), profile="mini")
        )
        for answer in answers
    ]


def test_without_patience_a_judge_is_asked_once():
    judge = Moody(failures=1)
    verdicts = asyncio.run(judge_all(answering("right", "wrong", "right"), judge))
    assert verdicts == [None, WRONG, RIGHT]
    assert judge.asked == ["right", "wrong", "right"]


def test_with_patience_only_the_unscored_are_asked_again(monkeypatch: pytest.MonkeyPatch):
    """Two of three fail at first, one of them a second time."""
    monkeypatch.setattr(module, "FIRST_PAUSE", 0.001)
    judge = Moody(failures=2)
    original = judge.score

    async def score(question: str, answer: Any, prediction: str) -> Verdict:
        if len(judge.asked) == 3:
            judge.failures = 1
        return await original(question, answer, prediction)

    judge.score = score
    verdicts = asyncio.run(judge_all(answering("one", "two", "right"), judge, patience_s=60))
    assert verdicts == [WRONG, WRONG, RIGHT]
    assert judge.asked == ["one", "two", "right", "one", "two", "one"]


def test_patience_ends(monkeypatch: pytest.MonkeyPatch):
    """A judge that never answers leaves the episode unscored, in bounded time."""
    monkeypatch.setattr(module, "FIRST_PAUSE", 0.001)
    judge = Moody(failures=10**9)
    assert asyncio.run(judge_all(answering("right"), judge, patience_s=0.05)) == [None]
    assert len(judge.asked) > 2


def test_nothing_to_judge_takes_no_time():
    assert asyncio.run(judge_all([], Moody(0), patience_s=1e9)) == []
