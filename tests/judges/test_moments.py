"""Dates and times of day."""

from __future__ import annotations

import pytest

from visionthink.judges.moments import date, same_date, same_time, time_of_day

DATES = [
    ("December 5, 2019", {(2019, 12, 5)}),
    ("5 December 2019", {(2019, 12, 5)}),
    ("the 5th of December, 2019", {(2019, 12, 5)}),
    ("Thursday, Dec. 5 2019", {(2019, 12, 5)}),
    ("2019-12-05", {(2019, 12, 5)}),
    ("2019/12/5", {(2019, 12, 5)}),
    ("25/12/2019", {(2019, 12, 25)}),
    ("05/12/2019", {(2019, 12, 5), (2019, 5, 12)}),
    ("05/12/19", {(2019, 12, 5), (2019, 5, 12)}),
    ("May 2019", {(2019, 5, 0)}),
    ("12/2019", {(2019, 12, 0)}),
    ("December 5", {(0, 12, 5)}),
    ("February 30", set()),
    ("2019-13-05", set()),
    ("31/31/2019", set()),
    ("2019", set()),
    ("May", set()),
    ("1/2", set()),
    ("12:30", set()),
    ("December 5, 2019 or so", set()),
    ("", set()),
]


@pytest.mark.parametrize(("text", "expected"), DATES)
def test_the_dates_that_a_text_may_name(text, expected):
    assert date(text) == expected


DATE_PAIRS = [
    ("December 5, 2019", "2019-12-05", True),
    ("25/12/2019", "25-12-2019", True),
    ("12/25/2019", "December 25, 2019", True),
    ("05/12/2019", "5-12-2019", True),
    ("05/12/2019", "12/05/2019", None),
    ("December 5, 2019", "05/12/2019", None),
    ("December 5, 2019", "December 6, 2019", False),
    ("December 5, 2019", "December 5, 2018", False),
    ("December 5, 2019", "December 2019", False),
    ("December 2019", "December 5, 2019", None),
    ("December 5, 2019", "Christmas", None),
    ("May 2019", "June 2019", False),
]


@pytest.mark.parametrize(("truth", "said", "expected"), DATE_PAIRS)
def test_two_dates(truth, said, expected):
    assert same_date(truth, said) is expected


TIMES = [
    ("3:45 pm", (56_700, 60, True)),
    ("15:45", (56_700, 60, True)),
    ("3 p.m.", (54_000, 60, True)),
    ("3:00", (10_800, 60, False)),
    ("3:00:05", (10_805, 1, False)),
    ("3 o'clock", (10_800, 60, False)),
    ("12 am", (0, 60, True)),
    ("12 pm", (43_200, 60, True)),
    ("12 noon", (43_200, 60, True)),
    ("noon", (43_200, 60, True)),
    ("midnight", (0, 60, True)),
    ("3", None),
    ("3.45", None),
    ("13 pm", None),
    ("25:00", None),
    ("3:60", None),
    ("3:45 pm or so", None),
    ("3h", None),
    ("", None),
]


@pytest.mark.parametrize(("text", "expected"), TIMES)
def test_seconds_since_midnight(text, expected):
    assert time_of_day(text) == expected


TIME_PAIRS = [
    ("3:45 pm", "15:45", True),
    ("3:00 PM", "3 p.m.", True),
    ("3:45", "3:45 pm", True),
    ("3:45 pm", "3:45 am", False),
    ("15:45", "3:45 am", False),
    ("3:45", "3:46", False),
    ("noon", "12 pm", True),
    ("noon", "midnight", False),
    ("3:45", "a quarter to four", None),
    ("3:00", "3", None),
]


@pytest.mark.parametrize(("truth", "said", "expected"), TIME_PAIRS)
def test_two_times(truth, said, expected):
    assert same_time(truth, said) is expected
