"""The rule, and rollouts with an engine that is right as often as the question says."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from visionthink.core.errors import EngineError, JudgeError, UsageError
from visionthink.core.protocol import direct_reply
from visionthink.core.types import Message
from visionthink.data.labelling import (
    PAPER_RULE,
    Label,
    Labelled,
    LabelRule,
    RolloutOptions,
    label_of,
    label_rows,
)
from visionthink.data.rows import Row, Rows
from visionthink.data.source import DataOptions, load_rows
from visionthink.engines.scripted import ScriptedEngine

# The rule


@pytest.mark.parametrize(
    ("low", "high", "label"),
    [
        (8, 8, "low"),
        (7, 8, "undecided"),
        (8, 7, "undecided"),
        (2, 8, "high"),
        (3, 8, "undecided"),
        (0, 6, "high"),
        (0, 5, "undecided"),
        (0, 0, "undecided"),
        (8, 0, "undecided"),
    ],
)
def test_the_papers_rule(low: int, high: int, label: Label) -> None:
    """8/8 at both is enough at low; at least 6 more at high needs high (§3.5)."""
    assert label_of(low, high) == label
    assert label_of(low, high, PAPER_RULE) == label


def test_a_label_follows_from_the_thresholds() -> None:
    """6 of 8 at both, 4 ahead: 6 and 6 are low, 4 and 8 are 4 apart, 5 and 8 are 3 apart."""
    rule = LabelRule(8, enough=6, gap=4)
    assert [label_of(*counts, rule) for counts in [(6, 6), (4, 8), (5, 8)]] == [
        *("low", "high", "undecided")
    ]


def test_the_rule_at_other_numbers_of_rollouts() -> None:
    """Three quarters, rounded up: of 8 it is 6, of 2 it is 2, of 3 it is 3, of 16 it is 12."""
    assert [(r.enough, r.gap) for r in map(LabelRule.of, (8, 2, 3, 16))] == [
        *((8, 6), (2, 2), (3, 3), (16, 12))
    ]
    assert LabelRule.of(8) == LabelRule(n=8, enough=8, gap=6) == PAPER_RULE


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        ((0, 1, 1), "n must be 1 to 1000 rollouts at each look; got 0"),
        ((8, 9, 6), "enough must be 1 to n = 8; got 9"),
        ((8, 0, 6), "enough must be 1 to n = 8; got 0"),
        ((8, 8, 0), "gap must be above n - enough = 0"),
        # 6 right at low and 8 at high would be both
        ((8, 6, 2), "gap must be above n - enough = 2, or a row could be both"),
        ((8, 8, 9), "and at most n = 8; got 9"),
    ],
)
def test_contradictory_rules_are_refused(rule: tuple[int, int, int], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        LabelRule(*rule)


# Rollouts


@dataclass(frozen=True)
class Verdict:
    score: int | None


async def exact(question: str, answer: str | Sequence[str], prediction: str) -> Verdict:
    return Verdict(int(prediction in ([answer] if isinstance(answer, str) else answer)))


def so_often(rows: dict[str, tuple[int, int]]) -> ScriptedEngine:
    """Right in the first l of its answers at low, the first h at high; originals are 112 px."""
    asked: Counter[tuple[str, bool]] = Counter()

    def reply(messages: Sequence[Message]) -> str:
        message = messages[-1]
        name = next(name for name in rows if f"[{name}]" in message.text)
        high = message.images[0].size == (112, 112)
        asked[name, high] += 1
        return direct_reply("", "right" if asked[name, high] <= rows[name][high] else "wrong")

    return ScriptedEngine(reply)


def load(folder: Path, *names: str, answer: Any = "right") -> Rows:
    Image.new("RGB", (112, 112), "red").save(folder / "image.png")
    lines = [
        {"id": name, "image": "image.png", "question": f"Right? [{name}]", "answer": answer}
        for name in names
    ]
    (folder / "rows.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return load_rows(DataOptions(path=str(folder / "rows.jsonl")))


def label(
    rows: Rows,
    engine: Any,
    *,
    score: Any = exact,
    rule: LabelRule = PAPER_RULE,
    concurrency: int = 32,
) -> dict[str, Labelled]:
    found: dict[str, Labelled] = {}

    def keep(row: Row, labelled: Labelled) -> None:
        found[row.id] = labelled

    plan = RolloutOptions(rule)
    asyncio.run(label_rows(rows, engine, score, plan, keep, concurrency=concurrency))
    return found


@pytest.mark.parametrize("concurrency", [1, 5, 100])
def test_rows_are_counted_and_labelled(tmp_path: Path, concurrency: int) -> None:
    often = {"easy": (8, 8), "fine print": (1, 8), "hard": (0, 3), "half": (7, 8)}
    rows = load(tmp_path, *often)
    found = label(rows, so_often(often), concurrency=concurrency)
    assert found == {
        "easy": Labelled("low", 8, 8, "8/8 right at low, 8/8 at high: at least 8 at both"),
        "fine print": Labelled(
            "high", 1, 8, "1/8 right at low, 8/8 at high: at least 6 more at high"
        ),
        "hard": Labelled(
            "undecided", 0, 3, "0/8 right at low, 3/8 at high: neither 8 at both nor 6 more at high"
        ),
        "half": Labelled(
            "undecided", 7, 8, "7/8 right at low, 8/8 at high: neither 8 at both nor 6 more at high"
        ),
    }


def test_every_rollout_has_a_seed_of_its_own(tmp_path: Path) -> None:
    """2 rows of 2 looks of 8 rollouts: 32 seeds, all different, temperature 1, no request."""
    rows = load(tmp_path, "a", "b")
    engine, alone = so_often({"a": (8, 8), "b": (8, 8)}), so_often({"a": (8, 8), "b": (8, 8)})
    label(rows, engine)
    label(rows[1:], alone, concurrency=3)
    seeds = [sampling.seed for _, sampling in engine.calls]
    assert len(seeds) == len(set(seeds)) == 32
    assert {sampling.temperature for _, sampling in engine.calls} == {1.0}
    of_b = {s.seed for messages, s in engine.calls if "[b]" in messages[-1].text}
    assert of_b == {sampling.seed for _, sampling in alone.calls}
    assert RolloutOptions(seed=1).sampling("a", "low", 0) != RolloutOptions(seed=0).sampling(
        "a", "low", 0
    )


def test_several_answers_are_passed_on(tmp_path: Path) -> None:
    rows = load(tmp_path, "a", answer=["correct", "right"])
    assert label(rows, so_often({"a": (8, 8)}))["a"].label == "low"


def test_an_empty_answer_is_wrong_and_no_judge_is_asked(tmp_path: Path) -> None:
    async def judge(*_: Any) -> Verdict:
        raise AssertionError("asked")

    engine = ScriptedEngine(lambda messages: direct_reply("", ""))
    assert label(load(tmp_path, "a"), engine, score=judge)["a"].reason.startswith(
        "0/8 right at low"
    )


def test_an_outage_fails_the_rows_it_hits(tmp_path: Path) -> None:
    """Row by row (concurrency 1): 16 replies are one row, a or b (the image of which was open
    first); then the engine is down.
    """
    given = Counter[str]()

    def reply(messages: Sequence[Message]) -> str:
        given["replies"] += 1
        if given["replies"] > 16:
            raise EngineError("the server is down")
        return direct_reply("", "right")

    found = label(load(tmp_path, "a", "b", "c"), ScriptedEngine(reply), concurrency=1)
    down = Labelled("failed", None, None, "look low, rollout 0: the server is down")
    assert [labelled for labelled in found.values() if labelled.label != "low"] == [down, down]
    assert found["c"] == down


def test_a_judge_that_fails_fails_the_row(tmp_path: Path) -> None:
    """The third verdict is missing: the counts of the row's others decide nothing."""
    asked = Counter[str]()

    async def judge(question: str, answer: Any, prediction: str) -> Verdict:
        asked["verdicts"] += 1
        if asked["verdicts"] == 3:
            raise JudgeError("no verdict came")
        return await exact(question, answer, prediction)

    rows = load(tmp_path, "a", "b")
    found = label(rows, so_often({"a": (8, 8), "b": (8, 8)}), score=judge, concurrency=1)
    failed, good = sorted(found.values(), key=lambda labelled: labelled.label)
    assert failed == Labelled("failed", None, None, "look low, rollout 1: no verdict came")
    assert (good.label, good.low, good.high) == ("low", 8, 8)


