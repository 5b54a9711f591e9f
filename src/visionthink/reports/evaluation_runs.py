"""Evaluation runs: their rows, and the policies of several runs side by side.

A run that is not finished has no rows yet; they are computed from the episodes so far, as the
evaluation does it. A *system* is a model and how it was asked: runs whose configs differ in seeds
and places only. An *entry* is one of its policies. Vanilla, which is 100 %, is the policy `high` of
the same system (or the first `high:PROFILE`); for a system without it, that of the only other one
that has it.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeGuard

from visionthink.core.errors import RunError
from visionthink.core.means import mean
from visionthink.reports.formatting import count
from visionthink.reports.run_groups import (
    Estimate,
    differing,
    is_number,
    named,
    over_runs,
    share_over_runs,
    together,
)
from visionthink.runs.folder import EPISODES_FILE, METRICS_FILE, SUMMARY, RunFolder, flatten

ALL = "all"  # the family that stands for a whole suite
FIGURES = (
    *("accuracy", "stderr", "f1", "request_rate"),
    *("visual_token_ratio", "visual_token_ratio_replaced", "flops_ratio", "paper_flops_ratio"),
    *("prompt_tokens", "completion_tokens"),
    *("seconds_per_sample", "seconds_alone", "peak_memory"),
)
SHARES = {"accuracy", "request_rate"}
"""Figures that are means of samples from 0 to 1, and so have an interval."""
INTERVAL = ("difference", "low", "high")
_SCOPE = {"suites", "policies", "gallery", "max_failures"}
"""Config keys that say what was asked and what is kept, not how a model was asked."""
_SEED = re.compile(r"(?i)(?<![a-z0-9])seed[-_=]?\d+(?![a-z0-9])")


@dataclass(frozen=True)
class Row:
    """One policy on one family of a suite, or on all of it.

    `figures` has those of `FIGURES` that are known; `versus` is the difference from `high` in
    accuracy and its interval, as in `INTERVAL`.
    """

    suite: str
    family: str
    kind: str | None
    policy: str
    n: int
    errors: int
    figures: Mapping[str, float]
    versus: tuple[float, ...] | None = None


@dataclass(frozen=True)
class EvaluationRun:
    """An evaluation run as it was read. `config` is flat, without the keys that only say which
    questions were asked by which policies; seeds in the names of models are made equal.

    `notes` say what is wrong or missing.
    """

    name: str
    folder: RunFolder
    config: Mapping[str, Any]
    rows: tuple[Row, ...]
    notes: tuple[str, ...] = ()


def is_evaluation(path: str | os.PathLike[str]) -> bool:
    """Whether a folder holds an evaluation, finished or not. Raises RunError: there is no run, or
    its episodes are broken.
    """
    folder = RunFolder.open(path)
    for name in (SUMMARY, METRICS_FILE):
        if (folder.path / name).exists():
            return name == SUMMARY
    first = next(folder.episodes(), None)
    return "policies" in folder.config if first is None else "policy" in first


def read_evaluations(paths: Sequence[str | os.PathLike[str]]) -> list[EvaluationRun]:
    """Read run folders; one that is named twice counts once. Raises RunError: a folder is not a
    run, is broken, or holds no answer yet.
    """
    return [_read(path, name) for path, name in named(paths)]


def _read(path: Path, name: str) -> EvaluationRun:
    folder = RunFolder.open(path)
    notes: list[str] = []
    lines = folder.summary
    if not lines:
        lines, answers, broken = rows_so_far(folder)
        if not lines:
            what = f"holds no answer yet, neither {SUMMARY} nor {EPISODES_FILE}"
            raise RunError(f"{path} {what}; resume it (visionthink eval … --resume)")
        of = f"there is no {SUMMARY}, and its figures are of the {answers:,} answers so far"
        notes.append(f"{name} is not finished: {of}")
        if broken:
            notes.append(f"{name}: left out {count(broken, 'broken line')} of {EPISODES_FILE}")
    found: dict[tuple[str, str, str], Row] = {}
    for at, line in enumerate(lines, 1):
        where = f"{path / SUMMARY}, row {at}"
        row = _row(line, where)
        if found.setdefault((row.suite, row.family, row.policy), row) is not row:
            same = f"suite {row.suite}, family {row.family}, policy {row.policy}"
            raise RunError(f"{where}: a second one of {same}; remove one of them")
    rows = tuple(found.values())
    flat = flatten({k: v for k, v in folder.config.items() if k not in _SCOPE})
    config = {k: _SEED.sub("seed", v) if isinstance(v, str) else v for k, v in flat.items()}
    return EvaluationRun(name, folder, config, rows, (*notes, *_gaps(name, rows)))


def rows_so_far(folder: RunFolder) -> tuple[list[dict[str, Any]], int, int]:
    """The rows that `summary.json` would have now, the number of answers, and of broken lines.

    Of a sample that is there twice the last line counts; lines of something else do not.
    """
    # Imported here: a finished run does not need what an evaluation needs.
    from visionthink.evaluation.policies import Policy
    from visionthink.evaluation.summary import Sample, summarise

    found: dict[tuple[str, str, object], Sample] = {}
    broken = 0
    for record in folder.episodes():
        if not isinstance(record.get("suite"), str) or not isinstance(record.get("policy"), str):
            continue
        try:
            sample = Sample.of(record)
            found[sample.suite, sample.policy, sample.id] = replace(
                sample, score=None if sample.score is None else float(sample.score)
            )
        except (KeyError, TypeError, ValueError, AttributeError):
            broken += 1
    names = dict.fromkeys(policy for _, policy, _ in found)
    policies = [Policy(name, "high" if kind_of(name) == VANILLA else "low") for name in names]
    at_once = folder.config.get("concurrency")
    metrics = {suite: "auto" for suite, _, _ in found}
    at_once = at_once if _is_count(at_once) and at_once else 1
    try:
        return summarise(found.values(), metrics, policies, concurrency=at_once), len(found), broken
    except (TypeError, ValueError) as error:
        raise RunError(f"cannot summarise {folder.path / EPISODES_FILE}: {error}") from error


def _row(line: Mapping[str, Any], where: str) -> Row:
    """Raises RunError: what makes a row is missing or of another type."""
    for key in ("suite", "family", "policy"):
        if not isinstance(line.get(key), str):
            raise RunError(f"{where}: {key!r} must be a text; mend or remove that row")
    n, errors, kind = line.get("n"), line.get("errors", 0), line.get("kind")
    if not _is_count(n) or not _is_count(errors):
        raise RunError(f"{where}: 'n' and 'errors' must be counts; mend or remove that row")
    kind = kind if isinstance(kind, str) else None
    figures = {key: float(line[key]) for key in FIGURES if is_number(line.get(key))}
    versus = line.get("vs_high")
    held = [versus.get(key) for key in INTERVAL] if isinstance(versus, Mapping) else []
    interval = tuple(value for value in held if is_number(value))
    names = line["suite"], line["family"], kind, line["policy"]
    return Row(*names, n, errors, figures, interval if len(interval) == len(INTERVAL) else None)


def _is_count(value: object) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _gaps(name: str, rows: Sequence[Row]) -> Iterator[str]:
    """What is wrong with rows that can be read."""
    for suite in dict.fromkeys(row.suite for row in rows):
        whole = {row.policy: row for row in rows if (row.suite, row.family) == (suite, ALL)}
        policies = dict.fromkeys(row.policy for row in rows if row.suite == suite)
        if lacking := ", ".join(policy for policy in policies if policy not in whole):
            yield f"{name}: {suite} has no row of the family {ALL} for {lacking}"
        if blank := ", ".join(p for p, row in whole.items() if "accuracy" not in row.figures):
            yield f"{name}: no answer to {suite} was scored with {blank}"
        asked = {policy: row.n + row.errors for policy, row in whole.items()}
        failed = [
            f"{row.errors:,} of {asked[p]:,} with {p}" for p, row in whole.items() if row.errors
        ]
        if failed:
            out = "failed and are left out of the means"
            yield f"{name}: samples of {suite} {out}: {', '.join(failed)}"
        least, most = min(asked.values(), default=0), max(asked.values(), default=0)
        if least < most:
            asked_of = f"({least:,} to {most:,} samples)"
            yield f"{name}: not every policy was asked all of {suite} {asked_of}"


# Policies side by side

VANILLA = "high"


KINDS = {
    "high": ("Vanilla", "The original"),
    "low": ("Down-sample", "The small image"),
    "fastv": ("FastV", "A fixed share of the tokens"),
    "sparsevlm": ("SparseVLM", "A fixed share of the tokens"),
    "visionzip": ("VisionZip", "A fixed share of the tokens"),
    "auto": ("VisionThink", "The model decides"),
    "random": ("Requests at random", "For reference"),
    "oracle": ("Oracle", "For reference"),
}
"""Kinds of policies by what their names begin with, in the order of the tables: their names, and
their headings there.
"""
OTHER = ("", "Other")


def kind_of(policy: str) -> str:
    """The key of `KINDS` that a policy belongs to; empty if none."""
    head = policy.partition(":")[0].partition("+")[0]
    return head if head in KINDS else ""


Rows = Mapping[tuple[str, str], Row]  # of one policy of one run, by suite and family


@dataclass(frozen=True)
class Entry:
    """One policy of one system. `held` are its rows in each run that has it."""

    system: str
    policy: str
    held: tuple[Rows, ...]
    alone: bool
    """Whether there is only one system, so that labels leave it out."""

    @property
    def label(self) -> str:
        return self.policy if self.alone else f"{self.policy}, {self.system}"

    @property
    def title(self) -> str:
        """With the name that readers know: `Vanilla (high)`."""
        kind, _ = KINDS.get(kind_of(self.policy), OTHER)
        return f"{kind} ({self.label})" if kind else self.label

    def figure(self, name: str, suite: str, of: Sequence[str] = (ALL,)) -> Estimate | None:
        """The mean of a figure over the runs, and its standard error: over runs if there are
        several, else over samples, which only accuracies have; of shares of samples with an
        interval. Several families of a run are weighted by their samples. None if no run has it.
        """
        parts = [[rows[suite, f] for f in of if (suite, f) in rows] for rows in self.held]
        known = [found for rows in parts if (found := _weighted(name, rows)) is not None]
        values = [(value, n) for value, _, n in known]
        pooled = share_over_runs(values) if name in SHARES else over_runs([v for v, _ in values])
        if pooled is None or len(known) > 1:
            return pooled
        return replace(pooled, stderr=known[0][1])

    def versus(self, suite: str) -> tuple[Estimate, tuple[float, float] | None] | None:
        """The difference in accuracy from `high` of the same run; of a single run with its 95 %
        interval, which the mean over several runs has not.
        """
        known = [row.versus for row in self.of_suite(suite) if row.versus is not None]
        found = over_runs([difference for difference, *_ in known])
        if found is None:
            return None
        return found, (known[0][1], known[0][2]) if len(known) == 1 else None

    def of_suite(self, suite: str) -> list[Row]:
        """Its rows of a whole suite, one a run."""
        return [rows[suite, ALL] for rows in self.held if (suite, ALL) in rows]


def labels(entries: Sequence[Entry]) -> list[str]:
    """What tells entries apart: their policies, and their systems if there are several."""
    many = len({entry.system for entry in entries}) > 1
    return [entry.label if many else entry.policy for entry in entries]


def _weighted(name: str, rows: Sequence[Row]) -> tuple[float, float | None, int] | None:
    """The mean of a figure over rows of one run, weighted by their samples; of accuracies with its
    standard error, sqrt(sum (n_i s_i)²) / sum n_i; and the number of samples.
    """
    known = [row for row in rows if name in row.figures and row.n]
    total = sum(row.n for row in known)
    if not total:
        return None
    value = math.fsum(row.n * row.figures[name] for row in known) / total
    errors = [row.n * row.figures["stderr"] for row in known if "stderr" in row.figures]
    if name != "accuracy" or len(errors) < len(known):
        return value, None, total
    return value, math.hypot(*errors) / total, total


def _mean_of_all(values: Sequence[float | None]) -> float | None:
    """The mean; None if one of them is missing."""
    held = [value for value in values if value is not None]
    return mean(held) if len(held) == len(values) else None


@dataclass(frozen=True)
class Comparison:
    """Entries side by side. `suites` maps suites to their families and these to their kinds;
    `systems` has the runs of each.
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
        """The figure of seconds: of samples asked alone where all runs have it."""
        every = [(entry, suite) for entry in self.entries for suite in self.suites]
        timed = [(e, suite) for e, suite in every if e.figure("seconds_per_sample", suite)]
        alone = all(entry.figure("seconds_alone", suite) for entry, suite in timed)
        return "seconds_alone" if alone else "seconds_per_sample"

    def vanilla(self, entry: Entry, suite: str) -> Entry | None:
        """The entry that is 100 % for this one."""
        high = [
            e for e in self.entries if kind_of(e.policy) == VANILLA and e.figure("accuracy", suite)
        ]
        found = {e.system: e for e in reversed(high)}  # of several the first, plain `high`
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

    def average(
        self, entry: Entry, name: str = "accuracy", suites: Iterable[str] | None = None
    ) -> float | None:
        """The unweighted mean of a figure over vanilla's; None if it lacks one of the suites."""
        return _mean_of_all([self.share(entry, suite, name) for suite in suites or self.suites])

    def across(self, entry: Entry, name: str, suites: Iterable[str] | None = None) -> float | None:
        """The unweighted mean of a figure over the suites; None if it lacks one of them."""
        found = [entry.figure(name, suite) for suite in suites or self.suites]
        return _mean_of_all([figure and figure.mean for figure in found])


