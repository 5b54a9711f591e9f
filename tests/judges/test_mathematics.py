"""Expressions that are equal in mathematics, compared by the real Math-Verify in its process."""

from __future__ import annotations

import pytest

from visionthink.judges.mathematics import same_expression, same_in_text

EXPRESSIONS = [
    (r"\frac{\sqrt{2}}{2}", r"1/\sqrt{2}", True),
    ("x^2-1", "(x-1)(x+1)", True),
    (r"\sqrt{2}", "\N{SQUARE ROOT}2", True),
    ("x = 5", "5", True),
    ("x^2", "x^3", False),
    (r"\sqrt{2}", r"-\sqrt{2}", False),
    (r"\frac{1}{2}", r"\frac{1}{3}", False),
    ("f(x)", "F(x)", None),
    ("f(x)", "f'(x)", None),
    ("[0, 1)", "(0, 1]", None),
    ("x+1", "red", None),
    ("$5", "\N{EURO SIGN}5", None),
    (r"5\%", "5", None),
    ("5", "5", None),
    ("x" * 401 + "^2", "x", None),
]


@pytest.mark.parametrize(("truth", "said", "expected"), EXPRESSIONS)
def test_two_expressions(truth, said, expected):
    assert same_expression(truth, said) is expected


TEXTS = [
    (r"$\frac{1}{2}$", r"We get $x = \frac{2}{4}$", True),
    (r"$\frac{1}{2}$", r"So it is \boxed{\frac{1}{3}}", False),
    (r"5\%", r"\boxed{5}", None),
    ("$[0, 1)$", "$(0, 1]$", False),
]


@pytest.mark.parametrize(("truth", "said", "expected"), TEXTS)
def test_answers_in_two_texts(truth, said, expected):
    assert same_in_text(truth, said) is expected


@pytest.mark.slow
def test_a_comparison_that_is_late_cannot_be_told_and_the_next_one_can():
    assert same_expression("9^{9^{9^{9}}}", "x^{2}") is None
    assert same_expression("x^{2}+1", "1+x^{2}") is True


def test_a_long_text_without_formulas_is_not_compared():
    assert same_in_text(r"$\frac{1}{2}$", "a" * 4_000) is None
