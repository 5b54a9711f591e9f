"""YAML, `--set` and the errors of one line, on a small model of its own."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import BaseModel, ConfigDict

from visionthink.core.errors import UsageError
from visionthink.settings import (
    apply_sets,
    checked,
    did_you_mean,
    model_in,
    parse_yaml,
    read_yaml,
)


class Inner(BaseModel):
    model_config = ConfigDict(extra="forbid")
    size: int = 1


class Outer(BaseModel):
    model_config = ConfigDict(extra="forbid")
    name: str
    inner: Inner | None = None


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-6", 1e-6),  # PyYAML alone makes text of it
        ("5E-5", 5e-5),
        ("2.5e+3", 2500.0),
        (".5e1", 5.0),
        ("1e6x", "1e6x"),
        ("-3", -3),
        ("true", True),
        ("no", "no"),  # as in save_strategy
        ("off", "off"),
        ("null", None),
        ("[1, a]", [1, "a"]),
        ("{a: 1}", {"a": 1}),
        ("", None),
    ],
)
def test_values_of_sets_are_yaml(text: str, value: object):
    assert parse_yaml(text, "here") == value
    assert type(parse_yaml(text, "here")) is type(value)


def test_sets_apply_in_order_and_leave_the_given_options_alone():
    given = {"a": {"b": 1, "c": 2}, "d": 3}
    result = apply_sets(given, ["a.b=5", "e.f.g=[x]", "a.b=7", "d="])
    assert result == {"a": {"b": 7, "c": 2}, "d": None, "e": {"f": {"g": ["x"]}}}
    assert given == {"a": {"b": 1, "c": 2}, "d": 3}


def test_a_value_may_hold_an_equals_sign():
    assert apply_sets({}, ["url=http://a?b=c"]) == {"url": "http://a?b=c"}


@pytest.mark.parametrize(
    ("item", "message"),
    [
        ("seed", "--set: expected key=value, such as seed=7; got 'seed'"),
        ("=7", "--set: expected key=value, such as seed=7; got '=7'"),
        ("a..b=7", "--set: expected key=value, such as seed=7; got 'a..b=7'"),
        ("d.x.y=7", "--set d.x.y: d is 3, which has no options"),
    ],
)
def test_broken_sets_are_refused(item: str, message: str):
    with pytest.raises(UsageError) as caught:
        apply_sets({"d": 3}, [item])
    assert str(caught.value) == message


def test_broken_yaml_names_its_line(tmp_path: Path):
    path = tmp_path / "a.yaml"
    path.write_text("a: 1\nb: [1\nc: 2\n", encoding="utf-8")
    with pytest.raises(UsageError, match=r"a\.yaml, line 3: not valid YAML: "):
        read_yaml(path)


@pytest.mark.parametrize("text", ["", "- a\n", "word\n"])
def test_a_file_must_hold_a_mapping(tmp_path: Path, text: str):
    path = tmp_path / "a.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(UsageError, match="expected a mapping of options, got"):
        read_yaml(path)


def test_a_file_that_is_not_text_is_refused(tmp_path: Path):
    path = tmp_path / "a.yaml"
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(UsageError, match=r"cannot read config .*a.yaml': it is not UTF-8$"):
        read_yaml(path)
    with pytest.raises(UsageError, match=r"': Is a directory$"):
        read_yaml(tmp_path)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"nam": "x"}, "f: name: is missing"),
        ({"name": "x", "iner": 1}, "f: iner: is not an option; did you mean inner?"),
        (
            {"name": "x", "inner": {"sise": 1}},
            "f: inner.sise: is not an option; did you mean inner.size?",
        ),
        (
            {"name": "x", "inner": {"zzz": 1}},
            "f: inner.zzz: is not an option; expected one of inner.size",
        ),
        ({"name": "x", "inner": "x"}, "f: inner: expected options, such as {key: value}; got 'x'"),
        ({"name": 3}, "f: name: input should be a valid string; got 3"),
        (
            {"name": "x", "inner": {"size": "big"}},
            "f: inner.size: input should be a valid integer, unable to parse string as an integer; "
            "got 'big'",
        ),
    ],
)
def test_errors_are_one_line_with_the_path_of_keys(options: dict[str, object], message: str):
    with pytest.raises(UsageError) as caught:
        checked(Outer, options, "f")
    assert str(caught.value) == message


def test_many_names_without_a_near_one_are_not_listed():
    assert did_you_mean("zzz", [f"name{n}" for n in range(21)]) == ""


def test_the_model_in_an_annotation():
    assert model_in(Inner) is Inner
    assert model_in(Inner | None) is Inner
    assert model_in(int | None) is None
