"""The protocol: what every reply means, whatever the text."""

from __future__ import annotations

import json
import random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from visionthink.core import protocol
from visionthink.core.actions import Original, Problem
from visionthink.core.format import format_valid
from visionthink.core.profiles import PROFILES, Plain, Profile
from visionthink.core.protocol import (
    CALL_BODY,
    Answer,
    Malformed,
    Request,
    direct_reply,
    final_answer,
    outcome,
    parse_reply,
    plain_text,
    read_call,
    render_thought,
    render_tool_call,
    request_reply,
    unbox,
)

AGENT = PROFILES["agent"]
GENERAL = PROFILES["general"]
RESIZE = PROFILES["simple-resize"]
THINK_RESIZE = PROFILES["simple-think-resize"]

GOOD = '{"name": "resize_image", "arguments": {"action": "resize"}}'
CALL = f"<tool_call>{GOOD}</tool_call>"
BROKEN = "the function call is not valid JSON"
NEITHER = "there is neither an answer nor a request"
NO_TOOL = "a tool was called where none is offered"

properties = settings(
    derandomize=True, deadline=None, max_examples=300, suppress_health_check=[HealthCheck.too_slow]
)


def call(body: str) -> str:
    return f"<tool_call>{body}</tool_call>"


# What a reply means

