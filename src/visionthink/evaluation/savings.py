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

from visionthink.core.intervals import paired, wilson
from visionthink.evaluation.advice import Advice, advise
from visionthink.evaluation.suites import ALL
from visionthink.evaluation.summary import Sample
from visionthink.evaluation.table import aligned, contained_note, percent

ESTIMATED = ("high", "low")
EXAMPLES = 5
"""Wrong answers from the original that are shown, and how many characters of each."""
LONGEST = 60
TRY = """What to try, if these are right or nearly so:
  answers are sentences: --set 'prompt_suffix="\\nAnswer with a single word."'
  right in other words, or in another form: another --metric (relaxed, anls, contains, \u2026)
  right, and no rule sees it: --judge cascade with --judge-url and --judge-model
  empty or cut off: a larger --max-tokens"""

Pair = tuple[Sample, Sample]
"""A question at low and at high."""


def estimates(samples: Iterable[Sample], suites: Sequence[str]) -> list[dict[str, Any]]:
    """One object for each suite, and for each of its families that has a question scored at both
    looks.
    """
    found: dict[str, dict[str, dict[str, Sample]]] = {suite: {} for suite in suites}
    for sample in samples:
        found[sample.suite].setdefault(sample.id, {})[sample.policy] = sample
    rows: list[dict[str, Any]] = []
    for suite, of_id in found.items():
        every = [(of["low"], of["high"]) for of in of_id.values() if {"low", "high"} <= set(of)]
        pairs = [pair for pair in every if all(sample.score is not None for sample in pair)]
        if not pairs:
            none = "No advice: no question was scored at both looks."
            failed = {"n": 0, "errors": len(of_id), **_advice(Advice("unclear", none))}
            rows.append({"suite": suite, "family": ALL, **failed})
            continue
        families = dict.fromkeys(low.family for low, _ in pairs if low.family is not None)
        for family in (*families, ALL):
            chosen = [pair for pair in pairs if family in (ALL, pair[0].family)]
            if chosen:
                left = sum(family in (ALL, low.family) for low, _ in every) - len(chosen)
                rows.append({"suite": suite, "family": family, **estimate(chosen), "errors": left})
    return rows


def estimate(pairs: Sequence[Pair]) -> dict[str, Any]:
    """The four counts, and the accuracy and cost of looks and requests on these questions."""
    n = len(pairs)
    rights = [(low.right, high.right) for low, high in pairs]
    needed = [not low and high for low, high in rights]
    careful = [not low for low, _ in rights]
    small = _cost(pairs, [False] * n)
    at_low, at_high = sum(low for low, _ in rights), sum(high for _, high in rights)
    row = {
        "n": n,
        "both": rights.count((True, True)),
        "only_high": rights.count((False, True)),
        "only_low": rights.count((True, False)),
        "neither": rights.count((False, False)),
        "accuracy_high": at_high / n,
        "accuracy_high_interval": wilson(at_high / n, n),
        "accuracy_low": at_low / n,
        "accuracy_low_interval": wilson(at_low / n, n),
        "accuracy_ceiling": sum(low or high for low, high in rights) / n,
        "low_vs_high": paired([float(low) - high for low, high in rights]),
        "low": small,
        "ceiling": _cost(pairs, needed),
        "careful": _cost(pairs, careful),
        "break_even": 1 - small["visual_token_ratio"],
        "break_even_time": 1 - small["seconds_ratio"],
        "contained_high": sum(high.contained for _, high in pairs),
        "contained_low": sum(low.contained for low, _ in pairs),
        "wrong_at_high": [
            {"id": high.id, "expected": high.truth, "got": high.answer} for high in _wrong(pairs)
        ],
    }
    return row | _advice(advise(row))


def _advice(advice: Advice) -> dict[str, Any]:
    return {
        "verdict": advice.verdict,
        "advice": advice.text,
        "more_questions": advice.more_questions,
    }


def _wrong(pairs: Sequence[Pair]) -> list[Sample]:
    """A few wrong answers from the original, those that contain the truth first."""
    wrong = [high for _, high in pairs if not high.right]
    return sorted(wrong, key=lambda sample: not sample.contained)[:EXAMPLES]


