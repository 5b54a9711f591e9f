"""The runner: what it leaves, what it skips, and what it does when things fail."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from evaluation.answering import engine, say, work, write_rows
from visionthink.core.engine import Engine, EngineInfo
from visionthink.core.errors import EngineError, JudgeError, RunError, UsageError
from visionthink.core.protocol import direct_reply
from visionthink.core.types import Message, Sampling
from visionthink.evaluation.metrics import Scorer
from visionthink.evaluation.policies import parse_policies
from visionthink.evaluation.runner import Settings, Work, evaluate, first_of_families
from visionthink.evaluation.suites import load_suites
from visionthink.evaluation.summary import Sample, summarise
from visionthink.evaluation.table import summary_text
from visionthink.runs.folder import EPISODES_FILE, RunFolder

NAMES = ("print-tea", "plain-rye", "print-rum", "plain-gin", "plain-ale", "plain-oil")
POLICIES = ("high", "low", "auto", "oracle", "random:0.5")


def episodes(run: Path) -> list[dict[str, Any]]:
    return list(RunFolder.open(run).episodes())


def keys(run: Path) -> Counter[tuple[str, str]]:
    return Counter((line["policy"], line["id"]) for line in episodes(run))


def scores(run: Path) -> dict[str, float]:
    found: dict[str, float] = {}
    for line in episodes(run):
        found[line["policy"]] = found.get(line["policy"], 0) + (line["score"] or 0)
    return found


def go(todo: Work, reply: Any = say, **settings: Any) -> None:
    asyncio.run(evaluate(todo, engine(reply), Settings(**{"concurrency": 2, **settings})))


def test_one_line_for_each_policy_and_sample(tmp_path: Path):
    """Of 6 samples 2 are small print: high 6, low 4, auto and oracle 6."""
    run = tmp_path / "run"
    go(work(run, write_rows(tmp_path, NAMES), POLICIES))
    assert keys(run) == {(policy, name): 1 for policy in POLICIES for name in NAMES}
    found = scores(run)
    assert [found[policy] for policy in POLICIES[:4]] == [6, 4, 6, 6]
    line = next(e for e in episodes(run) if (e["policy"], e["id"]) == ("auto", "print-tea"))
    del line["images"], line["seconds"], line["model"], line["ledger"]["seconds"], line["turns"]
    assert line == {
        "version": 2,
        "answer": "tea",
        "requested": True,
        "stop_reason": "answered",
        "format_valid": True,
        "look": "auto",
        "profile": "agent",
        "looks": [
            {"turn": 0, "image": 0, "action": None, "box": None}
            | {"size": [56, 56], "visual_tokens": 4},
            {"turn": 1, "image": 0, "action": "original", "box": None}
            | {"size": [112, 112], "visual_tokens": 16},
        ],
        "ledger": {
            **line["ledger"],
            "visual_tokens": {
                **line["ledger"]["visual_tokens"],
                **{"first": 4, "requested": 16, "processed": 20, "vanilla": 16, "ratio": 1.25},
            },
        },
        "suite": "rows",
        "policy": "auto",
        "id": "print-tea",
        "family": "print",
        "kind": "strong",
        "question": "What does print-tea say?",
        "answer_expected": "tea",
        "score": 1.0,
        "by": "rules",
        "decided": True,
        "error": None,
        "alone": False,
        "peak_memory": None,
    }


def test_answers_that_rules_cannot_tell_are_wrong_and_counted(tmp_path: Path):
    """The model answers every question with words that no rule can tell; derived policies too."""
    run = tmp_path / "run"
    rows = write_rows(tmp_path, NAMES[:2], question="Which drink is meant?")
    todo = work(run, rows, POLICIES)
    go(todo, lambda _: direct_reply("seen", "what one has with a biscuit"))
    lines = episodes(run)
    assert {(line["score"], line["by"], line["decided"]) for line in lines} == {
        (0.0, "rules", False)
    }
    # Lines of runs before there was `decided` count as decided.
    samples = [Sample.of(line) for line in lines]
    samples += [Sample.of({**lines[0], "decided": True}), Sample.of(without(lines[0], "decided"))]
    found = summarise(samples, {"rows": "auto"}, parse_policies(POLICIES))
    whole = {row["policy"]: row for row in found if row["family"] == "all"}
    assert {policy: (row["n"], row["undecided"]) for policy, row in whole.items()} == {
        **{"high": (4, 2), "low": (2, 2), "auto": (2, 2), "oracle": (2, 2), "random:0.5": (2, 2)}
    }
    assert {row["accuracy"] for row in found} == {0.0}
    assert "undecided" in summary_text(found)
    decided = [{**row, "undecided": 0} for row in found]
    assert "undecided" not in summary_text(decided)


def without(record: dict[str, Any], key: str) -> dict[str, Any]:
    return {name: value for name, value in record.items() if name != key}


def test_images_of_the_first_samples_of_each_family(tmp_path: Path):
    run = tmp_path / "run"
    go(work(run, write_rows(tmp_path, NAMES), ["auto", "oracle"]), gallery=1)
    kept = {(e["policy"], e["id"]): len(e["images"]) for e in episodes(run) if "images" in e}
    assert kept == {
        **{("high", "print-tea"): 1, ("low", "print-tea"): 1},
        **{("high", "plain-rye"): 1, ("low", "plain-rye"): 1},
        **{("auto", "print-tea"): 2, ("auto", "plain-rye"): 1},
        **{("oracle", "print-tea"): 2, ("oracle", "plain-rye"): 1},
    }
    rows = load_suites([str(tmp_path / "rows.jsonl")])[0].rows
    assert first_of_families(rows, 0) == set()
    assert first_of_families(rows, 2) == {"print-tea", "print-rum", "plain-rye", "plain-gin"}


def test_a_finished_run_asks_nothing(tmp_path: Path):
    run, rows = tmp_path / "run", write_rows(tmp_path, NAMES)
    go(work(run, rows, POLICIES))
    before = (run / "episodes.jsonl").read_bytes()
    todo = work(run, rows, POLICIES, resume=True)
    assert todo.total == 0
    model = engine()
    asyncio.run(evaluate(todo, model, Settings()))
    assert model.calls == []
    assert (run / "episodes.jsonl").read_bytes() == before


@pytest.mark.parametrize("left", [0, 1, 7, 13, 18, 24, 29])
def test_a_run_can_be_resumed_from_any_line(tmp_path: Path, left: int):
    """The first lines and half of the next one, as a kill leaves them: 30 lines when done, of which
    those that are there keep their bytes.
    """
    run, rows = tmp_path / "run", write_rows(tmp_path, NAMES)
    go(work(run, rows, POLICIES))
    path = run / "episodes.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:left]) + lines[left][: len(lines[left]) // 2])
    todo = work(run, rows, POLICIES, resume=True)
    model = engine()
    asyncio.run(evaluate(todo, model, Settings(concurrency=2)))
    assert path.read_bytes().startswith(b"".join(lines[:left]))
    assert keys(run) == {(policy, name): 1 for policy in POLICIES for name in NAMES}
    asked = len(model.calls)
    done = [json.loads(line) for line in lines[:left]]
    turns = sum(len(e["turns"]) for e in done if e["policy"] in ("high", "low", "auto"))
    assert asked == 6 + 6 + 8 - turns  # auto asks twice for the 2 samples in small print


def test_lines_of_other_data_are_refused(tmp_path: Path):
    run, rows = tmp_path / "run", write_rows(tmp_path, NAMES)
    go(work(run, rows, ["low"]))
    write_rows(tmp_path, NAMES[1:])
    with pytest.raises(
        RunError,
        match=r"line \d of .*\(suite rows, policy low, id print-tea\): the data has changed",
    ):
        work(run, rows, ["low"], resume=True)
    write_rows(tmp_path, NAMES, question="Why?")
    with pytest.raises(RunError, match="the data has changed; choose a new folder"):
        work(run, rows, ["low"], resume=True)


def test_broken_run_folders(tmp_path: Path):
    run, rows = tmp_path / "run", write_rows(tmp_path, NAMES)
    go(work(run, rows, ["low"]))
    path = run / "episodes.jsonl"
    whole = path.read_text()
    first = whole.splitlines(keepends=True)[0]
    path.write_text(whole + first)
    with pytest.raises(RunError, match=r"line 7 of .* repeats suite rows, policy low, id "):
        work(run, rows, ["low"], resume=True)
    path.write_text(first[:50] + "\n" + whole)
    with pytest.raises(RunError, match="line 1: no JSON object; mend or remove that line"):
        work(run, rows, ["low"], resume=True)
    path.write_text("{}\n")
    with pytest.raises(RunError, match=r"line 1 of .*\(suite None, policy None, id None\)"):
        work(run, rows, ["low"], resume=True)
    path.unlink()
    assert work(run, rows, ["low"], resume=True).total == 6
    (run / "config.json").write_text("{")
    with pytest.raises(RunError, match=r"broken JSON in .*config\.json"):
        work(run, rows, ["low"], resume=True)


def test_a_broken_image_is_an_error_of_its_sample(tmp_path: Path):
    rows, run = write_rows(tmp_path, NAMES), tmp_path / "run"
    lines = [json.loads(line) for line in rows.read_text().splitlines()]
    data = (tmp_path / "image.png").read_bytes()
    (tmp_path / "cut.png").write_bytes(data[: len(data) - 40])
    lines[1]["image"] = "cut.png"
    rows.write_text("".join(json.dumps(line) + "\n" for line in lines))
    go(work(run, rows, ["low", "oracle"]))
    bad = [e for e in episodes(run) if e["error"] is not None]
    assert [(e["policy"], e["id"], e["score"], e["by"], e["answer"]) for e in bad] == [
        (policy, "plain-rye", None, None, None) for policy in ("high", "low", "oracle")
    ]
    assert bad[0]["error"].startswith("row 'plain-rye': cannot read image ")
    assert bad[2]["error"].startswith("high: row 'plain-rye': cannot read image ") or bad[2][
        "error"
    ].startswith("low: row 'plain-rye': cannot read image ")
    assert len(episodes(run)) == 18


def failing(*names: str) -> Any:
    """The engine's answers, but an error for these samples."""

    def reply(messages: Sequence[Message]) -> str:
        if any(name in messages[1].text for name in names):
            raise EngineError("out of memory")
        return say(messages)

    return reply