AGENT_REPLIES = {
    # the two replies that the prompt asks for
    "direct": ("<think>I see.</think><answer>42</answer>", Answer("42", "I see.")),
    "request": (f"<think>Blurred.</think>{CALL}", Request(Original(), "Blurred.")),
    "spaced": (
        f"<think>\nBlurred.\n</think>\n\n<tool_call>\n{GOOD}\n</tool_call>\n",
        Request(Original(), "Blurred."),
    ),
    "crlf": ("<think>\r\nhm\r\n</think>\r\n<answer>\r\n42\r\n</answer>\r\n", Answer("42", "hm")),
    "crlf request": (
        f"<think>hm</think>\r\n<tool_call>\r\n{GOOD}\r\n</tool_call>\r\n",
        Request(thought="hm"),
    ),
    "many lines": ("<think>a\nb</think><answer>c\nd</answer>", Answer("c\nd", "a\nb")),
    "no think element": ("<answer>42</answer>", Answer("42")),
    "answer without text": ("<think>a</think><answer> </answer>", Answer("", "a")),
    # a request inside a think element
    "request in closed think": (
        f"<think>I could {CALL}</think><answer>42</answer>",
        Answer("42", f"I could {CALL}"),
    ),
    "only a request in closed think": (f"<think>{CALL}</think>", Malformed(NEITHER, CALL)),
    "request in unclosed think": (f"<think>hm {CALL}", Request(thought="hm")),
    "answer in closed think": (
        f"<think><answer>1</answer></think>{CALL}",
        Request(thought="<answer>1</answer>"),
    ),
    "answer in unclosed think": ("<think>hm <answer>42</answer>", Answer("42", "hm")),
    "unclosed think ends at the first of the two": (
        f"<think>hm <answer>42</answer>{CALL}",
        Request(thought="hm", answer="42"),
    ),
    "two think elements": (
        "<think>a</think> so <think>b</think><answer>42</answer>",
        Answer("42", "a\nb"),
    ),
    "second think unclosed": (f"<think>a</think><think>b {CALL}", Request(thought="a\nb")),
    "think in think": ("<think>a<think>b</think><answer>42</answer>", Answer("42", "a<think>b")),
    "think in an answer": ("<answer>4<think>hm</think>2</answer>", Answer("42", "hm")),
    # a missing opening think tag
    "no opening think tag": ("hm</think><answer>42</answer>", Answer("42", "hm")),
    "no opening think tag, request": (f"hm</think>{CALL}", Request(thought="hm")),
    "no opening think tag, request in thought": (
        f"I could {CALL}</think><answer>42</answer>",
        Answer("42", f"I could {CALL}"),
    ),
    "no opening think tag, then an element": (
        "a</think><think>b</think><answer>42</answer>",
        Answer("42", "a\nb"),
    ),
    # answer and request in one turn
    "answer, then request": (f"<answer>42</answer>{CALL}", Request(answer="42")),
    "request, then answer": (f"{CALL}<answer>42</answer>", Request(answer="42")),
    "request with boxed answer": (rf"<answer>\boxed{{A}}</answer>{CALL}", Request(answer="A")),
    "answer and bad call": (f"{call('{')}<answer>42</answer>", Answer("42")),
    # several answers, several calls
    "several answers": ("<answer>1</answer> no, <answer>2</answer>", Answer("2")),
    "several answers, last unclosed": ("<answer>1</answer><answer>2", Answer("2", closed=False)),
    "answer in answer": ("<answer>1 <answer>2</answer></answer>", Answer("2")),
    "several calls": (f"{CALL}{CALL}", Request()),
    "first call bad": (f"{call('{')}{CALL}", Request()),
    "second call bad": (f"{CALL}{call('{')}", Request()),
    "all calls bad": (
        f"{call('[]')}{call('{')}",
        Malformed("the function call is not a JSON object", failed_call=True),
    ),
    # unclosed at the end
    "unclosed answer": ("<think>a</think><answer>42", Answer("42", "a", closed=False)),
    "cut in the answer's closing tag": ("<answer>42</ans", Answer("42", closed=False)),
    "cut before the answer's closing tag": ("<answer>4</2<", Answer("4</2<", closed=False)),
    "cut in the request's closing tag": (f"<tool_call>{GOOD}</tool", Request()),
    "unclosed request": (f"<think>a</think><tool_call>{GOOD}", Request(thought="a")),
    "unclosed request, then text": (f"<tool_call>{GOOD}\nPlease.", Request()),
    "unclosed answer, then request": (f"<answer>42 {CALL}", Request(answer="42")),
    "unclosed request, then request": (f"<tool_call>{CALL}", Request()),
    "cut in the request": (
        '<think>a</think><tool_call>{"name": "resize_im',
        Malformed(BROKEN, "a", failed_call=True),
    ),
    "cut in the thought": ("<think>I see a", Malformed(NEITHER, "I see a")),
    "cut in a tag": ("<think>a</think><answ", Answer("<answ", "a", closed=False)),
    # the call's JSON
    "extra keys": (
        call(
            '{"id": 7, "name": "resize_image", "arguments": {"action": "resize", "bbox": [1, 2]}}'
        ),
        Request(),
    ),
    "arguments as a string": (
        call(r'{"name": "resize_image", "arguments": "{\"action\": \"resize\"}"}'),
        Request(),
    ),
    "arguments as a broken string": (
        call('{"name": "resize_image", "arguments": "resize"}'),
        Malformed("the arguments are not valid JSON", failed_call=True),
    ),
    "arguments as a deep string": (
        call(json.dumps({"name": "resize_image", "arguments": "[" * 100_000})),
        Malformed("the arguments are not valid JSON", failed_call=True),
    ),
    "arguments as a list": (
        call('{"name": "resize_image", "arguments": ["resize"]}'),
        Malformed('the arguments must be {"action": "resize"}', failed_call=True),
    ),
    "no arguments": (
        call('{"name": "resize_image"}'),
        Malformed('the arguments must be {"action": "resize"}', failed_call=True),
    ),
    "no action": (
        call('{"name": "resize_image", "arguments": {}}'),
        Malformed("there is no action None, only 'resize'", failed_call=True),
    ),
    "another action": (
        call('{"name": "resize_image", "arguments": {"action": "crop"}}'),
        Malformed("there is no action 'crop', only 'resize'", failed_call=True),
    ),
    "another name": (
        call('{"name": "zoom", "arguments": {"action": "resize"}}'),
        Malformed("there is no function 'zoom', only 'resize_image'", failed_call=True),
    ),
    "a long name": (
        call(json.dumps({"name": "z" * 99})),
        Malformed(
            f"there is no function '{'z' * 56}..., only 'resize_image'",
            failed_call=True,
        ),
    ),
    "name is a number": (
        call(f'{{"name": {"9" * 70}}}'),
        Malformed(f"there is no function {'9' * 57}..., only 'resize_image'", failed_call=True),
    ),
    "not JSON": (call("resize_image(action='resize')"), Malformed(BROKEN, failed_call=True)),
    "empty call": (call(""), Malformed(BROKEN, failed_call=True)),
    "not an object": (
        call(f"[{GOOD}]"),
        Malformed("the function call is not a JSON object", failed_call=True),
    ),
    "deep nesting": (call("[" * 100_000), Malformed(BROKEN, failed_call=True)),
    "deep objects": (call('{"a":' * 100_000), Malformed(BROKEN, failed_call=True)),
    "an int too long for Python": (call("9" * 10_000), Malformed(BROKEN, failed_call=True)),
    "text after the JSON": (call(f"{GOOD} please"), Request()),
    # no tags at all
    "no tags": (" 42 \n", Answer("42", closed=False)),
    "no tags, boxed": (r"It is \boxed{42}.", Answer("42", closed=False)),
    "no tags after a thought": ("<think>a</think>42", Answer("42", "a", closed=False)),
    "only a closing answer tag": ("42</answer>", Answer("42", closed=False)),
    "only closing tags": ("</answer></tool_call>", Malformed(NEITHER)),
    "a second closing think tag": ("<think>a</think>4</think>2", Answer("42", "a", closed=False)),
    "JSON without tags": (GOOD, Answer(GOOD, closed=False)),
    "the marker of another profile": ("<resize></resize>", Answer("<resize></resize>", "", False)),
    # nothing
    "empty": ("", Malformed(NEITHER)),
    "whitespace": (" \r\n\t ", Malformed(NEITHER)),
    "only a thought": ("<think>hm</think>\n", Malformed(NEITHER, "hm")),
    # boxed answers
    "boxed": (r"<answer>The total is \boxed{42}</answer>", Answer("42")),
    "boxed unclosed": (r"<answer>\boxed{42</answer>", Answer(r"\boxed{42")),
    "boxed outside the answer": (r"\boxed{1}<answer>2</answer>", Answer("2")),
}


