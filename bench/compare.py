"""All policies side by side on the embedded world; writes the tables of docs/results.md.

    python bench/compare.py --out out/compare     # runs what is missing, then rewrites the tables

Three seeds of drawings, at least 170 per family and seed (510 together), greedy. Times come from
bench/policies.py with a larger model, because the embedded model has too few visual tokens for them
to matter. An interrupted run resumes; on a core of its own it takes about an hour.
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
    "auto+visionzip:0.5": "`auto`, first look VisionZip 50 %",
    "fastv:0.5": "FastV, 50 % kept",
    "fastv:0.7": "FastV, 70 % kept",
    "sparsevlm:0.5": "SparseVLM, 50 % kept",
    "sparsevlm:0.7": "SparseVLM, 70 % kept",
    "visionzip:0.5": "VisionZip, 50 % kept",
    "visionzip:0.7": "VisionZip, 70 % kept",
    "random:0.3": "random requests, 30 %",
    "oracle": "oracle: requests where only the original is right",
}
PLOTS = {"accuracy_tokens_suites": "compare_accuracy_tokens", "requests_1": "compare_requests"}
"""Plots of the report, and their names in docs/results."""
PAGE = Path("docs/results.md")
ENOUGH, BEYOND_ORACLE = 0.99, 0.05

Row = Mapping[str, Any]


def evaluate(out: Path) -> list[Path]:
    """Finish the run of each seed."""
    runs: list[Path] = []
    for seed in SEEDS:
        run = out / f"seed-{seed}"
        words = [word for name in POLICIES for word in ("--policy", name)]
        options = ["--seed", str(seed), "--device", "cpu", "--out", str(run), "--resume"]
        _visionthink("eval", *SUITES, *words, *options)
        runs.append(run)
    return runs


def _visionthink(*words: str) -> str:
    command = [sys.executable, "-m", "visionthink", *words]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout  # noqa: S603


def tables(rows: Sequence[Row], timed: Sequence[Row], parameters: int, tokens: int) -> str:
    """The generated section of the page."""
    found = {(row["suite"], row["family"], row["policy"]): row for row in rows}

    def whole(policy: str) -> Row:
        return found["mini", "all", policy]

    kinds = {row["family"]: row["kind"] for row in rows if row["suite"] == "mini" and row["kind"]}
    families = sorted(kinds, key=lambda family: kinds[family] != "weak")
    auto, oracle = whole("auto"), whole("oracle")
    beyond = auto["visual_token_ratio"]["mean"] - oracle["visual_token_ratio"]["mean"]
    shown = [policy for policy in POLICIES if policy != "random:0.3"]

    def cells(suite: str, family: str, figure: str = "accuracy") -> list[str]:
        return [f"{100 * found[suite, family, of][figure]['mean']:.1f}" for of in shown]

    parts = [
        _table(
            ["policy", "accuracy", "of vanilla", "visual tokens", "requests", "prefill FLOPs"],
            [_line(title, whole(policy)) for policy, title in POLICIES.items()],
        ),
        f"{whole('high')['n']:,} drawings of three seeds, 70 % from weak and 30 % from strong "
        "families. Means over seeds, ± standard error over seeds where it shows.",
        _table(
            ["bar", "", ""],
            [
                [
                    "`auto`: accuracy of vanilla's",
                    f"≥ {100 * ENOUGH:.0f} %",
                    f"{100 * auto['of_vanilla']:.1f} %{_met(auto['of_vanilla'] >= ENOUGH)}",
                ],
                [
                    "`auto`: visual tokens beyond the oracle's",
                    f"≤ {100 * BEYOND_ORACLE:.0f} points",
                    f"{100 * beyond:+.1f} points{_met(beyond <= BEYOND_ORACLE)}",
                ],
            ],
        ),
        "![Accuracy over visual tokens of all policies](results/compare_accuracy_tokens.png)",
        "Accuracy by family, in %:",
        _table(
            ["family", *(f"`{policy}`" for policy in shown)],
            [
                *([f"{of} ({kinds[of]})", *cells("mini", of)] for of in families),
                ["weave (lucky, not in the mix)", *cells("mini:lucky", "all")],
                ["weave: visual tokens", *cells("mini:lucky", "all", "visual_token_ratio")],
            ],
        ),
        "![Requests by family](results/compare_requests.png)",
        f"Time and memory of a model of {parameters / 1e6:,.0f} M random parameters, "
        f"{tokens:,} visual tokens, 32 tokens per reply, prefill and decode ({machine()}):",
        _table(
            ["policy", "time / vanilla", "range", "FLOPs limit", "peak memory"],
            [_timing(line) for line in timed],
        ),
    ]
    return "\n\n".join(parts)


def _line(title: str, row: Row) -> list[str]:
    rate = row["request_rate"]["mean"]
    return [
        title,
        _percent(row["accuracy"]),
        "-" if row["of_vanilla"] is None else f"{100 * row['of_vanilla']:.1f} %",
        _percent(row["visual_token_ratio"]),
        f"{100 * rate:.1f} %" if rate else "-",
        _percent(row["flops_ratio"]),
    ]


def _timing(line: Row) -> list[str]:
    bar = BARS.get(line["policy"])
    limit = "" if bar is None else f" (bar ≤ {bar:.2f})"
    return [
        line["policy"],
        f"{line['time']:.2f}{limit}",
        f"{min(line['times']):.2f}-{max(line['times']):.2f}",
        f"{line['flops']:.2f}",
        "-" if line["memory"] is None else f"{line['memory'] / 2**20:,.0f} MiB",
    ]


def _percent(figure: Mapping[str, float | None]) -> str:
    mean, error = figure["mean"], figure["stderr"]
    assert mean is not None
    spread = f"{100 * (error or 0):.1f}"
    return f"{100 * mean:.1f} %" if spread == "0.0" else f"{100 * mean:.1f} ± {spread} %"


def _met(met: bool) -> str:
    return "" if met else ", **missed**"


def _table(heads: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    rule = ["---", *["---:"] * (len(heads) - 1)]
    return "\n".join(f"| {' | '.join(line)} |" for line in (heads, rule, *lines))


def rewrite(page: Path, section: str) -> None:
    """Put the tables between the marks."""
    begin, end = "<!-- begin: bench/compare.py -->", "<!-- end: bench/compare.py -->"
    text = page.read_text(encoding="utf-8")
    before, _, rest = text.partition(begin)
    _, mark, after = rest.partition(end)
    if not mark:
        raise SystemExit(f"{page} lacks the marks {begin} and {end}")
    page.write_text(f"{before}{begin}\n\n{section}\n\n{end}{after}", encoding="utf-8")


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
    section = tables(
        held["evaluation"]["rows"], timed["policies"], timed["parameters"], timed["tokens"]
    )
    rewrite(options.page, section)
    print(f"{options.page} and {report / 'report.html'}")


if __name__ == "__main__":
    main()