def test_failures_between_successes_are_errors_of_their_samples(tmp_path: Path):
    """4 in a row are fewer than 5, and something succeeds after them."""
    run = tmp_path / "run"
    go(work(run, write_rows(tmp_path, NAMES), ["low"]), failing(*NAMES[:4]), concurrency=1)
    assert [(e["id"], e["error"], e["answer"]) for e in episodes(run)][:4] == [
        (name, "out of memory", None) for name in NAMES[:4]
    ]
    assert [e["score"] for e in episodes(run)] == [None] * 4 + [1.0, 1.0]


def test_failures_at_the_end_are_errors_of_their_samples(tmp_path: Path):
    run = tmp_path / "run"
    go(work(run, write_rows(tmp_path, NAMES), ["low"]), failing(*NAMES[3:]), concurrency=1)
    assert [e["error"] for e in episodes(run)] == [None] * 3 + ["out of memory"] * 3


@pytest.mark.parametrize(("concurrency", "sound"), [(1, 2), (4, 0)])
def test_an_engine_that_is_down_ends_the_run(tmp_path: Path, concurrency: int, sound: int):
    """After 3 failures in a row; none of them has a line, so all are asked again. Several at once
    come in any order, so that none of those may succeed.
    """
    run, rows = tmp_path / "run", write_rows(tmp_path, NAMES)
    with pytest.raises(EngineError) as caught:
        go(
            work(run, rows, ["high", "low"]),
            failing(*NAMES[sound:]),
            max_failures=3,
            concurrency=concurrency,
        )
    assert str(caught.value) == (
        "3 episodes in a row failed (suite rows, policy high), the last: out of memory; fix that "
        "and --resume, or continue in spite of failures with --max-failures 0"
    )
    assert [e["error"] for e in episodes(run)] == [None] * sound
    go(work(run, rows, ["high", "low"], resume=True))
    assert scores(run) == {"high": 6, "low": 4}
    assert len(episodes(run)) == 12


