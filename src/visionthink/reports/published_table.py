"""The paper's tables recomputed, for a terminal and for machines, with flagged cells marked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from decimal import Decimal
from typing import Any

from visionthink.reports.published import (
    AVERAGE,
    TOKENS,
    Flag,
    Published,
    flags,
    mean,
    mean_percent,
    percentages,
    replaced_share,
    token_share,
)
from visionthink.reports.training_table import aligned

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
    return aligned([heads, *rows]).lstrip("\n")


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
    """The object that `report --paper --json` prints."""
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
