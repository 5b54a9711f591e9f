"""Training runs as tables, as a report with curves and sample episodes, and as JSON."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from visionthink.core.rewards import FORMER_NAMES, RULES
from visionthink.reports.formatting import count, one_line
from visionthink.reports.plotting import (
    Bars,
    Curve,
    HeatMap,
    Panel,
    Plot,
    bar_plot,
    drawing,
    heat_map_plot,
    line_plot,
    style,
)
from visionthink.reports.report import NOTHING, Block, Heading, Line, Report, Table, texts
from visionthink.reports.run_groups import differing, is_number
from visionthink.reports.training_runs import (
    FIGURES,
    KINDS,
    Group,
    TrainingRun,
    bin_width,
    curve,
    estimate,
    group,
    kinds,
    leaves,
    r_histogram,
    settings,
)

MAX_EPISODES = 48
MAX_POINTS = 150
MAX_HEAT_MAPS = 6
Sweep = tuple[str, Sequence[Group]]  # a config key and the runs by its values


# Tables


def final_table(groups: Sequence[Group]) -> Table:
    """A row for each run, and below them one for each group of several."""
    runs = [run for of_group in groups for run in of_group.runs]
    lines = [_line(run.name, f"{len(run.steps):,}", [run]) for run in runs]
    for of in groups:
        if len(of.runs) > 1:
            lines.append(_line(f"{of.label} ({len(of.runs)} runs)", "", of.runs))
    return _table("run", "steps", lines)


def sweep_table(settings: Sequence[Group], key: str) -> Table:
    """Final figures for each value of a config key, over all runs that have it."""
    return _table(key, "runs", [_line(of.label, str(len(of.runs)), of.runs) for of in settings])


def _table(first: str, second: str, lines: list[Line]) -> Table:
    heads = [one_line(first), second, *(head for _, head in FIGURES.values())]
    return Table(heads, lines).without_empty_columns()


def _line(label: str, number: str, runs: Sequence[TrainingRun]) -> Line:
    cells = [one_line(label), number]
    for name, (key, _) in FIGURES.items():
        found = estimate(runs, key)
        scale = (1, 3) if name in ("format", "reward") else (100, 1)  # those are not shares
        cells.append(found.text(*scale) if found else NOTHING)
    return Line(cells)


def family_table(groups: Sequence[Group]) -> Table | None:
    """Final request rate by family, a column for each group; None if there are no families."""
    stem = "episode/request_rate/family/"
    lines: list[Line] = []
    for family in leaves(groups, stem):
        found = [estimate(of.runs, f"{stem}{family}") for of in groups]
        lines.append(Line([one_line(family), *(it.text() if it else NOTHING for it in found)]))
    heads = ["requests by family, %", *(one_line(of.label) for of in groups)]
    return Table(heads, lines) if lines else None


def sweep_warning(settings: Sequence[Group], key: str) -> str:
    """Other keys in which the runs of a sweep differ, and which may be the cause."""
    others = [k for k in differing(r for of in settings for r in of.runs) if k != key]
    return f"these runs also differ in {', '.join(others)}" if others else ""


# The report


def training_report(
    runs: Sequence[TrainingRun], *, by: str | None = None, episodes: int = MAX_EPISODES
) -> Report:
    """The report of training runs, with at most `episodes` sample episodes of all runs together.

    `by` is a config key: final figures are also shown for each of its values.

    Raises:
        MissingExtraError, UsageError, RunError: matplotlib is not installed; a run has no such key;
            the episodes of a run are broken.
    """
    title = "Training runs" if len(runs) > 1 else f"Training run {one_line(runs[0].name)}"
    steps = count(max(len(run.steps) for run in runs), "step")
    return Report(title, f"{count(len(runs), 'run')}, {steps}", training_blocks(runs, by, episodes))


def training_blocks(runs: Sequence[TrainingRun], by: str | None, episodes: int) -> list[Block]:
    """The tables, plots and episodes of training runs; as `training_report`."""
    from visionthink.reports.gallery import spread, training_gallery

    groups = group(runs)
    sweep = (by, settings(runs, by)) if by is not None else None
    blocks: list[Block] = [Heading("Final figures"), final_table(groups), texts()["final figures"]]
    if any(len(of_group.runs) > 1 for of_group in groups):
        blocks.append(texts()["seeds"])
    if sweep is not None:
        key, found = sweep
        blocks += [Heading(f"By {key}"), sweep_table(found, key)]
        if warning := sweep_warning(found, key):
            blocks.append(f"Note: {one_line(warning)}.")
    blocks += [Heading("Plots"), *training_plots(groups, sweep)]
    if (table := family_table(groups)) is not None:
        blocks += [Heading("Requests by family"), table]
    share = -(-episodes // len(runs))
    samples = [sample for run in runs for sample in spread(run, share)][:episodes]
    if samples:
        blocks += [Heading("Sample episodes"), training_gallery(samples)]
    return blocks


# Plots


def training_plots(groups: Sequence[Group], sweep: Sweep | None = None) -> list[Plot]:
    """All plots that the runs have figures for. Raises MissingExtraError: no matplotlib."""
    width = bin_width(groups, MAX_POINTS)
    names = [of.label for of in groups]
    # A line looks the same in every plot: as its group does, or as its kind if there is one group.
    specs = [{"by_kind": False, "share": False, "level": None, **of} for of in texts()["curves"]]
    metrics = [metric for spec in specs if spec["by_kind"] for metric in spec["metrics"]]
    found = {kind for metric in metrics for kind in kinds(groups, metric)}
    by_kind = [*(k for k in KINDS if k in found), *sorted(found - KINDS.keys())]
    order = names if len(groups) > 1 else [*by_kind, *names]
    with drawing():
        swept = sweep_plot(sweep[1], sweep[0]) if sweep is not None else None
        drawn = [_curve_plot(spec, groups, order, width) for spec in specs]
        plots = [swept, *drawn, _heat_maps(groups, width)]
    return [plot for plot in plots if plot is not None]


def _curve_plot(
    spec: Mapping[str, Any], groups: Sequence[Group], order: Sequence[str], width: int
) -> Plot | None:
    """A plot of curves, see `texts.yaml`; None if no run has one of its metrics. `order` gives each
    label its style.
    """
    width = 1 if spec["name"] == "held_out" else width
    panels: list[Panel] = []
    for title, metrics in _panels(spec, groups):
        lines: list[Curve] = []
        for label, of, key in metrics:
            if points := curve(of, key, width):
                name, look = KINDS.get(label, label), style(order.index(label))
                band = (points.low, points.high) if points.n > 1 else None
                lines.append(Curve(name, look, points.steps, points.mean, band))
        panels += [Panel(title, lines)] if lines else []
    if not panels:
        return None
    bands = any(line.band for panel in panels for line in panel.items)
    caption = f"{spec['caption']} {texts()['bands']}" if bands else spec["caption"]
    x_label = "step" if width == 1 else f"step (a point is the mean of {width})"
    legend = [KINDS.get(label, label) for label in order] if len(order) > 1 else []
    about = (spec["name"], spec["title"], caption, panels)
    axes = {"share": spec["share"], "level": spec["level"]}
    return line_plot(*about, x_label=x_label, legend=legend, **axes)


def _panels(
    spec: Mapping[str, Any], groups: Sequence[Group]
) -> Iterator[tuple[str, list[tuple[str, Group, str]]]]:
    """Titles; and label, group and metric of each line.

    By kind, one group has a panel with a line for each kind, several have a panel for each kind.
    """
    for metric, title in spec["metrics"].items():
        found = kinds(groups, metric) if spec["by_kind"] else []
        if found and len(groups) == 1:
            yield title, [(kind, groups[0], f"{metric}/kind/{kind}") for kind in found]
            continue
        named = {f"{metric}/kind/{kind}": f"{title}, {kind}" if title else KINDS.get(kind, kind)
                 for kind in found}  # fmt: skip
        for key, name in (named or {metric: title}).items():
            yield name, [(of.label, of, key) for of in groups]


def sweep_plot(settings: Sequence[Group], key: str) -> Plot | None:
    """Final request rate and accuracy by kind for each value of a config key, with standard errors
    over seeds: lines where all values are numbers, else bars. None if the runs have neither.
    """
    held_out = all(run.evaluations for setting in settings for run in setting.runs)
    stem = "eval" if held_out else "episode"
    found = {what: kinds(settings, f"{stem}/{what}") for what in ("request_rate", "accuracy")}
    every = list(dict.fromkeys(kind for of_metric in found.values() for kind in of_metric))
    numeric = len(settings) > 1 and all(is_number(setting.value) for setting in settings)
    values, names = [of.value for of in settings], [of.label for of in settings]
    panels: list[Panel] = []
    for what, of_metric in found.items():
        items: list[Curve | Bars] = []
        for kind in of_metric:
            means = [estimate(of.runs, f"{stem}/{what}/kind/{kind}") for of in settings]
            label, look = KINDS.get(kind, kind), style(every.index(kind))
            if numeric:
                held = [(x, it) for x, it in zip(values, means, strict=True) if it is not None]
                x, y = [x or 0 for x, _ in held], [it.mean for _, it in held]
                items.append(Curve(label, look, x, y, errors=[it.stderr or 0 for _, it in held]))
            else:
                y, errors = [it and it.mean for it in means], [it and it.errors() for it in means]
                items.append(Bars(label, [look], y, errors))
        panels += [Panel(what.replace("_", " "), items, names)] if items else []
    if not panels:
        return None
    where = "of the last held-out evaluation" if held_out else "over the last tenth of the steps"
    bars = f"Figures {where}, by the kind of question; error bars are standard errors over seeds."
    about = ("sweep", f"By {key}", bars, panels)
    with drawing():
        if numeric:
            return line_plot(*about, x_label=key, share=True, x_ticks=values)
        return bar_plot(*about, x_label="", share=True)


def _heat_maps(groups: Sequence[Group], width: int) -> Plot | None:
    panels: list[Panel] = []
    for of_group in groups:
        found = r_histogram(of_group, width)
        if found is None:
            continue
        name = f"{of_group.label}: " if len(groups) > 1 else ""
        theta = _theta(of_group)
        label = "" if theta is None else f"θ = {theta:g}"
        title = f"{name}undefined in {found.undefined:.0%} of groups"
        panels.append(Panel(title, [HeatMap(found.edges, found.shares, theta, label)]))
    if not panels:
        return None
    first = f" The first {MAX_HEAT_MAPS} of {len(panels)} are shown."
    caption = texts()["r_histogram"] + (first if len(panels) > MAX_HEAT_MAPS else "")
    about = ("r_histogram", "Distribution of r by step", caption, panels[:MAX_HEAT_MAPS])
    return heat_map_plot(*about, x_label="step", y_label="r", scale_label="share of groups")


def _theta(of_group: Group) -> float | None:
    """The threshold of the control penalty, where the runs have a rule that uses one."""
    last = {key.rpartition(".")[2]: value for key, value in of_group.runs[0].config.items()}
    rule = str(last.get("rule", "paper"))
    rule = FORMER_NAMES.get(rule, rule)
    theta: Any = last.get("theta")
    if rule in ("none", "search-r1"):
        return None
    if theta is None and rule in RULES:
        theta = RULES[rule].theta
    return float(theta) if is_number(theta) else None


# For machines


def training_json(groups: Sequence[Group], sweep: Sweep | None = None) -> dict[str, Any]:
    """The object that `report --json` prints."""
    runs = [run for of_group in groups for run in of_group.runs]
    found: dict[str, Any] = {
        "runs": [
            {"name": run.name, "path": str(run.folder.path), "figures": run.figures}
            | {"steps": len(run.steps), "last_step": run.steps[-1]["step"]}
            for run in runs
        ],
        "groups": [{"label": of.label, **_estimates(of)} for of in groups],
    }
    if sweep is not None:
        key, settings = sweep
        values = [{"value": of.value, **_estimates(of)} for of in settings]
        found["by"] = {"key": key, "note": sweep_warning(settings, key), "values": values}
    return found


def _estimates(of: Group) -> dict[str, Any]:
    """Every figure with its spread, those by kind and family among them."""
    keys = {name: key for name, (key, _) in FIGURES.items()}
    stems = ("episode/request_rate/", "episode/accuracy/", "eval/request_rate/", "eval/accuracy/")
    keys |= {key: key for key in sorted(of.keys) if key.startswith(stems)}
    values = {name: estimate(of.runs, key) for name, key in keys.items()}
    shown = {name: value.to_json() for name, value in values.items() if value is not None}
    return {"runs": [run.name for run in of.runs], "figures": shown}
