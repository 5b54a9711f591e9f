"""How plots are drawn: titles, legends, texts beside points, and the bytes of files."""

from __future__ import annotations

import io
from itertools import combinations, pairwise
from typing import Any

import numpy as np
from PIL import Image

from visionthink.reports import plotting
from visionthink.reports.plotting import Curve, Guide, Panel, Plot, Point, line_plot, style


def curves(*titles: str) -> Plot:
    with plotting.drawing():
        panels = [Panel(title, [Curve("_a $b", style(0), [1, 2], [0.5, 1])]) for title in titles]
        return line_plot("some", "Some", "What it shows.", panels, x_label="step")


def scatter(points: list[Point], guides: list[Guide]) -> Plot:
    with plotting.drawing():
        return plotting.scatter_plot(
            "some", "Some", "", [Panel("", points, guides=guides)], x_label="x", y_label="y"
        )


def test_a_plot_is_a_picture_in_both_forms():
    plot = curves("one")
    assert Image.open(io.BytesIO(plot.png)).size[0] == 1350
    assert plot.svg.startswith(b"<?xml")
    assert curves("one").svg == plot.svg, "equal plots are equal files"


def test_legends_have_labels_that_matplotlib_would_hide():
    (legend,) = curves("one", "two").figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ["_a $b"]


def test_titles_of_panels_do_not_overlap():
    """However long the names of runs in them are."""
    long = "a-run-with-a-long-name: undefined in 12 % of the groups of all of its many prompts"
    for count in (2, 3):
        plot = curves(*[long] * count)
        plot.lay_out()
        titles: list[Any] = [vars(ax)["_left_title"] for ax in plot.figure.axes]
        boxes = [title.get_window_extent() for title in titles]
        assert all(a.x1 < b.x0 for a, b in pairwise(boxes))


def boxes_of(plot: Plot) -> list[Any]:
    plot.lay_out()
    (ax,) = [ax for ax in plot.figure.axes if ax.texts]
    return [text.get_window_extent() for text in ax.texts if text.get_text()]


def test_texts_do_not_cover_each_other():
    """Ten points in one place: ten texts beside it."""
    points = [Point(f"text {at}", style(0), 0.5, 0.5) for at in range(10)]
    boxes = boxes_of(scatter(points, []))
    assert len(boxes) == 10
    assert not any(a.overlaps(b) for a, b in combinations(boxes, 2))


def test_lines_do_not_strike_through_texts():
    """A front in steps through five points, whose texts are beside it."""
    corners = [(0.2, 0.2), (0.4, 0.5), (0.6, 0.6), (0.8, 0.9), (1.0, 0.95)]
    points = [Point(f"policy:{at}", style(0), x, y) for at, (x, y) in enumerate(corners)]
    x, y = [x for x, _ in corners], [y for _, y in corners]
    plot = scatter(points, [Guide("Pareto front", "black", "solid", x, y, steps=True)])
    boxes = boxes_of(plot)
    (ax,) = [ax for ax in plot.figure.axes if ax.texts]
    steps = [corners[0]]
    for before, after in pairwise(corners):
        steps += [(after[0], before[1]), after]
    at = [ax.transData.transform(step) for step in steps]
    drawn = [p for a, b in pairwise(at) for p in np.linspace(a, b, 200)]
    assert not any(box.contains(*point) for box in boxes for point in drawn)
