"""What the callbacks write, say and ask for, event by event."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from transformers import TrainerControl, TrainerState

from visionthink.core.episode import run_episode
from visionthink.core.protocol import direct_reply
from visionthink.core.rewards import GroupScore, Reward
from visionthink.core.types import Episode
from visionthink.engines.scripted import ScriptedEngine
from visionthink.mini.world import make_example
from visionthink.runs.folder import RunFolder
from visionthink.training.callbacks import Evaluation, Interrupt, RunLog, Watchdog, metrics_line
from visionthink.training.rollout import Rollouts

LOGS = {
    "loss": 0.25,
    "epoch": 1.5,
    "step_time": 2.0,
    "num_tokens": 99.0,
    "rewards/accuracy/mean": 0.5,
    "clip_ratio/low_mean": 0.0,
    "episode/request_rate": 0.5,
    "episode/request_variance": 0.2,
    "reward/total": 1.25,
    "time/rollout_s": 0.5,
    "time/judge_s": 0.25,
}


def test_metrics_have_our_names():
    """Losses below train/, paths as they are; TRL's reward means and clip ratios are left out."""
    assert metrics_line(3, LOGS) == {
        "step": 3,
        "train/loss": 0.25,
        "train/epoch": 1.5,
        "episode/request_rate": 0.5,
        "episode/request_variance": 0.2,
        "reward/total": 1.25,
        "time/rollout_s": 0.5,
        "time/judge_s": 0.25,
        "time/step_s": 2.0,
    }


def episode(seed: int) -> Episode:
    engine = ScriptedEngine([direct_reply("seen", f"answer {seed}")])
    return asyncio.run(run_episode(make_example("colour", seed, "train"), engine, profile="mini"))


def rolled_out() -> Any:
    """Two groups of two; the last episode is unscored."""
    right, wrong = Reward(1.0, 0.5, 0.1), Reward(0.0, 0.5, 0.0)
    rollouts = Rollouts(
        rows=[0, 0, 1, 1],
        episodes=[episode(seed) for seed in range(4)],
        facts=[],
        scores=[GroupScore(0.5, (right, wrong)), GroupScore(None, (wrong, None))],
        shares=[0.75, -0.75, 0.0, 0.0],
    )
    return SimpleNamespace(
        rollouts=rollouts, last_metrics={"control/r_histogram": [0, 1]}, broken={}
    )


def log_of(
    tmp_path: Path, said: list[str], trainer: Any = None, **options: Any
) -> tuple[RunLog, RunFolder]:
    run = RunFolder.create(tmp_path / "run", {})
    log = RunLog(
        trainer or rolled_out(), run, said.append, **{"samples": 2, "updates": 2, **options}
    )
    return log, run


def state(step: int, last: int = 10) -> TrainerState:
    return TrainerState(global_step=step, max_steps=last)


def test_log_lines_show_request_rates_by_kind(tmp_path: Path):
    """An overall rate of one half says nothing where half of the questions need the original."""
    said: list[str] = []
    log, _ = log_of(tmp_path, said)
    kinds = {"episode/request_rate/kind/strong": 0.98, "episode/request_rate/kind/weak": 0.02}
    cost = {"episode/accuracy": 0.875, "cost/visual_token_ratio": 0.75}
    log.on_log(None, state(1), TrainerControl(), {**LOGS, **kinds, **cost})
    held_out = {f"eval/{key.removeprefix('episode/')}": value for key, value in kinds.items()}
    held_out |= {"eval/accuracy": 1.0, "eval/request_rate": 0.5, "eval/cost/visual_token_ratio": 1}
    log.on_log(None, state(1), TrainerControl(), held_out)
    figures = "requests weak 2%  requests strong 98%  visual tokens"
    assert said == [
        f"step 1/10  reward 1.25  accuracy 88%  {figures} 75%  2.0 s",
        f"held out, greedy, after step 1:  accuracy 100%  {figures} 100%",
    ]


def test_log_lines_show_what_the_judge_cannot_tell(tmp_path: Path):
    """Only where there is any."""
    said: list[str] = []
    log, run = log_of(tmp_path, said)
    for rate in (0.0, 0.25):
        found = {**LOGS, "judge/undecided_rate": rate}
        log.on_log(None, state(1), TrainerControl(), found)
    log.on_log(
        None, state(1), TrainerControl(), {"eval/accuracy": 1.0, "eval/judge/undecided_rate": 0.5}
    )
    assert ["undecided" in line for line in said] == [False, True, True]
    assert said[1].split("  ")[-2] == "undecided 25%"
    assert said[2] == "held out, greedy, after step 1:  accuracy 100%  undecided 50%"
    assert [line.get("judge/undecided_rate") for line in run.metrics()] == [0.0, 0.25, None]