def estimate_text(rows: Sequence[Mapping[str, Any]]) -> str:
    """The estimates in words and tables, suite by suite."""
    suites = dict.fromkeys(row["suite"] for row in rows)
    return "\n\n".join(_suite([row for row in rows if row["suite"] == name]) for name in suites)


def _cost(pairs: Sequence[Pair], requests: Sequence[bool]) -> dict[str, float]:
    """The small image for all, the original on top where requested; over originals for all."""
    asked = [low for low, _ in pairs] + [high for _, high in compress(pairs, requests)]
    tokens, seconds = sum(of.tokens[0] for of in asked), sum(of.seconds for of in asked)
    originals = sum(high.tokens[0] for _, high in pairs)
    return {
        "request_rate": sum(requests) / len(pairs),
        "visual_token_ratio": tokens / originals if originals else 1.0,
        "seconds_ratio": seconds / max(1e-9, sum(high.seconds for _, high in pairs)),
    }


def _suite(rows: Sequence[Mapping[str, Any]]) -> str:
    row = rows[-1]
    n = row["n"]
    if not n:
        return f"{row['suite']}: {_questions(row['errors'])}\n\n{row['advice']}"

    def count(key: str) -> str:
        return f"{row[key]} ({percent(row[key] / n)})"

    def line(name: str, accuracy: str, cost: Mapping[str, float] | None) -> list[str]:
        shares = (cost["visual_token_ratio"], cost["seconds_ratio"]) if cost else (1.0, 1.0)
        asks = percent(cost["request_rate"]) if cost and cost["request_rate"] else "-"
        found = row.get(f"{accuracy}_interval")
        interval = f"[{100 * found[0]:.1f}, {100 * found[1]:.1f}]" if found else ""
        return [name, asks, percent(row[accuracy]), interval, *map(percent, shares)]

    left = f"; {row['errors']} more have errors" if row["errors"] else ""
    parts = [
        f"{row['suite']}: {_questions(n)}, answered from the small image (low) and from the "
        f"original (high){left}",
        aligned(
            [
                ["", "high right", "high wrong"],
                ["low right", count("both"), count("only_low")],
                ["low wrong", count("only_high"), count("neither")],
            ]
        ),
        aligned(
            [
                ["", "requests", "accuracy", "[95 %]", "visual tokens", "time"],
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


def _questions(n: int) -> str:
    return "1 question" if n == 1 else f"{n} questions"


def _notes(row: Mapping[str, Any]) -> str:
    """The advice first; what the figures mean where there is one, else what to look at and try."""
    versus = row["low_vs_high"]
    contained = {look: (row[f"contained_{look}"], row["n"]) for look in ESTIMATED}
    lines = [
        row["advice"],
        f"low minus high: {100 * versus['difference']:+.1f} points "
        f"(95 %: {100 * versus['low']:+.1f} to {100 * versus['high']:+.1f}).",
    ]
    if row["verdict"] == "unclear":
        return "\n".join([*lines, *_what_to_try(row)])
    lines.append(
        "Break-even: cheaper than originals up to a request rate of "
        f"{percent(max(0.0, row['break_even']))} in visual tokens, "
        f"{percent(max(0.0, row['break_even_time']))} in time as measured here."
    )
    if row["only_low"]:
        lines.append(
            f"Right at low only is usually chance ({row['only_low']}); as many of those right at "
            "high only may be chance, too."
        )
    if note := contained_note(contained):
        lines.append(note)
    return "\n".join(lines)


def _what_to_try(row: Mapping[str, Any]) -> list[str]:
    if not row["wrong_at_high"]:
        return []
    pairs = [(_short(of["expected"]), _short(of["got"])) for of in row["wrong_at_high"]]
    width = max(len(expected) for expected, _ in pairs)
    return [
        "",
        "Answers from the original that score wrong:",
        *(f"  expected {expected.ljust(width)}  got {got}" for expected, got in pairs),
        TRY,
    ]


def _short(text: str) -> str:
    shown = repr(text[: LONGEST + 1])
    return shown if len(text) <= LONGEST else f"{repr(text[: LONGEST - 1])[:-1]}\u2026'"
