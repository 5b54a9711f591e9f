"""Plots of policies: what stands in them, and that they are drawn."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest
from evaluation_runs import COSTS, families, row, rows, write_evaluation
from PIL import Image

from visionthink.reports import evaluation_scatter
from visionthink.reports.comparison import KINDS, Comparison, compare
from visionthink.reports.evaluation import read_evaluations
from visionthink.reports.evaluation_bars import request_bars, time_limit
from visionthink.reports.evaluation_page import evaluation_plots
from visionthink.reports.evaluation_scatter import average_points, pareto_front, suite_points
from visionthink.reports.labels import label_points
from visionthink.reports.plotting import new_figure, paper
from visionthink.reports.policy_looks import LOOKS
from visionthink.reports.published import published
from visionthink.reports.published_plot import benchmark, measured_marks, published_marks

ALL = {policy: 0.9 - at / 50 for at, policy in enumerate(COSTS)}


def of(*paths: Path) -> Comparison:
    return compare(read_evaluations(paths))


def test_points_of_a_suite(tmp_path: Path):
    held = [row("high", 0.8), row("low", 0.4), row("auto", None), row("oracle", 0.9)]
    held[3]["visual_token_ratio"] = None
    points = suite_points(of(write_evaluation(tmp_path / "a", held)), "mini")
    assert [(p.entry.policy, p.x, p.y, p.error) for p in points] == [
        ("high", 1.0, 0.8, 0.02),
        ("low", 0.25, 0.4, 0.02),
    ]


def test_points_over_several_suites_are_shares_of_vanilla(tmp_path: Path):
    """low: 0.4 / 0.8 and 0.9 / 0.9."""
    held = [*rows({"high": 0.8, "low": 0.4}), *rows({"high": 0.9, "low": 0.9}, "photos")]
    points = average_points(of(write_evaluation(tmp_path / "a", held)))
    assert [(p.entry.policy, p.x, p.y) for p in points] == [("high", 1, 1), ("low", 0.25, 0.75)]


def test_the_pareto_front_has_what_nothing_beats(tmp_path: Path):
    """fastv and sparsevlm have equal tokens, auto is beaten by neither; the oracle is no policy."""
    scores = {"high": 0.9, "low": 0.4, "auto": 0.8, "fastv:0.5": 0.6, "sparsevlm:0.5": 0.7,
              "random:0.3": 0.8, "other": 0.75, "oracle": 1.0}  # fmt: skip
    points = suite_points(of(write_evaluation(tmp_path / "a", rows(scores))), "mini")
    front = [point.entry.policy for point in pareto_front(points)]
    assert front == ["low", "sparsevlm:0.5", "auto", "high"]


def test_time_would_follow_flops(tmp_path: Path):
    """2 s of vanilla, 30 % of its FLOPs: 0.6 s."""
    comparison = of(write_evaluation(tmp_path / "a", rows({"high": 0.8, "low": 0.4})))
    assert [time_limit(comparison, "mini", entry) for entry in comparison.entries] == [2.0, 0.6]
    alone = of(write_evaluation(tmp_path / "b", rows({"low": 0.4})))
    assert time_limit(alone, "mini", alone.entries[0]) is None


# Drawn


def check(plots: list[Any], names: list[str]) -> None:
    assert [plot.name for plot in plots] == names
    for plot in plots:
        assert Image.open(io.BytesIO(plot.png)).size[0] == 1350
        assert plot.svg.startswith(b"<?xml")
        assert plot.caption


def test_plots_of_one_suite(tmp_path: Path):
    scores = {policy: (score, score) for policy, score in ALL.items()}
    comparison = of(write_evaluation(tmp_path / "a", families(scores)))
    check(evaluation_plots(comparison), ["accuracy_tokens", "requests", "seconds"])
    check(evaluation_plots(comparison, published())[3:], ["published"])


def test_plots_of_several_suites(tmp_path: Path):
    """One of them has families of its own; all are pooled over two seeds."""
    few = {policy: ALL[policy] for policy in ("high", "low", "auto", "oracle")}
    scores = {policy: (score, score) for policy, score in few.items()}
    held = [*families(scores), *rows(few, "docvqa_val"), *rows(few, "photos")]
    paths = [write_evaluation(tmp_path / f"r{seed}", held, seed=seed) for seed in (0, 1)]
    check(
        evaluation_plots(of(*paths), published()),
        [
            *("accuracy_tokens", "accuracy_tokens_suites", "requests", "requests_1"),
            *("seconds", "published"),
        ],
    )


def test_more_suites_than_a_plot_has(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(evaluation_scatter, "MOST_SUITES", 1)
    held = [each for at in range(3) for each in rows({"high": 0.5, "low": 0.4}, f"suite {at}")]
    plots = evaluation_plots(of(write_evaluation(tmp_path / "a", held)))
    assert [plot.name for plot in plots] == ["accuracy_tokens", "accuracy_tokens_suites", "seconds"]
    assert plots[1].caption.endswith(" The first 1 of 3 suites.")


def test_names_of_strangers(tmp_path: Path):
    """Formulas, markup and what matplotlib hides or cannot fit: they are all only text."""
    held = families({"high": (0.8, 0.8), "auto": (0.8, 0.7)}, r"_<script> $\frac{")
    path = write_evaluation(tmp_path / "a", held, model="_")
    other = write_evaluation(tmp_path / ("b" * 200), held, model="$x$" * 50)
    check(evaluation_plots(of(path, other)), ["accuracy_tokens", "requests", "seconds"])


def test_one_policy_alone(tmp_path: Path):
    comparison = of(write_evaluation(tmp_path / "a", rows({"low": 0.5})))
    check(evaluation_plots(comparison, published()), ["accuracy_tokens", "seconds"])


def test_nothing_to_draw(tmp_path: Path):
    held = [{**row("high", None), "seconds_per_sample": None}]
    assert evaluation_plots(of(write_evaluation(tmp_path / "a", held)), published()) == []


def test_bars_of_requests_are_of_policies_that_leave_it_to_the_model(tmp_path: Path):
    """Also of one that always requests. Without the oracle its meaning is not explained."""
    without = of(write_evaluation(tmp_path / "a", rows({"high": 0.8, "random:0.3": 0.5})))
    always = rows({"high": 0.8, "auto": 0.8}, request_rate=1.0)
    collapsed = of(write_evaluation(tmp_path / "b", always))
    with paper():
        assert list(request_bars(without)) == []
        (plot,) = request_bars(collapsed)
    assert "oracle" not in plot.caption


def test_every_sort_of_policy_has_a_look_of_its_own():
    assert set(LOOKS) == {*KINDS, ""}
    assert len({look.marker for look in LOOKS.values()}) == len(LOOKS)
    assert len({look.hatch for of, look in LOOKS.items() if of not in ("high", "auto")}) == 7


def test_texts_are_laid_apart():
    """Ten points in one place: ten texts that do not cover each other."""
    with paper():
        figure, (ax,) = new_figure(1, 1, 4.0)
        ax.plot([0, 1], [0, 1])
        figure.draw_without_rendering()
        label_points(ax, [(0.5, 0.5)] * 10, [f"text {at}" for at in range(10)], 8)
        boxes = [text.get_window_extent() for text in ax.texts if text.get_text()]
    figure.clear()
    assert len(boxes) == 10
    pairs = [(a, b) for at, a in enumerate(boxes) for b in boxes[at + 1 :]]
    assert not any(a.overlaps(b) for a, b in pairs)


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
    marks = {mark.text: mark for mark in published_marks(published(), "ChartQA")}
    small = marks["Down-Sample"]
    assert (small.kind, small.x, small.y) == ("low", 0.25, pytest.approx(62.9 / 79.8))
    assert marks["VisionThink"].x == 0.513
    assert marks["VisionThink, by its requests"].x == pytest.approx(1.041)
    assert {mark.kind for mark in marks.values()} == {
        *("high", "low", "auto", "fastv", "sparsevlm", "visionzip")
    }


def test_published_means_are_recomputed():
    """FastV at 50 % is printed as 95.8 and is 95.15."""
    marks = {mark.text: mark.y for mark in published_marks(published(), None)}
    assert marks["FastV 50 %"] == pytest.approx(0.9515, abs=1e-4)


def test_measured_marks_need_a_vanilla(tmp_path: Path):
    comparison = of(write_evaluation(tmp_path / "a", rows({"high": 0.8, "low": 0.4})))
    marks = measured_marks(comparison, ["mini"])
    assert [(mark.text, mark.kind, mark.x, mark.y) for mark in marks] == [
        *(("high", "high", 1.0, 1.0), ("low", "low", 0.25, 0.5))
    ]
    alone = of(write_evaluation(tmp_path / "b", rows({"low": 0.4})))
    assert measured_marks(alone, ["mini"]) == []
