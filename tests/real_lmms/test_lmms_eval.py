"""Real processes of lmms-eval on official tasks with local data, and what becomes of their results.

lmms-eval ends with code 0 when it fails, so nothing here trusts its exit code.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import lmms_process
import pytest
import yaml
from lmms_process import Ran, Tasks

from engines.chat_server import Behaviour, ChatServer, says, status
from visionthink.cli.main import main as visionthink
from visionthink.core import protocol
from visionthink.core.errors import RunError
from visionthink.evaluation.lmms.importing import Imported, import_results
from visionthink.evaluation.lmms.preset import presets
from visionthink.runs.folder import RunFolder

pytestmark = pytest.mark.lmms

WORD = "\nAnswer the question using a single word or phrase."
SUFFIXES = {
    "pope": WORD,
    "mme": WORD,
    "docvqa_val": WORD,
    "chartqa": "\nAnswer the question with a single word.",
    "ocrbench": "",
    "realworldqa": "",
}
"""What the official tasks put behind a question."""
MME_SUFFIX = " Please answer yes or no."
"""Stands in MME's questions, and the official task takes it out."""

THOUGHT = "It is small.\n\nQ: but it can be seen."
"""With a blank line and a Q:, at which tasks stop by default."""


@pytest.fixture(scope="module")
def imported(ran: Ran, tmp_path_factory: pytest.TempPathFactory) -> Imported:
    out = tmp_path_factory.mktemp("imported") / "run"
    return import_results([ran.done.folder], out, metrics={"mixed": "right"})


def row(imported: Imported, suite: str) -> dict[str, Any]:
    (found,) = [row for row in imported.rows if row["suite"] == suite]
    return found


def test_the_entry_point_is_found(tmp_path: Path):
    """lmms-eval turns an error in an entry point into a warning: hence the classes are loaded."""
    code = (
        "from lmms_eval.models import get_model as get\n"
        "for simple in (False, True):\n"
        "    print(get('visionthink', simple).__name__, get('visionthink', simple).is_simple)\n"
    )
    done = lmms_process.python("-c", code, scratch=tmp_path)
    assert done.stdout.splitlines()[-2:] == ["VisionThinkChat False", "VisionThinkSimple True"]


def test_answers_are_bare(ran: Ran, tasks: Tasks):
    for name in (*tasks.names.values(), "mixed"):
        for line in ran.done.samples(name):
            assert "resps" not in line  # nothing was stripped off them
            assert line["filtered_resps"].strip()
            assert not set("<>\\") & set(line["filtered_resps"])


def test_episodes_are_those_of_the_samples(ran: Ran, tasks: Tasks):
    episodes = {(e["suite"], e["id"]): e for e in RunFolder.open(ran.run).episodes()}
    lines = [
        (name, line) for name in (*tasks.names.values(), "mixed") for line in ran.done.samples(name)
    ]
    assert len(lines) == len(episodes) == 5 * 6 + 4 + 3
    for name, line in lines:
        episode = episodes[name, str(line["doc_id"])]
        assert line["filtered_resps"] == episode["answer"]
        counted = {
            "input_tokens": episode["usage"]["prompt_tokens"],
            "output_tokens": episode["usage"]["completion_tokens"],
        }
        assert line["token_counts"] == [counted]


def test_run_level_figures_are_in_the_results(ran: Ran):
    """Of all episodes; the one without an image has no ledger."""
    episodes = [e for e in RunFolder.open(ran.run).episodes() if e["ledger"] is not None]
    tokens = [e["ledger"]["visual_tokens"] for e in episodes]
    figures = ran.done.results()["throughput"]
    assert figures["avg_request_rate"] == sum(e["requested"] for e in episodes) / len(episodes)
    assert 0 < figures["avg_request_rate"] < 1
    assert figures["avg_visual_token_ratio"] == pytest.approx(
        sum(t["processed"] for t in tokens) / sum(t["vanilla"] for t in tokens)
    )
    assert (figures["avg_failed"], figures["avg_cut_off"], figures["avg_unanswered"]) == (0, 0, 0)


