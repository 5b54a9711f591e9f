"""The benchmark: what it measures, and when a bar is met."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace

import pytest

from recipes.mini.benchmark import CHANCE, RUNS, Result, check, measure, table
from visionthink.core.protocol import direct_reply, request_reply
from visionthink.core.types import Message
from visionthink.engines.scripted import ScriptedEngine
from visionthink.mini.world import FAMILIES


def perfect() -> list[Result]:
    """Results of checkpoints that do everything right, of 100 samples per family."""
    bars = []
    for checkpoint, looks in RUNS:
        for look in looks:
            for family, (kind, _) in FAMILIES.items():
                hidden = look == "low" and kind == "strong"
                rate = {"high": 0.0, "low": 0.0, "sampled": 0.5}.get(look, float(kind != "weak"))
                accuracy = CHANCE[family] if hidden else 1.0
                bars.append(Result(checkpoint, family, kind, look, 100, accuracy, rate, 1.0, 1.0))
    return bars


def test_perfect_checkpoints_meet_every_bar():
    checks = check(perfect())
    assert len(checks) == 22
    assert all(one.met for one in checks)


@pytest.mark.parametrize(
    ("checkpoint", "look", "family", "change", "broken"),
    [
        ("mini-sft", "high", "digit", {"accuracy": 0.94}, "mini-sft high: accuracy >= 0.95"),
        ("mini-base", "low", "count", {"accuracy": 0.94}, "mini-base low, weak: accuracy >= 0.95"),
        (
            "mini-sft",
            "low",
            "watermark",
            {"accuracy": 0.26},  # chance is 0.10
            "mini-sft low, strong: accuracy - chance <= 0.15",
        ),
    ],
)
def test_one_family_below_breaks_its_bar_only(checkpoint, look, family, change, broken):
    bars = [
        replace(bar, **change)
        if (bar.checkpoint, bar.look, bar.family) == (checkpoint, look, family)
        else bar
        for bar in perfect()
    ]
    failed = [one for one in check(bars) if not one.met]
    assert [one.what for one in failed] == [broken]
    assert family in failed[0].worst


def test_measure_computes_rates_from_episodes():
    """It requests half of the tags and always says ABC: no answer is right, every format is."""
    asked = []

    def reply(messages: Sequence[Message]) -> str:
        if len(messages) == 2:
            asked.append(messages)
            if len(asked) % 2 == 0:
                return request_reply("Too small to see.")
        return direct_reply("Clear now.", "ABC")

    bar = asyncio.run(measure(ScriptedEngine(reply, profile="mini"), "x", "tag", "auto", 10))
    assert (bar.n, bar.accuracy, bar.request_rate, bar.format_valid) == (10, 0.0, 0.5, 1.0)
    assert bar.kind == "strong"


def test_scores_have_an_interval():
    """Wilson's of 90 of 100, and of 100 of 100: 100 / (100 + 1.96²) = 0.963."""
    bar = replace(perfect()[0], accuracy=0.9)
    assert bar.score() == "0.900 (0.826 to 0.945)"
    text = table([bar, *perfect()[1:]], "mini")
    assert "| 0.900 (0.826 to 0.945) |" in text
    assert "| 1.000 (0.963 to 1.000) |" in text