def test_what_the_judge_cannot_tell_counts_as_wrong_and_is_reported(tmp_path: Path) -> None:
    """Of 8 and 8 answers "correct" the judge cannot tell the 2nd and 3rd: 6 and 8, or 7 and 7."""
    asked = Counter[str]()

    async def judge(question: str, answer: Any, prediction: str) -> Verdict:
        asked["verdicts"] += 1
        if asked["verdicts"] in (2, 3):
            return Verdict(None)
        return await exact(question, answer, prediction)

    found = label(load(tmp_path, "a"), so_often({"a": (8, 8)}), score=judge, concurrency=1)["a"]
    assert (found.label, found.low, found.high, found.cannot_tell) == ("undecided", 7, 7, 2)
    assert found.reason.startswith(
        "7/8 right at low, 7/8 at high (2 that the judge cannot tell counted as wrong): neither"
    )


def test_a_broken_image_fails_its_row(tmp_path: Path) -> None:
    rows = load(tmp_path, "a")
    (tmp_path / "image.png").write_bytes((tmp_path / "image.png").read_bytes()[:50])
    found = label(rows, so_often({}))["a"]
    assert found.label == "failed"
    assert "row 'a': cannot read image" in found.reason


def test_unexpected_errors_are_raised(tmp_path: Path) -> None:
    def reply(messages: Sequence[Message]) -> str:
        raise KeyError("a mistake in the program")

    with pytest.raises(KeyError, match="a mistake"):
        label(load(tmp_path, "a"), ScriptedEngine(reply))


def test_no_more_episodes_at_once_than_allowed(tmp_path: Path) -> None:
    open_now, most = 0, 0

    class Slow(ScriptedEngine):
        async def generate(self, messages: Any, sampling: Any) -> Any:
            nonlocal open_now, most
            open_now += 1
            most = max(most, open_now)
            await asyncio.sleep(0.001)
            open_now -= 1
            return await super().generate(messages, sampling)

    engine = Slow(lambda messages: direct_reply("", "right"))
    found = label(load(tmp_path, *"abcd"), engine, rule=LabelRule.of(2), concurrency=6)
    assert (len(found), most, len(engine.calls)) == (4, 6, 16)
