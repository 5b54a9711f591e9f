"""A real language model as judge behind a real vLLM: SmolLM2, which is too small to judge well."""

from __future__ import annotations

import json
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
import vllm_server

from cli.conftest import run  # noqa: F401  (a fixture)
from cli.outcome import Run

pytestmark = pytest.mark.vllm

WEIGHTS = vllm_server.ENVIRONMENT / "smollm2"
ROWS = 60
FORM = json.dumps({"structured_outputs": {"regex": "Score: [01]"}})
"""Without it this model never states a verdict: it repeats the prompt until it is cut off."""


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    if not WEIGHTS.is_dir():
        pytest.skip("the judge's weights are missing: run `make test-vllm`")
    with vllm_server.serve(WEIGHTS, "smollm2", tmp_path_factory.mktemp("judge")) as server:
        yield server.url


def labelled() -> list[dict[str, Any]]:
    """As many right as wrong predictions of the labelled set, evenly spread over it."""
    text = (files("visionthink.judges") / "labelled/verdicts.jsonl").read_text(encoding="utf-8")
    rows = [json.loads(line) for line in text.splitlines()]
    half = ROWS // 2
    chosen: list[dict[str, Any]] = []
    for right in (0, 1):
        of = [row for row in rows if row["expected"] == right]
        chosen += of[:: len(of) // half][:half]
    return chosen


def test_a_small_model_judges_badly_and_the_report_shows_it(url: str, tmp_path: Path, run: Run):  # noqa: F811
    """Every row gets a verdict, and they agree with the labels about as well as chance does. The
    cascade asks the same model, but takes its verdicts from the cache.
    """
    file = tmp_path / "rows.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in labelled()), encoding="utf-8")
    cache = ("--cache", tmp_path / "cache")
    model = ("--base-url", url, "--model", "smollm2", "--max-tokens", 8, "--timeout", 300)
    common = (*model, "--extra-body", FORM, *cache, "--json")
    given = run("judge", file, "--out", tmp_path / "llm", "--judge", "llm", *common)
    assert given.code == 0, given.err
    summary = json.loads(given.out)
    asked = summary["calls"]
    assert (summary["unscored"], summary["unreadable"], summary["by_llm"]) == (0, 0, asked)
    assert summary["by_llm"] + summary["by_rules"] == ROWS  # an empty prediction is not asked
    assert summary["completion_tokens"] <= 8 * asked
    assert summary["decided"]["llm"]["error"] > 0.3

    found = json.loads(run("judge", "--agree", tmp_path / "llm", file, "--json").out)
    assert (found["rows"], found["scored"]) == (ROWS, ROWS)
    assert found["kappa"] < 0.3
    assert found["kappa_interval"][0] < 0.1
    assert len(found["differing"]) == round(ROWS * (1 - found["agreement"])) > ROWS * 0.3
    text = run("judge", "--agree", tmp_path / "llm", file).out
    assert f"kappa     {found['kappa']:.3f}" in text

    given = run("judge", file, "--out", tmp_path / "cascade", "--judge", "cascade", *common)
    summary = json.loads(given.out)
    rules, llm = summary["decided"]["rules"], summary["decided"]["llm"]
    assert (summary["calls"], summary["cached"]) == (0, llm["rows"])
    assert rules["rows"] + llm["rows"] == rules["labelled"] + llm["labelled"] == ROWS
    assert rules["error"] < llm["error"]
