"""Pairs of truth and prediction, made by rules, on which metrics are compared with lmms-eval's.

Each pair is of a *kind*. Where a metric of ours differs on purpose, `right` is what it must score.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

WORDS = (
    "red",
    "Blue",
    "Acme Ltd",
    "north-west",
    "$5",
    "1,200",
    "Straße",
    "naïve",
    "14 May 2019",
    "x",
)
OPTIONS = {"A": "red", "B": "light blue", "C": "42", "D": "none of these"}
QUESTION = "Which one?\nA. red\nB. light blue\nC. 42\nD. none of these"


@dataclass(frozen=True)
class Pair:
    """A truth and a prediction for one of lmms-eval's tasks and the metric that is ours for it."""

    task: str
    metric: str
    kind: str
    answers: tuple[str, ...]
    prediction: str
    right: float | None = None
    question: str = ""
    options: dict[str, str] = field(default_factory=dict[str, str])


def _number(lot: random.Random) -> str:
    return lot.choice(
        [
            str(lot.randint(1, 2100)),
            f"{lot.uniform(0, 200):.2f}",
            f"{lot.uniform(0, 100):.1f}%",
            f"-{lot.randint(1, 99)}",
            "0",
            f"{lot.randint(1, 9)}e{lot.randint(1, 3)}",
        ]
    )


def _near(text: str, lot: random.Random) -> str:
    """A number moved by up to 8 %."""
    value = float(text.rstrip("%")) * (1 + lot.uniform(-0.08, 0.08))
    return f"{value:.3f}" + ("%" if text.endswith("%") and lot.random() < 0.8 else "")


def _typos(text: str, count: int, lot: random.Random) -> str:
    for _ in range(count):
        at = lot.randrange(len(text) + 1)
        text = lot.choice(
            [text[:at] + lot.choice("aeinrst") + text[at:], text[:at] + text[at + 1 :]]
        )
    return text or "x"


def chartqa(lot: random.Random) -> Iterator[Pair]:
    def pair(kind: str, answer: str, said: str, right: float | None = None) -> Pair:
        return Pair("chartqa", "relaxed", kind, (answer,), said, right)

    for _ in range(600):
        number = _number(lot)
        yield pair("numbers", number, lot.choice([number, _near(number, lot), _number(lot)]))
        word = lot.choice(WORDS)
        yield pair(
            "texts", word, lot.choice([word.upper(), word.lower(), lot.choice(WORDS), number])
        )
    for _ in range(40):
        word = lot.choice(WORDS)
        yield pair("spaces around", word, f" {word}\n", 1)
    for text in ("nan", "inf", "-inf", "Infinity") * 5:
        yield pair("inf and nan", text, text.upper(), 1)


def chartqapro(lot: random.Random) -> Iterator[Pair]:
    def pair(kind: str, answer: str, said: str, right: float | None = None) -> Pair:
        return Pair("chartqapro", "relaxed_list", kind, (answer,), said, right)

    for _ in range(300):
        number = _number(lot)
        if len(number) == 4 and number.isdigit():
            continue
        yield pair("numbers", number, lot.choice([number, _near(number, lot), _number(lot)]))
        word = lot.choice(WORDS)
        yield pair("texts", word, _typos(word.lower(), lot.randint(0, 3), lot))
        year = str(lot.randint(1900, 2099))
        yield pair("years", year, lot.choice([year, str(int(year) + 1)]))
        items = [lot.choice(["Rome", "Oslo", "2019", "4.5", "7"]) for _ in range(lot.randint(2, 4))]
        said = [item if lot.random() < 0.7 else "Bern" for item in items]
        said = said[:-1] if lot.random() < 0.2 else said
        yield pair("lists", str(items), str(said))


def docvqa(lot: random.Random) -> Iterator[Pair]:
    def pair(kind: str, answers: tuple[str, ...], said: str, right: float | None = None) -> Pair:
        return Pair("docvqa", "anls", kind, answers, said, right)

    for _ in range(600):
        answers = tuple(lot.sample(WORDS, lot.randint(1, 3)))
        said = _typos(lot.choice(answers), lot.randint(0, 5), lot)
        said = " ".join(lot.choice([said, said.upper(), said.lower()]).split()) or "x"
        yield pair("texts", answers, said)
    for word in ("Acme Ltd", "14 May 2019", "two big dogs") * 20:
        gap = " " * lot.randint(2, 9)
        said = word[:-1].replace(" ", gap)
        yield pair("repeated spaces", (word,), said, 1 - 1 / len(word))