def test_any_number_of_images(ran: Ran):
    """112 x 112 px are 16 cells of 28 px, and 4 at half size."""
    none, one, two = sorted(
        (e for e in RunFolder.open(ran.run).episodes() if e["suite"] == "mixed"),
        key=lambda e: e["id"],
    )
    assert none["ledger"] is None
    assert none["usage"]["completion_tokens"] > 0
    assert [e["ledger"]["visual_tokens"]["first"] for e in (one, two)] == [4, 8]
    assert [e["ledger"]["visual_tokens"]["vanilla"] for e in (one, two)] == [16, 32]


def test_our_runner_gives_the_same_answers_and_scores(
    ran: Ran, tasks: Tasks, imported: Imported, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    """The same rows from the same files by `visionthink eval`, scored by its own metrics."""
    specs: list[str] = []
    for task, suffix in SUFFIXES.items():
        options = {
            "name": task,
            "path": str(tasks.files[task]),
            "columns": {"answer": "answers" if task == "docvqa_val" else "answer"},
            "prompt_suffix": suffix,
            "metric": presets()[task].ours,
        }
        if task == "mme":
            options["path"] = str(without_suffix(tasks.files[task], tmp_path))
        spec = tmp_path / f"{task}.yaml"
        spec.write_text(yaml.safe_dump(options))
        specs.append(str(spec))
    out = tmp_path / "ours"
    with pytest.raises(SystemExit) as ended:
        visionthink(
            ["eval", *specs, "--policy", "auto", "--concurrency", "1", "--out", str(out), "--json"]
        )
    assert ended.value.code == 0
    ours = {row["suite"]: row for row in json.loads(capsys.readouterr().out)}
    for task, name in tasks.names.items():
        answers = [e["answer"] for e in RunFolder.open(out).episodes() if e["suite"] == task]
        assert answers == [line["filtered_resps"] for line in ran.done.samples(name)], task
        theirs = row(imported, task)
        for figure in ("n", "accuracy", "stderr", "request_rate", "visual_token_ratio"):
            assert ours[task][figure] == pytest.approx(theirs[figure]), (task, figure)
        assert 0 < theirs["accuracy"] < 1, task  # else any metric would agree
    assert 100 * ours["pope"]["f1"] == pytest.approx(row(imported, "pope")["score"])


def without_suffix(file: Path, folder: Path) -> Path:
    from datasets import Dataset  # slow to import, and every run of pytest collects this file

    data = Dataset.from_parquet(str(file))
    assert isinstance(data, Dataset)
    path = folder / "mme.parquet"
    data.map(lambda r: {"question": r["question"].removesuffix(MME_SUFFIX)}).to_parquet(path)
    return path


def test_scores_are_the_benchmarks_own(ran: Ran, tasks: Tasks, imported: Imported):
    """As the paper prints them: percent, and of MME the sum of both scores, 200 a full pair."""
    results = ran.done.results()["results"]
    for task, key in {
        "pope": "pope_f1_score",
        "chartqa": "relaxed_overall",
        "docvqa_val": "anls",
        "realworldqa": "exact_match",
    }.items():
        expected = 100 * results[tasks.names[task]][f"{key},none"]
        assert row(imported, task)["score"] == pytest.approx(expected)
    mme = results[tasks.names["mme"]]
    total = mme["mme_perception_score,none"] + mme["mme_cognition_score,none"]
    assert row(imported, "mme")["score"] == total
    # lmms-eval divides by the 1000 questions of OCRBench, of which six were asked.
    right = 1000 * results[tasks.names["ocrbench"]]["ocrbench_accuracy,none"]
    assert row(imported, "ocrbench")["score"] == pytest.approx(100 * right / 6)
    assert row(imported, "mixed")["metric"] == "right"
    assert imported.notes == []


def test_reports_read_what_was_imported(
    ran: Ran, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    import_results([ran.done.folder], tmp_path / "run", metrics={"mixed": "right"})
    with pytest.raises(SystemExit) as ended:
        visionthink(["report", str(tmp_path / "run"), "--out", str(tmp_path / "report")])
    assert ended.value.code == 0
    assert "ocrbench" in capsys.readouterr().out
    assert "ocrbench" in (tmp_path / "report" / "report.html").read_text()


def test_the_simple_class_asks_the_same(ran: Ran, tasks: Tasks, tmp_path: Path):
    """--force_simple hands out a text and images in place of messages; look low is a policy."""
    names = [tasks.names["ocrbench"], tasks.names["mme"]]
    done = lmms_process.lmms_eval(
        "--force_simple",
        tasks=names,
        include=tasks.folder,
        folder=tmp_path / "results",
        model_args=f"pretrained=mini,look=low,run={tmp_path / 'episodes'}",
    )
    assert done.results()["config"]["model_backend"].endswith("VisionThinkSimple (simple)")
    before = {(e["suite"], e["id"]): e for e in RunFolder.open(ran.run).episodes()}
    episodes = list(RunFolder.open(tmp_path / "episodes").episodes())
    assert len(episodes) == 6 + 4
    for episode in episodes:
        chat = before[episode["suite"], episode["id"]]
        assert episode["question"] == chat["question"]
        assert episode["turns"][0]["saw"] == chat["turns"][0]["saw"]
        assert (episode["policy"], episode["requested"]) == ("low", False)
    both = import_results(
        [ran.done.folder, tmp_path / "results"], tmp_path / "both", metrics={"mixed": "right"}
    )
    policies = [row["policy"] for row in both.rows if row["suite"] == "ocrbench"]
    assert policies == ["auto", "low"]


def served(tasks: Tasks, folder: Path, *script: Behaviour) -> tuple[lmms_process.Done, ChatServer]:
    """POPE at a server that says what the script says, three requests at once."""
    with ChatServer(*script) as server:
        done = lmms_process.lmms_eval(
            tasks=[tasks.names["pope"]],
            include=tasks.folder,
            folder=folder / "results",
            model_args=f"base_url={server.url},look=low,num_concurrent=3,run={folder / 'episodes'}",
        )
    return done, server


def test_a_failed_request_is_an_error_and_is_asked_again(tasks: Tasks, tmp_path: Path):
    """One of six fails. Then the other five come from the run folder, and one is asked.

    The replies hold what tasks would stop at; the answer is boxed; 128 tokens are POPE's own limit,
    2048 those for thoughts.
    """
    answer = protocol.direct_reply(THOUGHT, "\\boxed{Yes}")
    first = tmp_path / "first"
    done, server = served(tasks, first, status(400, "broken"), says(answer, delay=1))
    assert len(server.chats) == 6
    assert server.most_at_once > 1
    assert {chat.body["max_tokens"] for chat in server.chats} == {128 + 2048}
    assert not any(chat.body.get("stop") for chat in server.chats)
    said = sorted(line["filtered_resps"] for line in done.samples(tasks.names["pope"]))
    assert said == ["Yes"] * 5 + ["[LMMS_EVAL_REQUEST_FAILED]"]
    assert "1 of 6 requests failed" in done.output
    imported = import_results([first / "results"], tmp_path / "run")
    (found,) = imported.rows
    assert (found["n"], found["errors"], found["score"]) == (5, 1, None)
    assert "1 of 6 requests failed" in imported.notes[0]

    second = tmp_path / "second"
    second.mkdir()
    (first / "episodes").rename(second / "episodes")
    done, server = served(tasks, second, says(answer))
    assert len(server.chats) == 1
    assert [line["filtered_resps"] for line in done.samples(tasks.names["pope"])] == ["Yes"] * 6
    (found,) = import_results([second / "results"], tmp_path / "again").rows
    assert (found["n"], found["errors"]) == (6, 0)
    assert found["score"] is not None


def test_a_server_that_is_down_leaves_no_results(tasks: Tasks, tmp_path: Path):
    done, _ = served(tasks, tmp_path, status(401, "wrong key"))
    assert done.code == 0  # the trap
    assert "requests in a row failed, the last with: " in done.output
    with pytest.raises(
        RunError, match=r"no results of lmms-eval at .*it failed \(its exit code is 0 even then"
    ):
        import_results([tmp_path / "results"], tmp_path / "run")
    assert not (tmp_path / "run").exists()
