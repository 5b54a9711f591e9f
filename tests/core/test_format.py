"""The strict format, held to the regular expressions that define it."""

from __future__ import annotations

import itertools
import json
import re

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from visionthink.core.format import format_valid
from visionthink.core.profiles import PROFILES

AGENT = PROFILES["agent"]
GENERAL = PROFILES["general"]
RESIZE = PROFILES["simple-resize"]
THINK_RESIZE = PROFILES["simple-think-resize"]

GOOD = '{"name": "resize_image", "arguments": {"action": "resize"}}'
CALL = f"<tool_call>{GOOD}</tool_call>"


def call(body: str) -> str:
    return f"<tool_call>{body}</tool_call>"


DIRECT = re.compile(r"^<think>.*</think>.*<answer>.*</answer>$", re.DOTALL)
REQUEST = re.compile(r"^<think>.*</think>.*<tool_call>.*</tool_call>$", re.DOTALL)


def counts(text: str, name: str) -> tuple[int, int]:
    return text.count(f"<{name}>"), text.count(f"</{name}>")


def is_direct(text: str) -> bool:
    return (
        DIRECT.match(text) is not None
        and counts(text, "think") == counts(text, "answer") == (1, 1)
        and "<tool_call>" not in text
    )


def is_request(text: str) -> bool:
    """One reading is ours: a call that names the tool but another action does not have the format,
    since it is no request and delivers nothing."""
    if REQUEST.match(text) is None or counts(text, "think") != (1, 1):
        return False
    if counts(text, "tool_call") != (1, 1) or counts(text, "answer") != (0, 0):
        return False
    body = re.findall(r"<tool_call>(.*)</tool_call>", text, re.DOTALL)[0]
    try:
        fields = json.loads(body)
        arguments = fields["arguments"] if fields["name"] == "resize_image" else None
        arguments = json.loads(arguments) if isinstance(arguments, str) else arguments
        return isinstance(arguments, dict) and arguments.get("action") == "resize"
    except (ValueError, KeyError, TypeError, RecursionError):
        return False


def is_format(replies: list[str]) -> bool:
    """The format of a whole episode of the agent profile, written with regular expressions."""
    *earlier, last = replies
    return all(map(is_request, earlier)) and is_direct(last)


D = "<think>a</think><answer>b</answer>"
R = f"<think>a</think>{CALL}"

FORMATS = [
    ([D], True),
    ([R, D], True),
    ([R, R, D], True),
    (["<think></think><answer></answer>"], True),
    (["<think>\na\n</think>\n\n<answer>\nb\n</answer>"], True),
    ([f"{D}\n"], True),  # `$` matches before one final newline
    ([f"{D}\n\n"], False),
    ([f"{D}\r\n"], False),
    ([f"{D} "], False),
    ([f" {D}"], False),
    ([f"\n{D}"], False),
    (["<think>a</think> so <answer>b</answer>"], True),
    ([f"{D}."], False),
    (["<answer>b</answer>"], False),
    (["<answer>b</answer><think>a</think>"], False),
    (["<think>a<answer>b</answer></think>"], False),
    (["<think>a<answer>b</think></answer>"], False),
    (["<think>a</think><answer>b"], False),
    (["<think>a<answer>b</answer>"], False),
    (["a</think><answer>b</answer>"], False),
    (["<think>a</think><think>c</think><answer>b</answer>"], False),
    ([f"{D}<answer>c</answer>"], False),
    ([f"<think>a</think>{CALL}<answer>b</answer>"], False),
    ([f"<think>{CALL}</think><answer>b</answer>"], False),
    (["<think>a</think></tool_call><answer>b</answer>"], True),  # only the opening tag is a call
    ([R], False),
    ([D, D], False),
    ([D, R], False),
    ([R, R], False),
    ([f"{R}\n", D], True),
    ([f"{R}\n\n", D], False),
    ([f"<think>a</think>\n<tool_call>\n{GOOD}\n</tool_call>", D], True),
    ([CALL, D], False),
    ([f"<think>a</think>{CALL}{CALL}", D], False),
    ([f"<think>a{CALL}</think>", D], False),
    ([f"<think>a</think><answer>b</answer>{CALL}", D], False),
    ([f"<think>a</think><answer>{CALL}", D], False),
    ([f"<think>a</think>{CALL}.", D], False),
    ([f"<think>a</think><tool_call>{GOOD}", D], False),
    (["<think>a</think><tool_call>{</tool_call>", D], False),
    ([f"<think>a</think><tool_call>{GOOD} please</tool_call>", D], False),
    ([f"<think>a</think><tool_call>{GOOD}{GOOD}</tool_call>", D], False),
    ([f"<think>a</think><tool_call>[{GOOD}]</tool_call>", D], False),
    (["<think>a</think>" + call('{"name": "zoom", "arguments": {"action": "resize"}}'), D], False),
    (["<think>a</think>" + call('{"name": "resize_image"}'), D], False),
    (
        ["<think>a</think>" + call('{"name": "resize_image", "arguments": {"action": "up"}}'), D],
        False,
    ),
    (
        [
            "<think>a</think>"
            + call('{"x": 1, "name": "resize_image", "arguments": {"action": "resize", "y": 2}}'),
            D,
        ],
        True,
    ),
    (
        [
            "<think>a</think>"
            + call(r'{"name": "resize_image", "arguments": "{\"action\": \"resize\"}"}'),
            D,
        ],
        True,
    ),
    ([""], False),
    (["", ""], False),
]


