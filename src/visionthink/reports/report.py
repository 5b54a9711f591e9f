"""A report: headings, texts, tables, plots and episodes, as one HTML page and as Markdown.

A table is written as text for a terminal, as Markdown, and as HTML by `table.html.jinja`.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Literal, NamedTuple

import yaml

from visionthink.core.errors import RunError
from visionthink.reports.formatting import one_line
from visionthink.reports.plotting import Plot

NOTHING = "-"


@dataclass(frozen=True)
class Line:
    """A line of a table: a heading has one cell; shares stand below the figures they are of."""

    cells: list[str]
    kind: Literal["heading", "figures", "shares"] = "figures"


@dataclass(frozen=True)
class Table:
    """A table. The first column is text, the others are figures."""

    heads: list[str]
    lines: list[Line]

    def without_empty_columns(self) -> Table:
        """The table without columns that have no figure in any line."""
        full = [line.cells for line in self.lines if line.kind != "heading"]
        return self._columns(
            [
                at
                for at in range(len(self.heads))
                if at == 0 or any(cells[at] not in (NOTHING, "") for cells in full)
            ]
        )

    def _columns(self, kept: Sequence[int]) -> Table:
        lines = [
            line if line.kind == "heading" else Line([line.cells[at] for at in kept], line.kind)
            for line in self.lines
        ]
        return Table([self.heads[at] for at in kept], lines)

    def parts(self, width: int | None) -> list[Table]:
        """The table broken into tables of at most `width` columns of text, which all begin with the
        first column.
        """
        kept, parts = [0], list[list[int]]()
        for at in range(1, len(self.heads)):
            wider = aligned([[row[column] for column in (*kept, at)] for row in self._rows()])
            if width is not None and max(map(len, wider.splitlines())) > width and len(kept) > 1:
                parts.append(kept)
                kept = [0]
            kept.append(at)
        return [self._columns(part) for part in (*parts, kept)]

    def text(self, width: int | None = None) -> str:
        """Aligned columns, in parts below each other if they are wider than `width`."""
        return "\n\n".join(aligned(part._rows()) for part in self.parts(width))

    def markdown(self) -> str:
        heads, *rows = self._rows()
        lines = [[quoted(head) for head in heads], ["---", *["---:"] * (len(heads) - 1)]]
        for line, row in zip(self.lines, rows, strict=True):
            mark = {"heading": "**", "shares": "*", "figures": ""}[line.kind]
            cells = [quoted(cell.strip()) for cell in row]
            lines.append([f"{mark}{cell}{mark}" if cell else "" for cell in cells])
        return "\n".join(f"| {' | '.join(line)} |" for line in lines)

    def _rows(self) -> list[list[str]]:
        """The heads and the lines, all of one length."""
        return [
            self.heads,
            *([*of.cells, *[""] * (len(self.heads) - len(of.cells))] for of in self.lines),
        ]


def aligned(rows: Sequence[Sequence[str]]) -> str:
    """Columns under each other, the first to the left, the others to the right. The first row has
    the heads, which are broken before their second word.
    """
    upper = [head.partition(" ")[0] if " " in head else "" for head in rows[0]]
    lower = [head.partition(" ")[2] or head for head in rows[0]]
    rows = [upper, lower, *rows[1:]] if any(upper) else [lower, *rows[1:]]
    widths = [max(len(row[at]) for row in rows) for at in range(len(upper))]
    return "\n".join(
        "  ".join(
            cell.rjust(width) if at else cell.ljust(width)
            for at, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    )


def quoted(text: str) -> str:
    """`text` with nothing in it that Markdown or HTML would read as markup."""
    return re.sub(r"([\\`*_{}\[\]<>#|~&!])", r"\\\1", text)


# Reports


@cache
def texts() -> dict[str, Any]:
    """What reports say about their tables and plots."""
    return yaml.safe_load((Path(__file__).parent / "texts.yaml").read_text(encoding="utf-8"))


PAGE, MARKDOWN = "report.html", "report.md"
PAGE_WIDTH = 165
"""Columns of text that fit into a table of the page at 1,280 px; wider tables are broken."""


class Heading(NamedTuple):
    """A heading of a part."""

    text: str


class Notes(NamedTuple):
    """What a reader must know about the figures, one sentence each."""

    items: Sequence[str]


@dataclass(frozen=True)
class Gallery:
    """Episodes folded under one line each, and what they can be chosen by: see `gallery`.

    `choices` has, for each question, class names of cards and the texts of their buttons; the first
    is that of all cards. `stem` begins the ids of the buttons: two galleries of one page need two.
    """

    stem: str
    cards: Sequence[Mapping[str, object]]
    choices: Mapping[str, Mapping[str, str]]

    @property
    def style(self) -> str:
        """The style sheet that does the choosing: no script runs on our pages."""
        return "\n".join(
            f".gallery:has(#{self.stem}-{mark}:checked) .sample:not(.{mark}) {{ display: none; }}"
            for marks in self.choices.values()
            for mark in list(marks)[1:]
        )


Block = Heading | Notes | str | Table | Plot | Gallery
"""A part of a report; a string is a paragraph."""


@dataclass(frozen=True)
class Report:
    """A title, a line below it, and the parts in order."""

    title: str
    summary: str
    blocks: list[Block] = field(default_factory=list["Block"])

    @property
    def plots(self) -> list[Plot]:
        return [block for block in self.blocks if isinstance(block, Plot)]

    def html(self) -> str:
        """The page; plots are inside it as SVG."""
        from visionthink.reports.page import data_url, render, style_sheet

        galleries = [block.style for block in self.blocks if isinstance(block, Gallery)]
        return render(
            "report.html.jinja", style="".join([style_sheet("report.css"), *galleries]),
            title=self.title, summary=self.summary, page_width=PAGE_WIDTH,
            blocks=[(type(block).__name__, block) for block in self.blocks],
            svg_url=lambda plot: data_url(plot.svg, "svg+xml"),
        )  # fmt: skip

    def markdown(self) -> str:
        """The page without its episodes; the plots are PNG files beside it."""
        parts = [f"# {quoted(self.title)}", f"{quoted(self.summary)}."]
        for block in self.blocks:
            match block:
                case Heading():
                    parts.append(f"## {quoted(one_line(block.text))}")
                case Notes():
                    parts.append("\n".join(f"- {quoted(one_line(x))}." for x in block.items))
                case str():
                    parts.append(block)
                case Table():
                    parts.append(block.markdown())
                case Plot():
                    title = quoted(block.title)
                    parts += [f"### {title}", f"![{title}]({block.name}.png)", block.caption]
                case Gallery():
                    pass
        return "\n\n".join(parts) + "\n"

    def write(self, out: str | os.PathLike[str]) -> list[Path]:
        """Write the page, the Markdown, and each plot as PNG and SVG into a folder, over the files
        that are there. Raises RunError if it cannot.
        """
        files = {PAGE: self.html().encode(), MARKDOWN: self.markdown().encode()}
        for plot in sorted(self.plots, key=lambda plot: plot.name):
            files |= {f"{plot.name}.png": plot.png, f"{plot.name}.svg": plot.svg}
        folder = Path(out)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            for name, data in files.items():
                (folder / name).write_bytes(data)
        except OSError as error:
            raise RunError(f"cannot write the report into {folder}: {error.strerror}") from error
        return [folder / name for name in files]
