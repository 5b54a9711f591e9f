"""Policies: who answers a suite's questions, and with which look.

    high                 the original only: vanilla
    low                  the half-size view only
    auto                 the half-size view, and what the model requests
    high:PROFILE, …      with other prompts than the model's own
    fastv:…, sparsevlm:…, visionzip:…    the original, its tokens pruned
    auto+visionzip:…     auto with a pruned first look
    random:0.3           low, and high for 30 % of the samples, chosen at random
    oracle               low, and high where only that is right: the ceiling of what requests can do

A policy is one row of `POLICIES`. The last two ask nothing: they are made of the episodes of `low`
and `high`, see `derived`.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from visionthink.core.engine import Engine
from visionthink.core.episode import DEFAULT_PROFILE
from visionthink.core.errors import UsageError
from visionthink.core.profiles import PROFILES
from visionthink.core.protocol import profile_for
from visionthink.core.types import LOOK_MODES, LookMode
from visionthink.evaluation.derived import AtRandom, Derived, where_better
from visionthink.settings import did_you_mean

DEFAULT_POLICIES = ("high", "low", "auto")
PRUNINGS = ("fastv", "sparsevlm", "visionzip")


@dataclass(frozen=True)
class Policy:
    """A policy that asks the model.

    Attributes:
        name: as it was given; results go by it.
        profile: prompts; None: those that the checkpoint names.
        pruning: how visual tokens are pruned, for `pruning.parse_method`; None: not at all.
    """

    name: str
    look: LookMode
    profile: str | None = None
    pruning: str | None = None

    @property
    def is_vanilla(self) -> bool:
        return self.look == "high" and self.pruning is None

    def check(self, engine: Engine) -> None:
        """Raise UsageError if its prompts do not fit its look, or the engine cannot prune."""
        profile_for(self.look, self.profile or engine.about.profile or DEFAULT_PROFILE)
        self.engine(engine)

    def engine(self, engine: Engine) -> Engine:
        """The engine that it asks, on the same weights; the two never compute at the same time."""
        if self.pruning is None:
            return engine
        from visionthink.pruning import parse_method, pruned_engine

        return pruned_engine(
            engine, parse_method(self.pruning), first_look_only=self.look == "auto"
        )


def parse_policies(names: Sequence[str]) -> list[Policy | Derived]:
    """The policies, in the order in which they are run. `low` and `high` are added where others are
    made of them, and come before these.

    Raises:
        UsageError: there is no such policy, or one is named twice.
    """
    found: dict[str, Policy | Derived] = {}
    for name in names or DEFAULT_POLICIES:
        if name in found:
            raise UsageError(f"policy {name!r} is named twice; leave one of them out")
        found[name] = parse_policy(name)
    asked = {name: policy for name, policy in found.items() if isinstance(policy, Policy)}
    derived = {name: policy for name, policy in found.items() if isinstance(policy, Derived)}
    if derived:
        asked = {name: Policy(name, name) for name in ("high", "low") if name not in asked} | asked
    return [*asked.values(), *derived.values()]


def parse_policy(name: str) -> Policy | Derived:
    """The policy of a name: a row of `POLICIES`, for most with options behind a colon.

    Raises:
        UsageError: there is no such policy, or it has no such options.
    """
    head, colon, options = name.partition(":")
    if head not in POLICIES:
        raise _unknown(name)
    return POLICIES[head](name, options if colon else None)


def _unknown(name: str) -> UsageError:
    shown = {"random": "random:0.3", **{look: f"{look}, {look}:PROFILE" for look in LOOK_MODES}}
    known = [shown.get(head, f"{head}:…" if head.endswith(PRUNINGS) else head) for head in POLICIES]
    near = difflib.get_close_matches(name, POLICIES, n=1)
    hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(known)}"
    return UsageError(f"there is no policy {name!r}; {hint}")


def _looking(look: LookMode, name: str, profile: str | None) -> Policy:
    if profile is not None and profile not in PROFILES:
        hint = did_you_mean(profile, PROFILES)
        raise UsageError(f"policy {name!r}: there is no prompt profile {profile!r}{hint}")
    profile_for(look, profile or DEFAULT_PROFILE)
    return Policy(name, look, profile)


def _pruned(look: LookMode, name: str, options: str | None) -> Policy:
    from visionthink.pruning import parse_method

    pruning = name.removeprefix("auto+")
    try:
        parse_method(pruning)
    except UsageError as error:
        raise UsageError(f"policy {name!r}: {error}") from error
    return Policy(name, look, pruning=pruning)


def _random(name: str, options: str | None) -> Derived:
    try:
        share = float(options or "")
    except ValueError:
        share = -1.0
    if not 0 <= share <= 1:
        raise UsageError(f"policy {name!r} needs a share of requests from 0 to 1, as random:0.3")
    return Derived(name, AtRandom(share))


def _oracle(name: str, options: str | None) -> Derived:
    if options is not None:
        raise _unknown(name)
    return Derived(name, where_better, compares=True)


POLICIES: dict[str, Callable[[str, str | None], Policy | Derived]] = {
    **{look: partial(_looking, look) for look in LOOK_MODES},
    **{kind: partial(_pruned, "high") for kind in PRUNINGS},
    **{f"auto+{kind}": partial(_pruned, "auto") for kind in PRUNINGS},
    "random": _random,
    "oracle": _oracle,
}
"""First part of a name → what makes the policy of the whole name and the options in it."""
