"""Evaluation runs as tables, as a report, and as JSON."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from visionthink.reports.evaluation_plots import Published, evaluation_plots
from visionthink.reports.evaluation_runs import (
    ALL,
    FIGURES,
    KINDS,
    OTHER,
    Comparison,
    Entry,
    EvaluationRun,
    compare,
    kind_of,
    notes,
)
from visionthink.reports.formatting import count, one_line
from visionthink.reports.report import NOTHING, Block, Heading, Line, Notes, Report, Table, texts
from visionthink.reports.run_groups import Estimate
from visionthink.reports.training_report import MAX_EPISODES, training_blocks
from visionthink.reports.training_runs import KINDS as QUESTIONS
from visionthink.reports.training_runs import TrainingRun

MAX_FAMILIES = 6  # if a suite has more families, they are not columns of the scores
_RUNS = ["run", "model", "suites", "seed", "at once", "started", "visionthink", "machine"]
_COSTS = ("visual_token_ratio", "flops_ratio", "seconds_per_sample", "seconds_alone")


# Tables


def columns(comparison: Comparison) -> list[tuple[str, str, tuple[str, ...]]]:
    """Columns of the scores, as head, suite and families: the suites; of a single one its kinds of
    questions, or its families if they are few.
    """
    if len(comparison.suites) > 1:
        return [(suite, suite, (ALL,)) for suite in comparison.suites]
    ((suite, families),) = comparison.suites.items()
    kinds = dict.fromkeys(kind for kind in families.values() if kind is not None)
    order = [k for k in QUESTIONS if k in kinds] + [k for k in kinds if k not in QUESTIONS]
    parts: list[tuple[str, str, tuple[str, ...]]] = []
    if len(order) > 1:
        parts = [(k, suite, tuple(f for f, of in families.items() if of == k)) for k in order]
    elif 1 < len(families) <= MAX_FAMILIES:
        parts = [(family, suite, (family,)) for family in families]
    return [*parts, (f"all of {suite}" if parts else suite, suite, (ALL,))]


def score_table(comparison: Comparison) -> Table:
    """Scores and costs of policies, as in the paper's Table 2."""
    parts = columns(comparison)
    many = len(comparison.suites) > 1
    heads = ["policy", *(f"{one_line(head)} %" for head, _, _ in parts)]
    heads += ["average %"] if many else []
    heads += ["visual tokens %", "FLOPs %", "seconds a sample", "n", "failed"]
    lines: list[Line] = []
    heading = ""
    for entry in comparison.entries:
        before, heading = heading, KINDS.get(kind_of(entry.policy), OTHER)[1]
        lines += [Line([heading], "heading")] if heading != before else []
        whole = [row for suite in comparison.suites for row in entry.of_suite(suite)]
        cells = [one_line(entry.title)]
        cells += [_score(entry.figure("accuracy", suite, of)) for _, suite, of in parts]
        cells += [""] if many else []
        ratios = ("visual_token_ratio", "flops_ratio")
        cells += [_percent(comparison.across(entry, name)) for name in ratios]
        cells.append(_seconds(comparison.across(entry, comparison.clock)))
        cells += [f"{sum(row.n for row in whole):,}", f"{sum(row.errors for row in whole):,}"]
        lines.append(Line(cells))
        shares = ["  of vanilla"]
        shares += [_percent(comparison.share(entry, suite, of=of)) for _, suite, of in parts]
        shares += [_percent(comparison.average(entry))] if many else []
        shares += ["", "", _percent(comparison.average(entry, comparison.clock)), "", ""]
        if any(cell not in ("", NOTHING) for cell in shares[1:]):
            lines.append(Line(shares, "shares"))
    return Table(heads, lines).without_empty_columns()