def test_with_max_failures_0_a_run_never_stops(tmp_path: Path):
    run = tmp_path / "run"
    go(work(run, write_rows(tmp_path, NAMES), ["low"]), failing(*NAMES), max_failures=0)
    assert [e["error"] for e in episodes(run)] == ["out of memory"] * 6


def test_broken_images_are_not_an_outage(tmp_path: Path):
    rows, run = write_rows(tmp_path, NAMES), tmp_path / "run"
    todo = work(run, rows, ["low"])
    (tmp_path / "image.png").unlink()
    go(todo, max_failures=2)
    assert len(episodes(run)) == 6


def test_a_judge_that_fails_leaves_the_episode(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """It gives one error, then verdicts."""
    run, calls = tmp_path / "run", 0
    whole = Scorer.score

    async def score(self: Scorer, *given: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == 1:
            raise JudgeError("the judge did not answer")
        return await whole(self, *given)

    monkeypatch.setattr(Scorer, "score", score)
    go(work(run, write_rows(tmp_path, NAMES), ["low"]), concurrency=1)
    first = episodes(run)[0]
    assert (first["score"], first["error"]) == (None, "the judge did not answer")
    assert first["answer"] == "blur"
    assert [e["error"] for e in episodes(run)[1:]] == [None] * 5


def test_empty_answers_are_wrong_and_counted(tmp_path: Path):
    run = tmp_path / "run"
    go(work(run, write_rows(tmp_path, NAMES), ["low"]), lambda messages: "")
    assert [(e["score"], e["error"]) for e in episodes(run)] == [(0.0, None)] * 6


def test_a_question_that_is_too_long_is_an_error_of_its_sample(tmp_path: Path):
    run = tmp_path / "run"
    rows = write_rows(tmp_path, NAMES[:2], question="x" * 19_990)
    suite = tmp_path / "suite.yaml"
    suite.write_text(f"name: rows\npath: {rows}\nprompt_suffix: '{'y' * 20}'\n")
    go(work(run, suite, ["low"]))
    assert [e["error"] for e in episodes(run)] == [
        "the question has 20,010 characters; at most 20,000 are allowed, shorten it"
    ] * 2


def test_an_unexpected_error_ends_the_run(tmp_path: Path):
    def reply(messages: Sequence[Message]) -> str:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        go(work(tmp_path / "run", write_rows(tmp_path, NAMES), ["low"]), reply)


def test_concurrency_bounds_the_episodes_at_once(tmp_path: Path):
    open_now = most = 0

    class Slow(Engine):
        inner = engine()

        @property
        def about(self) -> EngineInfo:
            return self.inner.about

        async def generate(self, messages: Sequence[Message], sampling: Sampling) -> Any:
            nonlocal open_now, most
            open_now += 1
            most = max(most, open_now)
            await asyncio.sleep(0.02)
            open_now -= 1
            return await self.inner.generate(messages, sampling)

    todo = work(tmp_path / "run", write_rows(tmp_path, NAMES), ["low"])
    asyncio.run(evaluate(todo, Slow(), Settings(concurrency=3)))
    assert most == 3


def test_the_first_samples_are_asked_alone(tmp_path: Path):
    """Of 6 the first 2 one at a time, then 4 at once, whatever was finished before: on resumption
    the first of the two is there already.
    """
    rows, run = write_rows(tmp_path, NAMES), tmp_path / "run"
    go(work(run, rows, ["low"]), alone=2, concurrency=4)
    lines = {line["id"]: line["alone"] for line in episodes(run)}
    assert lines == {name: name in NAMES[:2] for name in NAMES}
    first, *_ = (run / EPISODES_FILE).read_bytes().splitlines(keepends=True)
    (run / EPISODES_FILE).write_bytes(first)
    go(work(run, rows, ["low"], resume=True), alone=2, concurrency=4)
    assert {line["id"]: line["alone"] for line in episodes(run)} == lines


def test_a_sample_is_drawn_by_its_own_seed(tmp_path: Path):
    """Whatever else is asked, and in whatever order; with another run's seed otherwise."""
    rows, model = write_rows(tmp_path, NAMES), engine()
    asyncio.run(evaluate(work(tmp_path / "a", rows, ["low"]), model, Settings(temperature=1.0)))
    seeds = {s.seed for _, s in model.calls}
    assert len(seeds) == 6
    assert Settings(temperature=1.0).sampling("print-tea").seed in seeds
    assert Settings(temperature=1.0, seed=1).sampling("print-tea").seed not in seeds


def test_a_warm_up_writes_no_line(tmp_path: Path):
    todo, model = work(tmp_path / "run", write_rows(tmp_path, NAMES), ["low"]), engine()
    asyncio.run(evaluate(todo, model, Settings(), warm_up=True))
    assert (len(model.calls), len(episodes(tmp_path / "run"))) == (7, 6)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"max_tokens": 0}, "max_tokens must be at least 1; got 0"),
        ({"temperature": -1.0}, "temperature must be 0 or more and finite; got -1.0"),
    ],
)
def test_settings_that_are_refused(given: dict[str, Any], message: str):
    with pytest.raises(UsageError, match=message):
        Settings(**given)
