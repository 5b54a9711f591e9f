"""When the watchdog speaks, step by step."""

from __future__ import annotations

import pytest

from visionthink.training.watchdog import Watchdog


def test_it_speaks_after_so_many_steps_in_a_row_and_again():
    dog = Watchdog(steps=3, margin=0.02)
    said = [dog.observe(0.0, 0.0) for _ in range(7)]
    assert [index for index, problem in enumerate(said, start=1) if problem] == [3, 6]
    assert said[2] == (
        "for 3 steps the policy never requests the original "
        "(request rate 0.00, variance within groups 0.000)"
    )


def test_one_step_of_deciding_begins_anew():
    dog = Watchdog(steps=3)
    figures = [(1.0, 0.0), (1.0, 0.0), (0.5, 0.2), (1.0, 0.0), (1.0, 0.0)]
    assert [dog.observe(*step) for step in figures] == [None] * 5
    assert "always requests the original" in (dog.observe(1.0, 0.0) or "")


@pytest.mark.parametrize(
    ("rate", "variance", "what"),
    [
        (0.02, 0.2, "never"),  # the margin itself counts as pinned
        (0.98, 0.2, "always"),
        (0.5, 0.019, "decides alike within every group"),  # 0.02 * 0.98 = 0.0196
        (0.5, 0.0196, None),
        (0.021, 0.02, None),
    ],
)
def test_what_counts_as_pinned(rate: float, variance: float, what: str | None):
    problem = Watchdog(steps=1, margin=0.02).observe(rate, variance)
    assert (problem is None) if what is None else what in (problem or "")
