"""Policies side by side: what each of them came to on each suite, over runs that belong together.

A *system* is a model and how it was asked: runs whose configs differ in seeds and places only. An
*entry* is one of its policies. Vanilla, which is 100 %, is the policy `high` (or the first with the
originals and other prompts) of the same system; for a system without it, that of the only other
system that has it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from visionthink.reports.evaluation import ALL, EvaluationRun, Row, families
from visionthink.reports.grouping import Estimate, differing, mean_of_all, over_runs, together
from visionthink.runs.folder import flatten

VANILLA = "high"


class Kind(NamedTuple):
    """A sort of policy: its name, and the heading under which tables have it."""

    title: str
    heading: str


_WHOLE, _SMALL, _SHARE = "The original", "The small image", "A fixed share of the tokens"
_ITSELF, _BESIDE = "The model decides", "For reference"
KINDS = {
    "high": Kind("Vanilla", _WHOLE),
    "low": Kind("Down-sample", _SMALL),
    "fastv": Kind("FastV", _SHARE),
    "sparsevlm": Kind("SparseVLM", _SHARE),
    "visionzip": Kind("VisionZip", _SHARE),
    "auto": Kind("VisionThink", _ITSELF),
    "random": Kind("Requests at random", _BESIDE),
    "oracle": Kind("Oracle", _BESIDE),
}
"""Sorts of policies by what their names begin with, in the order of the tables."""
OTHER = Kind("", "Other")


def kind_of(policy: str) -> str:
    """The key of `KINDS` that a policy belongs to; empty if none."""
    head = policy.partition(":")[0].partition("+")[0]
    return head if head in KINDS else ""


Rows = Mapping[tuple[str, str], Row]
"""Of one policy of one run, by suite and family."""


@dataclass(frozen=True)
class Entry:
    """One policy of one system. `held` are its rows in each run that has it."""

    system: str
    policy: str
    held: tuple[Rows, ...]
    alone: bool
    """Whether there is one system only, so that it need not be named."""

    @property
    def label(self) -> str:
        return self.policy if self.alone else f"{self.policy}, {self.system}"

    @property
    def title(self) -> str:
        """With the name that readers know: `Vanilla (high)`."""
        kind = KINDS.get(kind_of(self.policy), OTHER).title
        return f"{kind} ({self.label})" if kind else self.label

    def figure(self, name: str, suite: str, of: Sequence[str] = (ALL,)) -> Estimate | None:
        """The mean of a figure over the runs, and its standard error: over runs if there are
        several, else over samples, which only accuracies have. Several families of a run are
        weighted by their samples. None if no run has it.
        """
        found = [
            _weighted(name, [rows[suite, f] for f in of if (suite, f) in rows])
            for rows in self.held
        ]
        known = [value for value in found if value is not None]
        pooled = over_runs([value for value, _ in known])
        if pooled is None or len(known) > 1:
            return pooled
        return Estimate(pooled.mean, known[0][1], 1)

    def versus(self, suite: str) -> tuple[Estimate, tuple[float, float] | None] | None:
        """The difference in accuracy from `high` of the same run; of a single run with the interval
        that it lies in.
        """
        known = [row.versus for row in self.of_suite(suite) if row.versus is not None]
        found = over_runs([difference for difference, _, _ in known])
        if found is None:
            return None
        return found, (known[0][1], known[0][2]) if len(known) == 1 else None

    def scored(self, suite: str) -> bool:
        return self.figure("accuracy", suite) is not None

    def of_suite(self, suite: str) -> list[Row]:
        """Its rows of a whole suite, one a run."""
        return [rows[suite, ALL] for rows in self.held if (suite, ALL) in rows]


def labels(entries: Sequence[Entry]) -> list[str]:
    """What tells entries apart: their policies, and their systems if these are several."""
    if len({entry.system for entry in entries}) == 1:
        return [entry.policy for entry in entries]
    return [entry.label for entry in entries]


def _weighted(name: str, rows: Sequence[Row]) -> tuple[float, float | None] | None:
    """The mean of a figure over rows of one run, weighted by their samples; of accuracies with its
    standard error, sqrt(sum (n_i s_i)²) / sum n_i.
    """
    known = [row for row in rows if name in row.figures and row.n]
    total = sum(row.n for row in known)
    if not total:
        return None
    value = math.fsum(row.n * row.figures[name] for row in known) / total
    errors = [row.n * row.figures["stderr"] for row in known if "stderr" in row.figures]
    if name != "accuracy" or len(errors) < len(known):
        return value, None
    return value, math.hypot(*errors) / total


@dataclass(frozen=True)
class Comparison:
    """Everything that is compared. `suites` has the families of each, with their kinds; `systems`
    the runs of each.
    """

    runs: tuple[EvaluationRun, ...]
    systems: dict[str, tuple[EvaluationRun, ...]]
    entries: tuple[Entry, ...]
    suites: dict[str, dict[str, str | None]]

    @property
    def pooled(self) -> bool:
        """Whether any figure is a mean over runs."""
        return any(len(e.of_suite(suite)) > 1 for e in self.entries for suite in self.suites)

    @property
    def clock(self) -> str:
        """The figure that tells times: of samples asked alone where all have it."""
        timed = [
            (entry, suite)
            for entry in self.entries
            for suite in self.suites
            if entry.figure("seconds_per_sample", suite)
        ]
        alone = all(entry.figure("seconds_alone", suite) for entry, suite in timed)
        return "seconds_alone" if alone else "seconds_per_sample"

    def vanilla(self, entry: Entry, suite: str) -> Entry | None:
        """The entry that is 100 % for this one."""
        found = {
            other.system: other
            for other in reversed(self.entries)  # of several the first, plain `high` before others
            if kind_of(other.policy) == VANILLA and other.scored(suite)
        }
        others = list(found.values())
        return found.get(entry.system) or (others[0] if len(others) == 1 else None)

    def share(
        self, entry: Entry, suite: str, name: str = "accuracy", of: Sequence[str] = (ALL,)
    ) -> float | None:
        """A figure of a suite, or of some of its families, over that of vanilla."""
        vanilla = self.vanilla(entry, suite)
        ours = entry.figure(name, suite, of)
        theirs = None if vanilla is None else vanilla.figure(name, suite, of)
        return ours.mean / theirs.mean if ours and theirs and theirs.mean > 0 else None

    def average(self, entry: Entry, name: str = "accuracy") -> float | None:
        """The unweighted mean of a figure over vanilla's; None if it lacks one of the suites."""
        return mean_of_all([self.share(entry, suite, name) for suite in self.suites])

    def across(self, entry: Entry, name: str) -> float | None:
        """The unweighted mean of a figure over the suites; None if it lacks one of them."""
        found = [entry.figure(name, suite) for suite in self.suites]
        return mean_of_all([figure and figure.mean for figure in found])


