"""docs/evaluation.md names what there is."""

from __future__ import annotations

import re
from pathlib import Path

from visionthink.evaluation.metrics import metric_names
from visionthink.evaluation.policies import parse_policies, parse_policy
from visionthink.evaluation.suites import SuiteOptions, load_suites
from visionthink.evaluation.summary import Sample, summarise
from visionthink.settings import checked, parse_yaml

PAGE = (Path(__file__).parents[2] / "docs" / "evaluation.md").read_text(encoding="utf-8")


def column(head: str) -> list[str]:
    """Names in code quotes in the first column of the table whose head begins so."""
    table = PAGE.split(f"\n| {head} |")[1].split("\n\n")[0]
    firsts = [line.split(" | ")[0] for line in table.splitlines()[2:]]
    return [name for first in firsts for name in re.findall(r"`([^`]+)`", first)]


def test_every_metric_is_described():
    assert sorted(column("metric")) == sorted(metric_names())


def test_every_policy_can_be_parsed():
    for name in column("policy"):
        assert parse_policy(name.replace("PROFILE", "agent")).name


def test_every_key_of_the_summary_is_described():
    samples = [
        Sample("s", "low", str(i), "f", None, 1.0, truth="yes", answer="yes") for i in (1, 2)
    ]
    rows = summarise(samples, {"s": "yes_no"}, parse_policies(["low"]))
    named = {"suite", "family", "kind", "policy", "macro_accuracy"}
    assert {key for row in rows for key in row} - named == set(column("key"))


def test_the_suite_file_of_the_page_is_valid():
    text = PAGE.split("```yaml\n")[1].split("```")[0]
    options = checked(SuiteOptions, parse_yaml(text, "the page"), "the page")
    assert (options.name, options.scored_by) == ("charts", "relaxed")


def test_the_suites_of_the_page_load():
    for spec in ("mini:receipt,tag", "mini:lucky", "mini:colour,digit,count,watermark,weave"):
        assert f"`{spec}`" in PAGE or f" {spec} " in PAGE
        assert load_suites([spec], limit=1)