def ocrbench(lot: random.Random) -> Iterator[Pair]:
    for _ in range(600):
        answers = tuple(lot.sample(WORDS, lot.randint(1, 2)))
        said = lot.choice([f"It says {answers[0]}.", answers[0].upper(), lot.choice(WORDS)])
        wide = "".join(chr(ord(c) + 0xFEE0) if "!" <= c <= "~" else c for c in said)
        said = lot.choice([said, said.replace(" ", "\n"), wide, f"  {said} "])
        yield Pair("ocrbench", "contains", "texts", answers, said)
        formula = lot.choice(["x ^ { 2 } + 1", r"\frac { a } { b }", "X = 3 y"])
        said = lot.choice(
            [formula, formula.replace(" ", ""), f"$ {formula} $", formula.lower(), "x"]
        )
        yield Pair("ocrbench_formula", "contains_formula", "formulas", (formula,), said)


VQA = (
    *("maroon", "red", "Red.", "the red", "two", "2", "none", "0", "can't", "cant", "don't know"),
    *("Joe's", "joes", "1,000", "1000", "3.5", "p.m.", "stop!", "yes, it is", "t-shirt", "t shirt"),
    *("black/white", "black / white", "a dog", "dog", "U.S.A.", "new\nyork", "new york", "ok?"),
    *(
        "youve won",
        "you've won",
        "she's",
        "(left)",
        "left",
        "10 o'clock",
        "10 oclock",
        '"hi"',
        "an",
    ),
)


def vqa(lot: random.Random) -> Iterator[Pair]:
    for _ in range(700):
        few = lot.sample(VQA, lot.randint(1, 4))
        answers = tuple(lot.choice(few) for _ in range(10))
        said = lot.choice([*answers[:3], lot.choice(VQA)])
        said = lot.choice([said, said.upper(), f" {said}"])
        yield Pair("textvqa", "vqa", "ten answers", answers, said)
        yield Pair("vqav2", "vqa", "ten answers", answers, said)
    for word in ("red", "two", "stop!") * 10:
        yield Pair("textvqa", "vqa", "a single answer", (word,), word.upper(), 1)


YES_NO = ("yes", "no")


def yes_no(lot: random.Random) -> Iterator[Pair]:
    def both(kind: str, answer: str, said: str, *tasks: str, right: float | None = None):
        for task in tasks:
            yield Pair(task, "yes_no", kind, (answer,), said, right, question="Is there a dog?")

    for _ in range(600):
        answer, said = lot.choice(YES_NO), lot.choice(YES_NO)
        plain = lot.choice([said, said.upper(), said.capitalize(), f" {said}\n"])
        yield from both("one word", answer, plain, "pope", "mme")
    for _ in range(100):
        answer, said = lot.choice(YES_NO), lot.choice(YES_NO)
        right = float(answer == said)
        yield from both("full stop", answer, f"{said.capitalize()}.", "mme")
        yield from both("full stop", answer, f"{said.capitalize()}.", "pope", right=right)
        sentence = "Yes, there is." if said == "yes" else "No, there is not."
        yield from both("sentence", answer, sentence, "mme")
        yield from both("sentence", answer, sentence, "pope", right=right)
        yield from both("lead-in", answer, f"The answer is {said}.", "pope", "mme", right=right)
        other = lot.choice(["maybe", "a cat", "It is unclear"])
        yield from both("neither", answer, other, "pope", "mme")
    for word in ("Nothing", "Not sure", "None", "Unknown", "n", "y") * 5:
        for answer in YES_NO:
            yield from both("begins like no or yes", answer, word, "mme", right=0)


def choice(lot: random.Random) -> Iterator[Pair]:
    def both(kind: str, answer: str, said: str, right: float | None = None) -> Iterator[Pair]:
        for task in ("realworldqa", "mmmu"):
            yield Pair(task, "choice", kind, (answer,), said, right, QUESTION, OPTIONS)

    forms: tuple[Callable[[str], str], ...] = (
        lambda letter: letter,
        lambda letter: f"{letter}.",
        lambda letter: f"({letter})",
        lambda letter: f" {letter} ",
        lambda letter: f"({letter}) {OPTIONS[letter]}",
        lambda letter: f"{letter}. {OPTIONS[letter]}",
        lambda letter: f"The answer is {letter}",
        lambda letter: f"The answer is ({letter}).",
    )
    for _ in range(600):
        answer, said = lot.choice("ABCD"), lot.choice("ABCD")
        yield from both("letter", answer, lot.choice(forms)(said))
    for _ in range(60):
        answer, said = lot.choice("ABCD"), lot.choice("ABCD")
        right = float(answer == said)
        yield from both("small letter", answer, said.lower(), right)
        yield from both("text of an option", answer, OPTIONS[said], right)
        two = f"{said} or {lot.choice([x for x in 'ABCD' if x != said])}"
        yield from both("two letters", answer, two, 0)
        yield from both("no letter", answer, "I cannot tell", 0)


def pairs(seed: int = 0) -> list[Pair]:
    lot = random.Random(seed)
    makers = (chartqa, chartqapro, docvqa, ocrbench, vqa, yes_no, choice)
    return [pair for make in makers for pair in make(lot)]
