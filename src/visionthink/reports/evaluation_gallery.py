"""Episodes of evaluation runs as cards that can be chosen by policy, family and how they went."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any

from visionthink.reports.comparison import KINDS, kind_of
from visionthink.reports.evaluation import EvaluationRun
from visionthink.reports.gallery import Choices, choosable, choosing, folded, verdict
from visionthink.reports.grouping import is_number
from visionthink.reports.story import html_text, one_line, shortened

WAYS = ("direct", "requested", "unanswered")
VERDICTS = ("right", "wrong", "failed")
_ANSWER = 60
_At = tuple[int, int]
"""Which run, and which line of its episodes."""
_KEPT = ("policy", "answer", "requested", "score")


@dataclass(frozen=True)
class Shown:
    """An episode of the gallery; `others` are the same sample's under other policies."""

    run: EvaluationRun
    record: Mapping[str, Any]
    others: tuple[Mapping[str, Any], ...]


@dataclass(frozen=True)
class Gallery:
    """The HTML of the cards, and the style sheet that chooses among them."""

    html: str
    style: str


def choose(runs: Sequence[EvaluationRun], most: int) -> list[Shown]:
    """At most `most` episodes of all runs together, those with images first: of each policy in
    turn, and of each of its outcomes, suites and runs, so that what is rare is there as well.

    Raises:
        RunError: a line of `episodes.jsonl` is broken.
    """
    heaps: dict[tuple[bool, int, str], dict[tuple[Any, ...], list[_At]]] = {}
    for of, run in enumerate(runs):
        for at, record in enumerate(run.folder.episodes()):
            policy = (not record.get("images"), _place(record), _word(record, "policy"))
            outcome = (_verdict(record), bool(record.get("requested")))
            sort = (*outcome, _word(record, "suite"), of)
            heaps.setdefault(policy, {}).setdefault(sort, []).append((of, at))
    wanted: list[_At] = []
    for bare in (False, True):
        policies = [_spread(heaps[policy]) for policy in sorted(heaps) if policy[0] is bare]
        wanted += _in_turn(policies)
    return list(_read(runs, set(wanted[:most])))


def _spread(heaps: Mapping[tuple[Any, ...], Sequence[_At]]) -> list[_At]:
    """One of each heap, then another; heaps begin in different places, for they are alike."""
    held = [heaps[sort] for sort in sorted(heaps)]
    starts = [at % len(heap) for at, heap in enumerate(held)]
    return _in_turn([[*heap[at:], *heap[:at]] for at, heap in zip(starts, held, strict=True)])


def _in_turn(heaps: Sequence[Sequence[_At]]) -> list[_At]:
    return [at for row in zip_longest(*heaps) for at in row if at is not None]


def _read(runs: Sequence[EvaluationRun], chosen: set[tuple[int, int]]) -> Iterator[Shown]:
    for of, run in enumerate(runs):
        wanted = {at for run_at, at in chosen if run_at == of}
        records = [record for at, record in enumerate(run.folder.episodes()) if at in wanted]
        same: dict[tuple[str, str], list[Mapping[str, Any]]] = {_name(r): [] for r in records}
        for record in run.folder.episodes():
            if (name := _name(record)) in same:
                same[name].append({key: record.get(key) for key in _KEPT})
        for record in sorted(records, key=_place):
            policy = record.get("policy")
            others = [other for other in same[_name(record)] if other["policy"] != policy]
            yield Shown(run, record, tuple(others))


def _name(record: Mapping[str, Any]) -> tuple[str, str]:
    return _word(record, "suite"), str(record.get("id"))


def _place(record: Mapping[str, Any]) -> int:
    """Policies that decide come first, then others in the order of the tables."""
    kind = kind_of(_word(record, "policy"))
    return -1 if kind == "auto" else [*KINDS, ""].index(kind)


def _word(record: Mapping[str, Any], key: str) -> str:
    value = record.get(key)
    return value if isinstance(value, str) else ""


def _verdict(record: Mapping[str, Any]) -> str:
    score = record.get("score")
    return verdict(float(score)) if is_number(score) else "failed"


# Cards


def evaluation_gallery(found: Sequence[Shown]) -> Gallery:
    """The cards; policies, families and runs to choose by are those that are there."""
    policies = _numbered("policy", [_word(shown.record, "policy") for shown in found])
    families = _numbered("family", [_family(shown) for shown in found])
    runs = _numbered("run", [shown.run.name for shown in found])
    verdicts = {_verdict(shown.record) for shown in found}
    choices: Choices = {
        "policies": {"any-policy": "any policy", **_named(policies)},
        "families": {"any-family": "any family", **_named(families)},
        "runs": {"any-run": "any run", **_named(runs)},
        "ways": {"any-outcome": "any way", **{way: way for way in WAYS}},
        "verdicts": {"any-score": "any verdict", **{w: w for w in VERDICTS if w in verdicts}},
    }
    choices = {name: marks for name, marks in choices.items() if len(marks) > 2}
    cards = [
        folded(
            shown.record,
            shown.run.folder.path,
            at,
            facts=[
                shown.run.name if len(runs) > 1 else "",
                _word(shown.record, "policy"),
                _family(shown),
            ],
            marks=[_verdict(shown.record)],
            aside=_aside(shown),
            hidden=[
                policies[_word(shown.record, "policy")],
                families[_family(shown)],
                runs[shown.run.name],
            ],
        )
        for at, shown in enumerate(found, 1)
    ]
    return Gallery(choosable(cards, choices, "show"), choosing(choices, "show"))


def _numbered(stem: str, found: Sequence[str]) -> dict[str, str]:
    """A class name for each distinct text: texts of strangers are none."""
    return {text: f"{stem}-{at}" for at, text in enumerate(dict.fromkeys(found))}


def _named(marks: Mapping[str, str]) -> dict[str, str]:
    return {mark: one_line(text) or "none" for text, mark in marks.items()}


def _family(shown: Shown) -> str:
    return _word(shown.record, "family") or _word(shown.record, "suite")


def _aside(shown: Shown) -> str:
    """The right answer, the score, and what other policies said."""
    record = shown.record
    expected = record.get("answer_expected")
    right = f"<b>{html_text(str(expected))}</b>" if expected is not None else "not known"
    lines = [_line("Right answer", right)]
    if record.get("error") is not None:
        lines.append(_line("Failed", html_text(one_line(str(record["error"]))[:300])))
    else:
        score = record.get("score")
        told = f"{score:g}" if is_number(score) else "none"
        lines.append(_line("Score", f"{told}, by {html_text(_word(record, 'by') or 'nobody')}"))
    if shown.others:
        said = (f'<span class="other">{_other(other)}</span>' for other in shown.others)
        lines.append(_line("Others", " ".join(said)))
    return "".join(lines)


def _other(record: Mapping[str, Any]) -> str:
    answer = one_line(str(record.get("answer") or "no answer"))
    short = html_text(shortened(answer, _ANSWER))
    asked = ", requested" if record.get("requested") is True else ""
    return f"{html_text(_word(record, 'policy'))}: <b>{short}</b> ({_verdict(record)}{asked})"


def _line(label: str, html: str) -> str:
    return f'<p class="aside"><span class="label">{label}</span> <span dir="auto">{html}</span></p>'