@pytest.mark.parametrize(("replies", "valid"), FORMATS)
def test_the_strict_format(replies: list[str], valid: bool):
    assert is_format(replies) == valid
    assert format_valid(replies, AGENT) == valid
    assert format_valid(replies, PROFILES["mini"]) == valid


parts = st.sampled_from(
    (
        *("<think>", "</think>", "<answer>", "</answer>", "<tool_call>", "</tool_call>"),
        *(GOOD, CALL, "\n", "a", " ", D, R, "<think>a</think>", "<answer>b</answer>"),
    )
)
near_misses = st.lists(parts, max_size=8).map("".join)


@settings(
    derandomize=True,
    deadline=None,
    max_examples=800,
    suppress_health_check=[HealthCheck.too_slow],
)
@given(replies=st.lists(near_misses, min_size=1, max_size=2))
def test_the_strict_format_is_that_of_the_regular_expressions(replies: list[str]):
    assert format_valid(replies, AGENT) == is_format(replies)


def test_the_strict_format_on_every_short_arrangement_of_tags():
    """One reply of up to five of seven parts; alone, and before a valid answer."""
    tags = ("<think>", "</think>", "<answer>", "</answer>", "<tool_call>", "</tool_call>", GOOD)
    arrangements = ["".join(p) for n in range(6) for p in itertools.product(tags, repeat=n)]
    valid = 0
    for text in arrangements:
        assert format_valid([text], AGENT) == is_direct(text)
        assert format_valid([text, D], AGENT) == is_request(text)
        valid += is_direct(text) + is_request(text)
    assert valid > 1


MARKED = [
    (RESIZE, ["<answer>b</answer>"], True),
    (RESIZE, ["It is <answer>b</answer>"], True),
    (RESIZE, [D], True),  # a thought is allowed, but then as an element at the start
    (RESIZE, ["<answer>b<think></answer>"], False),
    (RESIZE, ["<answer>b</think></answer>"], False),
    (RESIZE, ["<answer>b <resize></answer>"], False),
    (RESIZE, ["<answer>b</answer><resize></resize>"], False),
    (RESIZE, ["Blurred. <resize></resize>", "<answer>b</answer>"], True),
    (RESIZE, ["Blurred. <resize></resize>\n", "<answer>b</answer>"], True),
    (RESIZE, ["<resize></resize> is needed.", "<answer>b</answer>"], False),
    (RESIZE, ["<resize>", "<answer>b</answer>"], False),
    (RESIZE, ["<resize></resize><resize></resize>", "<answer>b</answer>"], False),
    (RESIZE, ["<answer>b</answer><resize></resize>", "<answer>b</answer>"], False),
    (RESIZE, [CALL, "<answer>b</answer>"], False),
    (THINK_RESIZE, [D], True),
    (THINK_RESIZE, ["<answer>b</answer>"], False),
    (THINK_RESIZE, ["<think>a</think><resize>", D], True),
    (THINK_RESIZE, ["<think>a</think><resize>.", D], False),
    (THINK_RESIZE, ["<think>a<resize></think>", D], False),
    (THINK_RESIZE, ["<resize>", D], False),
    (GENERAL, [D], True),
    (GENERAL, ["<answer>b</answer>"], False),
    (GENERAL, [R, D], False),
    (GENERAL, [D, D], False),
]


@pytest.mark.parametrize(("profile", "replies", "valid"), MARKED)
def test_the_strict_format_of_the_other_profiles(profile, replies, valid):
    assert format_valid(replies, profile) == valid
