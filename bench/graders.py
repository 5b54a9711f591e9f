"""Graders to compare our rules with: (question, answer, prediction) → True, False or None.

None: the grader says that it cannot tell. Written from what the sources do, as of November 2026;
the docstrings name them. A peer gets multiple choice as it wants it: letters and texts apart.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from visionthink.judges.rules import Rules

Grader = Callable[[str, str, str], bool | None]


def ours() -> Grader:
    """The rules as they are by default; with Math-Verify where it is installed."""
    rules = Rules()
    return lambda question, answer, prediction: rules.decide(question, (answer,), prediction)


def ours_without_maths() -> Grader | None:
    """As after an installation without the extra, whatever is installed here."""
    try:
        from visionthink.judges import mathematics
    except ImportError:
        return None
    grade = ours()

    def without(question: str, answer: str, prediction: str) -> bool | None:
        kept, mathematics.find_spec = mathematics.find_spec, lambda name: None
        try:
            return grade(question, answer, prediction)
        finally:
            mathematics.find_spec = kept

    return without


def exact_match(question: str, answer: str, prediction: str) -> bool:
    """Equal but for case and spaces around."""
    return answer.strip().lower() == prediction.strip().lower()


def lmms_eval(question: str, answer: str, prediction: str) -> bool | None:
    """POPE for yes/no, MMMU's parser for multiple choice, ChartQA's relaxed match for the rest.

    lmms_eval/tasks/{pope/utils.py, _task_utils/mmmu_mcq_utils.py, chartqa/utils.py}. Where the
    parser finds no letter it guesses one at random: None here.
    """
    if answer.strip().lower() in ("yes", "no"):
        return exact_match(question, answer, prediction)
    if options := options_of(question, answer):
        said = _mmmu_letter(prediction, options)
        return None if said is None else said == _letter(answer, options)
    return _relaxed(answer, prediction)


def vlmevalkit(question: str, answer: str, prediction: str) -> bool | None:
    """YOrN for yes/no, its inference for multiple choice, ChartQA and VQA matching for the rest.

    vlmeval/{dataset/utils/yorn.py, utils/matching_util.py, dataset/utils/vqa_eval.py}. What its
    inference leaves to a model is None here.
    """
    if answer.strip().lower() in ("yes", "no"):
        words = set(_unpunctuated(prediction.lower()).split()) & {"yes", "no"}
        return words.pop() == answer.strip().lower() if len(words) == 1 else None
    if options := options_of(question, answer):
        said = _inferred_letter(prediction, options)
        return None if said is None else said == _letter(answer, options)
    if _number(answer) is not None:
        return _relaxed(answer, prediction.strip())
    return _vqa_words(answer) == _vqa_words(prediction)


def math_verify() -> Grader | None:
    """Math-Verify 0.9.0 alone, with its own extraction; None where it reads no expression.

    Its time-outs (5 s) need the main thread.
    """
    try:
        from math_verify import parse, verify
    except ImportError:
        return None

    def grade(question: str, answer: str, prediction: str) -> bool | None:
        truth = parse(answer)
        said = parse(prediction)
        if not truth or not said:
            return None
        return verify(truth, said)

    return grade


GRADERS: dict[str, Callable[[], Grader | None]] = {
    "ours": ours,
    "ours without maths": ours_without_maths,
    "lmms-eval": lambda: lmms_eval,
    "VLMEvalKit": lambda: vlmevalkit,
    "math-verify": math_verify,
    "exact match": lambda: exact_match,
}
"""Name → what makes it; None where a package or a switch is missing."""


# Parts of the peers


def options_of(question: str, answer: str) -> dict[str, str]:
    """Letter → text, as a data set would store them; empty if the answer is none of them."""
    marks = [
        (mark[1].upper(), mark.start(), mark.end())
        for mark in re.finditer(r"(?<!\S)[(\[]?([A-Ja-j])[).\]:]\s+", question)
    ]
    listed: list[tuple[str, int, int]] = []
    for letter, begin, end in marks:
        if letter == chr(ord("A") + len(listed)):
            listed.append((letter, begin, end))
    if len(listed) < 2:
        return {}
    ends = [begin for _, begin, _ in listed[1:]] + [len(question)]
    options = {
        letter: question[end:stop].split("\n")[0].strip(" ,;.")
        for (letter, _, end), stop in zip(listed, ends, strict=True)
    }
    return options if _letter(answer, options) else {}


def _letter(answer: str, options: dict[str, str]) -> str | None:
    letter = answer.strip().strip("()[].").upper()
    if letter in options:
        return letter
    return next((key for key, text in options.items() if exact_match("", text, answer)), None)


def _mmmu_letter(reply: str, options: dict[str, str]) -> str | None:
    """The last letter in brackets, else before a space, else before a full stop; else a text."""
    text = f" {reply.strip(',.!?;:' + chr(39))} "
    for form in ("({})", "{} ", "{}."):
        found = {letter: text.rfind(form.format(letter)) for letter in options}
        found = {letter: place for letter, place in found.items() if place >= 0}
        if found:
            return max(found, key=lambda letter: found[letter])
    if len(text.split()) <= 5:
        return None
    found = {letter: text.lower().rfind(words.lower()) for letter, words in options.items()}
    found = {letter: place for letter, place in found.items() if place >= 0}
    return max(found, key=lambda letter: found[letter]) if found else None


def _inferred_letter(reply: str, options: dict[str, str]) -> str | None:
    """The only letter among the words, near the end; else "answer is B"; else the only text."""
    words = re.sub(r"[.()\[\],:;!*#{}]", " ", reply).split()
    letters = [letter for letter in options if letter in words]
    if len(letters) == 1 and words.index(letters[0]) > len(words) - 5:
        return letters[0]
    stated = re.search(r"(?:correct\s+)?answer\s+is\s+\**([ABCD])\**", reply, re.IGNORECASE)
    if stated and stated[1].upper() in options:
        return stated[1].upper()
    if len(reply) > 2 * sum(map(len, options.values())):
        return None
    texts = [letter for letter, text in options.items() if text.lower() in reply.lower()]
    return texts[0] if len(texts) == 1 else None


def _number(text: str) -> float | None:
    try:
        return float(text.rstrip("%")) / 100 if text.endswith("%") else float(text)
    except ValueError:
        return None


def _relaxed(answer: str, prediction: str) -> bool:
    """Numbers within 5 %, other texts equal but for case."""
    truth, said = _number(answer), _number(prediction)
    if truth and said is not None:
        return abs(said - truth) <= 0.05 * abs(truth)
    return answer.lower() == prediction.lower()


def _unpunctuated(text: str) -> str:
    """A mark next to a space, or in a text with a thousands comma, goes; others become a space."""
    joined = re.search(r"\d,\d", text) is not None
    found = text
    for mark in ';/[]"{}()=+\\_-><@`,?!':
        beside_space = f"{mark} " in text or f" {mark}" in text
        found = found.replace(mark, "" if joined or beside_space else " ")
    return re.sub(r"(?<!\d)\.(?!\d)", "", found)


_DIGITS = {
    word: str(number)
    for number, word in enumerate(
        ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
    )
}


def _vqa_words(text: str) -> list[str]:
    """Words without marks and articles, number words up to ten as digits, none as 0."""
    words = _unpunctuated(text.strip()).lower().split()
    words = ["zero" if word == "none" else word for word in words]
    return [_DIGITS.get(word, word) for word in words if word not in ("a", "an", "the")]
