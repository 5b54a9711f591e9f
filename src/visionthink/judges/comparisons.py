"""One comparison for each form of ground truth: True (right), False (clearly wrong) or None."""

# people type these:

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import lru_cache
from typing import Protocol

from text_to_num import alpha2digit

from visionthink.judges.answer_text import bare, normal, similarity
from visionthink.judges.choices import letters_of, misses, names_letter, options_in
from visionthink.judges.contrasts import clearly_other, clearly_other_number, refuses
from visionthink.judges.latex import is_latex, plain
from visionthink.judges.mathematics import same_expression
from visionthink.judges.moments import date, same_date, same_time, time_of_day
from visionthink.judges.numbers import Number
from visionthink.judges.polarity import contradicts, polarity, said_polarity
from visionthink.judges.quantity import Quantity, quantity, same_quantity, stem
from visionthink.judges.question import (
    asked_nouns,
    asked_unit,
    asks_for_a_name,
    asks_for_several,
    counted,
    counts_something,
    is_about_labels,
    is_about_numbers,
    is_cased,
    is_measured,
    is_ordered,
    is_read_off,
    leaves_out_a_scale,
    operation_in,
    question_words,
)
from visionthink.judges.ranges import bound, hours, pair, same_bound, same_pair
from visionthink.judges.restatement import restates
from visionthink.judges.word_classes import is_calendar, same_name


class Thresholds(Protocol):
    """What comparisons read of `Rules`."""

    @property
    def tolerance(self) -> float: ...
    @property
    def anls_threshold(self) -> float: ...


Comparison = Callable[[Thresholds, str, str, str], bool | None]
"""(thresholds, question, answer, prediction) → verdict."""

_NONE = {"none", "no", "zero", "nobody", "nothing", "no one"}
_NO_NOUN = re.compile(r"(?:there (?:are|is|were) )?no ([a-z]+)(?: .{0,60})?", re.IGNORECASE)
_LETTER_AND_NAME = re.compile(r"\(([A-J])\)\s+(.+)")
_LETTER_FIRST = re.compile(r"^\(?[A-J][).:]+\s+")
_NUMBERED = re.compile(
    r"\b(?:version|clause|section|chapter|article|paragraph|exercise|company|brand|band|model|seat|release|"
    r"figure|"
    r"gate)\b",
    re.IGNORECASE,
)
"""What has a number for a name: 7.10 is not 7.1, and 3M is not 3 million."""
_TITLE = re.compile(r"(?:mr|mrs|ms|miss|dr|prof|professor|sir)\.?\s+", re.IGNORECASE)
_CALENDAR = re.compile(r"\b(?:months?|days?|date|when)\b", re.IGNORECASE)
_MEASURED_AS_TIME = re.compile(r"\b(?:score|ratio|race|winning|duration|record)\b", re.IGNORECASE)
_CODE = re.compile(r"[0-9]+[A-Z]")
_OUT_OF = re.compile(r"/\s?(?:5|10)\b|\bout of (?:5|10|five|ten)\b", re.IGNORECASE)


def same_text(answer: str, prediction: str) -> bool:
    """The metric `exact`: equal but for case, spacing, articles, quotes and markup."""
    return normal(prediction) == normal(answer)


@lru_cache(maxsize=4096)
def metric_for(question: str, answer: str) -> str:
    """What `auto` compares: the form of the ground truth, seen with the question.

    Answers with commas alone are lists only where the question asks for several things, since
    "Paris, France" is none.
    """
    if (options := options_in(question)) and letters_of(answer, options):
        return "choice"
    if polarity(answer) is not None:
        return "yes_no"
    if re.fullmatch(r"[A-J]|\([A-J]\)(?:\s.*)?", answer):
        return "choice"
    named = _NUMBERED.search(question) or (_CODE.fullmatch(answer) and asks_for_a_name(question))
    if not named and _stated_number(question, answer):
        return "numeric"
    if date(answer):
        return "date"
    if (time_of_day(answer) or hours(answer)) and not _MEASURED_AS_TIME.search(question):
        return "time"
    if pair(answer) or bound(answer):
        return "range"
    several = asks_for_several(question) or not answer[:1].isupper()  # no title
    listed = re.search(r";|\n|^\[\s*[\"'].*\]$", answer) or (several and " and " in answer)
    if (listed or ("," in answer and asks_for_several(question))) and len(_items(answer)) > 1:
        return "list"
    return "text"