@pytest.mark.parametrize(("text", "reply"), AGENT_REPLIES.values(), ids=AGENT_REPLIES)
def test_what_a_reply_to_the_agent_prompt_means(text: str, reply: protocol.Reply):
    assert parse_reply(text, AGENT) == reply


def test_the_mini_profile_reads_replies_as_the_agent_profile_does():
    for text, reply in AGENT_REPLIES.values():
        assert parse_reply(text, PROFILES["mini"]) == reply


OTHER_REPLIES = [
    # No tool is offered: a call is malformed and gets no error turn, an answer beside it counts.
    (GENERAL, f"<think>a</think>{CALL}", Malformed(NO_TOOL, "a")),
    (GENERAL, f"<think>a</think>{call('{')}", Malformed(NO_TOOL, "a")),
    (GENERAL, f"<think>a</think>{CALL}<answer>42</answer>", Answer("42", "a")),
    (GENERAL, "<think>a</think><answer>42</answer>", Answer("42", "a")),
    (GENERAL, "<answer>42 <resize> </answer>", Answer("42 <resize>")),
    (GENERAL, "<answer>42 <resize>", Answer("42 <resize>", closed=False)),
    # A marker requests, opened or whole, at any place outside a closed think element.
    (RESIZE, "I cannot read it. <resize></resize>", Request()),
    (RESIZE, "I cannot read it. <resize>", Request()),
    (RESIZE, "<think>a <resize></resize></think><answer>42</answer>", None),
    (RESIZE, "<think>hm <resize>", Request(thought="hm")),
    (RESIZE, "<answer>42</answer><resize></resize>", Request(answer="42")),
    (RESIZE, "<answer>42 <resize></resize>", Request(answer="42")),
    (RESIZE, "</resize><answer>42</answer>", Answer("42")),
    (RESIZE, CALL, Malformed(NO_TOOL)),
    (RESIZE, f"{CALL}<answer>42</answer>", Answer("42")),
    (THINK_RESIZE, "<think>a</think><resize>", Request(thought="a")),
    (THINK_RESIZE, "<think>a</think><resize></resize>", Request(thought="a")),
    (THINK_RESIZE, "<think>a <resize>", Request(thought="a")),
    (THINK_RESIZE, "<think>a <resize></think>42", Answer("42", "a <resize>", closed=False)),
    (THINK_RESIZE, "<think>a</think><answer>42</answer>", Answer("42", "a")),
    (THINK_RESIZE, "", Malformed(NEITHER)),
]


