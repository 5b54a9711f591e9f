"""Whether a prediction contains the ground truth: a hint that a wrong answer may be right.

It is only a hint: "not red" contains "red". A metric that wants the answer alone may have scored a
whole sentence, and then figures and advice that follow from its scores mean little.
"""

from __future__ import annotations

from collections.abc import Sequence

MINUS = "-\u2212"


def mentions(answers: Sequence[str], prediction: str) -> bool:
    """Whether one of the answers stands in the prediction as whole words and numbers.

    Case and spacing make no difference, except for an answer of one letter, which must be written
    as it is and not be an article: "A" is not in "a cat" and "A cat". 1 is in "1.", but neither in
    10, -1, 1.5, 1,000 nor 1/2.
    """
    said = " ".join(prediction.split())
    return any(_within(" ".join(answer.split()), said) for answer in answers if answer.strip())


def _within(answer: str, said: str) -> bool:
    letter = len(answer) == 1 and answer.isalpha()
    if not letter:
        answer, said = answer.casefold(), said.casefold()
    at = said.find(answer)
    while at >= 0:
        end = at + len(answer)
        before, after = said[max(0, at - 2) : at], said[end : end + 2]
        if _apart(before[::-1], answer[0]) and _apart(after, answer[-1]):
            article = letter and answer in "AaI" and after[:1] == " " and after[1:].islower()
            if not article:
                return True
        at = said.find(answer, end)
    return False


def _apart(around: str, edge: str) -> bool:
    """Whether what is around an answer, outwards from its edge, is not part of its word."""
    if not around or not (edge.isalnum() or edge == "_"):
        return True
    if around[0].isalnum() or around[0] == "_":
        return False
    if not edge.isdigit():
        return True
    if around[0] in MINUS and not around[1:].strip():
        return False  # a sign, and not a dash between two numbers
    return not (around[0] in ".,/:" and around[1:].isdigit())