def _stated_number(question: str, text: str) -> Quantity | None:
    number = quantity(_read(text), counted(question), counts_something(question))
    if number is not None and number.noun:
        last = number.noun.rpartition(" ")[2]
        if last in question_words(question) and last not in counted(question):
            return None  # "How many pencils are in the box?": "12 boxes"
        if operation_in(question):
            return None  # "How many more red balls than blue balls …?": "3 red balls"
    if number is None and "how many" in question.lower():
        no_noun = _NO_NOUN.fullmatch(bare(text))
        nothing = bare(text).lower() in _NONE or (
            no_noun and stem(no_noun[1].lower()) in question_words(question)
        )
        return quantity("0") if nothing else None
    return number


# Comparisons. `decide` has compared the texts as they are before.


def _auto(rules: Thresholds, question: str, answer: str, said: str) -> bool | None:
    return COMPARISONS[metric_for(question, answer)](rules, question, answer, said)


def _exact(rules: Thresholds, question: str, answer: str, said: str) -> bool | None:
    return same_text(answer, said) or None


def _text(rules: Thresholds, question: str, answer: str, said: str) -> bool | None:
    truth, given = _read(answer), _read(said)
    if same_text(truth, given) or _same_code(truth, given) or _same_joined(truth, given):
        cased = is_cased(question) and len(answer) < 20
        return not cased or _letters(truth) == _letters(given)
    if (
        _untitled(truth, given)
        or _same_thing(question, normal(truth), normal(given))
        or _named(question, truth, given)
    ):
        return True
    if restates(question, truth, given):
        return True
    if (same := same_expression(answer, said)) is not None:
        return same
    if is_latex(answer) or is_latex(said):
        return None
    return False if clearly_other(question, truth, given) else None


def _numeric(rules: Thresholds, question: str, answer: str, said: str) -> bool | None:
    truth, given = _stated_number(question, answer), _stated_number(question, said)
    if truth is None:
        return None
    if given is None:
        return _unlike_number(question, answer, said, truth)
    if bare(answer) == bare(said):
        return True
    if _adds_a_unit(question, truth, given):
        return None
    same = same_quantity(
        _in_asked_unit(question, truth),
        _in_asked_unit(question, given),
        rules.tolerance,
        calculated=is_about_numbers(question) or is_latex(answer) or is_latex(said),
        scaled=leaves_out_a_scale(question),
        measured=is_measured(question),
    )
    return False if same is None and truth.number.over and is_about_labels(question) else same


def _adds_a_unit(question: str, truth: Quantity, said: Quantity) -> bool:
    """Whether only the reply has a unit or noun, where the question leaves no room for one."""
    added = (said.unit.dimension and not truth.unit.dimension) or (said.noun and not truth.noun)
    if is_read_off(question) and truth.unit.dimension != said.unit.dimension:
        return True
    if not added:
        return False
    counted_units = counts_something(question) and asked_unit(question) is None
    return (
        asks_for_a_name(question)
        or is_read_off(question)
        or bool(counted_units and said.unit.dimension)
    )


def _unlike_number(question: str, answer: str, said: str, truth: Quantity) -> bool | None:
    """The verdict on a reply that is no number, where the truth is one."""
    stated = bare(said)
    if bound(stated) is not None and bound(bare(answer)) is None:
        return False
    if (rating := pair(stated)) is not None:
        if truth.number.over and (own := pair(bare(answer))):
            return same_pair(own, rating)
        if not truth.unit.dimension and _OUT_OF.search(stated) and is_about_labels(question):
            return rating.first.value == truth.value
    plain_number = not truth.unit.dimension
    if plain_number and _same_code(answer, stated):
        return True
    if quantity(_read(said), question_words(question)) is not None:
        return None  # of something else than was counted
    in_digits = alpha2digit(said[:400], "en")
    if plain_number and (_named(question, answer, said) or restates(question, answer, in_digits)):
        return True
    if (same := same_expression(answer, said)) is not None:
        return same
    if is_latex(answer) or is_latex(said):
        return None
    return False if clearly_other_number(question, bare(answer), said) else None


