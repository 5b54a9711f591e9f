"""What requests could save on your own questions, from their answers by `low` and `high`.

No training is needed for that. Each question is right at both looks, at the original only (it needs
a request), at the small image only (usually chance), or at neither. Three numbers follow:

- the *ceiling* requests exactly where that is needed; no model can do better;
- the *careful* model requests wherever its answer from the small image is wrong, even where the
  original does not help, because it cannot know that;
- the *break-even* request rate, 1 - (tokens of the small image / tokens of the original): a request
  costs the original on top of the small image, so above that rate originals alone are cheaper.
  Seconds have a lower break-even of their own, because they fall less than tokens.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import compress
from typing import Any

from visionthink.evaluation.statistics import paired_bootstrap
from visionthink.evaluation.suites import ALL
from visionthink.evaluation.summary import Sample
from visionthink.evaluation.table import aligned, percent

ESTIMATED = ("high", "low")
RIGHT = 0.5
"""Scores from here up count as right, where a metric gives shares."""
ENOUGH = 0.01
"""The loss of accuracy up to which the small image counts as enough, and the saving up to which
nothing is saved."""

Pair = tuple[Sample, Sample]
"""A question at low and at high."""


def estimates(samples: Iterable[Sample], suites: Sequence[str]) -> list[dict[str, Any]]:
    """One object for each suite and family that has a question scored at both looks."""
    found: dict[str, dict[str, dict[str, Sample]]] = {suite: {} for suite in suites}
    for sample in samples:
        found[sample.suite].setdefault(sample.id, {})[sample.policy] = sample
    rows: list[dict[str, Any]] = []
    for suite, of_id in found.items():
        every = [(of["low"], of["high"]) for of in of_id.values() if {"low", "high"} <= set(of)]
        pairs = [pair for pair in every if all(sample.score is not None for sample in pair)]
        families = dict.fromkeys(low.family for low, _ in pairs if low.family is not None)
        for family in (*families, ALL):
            chosen = [pair for pair in pairs if family in (ALL, pair[0].family)]
            if chosen:
                left = sum(family in (ALL, low.family) for low, _ in every) - len(chosen)
                rows.append({"suite": suite, "family": family, **estimate(chosen), "errors": left})
    return rows


def estimate(pairs: Sequence[Pair]) -> dict[str, Any]:
    """The four counts, and the accuracy and cost of looks and requests on these questions."""
    rights = [(_right(low), _right(high)) for low, high in pairs]
    needed = [not low and high for low, high in rights]
    careful = [not low for low, _ in rights]
    small = _cost(pairs, [False] * len(pairs))
    return {
        "n": len(pairs),
        "both": rights.count((True, True)),
        "only_high": rights.count((False, True)),
        "only_low": rights.count((True, False)),
        "neither": rights.count((False, False)),
        "accuracy_high": sum(high for _, high in rights) / len(pairs),
        "accuracy_low": sum(low for low, _ in rights) / len(pairs),
        "accuracy_ceiling": sum(low or high for low, high in rights) / len(pairs),
        "low_vs_high": paired_bootstrap([float(low) - high for low, high in rights]),
        "low": small,
        "ceiling": _cost(pairs, needed),
        "careful": _cost(pairs, careful),
        "break_even": 1 - small["visual_token_ratio"],
        "break_even_time": 1 - small["seconds_ratio"],
    }


def verdict(row: Mapping[str, Any]) -> str:
    """The conclusion from an estimate, in one sentence."""
    ceiling, careful = (row[key]["visual_token_ratio"] for key in ("ceiling", "careful"))
    saved = 1 - row["low"]["visual_token_ratio"]
    if saved <= ENOUGH:
        return "Nothing to save: the images are so small that their half size has as many tokens."
    if row["accuracy_high"] - row["accuracy_low"] <= ENOUGH:
        return (
            "The small image alone is good enough here: look low saves "
            f"{percent(saved)} of the visual tokens without any training."
        )
    if careful < 1:
        least, most = percent(1 - careful), percent(1 - ceiling)
        saved = most if least == most else f"{least} to {most}"
        return (
            f"Worth training: a model that learns when to request can save {saved} of the visual "
            "tokens and keep the accuracy."
        )
    if ceiling < 1:
        return (
            f"Doubtful: at best {percent(1 - ceiling)} of the visual tokens are saved, but a model "
            "that requests whenever it cannot answer costs more than the originals; start from a "
            "better model, or from easier questions."
        )
    return (
        f"Not worth it: {percent(row['ceiling']['request_rate'])} of the questions need the "
        f"original, more than the break-even of {percent(row['break_even'])}; show originals."
    )


def estimate_text(rows: Sequence[Mapping[str, Any]]) -> str:
    """The estimates in words and tables, suite by suite."""
    if not rows:
        return "no question was scored at both looks"
    suites = dict.fromkeys(row["suite"] for row in rows)
    return "\n\n".join(_suite([row for row in rows if row["suite"] == name]) for name in suites)


def _right(sample: Sample) -> bool:
    return sample.score is not None and sample.score >= RIGHT


def _cost(pairs: Sequence[Pair], requests: Sequence[bool]) -> dict[str, float]:
    """The small image for all, the original on top where requested; over originals for all."""
    asked = [low for low, _ in pairs] + [high for _, high in compress(pairs, requests)]
    tokens, seconds = sum(of.tokens[0] for of in asked), sum(of.seconds for of in asked)
    return {
        "request_rate": sum(requests) / len(pairs),
        "visual_token_ratio": tokens / sum(high.tokens[0] for _, high in pairs),
        "seconds_ratio": seconds / max(1e-9, sum(high.seconds for _, high in pairs)),
    }


def _suite(rows: Sequence[Mapping[str, Any]]) -> str:
    row = rows[-1]
    n = row["n"]

    def count(key: str) -> str:
        return f"{row[key]} ({percent(row[key] / n)})"

    def line(name: str, accuracy: str, cost: Mapping[str, float] | None) -> list[str]:
        shares = (cost["visual_token_ratio"], cost["seconds_ratio"]) if cost else (1.0, 1.0)
        asks = percent(cost["request_rate"]) if cost and cost["request_rate"] else "-"
        return [name, asks, percent(row[accuracy]), *map(percent, shares)]

    left = f"; {row['errors']} more have errors" if row["errors"] else ""
    parts = [
        f"{row['suite']}: {n} questions, answered from the small image (low) and from the original "
        f"(high){left}",
        aligned(
            [
                ["", "high right", "high wrong"],
                ["low right", count("both"), count("only_low")],
                ["low wrong", count("only_high"), count("neither")],
            ]
        ),
        aligned(
            [
                ["", "requests", "accuracy", "visual tokens", "time"],
                line("the original always (high)", "accuracy_high", None),
                line("the small image always (low)", "accuracy_low", row["low"]),
                line("requests where needed (ceiling)", "accuracy_ceiling", row["ceiling"]),
                line("requests where low is wrong (careful)", "accuracy_ceiling", row["careful"]),
            ]
        ),
        _notes(row),
    ]
    if len(rows) > 1:
        heads = ["family", "n", "both right", "only high", "only low", "neither", "ceiling tokens"]
        lines = [
            [
                each["family"],
                *(str(each[k]) for k in ("n", "both", "only_high", "only_low", "neither")),
                percent(each["ceiling"]["visual_token_ratio"]),
            ]
            for each in rows[:-1]
        ]
        parts.append(aligned([heads, *lines]))
    return "\n\n".join(parts)


def _notes(row: Mapping[str, Any]) -> str:
    lines = [verdict(row)]
    if (versus := row["low_vs_high"]) is not None:
        lines.append(
            f"low minus high: {100 * versus['difference']:+.1f} points "
            f"(95 %: {100 * versus['low']:+.1f} to {100 * versus['high']:+.1f})."
        )
    lines.append(
        "Break-even: cheaper than originals up to a request rate of "
        f"{percent(row['break_even'])} in visual tokens, "
        f"{percent(max(0.0, row['break_even_time']))} in time as measured here."
    )
    if row["only_low"]:
        lines.append(
            f"Right at low only is usually chance ({row['only_low']}); as many of those right at "
            "high only may be chance, too."
        )
    return "\n".join(lines)
