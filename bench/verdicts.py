"""Our rules and other graders on the labelled set: errors, share decided, speed.

python bench/verdicts.py                  # one table
python bench/verdicts.py --attacks        # the same on rows that an attacker of our rules wrote
python bench/verdicts.py --kinds          # false 1s, false 0s and undecided rows by kind
python bench/verdicts.py --show           # every row that our rules get wrong
python bench/verdicts.py --speed          # verdicts per second; time for long predictions
python bench/verdicts.py --fuzz 1000000   # mutated pairs: crashes, slowest, broken invariants
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from importlib.resources import files
from random import Random
from statistics import median

from graders import GRADERS, Grader
from visionthink.judges.llm_prompt import read_verdict


@dataclass(frozen=True)
class Row:
    id: str
    kind: str
    question: str
    answer: str
    prediction: str
    expected: int
    made: str


def labelled(name: str) -> list[Row]:
    path = files("visionthink.judges") / "labelled" / f"{name}.jsonl"
    return [Row(**json.loads(line)) for line in path.read_text(encoding="utf-8").splitlines()]


# Errors


@dataclass(frozen=True)
class Measured:
    """What a grader said of each row, and how long a verdict took (median of rows, in µs)."""

    said: list[bool | None]
    microseconds: float


def measured(grader: Grader, rows: Iterable[Row]) -> Measured:
    said: list[bool | None] = []
    times: list[float] = []
    for row in rows:
        start = time.perf_counter()
        said.append(grader(row.question, row.answer, row.prediction))
        times.append(time.perf_counter() - start)
    return Measured(said, median(times) * 1e6)


def outcomes(rows: list[Row], said: list[bool | None]) -> Counter[str]:
    found: Counter[str] = Counter()
    for row, verdict in zip(rows, said, strict=True):
        if verdict is None:
            found["undecided"] += 1
        elif verdict == bool(row.expected):
            found["right"] += 1
        else:
            found["false 1" if verdict else "false 0"] += 1
    return found


def table(rows: list[Row], results: dict[str, Measured]) -> str:
    lines = [
        "| grader | right | false 1 | false 0 | undecided | decided | right of decided | µs |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for name, result in results.items():
        found = outcomes(rows, result.said)
        decided = len(rows) - found["undecided"]
        lines.append(
            f"| {name} | {found['right']} | {found['false 1']} | {found['false 0']} "
            f"| {found['undecided']} | {decided / len(rows):.1%} "
            f"| {found['right'] / max(decided, 1):.2%} | {result.microseconds:.1f} |"
        )
    return "\n".join(lines)


def kinds_table(rows: list[Row], results: dict[str, Measured]) -> str:
    """false 1 / false 0 / undecided of each grader, by kind."""
    lines = [
        f"| kind: false 1 / false 0 / undecided | rows | {' | '.join(results)} |",
        f"|---|---|{'---|' * len(results)}",
    ]
    for kind in dict.fromkeys(row.kind for row in rows):
        places = [place for place, row in enumerate(rows) if row.kind == kind]
        cells = []
        for result in results.values():
            found = outcomes([rows[place] for place in places], [result.said[p] for p in places])
            cells.append(f"{found['false 1']} / {found['false 0']} / {found['undecided']}")
        lines.append(f"| {kind} | {len(places)} | {' | '.join(cells)} |")
    return "\n".join(lines)


def reading_a_perfect_judge(rows: list[Row]) -> str:
    """What remains of a judge that is always right, quotes both texts, and is read by a parser."""
    parsers = {"`'1' in reply`": lambda reply: int("1" in reply), "ours": read_verdict}
    lines = [
        "| a perfect judge's replies, read by | right | false 1 | false 0 |",
        "|---|---|---|---|",
    ]
    for name, parser in parsers.items():
        said: list[bool | None] = []
        for row in rows:
            verdict = parser(
                f"The truth is {row.answer.split()[0]}, the prediction {len(row.prediction)} "
                f"characters long. Score: {row.expected}"
            )
            said.append(None if verdict is None else bool(verdict))
        found = outcomes(rows, said)
        lines.append(f"| {name} | {found['right']} | {found['false 1']} | {found['false 0']} |")
    return "\n".join(lines)


# Speed

PATTERNS: dict[str, str] = {
    "combining marks": "\u0316\u0301",
    "digits": "7",
    "digits and commas": "1,",
    "spelt numbers": "twenty one ",
    "opening brackets": "(",
    "brackets": "()",
    "braces": "{",
    "nested LaTeX": "\\frac{",
    "boxes": "\\boxed{",
    "commas": ",",
    "semicolons": "a; ",
    "no": "no ",
    "yes and no": "yes, no, ",
    "not": "not ",
    "spaces": " ",
    "line ends": "\n",
    "dollars": "$",
    "answer is": "answer is ",
    "answers": "Answer: B\n",
    "options": "A. ",
    "letters": "a",
    "words": "word ",
    "minus": "-",
    "dots": ".",
    "apostrophes": "'",
    "quotation marks": '"',
    "tags": "<answer>",
    "thoughts": "<think>",
    "asterisks": "*",
    "slashes": "1/",
    "colons": "12:",
    "powers": "10^",
    "superscripts": "²",
    "hyphens": "a-",
    "units": "5 m ",
    "full width": "\uff15",
}

LONG_QUESTIONS = (
    ("How many?", "7"),
    ("What is written?", "a word"),
    ("Is it so?", "yes"),
    ("Which one?\nA. red\nB. blue", "B"),
    ("Which ones?", "red, white and blue"),
    ("When?", "December 5, 2019"),
    ("What is x?", "\\frac{1}{2}"),
)


def speed(grader: Grader, rows: list[Row], rounds: int = 5) -> float:
    """Verdicts a second, CPU time of this process, on distinct short rows: the best round."""
    short = [row for row in rows if len(row.prediction) <= 40 and len(row.question) <= 120]
    best = 0.0
    for _ in range(rounds):
        start = time.process_time()
        for row in short:
            grader(row.question, row.answer, row.prediction)
        best = max(best, len(short) / (time.process_time() - start))
    return best


def seconds(grader: Grader, question: str, answer: str, prediction: str, tries: int = 3) -> float:
    times = []
    for _ in range(tries):
        start = time.process_time()
        grader(question, answer, prediction)
        times.append(time.process_time() - start)
    return min(times)


def linearity(grader: Grader, longest: int) -> str:
    """Per shape the longest time at any length up to `longest`, and the worst time(2n) / time(n).

    Lengths double from 1,000 on, so that a limit on the length hides nothing below it. Ratios of
    times under 2 ms are noise. CPU time of this process: other programs do not count.
    """
    lines = ["| shape | slowest, ms | at | worst time(2n) / time(n) |", "|---|---|---|---|"]
    for name, pattern in PATTERNS.items():
        slowest, worst = (0.0, 0), 0.0
        for question, answer in LONG_QUESTIONS:
            length, before = 1000, 0.0
            while length <= longest:
                text = f"a{pattern * (length // len(pattern))}7"
                spent = seconds(grader, question, answer, text)
                slowest = max(slowest, (spent, length))
                if before and spent > 0.002:
                    worst = max(worst, spent / before)
                length, before = 2 * length, spent
        lines.append(f"| {name} | {slowest[0] * 1e3:.1f} | {slowest[1]:,} | {worst:.2f} |")
    return "\n".join(lines)


# Fuzz

ALPHABET = (
    "0123456789abcxyzABCXYZ  \n.,;:!?'\"()[]{}<>$%°€£-\u2212+*/^_=~`|\\&#²³½\u2032\u2033"
    "é\u0304\u0301\u200b中五"
)
PIECES = (
    *("not ", "no, ", "yes ", "or ", "Answer: ", "\\frac{", "\\boxed{", "}", "$", "<answer>"),
    *("</answer>", "<think>", "</think>", " dozen", " million", " km", "%", "'", "-", "A", "(B)"),
    *("1e400", "1/0", "∞"),
)


def mutated(random: Random, text: str) -> str:
    """One to three edits: a character or piece put in, taken out, or repeated; case; a cut."""
    for _ in range(random.randint(1, 3)):
        place = random.randint(0, len(text))
        match random.randrange(7):
            case 0:
                text = text[:place] + random.choice(ALPHABET) + text[place:]
            case 1:
                text = text[:place] + random.choice(PIECES) + text[place:]
            case 2:
                text = text[:place] + text[place + 1 :]
            case 3:
                text = text[:place] + text[place:] * random.randint(1, 4)
            case 4:
                text = text.swapcase()
            case 5:
                text = text[:place]
            case _:
                text = "".join(random.choices(ALPHABET, k=random.randint(0, 12)))
    return text


def changed_number(random: Random, number: str) -> str:
    """A pure number with one digit changed, or its sign."""
    if random.random() < 0.3:
        return number[1:] if number.startswith("-") else f"-{number}"
    places = [place for place, sign in enumerate(number) if sign.isdigit()]
    place = random.choice(places)
    least = 1 if place == places[0] else 0
    digits = [str(digit) for digit in range(least, 10) if str(digit) != number[place]]
    return number[:place] + random.choice(digits) + number[place + 1 :]


def _value(number: str) -> float:
    return float(number.replace(",", ""))


def fuzz(grader: Grader, rows: list[Row], count: int, seed: int = 0) -> dict[str, list[str]]:
    """Broken invariants by name, with examples; also prints the slowest pair."""
    random = Random(seed)
    broken: dict[str, list[str]] = {}
    slowest, worst = 0.0, ""

    def note(name: str, *texts: str) -> None:
        broken.setdefault(name, []).append(" ← ".join(map(ascii, texts)))

    for number in range(count):
        row, other = random.choice(rows), random.choice(rows)
        answer = row.answer if random.random() < 0.6 else mutated(random, row.answer)
        prediction = random.choice((row.prediction, row.answer, other.answer, other.prediction))
        prediction = mutated(random, prediction)
        try:
            start = time.perf_counter()
            said = grader(row.question, answer, prediction)
            spent = time.perf_counter() - start
            if spent > slowest:
                slowest, worst = spent, f"{answer!a} ← {prediction!a}"
            if number % 4 == 0 and said is not grader(row.question, answer, f" \n{prediction}\t "):
                note("outer spaces change the verdict", answer, prediction)
            if number % 4 == 1 and answer.strip() and not grader(row.question, answer, answer):
                note("an answer is not right against itself", row.question, answer)
            if number % 4 == 2:
                size = random.choice(("5", "12", "3.75", "1,200", "0.5", "987654321"))
                truth = random.choice(("", "-")) + changed_number(random, size)
                truth = truth.removeprefix("--")
                said_number = changed_number(random, truth)
                differ = _value(truth) != _value(said_number)
                if differ and grader("What is the value?", truth, said_number):
                    note("a changed number is right", truth, said_number)
        except Exception as error:
            note(f"{type(error).__name__}", row.question, answer, prediction)
        if number % 100_000 == 99_999:
            print(f"{number + 1:,} pairs", file=sys.stderr)
    print(f"{count:,} pairs; slowest {slowest * 1e3:.1f} ms: {worst[:300]}")
    return broken


def main() -> None:
    parser = argparse.ArgumentParser(description="our rules and others on the labelled set")
    parser.add_argument("--graders", nargs="+", choices=GRADERS, default=list(GRADERS))
    parser.add_argument("--attacks", action="store_true", help="on the attacker's rows instead")
    parser.add_argument("--kinds", action="store_true", help="one line per kind")
    parser.add_argument("--show", action="store_true", help="rows the first grader gets wrong")
    parser.add_argument("--undecided", action="store_true", help="with --show, those it leaves too")
    parser.add_argument("--only", nargs="+", metavar="PREFIX", help="rows whose id begins so")
    parser.add_argument("--speed", action="store_true", help="speed of the first grader")
    parser.add_argument("--longest", type=int, default=1_024_000, help="characters, for --speed")
    parser.add_argument(
        "--fuzz", type=int, metavar="PAIRS", help="mutated pairs for the first grader"
    )
    arguments = parser.parse_args()

    rows = labelled("attacks" if arguments.attacks else "verdicts")
    if arguments.only:
        rows = [row for row in rows if row.id.startswith(tuple(arguments.only))]
    graders = {name: grader for name in arguments.graders if (grader := GRADERS[name]())}
    first = next(iter(graders.values()))
    if arguments.fuzz:
        broken = fuzz(first, rows, arguments.fuzz)
        for name, examples in broken.items():
            print(f"{name}: {len(examples)}, for instance {examples[:5]}")
        sys.exit(1 if broken else 0)
    if arguments.speed:
        print(f"{speed(first, rows):,.0f} verdicts a second on short rows")
        print(linearity(first, arguments.longest))
        return
    results = {name: measured(grader, rows) for name, grader in graders.items()}
    if arguments.show:
        for row, said in zip(rows, next(iter(results.values())).said, strict=True):
            if said != bool(row.expected) and (said is not None or arguments.undecided):
                print(said, row)
    print((kinds_table if arguments.kinds else table)(rows, results))
    if not arguments.kinds:
        print(f"\n{reading_a_perfect_judge(rows)}")


if __name__ == "__main__":
    main()
