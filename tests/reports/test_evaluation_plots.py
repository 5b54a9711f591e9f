"""Plots of policies: what stands in them, and that they are drawn."""

from __future__ import annotations

from pathlib import Path

import pytest
from evaluation_runs import COSTS, families, row, rows, write_evaluation

from visionthink.reports import evaluation_plots as plots_module
from visionthink.reports.evaluation_plots import (
    STYLES,
    benchmark,
    evaluation_plots,
    pareto_front,
    places,
    published,
    published_points,
    time_limit,
)
from visionthink.reports.evaluation_runs import KINDS, Comparison, compare, read_evaluations
from visionthink.reports.plotting import Plot

ALL = {policy: 0.9 - at / 50 for at, policy in enumerate(COSTS)}


def of(*paths: Path) -> Comparison:
    return compare(read_evaluations(paths))


def test_points_of_a_suite(tmp_path: Path):
    held = [row("high", 0.8), row("low", 0.4), row("auto", None), row("oracle", 0.9)]
    held[3]["visual_token_ratio"] = None
    points = places(of(write_evaluation(tmp_path / "a", held)), ["mini"], shares=False)
    assert [(p.entry.policy, p.x, p.y, p.error) for p in points] == [
        ("high", 1.0, 0.8, pytest.approx((0.8 - 0.7112, 0.8666 - 0.8), abs=1e-4)),
        ("low", 0.25, 0.4, pytest.approx((0.4 - 0.3094, 0.4980 - 0.4), abs=1e-4)),
    ]


def test_points_over_several_suites_are_shares_of_vanilla(tmp_path: Path):
    """low: 0.4 / 0.8 and 0.9 / 0.9."""
    held = [*rows({"high": 0.8, "low": 0.4}), *rows({"high": 0.9, "low": 0.9}, "photos")]
    comparison = of(write_evaluation(tmp_path / "a", held))
    points = places(comparison, ["mini", "photos"], shares=True)
    assert [(p.entry.policy, p.x, p.y) for p in points] == [("high", 1, 1), ("low", 0.25, 0.75)]


def test_the_pareto_front_has_policies_that_none_beats(tmp_path: Path):
    """fastv and sparsevlm have equal tokens, auto is beaten by neither; the oracle is left out."""
    scores = {"high": 0.9, "low": 0.4, "auto": 0.8, "fastv:0.5": 0.6, "sparsevlm:0.5": 0.7,
              "random:0.3": 0.8, "other": 0.75, "oracle": 1.0}  # fmt: skip
    points = places(of(write_evaluation(tmp_path / "a", rows(scores))), ["mini"], shares=False)
    front = [point.entry.policy for point in pareto_front(points)]
    assert front == ["low", "sparsevlm:0.5", "auto", "high"]


def test_time_would_follow_flops(tmp_path: Path):
    """2 s of vanilla, 30 % of its FLOPs: 0.6 s."""
    comparison = of(write_evaluation(tmp_path / "a", rows({"high": 0.8, "low": 0.4})))
    assert [time_limit(comparison, "mini", entry) for entry in comparison.entries] == [2.0, 0.6]
    alone = of(write_evaluation(tmp_path / "b", rows({"low": 0.4})))
    assert time_limit(alone, "mini", alone.entries[0]) is None


# Drawn


def names(plots: list[Plot]) -> list[str]:
    assert all(plot.caption for plot in plots)
    return [plot.name for plot in plots]


def texts(plot: Plot) -> list[str]:
    """The texts beside the points of a plot, after it is laid out."""
    plot.lay_out()
    return [text.get_text() for ax in plot.figure.axes for text in ax.texts if text.get_text()]


def test_plots_of_one_suite(tmp_path: Path):
    scores = {policy: (score, score) for policy, score in ALL.items()}
    comparison = of(write_evaluation(tmp_path / "a", families(scores)))
    plots = evaluation_plots(comparison, published())
    assert names(plots) == ["accuracy_tokens", "requests", "seconds", "published"]
    assert texts(plots[0]) == [entry.policy for entry in comparison.entries]


def test_plots_of_several_suites(tmp_path: Path):
    """One of them has families of its own; all are pooled over two seeds."""
    few = {policy: ALL[policy] for policy in ("high", "low", "auto", "oracle")}
    scores = {policy: (score, score) for policy, score in few.items()}
    held = [*families(scores), *rows(few, "docvqa_val"), *rows(few, "photos")]
    paths = [write_evaluation(tmp_path / f"r{seed}", held, seed=seed) for seed in (0, 1)]
    plots = evaluation_plots(of(*paths), published())
    assert names(plots) == [
        *("accuracy_tokens", "accuracy_tokens_suites", "requests", "requests_1"),
        *("seconds", "published"),
    ]
    titles = [ax.get_title(loc="left") for ax in plots[1].figure.axes if ax.get_visible()]
    assert titles == ["mini", "docvqa_val", "photos"]


