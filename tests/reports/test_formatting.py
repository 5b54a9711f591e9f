from __future__ import annotations

import pytest

from visionthink.reports.formatting import box_text, clean, count, flops, percent, pixels, seconds


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


def test_sizes_and_parts_of_images():
    assert pixels([(448, 336)]) == "448\xa0x\xa0336\xa0px"
    assert pixels([(28, 28)] * 6) == "6 times 28\xa0x\xa028\xa0px"
    assert pixels([(1, 2), (3, 4), (5, 6), (7, 8)]).endswith("5\xa0x\xa06\xa0px and 1 more")
    assert box_text((0, 250, 1000, 505)) == "x 0-100\xa0%, y 25-50.5\xa0%"
