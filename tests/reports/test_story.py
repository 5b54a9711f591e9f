import pytest
from acting import EXTREME, answered, requested

from visionthink.core.images import Picture
from visionthink.reports.story import (
    Step,
    clean,
    count,
    ending,
    first_look,
    flops,
    percent,
    seconds,
    shows_original,
    steps,
)


def test_steps_of_a_requested_original():
    episode = requested()
    first, second = steps(episode)
    assert first == Step(first.saw, "The prices are too small.", "request", "", delivered=True)
    assert second == Step(second.saw, "Tea is 4.20.", "answer")
    assert [picture.size for picture in first.saw] == [(224, 168)]
    assert second.saw == episode.example.images


def test_only_the_served_request_was_delivered():
    told = steps(EXTREME["errors, late"])
    assert [step.outcome for step in told] == ["malformed"] * 4 + ["request"] * 2 + ["malformed"]
    assert [step.delivered for step in told] == [False] * 4 + [True, False, False]
    assert told[5].note == "refused: it is already shown"


def test_the_first_look_is_what_the_model_was_sent():
    episode = answered()
    (small,) = first_look(episode)
    assert isinstance(small, Picture)
    assert small is episode.messages[1].images[0]
    assert not shows_original(episode)
    assert shows_original(EXTREME["high"])


def test_endings():
    assert ending(answered()) == ""
    assert ending(EXTREME["very wide"]) == "the answer is empty"
    assert (
        ending(EXTREME["no turn left"]) == "the original was requested in the last turn there was"
    )


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("plain\r\ntext\there", "plain\ntext here"),
        ("\x1b[31m\x00\r\x7f", "␛[31m␀␍␡"),
        ("\x9b\u202e\u2066\ud800\uffff\U0001ffff\u2028", "\ufffd" * 7),
        ("é漢ש 👩‍👩‍👧", "é漢ש 👩‍👩‍👧"),
    ],
)
def test_controls_are_made_visible(text: str, expected: str):
    assert clean(text) == expected


def test_figures():
    assert [count(1, "token"), count(1234, "token")] == ["1 token", "1,234 tokens"]
    assert [percent(r) for r in (0, 0.004, 0.25, 1.254)] == [
        "0\xa0%",
        "0.4\xa0%",
        "25\xa0%",
        "125\xa0%",
    ]
    assert [flops(n) for n in (0, 999, 2_054, 31_460_000, 9_999_999_999_999)] == [
        "0.00\xa0FLOPs",
        "999\xa0FLOPs",
        "2.05\xa0kFLOPs",
        "31.5\xa0MFLOPs",
        "10.0\xa0TFLOPs",
    ]
    assert flops(228_000_000, beside=1_380_000_000) == "0.23\xa0GFLOPs"
    assert [seconds(s) for s in (0.424, 12.34, 185)] == [
        "0.42\xa0s",
        "12.3\xa0s",
        "3\xa0min 05\xa0s",
    ]