def cost_table(comparison: Comparison) -> Table:
    """Every cost of a sample, for each suite."""
    lines: list[Line] = []
    for suite in comparison.suites:
        lines += [Line([one_line(suite)], "heading")] if len(comparison.suites) > 1 else []
        for entry in comparison.entries:
            if rows := entry.of_suite(suite):
                cells = [form(entry.figure(name, suite)) for _, name, form in COLUMNS]
                n, failed = sum(row.n for row in rows), sum(row.errors for row in rows)
                numbers = [_versus(entry, suite), f"{n:,}", f"{failed:,}"]
                lines.append(Line([one_line(entry.title), *cells, *numbers]))
    heads = ["policy", *(head for head, _, _ in COLUMNS), "minus high", "n", "failed"]
    return Table(heads, lines).without_empty_columns()


def family_tables(comparison: Comparison) -> dict[str, Table]:
    """For each suite that has families: accuracy of each policy, and its requests where it makes
    some.
    """
    tables: dict[str, Table] = {}
    for suite, families in comparison.suites.items():
        if len(families) < 2:
            continue
        heads = ["family"]
        rows = [[one_line(f"{f} ({kind})" if kind else f)] for f, kind in families.items()]
        for entry in comparison.entries:
            found = [entry.figure("accuracy", suite, (family,)) for family in families]
            if not any(found):
                continue
            heads.append(f"{one_line(entry.label)} %")
            for row, figure in zip(rows, found, strict=True):
                row.append(_score(figure))
            rate = entry.figure("request_rate", suite)
            if rate is not None and 0 < rate.mean < 1:
                heads.append(f"{one_line(entry.label)} requests %")
                for row, family in zip(rows, families, strict=True):
                    row.append(_share(entry.figure("request_rate", suite, (family,))))
        tables[suite] = Table(heads, [Line(row) for row in rows])
    return tables


def run_table(comparison: Comparison) -> Table:
    """What was run, and where."""
    lines: list[Line] = []
    for run in comparison.runs:
        config, environment = run.folder.config, run.folder.environment
        parts = (environment.get("machine"), environment.get("packages"))
        machine, packages = (part if isinstance(part, Mapping) else {} for part in parts)
        suites = ", ".join(dict.fromkeys(row.suite for row in run.rows))
        cells = [run.name, config.get("model"), suites, config.get("seed")]
        cells += [config.get("concurrency"), str(environment.get("started") or "")[:10]]
        cells += [packages.get("visionthink"), machine.get("gpu") or machine.get("cpu")]
        texts = [NOTHING if cell in (None, "") else one_line(str(cell)) for cell in cells]
        lines.append(Line(texts))
    return Table(_RUNS, lines)


# Cells


def _score(figure: Estimate | None) -> str:
    return NOTHING if figure is None else figure.text()


def _share(figure: Estimate | None) -> str:
    """As a score where runs differ, so that the interval says by how much."""
    differ = figure is not None and figure.n > 1 and (figure.stderr or 0) >= 0.0005
    return _score(figure) if differ else _percent(figure)


def _number(form: str, scale: float = 1) -> Callable[[Estimate | float | None], str]:
    def text(value: Estimate | float | None) -> str:
        mean = value.mean if isinstance(value, Estimate) else value
        return NOTHING if mean is None else f"{mean * scale:{form}}"

    return text


_percent, _seconds, _tokens = _number(".1f", 100), _number(".3g"), _number(",.1f")

COLUMNS: Sequence[tuple[str, str, Callable[[Estimate | None], str]]] = (
    ("requests %", "request_rate", _share),
    ("visual tokens %", "visual_token_ratio", _share),
    ("replaced: tokens %", "visual_token_ratio_replaced", _share),
    ("FLOPs %", "flops_ratio", _percent),
    ("paper's FLOPs %", "paper_flops_ratio", _percent),
    ("prompt tokens", "prompt_tokens", _tokens),
    ("generated tokens", "completion_tokens", _tokens),
    ("seconds a sample", "seconds_per_sample", _seconds),
    ("seconds alone", "seconds_alone", _seconds),
    ("memory MiB", "peak_memory", _number(",.0f", 2**-20)),
    ("F1 %", "f1", _score),
)
"""Columns of the costs: head, figure, form."""


