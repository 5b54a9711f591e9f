"""A summary as text for a terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from visionthink.evaluation.suites import ALL

SummaryRow = Mapping[str, Any]
GAP = "  "
ABREAST = 4
"""Policies in one table of families."""
HEADS = (
    *("policy", "n", "accuracy", "[95 %]", "vs high", "[95 %]", "requests", "visual tokens"),
    *("FLOPs", "s/sample", "s alone", "memory", "undecided", "errors"),
)


def summary_text(rows: Sequence[SummaryRow]) -> str:
    """For each suite the policies side by side, and then one line for each family."""
    suites = dict.fromkeys(row["suite"] for row in rows)
    return "\n\n".join(_suite([row for row in rows if row["suite"] == name]) for name in suites)


def aligned(lines: Sequence[Sequence[str]]) -> str:
    """Aligned columns: the first to the left, the others to the right; empty ones are left out."""
    columns = [column for column in zip(*lines, strict=True) if any(column[1:])]
    widths = [max(map(len, column)) for column in columns]
    return "\n".join(
        GAP.join(
            cell.ljust(width) if at == 0 else cell.rjust(width)
            for at, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in zip(*columns, strict=True)
    )


def percent(value: float | None) -> str:
    return "" if value is None else f"{100 * value:.1f} %"


def _suite(rows: Sequence[SummaryRow]) -> str:
    name = rows[0]["suite"]
    whole = [row for row in rows if row["family"] == ALL]
    parts = [f"{name}\n{aligned([HEADS, *(_cells(row) for row in whole)])}"]
    families = dict.fromkeys(row["family"] for row in rows if row["family"] != ALL)
    if families:
        parts.append(f"{name}, accuracy by family")
        policies = [row["policy"] for row in whole]
        of = {(row["family"], row["policy"]): row for row in rows}
        some = {r["policy"] for r in rows if r["family"] != ALL and r["request_rate"]}
        for start in range(0, len(policies), ABREAST):
            shown = policies[start : start + ABREAST]
            heads = ["family", "kind"]
            for policy in shown:
                heads += [policy, "requests"] if policy in some else [policy]
            lines = [_family(of, family, shown, some) for family in families]
            parts.append(aligned([heads, *lines]))
    if note := contained_note({row["policy"]: (row["contained"], row["n"]) for row in whole}):
        parts.append(note)
    return "\n\n".join(parts)


def contained_note(counts: Mapping[str, tuple[int, int]]) -> str:
    """One line on the answers that contain the ground truth, and score as wrong; empty for none.

    Args:
        counts: for each policy how many do, and of how many.
    """
    shown = [f"{count} of {n} with {policy}" for policy, (count, n) in counts.items() if count]
    if not shown:
        return ""
    return (
        f"scored wrong, but contain the expected answer: {', '.join(shown)}; compare some, and if "
        "they are right set prompt_suffix, another --metric, or --judge"
    )


def _cells(row: SummaryRow) -> list[str]:
    versus = row["vs_high"] or {}
    return [
        row["policy"],
        str(row["n"]),
        "-" if row["accuracy"] is None else f"{row['accuracy']:.3f}",
        "" if row["ci_low"] is None else f"[{row['ci_low']:.3f}, {row['ci_high']:.3f}]",
        f"{versus['difference']:+.3f}" if versus else "",
        f"[{versus['low']:+.3f}, {versus['high']:+.3f}]" if versus else "",
        percent(row["request_rate"]),
        percent(row["visual_token_ratio"]),
        percent(row["flops_ratio"]),
        _seconds(row["seconds_per_sample"]),
        _seconds(row["seconds_alone"]),
        "" if row["peak_memory"] is None else f"{row['peak_memory'] / 2**20:,.0f} MiB",
        str(row.get("undecided") or ""),
        str(row["errors"] or ""),
    ]


def _seconds(value: float | None) -> str:
    return "" if value is None else f"{value:.3g}"


def _family(
    of: Mapping[tuple[str, str], SummaryRow],
    family: str,
    policies: Sequence[str],
    some: set[str],
) -> list[str]:
    line = [family, next(row["kind"] for (name, _), row in of.items() if name == family) or ""]
    for policy in policies:
        row = of.get((family, policy))
        line.append("-" if row is None or row["accuracy"] is None else f"{row['accuracy']:.3f}")
        if policy in some:
            line.append("" if row is None else percent(row["request_rate"]))
    return line