def test_broken_rows_are_reported_once(tmp_path: Path):
    said: list[str] = []
    trainer = rolled_out()
    log, _ = log_of(tmp_path, said, trainer)
    for step, row in enumerate(("q1", "q1", "q7"), start=1):
        trainer.broken[row] = None
        log.on_log(None, state(step), TrainerControl(), LOGS)
    assert [line for line in said if line.startswith("row ")] == [
        f"row {row!r} cannot be opened; others are drawn in its place" for row in ("q1", "q7")
    ]


def test_a_generation_is_written_and_reported(tmp_path: Path):
    """Time left for updates: 2.0 - 0.5 - 0.25. Of four episodes two are kept, drawn with seed 2;
    the control part is written with its sign: 1.0 + 0.5 - 0.1 = 1.4.
    """
    said: list[str] = []
    log, run = log_of(tmp_path, said)
    log.on_train_begin(None, state(0), TrainerControl())
    log.on_log(None, state(2), TrainerControl(), LOGS)
    log.on_train_end(None, state(2), TrainerControl())
    (line,) = run.metrics()
    assert line["time/update_s"] == 1.25
    assert line["control/r_histogram"] == [0, 1]
    assert said == ["step 2/10  reward 1.25  requests 50%  2.0 s"]
    kept = list(run.episodes())
    assert [record["step"] for record in kept] == [2, 2]
    assert [record["turns"][-1]["text"] for record in kept] == [
        direct_reply("seen", "answer 0"),
        direct_reply("seen", "answer 3"),
    ]
    assert kept[0]["reward"] == {
        "accuracy": 1.0,
        "format": 0.5,
        "control": -0.1,
        "total": 1.4,
        "advantage": 0.75,
    }
    assert kept[1]["reward"] is None


def test_an_update_without_a_generation_is_written_but_not_reported(tmp_path: Path):
    said: list[str] = []
    log, run = log_of(tmp_path, said)
    log.on_log(None, state(2), TrainerControl(), {"loss": 0.5, "step_time": 1.0})
    assert run.metrics() == [{"step": 2, "train/loss": 0.5, "time/step_s": 1.0}]
    assert said == []
    assert list(run.episodes()) == []


def test_the_final_summary_of_the_engine_is_not_written(tmp_path: Path):
    log, run = log_of(tmp_path, [])
    log.on_log(None, state(2), TrainerControl(), {"train_runtime": 9.0, "train_loss": 0.1})
    assert run.metrics() == []


def test_no_samples_are_kept_with_samples_0(tmp_path: Path):
    log, run = log_of(tmp_path, [], samples=0)
    log.on_log(None, state(1), TrainerControl(), LOGS)
    assert list(run.episodes()) == []


def test_other_processes_write_and_say_nothing():
    """They have no run folder; the watchdog stops them all the same."""
    said: list[str] = []
    options: Any = {"watchdog": Watchdog(steps=1), "stop_on_collapse": True}
    log = RunLog(rolled_out(), None, said.append, samples=2, updates=1, **options)
    control = TrainerControl()
    log.on_log(None, state(1), control, {**LOGS, "episode/request_rate": 1.0})
    assert control.should_training_stop
    assert said == []


@pytest.mark.parametrize("stop", [False, True])
def test_the_watchdog_warns_and_stops_if_asked(tmp_path: Path, stop: bool):
    """A generation is of two updates: it is finished before the run stops with a checkpoint."""
    said: list[str] = []
    log, _ = log_of(tmp_path, said, watchdog=Watchdog(steps=1), stop_on_collapse=stop)
    control = TrainerControl()
    log.on_log(None, state(1), control, {**LOGS, "episode/request_rate": 0.0})
    assert said[0].startswith("watchdog: for 1 steps the policy never requests the original")
    assert (control.should_training_stop, control.should_save) == (False, False)
    log.on_step_end(None, state(2), control)
    assert (control.should_training_stop, control.should_save) == (stop, stop)