def test_more_suites_than_a_plot_has(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(plots_module, "MAX_PANELS", 1)
    held = [each for at in range(3) for each in rows({"high": 0.5, "low": 0.4}, f"suite {at}")]
    plots = evaluation_plots(of(write_evaluation(tmp_path / "a", held)))
    assert names(plots) == ["accuracy_tokens", "accuracy_tokens_suites", "seconds"]
    assert plots[1].caption.endswith(" The first 1 of 3 suites.")


def test_names_of_suites_and_models_are_only_text(tmp_path: Path):
    """Formulas, markup, and names that matplotlib hides or cannot fit."""
    held = rows({"high": 0.8, "auto": 0.7}, r"_<script> $\frac{")
    path = write_evaluation(tmp_path / "a", held, model="_")
    other = write_evaluation(tmp_path / ("b" * 200), held, model="$x$" * 50)
    plots = evaluation_plots(of(path, other))
    assert names(plots) == ["accuracy_tokens", "requests", "seconds"]
    assert all(plot.svg.startswith(b"<?xml") for plot in plots)


def test_plots_of_one_policy(tmp_path: Path):
    comparison = of(write_evaluation(tmp_path / "a", rows({"low": 0.5})))
    assert names(evaluation_plots(comparison, published())) == ["accuracy_tokens", "seconds"]


def test_no_plots_without_figures(tmp_path: Path):
    held = [{**row("high", None), "seconds_per_sample": None}]
    assert evaluation_plots(of(write_evaluation(tmp_path / "a", held)), published()) == []


def test_bars_of_requests_are_of_policies_that_leave_them_to_the_model(tmp_path: Path):
    """Also of one that always requests. Without the oracle its meaning is not explained."""
    without = of(write_evaluation(tmp_path / "a", rows({"high": 0.8, "random:0.3": 0.5})))
    always = rows({"high": 0.8, "auto": 0.8}, request_rate=1.0)
    collapsed = of(write_evaluation(tmp_path / "b", always))
    assert "requests" not in names(evaluation_plots(without))
    (plot,) = [plot for plot in evaluation_plots(collapsed) if plot.name == "requests"]
    assert "oracle" not in plot.caption


def test_every_kind_of_policy_has_a_style_of_its_own():
    assert set(STYLES) == {*KINDS, ""}
    assert len({style.marker for style in STYLES.values()}) == len(STYLES)
    assert len({style.hatch for of, style in STYLES.items() if of not in ("high", "auto")}) == 7


# Beside published figures


@pytest.mark.parametrize(
    ("suite", "name"),
    [("docvqa_val", "DocVQA"), ("MME", "MME"), ("chartqa", "ChartQA"), ("mmerealworld", None)],
)
def test_suites_that_are_benchmarks_of_the_paper(suite: str, name: str | None):
    assert benchmark(suite, published()) == name


def test_published_marks_are_shares_of_vanilla():
    """Down-Sample: 62.9 of ChartQA's 79.8. VisionThink is printed at 51.3 % of the tokens; with its
    rate of 79.1 % on ChartQA they are 25 + 79.1.
    """
    marks = {mark.text: mark for mark in published_points(published(), "ChartQA")}
    small = marks["Down-Sample"]
    assert (small.style, small.x, small.y) == (STYLES["low"], 0.25, pytest.approx(62.9 / 79.8))
    assert marks["VisionThink"].x == 0.513
    assert marks["VisionThink, by its requests"].x == pytest.approx(1.041)
    kinds = ("high", "low", "auto", "fastv", "sparsevlm", "visionzip")
    assert {mark.style for mark in marks.values()} == {STYLES[kind] for kind in kinds}


def test_published_means_are_recomputed():
    """FastV at 50 % is printed as 95.8 and is 95.15."""
    marks = {mark.text: mark.y for mark in published_points(published(), None)}
    assert marks["FastV 50 %"] == pytest.approx(0.9515, abs=1e-4)


def test_measured_shares_need_a_vanilla(tmp_path: Path):
    alone = of(write_evaluation(tmp_path / "b", rows({"low": 0.4})))
    assert places(alone, ["mini"], shares=True) == []