def _choice(rules: Thresholds, question: str, answer: str, said: str) -> bool | None:
    options = options_in(question)
    truth = letters_of(answer, options)
    if truth is None and not options and (both := _LETTER_AND_NAME.fullmatch(answer)):
        given = letters_of(said, {})
        if given is not None:
            return given == {both[1]}
        return _text(rules, question, both[2], _LETTER_FIRST.sub("", said))
    if truth is None:
        return _exact(rules, question, answer, said)
    given = letters_of(_read(said), options)
    if given is None and not options:
        return _text(rules, question, answer, said)
    if given is None and not names_letter(bare(said)):
        given = _by_value(rules, options, said)
    if given is None:
        return False if refuses(said) or misses(truth, bare(said), options) else None
    return truth == given


def _by_value(rules: Thresholds, options: Mapping[str, str], said: str) -> frozenset[str] | None:
    """The option whose value is stated in another form, if all others have another value."""
    right = [
        letter
        for letter, option in options.items()
        if option and COMPARISONS[metric_for("", option)](rules, "", option, said)
    ]
    return frozenset(right) if len(right) == 1 else None


def _yes_no(rules: Thresholds, question: str, answer: str, said: str) -> bool | None:
    truth = polarity(answer)
    if truth is None:
        return _exact(rules, question, answer, said)
    given = said_polarity(question, said)
    if given is not None:
        return truth == given
    return False if contradicts(truth, said) or refuses(said) else None


def _date(rules: Thresholds, question: str, answer: str, said: str) -> bool | None:
    if same_text(answer, said) or restates(question, answer, said):
        return True
    same = same_date(bare(answer), bare(said))
    if same is not None or date(bare(answer)) & date(bare(said)):  # 05/12/2019 may be meant
        return same
    return False if clearly_other(question, answer, bare(said)) else None


def _time(rules: Thresholds, question: str, answer: str, said: str) -> bool | None:
    if same_text(answer, said) or restates(question, answer, said):
        return True
    if (true := hours(answer)) and (given := hours(bare(said))):
        return true == given
    same = same_time(answer.strip(), _read(said).strip(" *\"'"))
    if same is None and (span := quantity(bare(said))) and span.unit.dimension:
        return None  # a length of time
    return False if same is None and clearly_other(question, answer, bare(said)) else same


def _range(rules: Thresholds, question: str, answer: str, said: str) -> bool | None:
    if same_text(answer, said) or restates(question, answer, said):
        return True
    stated = bare(said)
    if (true := pair(answer)) and (given := pair(stated)):
        return same_pair(true, given)
    if (limit := bound(answer)) and (other := bound(stated)):
        return same_bound(limit, other)
    if quantity(stated) or pair(stated) or bound(stated):
        return False
    return False if clearly_other(question, answer, stated) else None


def _anls(rules: Thresholds, question: str, answer: str, said: str) -> bool | None:
    return similarity(answer, said) >= rules.anls_threshold or None


def _list(rules: Thresholds, question: str, answer: str, said: str) -> bool | None:
    if same_text(answer, said):
        return True
    truth, given = _items(bare(answer)), _items(bare(said))
    figures = all(isinstance(item, Quantity) and not item.noun for item in truth)
    ordered = is_ordered(question) or (figures and " and " in question)
    if truth == given or (not ordered and Counter(truth) == Counter(given)):
        return True
    if Counter(truth) == Counter(given) or set(given) < set(truth) or set(truth) < set(given):
        return False
    missed = set(truth) ^ set(given)
    plain = [item for item in missed if isinstance(item, str)]
    if not plain and len(truth) == len(given):
        return False
    return False if clearly_other(question, answer, bare(said)) else None


