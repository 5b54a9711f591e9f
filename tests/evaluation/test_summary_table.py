"""The summary as text."""

from __future__ import annotations

from typing import Any

from visionthink.evaluation.policies import parse_policies
from visionthink.evaluation.summary import Sample, summarise
from visionthink.evaluation.table import aligned, summary_text


def rows(*policies: str, **more: Any) -> list[dict[str, Any]]:
    """Four samples a policy, of the weak family w and the strong family t, all right; auto requests
    the strong ones.
    """
    samples: list[Sample] = []
    for policy in policies:
        for name in ("w1", "w2", "t1", "t2"):
            asks = policy == "auto" and name[0] == "t"
            small = 16 if policy == "high" else 4
            samples.append(
                Sample(
                    *("c", policy, name, name[0], {"w": "weak", "t": "strong"}[name[0]], 1.0),
                    **{"requested": asks, "tokens": (small, 16 if asks else 0, 16)},
                    **{"flops": (small + 16 * asks, 16), "seconds": 0.25, **more},
                )
            )
    return summarise(samples, {"c": "auto"}, parse_policies(policies))


def test_policies_side_by_side():
    assert (
        summary_text(rows("high", "auto", flops=None))
        == """\
c
policy  n  accuracy          [95 %]  vs high            [95 %]  requests  visual tokens  s/sample
high    4     1.000  [0.510, 1.000]                                0.0 %        100.0 %      0.25
auto    4     1.000  [0.510, 1.000]   +0.000  [-0.462, +0.462]    50.0 %         75.0 %      0.25

c, accuracy by family

family    kind   high   auto  requests
w         weak  1.000  1.000     0.0 %
t       strong  1.000  1.000   100.0 %"""
    )
    assert "FLOPs" in summary_text(rows("high"))


def test_wrong_answers_that_contain_the_truth_have_a_line():
    text = summary_text(rows("high", "low", truth="tea", answer="It is tea."))
    assert "contain the expected answer" not in text  # they are right
    found = [{**row, "contained": 2 * (row["policy"] == "low")} for row in rows("high", "low")]
    assert (
        summary_text(found)
        .splitlines()[-1]
        .startswith(
            "scored wrong, but contain the expected answer: 2 of 4 with low; compare some, and if"
        )
    )


def test_empty_columns_are_left_out():
    """FLOPs are not known for a model behind a server, and nothing failed."""
    head = summary_text(rows("high", flops=None)).splitlines()[1]
    assert head.split("  ")[0] == "policy"
    assert "FLOPs" not in head
    assert "errors" not in head


def test_many_policies_are_split_into_several_tables():
    text = summary_text(rows("high", "low", "auto", "low:general", "high:general"))
    heads = [line for line in text.splitlines() if line.startswith("family")]
    assert [line.split()[2:] for line in heads] == [
        ["high", "low", "auto", "requests", "low:general"],
        ["high:general"],
    ]


def test_aligned():
    assert aligned([["a", "b", "c"], ["long", "", "1"], ["x", "", "200"]]) == (
        "a       c\nlong    1\nx     200"
    )
