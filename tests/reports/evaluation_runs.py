"""Run folders of evaluation, written by hand: figures that are worked out, not measured."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from visionthink.core.types import Episode, Example
from visionthink.runs.folder import RunFolder
from visionthink.runs.records import scored_record

CONFIG: Mapping[str, Any] = {
    "suites": {"mini": {}},
    "policies": ["high", "low", "auto"],
    "model": "mini",
    "seed": 0,
}
COSTS = {
    "high": (0.0, 1.0, 1.0, 2.0),
    "low": (0.0, 0.25, 0.3, 0.5),
    "auto": (0.3, 0.55, 0.6, 1.0),
    "fastv:0.5": (0.0, 0.5, 0.7, 1.5),
    "sparsevlm:0.5": (0.0, 0.5, 0.7, 1.6),
    "visionzip:0.5": (0.0, 0.5, 0.65, 1.8),
    "auto+visionzip:0.5": (0.3, 0.45, 0.5, 1.1),
    "high:general": (0.0, 1.0, 1.0, 2.4),
    "random:0.3": (0.3, 0.55, 0.6, 1.1),
    "oracle": (0.25, 0.5, 0.55, 0.9),
    "other": (0.0, 0.8, 0.8, 1.7),
}
"""Request rate, visual tokens, FLOPs, seconds."""


def write_evaluation(
    path: Path,
    rows: Sequence[Mapping[str, Any]] | None,
    *,
    episodes: Sequence[Mapping[str, Any]] = (),
    environment: Mapping[str, Any] | None = None,
    **config: Any,
) -> Path:
    run = RunFolder.create(path, {**CONFIG, **config}, environment=environment or {})
    for record in episodes:
        run.append_episode(record)
    if rows is not None:
        run.write_summary(rows)
    return path


def row(policy: str, accuracy: float | None, **more: Any) -> dict[str, Any]:
    """A row of a summary as `eval` writes it: of all of mini, 100 samples, ± 2 %."""
    requests, tokens, flops, seconds = COSTS[policy]
    return {
        "suite": "mini",
        "family": "all",
        "kind": None,
        "policy": policy,
        "n": 100,
        "errors": 0,
        "accuracy": accuracy,
        "stderr": None if accuracy is None else 0.02,
        "request_rate": requests,
        "visual_token_ratio": tokens,
        "seconds_per_sample": seconds,
        "flops_ratio": flops,
        "visual_token_ratio_replaced": tokens - requests / 4,
        "paper_flops_ratio": flops,
        "prompt_tokens": 40.0,
        "completion_tokens": 8.0,
        "vs_high": None,
        **more,
    }


def rows(scores: Mapping[str, float], suite: str = "mini", **more: Any) -> list[dict[str, Any]]:
    """Rows of policies and their accuracies on all of a suite."""
    return [row(policy, score, suite=suite, **more) for policy, score in scores.items()]


def families(
    scores: Mapping[str, tuple[float, float]], suite: str = "mini"
) -> list[dict[str, Any]]:
    """The same with a weak and a strong family of 100 samples each."""
    found: list[dict[str, Any]] = []
    for policy, (weak, strong) in scores.items():
        found += [
            row(policy, weak, suite=suite, family="colour", kind="weak"),
            row(policy, strong, suite=suite, family="tag", kind="strong"),
            row(policy, (weak + strong) / 2, suite=suite, n=200),
        ]
    return found


def line(episode: Episode | None, policy: str, **more: Any) -> dict[str, Any]:
    """A line of `episodes.jsonl`: right by rules, with images, unless said otherwise."""
    asked = episode.example if episode else Example((), "Never asked?")
    example = Example((), asked.question, "red", more.pop("id", "1"), more.pop("metadata", {}))
    scored = {"score": 1.0, "by": "rules", "error": None, "seconds": 0.5, "suite": "mini"}
    return scored_record(example, episode, policy=policy, images=True, **{**scored, **more})