def compare(runs: Sequence[EvaluationRun]) -> Comparison:
    """Runs side by side: their entries in the order of `KINDS`, those of one kind as they came."""
    systems = dict(together(runs, by_config=True))
    entries: list[Entry] = []
    suites: dict[str, dict[str, str | None]] = {}
    for label, of in systems.items():
        for policy in dict.fromkeys(row.policy for run in of for row in run.rows):
            held = [{(r.suite, r.family): r for r in run.rows if r.policy == policy} for run in of]
            rows = tuple(of_run for of_run in held if of_run)
            entries.append(Entry(label, policy, rows, alone=len(systems) == 1))
    order = [*KINDS, ""]
    entries.sort(key=lambda of: (order.index(kind_of(of.policy)), of.policy not in KINDS))
    for row in (row for run in runs for row in run.rows):
        families = suites.setdefault(row.suite, {})
        families |= {row.family: row.kind} if row.family != ALL else {}
    return Comparison(tuple(runs), systems, tuple(entries), suites)


def notes(comparison: Comparison) -> list[str]:
    """What a reader must know about the figures: gaps, means over runs, and which run is 100 %."""
    found = [note for run in comparison.runs for note in run.notes]
    for suite in comparison.suites:
        for label, runs in comparison.systems.items():
            held = [run for run in runs if any(row.suite == suite for row in run.rows)]
            of = "" if len(comparison.systems) == 1 else f" of {label}"
            if len(held) > 1:
                named = ", ".join(run.name for run in held)
                found.append(f"{suite}: means over {len(held)} runs{of}: {named}")
            if keys := differing([replace(run, config=_asked(run, suite)) for run in held]):
                found.append(f"{suite}: these runs differ in the options {', '.join(keys)}")
            ours = [entry for entry in comparison.entries if entry.system == label]
            scored = [entry for entry in ours if entry.figure("accuracy", suite)]
            vanilla = comparison.vanilla(scored[0], suite) if scored else None
            if scored and vanilla is None:
                found.append(f"{suite}: nothing is 100 %{of}, because there is no policy high")
            elif vanilla is not None and vanilla.system != label:
                found.append(f"{suite}: 100 %{of} is high of {vanilla.system}")
    return found


def _asked(run: EvaluationRun, suite: str) -> dict[str, Any]:
    """The options of a suite in a run."""
    suites = run.folder.config.get("suites")
    held = suites.get(suite) if isinstance(suites, Mapping) else None
    return flatten(held) if isinstance(held, Mapping) else {}
