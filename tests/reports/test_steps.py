from __future__ import annotations

from acting import EXTREME, answered, requested, zoomed

from visionthink.reports.steps import Step, ending, shows_all_at_first, steps


def test_steps_of_a_requested_original():
    episode = requested()
    first, last = steps(episode)
    small, original = episode.looks
    thought = "The prices are too small."
    assert first == Step((small,), thought, "request", "original", "", delivered=True)
    assert last == Step((original,), "Tea is 4.20.", "answer")


def test_every_look_belongs_to_the_reply_that_it_came_before():
    found = steps(zoomed())
    assert [[look.action for look in step.looks] for step in found] == [
        [None],
        ["original"],
        ["region"],
    ]
    assert [(step.action, step.delivered) for step in found] == [
        ("original", True),
        ("region", True),
        ("", False),
    ]


def test_only_the_served_request_was_delivered():
    found = steps(EXTREME["errors, late"])
    assert [step.outcome for step in found] == ["malformed"] * 4 + ["request"] * 2 + ["malformed"]
    assert [step.delivered for step in found] == [False] * 4 + [True, False, False]
    assert (found[5].action, found[5].note) == ("original", "refused")


def test_whether_the_first_look_is_the_original():
    assert not shows_all_at_first(answered())
    assert shows_all_at_first(EXTREME["high"])


def test_endings():
    assert ending(answered()) == ""
    assert ending(EXTREME["very wide"]) == "the answer is empty"
    assert ending(EXTREME["no turn left"]) == "the last turn was used for a request"
