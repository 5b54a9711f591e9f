"""LaTeX and what it says in plain text."""

from __future__ import annotations

import pytest

from visionthink.judges.latex import is_latex, plain

PLAIN = [
    (r"\frac{1}{12}", "1/12"),
    (r"\dfrac{3}{4}", "3/4"),
    (r"\frac34", "3/4"),
    (r"1\frac{1}{2}", "1 1/2"),
    (r"$28\%$", "28%"),
    (r"$30^\circ$", "30\N{DEGREE SIGN}"),
    (r"30^{\circ}", "30\N{DEGREE SIGN}"),
    (r"\boxed{\text{B}}", "B"),
    (r"\text{red}", "red"),
    (r"5\text{ cm}", "5 cm"),
    (r"\$5", "$5"),
    ("$5$", "5"),
    ("$$5$$", "5"),
    (r"\(5\)", "5"),
    (r"\[5\]", "5"),
    (r"2\times 3", "2\N{MULTIPLICATION SIGN} 3"),
    (r"\infty", "\N{INFINITY}"),
    (r"-\infty", "-\N{INFINITY}"),
    (r"2\pi", "2\N{GREEK SMALL LETTER PI}"),
    (r"\sqrt{2}", "\N{SQUARE ROOT}2"),
    (r"\sqrt{x+1}", "\N{SQUARE ROOT}(x+1)"),
    ("x^{2}", "x^2"),
    (r"1{,}000", "1,000"),
    (r"\left(1, 2\right)", "(1, 2)"),
    ("costs $5", "costs $5"),
    ("red", "red"),
]


@pytest.mark.parametrize(("text", "expected"), PLAIN)
def test_commands_are_written_out(text, expected):
    assert plain(text) == expected


LATEX = [
    (r"\frac{1}{2}", True),
    ("$x$", True),
    (r"28\%", True),
    ("x^{2}", True),
    (r"\(5\)", True),
    ("$5", False),
    ("x^2", False),
    ("{1, 2}", False),
    ("red", False),
    ("", False),
]


@pytest.mark.parametrize(("text", "expected"), LATEX)
def test_what_is_latex(text, expected):
    assert is_latex(text) is expected
