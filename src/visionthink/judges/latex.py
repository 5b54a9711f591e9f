r"""LaTeX and what it says in plain text: "\frac{1}{12}" is 1/12, "$28\%$" is 28%."""

# people type these:
# ruff: noqa: RUF001

from __future__ import annotations

import re
from functools import lru_cache

_STEPS = [
    (re.compile(form), put)
    for form, put in (
        (r"\\(?:left|right|displaystyle|big|Big|bigl|bigr|,|;|!|:| )", ""),
        (r"(?<=[0-9])\s*(?=\\[dtc]?frac)", " "),
        (r"\\[dtc]?frac\s*\{([^{}]*)\}\s*\{([^{}]*)\}", r"\1/\2"),
        (r"\\[dtc]?frac\s*([0-9])\s*([0-9])", r"\1/\2"),
        (r"\\(?:text|mathrm|textbf|mathbf|textit|mbox|operatorname)\s*\{([^{}]*)\}", r" \1 "),
        (r"\^\s*\{?\s*\\circ\s*\}?|\\degree", "°"),
        (r"\\boxed\s*\{([^{}]*)\}", r"\1"),
        (r"\\([%$&#_{}])", r"\1"),
        (r"\\(?:times|cdot)(?![a-zA-Z])", "×"),
        (r"\\(?:pm)(?![a-zA-Z])", "±"),
        (r"\\(?:infty)(?![a-zA-Z])", "∞"),
        (r"\\(?:pi)(?![a-zA-Z])", "π"),
        (r"\\sqrt\s*\{(\w+)\}", r"√\1"),
        (r"\\sqrt\s*\{([^{}]*)\}", r"√(\1)"),
        (r"\\(ln|log|sin|cos|tan|exp)(?![a-zA-Z])", r"\1"),
        (r"\^\{(-?[0-9a-z])\}", r"^\1"),
        (r"\{,\}", ","),
    )
]
_DOLLARS = re.compile(
    r"^\$\$?(?P<body>[^$]+)\$\$?$|^\\\((?P<round>.+)\\\)$|^\\\[(?P<square>.+)\\\]$"
)
_INLINE = re.compile(r"\$(?=[^$\s][^$]*[\\^_={]|[0-9.,]+\$)([^$]*)\$")
_MARKS = re.compile(r"\\[a-zA-Z,;! ]+|\\[%$()\[\]]|\^\{|\$[^$\s][^$]*\$")


def is_latex(text: str) -> bool:
    return ("\\" in text or "$" in text or "{" in text) and bool(_MARKS.search(text))


@lru_cache(maxsize=4096)
def plain(text: str) -> str:
    """`text` with simple commands written out, and without dollar signs around a formula."""
    text = text.strip().rstrip(".")
    if whole := _DOLLARS.match(text):
        text = whole["body"] or whole["round"] or whole["square"]
    else:
        text = _INLINE.sub(r"\1", text)
    for form, put in _STEPS:
        text = form.sub(put, text)
    return " ".join(text.split())
