"""What is too much is found before it is parsed; what clients send is not too much."""

from __future__ import annotations

import json
import tracemalloc
from typing import Any

import pytest

from serving import attacks
from visionthink.serving.json_bounds import MAX_DEPTH, MAX_ESCAPES, MAX_VALUES, json_problem

CHARACTERS = 1000


def problem(value: Any, **options: Any) -> str | None:
    return json_problem(json.dumps(value, **options).encode(), CHARACTERS)


@pytest.mark.parametrize("name", attacks.BODIES)
def test_1_json_that_is_too_much_is_refused_before_it_is_parsed(name: str):
    """With at most twice the memory of the text: a parser takes dozens of times as much."""
    body = attacks.BODIES[name](3 * attacks.MIB)
    tracemalloc.start()
    found = json_problem(body, CHARACTERS)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert found is not None
    assert peak < 2.5 * len(body)


@pytest.mark.parametrize(
    "text",
    [b"[" * 10**6, b"]" * 10**6, b"}" * 10**6, b"," * 10**6, b'"' * 10**6, b"{[,]}" * 10**5],
)
def test_text_that_is_no_json_is_bounded_too(text: bytes):
    assert json_problem(text, CHARACTERS) is not None


def test_the_limits_are_exact():
    values: list[Any] = [0] * MAX_VALUES
    assert problem(values) is None
    assert problem([[]] * MAX_VALUES) is not None
    nested: Any = 0
    for _ in range(MAX_DEPTH):
        nested = [nested]
    assert problem(nested) is None
    assert problem([nested]) == "it is nested more than 100 levels deep"
    assert json_problem(b"[" + b"9" * 400 + b"]", CHARACTERS) is None
    assert json_problem(b"[" + b"9" * 401 + b"]", CHARACTERS) is not None


def test_what_stands_in_a_text_does_not_count():
    """A prompt of JSON, of code, of quotes and backslashes; an image with escaped slashes."""
    for text in ("{[,]}" * MAX_VALUES, '"' * MAX_VALUES, "\\" * 1000, '\\"' * 1000, "9" * 10**5):
        assert problem({"content": text}) is None
    image = json.dumps({"url": "/" * MAX_ESCAPES}).replace("/", "\\/").encode()
    assert json_problem(image, CHARACTERS) is None
    assert json_problem(image.replace(b"\\/", b"\\/\\/", 1), CHARACTERS) is not None


def test_text_beyond_ascii_has_its_own_limit():
    """Each character may take 4 bytes in memory; plain ASCII, such as an image, takes 1."""
    assert problem({"content": "é" * CHARACTERS}) is None
    assert problem({"content": "é" * CHARACTERS}, ensure_ascii=False) is None
    assert problem({"url": "a" * 10**6}) is None
    assert problem({"url": "a" * 10**6 + "é"}) == "it has a text of more than 1,000 characters"
    assert problem({"url": "a" * 10**6 + "é"}, ensure_ascii=False) is not None
