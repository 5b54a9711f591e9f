"""Callbacks that run alongside training: metrics, progress, evaluation, watchdog, Ctrl-C."""

from __future__ import annotations

import random
import signal
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tqdm import tqdm
from transformers import TrainerCallback

from visionthink.core.errors import TrainingError
from visionthink.data.rows import Row
from visionthink.runs.folder import RunFolder
from visionthink.runs.records import sample_record

if TYPE_CHECKING:
    from visionthink.training.trainer import VisionThinkTrainer

Say = Callable[[str], None]

COST = "cost/visual_token_ratio"
LOSS_KEYS = ("loss", "kl", "entropy", "grad_norm", "learning_rate", "epoch")


def metrics_line(step: int, logs: Mapping[str, Any]) -> dict[str, Any]:
    """TRL's log of a step under our names: paths as they are, losses below `train/`."""
    line: dict[str, Any] = {"step": step}
    line |= {f"train/{key}": logs[key] for key in LOSS_KEYS if key in logs}
    line |= {k: v for k, v in logs.items() if "/" in k and not k.startswith(("rewards/", "clip_"))}
    if "step_time" in logs:
        line["time/step_s"] = logs["step_time"]
    return line


def _summary(line: Mapping[str, Any], prefix: str) -> str:
    """Accuracy, requests by kind of question, visual tokens over vanilla and, if there are any,
    answers that the judge cannot tell, for a line of log.
    """
    rate = f"{prefix}/request_rate"
    kinds = sorted((key for key in line if key.startswith(f"{rate}/kind/")), reverse=True)
    keys = {
        "accuracy": f"{prefix}/accuracy",
        **({f"requests {key.rpartition('/')[2]}": key for key in kinds} or {"requests": rate}),
        "visual tokens": f"eval/{COST}" if prefix == "eval" else COST,
    }
    undecided = "eval/judge/undecided_rate" if prefix == "eval" else "judge/undecided_rate"
    if line.get(undecided):
        keys["undecided"] = undecided
    return "  ".join(f"{name} {line[key]:.0%}" for name, key in keys.items() if key in line)


@dataclass
class Watchdog:
    """Notices when a policy has stopped deciding: counts steps in a row at which it is pinned.

    A policy that always or never requests, or whose groups all agree, gets no gradient from the
    control penalty any more: nothing will bring it back.

    Attributes:
        steps: how many such steps make a collapse.
        margin: the request rate is pinned within this of 0 or 1; the variance is pinned below
            margin · (1 - margin), the variance of groups at that edge.
    """

    steps: int = 20
    margin: float = 0.02
    pinned: int = 0

    def observe(self, request_rate: float, request_variance: float) -> str | None:
        """Count one step. Returns what is wrong once it has lasted `steps` steps, and again each
        time that it has lasted as many more.
        """
        low, high = request_rate <= self.margin, request_rate >= 1 - self.margin
        agreed = request_variance < self.margin * (1 - self.margin)
        self.pinned = self.pinned + 1 if low or high or agreed else 0
        if not self.pinned or self.pinned % self.steps:
            return None
        if low:
            what = "never requests the original"
        elif high:
            what = "always requests the original"
        else:
            what = "decides alike within every group, so the control penalty teaches nothing"
        return (
            f"for {self.pinned} steps the policy {what} "
            f"(request rate {request_rate:.2f}, variance within groups {request_variance:.3f})"
        )


