"""The report on trainings: its tables, plots, page, Markdown and files."""

from __future__ import annotations

import base64
import builtins
import re
from pathlib import Path
from typing import Any

import pytest
from acting import HOSTILE, answered, play, requested, scene
from training_runs import ramp, sample, write_run
from walking import Walk, check_alone

from visionthink.core.errors import MissingExtraError, RunError
from visionthink.core.protocol import direct_reply
from visionthink.reports import training_report as module
from visionthink.reports.training_report import (
    final_table,
    sweep_plot,
    training_plots,
    training_report,
)
from visionthink.reports.training_runs import group, read_runs, settings

PLOTS = {
    *("request_rate", "accuracy", "held_out", "reward", "visual_tokens", "health", "r_histogram"),
    "update",
}
BARE = [{"step": 1, "reward/total": 1.0}]
"""A run of which there is one plot."""


def one(tmp_path: Path, lines: list[dict[str, Any]] = BARE, **more: Any) -> list[Any]:
    return read_runs([write_run(tmp_path / "a", lines, **more)])


@pytest.fixture
def no_plots(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "training_plots", lambda *_: [])


# Files


def test_the_files_of_a_report(tmp_path: Path):
    """Equal runs give equal files, over those that are there; the plots are inside the page."""
    runs, out = one(tmp_path, [{"step": 1, "reward/total": 1.0, "train/loss": 0.5}]), tmp_path / "o"
    files = training_report(runs).write(out)
    names = ["report.html", "report.md"]
    names += ["reward.png", "reward.svg", "update.png", "update.svg"]
    assert [path.name for path in files] == names
    assert {path.name for path in out.iterdir()} == set(names)
    before = [path.read_bytes() for path in files]
    assert [path.read_bytes() for path in training_report(runs).write(out)] == before
    urls = [image["src"] for image in Walk(files[0].read_text("utf-8")).named("img")]
    inside = {base64.b64decode(url.removeprefix("data:image/svg+xml;base64,")) for url in urls}
    assert inside == {path.read_bytes() for path in out.glob("*.svg")}
    shown = re.findall(r"!\[.*\]\((.*)\)", files[1].read_text("utf-8"))
    assert shown == ["reward.png", "update.png"]


@pytest.mark.usefixtures("no_plots")
def test_a_folder_that_cannot_be_written(tmp_path: Path):
    (tmp_path / "out").touch()
    with pytest.raises(RunError, match=r"cannot write the report into .*: File exists"):
        training_report(one(tmp_path)).write(tmp_path / "out")


# Tables


def table_runs(tmp_path: Path) -> list[Any]:
    """Two seeds with request rates 0.25 and 0.75, total rewards 1 and 1.5, one held-out figure."""
    lines = [
        [{"step": 1, "episode/request_rate/kind/weak": rate, "reward/total": total}]
        for rate, total in ((0.25, 1.0), (0.75, 1.5))
    ]
    lines[1].append({"step": 1, "eval/accuracy": 0.5})
    return read_runs(
        [write_run(tmp_path / f"r-{at}", held, seed=at) for at, held in enumerate(lines)]
    )


def test_the_table_in_a_terminal(tmp_path: Path):
    """Standard errors of 25 and 75: sqrt(1250 / 2) = 25; of 1 and 1.5: sqrt(0.125 / 2) = 0.25."""
    assert final_table(group(table_runs(tmp_path))).text().splitlines() == [
        "                      requests        reward:   held-out:",
        "run         steps       weak %          total  accuracy %",
        "r-0             1         25.0          1.000           -",
        "r-1             1         75.0          1.500        50.0",
        "r (2 runs)         50.0 ± 25.0  1.250 ± 0.250        50.0",
    ]


def test_the_table_in_markdown(tmp_path: Path):
    assert final_table(group(table_runs(tmp_path))).markdown().splitlines() == [
        "| run | steps | requests weak % | reward: total | held-out: accuracy % |",
        "| --- | ---: | ---: | ---: | ---: |",
        "| r-0 | 1 | 25.0 | 1.000 | - |",
        "| r-1 | 1 | 75.0 | 1.500 | 50.0 |",
        "| r (2 runs) |  | 50.0 ± 25.0 | 1.250 ± 0.250 | 50.0 |",
    ]


def test_names_do_not_become_markup(tmp_path: Path):
    path = write_run(tmp_path / "a|b_<i>_[x](y)", ramp(3))
    table = final_table(group(read_runs([path]))).markdown()
    assert r"| a\|b\_\<i\>\_\[x\](y) | 3 |" in table


# Plots


def test_a_plot_for_each_figure_that_there_is(tmp_path: Path):
    full = [{**line, "train/loss": 0.5} for line in ramp(4)]
    held = {"step": 4, "eval/accuracy": 0.5}
    runs = read_runs([write_run(tmp_path / "full", [*full, held])])
    assert {plot.name for plot in training_plots(group(runs))} == PLOTS
    bare = read_runs([write_run(tmp_path / "bare", BARE)])
    assert [plot.name for plot in training_plots(group(bare))] == ["reward"]


