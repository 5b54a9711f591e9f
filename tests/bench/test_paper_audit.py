"""The published figures: what is held, what is recomputed, and what it finds by itself."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest

from bench.paper.audit import (
    Flag,
    Published,
    Range,
    Row,
    flags,
    mean_percent,
    paper_json,
    paper_tables,
    paper_text,
    percentages,
    published,
    replaced_share,
    token_share,
)

ROOT = Path(__file__).parents[2]


def cells(**values: str) -> dict[str, Decimal]:
    return {name: Decimal(value) for name, value in values.items()}


def row(
    where: str,
    method: str,
    scores: Mapping[str, Decimal] | None = None,
    percent: Mapping[str, Decimal] | None = None,
    rates: Mapping[str, Decimal] | None = None,
    average: str | None = None,
    tokens: str | None = None,
) -> Row:
    average_of = None if average is None else Decimal(average)
    tokens_of = None if tokens is None else Decimal(tokens)
    return Row(where, method, scores or {}, percent or {}, rates or {}, average_of, tokens_of)


def figures(*rows: Row) -> Published:
    return replace(published(), benchmarks=("A", "B"), rows=rows)


BASE = row("T1", "Vanilla", cells(A="80.0", B="50.0"))


# By hand


def test_printed_digits_are_ranges():
    assert Range.printed(Decimal("95.8")) == Range(Decimal("95.75"), Decimal("95.85"))
    assert Range.printed(Decimal(102)) == Range(Decimal("101.5"), Decimal("102.5"))
    assert Range.printed(Decimal("100.0")).low == Decimal("99.95")


def test_the_mean_is_of_ratios():
    """60/80 = 75 %, 55/50 = 110 %: 92.5 %; a benchmark that is missing leaves no mean."""
    vanilla = BASE.scores
    scores = cells(A="60.0", B="55.0", C="1")
    assert percentages(scores, vanilla) == {"A": 75, "B": 110}
    assert mean_percent(scores, vanilla, ("A", "B")) == Decimal("92.5")
    assert mean_percent(cells(A="60.0"), vanilla, ("A", "B")) is None


def test_token_shares():
    """A quarter always; at 40 % requests 0.4 more, or 0.4 x 0.75 if the small image is replaced."""
    assert token_share(Decimal(40)) == 65
    assert replaced_share(Decimal(40)) == 55


def test_a_percentage_that_does_not_follow_from_the_scores():
    """60.0/80.0 is 74.9 to 75.1 by its digits: 75.1 may be printed, 75.2 may not."""
    scores = cells(A="60.0", B="50.0")
    assert flags(figures(BASE, row("T1", "x", scores, cells(A="75.1", B="100")))) == []
    [flag] = flags(figures(BASE, row("T1", "x", scores, cells(A="75.2", B="100"))))
    assert flag == Flag("T1", "x", "A", "%", "75.2", "75.0", "60.0 of vanilla's 80.0 is 75.0 %")


def test_an_average_that_does_not_follow_from_the_scores():
    scores = cells(A="60.0", B="55.0")
    assert flags(figures(BASE, row("T1", "x", scores, average="92.5"))) == []
    [flag] = flags(figures(BASE, row("T1", "x", scores, average="92.9")))
    assert (flag.column, flag.printed, flag.recomputed) == ("Avg.", "92.9", "92.50")


@pytest.mark.parametrize(("tokens", "flagged"), [("0.65", 0), ("0.55", 0), ("0.60", 1)])
def test_tokens_must_follow_from_request_rates(tokens: str, flagged: int):
    """Rates 30 and 50 average 40: 65 % or 55 % of the tokens, by what is counted."""
    rates = row("T2", "x", rates=cells(A="30.0", B="50.0"))
    assert len(flags(figures(BASE, row("T1", "x", tokens=tokens), rates))) == flagged


def test_one_figure_in_two_places():
    """50 may be a rounded 50.4; 52 is another figure, and A and B changed places in T3."""
    one = row("T1", "x", cells(A="50.4", B="60.0"))
    assert flags(figures(BASE, one, row("T2", "x", cells(A="50")))) == []
    [flag] = flags(figures(BASE, one, row("T2", "x", cells(A="52"))))
    assert (flag.where, flag.column, flag.why) == ("T2", "A", "T1: 50.4")
    swapped = flags(figures(BASE, one, row("T3", "x", cells(A="60.0", B="50.4"))))
    assert [flag.why for flag in swapped] == [
        "T1: 50.4; looks swapped with B",
        "T1: 60.0; looks swapped with A",
    ]


# The paper


def test_the_errors_that_are_known_are_found():
    """Worked out by hand from the printed tables, apart from this code."""
    found = {(f.where, f.method, f.column): (f.printed, f.recomputed) for f in flags(published())}
    known = {
        ("Fig. 1", "VisionThink", "Avg."): ("102", "101.4"),
        ("Tables 2 and 7", "FastV 50 %", "Avg."): ("95.8", "95.15"),
        ("Tables 2 and 7", "VisionZip-ft 50 %", "POPE"): ("107.5", "105.2"),
        ("Table 1", "VisionThink", "MMVet"): ("67.1", "68.5"),
        ("Table 1", "VisionThink", "RealWorldQA"): ("68.5", "67.1"),
        ("Tables 2 and 7", "VisionThink", "tokens"): ("51.3", "61.3"),
    }
    assert {cell: found[cell] for cell in known} == known
    assert set(found) - set(known) == {
        ("Tables 2 and 7", "VisionZip-ft 50 %", "Avg."),
        ("Fig. 1", "Down-Sample", "ChartQA"),
        ("Fig. 1", "Down-Sample", "Avg."),
        ("Fig. 1", "Vanilla", "MathVista"),
    }


def test_the_two_swapped_cells_and_the_request_rates_are_explained():
    why = {(flag.where, flag.column): flag.why for flag in flags(published())}
    assert why["Table 1", "MMVet"].endswith("looks swapped with RealWorldQA")
    assert "average 36.3 %" in why["Tables 2 and 7", "tokens"]
    assert "52.2 % if the original replaces" in why["Tables 2 and 7", "tokens"]


def test_any_wrong_percentage_is_found():
    """Half a percent more in any cell that is right is one flag more, at that cell. Of 11 x 9
    cells one is wrong already, and 12 are whole numbers, which may be half a percent off.
    """
    held = published()
    before = flags(held)
    wrong = {(flag.where, flag.method, flag.column) for flag in before}
    tried = 0
    for at, of in enumerate(held.rows):
        for name, printed in of.percent.items():
            if (of.where, of.method, name) in wrong or "." not in str(printed):
                continue
            other = replace(of, percent={**of.percent, name: printed + Decimal("0.5")})
            rows = (*held.rows[:at], other, *held.rows[at + 1 :])
            [new] = [flag for flag in flags(replace(held, rows=rows)) if flag not in before]
            assert (new.method, new.column) == (of.method, name)
            tried += 1
    assert tried == 99 - 1 - 12


def test_the_paper_s_averages_but_for_two():
    """The others are within 0.1 of what is printed."""
    [table] = [table for table in paper_tables(published()) if table.where == "Tables 2 and 7"]
    off = [m for m, n in table.rows if abs(n["Avg."] - n["Avg. printed"]) > Decimal("0.1")]
    assert off == ["FastV 50 %", "VisionZip-ft 50 %"]
    ours = dict(table.rows)["VisionThink"]
    assert round(ours["Avg."], 2) == Decimal("101.43")


def test_figures_that_others_printed():
    held = published()
    assert len(held.rows) == 30
    assert held.times["VisionThink"]["ChartQA"] == 746
    assert [rerun["tokens"] for rerun in held.reruns] == [
        Decimal(share) for share in ("0.99", "0.52", "0.33", "0.61", "0.36")
    ]
    assert held.outcomes["no penalty"] == "collapses to always requesting"


# Forms


def test_text_says_that_nothing_was_measured_and_marks_cells():
    lines = paper_text(published()).splitlines()
    assert lines[0].startswith("Published, not measured: arXiv 2507.13348")
    [fast] = [line for line in lines if line.startswith("FastV 50 % ") and "95.8!" in line]
    assert fast.split()[-3:] == ["50.0", "95.2", "95.8!"]
    assert sum(line.count("!") for line in lines) == 10 + 1  # the heading explains the mark
    assert " ".join(lines[-1].split()) == (
        "Fig. 1 VisionThink Avg. (%) 102 101.4 Tables 2 and 7: 101.4"
    )


def test_one_object_for_machines():
    found = paper_json(published())
    assert found["label"] == "published, not measured"
    assert len(found["flags"]) == 10
    rates = next(table for table in found["tables"] if table["where"] == "Table 8")
    assert rates["rows"][0]["both images"] == pytest.approx(61.33, abs=0.01)
    times = found["tables"][-1]
    assert times["rows"][2]["DocVQA"] == pytest.approx(44.05, abs=0.01)


def test_the_script_prints_both_forms():
    script = [sys.executable, "bench/paper/audit.py"]
    text = subprocess.run(script, capture_output=True, text=True, check=True, cwd=ROOT)
    assert text.stdout == paper_text(published()) + "\n"
    found = subprocess.run([*script, "--json"], capture_output=True, check=True, cwd=ROOT)
    assert json.loads(found.stdout) == json.loads(json.dumps(paper_json(published())))
