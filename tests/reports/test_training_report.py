"""The report: its files, tables, plots and page."""

from __future__ import annotations

import base64
import builtins
import io
import re
from pathlib import Path
from typing import Any

import pytest
from acting import EXTREME, HOSTILE, answered, play, requested, scene
from PIL import Image
from training_runs import ramp, sample, write_run
from walking import ReportWalk, check_alone

from visionthink.core.errors import MissingExtraError, RunError
from visionthink.core.protocol import direct_reply
from visionthink.reports import page as page_module
from visionthink.reports.gallery import CHOICES, episode_of, samples
from visionthink.reports.plots import plots
from visionthink.reports.sweep_plot import sweep_plot
from visionthink.reports.training import group, read_runs, settings
from visionthink.reports.training_page import PAGE_STYLE, write_report
from visionthink.reports.training_table import markdown_table, run_table, text_tables

PLOTS = {
    *("request_rate", "accuracy", "held_out", "reward", "visual_tokens", "health", "r_histogram"),
    "update",
}


def one(tmp_path: Path, **more: Any) -> list[Any]:
    return read_runs([write_run(tmp_path / "a", ramp(20), **more)])


def report(tmp_path: Path, records: list[dict[str, Any]], **more: Any) -> ReportWalk:
    files = write_report(one(tmp_path, episodes=records), tmp_path / "out", **more)
    assert files[0].name == "report.html"
    return ReportWalk(files[0].read_text("utf-8"))


def test_the_files_of_a_report(tmp_path: Path):
    files = write_report(one(tmp_path), tmp_path / "out")
    held = {name for name in PLOTS if name != "update"}
    names = {f"{name}.{end}" for name in held for end in ("png", "svg")}
    assert {path.name for path in files} == {"report.html", "report.md", *names}
    assert {path.name for path in (tmp_path / "out").iterdir()} == {path.name for path in files}
    assert write_report(one(tmp_path / "again"), tmp_path / "out") == files


def test_reports_are_equal_for_equal_runs(tmp_path: Path):
    runs = one(tmp_path)
    held = [
        {path.name: path.read_bytes() for path in write_report(runs, tmp_path / at)}
        for at in ("a", "b")
    ]
    assert held[0] == held[1]


def test_a_folder_that_cannot_be_written(tmp_path: Path):
    (tmp_path / "out").touch()
    with pytest.raises(RunError, match=r"cannot write the report into .*: File exists"):
        write_report(one(tmp_path), tmp_path / "out")


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
    assert text_tables(run_table(group(table_runs(tmp_path)))).splitlines() == [
        "                      requests        reward:",
        "run         steps       weak %          total",
        "r-0             1         25.0          1.000",
        "r-1             1         75.0          1.500",
        "r (2 runs)         50.0 ± 25.0  1.250 ± 0.250",
        "",
        "Held-out",
        "            accuracy",
        "run                %",
        "r-0                -",
        "r-1             50.0",
        "r (2 runs)      50.0",
    ]


def test_the_table_in_markdown(tmp_path: Path):
    assert markdown_table(run_table(group(table_runs(tmp_path)))).splitlines() == [
        "| run | steps | requests weak % | reward: total | held-out: accuracy % |",
        "| --- | ---: | ---: | ---: | ---: |",
        "| r-0 | 1 | 25.0 | 1.000 | - |",
        "| r-1 | 1 | 75.0 | 1.500 | 50.0 |",
        "| r (2 runs) |  | 50.0 ± 25.0 | 1.250 ± 0.250 | 50.0 |",
    ]


def test_names_do_not_become_markup(tmp_path: Path):
    path = write_run(tmp_path / "a|b_<i>_[x](y)", ramp(3))
    table = markdown_table(run_table(group(read_runs([path]))))
    assert r"| a\|b\_\<i\>\_\[x\](y) | 3 |" in table


def test_markdown_shows_the_plots_beside_it(tmp_path: Path):
    files = write_report(one(tmp_path), tmp_path / "out")
    text = files[1].read_text("utf-8")
    shown = re.findall(r"!\[.*\]\((.*)\)", text)
    assert {f"{name}.png" for name in PLOTS - {"update"}} == set(shown)
    assert "| colour | " in text


# Plots


def test_plots_are_pictures_in_both_forms(tmp_path: Path):
    for plot in plots(group(one(tmp_path))):
        assert Image.open(io.BytesIO(plot.png)).size[0] == 1350
        assert plot.svg.startswith(b"<?xml")


def test_a_plot_for_each_figure_that_there_is(tmp_path: Path):
    full = [{**line, "train/loss": 0.5} for line in ramp(4)]
    held = {"step": 4, "eval/accuracy": 0.5}
    runs = read_runs([write_run(tmp_path / "full", [*full, held])])
    assert {plot.name for plot in plots(group(runs))} == PLOTS
    bare = read_runs([write_run(tmp_path / "bare", [{"step": 1, "reward/total": 1.0}])])
    assert [plot.name for plot in plots(group(bare))] == ["reward"]


