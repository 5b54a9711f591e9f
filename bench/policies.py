"""What each policy costs in time and memory, side by side in one run.

    python bench/policies.py                                  # 99 M parameters, 1,600 visual tokens
    python bench/policies.py --parameters 1b --side 2520 --dtype bfloat16        # on a GPU

The weights are random and replies scripted, so only costs can be compared; the arithmetic is real.
`auto` is the cost of 70 % direct and 30 % requested episodes. Every round measures all policies in
a row; the table shows the median ratio over the rounds.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from fixed_replies import AGAIN, DIRECT, REQUEST, episode, flops, noise, seconds
from model import save_bench_model
from ratio import machine
from visionthink.core.engine import Engine
from visionthink.core.types import Episode
from visionthink.engines.hf import HFEngine
from visionthink.engines.memory import PeakMemory
from visionthink.evaluation.policies import Policy, parse_policy

MODELS = {"99m": {}, "1b": {"hidden": 2048, "layers": 20}}
REQUESTS = 0.3
BARS = {"auto, 30 % requested": 0.75}
PRUNED = tuple(
    f"{name}:{kept}" for name in ("fastv", "sparsevlm", "visionzip") for kept in (0.5, 0.7)
)
ON_SMALL = "auto+visionzip:0.5"


@dataclass(frozen=True)
class Line:
    """One policy over vanilla, `times` of each round; `memory` in bytes, weights included."""

    policy: str
    times: tuple[float, ...]
    flops: float
    visual_tokens: float
    memory: int | None

    @property
    def time(self) -> float:
        return statistics.median(self.times)


@dataclass(frozen=True)
class Course:
    """Episodes of one kind, to be run repeatedly."""

    engine: Engine
    run: Callable[[], Episode]


def courses(engine: HFEngine, side: int) -> dict[str, Course]:
    """Every kind of episode that the policies consist of."""
    example = noise(side)

    def course(of: Engine, look: str, *replies: str) -> Course:
        return Course(of, lambda: episode(of, example, look, replies))  # pyright: ignore[reportArgumentType] -- a look

    found = {
        "high": course(engine, "high", AGAIN),
        "low": course(engine, "low", AGAIN),
        "direct": course(engine, "auto", DIRECT),
        "requested": course(engine, "auto", REQUEST, AGAIN),
    }
    for name in PRUNED:
        found[name] = course(_pruned(name, engine), "high", AGAIN)
    small = _pruned(ON_SMALL, engine)
    found[f"{ON_SMALL} direct"] = course(small, "auto", DIRECT)
    found[f"{ON_SMALL} requested"] = course(small, "auto", REQUEST, AGAIN)
    return found


def _pruned(name: str, engine: HFEngine) -> Engine:
    policy = parse_policy(name)
    assert isinstance(policy, Policy)
    return policy.engine(engine)


def mixed(values: dict[str, float], prefix: str = "") -> float:
    """The mean cost of an episode of `auto`."""
    return (1 - REQUESTS) * values[f"{prefix}direct"] + REQUESTS * values[f"{prefix}requested"]


def policies(values: dict[str, float]) -> dict[str, float]:
    """Figures of courses as figures of policies."""
    return {
        "high (vanilla)": values["high"],
        "low": values["low"],
        "auto, 30 % requested": mixed(values),
        f"{ON_SMALL}, 30 % requested": mixed(values, f"{ON_SMALL} "),
        **{name: values[name] for name in PRUNED},
    }


def measure(engine: HFEngine, side: int, rounds: int) -> list[Line]:
    found = courses(engine, side)
    work: dict[str, float] = {}
    tokens: dict[str, float] = {}
    memory: dict[str, float] = {}
    for name, course in found.items():  # warm-up as well
        peak = PeakMemory(engine)
        course.run()
        peak.restart()
        done = course.run()
        work[name], tokens[name] = flops(done, engine), done.ledger.processed
        memory[name] = peak.peak() or 0
        print(f"{name}: once", file=sys.stderr)
    times: list[dict[str, float]] = []
    for number in range(rounds):
        taken = {name: seconds(course.run) for name, course in found.items()}
        times.append(over_vanilla(policies(taken)))
        print(f"round {number + 1}/{rounds}", file=sys.stderr)
    most = {**memory, **{f"{p}direct": memory[f"{p}requested"] for p in ("", f"{ON_SMALL} ")}}
    works, counts, peaks = (
        over_vanilla(policies(work)),
        over_vanilla(policies(tokens)),
        policies(most),
    )
    return [
        Line(
            name,
            tuple(of[name] for of in times),
            works[name],
            counts[name],
            round(peaks[name]) or None,
        )
        for name in works
    ]


def over_vanilla(values: dict[str, float]) -> dict[str, float]:
    return {name: value / values["high (vanilla)"] for name, value in values.items()}


HEADS = ("policy", "time", "range", "FLOPs limit", "visual tokens", "peak memory", "bar")


def cells(line: Line) -> tuple[str, ...]:
    bar = BARS.get(line.policy)
    met = "" if bar is None else f"≤ {bar:.2f}" if line.time <= bar else f"≤ {bar:.2f} missed"
    return (
        line.policy,
        f"{line.time:.2f}",
        f"{min(line.times):.2f}-{max(line.times):.2f}",
        f"{line.flops:.2f}",
        f"{line.visual_tokens:.2f}",
        "" if line.memory is None else f"{line.memory / 2**20:,.0f} MiB",
        met,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--parameters", choices=list(MODELS), default="99m")
    parser.add_argument("--side", type=int, default=1120, help="pixels; 28 per visual token")
    parser.add_argument("--dtype", default="float32")
    parser.add_argument("--out", type=Path, default=Path("out/bench_policies.json"))
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        model = save_bench_model(Path(folder), **MODELS[options.parameters])
        engine = HFEngine(model, dtype=options.dtype, max_batch=1)
    # Nothing stops a reply before its 32 tokens.
    engine.checkpoint = replace(engine.checkpoint, stop_ids=())
    size = sum(p.numel() for p in engine.checkpoint.model.parameters())
    tokens = (options.side // 28) ** 2
    print(f"{size / 1e6:,.0f} M parameters, {options.dtype}; {tokens:,} visual tokens; {machine()}")
    lines = measure(engine, options.side, options.rounds)
    table = [HEADS, *map(cells, lines)]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    for row in table:
        padded = [
            row[0].ljust(widths[0]),
            *(c.rjust(w) for c, w in zip(row[1:], widths[1:], strict=True)),
        ]
        print("  ".join(padded).rstrip())
    options.out.parent.mkdir(parents=True, exist_ok=True)
    held = {"machine": machine(), "parameters": size, "dtype": options.dtype, "tokens": tokens}
    rows = [asdict(line) | {"time": line.time} for line in lines]
    options.out.write_text(json.dumps({**held, "policies": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
