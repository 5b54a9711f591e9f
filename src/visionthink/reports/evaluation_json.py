"""Evaluation runs side by side, for machines."""

from __future__ import annotations

from typing import Any

from visionthink.reports.comparison import Comparison, Entry, notes
from visionthink.reports.evaluation import ALL, FIGURES
from visionthink.reports.grouping import Estimate

_COSTS = ("visual_token_ratio", "flops_ratio", "seconds_per_sample", "seconds_alone")


def evaluation_json(comparison: Comparison) -> dict[str, Any]:
    """The object that `report --json` has as "evaluation".

    "rows" has every policy of every system on every family, with means over runs; "policies" what
    each comes to over all suites, null where it lacks one. "of_vanilla" is accuracy over vanilla's.
    """
    return {
        "notes": notes(comparison),
        "runs": [
            {"name": run.name, "path": str(run.folder.path), "notes": list(run.notes)}
            for run in comparison.runs
        ],
        "systems": {label: [run.name for run in of] for label, of in comparison.systems.items()},
        "policies": [
            {
                "system": entry.system,
                "policy": entry.policy,
                "of_vanilla": comparison.average(entry),
                **{name: comparison.across(entry, name) for name in _COSTS},
            }
            for entry in comparison.entries
        ],
        "rows": [
            _row(comparison, entry, suite, family)
            for entry in comparison.entries
            for suite, families in comparison.suites.items()
            for family in (*families, ALL)
            if any((suite, family) in rows for rows in entry.held)
        ],
    }


def _row(comparison: Comparison, entry: Entry, suite: str, family: str) -> dict[str, Any]:
    held = [rows[suite, family] for rows in entry.held if (suite, family) in rows]
    figures = {name: entry.figure(name, suite, (family,)) for name in FIGURES if name != "stderr"}
    found: dict[str, Any] = {
        "system": entry.system,
        "suite": suite,
        "family": family,
        "kind": held[0].kind,
        "policy": entry.policy,
        "runs": len(held),
        "n": sum(row.n for row in held),
        "errors": sum(row.errors for row in held),
        **{name: _plain(figure) for name, figure in figures.items()},
    }
    if family == ALL:
        versus = entry.versus(suite)
        found["of_vanilla"] = comparison.share(entry, suite)
        found["vs_high"] = None
        if versus is not None:
            figure, interval = versus
            found["vs_high"] = {**_of(figure), "interval": interval}
    return found


def _plain(figure: Estimate | None) -> dict[str, Any] | None:
    return None if figure is None else _of(figure)


def _of(figure: Estimate) -> dict[str, Any]:
    return {"mean": figure.mean, "stderr": figure.stderr, "n": figure.n}
