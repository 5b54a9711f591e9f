"""All policies side by side on the embedded world, and the tables of docs/results.md made of them.

    python bench/compare.py --out out/compare     # asks what is missing, then rewrites the tables

Three seeds of drawings, at least 170 of each family a seed (510 together), greedy. Times come from
bench/policies.py, on a larger model: for this one visual tokens are too few to matter. It can be
stopped and started again at any time; alone on a core it takes about an hour.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from policies import BARS
from ratio import machine

SEEDS = (0, 1, 2)
SUITES = ("mini:170", "mini:lucky:170")
POLICIES = {
    "high": "vanilla (`high`)",
    "low": "down-sample (`low`)",
    "auto": "**VisionThink (`auto`)**",
    "oracle": "oracle",
    "random:0.3": "requests by lot, 30 %",
    "fastv:0.7": "FastV, 70 % kept",
    "fastv:0.5": "FastV, 50 % kept",
    "sparsevlm:0.7": "SparseVLM, 70 % kept",
    "sparsevlm:0.5": "SparseVLM, 50 % kept",
    "visionzip:0.7": "VisionZip, 70 % kept",
    "visionzip:0.5": "VisionZip, 50 % kept",
    "auto+visionzip:0.5": "`auto`, first look VisionZip 50 %",
}
PLOTS = {"accuracy_tokens_suites": "compare_accuracy_tokens", "requests_1": "compare_requests"}
"""Plots of the report, and what they are called in docs/results."""
PAGE = Path("docs/results.md")
ENOUGH, BEYOND_ORACLE = 0.99, 0.05

Row = Mapping[str, Any]


def evaluate(out: Path) -> list[Path]:
    """The run of each seed, finished."""
    runs: list[Path] = []
    for seed in SEEDS:
        run = out / f"seed-{seed}"
        words = [word for name in POLICIES for word in ("--policy", name)]
        told = ["--seed", str(seed), "--device", "cpu", "--out", str(run), "--resume"]
        _visionthink("eval", *SUITES, *words, *told)
        runs.append(run)
    return runs


def _visionthink(*words: str) -> str:
    command = [sys.executable, "-m", "visionthink", *words]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout  # noqa: S603


def tables(rows: Sequence[Row], timed: Sequence[Row], parameters: int, tokens: int) -> str:
    """The section of the page, between its marks."""
    found = {(row["suite"], row["family"], row["policy"]): row for row in rows}

    def whole(policy: str) -> Row:
        return found["mini", "all", policy]

    kinds = {row["family"]: row["kind"] for row in rows if row["suite"] == "mini" and row["kind"]}
    auto, oracle = whole("auto"), whole("oracle")
    beyond = _mean(auto, "visual_token_ratio") - _mean(oracle, "visual_token_ratio")
    parts = [
        _table(
            ["policy", "accuracy", "of vanilla", "visual tokens", "requests", "prefill FLOPs"],
            [_line(title, whole(policy)) for policy, title in POLICIES.items()],
        ),
        f"{whole('high')['n']} x {len(SEEDS)} drawings, 70 % from weak and 30 % from strong "
        "families; means over seeds, ± standard error over seeds.",
        f"| bar | | |\n|---|---|---|\n"
        f"| `auto` of vanilla's accuracy | ≥ {ENOUGH:.0%} | {auto['of_vanilla']:.1%}"
        f"{_met(auto['of_vanilla'] >= ENOUGH)} |\n"
        f"| visual tokens of `auto` beyond the oracle's | ≤ {100 * BEYOND_ORACLE:.0f} points | "
        f"{100 * beyond:+.1f} points{_met(beyond <= BEYOND_ORACLE)} |",
        "![Accuracy over visual tokens of all policies](results/compare_accuracy_tokens.png)",
        _table(
            ["family", *(f"`{policy}`" for policy in POLICIES if policy != "random:0.3")],
            [
                [
                    f"{family} ({kind})",
                    *(
                        _percent(found["mini", family, policy]["accuracy"])
                        for policy in POLICIES
                        if policy != "random:0.3"
                    ),
                ]
                for family, kind in kinds.items()
            ]
            + [
                [
                    "weave (lucky, not in the mix)",
                    *(
                        _percent(found["mini:lucky", "all", policy]["accuracy"])
                        for policy in POLICIES
                        if policy != "random:0.3"
                    ),
                ]
            ],
        ),
        "![Requests by family](results/compare_requests.png)",
        f"Time and memory of a model of {parameters / 1e6:,.0f} M random parameters, "
        f"{tokens:,} visual tokens, 32 tokens a reply, prefill and decode ({machine()}):",
        _table(
            ["policy", "time / vanilla", "range", "FLOPs limit", "peak memory"],
            [_timing(line) for line in timed],
        ),
    ]
    return "\n\n".join(parts)


def _line(title: str, row: Row) -> list[str]:
    share = "" if row["of_vanilla"] is None else f"{row['of_vanilla']:.1%}"
    rate = _mean(row, "request_rate")
    return [
        title,
        _percent(row["accuracy"]),
        share,
        _percent(row["visual_token_ratio"]),
        f"{rate:.1%}" if rate else "-",
        _percent(row["flops_ratio"]),
    ]


def _timing(line: Row) -> list[str]:
    bar = BARS.get(line["policy"])
    told = "" if bar is None else f" (bar ≤ {bar:.2f})"
    return [
        line["policy"],
        f"{line['time']:.2f}{told}",
        f"{min(line['times']):.2f}-{max(line['times']):.2f}",
        f"{line['flops']:.2f}",
        "-" if line["memory"] is None else f"{line['memory'] / 2**20:,.0f} MiB",
    ]


def _mean(row: Row, name: str) -> float:
    return row[name]["mean"]


def _percent(figure: Mapping[str, float | None]) -> str:
    mean, error = figure["mean"], figure["stderr"]
    assert mean is not None
    return f"{100 * mean:.1f} %" if not error else f"{100 * mean:.1f} ± {100 * error:.1f} %"


def _met(met: bool) -> str:
    return "" if met else ", **missed**"


def _table(heads: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    rule = ["---", *["---:"] * (len(heads) - 1)]
    return "\n".join(f"| {' | '.join(line)} |" for line in (heads, rule, *lines))


def rewrite(page: Path, told: str) -> None:
    """Put the tables between the marks."""
    begin, end = "<!-- begin: bench/compare.py -->", "<!-- end: bench/compare.py -->"
    text = page.read_text(encoding="utf-8")
    before, _, rest = text.partition(begin)
    _, mark, after = rest.partition(end)
    if not mark:
        raise SystemExit(f"{page} lacks the marks {begin} and {end}")
    page.write_text(f"{before}{begin}\n\n{told}\n\n{end}{after}", encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--out", type=Path, default=Path("out/compare"))
    parser.add_argument("--page", type=Path, default=PAGE)
    options = parser.parse_args()
    runs = [str(run) for run in evaluate(options.out)]
    report = options.out / "report"
    held = json.loads(_visionthink("report", *runs, "--out", str(report), "--json"))
    timing = options.out / "policies.json"
    if not timing.exists():
        bench = [sys.executable, str(Path(__file__).with_name("policies.py"))]
        subprocess.run([*bench, "--out", str(timing)], check=True)  # noqa: S603
    timed = json.loads(timing.read_text())
    for plot, name in PLOTS.items():
        shutil.copy(report / f"{plot}.png", options.page.parent / "results" / f"{name}.png")
    told = tables(
        held["evaluation"]["rows"], timed["policies"], timed["parameters"], timed["tokens"]
    )
    rewrite(options.page, told)
    print(f"{options.page} and {report / 'report.html'}")


if __name__ == "__main__":
    main()