def test_supervised_training_has_no_episodes(tmp_path: Path):
    lines = [{"step": 1, "train/loss": 0.5, "time/update_s": 2.0}]
    runs = read_runs([write_run(tmp_path / "sft", lines)])
    assert [plot.name for plot in plots(group(runs))] == ["update", "time"]
    assert text_tables(run_table(group(runs))) == "run  steps\nsft      1".replace("run", "\nrun")
    files = write_report(runs, tmp_path / "out")
    check_page(ReportWalk(files[0].read_text("utf-8")))


def test_many_groups_with_seeds_that_stop_early(tmp_path: Path):
    runs = read_runs(
        [
            write_run(tmp_path / f"{at}-{seed}", ramp(9 - seed), seed=seed, at=at)
            for at in range(9)
            for seed in (0, 1)
        ]
    )
    drawn = {plot.name: plot for plot in plots(group(runs))}
    assert "bands reach" in drawn["request_rate"].caption
    assert drawn["r_histogram"].caption.endswith("The first 6 of 9 are shown.")


@pytest.mark.parametrize(
    "values", [("paper", "none"), (0, 0.2), ("only",), ("_hidden", r"$\frac{", "x" * 200)]
)
def test_a_sweep(tmp_path: Path, values: tuple[Any, ...]):
    runs = read_runs(
        [
            write_run(tmp_path / f"{at}-{seed}", ramp(20), seed=seed, reward={"x": value})
            for at, value in enumerate(values)
            for seed in (0, 1)
        ]
    )
    plot = sweep_plot(settings(runs, "reward.x"), "reward.x")
    assert plot is not None
    assert {drawn.name for drawn in plots(group(runs))} == PLOTS - {"update"}
    assert plot.caption.startswith("Figures of the last held-out evaluation")
    assert Image.open(io.BytesIO(plot.png)).size[0] == 1350


def test_a_sweep_without_held_out_figures_is_of_training(tmp_path: Path):
    runs = read_runs([write_run(tmp_path / "a", ramp(4))])
    plot = sweep_plot(settings(runs, "reward.rule"), "reward.rule")
    assert plot is not None
    assert plot.caption.startswith("Figures over the last tenth of the steps")
    bare = read_runs([write_run(tmp_path / "b", [{"step": 1, "reward/total": 1.0}])])
    assert sweep_plot(settings(bare, "reward.rule"), "reward.rule") is None


def test_plots_need_an_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    real = builtins.__import__

    def without(name: str, *args: Any, **named: Any) -> Any:
        if name.startswith("matplotlib"):
            raise ImportError(name)
        return real(name, *args, **named)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(MissingExtraError, match=r"pip install 'visionthink\[report\]'"):
        plots(group(one(tmp_path)))


# The page


def check_page(walk: ReportWalk) -> None:
    check_alone(walk)
    assert all(image["alt"] for image in walk.named("img"))
    policies = [meta["content"] for meta in walk.named("meta") if "http-equiv" in meta]
    assert policies == [page_module.policy(PAGE_STYLE)]


def test_the_page(tmp_path: Path):
    records = [
        sample(requested(), 5, family="receipt", kind="strong", answer_expected="4.20"),
        sample(answered(), 10, family="colour", kind="weak"),
    ]
    walk = report(tmp_path, records)
    check_page(walk)
    rows = walk.rows()
    assert "step 5, receipt, requested, right, strong How much is the tea?" in rows
    assert "Right answer 4.20" in rows
    assert "accuracy +1.000, format +0.500, control -0.100, total +1.400, advantage +0.250" in rows
    marks = [attributes["class"] for attributes in walk.named("details") if "class" in attributes]
    assert marks == ["sample requested right strong", "sample direct right weak"]
    assert "125 % of vanilla" in rows.replace("\xa0", " ")


def test_plots_are_inside_the_page(tmp_path: Path):
    walk = report(tmp_path, [])
    urls = [image["src"] for image in walk.named("img")]
    assert len(urls) == len(PLOTS) - 1
    out = tmp_path / "out"
    inside = {base64.b64decode(url.removeprefix("data:image/svg+xml;base64,")) for url in urls}
    assert inside == {path.read_bytes() for path in out.glob("*.svg")}
    assert walk.named("section") == []


def test_every_choice_has_its_rule(tmp_path: Path):
    walk = report(tmp_path, [sample(answered(), 1)])
    buttons = [button["id"] for button in walk.named("input")]
    assert buttons == [f"only-{choice}" for choices in CHOICES.values() for choice in choices]
    for choices in CHOICES.values():
        for choice in choices[1:]:
            assert f".gallery:has(#only-{choice}:checked) .sample:not(.{choice})" in PAGE_STYLE