def compare(runs: Sequence[EvaluationRun]) -> Comparison:
    """Runs side by side: their entries in the order of `KINDS`, equal sorts as they came."""
    systems = dict(together(runs))
    entries = [
        entry for label, of in systems.items() for entry in _entries(label, of, len(systems) == 1)
    ]
    order = [*KINDS, ""]
    entries.sort(key=lambda of: (order.index(kind_of(of.policy)), of.policy not in KINDS))
    rows = [row for run in runs for row in run.rows]
    return Comparison(
        runs=tuple(runs),
        systems=systems,
        entries=tuple(entries),
        suites={suite: families(rows, suite) for suite in dict.fromkeys(row.suite for row in rows)},
    )


def _entries(label: str, runs: Sequence[EvaluationRun], alone: bool) -> list[Entry]:
    policies = dict.fromkeys(row.policy for run in runs for row in run.rows)
    found: list[Entry] = []
    for policy in policies:
        held = [{(r.suite, r.family): r for r in run.rows if r.policy == policy} for run in runs]
        found.append(Entry(label, policy, tuple(rows for rows in held if rows), alone))
    return found


def notes(comparison: Comparison) -> list[str]:
    """What a reader must know about the figures: gaps, pools, and where 100 % is from."""
    found = [note for run in comparison.runs for note in run.notes]
    for suite in comparison.suites:
        for label, runs in comparison.systems.items():
            held = [run for run in runs if any(row.suite == suite for row in run.rows)]
            of = "" if len(comparison.systems) == 1 else f" of {label}"
            if len(held) > 1:
                named = ", ".join(run.name for run in held)
                found.append(f"{suite}: means over {len(held)} runs{of}: {named}")
            if keys := differing([replace(run, config=_asked(run, suite)) for run in held]):
                found.append(
                    f"{suite}: these runs were not asked alike: they differ in {', '.join(keys)}"
                )
            scored = [e for e in comparison.entries if e.system == label and e.scored(suite)]
            vanilla = comparison.vanilla(scored[0], suite) if scored else None
            if scored and vanilla is None:
                found.append(f"{suite}: nothing is 100 %{of}, for there is no policy high")
            elif vanilla is not None and vanilla.system != label:
                found.append(f"{suite}: 100 %{of} is high of {vanilla.system}")
    return found


def _asked(run: EvaluationRun, suite: str) -> dict[str, Any]:
    """What a suite was in a run."""
    suites = run.folder.config.get("suites")
    held = suites.get(suite) if isinstance(suites, Mapping) else None
    return flatten(held) if isinstance(held, Mapping) else {}