def _versus(entry: Entry, suite: str) -> str:
    found = entry.versus(suite)
    if found is None:
        return NOTHING
    figure, interval = found
    sign = "+" if figure.mean >= 0 else ""
    if interval is None:
        return sign + figure.text()
    low, high = interval
    return f"{figure.mean * 100:+.1f} ({low * 100:+.1f} to {high * 100:+.1f})"


# The report


def evaluation_report(
    evaluations: Sequence[EvaluationRun],
    *,
    trainings: Sequence[TrainingRun] = (),
    by: str | None = None,
    episodes: int = MAX_EPISODES,
    figures: Published | None = None,
) -> Report:
    """The report of evaluation runs; training runs that are named beside them come below.

    The page shows at most `episodes` of evaluations, and as many of trainings; `figures` are
    published ones, drawn beside those measured. `by` and errors are those of `training_report`.
    """
    from visionthink.reports.gallery import choose, evaluation_gallery

    comparison = compare(evaluations)
    suites = [one_line(suite) for suite in comparison.suites]
    policies = len({entry.policy for entry in comparison.entries})
    asked = "1 policy" if policies == 1 else f"{policies} policies"
    summary = f"{count(len(evaluations), 'run')}, {count(len(suites), 'suite')}, {asked}"
    about = ["scores", *(["averages"] if len(suites) > 1 else [])]
    about.append("over runs" if comparison.pooled else "over samples")
    found = notes(comparison)
    blocks: list[Block] = [Notes(found)] if found else []
    blocks += [Heading("Scores"), score_table(comparison), " ".join(texts()[of] for of in about)]
    blocks += [Heading("Plots"), *evaluation_plots(comparison, figures)]
    blocks += [Heading("Cost per sample"), cost_table(comparison), texts()["costs"]]
    for suite, table in family_tables(comparison).items():
        blocks += [Heading(f"By family: {suite}"), table]
    if samples := choose(evaluations, episodes):
        blocks += [Heading("Episodes"), evaluation_gallery(samples)]
    blocks += [Heading("Runs"), run_table(comparison)]
    if trainings:
        blocks += [Heading("Training runs"), *training_blocks(trainings, by, episodes)]
    title = f"Evaluation: {', '.join(suites)}" if len(suites) <= 3 else "Evaluation"
    return Report(title, summary, blocks)


# For machines


def evaluation_json(comparison: Comparison) -> dict[str, Any]:
    """The object that `report --json` has as "evaluation".

    "rows" has every policy of every system on every family, with means over runs; "policies" has
    the means over all suites, null where one is missing. "of_vanilla" is accuracy over vanilla's.
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
            }
            | {name: comparison.across(entry, name) for name in _COSTS}
            for entry in comparison.entries
        ],
        "rows": [
            _row_json(comparison, entry, suite, family)
            for entry in comparison.entries
            for suite, families in comparison.suites.items()
            for family in (*families, ALL)
            if any((suite, family) in rows for rows in entry.held)
        ],
    }


def _row_json(comparison: Comparison, entry: Entry, suite: str, family: str) -> dict[str, Any]:
    held = [rows[suite, family] for rows in entry.held if (suite, family) in rows]
    figures = {name: entry.figure(name, suite, (family,)) for name in FIGURES if name != "stderr"}
    found: dict[str, Any] = {
        **{"system": entry.system, "suite": suite, "family": family, "kind": held[0].kind},
        **{"policy": entry.policy, "runs": len(held), "n": sum(row.n for row in held)},
        "errors": sum(row.errors for row in held),
        **{name: figure and figure.to_json() for name, figure in figures.items()},
    }
    if family == ALL:
        versus = entry.versus(suite)
        found["of_vanilla"] = comparison.share(entry, suite)
        found["vs_high"] = versus and {**versus[0].to_json(), "interval": versus[1]}
    return found
