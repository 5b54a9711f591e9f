"""What policies came to as tables, for a terminal, for Markdown and for pages."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from visionthink.reports.comparison import KINDS, OTHER, Comparison, Entry, kind_of
from visionthink.reports.evaluation import ALL
from visionthink.reports.grouping import Estimate
from visionthink.reports.story import one_line
from visionthink.reports.training import KINDS as QUESTIONS
from visionthink.reports.training_table import aligned, quoted

NOTHING = "-"
OF_VANILLA = "  of vanilla"
MOST_FAMILIES = 6
"""More of them are no columns of the scores."""
SCORES = (
    "Scores in %; below them what they are of vanilla's. Visual tokens are those that the model "
    "ran over, FLOPs those of prompts with the vision tower, both over those of the originals "
    "alone; seconds are wall clock of a sample: asked alone if the runs have that, else over "
    "episodes at once."
)
AVERAGE = "Averages are unweighted means over the suites, of scores those of the shares of vanilla."
SPREAD = {
    False: "± is the standard error of a mean over samples.",
    True: "Figures of several runs are means over runs, ± the standard errors of these.",
}
COSTS = (
    "Visual tokens count the first look and what was requested after it; replaced: the original in "
    "place of the first look where it was requested. The paper's FLOPs know no vision tower. Less "
    "high: points of accuracy, with the interval of 95 % of a paired bootstrap."
)


@dataclass(frozen=True)
class Line:
    """A line of a table: a heading has one cell; shares stand below the figures they are of."""

    cells: list[str]
    sort: Literal["heading", "figures", "shares"] = "figures"


@dataclass(frozen=True)
class Sheet:
    """A table. The first column is text, the others are figures."""

    heads: list[str]
    lines: list[Line]


@dataclass(frozen=True)
class Column:
    """What a column of the scores is of: families of a suite, or all of it."""

    head: str
    suite: str
    families: tuple[str, ...] = (ALL,)


def columns(comparison: Comparison) -> list[Column]:
    """The suites; of a single one its kinds of questions, or its families if they are few."""
    if len(comparison.suites) > 1:
        return [Column(suite, suite) for suite in comparison.suites]
    ((suite, families),) = comparison.suites.items()
    kinds = dict.fromkeys(kind for kind in families.values() if kind is not None)
    order = [
        *(kind for kind in QUESTIONS if kind in kinds),
        *(k for k in kinds if k not in QUESTIONS),
    ]
    if len(order) > 1:
        parts = [
            Column(kind, suite, tuple(f for f, of in families.items() if of == kind))
            for kind in order
        ]
    elif 1 < len(families) <= MOST_FAMILIES:
        parts = [Column(family, suite, (family,)) for family in families]
    else:
        parts = []
    return [*parts, Column(f"all of {suite}" if parts else suite, suite)]


def score_sheet(comparison: Comparison) -> Sheet:
    """Scores and what they took, as in the paper's Table 2."""
    parts = columns(comparison)
    many = len(comparison.suites) > 1
    heads = ["policy", *(f"{one_line(part.head)} %" for part in parts)]
    heads += ["average %"] if many else []
    heads += ["visual tokens %", "FLOPs %", "seconds a sample", "n", "failed"]
    lines: list[Line] = []
    heading = ""
    for entry in comparison.entries:
        of = KINDS.get(kind_of(entry.policy), OTHER).heading
        if of != heading:
            lines.append(Line([of], "heading"))
            heading = of
        whole = [row for suite in comparison.suites for row in entry.of_suite(suite)]
        figures = [one_line(entry.title)]
        figures += [_score(entry.figure("accuracy", p.suite, p.families)) for p in parts]
        figures += [""] if many else []
        for name in ("visual_token_ratio", "flops_ratio"):
            figures.append(_percent(comparison.across(entry, name)))
        figures.append(_seconds(comparison.across(entry, comparison.clock)))
        figures += [_samples(entry, comparison), f"{sum(row.errors for row in whole):,}"]
        lines.append(Line(figures))
        shares = [OF_VANILLA]
        shares += [_percent(comparison.share(entry, p.suite, of=p.families)) for p in parts]
        shares += [_percent(comparison.average(entry))] if many else []
        shares += ["", "", _percent(comparison.average(entry, comparison.clock)), "", ""]
        if any(cell not in ("", NOTHING) for cell in shares[1:]):
            lines.append(Line(shares, "shares"))
    return _without_empty(Sheet(heads, lines))


def cost_sheet(comparison: Comparison) -> Sheet:
    """All that a sample took, for each suite."""
    heads = [
        *("policy", "requests %", "visual tokens %", "replaced: tokens %", "FLOPs %"),
        *("paper's FLOPs %", "prompt tokens", "generated tokens"),
        *("seconds a sample", "asked alone: seconds", "memory MiB"),
        *("F1 %", "less high", "n", "failed"),
    ]
    ratios = ("request_rate", "visual_token_ratio", "visual_token_ratio_replaced")
    lines: list[Line] = []
    for suite in comparison.suites:
        lines += [Line([one_line(suite)], "heading")] if len(comparison.suites) > 1 else []
        for entry in comparison.entries:
            if not (rows := entry.of_suite(suite)):
                continue
            cells = [one_line(entry.title)]
            cells += [_share(entry.figure(name, suite)) for name in ratios]
            for name in ("flops_ratio", "paper_flops_ratio"):
                cells.append(_percent(_mean(entry.figure(name, suite))))
            for name in ("prompt_tokens", "completion_tokens"):
                figure = entry.figure(name, suite)
                cells.append(f"{figure.mean:,.1f}" if figure else NOTHING)
            for name in ("seconds_per_sample", "seconds_alone"):
                cells.append(_seconds(_mean(entry.figure(name, suite))))
            memory = entry.figure("peak_memory", suite)
            cells.append(f"{memory.mean / 2**20:,.0f}" if memory else NOTHING)
            cells.append(_score(entry.figure("f1", suite)))
            cells.append(_versus(entry, suite))
            cells += [_counts([row.n for row in rows]), f"{sum(row.errors for row in rows):,}"]
            lines.append(Line(cells))
    return _without_empty(Sheet(heads, lines))


