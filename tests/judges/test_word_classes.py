"""Words of closed classes."""

from __future__ import annotations

import pytest

from visionthink.judges.word_classes import exclusive, rows_of, same_name, words

EXCLUSIVE = [
    ("red", "blue", True),
    ("red", "red", False),
    ("red", "crimson", False),
    ("purple", "violet", False),
    ("left", "right", True),
    ("left", "above", True),
    ("monday", "tue", True),
    ("mon", "mondays", False),
    ("cat", "dogs", True),
    ("cat", "kitten", False),
    ("puppy", "kittens", True),
    ("red", "cat", False),
    ("orange", "apple", True),
    ("orange", "red", True),
    ("xyz", "xyz", False),
    ("march", "may", True),
]


@pytest.mark.parametrize(("first", "second", "expected"), EXCLUSIVE)
def test_names_of_one_class_exclude_each_other(first, second, expected):
    assert exclusive(first, second) is expected
    assert exclusive(second, first) is expected


SAME = [
    ("car", "automobile", True),
    ("mar", "march", True),
    ("big", "large", True),
    ("red", "blue", False),
    ("dog", "cat", False),
    ("xyz", "xyz", False),
    ("left", "leftward", False),  # left is in two classes
]


@pytest.mark.parametrize(("first", "second", "expected"), SAME)
def test_names_of_one_thing(first, second, expected):
    assert same_name(first, second) is expected


def test_no_two_names_of_one_thing_exclude_each_other():
    for word in ("grey", "gray", "autumn", "bike", "orange", "left"):
        assert not exclusive(word, word)


def test_a_word_of_two_classes_is_in_both():
    assert len(rows_of("orange")) == 2
    assert rows_of("red") < rows_of("orange")
    assert rows_of("xyz") == set()


def test_words_of_a_table():
    assert words("a b  a\nc") == {"a", "b", "c"}