@pytest.mark.parametrize(("profile", "text", "reply"), OTHER_REPLIES)
def test_what_a_reply_to_the_other_prompts_means(profile, text, reply):
    expected = reply or Answer("42", "a <resize></resize>")
    assert parse_reply(text, profile) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", ""),
        ("  42 ", "42"),
        (r"\boxed{42}", "42"),
        (r"so \boxed{ B }.", "B"),
        (r"\boxed{\frac{1}{2}}", r"\frac{1}{2}"),
        (r"\boxed{{{x}}}", "{{x}}"),
        (r"\boxed{1} or \boxed{2}", "2"),
        (r"\boxed{1} or \boxed{2", "1"),
        (r"\boxed{\boxed{3}}", "3"),
        (r"\boxed{a \boxed{3} b", "3"),
        (r"\boxed{3", r"\boxed{3"),
        (r"\boxed{3{}", r"\boxed{3{}"),
        (r"} \boxed{3} {", "3"),
        (r"\boxed{}", ""),
        ("{42}", "{42}"),
        ("boxed{42}", "boxed{42}"),
    ],
)
def test_unbox(text: str, expected: str):
    assert unbox(text) == expected


@pytest.mark.parametrize(
    ("reply", "kind", "answer"),
    [
        (Answer("42"), "answer", "42"),
        (Request(), "request", ""),
        (Request(answer="42"), "request", "42"),
        (Malformed("why"), "malformed", ""),
    ],
)
def test_outcome_and_final_answer(reply, kind, answer):
    assert (outcome(reply), final_answer(reply)) == (kind, answer)


def test_the_problem_of_a_call_is_one_short_line_whatever_the_model_wrote():
    for name in ("a\nb" * 50, "\ud800", "\x00", "<|im_end|>", ["x"] * 1000, 1e999, None, True):
        problem = read_call(json.dumps({"name": name}), AGENT)
        assert isinstance(problem, Problem)
        assert len(problem.text) < 110
        assert problem.text.isprintable()


def test_rendered_replies_parse_back():
    assert render_thought("hm") == "<think>hm</think>"
    assert direct_reply("hm", "42") == "<think>hm</think><answer>42</answer>"
    assert request_reply("hm") == f"<think>hm</think>{CALL}"
    assert parse_reply(direct_reply("hm", "42"), AGENT) == Answer("42", "hm")
    assert parse_reply(request_reply("hm"), AGENT) == Request(thought="hm")
    assert render_tool_call("resize_image", '{"action": "resize"}') == CALL
    assert read_call(CALL_BODY, AGENT) == Original()


# Any text at all

