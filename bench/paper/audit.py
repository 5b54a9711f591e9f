"""The tables of the paper recomputed from what it prints, and the printed cells that do not add up.

    python bench/paper/audit.py          # tables, and a line for each such cell
    python bench/paper/audit.py --json

`reports/published.json` holds what is printed, digit by digit: numbers are read as decimals, and a
number printed as 95.8 stands for 95.75 to 95.85. A cell is flagged if its value, as far as the
printed digits tell, lies outside of that range. Nothing here was measured by this project.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any

import visionthink.reports
from visionthink.reports.report import Line, Table

FIGURES = Path(visionthink.reports.__file__).parent / "published.json"
Cells = Mapping[str, Decimal]
"""Benchmark → printed number."""
VANILLA = "Vanilla"
AVERAGE, TOKENS = "Avg.", "tokens"
SMALL = Decimal("0.25")
"""Visual tokens of the half-size view, of the original's."""


@dataclass(frozen=True)
class Row:
    """What one place prints about one method; empty or None where it says nothing.

    Attributes:
        scores: in each benchmark's own unit.
        percent: scores as % of vanilla.
        average: mean % of vanilla.
        rates: request rates, %.
        tokens: visual tokens, as a share of the original's.
    """

    where: str
    method: str
    scores: Cells
    percent: Cells
    rates: Cells
    average: Decimal | None
    tokens: Decimal | None


@dataclass(frozen=True)
class Published:
    """All of it. `rows` come in the order in which places are trusted: later ones repeat."""

    label: str
    source: str
    notes: tuple[str, ...]
    benchmarks: tuple[str, ...]
    rows: tuple[Row, ...]
    times: Mapping[str, Cells]
    reruns: tuple[Mapping[str, Any], ...]
    outcomes: Mapping[str, str]

    def at(self, where: str) -> list[Row]:
        return [row for row in self.rows if row.where == where]

    @property
    def vanilla(self) -> Cells:
        """The base model's scores, each from the first place that prints it."""
        scores: dict[str, Decimal] = {}
        for row in self.rows:
            if row.method == VANILLA:
                scores = {**row.scores, **scores}
        return scores


@cache
def published() -> Published:
    """Read the file."""
    text = FIGURES.read_text(encoding="utf-8")
    held = json.loads(text, parse_float=Decimal, parse_int=Decimal)
    places = [*held["tables"], *held["request_rates"]]
    return Published(
        label=held["label"],
        source=held["source"],
        notes=tuple(held["notes"]),
        benchmarks=tuple(each["name"] for each in held["benchmarks"]),
        rows=tuple(_row(place["where"], row) for place in places for row in place["rows"]),
        times={row["method"]: row["times"] for row in held["times"]["rows"]},
        reruns=tuple(held["reruns"]),
        outcomes=held["outcomes"],
    )


def _row(where: str, held: Mapping[str, Any]) -> Row:
    scores, percent, rates = (held.get(name, {}) for name in ("scores", "percent", "rates"))
    return Row(
        where, held["method"], scores, percent, rates, held.get("average"), held.get("tokens")
    )


# What printed digits tell


@dataclass(frozen=True)
class Range:
    """The numbers that a figure may be."""

    low: Decimal
    high: Decimal

    @staticmethod
    def printed(number: Decimal) -> Range:
        """All that round to a printed number."""
        exponent = number.as_tuple().exponent
        assert isinstance(exponent, int)
        half = Decimal(5).scaleb(exponent - 1)
        return Range(number - half, number + half)

    def percent_of(self, other: Range) -> Range:
        return Range(100 * self.low / other.high, 100 * self.high / other.low)

    def meets(self, other: Range) -> bool:
        return self.low <= other.high and other.low <= self.high


def percentages(scores: Cells, vanilla: Cells) -> dict[str, Decimal]:
    """Scores as % of vanilla's."""
    return {name: 100 * score / vanilla[name] for name, score in scores.items() if name in vanilla}


def mean(values: Sequence[Decimal]) -> Decimal:
    return sum(values, Decimal(0)) / len(values)


def mean_percent(scores: Cells, vanilla: Cells, benchmarks: Sequence[str]) -> Decimal | None:
    """The paper's "Avg.": the mean % of vanilla; None if a benchmark is missing."""
    if not set(benchmarks) <= set(scores):
        return None
    found = percentages(scores, vanilla)
    return mean([found[name] for name in benchmarks])


def token_share(rate: Decimal) -> Decimal:
    """Visual tokens processed at a request rate in %, as % of the original's: both images count."""
    return 100 * SMALL + rate


def replaced_share(rate: Decimal) -> Decimal:
    """The same if the small image is not counted where the original was requested."""
    return 100 * SMALL + (1 - SMALL) * rate


# Checks