class RunLog(TrainerCallback):
    """Writes metrics and sample episodes, shows progress, and feeds the watchdog.

    Only the main process has a run folder; the others pass None, and write and say nothing.
    """

    def __init__(
        self,
        trainer: VisionThinkTrainer,
        run: RunFolder | None,
        say: Say,
        *,
        samples: int,
        updates: int,
        watchdog: Watchdog | None = None,
        stop_on_collapse: bool = False,
    ) -> None:
        self._trainer = trainer
        self._run = run
        self._say = say
        self._samples = samples
        self._updates = updates
        self._watchdog = watchdog
        self._stop = stop_on_collapse
        self._bar: tqdm[Any] | None = None
        self._reported = 0
        self._collapse: str | None = None

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        if self._run is not None and sys.stderr.isatty():
            self._bar = tqdm(total=state.max_steps, initial=state.global_step, unit="step")

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **_: Any) -> None:
        logs = logs or {}
        generated = "episode/request_rate" in logs
        if generated and self._watchdog is not None:
            problem = self._watchdog.observe(
                logs["episode/request_rate"], logs["episode/request_variance"]
            )
            if problem is not None:
                self._collapse = problem
                self._write(f"watchdog: {problem}")
        self._stop_if_collapsed(state, control)
        if self._run is None or "train_runtime" in logs:
            return
        line = metrics_line(state.global_step, logs)
        if generated:
            line["control/r_histogram"] = self._trainer.last_metrics.get("control/r_histogram")
            busy = line.get("time/rollout_s", 0.0) + line.get("time/judge_s", 0.0)
            if "time/step_s" in line:
                line["time/update_s"] = max(0.0, line["time/step_s"] - busy)
            self._keep_samples(self._run, state.global_step)
            # Each row that could not be opened is named once.
            for row in [*self._trainer.broken][self._reported :]:
                self._write(f"row {row!r} cannot be opened; others are drawn in its place")
            self._reported = len(self._trainer.broken)
            self._show(state, line)
        self._run.append_metrics(line)
        if "eval/accuracy" in line:
            self._write(
                f"held out, greedy, after step {state.global_step}:  {_summary(line, 'eval')}"
            )

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self._stop_if_collapsed(state, control)

    def on_train_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        if self._bar is not None:
            self._bar.close()
            self._bar = None
        if self._stop and self._collapse is not None:
            raise TrainingError(
                f"stopped by the watchdog: {self._collapse}; the last checkpoint is in "
                f"{args.output_dir}; resume with --set watchdog.action=warn to continue all the "
                "same"
            )

    def _stop_if_collapsed(self, state: Any, control: Any) -> None:
        """Stop at the end of a generation, where a checkpoint is exact."""
        if self._stop and self._collapse is not None and state.global_step % self._updates == 0:
            control.should_training_stop = True
            control.should_save = True

    def _show(self, state: Any, line: Mapping[str, Any]) -> None:
        reward = line.get("reward/total")
        figures = "" if reward is None else f"reward {reward:.2f}  "
        figures += _summary(line, "episode")
        if self._bar is not None:
            self._bar.n = state.global_step
            self._bar.set_postfix_str(figures)
        else:
            seconds = line.get("time/step_s")
            pace = "" if seconds is None else f"  {seconds:.1f} s"
            self._write(f"step {state.global_step}/{state.max_steps}  {figures}{pace}")

    def _write(self, text: str) -> None:
        if self._run is None:
            return
        if self._bar is not None:
            self._bar.write(text, file=sys.stderr)
        else:
            self._say(text)

    def _keep_samples(self, run: RunFolder, step: int) -> None:
        """Keep some episodes, drawn at random: prompts may come in a fixed order of kinds."""
        rollouts = self._trainer.rollouts
        if rollouts is None or not self._samples:
            return
        count = len(rollouts.episodes)
        rewards = [reward for score in rollouts.scores for reward in score.rewards]
        for index in sorted(random.Random(step).sample(range(count), min(self._samples, count))):
            reward = rewards[index]
            parts = None
            if reward is not None:
                parts = {
                    "accuracy": reward.accuracy,
                    "format": reward.format,
                    "control": 0.0 - reward.control,
                    "total": reward.total,
                    "advantage": rollouts.shares[index],
                }
            run.append_episode(sample_record(rollouts.episodes[index], step=step, reward=parts))


class Evaluation(TrainerCallback):
    """Greedy episodes of held-out rows before training, every `every` steps, and at its end."""

    def __init__(self, trainer: VisionThinkTrainer, rows: Sequence[Row], every: int) -> None:
        self._trainer = trainer
        self._rows = rows
        self._every = every

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        if state.global_step % self._every == 0 or state.global_step >= state.max_steps:
            due = control.should_log
            self._trainer.evaluate_rows(self._rows)
            control.should_log = due  # logging figures of ours takes the step's own log off

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        if state.global_step == 0:
            self._trainer.evaluate_rows(self._rows)


class Interrupt(TrainerCallback):
    """Ctrl-C and SIGTERM end training after the current generation, with a checkpoint.

    A second one ends it at once. A run resumed from a checkpoint inside a generation would answer
    its prompts a second time, so the checkpoint waits for the last update of the generation.

    Args:
        any_process: says whether a flag is set on any process.
        updates: optimizer steps of a generation.
        say: receives the line that answers the signal.
        unit: what the line calls a generation.
    """

    def __init__(
        self, any_process: Callable[[bool], bool], updates: int, say: Say, unit: str
    ) -> None:
        self._any_process = any_process
        self._updates = updates
        self._say = say
        self._unit = unit
        self._handlers: dict[int, Any] = {}
        self.requested = False
        self.stopped = False

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._handlers[number] = signal.signal(number, self._note)

    def on_train_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self.restore()

    def restore(self) -> None:
        for number, handler in self._handlers.items():
            signal.signal(number, handler)
        self._handlers.clear()

    def _note(self, number: int, frame: Any) -> None:
        if self.requested:
            raise KeyboardInterrupt
        self.requested = True
        self._say(f"stopping after this {self._unit}, with a checkpoint; again to stop at once")

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        if state.global_step % self._updates == 0 and self._any_process(self.requested):
            self.stopped = True
            control.should_save = True
            control.should_training_stop = True
