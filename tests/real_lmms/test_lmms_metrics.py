"""Our metrics against lmms-eval's own functions, on pairs made by rules."""

from __future__ import annotations

import json
import subprocess
from collections import Counter, defaultdict
from dataclasses import asdict
from pathlib import Path

import lmms_process
import pytest
from metric_pairs import Pair, pairs

from visionthink.evaluation.metrics import METRICS, said_yes
from visionthink.evaluation.statistics import f1

pytestmark = pytest.mark.lmms

DELIBERATE = {
    ("chartqa", "spaces around"): 40,
    ("chartqa", "inf and nan"): 20,
    ("docvqa", "repeated spaces"): 58,
    ("textvqa", "a single answer"): 30,
    ("pope", "full stop"): 50,
    ("pope", "sentence"): 50,
    ("pope", "lead-in"): 50,
    ("mme", "lead-in"): 50,
    ("mme", "begins like no or yes"): 25,
    ("realworldqa", "small letter"): 17,
    ("mmmu", "small letter"): 20,
    ("realworldqa", "text of an option"): 17,
    ("mmmu", "text of an option"): 22,
    ("realworldqa", "two letters"): 17,
    ("mmmu", "two letters"): 9,
    ("mmmu", "no letter"): 12,
}
"""(task, kind) of pairs → on how many of them the scores differ; docs/evaluation.md says why."""


Scored = tuple[list[Pair], list[float], list[float]]
"""The pairs, and lmms-eval's scores and F1 of POPE."""


@pytest.fixture(scope="module")
def scored() -> Scored:
    made = pairs()
    done = subprocess.run(
        [lmms_process.PYTHON, Path(__file__).with_name("lmms_scores.py")],
        input="".join(json.dumps(asdict(pair)) + "\n" for pair in made),
        capture_output=True,
        text=True,
        timeout=lmms_process.TIMEOUT,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    return made, found["scores"], found["f1"]


def ours(pair: Pair) -> float:
    return METRICS[pair.metric](pair.question, pair.answers, pair.prediction) or 0.0


def test_scores_agree_but_for_the_kinds_on_the_list(scored: Scored):
    made, theirs, _ = scored
    assert min(Counter(pair.task for pair in made).values()) >= 500
    differ: Counter[tuple[str, str]] = Counter()
    examples: dict[tuple[str, str], tuple[Pair, float, float]] = {}
    for pair, score in zip(made, theirs, strict=True):
        if abs(ours(pair) - score) > 1e-9:
            kind = pair.task, pair.kind
            differ[kind] += 1
            examples.setdefault(kind, (pair, ours(pair), score))
    unlisted = {kind: examples[kind] for kind in differ if kind not in DELIBERATE}
    assert not unlisted
    assert dict(differ) == DELIBERATE


def test_where_they_differ_on_purpose_ours_is_what_it_should_be(
    scored: Scored,
):
    wrong = [
        (pair, ours(pair))
        for pair in scored[0]
        if pair.right is not None and ours(pair) != pytest.approx(pair.right)
    ]
    assert wrong == []


def f1_of(made: list[Pair], *kinds: str) -> float | None:
    chosen = [pair for pair in made if pair.task == "pope" and pair.kind in kinds]
    return f1((pair.answers == ("yes",), said_yes(pair.prediction)) for pair in chosen)


def test_f1_of_yes_agrees_where_every_answer_is_yes_or_no(scored: Scored):
    """An answer that is neither is a missed yes here, and to POPE's code no answer at all."""
    made, _, (words, with_neither) = scored
    assert f1_of(made, "one word") == pytest.approx(words, abs=1e-12)
    assert (f1_of(made, "one word", "neither") or 1) < with_neither


def test_every_pair_type_scores_both_ways(scored: Scored):
    """So that an agreement says something: of each task some are right and some wrong."""
    of_task: defaultdict[str, set[bool]] = defaultdict(set)
    for pair, score in zip(*scored[:2], strict=True):
        of_task[pair.task].add(score > 0.5)
    assert all(found == {True, False} for found in of_task.values()), of_task
