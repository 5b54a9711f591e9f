"""Run folders of training, written by hand: figures that are worked out, not trained."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from visionthink.core.types import Episode
from visionthink.runs.folder import RunFolder
from visionthink.runs.records import sample_record

CONFIG: Mapping[str, Any] = {
    "model": "mini-base",
    "reward": {"rule": "paper", "theta": 0.2},
    "seed": 0,
    "output_dir": "somewhere",
}


def write_run(
    path: Path,
    lines: list[dict[str, Any]],
    *,
    episodes: list[dict[str, Any]] | None = None,
    **config: Any,
) -> Path:
    run = RunFolder.create(path, {**CONFIG, "output_dir": str(path), **config}, environment={})
    for line in lines:
        run.append_metrics(line)
    for record in episodes or []:
        run.append_episode(record)
    return path


def ramp(steps: int = 100, *, strong: float = 1.0, weak: float = 0.0, seed: int = 0) -> list[Any]:
    """Curves that look like training: request rates go from one half to `strong` and `weak`."""
    lines: list[dict[str, Any]] = []
    for step in range(1, steps + 1):
        done = 1 / (1 + math.exp(-(step / steps - 0.35) * 14))
        shake = 0.05 * math.sin(step * 1.7 + 2.1 * seed) * (1.2 - done)
        rate = {
            "weak": min(1.0, max(0.0, 0.5 + (weak - 0.5) * done + shake)),
            "strong": min(1.0, max(0.0, 0.5 + (strong - 0.5) * done - shake)),
        }
        request = (rate["weak"] + rate["strong"]) / 2
        accuracy = {"weak": 0.9 + 0.08 * done, "strong": 0.15 + 0.8 * rate["strong"]}
        right = (accuracy["weak"] + accuracy["strong"]) / 2
        low, high = round(20 * rate["strong"]), round(20 * (1 - rate["weak"]))
        line = {
            "step": step,
            "episode/request_rate": request,
            "episode/malformed_rate": 0.2 * (1 - done),
            "episode/overlong_rate": 0.02 * (1 - done),
            "episode/zero_variance_rate": 0.1 + 0.6 * done,
            "episode/request_rate/family/colour": rate["weak"],
            "episode/request_rate/family/tag": rate["strong"],
            "reward/accuracy": right,
            "reward/format": 0.5 - 0.1 * (1 - done),
            "reward/control": -0.05 * (1 - done),
            "reward/total": right + 0.5 - 0.15 * (1 - done),
            "control/r_mean": 0.5,
            "control/r_histogram": [low, 2, 1, 1, 0, 1, 1, 2, 3, high] if step != 30 else [0] * 10,
            "control/r_undefined": 4,
            "judge/unscored_rate": 0.0,
            "cost/visual_token_ratio": 0.25 + request,
            "train/loss": math.nan,
        }
        for kind in ("weak", "strong"):
            line[f"episode/request_rate/kind/{kind}"] = rate[kind]
            line[f"episode/accuracy/kind/{kind}"] = accuracy[kind]
        lines.append(line)
        if step % 20 == 0:
            held: dict[str, Any] = {"step": step, "eval/accuracy": right - 0.02}
            held |= {f"eval/request_rate/kind/{kind}": rate[kind] for kind in rate}
            held |= {f"eval/accuracy/kind/{kind}": accuracy[kind] - 0.02 for kind in rate}
            lines.append(held)
    return lines


def sample(episode: Episode, step: int, **more: Any) -> dict[str, Any]:
    reward = {"accuracy": 1.0, "format": 0.5, "control": -0.1, "total": 1.4, "advantage": 0.25}
    return {**sample_record(episode, step=step, reward=reward), **more}
