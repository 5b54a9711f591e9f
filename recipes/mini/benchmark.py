"""The benchmark: how well the embedded checkpoints see, answer and request, by family.

`python -m recipes.mini.benchmark` runs real episodes through the hf engine on drawings that no
training used. It prints one table per checkpoint, then whether each bar (a threshold) is met.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from visionthink.core.engine import Engine
from visionthink.core.episode import run_episode
from visionthink.core.intervals import wilson
from visionthink.core.types import Episode, LookMode, Sampling
from visionthink.mini.world import FAMILIES, Kind, make_example

SAMPLES = 500
BATCH = 64
FIRST_SEED = 1_000_000
"""First test seed measured; the shipped samples and the tests use others."""


@dataclass(frozen=True)
class Result:
    """Rates over `n` episodes of one family. `look` "sampled" is auto at temperature 1."""

    checkpoint: str
    family: str
    kind: Kind
    look: str
    n: int
    accuracy: float
    request_rate: float
    format_valid: float
    visual_token_ratio: float

    def score(self) -> str:
        """The accuracy, and its 95 % interval."""
        low, high = wilson(self.accuracy, self.n) or (0.0, 1.0)
        return f"{self.accuracy:.3f} ({low:.3f} to {high:.3f})"


async def measure(engine: Engine, checkpoint: str, family: str, look: str, samples: int) -> Result:
    """Run `samples` episodes of one family, `BATCH` at a time."""
    slots = asyncio.Semaphore(BATCH)
    asked: LookMode = "auto" if look == "sampled" else look  # type: ignore[assignment]

    async def one(index: int) -> Episode:
        async with slots:
            return await run_episode(
                make_example(family, FIRST_SEED + index, "test"),
                engine,
                look=asked,
                sampling=Sampling(
                    temperature=1.0 if look == "sampled" else 0.0, max_tokens=64, seed=index
                ),
            )

    episodes = await asyncio.gather(*(one(index) for index in range(samples)))
    processed = sum(episode.ledger.processed for episode in episodes)
    vanilla = sum(episode.ledger.vanilla for episode in episodes)

    def share(facts: Sequence[bool]) -> float:
        return sum(facts) / len(facts)

    return Result(
        checkpoint=checkpoint,
        family=family,
        kind=FAMILIES[family][0],
        look=look,
        n=samples,
        accuracy=share([episode.answer == episode.example.answer for episode in episodes]),
        request_rate=share([episode.requested for episode in episodes]),
        format_valid=share([episode.format_valid for episode in episodes]),
        visual_token_ratio=processed / vanilla,
    )


CHANCE = {"receipt": 0.0, "tag": 0.0, "chart_label": 0.01, "hatch": 0.11, "watermark": 0.1}
"""Share of right guesses where the half view does not show the answer."""

RUNS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("mini", ("high", "low", "auto")),
    ("mini-sft", ("high", "low", "auto")),
    ("mini-base", ("high", "low", "sampled")),
)


@dataclass(frozen=True)
class Check:
    """Whether one bar is met; `worst` is the family or kind that is closest to failing."""

    what: str
    met: bool
    worst: str


def check(results: Sequence[Result]) -> list[Check]:
    """Compare the measured rates with the bars."""
    checks: list[Check] = []

    def least(what: str, least: float, shares: dict[str, float]) -> None:
        name = min(shares, key=lambda key: shares[key])
        checks.append(Check(what, shares[name] >= least, f"{name} {shares[name]:.3f}"))

    def most(what: str, most: float, shares: dict[str, float]) -> None:
        name = max(shares, key=lambda key: shares[key])
        checks.append(Check(what, shares[name] <= most, f"{name} {shares[name]:.3f}"))

    def pick(checkpoint: str, look: str, *kinds: Kind) -> list[Result]:
        return [
            result
            for result in results
            if (result.checkpoint, result.look) == (checkpoint, look) and result.kind in kinds
        ]

    def mean(found: Sequence[Result], field: str) -> float:
        return sum(getattr(result, field) for result in found) / len(found)

    for checkpoint in ("mini", "mini-sft", "mini-base"):
        every = pick(checkpoint, "high", "weak", "strong", "lucky")
        weak, strong = pick(checkpoint, "low", "weak"), pick(checkpoint, "low", "strong")
        least(f"{checkpoint} high: accuracy >= 0.95", 0.95, {b.family: b.accuracy for b in every})
        least(
            f"{checkpoint} low, weak: accuracy >= 0.95", 0.95, {b.family: b.accuracy for b in weak}
        )
        most(
            f"{checkpoint} low, strong: accuracy - chance <= 0.15",
            0.15,
            {b.family: b.accuracy - CHANCE[b.family] for b in strong},
        )
    for checkpoint, requests, direct, worth in (
        ("mini", 0.95, 0.05, 0.01),
        ("mini-sft", 0.90, 0.10, 0.02),
    ):
        weak, strong = pick(checkpoint, "auto", "weak"), pick(checkpoint, "auto", "strong")
        rates = [{"mean": mean(kind, "request_rate")} for kind in (strong, weak)]
        least(f"{checkpoint} auto, strong: requests >= {requests:.2f}", requests, rates[0])
        most(f"{checkpoint} auto, weak: requests <= {direct:.2f}", direct, rates[1])
        high = mean(pick(checkpoint, "high", "weak", "strong"), "accuracy")
        lost = high - mean([*weak, *strong], "accuracy")
        most(f"{checkpoint}: accuracy of high - auto <= {worth:.2f}", worth, {"overall": lost})
    formed = {"mean": mean(pick("mini", "auto", "weak", "strong"), "format_valid")}
    least("mini auto: format valid >= 0.99", 0.99, formed)
    for kind in ("weak", "strong"):
        found = pick("mini-base", "sampled", kind)
        rate = {kind: mean(found, "request_rate")}
        least(f"mini-base sampled, {kind}: requests >= 0.30", 0.3, rate)
        most(f"mini-base sampled, {kind}: requests <= 0.70", 0.7, rate)
        least(
            f"mini-base sampled, {kind}: format valid >= 0.95",
            0.95,
            {kind: mean(found, "format_valid")},
        )
    return checks


def table(results: Sequence[Result], checkpoint: str) -> str:
    """A Markdown table of one checkpoint, one row per family."""
    looks = dict(RUNS)[checkpoint]
    last = looks[-1]
    head = ["family", "kind", *looks, f"requests ({last})", f"visual tokens ({last})", "format"]
    rows = [head, ["---"] * len(head)]
    for family, (kind, _) in FAMILIES.items():
        by_look = {b.look: b for b in results if (b.checkpoint, b.family) == (checkpoint, family)}
        if not by_look:
            continue
        scores = [by_look[look].score() for look in looks]
        end = by_look[last]
        shares = (end.request_rate, end.visual_token_ratio, end.format_valid)
        rows.append([family, kind, *scores, *(f"{share:.0%}" for share in shares)])
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def report(results: Sequence[Result]) -> str:
    """Markdown: a table per checkpoint and, if all were measured, which bars are met."""
    measured = {result.checkpoint for result in results}
    parts = [f"### {name}\n\n{table(results, name)}\n" for name, _ in RUNS if name in measured]
    if len(measured) == len(RUNS):
        parts.append("### Bars\n\n| bar | met | closest to failing |\n| --- | --- | --- |")
        parts += [
            f"| {c.what} | {'yes' if c.met else '**no**'} | {c.worst} |" for c in check(results)
        ]
    return "\n".join(parts) + "\n"


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure the embedded checkpoints and print the tables."""
    from visionthink.engines.hf import HFEngine
    from visionthink.mini import CHECKPOINTS

    parser = argparse.ArgumentParser(prog="python -m recipes.mini.benchmark", description=__doc__)
    parser.add_argument("--samples", type=int, default=SAMPLES)
    parser.add_argument("--checkpoints", type=Path, default=CHECKPOINTS)
    parser.add_argument("--only", nargs="+", choices=dict(RUNS), default=list(dict(RUNS)))
    parser.add_argument("--json", type=Path, help="also write all figures to this file")
    options = parser.parse_args(arguments)
    results: list[Result] = []
    for checkpoint, looks in RUNS:
        if checkpoint not in options.only:
            continue
        engine = HFEngine(options.checkpoints / checkpoint, max_batch=BATCH)
        for look in looks:
            for family in FAMILIES:
                results.append(
                    asyncio.run(measure(engine, checkpoint, family, look, options.samples))
                )
                print(f"{results[-1]}", file=sys.stderr)
    if options.json:
        options.json.write_text(json.dumps([asdict(result) for result in results], indent=1) + "\n")
    print(report(results))


if __name__ == "__main__":
    main()
