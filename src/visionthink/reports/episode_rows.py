"""The rows of an evaluation that was not finished, counted from the episodes that there are."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from visionthink.reports.grouping import is_number, over_runs

_COSTS = {
    "flops_ratio": ("prefill_flops", "vanilla_prefill_flops"),
    "paper_flops_ratio": ("paper_prefill_flops", "vanilla_paper_prefill_flops"),
}
_MEANS = ("prompt_tokens", "completion_tokens")


@dataclass
class _Sums:
    """What the scored samples of a policy add up to; a figure that one of them lacks is dropped."""

    kind: object = None
    errors: int = 0
    scores: list[float] = field(default_factory=list[float])
    sums: dict[str, list[float]] = field(default_factory=dict[str, list[float]])

    def add(self, record: Mapping[str, Any]) -> None:
        self.kind = record.get("kind")
        if not is_number(record.get("score")):
            self.errors += 1
            return
        self.scores.append(float(record["score"]))
        for name, value in _values(record).items():
            self.sums.setdefault(name, []).append(value)

    def row(self) -> dict[str, Any]:
        score, n = over_runs(self.scores), len(self.scores)
        sums = {name: math.fsum(of) for name, of in self.sums.items() if len(of) == n}
        found: dict[str, Any] = {"kind": self.kind, "n": n, "errors": self.errors}
        if score is not None:
            found |= {"accuracy": score.mean, "stderr": score.stderr}
        for name in ("request_rate", *_MEANS):
            if name in sums:
                found[name] = sums[name] / n
        ratios = {"visual_token_ratio": ("processed", "vanilla"), **_COSTS}
        for name, (ours, vanilla) in ratios.items():
            if ours in sums and sums.get(vanilla):
                found[name] = sums[ours] / sums[vanilla]
        return found


def rows_of_episodes(records: Iterable[Mapping[str, Any]]) -> tuple[list[dict[str, Any]], int]:
    """Rows as those of `summary.json`, and how many answers they are of.

    Without seconds, which depend on how many episodes ran at once, and without differences between
    policies. Of a sample that is there twice the last counts; records of other things do not.
    """
    last: dict[tuple[str, str, object], Mapping[str, Any]] = {}
    for at, record in enumerate(records):
        suite, policy = record.get("suite"), record.get("policy")
        if isinstance(suite, str) and isinstance(policy, str):
            name = record.get("id")
            last[suite, policy, name if isinstance(name, str) else at] = record
    found: dict[tuple[str, str, str], _Sums] = {}
    for (suite, policy, _), record in last.items():
        family = record.get("family")
        for of in ("all", family) if isinstance(family, str) else ("all",):
            found.setdefault((suite, policy, of), _Sums()).add(record)
    rows = [
        {"suite": suite, "policy": policy, "family": family, **sums.row()}
        | ({"kind": None} if family == "all" else {})
        for (suite, policy, family), sums in found.items()
    ]
    return rows, len(last)


def _values(record: Mapping[str, Any]) -> dict[str, float]:
    """The numbers of a record, by name."""
    ledger = record.get("ledger")
    held: dict[str, Any] = {**ledger} if isinstance(ledger, Mapping) else {}
    tokens = held.get("visual_tokens")
    held |= tokens if isinstance(tokens, Mapping) else {}
    requested = record.get("requested")
    wanted = {
        *("processed", "vanilla", *_MEANS),
        *(part for parts in _COSTS.values() for part in parts),
    }
    found = {name: float(held[name]) for name in wanted if is_number(held.get(name))}
    return found | ({"request_rate": float(requested)} if isinstance(requested, bool) else {})
