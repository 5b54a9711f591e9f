"""Names of policies, and what is refused."""

from __future__ import annotations

import pytest

from visionthink.core.errors import UsageError
from visionthink.engines.scripted import ScriptedEngine
from visionthink.evaluation.derived import AtRandom, Derived, where_better
from visionthink.evaluation.policies import POLICIES, Policy, parse_policies, parse_policy


@pytest.mark.parametrize(
    ("name", "policy"),
    [
        ("high", Policy("high", "high")),
        ("auto", Policy("auto", "auto")),
        ("auto:simple-resize", Policy("auto:simple-resize", "auto", "simple-resize")),
        ("low:general", Policy("low:general", "low", "general")),
        ("random:0.3", Derived("random:0.3", AtRandom(0.3))),
        ("random:0", Derived("random:0", AtRandom(0.0))),
        ("oracle", Derived("oracle", where_better, compares=True)),
        ("fastv:0.5", Policy("fastv:0.5", "high", pruning="fastv:0.5")),
        ("auto+visionzip:0.5", Policy("auto+visionzip:0.5", "auto", pruning="visionzip:0.5")),
    ],
)
def test_a_name_makes_a_policy(name: str, policy: Policy | Derived):
    assert parse_policy(name) == policy


def test_only_plain_originals_are_vanilla():
    vanilla = [
        name
        for name in ("high", "high:general", "low", "auto", "fastv:0.5")
        if isinstance(policy := parse_policy(name), Policy) and policy.is_vanilla
    ]
    assert vanilla == ["high", "high:general"]


def test_low_and_high_are_added_for_policies_made_of_them():
    assert [policy.name for policy in parse_policies(["oracle", "auto", "low"])] == [
        *("high", "auto", "low", "oracle")
    ]
    assert [policy.name for policy in parse_policies([])] == ["high", "low", "auto"]
    assert [policy.name for policy in parse_policies(["auto"])] == ["auto"]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("hihg", "there is no policy 'hihg'; did you mean high?"),
        ("", "there is no policy ''; there are auto, auto:PROFILE, low, low:PROFILE, high, "),
        ("auto:agnet", "there is no prompt profile 'agnet'; did you mean agent?"),
        ("auto:", "there is no prompt profile ''"),
        ("auto:general", "profile 'general' cannot request another look"),
        ("random", "policy 'random' needs a share of requests from 0 to 1, as random:0.3"),
        ("random:30", "needs a share of requests from 0 to 1"),
        ("random:nan", "needs a share of requests from 0 to 1"),
        ("oracle:2", "there is no policy 'oracle:2'"),
        ("fastv:2", "policy 'fastv:2': the share of visual tokens"),
        ("low+visionzip:0.5", "there is no policy 'low+visionzip:0.5'"),
    ],
)
def test_names_that_are_refused(name: str, message: str):
    with pytest.raises(UsageError) as caught:
        parse_policy(name)
    assert message in str(caught.value)


def test_a_policy_named_twice_is_refused():
    with pytest.raises(UsageError, match="policy 'auto' is named twice; leave one of them out"):
        parse_policies(["auto", "low", "auto"])


def test_a_policy_that_the_engine_cannot_follow_is_refused():
    with pytest.raises(UsageError, match="cannot request another look"):
        Policy("auto", "auto").check(ScriptedEngine([], profile="general"))
    with pytest.raises(UsageError, match="needs the hf engine; got ScriptedEngine"):
        Policy("fastv:0.5", "high", pruning="fastv:0.5").check(ScriptedEngine([]))


def test_a_policy_is_one_row(monkeypatch: pytest.MonkeyPatch):
    """One that exists only here; what stands behind the colon is up to it."""
    made = lambda name, options: Policy(name, "low", profile=options or "general")  # noqa: E731
    monkeypatch.setitem(POLICIES, "terse", made)
    assert [policy.name for policy in parse_policies(["terse", "terse:plain"])] == [
        *("terse", "terse:plain")
    ]
    assert parse_policy("terse") == Policy("terse", "low", "general")
