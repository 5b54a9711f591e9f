"""Policies: who answers a suite's questions, and with which look.

    high                 the original only: vanilla
    low                  the half-size view only
    auto                 the half-size view, and the original where the model requests it
    high:PROFILE, …      with other prompts than the model's own
    fastv:…, sparsevlm:…, visionzip:…    the original, its tokens pruned
    auto+visionzip:…     auto with a pruned first look
    random:0.3           low, and high for 30 % of the samples, drawn by lot
    oracle               low, and high where only that is right: the ceiling of what requests can do

The last two ask nobody: they are made of the episodes of `low` and `high`, see `derived`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from visionthink.core.engine import Engine
from visionthink.core.episode import DEFAULT_PROFILE
from visionthink.core.errors import UsageError
from visionthink.core.profiles import PROFILES
from visionthink.core.protocol import profile_for
from visionthink.core.types import LOOK_MODES, LookMode
from visionthink.settings import did_you_mean

DEFAULT_POLICIES = ("high", "low", "auto")
PRUNINGS = ("fastv", "sparsevlm", "visionzip")
LOOK_OF: dict[str, LookMode] = {look: look for look in LOOK_MODES}
RANDOM, ORACLE = "random", "oracle"
FIRST_LOOK = "auto+"


@dataclass(frozen=True)
class Policy:
    """One that asks the model.

    Attributes:
        name: as it was given; results are told by it.
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
        """Raise UsageError if its prompts do not go with its look, or the engine cannot prune."""
        profile_for(self.look, self.profile or engine.about.profile or DEFAULT_PROFILE)
        self.engine(engine)

    def engine(self, engine: Engine) -> Engine:
        """The engine that it asks: on the same weights, and never while the other one computes."""
        if self.pruning is None:
            return engine
        from visionthink.pruning import parse_method, pruned_engine

        return pruned_engine(
            engine, parse_method(self.pruning), first_look_only=self.look == "auto"
        )


@dataclass(frozen=True)
class Derived:
    """One that is made of the episodes of `low` and `high`.

    `share`: of the samples for which it takes high; None: where only high is right.
    """

    name: str
    share: float | None = None


def parse_policies(names: Sequence[str]) -> list[Policy | Derived]:
    """The policies, in the order in which they are run: `low` and `high` join where others are made
    of them, and come before these.

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
        asked = {look: Policy(look, look) for look in ("high", "low") if look not in asked} | asked
    return [*asked.values(), *derived.values()]


def parse_policy(name: str) -> Policy | Derived:
    """Raises UsageError: there is no such policy."""
    head, colon, rest = name.partition(":")
    if head == RANDOM:
        return Derived(name, _share(name, rest))
    if name == ORACLE:
        return Derived(name)
    pruning = name.removeprefix(FIRST_LOOK)
    if pruning.partition(":")[0] in PRUNINGS:
        from visionthink.pruning import parse_method

        try:
            parse_method(pruning)
        except UsageError as error:
            raise UsageError(f"policy {name!r}: {error}") from error
        return Policy(name, "high" if pruning == name else "auto", pruning=pruning)
    if head not in LOOK_OF:
        known = [*LOOK_MODES, *(f"{look}:PROFILE" for look in LOOK_MODES), f"{RANDOM}:0.3", ORACLE]
        known += [f"{kind}:…" for kind in PRUNINGS] + [f"{FIRST_LOOK}{kind}:…" for kind in PRUNINGS]
        raise UsageError(f"there is no policy {name!r}; there are {', '.join(known)}")
    if colon and rest not in PROFILES:
        raise UsageError(
            f"policy {name!r}: there is no prompt profile {rest!r}{did_you_mean(rest, PROFILES)}"
        )
    profile = rest if colon else None
    profile_for(LOOK_OF[head], profile or DEFAULT_PROFILE)
    return Policy(name, LOOK_OF[head], profile)


def _share(name: str, text: str) -> float:
    try:
        share = float(text)
    except ValueError:
        share = -1.0
    if not 0 <= share <= 1:
        raise UsageError(f"policy {name!r} wants a share of requests from 0 to 1: {RANDOM}:0.3")
    return share