@dataclass(frozen=True)
class Flag:
    """A printed cell that does not add up. `unit` is what the cell's column counts."""

    where: str
    method: str
    column: str
    unit: str
    printed: str
    recomputed: str
    why: str


def flags(figures: Published) -> list[Flag]:
    """Every cell that contradicts others, by the digits printed."""
    return [
        *_percent_flags(figures),
        *_average_flags(figures),
        *_token_flags(figures),
        *_repeat_flags(figures),
    ]


def _percent_flags(figures: Published) -> Iterator[Flag]:
    vanilla = figures.vanilla
    for row in figures.rows:
        for name, printed in row.percent.items():
            score = Range.printed(row.scores[name])
            possible = score.percent_of(Range.printed(vanilla[name]))
            if not possible.meets(Range.printed(printed)):
                value = f"{100 * row.scores[name] / vanilla[name]:.1f}"
                why = f"{row.scores[name]} of vanilla's {vanilla[name]} is {value} %"
                yield Flag(row.where, row.method, name, "%", str(printed), value, why)


def _average_flags(figures: Published) -> Iterator[Flag]:
    vanilla = figures.vanilla
    for row in figures.rows:
        value = mean_percent(row.scores, vanilla, figures.benchmarks)
        if value is None or row.average is None:
            continue
        ranges = [
            Range.printed(row.scores[name]).percent_of(Range.printed(vanilla[name]))
            for name in figures.benchmarks
        ]
        possible = Range(mean([r.low for r in ranges]), mean([r.high for r in ranges]))
        if not possible.meets(Range.printed(row.average)):
            why = f"the mean of its {len(ranges)} scores over vanilla's is {value:.2f} %"
            yield Flag(row.where, row.method, AVERAGE, "%", str(row.average), f"{value:.2f}", why)


def _token_flags(figures: Published) -> Iterator[Flag]:
    """A printed share of tokens against the request rates printed for the same method."""
    for row in figures.rows:
        rates = next((r.rates for r in figures.rows if r.rates and r.method == row.method), None)
        if row.tokens is None or rates is None:
            continue
        ranges = [Range.printed(rate) for rate in rates.values()]
        low, high = mean([r.low for r in ranges]), mean([r.high for r in ranges])
        rate = mean([*rates.values()])
        printed = Range.printed(100 * row.tokens)
        conventions = [Range(share(low), share(high)) for share in (token_share, replaced_share)]
        if not any(possible.meets(printed) for possible in conventions):
            why = (
                f"its {len(rates)} published request rates average {rate:.1f} %: "
                f"{token_share(rate):.1f} % if both images count, {replaced_share(rate):.1f} % if "
                "the original replaces the small one"
            )
            shown, value = f"{100 * row.tokens:.1f}", f"{token_share(rate):.1f}"
            yield Flag(row.where, row.method, TOKENS, "%", shown, value, why)


def _repeat_flags(figures: Published) -> Iterator[Flag]:
    """The same figure printed differently in two places; the first one is taken as given."""
    first: dict[tuple[str, str, str], tuple[str, Decimal]] = {}
    for row in figures.rows:
        cells = {(name, "score"): score for name, score in row.scores.items()}
        cells |= {(name, "requests, %"): rate for name, rate in row.rates.items()}
        if row.average is not None:
            cells[AVERAGE, "%"] = row.average
        given = {
            cell: first.setdefault((row.method, *cell), (row.where, printed))
            for cell, printed in cells.items()
        }
        for (column, unit), printed in cells.items():
            where, other = given[column, unit]
            if Range.printed(printed).meets(Range.printed(other)):
                continue
            why = f"{where}: {other}"
            for twin in cells:
                if twin[0] != column and (given[twin][1], cells[twin]) == (printed, other):
                    why += f"; looks swapped with {twin[0]}"
            yield Flag(row.where, row.method, column, unit, str(printed), str(other), why)


# Tables

PRINTED, BOTH, REPLACED = f"{AVERAGE} printed", "both images", "last image"
MARK = "!"
"""Stands behind a cell whose printed figure does not add up."""


@dataclass(frozen=True)
class PaperTable:
    """A table of numbers. `rows` are methods and their numbers by column, where there are any."""

    where: str
    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, Mapping[str, Decimal]], ...]


def paper_tables(figures: Published) -> list[PaperTable]:
    """The tables that follow from the printed scores, request rates and times."""
    places = dict.fromkeys(row.where for row in figures.rows if row.scores)
    rates = dict.fromkeys(row.where for row in figures.rows if row.rates)
    return [
        *(_scores(figures, where) for where in places),
        *(_rates(figures, where) for where in rates),
        _times(figures),
    ]


