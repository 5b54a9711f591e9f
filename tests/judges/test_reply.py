"""What a judge's reply means, whatever it says."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from judges.adversarial_set import PAGE, cases, first_match, page_with_table, released, wrong
from visionthink.core.protocol import THINK
from visionthink.judges.reply import read_verdict, without_reasoning

REPLIES = cases("replies")
OPENED, CLOSED = THINK


@pytest.mark.parametrize("case", REPLIES, ids=[case["id"] for case in REPLIES])
def test_the_adversarial_set(case):
    assert read_verdict(case["reply"]) == case["verdict"], case["why"]


def test_the_set_is_large_and_holds_every_outcome():
    assert len(REPLIES) >= 40
    assert {case["verdict"] for case in REPLIES} == {0, 1, None}
    assert len({case["reply"] for case in REPLIES}) == len(REPLIES)


def test_the_released_parser_fails_on_much_of_it():
    """Not on plain verdicts; on every judgement whose words hold a 1, and on whatever is none."""
    no_verdict = {case["id"] for case in REPLIES if case["verdict"] is None}
    lists = {case["id"] for case in REPLIES if case["group"] == "digits"}
    assert no_verdict | lists <= set(wrong(released))
    assert wrong(released, "plain") == []
    assert 0 < len(wrong(first_match)) < len(wrong(released))


def test_the_page_counts_what_the_parsers_do():
    assert PAGE.read_text(encoding="utf-8") == page_with_table()


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("a", "a"),
        (f"{OPENED}a{CLOSED}b", "b"),
        (f"a{OPENED}b{CLOSED}c{OPENED}d{CLOSED}e", "ace"),
        (f"a{CLOSED}b", "b"),
        (f"a{OPENED}b", "a"),
        (f"a{CLOSED}b{OPENED}c", "b"),
        (f"{OPENED}{OPENED}a{CLOSED}b", "b"),
        (f"{OPENED}a{CLOSED}b{CLOSED}c", f"b{CLOSED}c"),
        (OPENED, ""),
        (CLOSED, ""),
    ],
)
def test_without_reasoning(text: str, left: str):
    assert without_reasoning(text) == left


PIECES = (
    *("Score: 1", "Score: 0", "Score:", "score", ":", "1", "0", "10", ".", "/", " ", "\n", "**"),
    *(
        '"',
        "“",
        "`",
        " or ",
        "out of",
        OPENED,
        CLOSED,
        "\N{FULLWIDTH COLON}",
        "\u200b",
        "\ud800",
        "{",
        "}",
    ),
)
anything = st.text() | st.lists(st.sampled_from(PIECES), max_size=12).map("".join)


@settings(deadline=None)
@given(anything)
def test_any_text_is_a_verdict_or_none(text: str):
    """And a verdict needs its digit to stand outside the reasoning."""
    verdict = read_verdict(text)
    assert verdict in (0, 1, None)
    if verdict is not None:
        assert str(verdict) in without_reasoning(text)
        assert read_verdict(f"{without_reasoning(text)}\nScore: {1 - verdict}") is None


@pytest.mark.parametrize(
    "text",
    [
        "Score: 1 " * 100_000,
        "score" * 200_000,
        "score " * 200_000,
        "score" + " " * 1_000_000,
        "score:" * 150_000,
        "score:" + "*" * 1_000_000,
        '"' * 1_000_000 + "score: 1",
        OPENED * 100_000,
        CLOSED * 100_000,
        "\n" * 1_000_000 + "Score: 1",
        "Score: " + "1" * 1_000_000,
        "Score: 1" + " " * 1_000_000 + "x",
        "Score: 1" + "." * 1_000_000 + "x",
        "Score: 1 or" + " " * 1_000_000 + "x",
        "score:1 or " * 100_000,
    ],
    ids=lambda text: text[:8].strip() or "blank",
)
def test_a_million_characters(text: str):
    read_verdict(text)