COMPARISONS: dict[str, Comparison] = {
    "auto": _auto,
    "exact": _exact,
    "text": _text,
    "numeric": _numeric,
    "choice": _choice,
    "yes_no": _yes_no,
    "date": _date,
    "time": _time,
    "range": _range,
    "anls": _anls,
    "list": _list,
}
"""Name of a metric → whether (question, answer, prediction) is right."""


def _read(text: str) -> str:
    return bare(plain(text) if is_latex(text) else text)


def _in_asked_unit(question: str, number: Quantity) -> Quantity:
    """A number without a unit has the one that the question asks for."""
    if number.unit.dimension or number.noun:
        return number
    asked = asked_unit(question)
    return replace(number, unit=asked) if asked else number


def _named(question: str, answer: str, said: str) -> bool:
    """Whether one side names beside the answer what was asked for: "bar A" to "Which bar …?"."""
    words, label = normal(said).split(), normal(answer).split()
    if len(words) < len(label):
        words, label = label, words
    extra = len(words) - len(label)
    if not label or not 1 <= extra <= 2 or len(words) > 12:
        return False
    if any(len(word) < 3 for word in (words[:extra] if words[extra:] == label else words[-extra:])):
        return False
    asked = asked_nouns(question)
    if words[extra:] == label:
        return all(stem(word) in asked for word in words[:extra])
    if words[: len(label)] == label:
        return all(stem(word) in asked for word in words[len(label) :])
    return False


def _letters(text: str) -> str:
    return "".join(char for char in text if char.isalpha())


def _untitled(answer: str, said: str) -> bool:
    """Whether one name has a title that the other leaves out: Dr. Jane Smith."""
    titles = [_TITLE.match(text) for text in (answer, said)]
    if (titles[0] is None) == (titles[1] is None):
        return False
    names = [_TITLE.sub("", text) for text in (answer, said)]
    return same_text(*names) and " " in names[0]


def _same_thing(question: str, answer: str, said: str) -> bool:
    """Whether two names of one thing answer alike; a word that was read off has no other name."""
    if is_read_off(question) or not same_name(answer, said):
        return False
    return not is_calendar(answer) or _CALENDAR.search(question) is not None


def _same_joined(answer: str, said: str) -> bool:
    """Whether two texts differ in spaces and hyphens between words only: e-mail, data set."""
    joined = [re.sub(r"[\s-]", "", normal(text)) for text in (answer, said)]
    return joined[0] == joined[1] and len(joined[0]) > 4 and joined[0].isalpha()


def _same_code(answer: str, said: str) -> bool:
    """Whether two codes differ in spaces and hyphens only: XR-500 and XR500, phone numbers."""
    if len(answer) > 40 or len(said) > 40:
        return False
    codes = [re.sub(r"[\s()-]", "", text).casefold() for text in (answer, said)]
    if len(codes[0]) < 4 and _letters(answer) != _letters(said):
        return False  # 3M is not 3 m
    if codes[0] != codes[1] or not re.fullmatch(r"[\w+]+", codes[0]):
        return False
    digits = sum(char.isdigit() for char in codes[0])
    mixed = digits and re.search(r"[A-Z]", answer)
    return digits >= 7 or bool(mixed and not re.search(r"[0-9][\s()-]+[0-9]", f"{answer}|{said}"))


def _items(text: str) -> list[str | Quantity]:
    """The items of a list, in a form in which equal ones are equal."""
    text = text.strip().strip("[](){}")
    lines = [re.sub(r"^\s*(?:[-*•]|[0-9]{1,2}[.)])\s+", "", line) for line in text.split("\n")]
    pieces = re.split(r"[;\n]|,(?![0-9]{3}(?![0-9]))|\s(?:and|&)\s|,\s", "\n".join(lines))
    items = [piece.strip().strip("'\"") for piece in pieces]
    items = [re.sub(r"^(?:and|both)\s+", "", item) for item in items]
    return [_item(item) for item in items if item.strip()]


def _item(text: str) -> str | Quantity:
    number = quantity(text)
    return Quantity(Number(number.value), number.unit, number.noun) if number else normal(text)