def _scores(figures: Published, where: str) -> PaperTable:
    rows = [row for row in figures.at(where) if row.scores]
    vanilla = figures.vanilla
    numbers: list[tuple[str, dict[str, Decimal]]] = []
    for row in rows:
        found = percentages(row.scores, vanilla)
        average = mean_percent(row.scores, vanilla, figures.benchmarks)
        extra = {TOKENS: row.tokens and 100 * row.tokens, AVERAGE: average, PRINTED: row.average}
        numbers.append((row.method, found | {k: v for k, v in extra.items() if v is not None}))
    names = dict.fromkeys(name for _, found in numbers for name in found)
    ends = [name for name in (TOKENS, AVERAGE, PRINTED) if name in names]
    benchmarks = [name for name in names if name not in ends]
    return PaperTable(where, "scores as % of vanilla's", (*benchmarks, *ends), tuple(numbers))


def _rates(figures: Published, where: str) -> PaperTable:
    rows: list[tuple[str, dict[str, Decimal]]] = []
    for row in figures.at(where):
        rate = mean([*row.rates.values()])
        shares = {BOTH: token_share(rate), REPLACED: replaced_share(rate)}
        rows.append((row.method, {**row.rates, "mean": rate, **shares}))
    title = (
        "request rates, and the visual tokens they come to if both images or the last one count, %"
    )
    return PaperTable(where, title, tuple(rows[0][1]), tuple(rows))


def _times(figures: Published) -> PaperTable:
    """Inference times over those of the first method."""
    first = next(iter(figures.times.values()))
    rows = [(method, percentages(times, first)) for method, times in figures.times.items()]
    title = f"inference times as % of {next(iter(figures.times))}'s"
    return PaperTable("Fig. 4", title, tuple(first), tuple(rows))


# For people


def paper_text(figures: Published) -> str:
    """Every table, and a line for each cell that does not add up."""
    found = flags(figures)
    label = figures.label.capitalize()
    parts = [f"{label}: {figures.source}\n" + "\n".join(figures.notes)]
    marked = {(flag.where, flag.method, flag.column) for flag in found}
    for table in paper_tables(figures):
        heads = ["", *table.columns]
        rows = [
            [method, *(_cell(table, method, column, numbers, marked) for column in table.columns)]
            for method, numbers in table.rows
        ]
        parts.append(f"{table.where}, recomputed: {table.title}\n{_lines(heads, rows)}")
    parts.append(_reruns(figures))
    parts.append(
        f"{len(found)} printed cells do not add up, by more than rounding ({MARK} in the tables): "
        f"printed, recomputed, why\n{_flagged(found)}"
    )
    return "\n\n".join(parts)


def _cell(
    table: PaperTable,
    method: str,
    column: str,
    numbers: Mapping[str, Decimal],
    marked: set[tuple[str, str, str]],
) -> str:
    if column not in numbers:
        return "-"
    flagged = (table.where, method, AVERAGE if column == PRINTED else column) in marked
    mark = MARK if flagged and column != AVERAGE else ""
    text = str(numbers[column]) if column == PRINTED else f"{numbers[column]:.1f}"
    return text + mark


def _lines(heads: list[str], rows: list[list[str]]) -> str:
    return Table(heads, [Line(row) for row in rows]).text()


def _reruns(figures: Published) -> str:
    names = list(dict.fromkeys(name for rerun in figures.reruns for name in rerun))
    rows = [[str(rerun.get(name, "-")) for name in names] for rerun in figures.reruns]
    heads = ["", *(name.replace("_", " ") for name in names[1:])]
    return f"By others, as they print it\n{_lines(heads, rows)}"


def _flagged(found: list[Flag]) -> str:
    rows = [
        (flag.where, flag.method, f"{flag.column} ({flag.unit})", flag.printed, flag.recomputed)
        for flag in found
    ]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        + f"  {flag.why}"
        for row, flag in zip(rows, found, strict=True)
    )


# For machines


def paper_json(figures: Published) -> dict[str, Any]:
    """The object that `--json` prints."""
    return {
        "label": figures.label,
        "source": figures.source,
        "notes": [*figures.notes],
        "tables": [
            {
                "where": table.where,
                "title": table.title,
                "rows": [
                    {"method": method, **{name: float(x) for name, x in numbers.items()}}
                    for method, numbers in table.rows
                ],
            }
            for table in paper_tables(figures)
        ],
        "reruns": [
            {name: float(x) if isinstance(x, Decimal) else x for name, x in rerun.items()}
            for rerun in figures.reruns
        ],
        "outcomes": {**figures.outcomes},
        "flags": [asdict(flag) for flag in flags(figures)],
    }


def main() -> None:
    """Print the audit."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--json", action="store_true", help="print one JSON object instead")
    options = parser.parse_args()
    print(json.dumps(paper_json(published())) if options.json else paper_text(published()))


if __name__ == "__main__":
    main()