@pytest.mark.usefixtures("no_plots")
def test_supervised_training_has_no_episodes(tmp_path: Path):
    runs = one(tmp_path, [{"step": 1, "train/loss": 0.5, "time/update_s": 2.0}])
    assert [plot.name for plot in training_plots(group(runs))] == ["update", "time"]
    assert final_table(group(runs)).text().splitlines() == ["run  steps", "a        1"]
    check_alone(Walk(training_report(runs).html()))


def test_many_groups_with_seeds_that_stop_early(tmp_path: Path):
    runs = read_runs(
        [
            write_run(tmp_path / f"{at}-{seed}", ramp(3 - seed), seed=seed, at=at)
            for at in range(7)
            for seed in (0, 1)
        ]
    )
    drawn = {plot.name: plot for plot in training_plots(group(runs))}
    assert "bands go from" in drawn["request_rate"].caption
    assert drawn["r_histogram"].caption.endswith("The first 6 of 7 are shown.")


@pytest.mark.parametrize(
    ("values", "categories"),
    [
        (("paper", "none"), ["paper", "none"]),
        ((0, 0.2), None),
        (("only",), ["only"]),
        (("_hidden", r"$\frac{", "x" * 200), ["_hidden", r"$\frac{", "x" * 33 + "…"]),
    ],
)
def test_a_sweep(tmp_path: Path, values: tuple[Any, ...], categories: list[str] | None):
    """Bars by category, with names that are only text; or lines over numbers."""
    runs = read_runs(
        [
            write_run(tmp_path / f"{at}-{seed}", ramp(20)[-2:], seed=seed, reward={"x": value})
            for at, value in enumerate(values)
            for seed in (0, 1)
        ]
    )
    plot = sweep_plot(settings(runs, "reward.x"), "reward.x")
    assert plot is not None
    assert plot.caption.startswith("Figures of the last held-out evaluation")
    requests, accuracy = plot.figure.axes
    assert [ax.get_title(loc="left") for ax in (requests, accuracy)] == ["request rate", "accuracy"]
    if categories is None:
        assert list(requests.get_xticks()) == list(values)
    else:
        assert [text.get_text() for text in requests.get_yticklabels()] == categories
    assert plot.svg.startswith(b"<?xml")


def test_a_sweep_without_held_out_figures_is_of_training(tmp_path: Path):
    runs = read_runs([write_run(tmp_path / "a", ramp(4))])
    plot = sweep_plot(settings(runs, "reward.rule"), "reward.rule")
    assert plot is not None
    assert plot.caption.startswith("Figures over the last tenth of the steps")
    bare = read_runs([write_run(tmp_path / "b", BARE)])
    assert sweep_plot(settings(bare, "reward.rule"), "reward.rule") is None


def test_plots_need_an_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    real = builtins.__import__

    def without(name: str, *args: Any, **named: Any) -> Any:
        if name.startswith("matplotlib"):
            raise ImportError(name)
        return real(name, *args, **named)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(MissingExtraError, match=r"pip install '\.\[report\]'"):
        training_plots(group(one(tmp_path)))


# The page


@pytest.mark.usefixtures("no_plots")
def test_the_page(tmp_path: Path):
    rate = {"step": 1, "episode/request_rate/family/colour": 0.5}
    runs = one(tmp_path, [rate], episodes=[sample(requested(), 5), sample(answered(), 10)])
    walk = Walk(training_report(runs).html())
    check_alone(walk)
    text = walk.rows()
    assert "Training run a 1 run, 1 step" in text
    assert "requests by family, % a colour 50.0" in text
    assert "step 5, requested, right How much is the tea?" in text
    assert len([each for each in walk.named("details") if each.get("class")]) == 2


@pytest.mark.usefixtures("no_plots")
def test_hostile_text_stays_text(tmp_path: Path):
    """In a reply, a question, an answer, a family, and in the names of runs and families."""
    episode = play([scene()], HOSTILE, [direct_reply(HOSTILE, HOSTILE)])
    record = sample(episode, 1, family=HOSTILE, kind=HOSTILE, answer_expected=HOSTILE)
    line = {"step": 1, "reward/total": 1.0, f"episode/request_rate/family/{HOSTILE}": 0.5}
    path = write_run(tmp_path / "<script>a", [line], episodes=[record])
    text = training_report(read_runs([path])).html()
    check_alone(Walk(text))
    assert "<script" not in text
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in text


@pytest.mark.usefixtures("no_plots")
def test_the_number_of_samples_is_that_of_all_runs(tmp_path: Path):
    paths = [
        write_run(tmp_path / at, ramp(2), episodes=[sample(answered(), 1)] * 5, x=at)
        for at in ("a", "b")
    ]
    walk = Walk(training_report(read_runs(paths), episodes=3).html())
    assert len([each for each in walk.named("details") if each.get("class")]) == 3
