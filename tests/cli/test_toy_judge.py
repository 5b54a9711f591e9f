"""A judge is one row of `JUDGES`: one that lives only here scores everywhere."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from cli.outcome import Run
from visionthink.core.episode import run_episode
from visionthink.core.profiles import PROFILES
from visionthink.data.source import DataOptions, load_rows
from visionthink.engines.scripted import ScriptedEngine
from visionthink.judges import JUDGES, JudgeOptions, JudgeStats, Verdict, open_judge
from visionthink.training.rollout_facts import judge_all


class LengthJudge:
    """Right is what has as many letters as the ground truth."""

    name = "length"
    stats = JudgeStats()

    async def score(self, question: str, answer: str | Sequence[str], prediction: str) -> Verdict:
        answers = [answer] if isinstance(answer, str) else answer
        return Verdict(1 if len(prediction) in map(len, answers) else 0, "length")

    async def close(self) -> None:
        pass


@pytest.fixture(autouse=True)
def length_judge(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(JUDGES, "length", lambda options: LengthJudge())


def test_it_is_opened_by_its_name():
    judge = open_judge(JudgeOptions(kind="length"))
    assert asyncio.run(judge.score("?", "tea", "cup")) == Verdict(1, "length")


def test_it_judges_a_file_of_predictions(tmp_path: Path, run: Run):
    rows = [{"id": n, "question": "?", "answer": "tea", "prediction": "x" * n} for n in (2, 3)]
    (tmp_path / "in.jsonl").write_text("\n".join(map(json.dumps, rows)))
    given = run("judge", tmp_path / "in.jsonl", "--out", tmp_path / "out", "--judge", "length")
    assert (given.code, given.err) == (0, "")
    judged = [json.loads(line) for line in (tmp_path / "out").read_text().splitlines()]
    assert [(row["score"], row["by"]) for row in judged] == [(0, "length"), (1, "length")]


def test_it_scores_an_evaluation(tmp_path: Path, run: Run):
    (tmp_path / "replies").write_text("<answer>9.99</answer>\n" * 2)
    given = run(
        *("eval", "mini:receipt", "--limit", 2, "--policy", "low", "--judge", "length", "--json"),
        *("--engine", "scripted", "--model", tmp_path / "replies", "--out", tmp_path / "run"),
        *("--set", "seed=1"),
    )
    assert given.code == 0, given.err
    lines = (tmp_path / "run" / "episodes.jsonl").read_text().splitlines()
    records = [json.loads(line) for line in lines]
    assert [(r["score"], r["by"]) for r in records] == [
        (float(len(r["answer_expected"]) == 4), "length") for r in records
    ]


def test_it_rewards_a_training():
    rows = load_rows(DataOptions(path="mini", families=["colour"], size=2))
    example = rows[0].open()
    answers = ["x" * len(rows[0].answer), "x" * 40]
    profile = "mini" if "mini" in PROFILES else next(iter(PROFILES))
    engine = ScriptedEngine([f"<answer>{answer}</answer>" for answer in answers], profile=profile)
    episodes = [asyncio.run(run_episode(example, engine, look="low")) for _ in answers]
    assert [episode.answer for episode in episodes] == answers
    judge = open_judge(JudgeOptions(kind="length"))
    verdicts = [Verdict(1, "length"), Verdict(0, "length")]
    assert asyncio.run(judge_all(episodes, judge)) == verdicts