FRAGMENTS = (
    *("<think>", "</think>", "<answer>", "</answer>", "<tool_call>", "</tool_call>"),
    *("<tool_response>", "<resize>", "</resize>", "<resize></resize>", GOOD, CALL, "\\boxed{"),
    *("{", "}", "[", '"', "\\", "\n", "\r\n", " ", "42", "<", "|>", "<|", "<|im_end|>", "name"),
    *('{"name": "resize_image"}', '{"name": "zoom", "arguments": {}}', '"arguments": "{}"', "\x00"),
    *(direct_reply("a", "b"), request_reply("c"), "{image}", "{question}", "\ud800", "é", "漢"),
)
soups = st.lists(st.sampled_from(FRAGMENTS) | st.text(max_size=3), max_size=16).map("".join)
anything = st.text() | soups
each_profile = pytest.mark.parametrize("profile", PROFILES.values(), ids=PROFILES)


def check_invariants(first: str, second: str, profile: Profile) -> None:
    """What holds for any two texts as the replies of an episode."""
    reply = parse_reply(first, profile)
    assert isinstance(reply, Answer | Request | Malformed)
    assert profile.can_request or not isinstance(reply, Request)
    assert final_answer(reply) == final_answer(reply).strip()
    if isinstance(reply, Malformed) and reply.failed_call:
        assert profile.tool_error is not None
        assert "<tool_call>" in first
    assert isinstance(unbox(first), str)
    assert plain_text(plain_text(first)) == plain_text(first)
    if format_valid([first], profile):
        assert isinstance(reply, Answer)
        assert reply.closed != isinstance(profile, Plain)
    if format_valid([first, second], profile):
        assert isinstance(reply, Request)
        assert reply.answer is None or isinstance(profile, Plain)
        assert isinstance(parse_reply(second, profile), Answer)
    assert not format_valid([], profile)


@each_profile
@properties
@given(first=anything, second=anything)
def test_any_text_has_a_meaning(profile: Profile, first: str, second: str):
    check_invariants(first, second, profile)


def test_ten_thousand_random_orders_of_tags():
    """Seeded; short soups, so that some of them are valid: the last line shows that both kinds were
    met."""
    draw = random.Random(20250713)
    valid = {1: 0, 2: 0}
    for _ in range(10_000):
        first, second = (
            "".join(draw.choices(FRAGMENTS, k=draw.choice((1, 1, 1, 2, 4, 8)))) for _ in range(2)
        )
        profile = draw.choice(list(PROFILES.values()))
        check_invariants(first, second, profile)
        valid[1] += format_valid([first], profile)
        valid[2] += format_valid([first, second], profile)
    assert min(valid.values()) > 0


MILLION = [
    "<think>" * 150_000,
    "</think>" * 130_000,
    "<think></think>" * 70_000,
    "</think><think>" * 70_000,
    "<think></think><answer>" * 45_000,
    "<answer>" * 130_000,
    "<answer></answer>" * 60_000,
    "<tool_call>" * 90_000,
    CALL * 12_000,
    call("{") * 40_000,
    "<tool_call>{" * 80_000,
    "<resize>" * 130_000,
    "\\boxed{" * 150_000,
    "\\boxed{" * 75_000 + "}" * 75_000,
    "\\boxed{}" * 120_000,
    "{" * 1_000_000,
    "}" * 1_000_000,
    "[" * 1_000_000,
    "<|" * 500_000,
    "<|a" * 330_000,
    "<|a|>" * 200_000,
    " " * 1_000_000,
    "<think>" + " " * 1_000_000 + "</think>",
    "<tool_call>" + " " * 1_000_000 + GOOD,
    "<" * 1_000_000,
    "a" * 1_000_000,
]


@pytest.mark.parametrize("text", MILLION, ids=[text[:24].strip() or "blank" for text in MILLION])
def test_a_million_characters(text: str):
    for profile in (AGENT, GENERAL, RESIZE):
        parse_reply(text, profile)
        format_valid([text], profile)
        format_valid([text, text], profile)
    parse_reply(f"<think>{text}", AGENT)
    parse_reply(f"<answer>{text}", AGENT)
    read_call(text, AGENT)
    unbox(text)
    plain_text(text)
