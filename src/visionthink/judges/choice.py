"""Multiple choice: which option of a question a text picks."""

from __future__ import annotations

import re
from collections.abc import Mapping

from visionthink.judges.text import bare, normal

_LISTED = re.compile(r"(?:^|(?<=[\s,;:?]))(?:\(([A-J])\)|([A-J])[.):])(?=\s)", re.MULTILINE)
_LETTER = re.compile(r"(?:(?:option|choice)\s+)?[(\[]?([A-Ja-j])[)\]]?[.:)]?", re.IGNORECASE)
_LETTER_AND_TEXT = re.compile(
    r"(?:(?:option|choice)\s+)?(?:[(\[]([A-J])[)\]][.:]?|([A-J])[.:)])\s+(.*)",
    re.DOTALL | re.IGNORECASE,
)


def options_in(question: str) -> dict[str, str]:
    """Letter → text of the options that a question lists as "A. …", "(A) …", "A) …" or "A: …".

    Empty unless they start at A, go on without a gap and are two at least.
    """
    found: list[tuple[str, int, int]] = []
    for mark in _LISTED.finditer(question):
        letter = mark[1] or mark[2]
        if letter == "A":
            found = []
        if letter == chr(ord("A") + len(found)):
            found.append((letter, mark.start(), mark.end()))
    if len(found) < 2:
        return {}
    ends = [start for _, start, _ in found[1:]] + [len(question)]
    options = {
        letter: question[begin:end].strip(" \t\r\n,;")
        for (letter, _, begin), end in zip(found, ends, strict=True)
    }
    last = found[-1][0]
    options[last] = options[last].split("\n")[0].strip(" \t\r,;")
    return options


def letter_of(text: str, options: Mapping[str, str]) -> str | None:
    """The letter that `text` picks; None if it picks none, or its letter and its text disagree."""
    for form in (text.strip(), bare(text)):
        if lone := _LETTER.fullmatch(form):
            return _known(lone[1].upper(), options)
        by_text = [
            letter
            for letter, option in options.items()
            if option and normal(option) == normal(form)
        ]
        if len(by_text) == 1:
            return by_text[0]
        if both := _LETTER_AND_TEXT.fullmatch(form):
            letter = (both[1] or both[2]).upper()
            others = [option for other, option in options.items() if other != letter]
            if normal(both[3]) in map(normal, others):
                return None
            return _known(letter, options)
    return None


def _known(letter: str, options: Mapping[str, str]) -> str | None:
    return letter if not options or letter in options else None
