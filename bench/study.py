"""The study on the embedded world: every training run behind docs/results.md, and its plots.

    python bench/study.py --out out/study             # trains what is missing, then reports
    python bench/study.py --out out/study --only rule # one part of it

Each run is `visionthink train grpo mini` with a few settings changed. An interrupted run resumes.
Two runs at a time, one core each.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

SHORT = ("trainer.max_steps=40", "trainer.save_steps=20", "eval.every=20", "eval.limit=104")
"""Enough steps to see where a policy is heading."""

LUCKY = ("data.families={colour: 1, shape: 1, presence: 1, weave: 3}",)
"""Half of the prompts have two answers, one of which is guessed right half of the time."""


@dataclass(frozen=True)
class Part:
    """One question: settings by name, the config key in which they differ, and how many seeds.

    `beside` names runs of other parts that the report shows as well.
    """

    settings: dict[str, tuple[str, ...]]
    by: str
    seeds: int = 1
    common: tuple[str, ...] = SHORT
    beside: tuple[str, ...] = ()


PARTS: dict[str, Part] = {
    "mini": Part({"rates": ("reward.rule=rates",)}, "reward.rule", seeds=3, common=()),
    "rule": Part(
        {
            name: (f"reward.rule={name}",)
            for name in ("none", "search-r1", "released", "rates", "paper")
        },
        "reward.rule",
    ),
    "theta": Part(
        {
            f"{theta}": ("reward.rule=paper", f"reward.theta={theta}")
            for theta in (0.0, 0.15, 0.2, 0.25, 0.3)
        },
        "reward.theta",
    ),
    "lucky": Part(
        {name: (*LUCKY, f"reward.rule={name}") for name in ("paper", "rates", "search-r1")},
        "reward.rule",
    ),
    "start": Part({"mini-sft": ("model.name=mini-sft",)}, "model.name", beside=("rule/rates",)),
}


def commands(part: str, out: Path) -> Iterator[tuple[Path, list[str]]]:
    """Run folder and arguments of each run of a part."""
    program = [sys.executable, "-m", "visionthink", "train"]
    spec = PARTS[part]
    for name, sets in spec.settings.items():
        for seed in range(spec.seeds):
            folder = out / part / name / f"seed-{seed}"
            given = [*spec.common, *sets, f"seed={seed}", f"data.seed={seed}"]
            settings = [word for each in given for word in ("--set", each)]
            yield folder, [*program, "grpo", "mini", "--out", str(folder), "--resume", *settings]


def run(folder: Path, words: list[str]) -> str:
    """Train one run to its end, unless it has finished."""
    if (folder / "model").is_dir():
        return f"{folder}: there"
    folder.mkdir(parents=True, exist_ok=True)
    log = folder.with_name(f"{folder.name}.log")
    with log.open("a", encoding="utf-8") as file:
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        code = subprocess.run(words, stdout=file, stderr=file, env=environment).returncode  # noqa: S603
    return f"{folder}: {'done' if code == 0 else f'failed ({code}), see {log}'}"


def main() -> None:
    """Train what is missing, then report part by part."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--out", type=Path, default=Path("out/study"))
    parser.add_argument("--only", nargs="+", choices=list(PARTS), default=list(PARTS))
    parser.add_argument("--jobs", type=int, default=2)
    options = parser.parse_args()
    jobs = [job for part in options.only for job in commands(part, options.out)]
    with ThreadPoolExecutor(options.jobs) as pool:
        for line in pool.map(lambda job: run(*job), jobs):
            print(line, flush=True)
    for part in options.only:
        own = [folder for folder, _ in commands(part, options.out)]
        others = [run for name in PARTS[part].beside for run in (options.out / name).glob("seed-*")]
        folders = [str(folder) for folder in [*own, *others] if (folder / "model").is_dir()]
        report = [sys.executable, "-m", "visionthink", "report", *folders]
        report += ["--out", str(options.out / part / "report"), "--by", PARTS[part].by]
        subprocess.run(report, check=True)  # noqa: S603


if __name__ == "__main__":
    main()