def family_sheets(comparison: Comparison) -> dict[str, Sheet]:
    """For each suite that has families: accuracy of each policy, and how often it requests."""
    sheets: dict[str, Sheet] = {}
    for suite, families in comparison.suites.items():
        if len(families) < 2:
            continue
        heads = ["family"]
        lines = [[one_line(f"{f} ({kind})" if kind else f)] for f, kind in families.items()]
        for entry in comparison.entries:
            if not entry.of_suite(suite):
                continue
            heads.append(f"{one_line(entry.label)} %")
            for line, family in zip(lines, families, strict=True):
                line.append(_score(entry.figure("accuracy", suite, (family,))))
            if decides(entry, suite):
                heads.append(f"{one_line(entry.label)} requests %")
                for line, family in zip(lines, families, strict=True):
                    line.append(_share(entry.figure("request_rate", suite, (family,))))
        sheets[suite] = Sheet(heads, [Line(line) for line in lines])
    return sheets


def decides(entry: Entry, suite: str) -> bool:
    """Whether it requests some originals of a suite and others not."""
    rate = entry.figure("request_rate", suite)
    return rate is not None and 0 < rate.mean < 1


# Cells


def _score(figure: Estimate | None) -> str:
    if figure is None:
        return NOTHING
    spread = "" if figure.stderr is None else f" ± {figure.stderr * 100:.1f}"
    return f"{figure.mean * 100:.1f}{spread}"


def _share(figure: Estimate | None) -> str:
    """As a score, without a spread that is none."""
    if figure is None or (figure.stderr or 0) < 0.0005:
        return _percent(_mean(figure))
    return _score(figure)


def _percent(value: float | None) -> str:
    return NOTHING if value is None else f"{value * 100:.1f}"


def _seconds(value: float | None) -> str:
    return NOTHING if value is None else f"{value:.3g}"


def _mean(figure: Estimate | None) -> float | None:
    return None if figure is None else figure.mean


def _versus(entry: Entry, suite: str) -> str:
    found = entry.versus(suite)
    if found is None:
        return NOTHING
    figure, interval = found
    told = f"{figure.mean * 100:+.1f}"
    if interval is not None:
        low, high = interval
        return f"{told} ({low * 100:+.1f} to {high * 100:+.1f})"
    return told if figure.stderr is None else f"{told} ± {figure.stderr * 100:.1f}"


def _samples(entry: Entry, comparison: Comparison) -> str:
    """Scored samples of all suites; those of a run times the runs where these are alike."""
    found = [[row.n for row in entry.of_suite(suite)] for suite in comparison.suites]
    held = [counts for counts in found if counts]
    if all(len(counts) == len(held[0]) and len(set(counts)) == 1 for counts in held):
        return _counts([sum(counts[0] for counts in held)] * len(held[0]))
    return f"{sum(map(sum, held)):,}"


def _counts(found: Sequence[int]) -> str:
    """`1,000`, of several runs `3 x 1,000`; their sum if they are not equal."""
    if len(found) > 1 and len(set(found)) == 1:
        return f"{len(found)} x {found[0]:,}"
    return f"{sum(found):,}"


def _without_empty(sheet: Sheet) -> Sheet:
    """The table without columns that have no figure in any line."""
    full = [line.cells for line in sheet.lines if line.sort != "heading"]
    kept = [
        at for at in range(len(sheet.heads)) if any(line[at] not in (NOTHING, "") for line in full)
    ]
    return Sheet(
        [sheet.heads[at] for at in kept],
        [
            line if line.sort == "heading" else Line([line.cells[at] for at in kept], line.sort)
            for line in sheet.lines
        ],
    )


# Forms


def sheet_text(sheet: Sheet, width: int | None = None) -> str:
    """Aligned columns; where they are wider than `width`, in parts below each other that begin with
    the first column.
    """
    lines = [sheet.heads, *_full(sheet)]
    parts = [
        aligned([[line[at] for at in part] for line in lines]) for part in _parts(lines, width)
    ]
    return "\n\n".join(parts)


def _parts(lines: Sequence[Sequence[str]], width: int | None) -> Iterator[list[int]]:
    """The columns of each part."""
    part = [0]
    for at in range(1, len(lines[0])):
        wider = [[line[column] for column in (*part, at)] for line in lines]
        longest = max(map(len, aligned(wider).splitlines()))
        if width is not None and longest > width and len(part) > 1:
            yield part
            part = [0]
        part.append(at)
    yield part


def _full(sheet: Sheet) -> list[list[str]]:
    blank = [""] * (len(sheet.heads) - 1)
    return [[*line.cells, *blank] if line.sort == "heading" else line.cells for line in sheet.lines]


def sheet_markdown(sheet: Sheet) -> str:
    rule = ["---", *["---:"] * (len(sheet.heads) - 1)]
    lines = [[quoted(head) for head in sheet.heads], rule]
    for line, cells in zip(sheet.lines, _full(sheet), strict=True):
        told = [quoted(cell.strip()) for cell in cells]
        if line.sort == "heading":
            told[0] = f"**{told[0]}**"
        elif line.sort == "shares":
            told = [f"*{cell}*" if cell else "" for cell in told]
        lines.append(told)
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