def test_evaluation_runs_before_training_at_intervals_and_at_the_end():
    """Before step 1, at each third step, and at the last; a resumed run does not begin with one."""
    asked: list[int] = []
    now = state(0, last=7)
    trainer: Any = SimpleNamespace(evaluate_rows=lambda rows: asked.append(now.global_step))
    evaluation = Evaluation(trainer, [], every=3)
    evaluation.on_train_begin(None, now, TrainerControl())
    for step in range(1, 8):
        now.global_step = step
        evaluation.on_step_end(None, now, TrainerControl())
    assert asked == [0, 3, 6, 7]
    now.global_step = 4
    evaluation.on_train_begin(None, now, TrainerControl())
    assert asked == [0, 3, 6, 7]


def test_evaluation_keeps_the_log_of_its_step_due():
    """Logging switches `should_log` off; the step's own metrics still have to come."""
    control = TrainerControl(should_log=True)

    def evaluate_rows(rows: Any) -> None:
        control.should_log = False

    trainer: Any = SimpleNamespace(evaluate_rows=evaluate_rows)
    evaluation = Evaluation(trainer, [], every=1)
    evaluation.on_step_end(None, state(1), control)
    assert control.should_log


@pytest.fixture
def interrupt() -> Iterator[tuple[Interrupt, list[str]]]:
    """Ready for Ctrl-C, in a process whose handlers come back afterwards."""
    said: list[str] = []
    found = Interrupt(bool, 2, said.append, "generation")
    found.on_train_begin(None, state(0), TrainerControl())
    yield found, said
    found.restore()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_waits_for_the_end_of_the_generation(
    interrupt: tuple[Interrupt, list[str]], number: int
):
    """A generation is of two updates: step 3 continues, step 4 saves and stops."""
    callback, said = interrupt
    os.kill(os.getpid(), number)
    assert said == ["stopping after this generation, with a checkpoint; again to stop at once"]
    control = TrainerControl()
    callback.on_step_end(None, state(3), control)
    assert not control.should_training_stop
    callback.on_step_end(None, state(4), control)
    assert (control.should_training_stop, control.should_save) == (True, True)
    assert callback.stopped


def test_a_second_signal_stops_at_once(interrupt: tuple[Interrupt, list[str]]):
    os.kill(os.getpid(), signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        os.kill(os.getpid(), signal.SIGINT)


def test_signal_handlers_are_restored_at_the_end():
    before = signal.getsignal(signal.SIGINT)
    callback = Interrupt(bool, 1, print, "step")
    callback.on_train_begin(None, state(0), TrainerControl())
    assert signal.getsignal(signal.SIGINT) != before
    callback.on_train_end(None, state(1), TrainerControl())
    assert signal.getsignal(signal.SIGINT) is before


def test_values_that_are_not_numbers_are_written_as_null(tmp_path: Path):
    """A figure that is not a number becomes null, so that any reader can read on."""
    log, run = log_of(tmp_path, [])
    log.on_log(None, state(1), TrainerControl(), {**LOGS, "loss": float("nan")})
    (line,) = (run.path / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    assert json.loads(line)["train/loss"] is None


# The watchdog


def test_the_watchdog_reports_after_its_steps_in_a_row_and_again():
    dog = Watchdog(steps=3, margin=0.02)
    said = [dog.observe(0.0, 0.0) for _ in range(7)]
    assert [index for index, problem in enumerate(said, start=1) if problem] == [3, 6]
    assert said[2] == (
        "for 3 steps the policy never requests the original "
        "(request rate 0.00, variance within groups 0.000)"
    )


def test_one_step_that_is_not_pinned_resets_the_watchdog():
    dog = Watchdog(steps=3)
    figures = [(1.0, 0.0), (1.0, 0.0), (0.5, 0.2), (1.0, 0.0), (1.0, 0.0)]
    assert [dog.observe(*step) for step in figures] == [None] * 5
    assert "always requests the original" in (dog.observe(1.0, 0.0) or "")


@pytest.mark.parametrize(
    ("rate", "variance", "what"),
    [
        (0.02, 0.2, "never"),  # the margin itself counts as pinned
        (0.98, 0.2, "always"),
        (0.5, 0.019, "decides alike within every group"),  # 0.02 * 0.98 = 0.0196
        (0.5, 0.0196, None),
        (0.021, 0.02, None),
    ],
)
def test_which_figures_count_as_pinned(rate: float, variance: float, what: str | None):
    problem = Watchdog(steps=1, margin=0.02).observe(rate, variance)
    assert (problem is None) if what is None else what in (problem or "")