@pytest.mark.parametrize("name", EXTREME)
def test_any_episode_comes_back_from_its_record(tmp_path: Path, name: str):
    episode = EXTREME[name]
    record = sample(episode, 1)
    run = one(tmp_path, episodes=[record])[0]
    (held,) = run.folder.episodes()
    found, _ = episode_of(held, tmp_path)
    assert [turn.text for turn in found.turns] == [turn.text for turn in episode.turns]
    assert (found.answer, found.requested) == (episode.answer, episode.requested)
    assert found.stop_reason is episode.stop_reason
    assert found.ledger.processed == episode.ledger.processed
    assert found.ledger.vanilla == episode.ledger.vanilla


def test_hostile_text_stays_text(tmp_path: Path):
    """In a reply, a question, an answer, a family, and in the names of runs and families."""
    episode = play([scene()], HOSTILE, [direct_reply(HOSTILE, HOSTILE)])
    record = sample(episode, 1, family=HOSTILE, kind=HOSTILE, answer_expected=HOSTILE)
    line = {"step": 1, "reward/total": 1.0, f"episode/request_rate/family/{HOSTILE}": 0.5}
    path = write_run(tmp_path / "<script>a", [line], episodes=[record])
    files = write_report(read_runs([path]), tmp_path / "out")
    text = files[0].read_text("utf-8")
    check_page(ReportWalk(text))
    assert "<script" not in text
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in text


IMAGE = "data:image/png;base64,"
SPOILT: list[tuple[dict[str, Any], str]] = [
    ({"images": None}, "what the model saw was not kept"),
    ({"images": [IMAGE]}, "cannot read"),
    ({"images": [IMAGE + "!!"]}, "an image of the record is no base64"),
    ({"images": [7]}, "an image of the record is no text"),
    ({"images": ["../../../etc/passwd"]}, "an image of the record is outside its run folder"),
    ({"images": ["http://evil.example/x.png"]}, "cannot read"),
    ({"profile": "<x>"}, "Its profile, <x>, is not known here."),
    ({"reward": None}, "unscored"),
    ({"version": 2}, "This record cannot be shown: ValueError: it is of version 2"),
    ({"look": "up"}, "This record cannot be shown: ValueError: there is no look 'up'"),
    ({"stop_reason": "bored"}, "This record cannot be shown: ValueError"),
    ({"turns": 5}, "This record cannot be shown: TypeError"),
    ({"ledger": {}}, "This record cannot be shown: KeyError: 'visual_tokens'"),
]


@pytest.mark.parametrize(("damage", "note"), SPOILT)
def test_spoilt_records_become_notes(tmp_path: Path, damage: dict[str, Any], note: str):
    walk = report(tmp_path, [{**sample(answered(), 1), **damage}, sample(requested(), 2)])
    check_page(walk)
    assert note in walk.rows()
    assert "How much is the tea?" in walk.rows()


def test_images_may_be_files_of_the_run(tmp_path: Path):
    record = sample(answered(), 1, images=["images/1.png"])
    run = one(tmp_path, episodes=[record])[0]
    (run.folder.path / "images").mkdir()
    Image.new("RGB", (224, 168), "red").save(run.folder.path / "images" / "1.png")
    episode, note = episode_of(record, run.folder.path)
    assert note == ""
    assert episode.messages[0].images[0].image.getpixel((0, 0)) == (255, 0, 0)


def test_shrunk_images_say_what_the_model_saw(tmp_path: Path):
    episode = play([Image.new("RGB", (1792, 896))], "Large?", [direct_reply("", "yes")])
    walk = report(tmp_path, [sample(episode, 1)])
    assert "images are kept shrunk; the model saw 896 x 448 px" in walk.rows()


@pytest.mark.parametrize(
    ("most", "expected"), [(0, []), (1, [9]), (2, [4, 9]), (3, [3, 6, 9]), (20, list(range(10)))]
)
def test_samples_are_spread_over_the_run(tmp_path: Path, most: int, expected: list[int]):
    run = one(tmp_path, episodes=[{"id": at} for at in range(10)])[0]
    assert [found.record["id"] for found in samples(run, most)] == expected


def test_at_most_so_many_samples_of_all_runs(tmp_path: Path):
    paths = [
        write_run(tmp_path / at, ramp(2), episodes=[sample(answered(), 1)] * 5, x=at)
        for at in ("a", "b")
    ]
    files = write_report(read_runs(paths), tmp_path / "out", episodes=3)
    walk = ReportWalk(files[0].read_text("utf-8"))
    samples_shown = [at for at in walk.named("details") if at.get("class", "").startswith("sample")]
    assert len(samples_shown) == 3
