"""How far two judges agree on the same rows: a table, Cohen's kappa, and the rows they differ on.

Rows are those of `visionthink judge`, or labelled by people: where a row has no `score`, its
`expected` counts. The figures are over the rows to which both gave a score of 0 or 1; those that
one of them left undecided are in the table.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from visionthink.core.errors import DataError
from visionthink.core.intervals import Interval, wilson
from visionthink.judges.judge import Score
from visionthink.judges.predictions import bad_rows, id_problem, read_objects

SCORES: tuple[Score, ...] = (1, 0, None)
SHOWN = ("question", "answer", "prediction")
"""Fields of a row that are shown beside the scores that differ."""

Id = str | int


@dataclass(frozen=True)
class Agreement:
    """The scores that two files give to the rows of both.

    Attributes:
        table: how often the first gave one score and the second another, by (first, second).
        only: how many rows the first has that the second lacks, and the other way round.
        differing: the rows to which they gave different scores, in the order of the first file:
            `id`, `a`, `b`, and what the rows hold of `SHOWN`.
    """

    table: Mapping[tuple[Score, Score], int]
    only: tuple[int, int]
    differing: Sequence[dict[str, Any]]

    @property
    def rows(self) -> int:
        """The rows of both files."""
        return sum(self.table.values())

    @property
    def scored(self) -> int:
        """Those with two scores."""
        return sum(self.table[a, b] for a in (0, 1) for b in (0, 1))

    @property
    def share(self) -> float | None:
        """The share of the scored rows with equal scores; None without any."""
        return (self.table[0, 0] + self.table[1, 1]) / self.scored if self.scored else None

    @property
    def by_chance(self) -> float | None:
        """The share of equal scores if each gave as many ones and zeros at random."""
        if not (n := self.scored):
            return None
        first = (self.table[1, 0] + self.table[1, 1]) / n
        second = (self.table[0, 1] + self.table[1, 1]) / n
        return first * second + (1 - first) * (1 - second)

    @property
    def share_interval(self) -> Interval | None:
        """The 95 % interval of `share` (Wilson)."""
        return None if self.share is None else wilson(self.share, self.scored)

    @property
    def kappa(self) -> float | None:
        """(share - by chance) / (1 - by chance) (Cohen 1960); None where chance explains all."""
        return self._beyond_chance(self.share)

    @property
    def kappa_interval(self) -> Interval | None:
        """The interval of `share` on kappa's scale: as Cohen's standard error it takes `by_chance`
        for known, and it has no width 0 where all scores are equal.
        """
        low, high = (self._beyond_chance(share) for share in self.share_interval or (None, None))
        return None if low is None or high is None else (low, high)

    def _beyond_chance(self, share: float | None) -> float | None:
        chance = self.by_chance
        if share is None or chance is None or chance == 1:
            return None
        return (share - chance) / (1 - chance)

    def to_json(self) -> dict[str, Any]:
        names = {1: "1", 0: "0", None: "null"}
        return {
            "rows": self.rows,
            "scored": self.scored,
            "only_a": self.only[0],
            "only_b": self.only[1],
            "agreement": self.share,
            "agreement_interval": self.share_interval,
            "kappa": self.kappa,
            "kappa_interval": self.kappa_interval,
            "table": {names[a]: {names[b]: self.table[a, b] for b in SCORES} for a in SCORES},
            "differing": list(self.differing),
        }


def agreement(first: Path, second: Path) -> Agreement:
    """Compare two files of judged rows.

    Raises:
        DataError: one cannot be read, a row has no id or no score, an id occurs twice, or the files
            have no row in common.
    """
    ours, theirs = read_scores(first), read_scores(second)
    common = [name for name in ours if name in theirs]
    if not common:
        raise DataError(
            f"{first} and {second} have no id in common (such as {next(iter(ours))!r:.40} and "
            f"{next(iter(theirs))!r:.40}); judge the same rows"
        )
    pairs = {name: (ours[name][0], theirs[name][0]) for name in common}
    counts = Counter(pairs.values())
    table: dict[tuple[Score, Score], int] = {(a, b): counts[a, b] for a in SCORES for b in SCORES}
    differing = [
        {"id": name, "a": a, "b": b}
        | {key: ours[name][1][key] for key in SHOWN if key in ours[name][1]}
        for name, (a, b) in pairs.items()
        if a != b
    ]
    return Agreement(table, (len(ours) - len(common), len(theirs) - len(common)), differing)


def read_scores(path: Path) -> dict[Id, tuple[Score, dict[str, Any]]]:
    """Id → score and row; see `agreement` for what is raised."""
    found: dict[Id, tuple[Score, dict[str, Any]]] = {}
    problems: list[str] = []
    for number, row, problem in read_objects(path):
        problem = problem or id_problem(row) or _score_problem(row)
        if not problem and row["id"] in found:
            problem = f"id {row['id']!r:.40} occurs twice"
        if problem:
            problems.append(f"row {number}: {problem}")
        else:
            found[row["id"]] = (_score(row), row)
    if problems:
        raise bad_rows(path, problems, "id and score, or id and expected")
    return found


def _score(row: Mapping[str, Any]) -> Any:
    return row["score"] if "score" in row else row["expected"]


def _score_problem(row: Mapping[str, Any]) -> str:
    if "score" not in row and "expected" not in row:
        return "score is missing"
    score = _score(row)
    known = score is None or (type(score) in (int, float) and score in (0, 1))
    return "" if known else f"score must be 0, 1 or null; got {score!r:.40}"


@dataclass(frozen=True)
class Decided:
    """What one decider of a judged file did, and its errors on the rows that carry `expected`.

    `false_ones` are wrong answers scored 1, `false_zeros` right ones scored 0.
    """

    rows: int
    labelled: int
    false_ones: int
    false_zeros: int

    @property
    def error(self) -> float | None:
        """The share of the labelled rows that it scored wrongly."""
        return (self.false_ones + self.false_zeros) / self.labelled if self.labelled else None


def decided_by(judged: Sequence[Mapping[str, Any]]) -> dict[str, Decided]:
    """Who decided → how much and how well. Rows without a score were decided by nobody."""
    rows = [row for row in judged if row["score"] is not None]
    found: dict[str, Decided] = {}
    for by in dict.fromkeys(row["by"] for row in rows):
        own = [row for row in rows if row["by"] == by]
        pairs = [(row["score"], row["expected"]) for row in own if row.get("expected") in (0, 1)]
        found[by] = Decided(len(own), len(pairs), pairs.count((1, 0)), pairs.count((0, 1)))
    return found
