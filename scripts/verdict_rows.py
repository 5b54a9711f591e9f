"""The generated part of the labelled set of verdicts. Rows that people wrote stay as they are.

    python scripts/verdict_rows.py           # rewrites the generated rows of the file
    python scripts/verdict_rows.py --check   # exit code 1 if the file is not what this script makes

A family draws a question with its answer and makes predictions that are right or wrong by
construction: another spacing, case or notation and a sentence around it keep an answer right;
another digit, sign, unit, letter, option, order or polarity makes it wrong.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

FILE = Path(__file__).parents[1] / "src/visionthink/judges/labelled/verdicts.jsonl"
SEED = 12
SAMPLES = 15
"""Questions per family; each gives up to three right and two wrong predictions."""


@dataclass(frozen=True)
class Sample:
    """A question, its answer, predictions that are right, and predictions that are wrong."""

    question: str
    answer: str
    right: tuple[str, ...]
    wrong: tuple[str, ...]


# Changes that are sure to keep or to break an answer

WRAPS = (
    "{}.",
    "The answer is {}.",
    "The answer is: {}",
    "Answer: {}",
    "Final answer: {}",
    "**{}**",
    "So the answer is {}.",
    "Therefore, the answer is {}.",
    "<answer>{}</answer>",
    "  {}\n",
    "Based on the image, the answer is {}.",
    "I looked at the image twice.\n\nAnswer: {}",
    "<think>Let me look at the image.</think>{}",
)


def wrapped(random: Random, answer: str, *sentences: str) -> str:
    """The answer in one of many forms of reply; `sentences` belong to the question."""
    return random.choice((*WRAPS, *sentences, *sentences)).format(answer)


def other_digit(random: Random, text: str) -> str:
    """Another digit at one place; the first digit does not become 0."""
    places = [place for place, sign in enumerate(text) if sign in "0123456789"]
    place = random.choice(places)
    least = 1 if place == places[0] else 0
    digits = [str(digit) for digit in range(least, 10) if str(digit) != text[place]]
    return text[:place] + random.choice(digits) + text[place + 1 :]


def other_letter(random: Random, text: str) -> str:
    """Another letter at one place, of the same case."""
    place = random.choice([place for place, sign in enumerate(text) if sign.isalpha()])
    letters = "abcdefghijklmnopqrstuvwxyz"
    new = random.choice([letter for letter in letters if letter != text[place].lower()])
    return text[:place] + (new.upper() if text[place].isupper() else new) + text[place + 1 :]


def recased(random: Random, text: str) -> str:
    return random.choice((text.upper(), text.lower(), text.title()))


def other(random: Random, items: tuple[str, ...], *but: str) -> str:
    return random.choice([item for item in items if item not in but])


_ONES = [
    "zero",
    "one",
    "two",
    "three",
    "four",
    "five",
    "six",
    "seven",
    "eight",
    "nine",
    "ten",
    "eleven",
    "twelve",
    "thirteen",
    "fourteen",
    "fifteen",
    "sixteen",
    "seventeen",
    "eighteen",
    "nineteen",
]
_TENS = ["twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"]


def spelt(number: int) -> str:
    """0 to 999,999 in English words."""
    if number < 20:
        return _ONES[number]
    if number < 100:
        tens, ones = divmod(number, 10)
        return _TENS[tens - 2] + (f"-{_ONES[ones]}" if ones else "")
    if number < 1000:
        hundreds, rest = divmod(number, 100)
        return f"{_ONES[hundreds]} hundred" + (f" and {spelt(rest)}" if rest else "")
    thousands, rest = divmod(number, 1000)
    joint = " and " if rest < 100 else " "
    return f"{spelt(thousands)} thousand" + (f"{joint}{spelt(rest)}" if rest else "")


# Families: random → a sample

THINGS = (
    "dogs",
    "chairs",
    "windows",
    "birds",
    "people",
    "cars",
    "bottles",
    "trees",
    "cups",
    "boats",
)
COLOURS = ("red", "blue", "green", "yellow", "black", "white", "brown", "pink", "purple", "orange")
PLACES = ("left", "right", "above", "below", "behind", "top left", "bottom right", "top right")
WORDS = (
    "STATION",
    "BAKERY",
    "MARKET",
    "HARBOUR",
    "LIBRARY",
    "GARDEN",
    "CINEMA",
    "SCHOOL",
    "Bridge Street",
    "Silver Spoon",
    "Ocean View",
    "Golden Gate",
    "North Pole",
    "Blue Lagoon",
)
NAMES = ("Maria Lopez", "John Carter", "Anna Schmidt", "David Brown", "Li Wei", "Emma Stone")
MONTHS = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
]


def counting(random: Random) -> Sample:
    count, things = random.randint(2, 40), random.choice(THINGS)
    answer, near = str(count), count + random.choice((-1, 1))
    return Sample(
        f"How many {things} are in the picture?",
        answer,
        (
            wrapped(random, answer, f"There are {{}} {things}.", f"I count {{}} {things}."),
            f"{count} {things}",
            spelt(count),
            f"There are {spelt(count)} {things} in the picture.",
        ),
        (
            wrapped(random, str(near), f"There are {{}} {things}."),
            f"There are {spelt(near)} {things} in the picture.",
            f"{count} or {near}",
            f"There are not {count} {things}.",
            f"{count} dozen {things}",
            f"{count}{random.randint(0, 9)}",
        ),
    )


def decimal(random: Random) -> Sample:
    answer = f"{random.randint(10, 999)}.{random.randint(1, 9)}{random.randint(1, 9)}"
    year = random.randint(1980, 2023)
    sentence = f"The value in {year} is {{}}."
    return Sample(
        f"What is the value in {year}?",
        answer,
        (wrapped(random, answer, sentence), f"{answer}0", f"In {year}, the value is {answer}."),
        (
            wrapped(random, other_digit(random, answer), sentence),
            answer.replace(".", ""),
            answer[:-1],
            f"-{answer}",
            f"In {year}, the value is {other_digit(random, answer)}.",
        ),
    )


def sign(random: Random) -> Sample:
    size = random.choice(
        (str(random.randint(2, 99)), f"{random.randint(1, 20)}.{random.randint(1, 9)}")
    )
    negative = random.random() < 0.7
    answer = f"-{size}" if negative else size
    flipped = size if negative else f"-{size}"
    same = (f"\u2212{size}", f"minus {size}") if negative else (f"+{size}", size)
    wrong_words = f"plus {size}" if negative else f"minus {size}"
    return Sample(
        "What is the change from the first to the second bar?",
        answer,
        (*same, wrapped(random, answer, "The change is {}.")),
        (flipped, wrapped(random, flipped, "The change is {}."), wrong_words),
    )


def thousands(random: Random) -> Sample:
    number = random.randint(1_000, 9_999_999)
    answer = random.choice((str(number), f"{number:,}"))
    return Sample(
        "How many residents does the table give?",
        answer,
        (
            f"{number:,}",
            f"{number:,}".replace(",", " "),
            f"{number}.0",
            wrapped(random, f"{number:,}", "The table gives {} residents."),
        ),
        (
            other_digit(random, answer),
            f"{number}0",
            str(number)[:-1],
            wrapped(random, other_digit(random, answer), "The table gives {} residents."),
        ),
    )


def money(random: Random) -> Sample:
    mark, code, word = random.choice(
        (("$", "USD", "dollars"), ("€", "EUR", "euros"), ("£", "GBP", "pounds"))
    )
    amount = f"{random.randint(2, 900)}.{random.randint(1, 99):02}"
    answer, wrong = f"{mark}{amount}", other_digit(random, amount)
    foreign = other(random, ("$", "€", "£"), mark)
    return Sample(
        "What is the total on the receipt?",
        answer,
        (
            amount,
            f"{code} {amount}",
            f"{amount} {word}",
            wrapped(random, answer, "The total is {}.", "Total: {}"),
        ),
        (
            f"{mark}{wrong}",
            f"{foreign}{amount}",
            f"-{mark}{amount}",
            wrapped(random, f"{mark}{wrong}", "The total is {}.", "Total: {}"),
            f"{mark}{amount.replace('.', '')}",
        ),
    )


def percent(random: Random) -> Sample:
    share = random.choice(
        (str(random.randint(2, 98)), f"{random.randint(2, 98)}.{random.randint(1, 9)}")
    )
    answer, wrong = f"{share}%", other_digit(random, share)
    return Sample(
        "What share of the respondents agreed?",
        answer,
        (
            f"{share} %",
            f"{share} percent",
            f"{share} per cent",
            share,
            f"${share}\\%$",
            wrapped(random, answer, "{} of the respondents agreed."),
        ),
        (f"{wrong}%", f"{wrong} percent", f"-{share}%", wrapped(random, f"{wrong}%"), f"1{share}%"),
    )


UNITS: tuple[tuple[str, str, str], ...] = (
    ("km", "kilometres", "length"),
    ("m", "metres", "length"),
    ("cm", "centimeters", "length"),
    ("mm", "millimetres", "length"),
    ("kg", "kilograms", "mass"),
    ("g", "grams", "mass"),
    ("h", "hours", "time"),
    ("min", "minutes", "time"),
    ("s", "seconds", "time"),
    ("days", "days", "time"),
    ("ml", "millilitres", "volume"),
    ("km/h", "kilometres per hour", "speed"),
    ("mph", "miles per hour", "speed"),
    ("V", "volts", "voltage"),
    ("Hz", "hertz", "frequency"),
)


def unit(random: Random) -> Sample:
    number = random.randint(2, 900)
    short, long, kind = random.choice(UNITS)
    answer = f"{number} {short}"
    rest = [(s, w) for s, w, k in UNITS if s != short and {k, kind} != {"time"}]
    other_short, other_long = random.choice(rest)
    return Sample(
        "What is the measured value?",
        answer,
        (
            f"{number} {long}",
            f"{number}{short}" if short != "days" else f"{number} {short}.",
            str(number),
            wrapped(random, answer, "The measured value is {}."),
        ),
        (
            f"{number} {other_short}",
            f"{number} {other_long}",
            f"{other_digit(random, str(number))} {short}",
            wrapped(random, f"{number} {other_long}", "The measured value is {}."),
        ),
    )


def metric(random: Random) -> Sample:
    """A unit in another of the same quantity, exactly."""
    large, small, factor = random.choice(
        (
            ("km", "m", 1000),
            ("m", "cm", 100),
            ("kg", "g", 1000),
            ("cm", "mm", 10),
            ("l", "ml", 1000),
        )
    )
    number = random.randint(2, 60)
    wrong = number * factor + random.choice((-1, 1)) * max(1, factor // 50)
    return Sample(
        "What does the scale show?",
        f"{number} {large}",
        (f"{number * factor} {small}", f"The scale shows {number * factor} {small}."),
        (f"{wrong} {small}", f"{number} {small}", f"{number * factor} {large}"),
    )


def unit_case(random: Random) -> Sample:
    number = random.randint(2, 90)
    large, small, words, wrong_words = random.choice(
        (
            ("MW", "mW", "megawatts", "milliwatts"),
            ("MHz", "mHz", "megahertz", "millihertz"),
            ("MΩ", "mΩ", "megaohms", "milliohms"),
        )
    )
    if random.random() < 0.5:
        large, small, words, wrong_words = small, large, wrong_words, words
    answer = f"{number} {large}"
    return Sample(
        "What value is printed on the part?",
        answer,
        (f"{number}{large}", f"{number} {words}", wrapped(random, answer)),
        (f"{number} {small}", f"{number} {wrong_words}", wrapped(random, f"{number} {small}")),
    )


def spelt_number(random: Random) -> Sample:
    number = random.choice(
        (random.randint(13, 99), random.randint(100, 999), random.randint(1000, 99999))
    )
    words, near = spelt(number), spelt(number + random.choice((-1, 1)))
    first = words.replace("-", " ").split()[0]
    wrong_first = first if first != words else "zero"
    return Sample(
        "How many entries does the list have?",
        str(number),
        (words, words.capitalize(), f"The list has {words} entries."),
        (near, f"The list has {near} entries.", wrong_first),
    )


def multiplier(random: Random) -> Sample:
    number, (word, power) = (
        random.randint(2, 90),
        random.choice((("thousand", 3), ("million", 6), ("billion", 9))),
    )
    answer = f"{number} {word}"
    wrong_word = other(random, ("thousand", "million", "billion"), word)
    return Sample(
        "What was the turnover?",
        answer,
        (
            f"{number * 10**power:,}",
            str(number * 10**power),
            f"{spelt(number)} {word}",
            wrapped(random, answer),
        ),
        (
            str(number),
            f"{number} {wrong_word}",
            f"{number * 10 ** (power - 1):,}",
            f"{other_digit(random, str(number))} {word}",
        ),
    )


def superscript(random: Random) -> Sample:
    base, power = random.randint(3, 19), random.choice("23456789")
    raised = power.translate(str.maketrans("23456789", "²³⁴⁵⁶⁷⁸⁹"))
    wrong = str((int(power) - 1) % 8 + 2)
    return Sample(
        "Which power is printed?",
        f"{base}^{power}",
        (f"{base}{raised}", f"${base}^{{{power}}}$", wrapped(random, f"{base}^{power}")),
        (f"{base}{power}", f"{base}^{wrong}", f"{base}*{power}", f"{base}^-{power}"),
    )


def latex(random: Random) -> Sample:
    above, below = random.sample((2, 3, 5, 7, 11, 13, 17, 19), 2)
    minus = random.choice(("", "-"))
    answer = f"{minus}\\frac{{{above}}}{{{below}}}"
    plus = "" if minus else "-"
    return Sample(
        "Solve the equation for x. What is the value of x?",
        answer,
        (
            f"{minus}{above}/{below}",
            f"${answer}$",
            f"$x = {minus}\\dfrac{{{above}}}{{{below}}}$",
            f"The answer is ${answer}$.",
            f"\\boxed{{{answer}}}",
        ),
        (
            f"{minus}\\frac{{{below}}}{{{above}}}",
            f"{plus}\\frac{{{above}}}{{{below}}}",
            f"{minus}{above}{below}",
            f"\\boxed{{{minus}\\frac{{{above + 1}}}{{{below}}}}}",
        ),
    )


def bracket(random: Random) -> Sample:
    low, high = sorted(random.sample(range(-20, 20), 2))
    opening, closing = random.choice("[("), random.choice("])")
    flipped = {"[": "(", "(": "[", "]": ")", ")": "]"}
    answer = f"{opening}{low}, {high}{closing}"
    return Sample(
        "On which interval is the function defined?",
        answer,
        (f"{opening}{low},{high}{closing}", f"${answer}$", wrapped(random, answer)),
        (
            f"{flipped[opening]}{low}, {high}{closing}",
            f"{opening}{low}, {high}{flipped[closing]}",
            f"{opening}{low}, {high + 1}{closing}",
            f"{opening}{high}, {low}{closing}",
        ),
    )


def point(random: Random) -> Sample:
    x, y = random.sample(range(1, 30), 2)
    x *= random.choice((1, -1))
    answer = f"({x}, {y})"
    return Sample(
        "What are the coordinates of P?",
        answer,
        (f"({x},{y})", f"P = ({x}, {y})", wrapped(random, answer, "The coordinates of P are {}.")),
        (f"({y}, {x})", f"({-x}, {y})", f"({x}, {-y})", f"({x}, {y + 1})", f"({x}{y})"),
    )


def operator(random: Random) -> Sample:
    left, right = random.sample("abcxyz", 2)
    number, mark = random.randint(2, 9), random.choice("+-")
    answer = f"{number}{left} {mark} {right}"
    flipped = "-" if mark == "+" else "+"
    return Sample(
        "What is the simplified term?",
        answer,
        (f"{number}{left}{mark}{right}", f"${answer}$", wrapped(random, answer)),
        (
            f"{number}{left} {flipped} {right}",
            f"{number}{left}{right}",
            f"-{answer}",
            f"{number + 1}{left} {mark} {right}",
            f"{number}{right} {mark} {left}",
        ),
    )


def label_fraction(random: Random) -> Sample:
    above, below = random.choice(((2, 4), (6, 8), (4, 8), (2, 2), (4, 4), (3, 6), (5, 10)))
    answer = f"{above}/{below}"
    factor = random.choice((2, 3))
    return Sample(
        random.choice(
            ("What is the time signature?", "What rating is shown?", "What does the label read?")
        ),
        answer,
        (wrapped(random, answer), f"{above} / {below}"),
        (f"{above * factor}/{below * factor}", f"{above / below:g}", f"{above}/{below + 1}"),
    )


def code(random: Random) -> Sample:
    letters = "".join(random.choice("ABCDEFGHJKLMNPQRSTUVWXYZ") for _ in range(3))
    digits = f"{random.choice(('', '0'))}{random.randint(100, 9999)}"
    answer, place = f"{letters}-{digits}", random.choice(("ticket", "locker", "part", "order"))
    wrong = f"{letters}-{other_digit(random, digits)}"
    if digits[0] == "0":
        wrong = f"{letters}-{digits[1:]}"
    return Sample(
        f"What is the {place} number?",
        answer,
        (answer.lower(), wrapped(random, answer, f"The {place} number is {{}}.")),
        (
            wrong,
            f"{other_letter(random, letters)}-{digits}",
            digits,
            letters,
            wrapped(random, wrong, f"The {place} number is {{}}."),
        ),
    )


def date(random: Random) -> Sample:
    year, month, day = random.randint(1950, 2024), random.randint(1, 12), random.randint(13, 28)
    name = MONTHS[month - 1]
    answer, next_month = f"{name} {day}, {year}", MONTHS[month % 12]
    return Sample(
        "When was the letter written?",
        answer,
        (
            f"{year}-{month:02}-{day:02}",
            f"{day} {name} {year}",
            f"{name[:3]} {day}, {year}",
            f"{day}.{month:02}.{year}",
            wrapped(random, f"{day} {name} {year}", "It was written on {}."),
        ),
        (
            f"{name} {day + 1}, {year}",
            f"{next_month} {day}, {year}",
            f"{year + 1}-{month:02}-{day:02}",
            f"{year}-{month:02}-{day - 1:02}",
            wrapped(random, f"{day - 1} {name} {year}", "It was written on {}."),
        ),
    )


def time(random: Random) -> Sample:
    hour, minute = random.randint(1, 11), random.randint(1, 59)
    half, rival = random.choice((("am", "pm"), ("pm", "am")))
    clock = hour + (12 if half == "pm" else 0)
    answer = f"{hour}:{minute:02} {half}"
    return Sample(
        "At what time does the train leave?",
        answer,
        (
            f"{hour}:{minute:02} {half[0]}.m.",
            f"{hour}:{minute:02}{half.upper()}",
            f"{clock:02}:{minute:02}",
            wrapped(random, answer, "The train leaves at {}."),
        ),
        (
            f"{hour}:{minute:02} {rival}",
            f"{hour}:{(minute + 1) % 60:02} {half}",
            f"{hour % 11 + 1}:{minute:02} {half}",
            wrapped(random, f"{hour}:{minute:02} {rival}", "The train leaves at {}."),
        ),
    )


def year(random: Random) -> Sample:
    number = random.randint(1850, 2024)
    answer, near = str(number), number + random.choice((-1, 1, 10, -10))
    return Sample(
        "In which year was the bridge built?",
        answer,
        (f"In {answer}", f"in the year {answer}", wrapped(random, answer, "It was built in {}.")),
        (
            f"In {near}",
            f"after {answer}",
            f"{answer}s",
            wrapped(random, str(near), "It was built in {}."),
        ),
    )


def ordinal(random: Random) -> Sample:
    words = [
        "first",
        "second",
        "third",
        "fourth",
        "fifth",
        "sixth",
        "seventh",
        "eighth",
        "ninth",
        "tenth",
    ]
    marks = ("1st", "2nd", "3rd", "4th", "5th", "6th", "7th", "8th", "9th", "10th")
    place, wrong = random.sample(range(10), 2)
    return Sample(
        "Which place did the runner take?",
        marks[place],
        (
            words[place],
            f"{words[place].capitalize()} place",
            f"The runner took {marks[place]} place.",
        ),
        (words[wrong], marks[wrong], f"The runner took {words[wrong]} place."),
    )


def ranges(random: Random) -> Sample:
    low = random.randint(10, 60)
    high = low + random.randint(5, 30)
    return Sample(
        "Which age range is marked?",
        f"{low}-{high}",
        (
            f"{low} to {high}",
            f"{low}\u2013{high}",
            f"from {low} to {high}",
            wrapped(random, f"{low}-{high}"),
        ),
        (
            str(low),
            str(high),
            f"{low}-{high + 1}",
            f"{low}{high}",
            f"{low + 1} to {high}",
            str(low - high),
        ),
    )


LAYOUTS = (
    ("\n{letter}. {text}", ""),
    ("\n({letter}) {text}", ""),
    ("\n{letter}) {text}", ""),
    ("\n{letter}: {text}", ""),
    (" ({letter}) {text}", ""),
    (" {letter}. {text};", ""),
)
CHOICES = (
    ("apple", "pear", "plum", "cherry", "banana", "grape", "melon", "lemon", "peach", "fig"),
    ("Berlin", "Paris", "Rome", "Madrid", "Vienna", "Oslo", "Lisbon", "Athens", "Prague", "Bern"),
    (
        "a dog",
        "a cat",
        "a horse",
        "a bird",
        "a fish",
        "a cow",
        "a sheep",
        "a goat",
        "a pig",
        "a hen",
    ),
    ("12", "21", "120", "210", "1.2", "2.1", "112", "122", "201", "102"),
    (
        "Oslo, Norway",
        "Bern, Switzerland",
        "Rome, Italy",
        "Paris, France",
        "Lima, Peru",
        "Cairo, Egypt",
    ),
)


def _options(random: Random) -> tuple[str, list[str], int]:
    """A question with options, their texts, and which one is right."""
    texts = random.choice(CHOICES)
    chosen = random.sample(texts, random.randint(2, len(texts)))
    layout = random.choice(LAYOUTS)[0]
    listed = "".join(
        layout.format(letter=chr(65 + place), text=text) for place, text in enumerate(chosen)
    )
    return f"Which option is right?{listed.rstrip(';')}", chosen, random.randrange(len(chosen))


LETTER_FORMS = (
    "{}",
    "({})",
    "{}.",
    "{})",
    "Option {}",
    "The correct option is {}.",
    "I choose {}.",
)


def choice_letter(random: Random) -> Sample:
    question, texts, place = _options(random)
    letter = chr(65 + place)
    wrong = chr(65 + random.choice([i for i in range(len(texts)) if i != place]))
    form = random.choice(LETTER_FORMS)
    return Sample(
        question,
        letter,
        (form.format(letter), wrapped(random, letter), wrapped(random, f"({letter})")),
        (
            form.format(wrong),
            wrapped(random, wrong),
            f"{letter}, {wrong}",
            f"{wrong}/{letter}",
            f"{letter} or {wrong}",
            f"({letter}) is wrong, the answer is ({wrong})",
            f"not {letter}",
        ),
    )


def choice_text(random: Random) -> Sample:
    question, texts, place = _options(random)
    letter, text = chr(65 + place), texts[place]
    index = random.choice([i for i in range(len(texts)) if i != place])
    wrong, wrong_text = chr(65 + index), texts[index]
    return Sample(
        question,
        letter,
        (text, f"{letter}. {text}", f"({letter}) {text}", f"The answer is {letter}: {text}."),
        (
            wrong_text,
            f"{wrong}. {wrong_text}",
            f"{wrong}. {text}",
            f"The answer is {wrong}: {wrong_text}.",
        ),
    )


def yes_no(random: Random) -> Sample:
    thing = random.choice(THINGS)
    answer = random.choice(("yes", "no"))
    said = (f"Yes, there are {thing}.", f"Yes, I see some {thing}.", "Yes, there are.")
    denied = (f"No, there are no {thing}.", f"No, I see no {thing}.", "No, there are not.")
    right, wrong = (said, denied) if answer == "yes" else (denied, said)
    reverse = "no" if answer == "yes" else "yes"
    return Sample(
        f"Are there {thing} in the image?",
        answer,
        (random.choice(right), answer.upper(), wrapped(random, answer.capitalize())),
        (
            random.choice(wrong),
            reverse.upper(),
            wrapped(random, reverse.capitalize()),
            f"{answer.capitalize()}? {reverse.capitalize()}.",
            f"{answer} or {reverse}",
        ),
    )


def quoted(random: Random) -> Sample:
    answer = random.choice(WORDS)
    wrong = other_letter(random, answer)
    return Sample(
        "What does the sign say?",
        answer,
        (recased(random, answer), f'"{answer}"', wrapped(random, answer, 'The sign says "{}".')),
        (
            wrong,
            f'The sign says "{wrong}".',
            f'The sign does not say "{answer}".',
            answer[: len(answer) // 2],
            f"{answer} or {other(random, WORDS, answer)}",
        ),
    )


def name(random: Random) -> Sample:
    person = random.choice(NAMES)
    rival = other(random, NAMES, person)
    return Sample(
        "Who painted the picture?",
        person,
        (person.upper(), f"The picture was painted by {person}.", wrapped(random, person)),
        (
            other_letter(random, person),
            f"The picture was not painted by {person}.",
            f"{person} or {rival}",
            f"{person.split()[0]} {rival.split()[1]}",
        ),
    )


def colour(random: Random) -> Sample:
    answer = random.choice(COLOURS)
    wrong = other(random, COLOURS, answer)
    return Sample(
        "What colour is the bus?",
        answer,
        (f"The bus is {answer}.", recased(random, answer), wrapped(random, answer, "It is {}.")),
        (
            f"The bus is {wrong}.",
            recased(random, wrong),
            f"The bus is not {answer}.",
            f"{answer} or {wrong}",
            f"{wrong}, not {answer}",
        ),
    )


def position(random: Random) -> Sample:
    answer = random.choice(PLACES)
    wrong = other(random, PLACES, answer)
    while wrong in answer or answer in wrong:
        wrong = other(random, PLACES, answer)
    return Sample(
        "Where is the lamp in relation to the picture?",
        answer,
        (answer.upper(), answer.replace(" ", "-"), wrapped(random, answer)),
        (wrong, wrapped(random, wrong), f"not {answer}", f"{answer} or {wrong}"),
    )


def listed(random: Random) -> Sample:
    chosen = random.sample(COLOURS, random.randint(3, 4))
    answer = ", ".join(chosen[:-1]) + f" and {chosen[-1]}"
    mixed = random.sample(chosen, len(chosen))
    added = other(random, COLOURS, *chosen)
    return Sample(
        "Which colours are on the flag?",
        answer,
        (
            ", ".join(mixed),
            "; ".join(chosen),
            wrapped(random, ", ".join(mixed[:-1]) + f" and {mixed[-1]}"),
        ),
        (
            ", ".join(chosen[:-1]),
            ", ".join([*chosen[:-1], added]),
            ", ".join([*mixed, added]),
            ", ".join(chosen[:-1]) + f" or {chosen[-1]}",
        ),
    )


def order(random: Random) -> Sample:
    chosen = random.sample(COLOURS, 3)
    answer = ", ".join(chosen)
    first, second, third = chosen
    return Sample(
        "In which order do the lights go on, from first to last?",
        answer,
        ("; ".join(chosen), f"{first}, {second} and {third}", wrapped(random, answer)),
        (
            f"{second}, {first}, {third}",
            f"{third}, {second}, {first}",
            f"{first}, {third}, {second}",
        ),
    )


def noun(random: Random) -> Sample:
    first, second = random.sample(THINGS, 2)
    many, few = random.sample(range(2, 20), 2)
    answer = f"{many} {first} and {few} {second}"
    return Sample(
        "What is in the picture, and how many of each?",
        answer,
        (f"{few} {second} and {many} {first}", f"{spelt(many)} {first} and {spelt(few)} {second}"),
        (
            f"{few} {first} and {many} {second}",
            f"{many} {first}",
            f"{many} {first} and {few + 1} {second}",
            f"{many} {first} and {few} {other(random, THINGS, first, second)}",
        ),
    )


def retraction(random: Random) -> Sample:
    right, wrong = random.sample(range(2, 60), 2)
    forms = (
        "{}? No, {}.",
        "First I counted {}, but there are {}.",
        "Not {} but {}.",
        "{}, no, wait, {}.",
    )
    form = random.choice(forms)
    return Sample(
        "How many stars are there?",
        str(right),
        (form.format(wrong, right), f"{wrong} is wrong.\nAnswer: {right}"),
        (form.format(right, wrong), f"{right} is wrong.\nAnswer: {wrong}"),
    )


def boxed(random: Random) -> Sample:
    right, wrong = random.sample(range(2, 999), 2)
    return Sample(
        "What is the result?",
        str(right),
        (f"\\boxed{{{right}}}", f"So we get $\\boxed{{{right}}}$.", f"<answer>{right}</answer>"),
        (
            f"\\boxed{{{wrong}}}",
            f"{right} is close, but $\\boxed{{{wrong}}}$.",
            f"\\boxed{{-{right}}}",
        ),
    )


def long(random: Random) -> Sample:
    first, second = random.randint(10, 99), random.randint(10, 99)
    total, wrong = first + second, first + second + random.choice((-1, 1, 10))
    form = random.choice(
        (
            "The first bar shows {a} and the second {b}. Together they make {t}.\n\nAnswer: {t}",
            "{a} + {b} = {t}",
            "We add {a} and {b}. The answer is {t}.",
            "Step 1: read {a}.\nStep 2: read {b}.\nStep 3: add them.\n\nFinal answer: {t}",
        )
    )
    return Sample(
        "What is the sum of the two bars?",
        str(total),
        (form.format(a=first, b=second, t=total),),
        (form.format(a=first, b=second, t=wrong), form.format(a=total, b=second, t=total + second)),
    )


FAMILIES: dict[Callable[[Random], Sample], str] = {
    counting: "counting",
    decimal: "chart",
    sign: "sign",
    thousands: "number",
    money: "money",
    percent: "percent",
    unit: "unit",
    metric: "unit",
    unit_case: "unit_case",
    spelt_number: "spelt_number",
    multiplier: "multiplier",
    superscript: "superscript",
    latex: "latex",
    bracket: "bracket",
    point: "bracket",
    operator: "operator",
    label_fraction: "label_fraction",
    code: "code",
    date: "date",
    time: "time",
    year: "year",
    ordinal: "ordinal",
    ranges: "ranges",
    choice_letter: "choice_letter",
    choice_text: "choice_text",
    yes_no: "yes_no",
    quoted: "quoted",
    name: "name",
    colour: "colour",
    position: "position",
    listed: "list",
    order: "order",
    noun: "noun",
    retraction: "retraction",
    boxed: "boxed",
    long: "long",
}
"""Family → kind of its rows."""


def generated(written: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Rows of all families, except those that are written already."""
    seen = {(row["question"], row["answer"], row["prediction"]) for row in written}
    rows: list[dict[str, Any]] = []
    for family, kind in FAMILIES.items():
        random, count = Random(f"{SEED} {family.__name__}"), 0
        for _ in range(SAMPLES):
            sample = family(random)
            for expected, predictions, most in ((1, sample.right, 3), (0, sample.wrong, 2)):
                for prediction in random.sample(predictions, min(most, len(predictions))):
                    key = (sample.question, sample.answer, prediction)
                    if key in seen:
                        continue
                    seen.add(key)
                    count += 1
                    rows.append(
                        {
                            "id": f"{family.__name__}-g{count:03}",
                            "kind": kind,
                            "question": sample.question,
                            "answer": sample.answer,
                            "prediction": prediction,
                            "expected": expected,
                            "made": "generated",
                        }
                    )
    return rows


def content(path: Path = FILE) -> str:
    """The file as it should be: the written rows it has, then the generated ones."""
    lines = path.read_text(encoding="utf-8").splitlines()
    written = [row for row in map(json.loads, lines) if row["made"] == "written"]
    rows = written + generated(written)
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def main() -> None:
    parser = argparse.ArgumentParser(description="rewrite the generated rows of the labelled set")
    parser.add_argument("--check", action="store_true", help="write nothing; compare")
    wanted = content()
    if parser.parse_args().check:
        sys.exit(FILE.read_text(encoding="utf-8") != wanted)
    FILE.write_text(wanted, encoding="utf-8")


if __name__ == "__main__":
    main()
