"""Rules that compare a prediction with the ground truth, one rule per form of ground truth.

A comparison says True (right), False (clearly wrong) or None (it cannot tell). Every function is
total: it has a value for any texts, and an answer that is not blank is always right against itself.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

from visionthink.judges.answer_text import bare, normal, similarity
from visionthink.judges.choices import letters_of, misses, options_in
from visionthink.judges.contrasts import clearly_other, clearly_other_number, refuses
from visionthink.judges.final_answer import final_answer, question_words
from visionthink.judges.judge import JudgeOptions
from visionthink.judges.latex import is_latex, plain
from visionthink.judges.mathematics import same_expression
from visionthink.judges.moments import date, same_date, same_time, time_of_day
from visionthink.judges.numbers import Number
from visionthink.judges.polarity import contradicts, polarity, said_polarity
from visionthink.judges.quantity import Quantity, quantity, same_quantity, stem
from visionthink.judges.ranges import bound, hours, pair, same_bound, same_pair
from visionthink.judges.units import SHARE, unit
from visionthink.judges.word_classes import same_name

LONGEST_PREDICTION = 20_000
"""Characters. A longer prediction is wrong by rule, so that reading one takes bounded time."""

_ORDERED = re.compile(r"\b(?:order|sequence|from \w+ to \w+|first|then|respectively|steps)\b", re.I)
_SEVERAL = re.compile(
    r"\b(?:which|what|name|list|give)\b.*?\b(?:two|three|four|five|items|order|sequence|\w{3,}s are)\b"
    r"|\bcolou?rs\b|\bcountries\b",
    re.IGNORECASE | re.DOTALL,
)
_NONE = {"none", "no", "zero", "nobody", "nothing", "no one"}
_CALCULATED = re.compile(
    r"\b(?:fractions?|ratio|share|portion|probability|simplif\w+|reduce[ds]?|calculate|compute|"
    r"solve|evaluate|equations?|sum|product|divided|quotient|proportion|percent\w*|chance|"
    r"how much|slope|solution|what part|which part|lowest terms|equals?|value of)\b|[=+√^\\]|"
    r"\bwhat is [0-9x]",
    re.IGNORECASE,
)
_LABELS = re.compile(
    r"\b(?:signature|rating|rated|score|page|date|stamp|size|label|aperture|pressure|odds|plate|read|"
    r"reads|written|shown on|say|says|wrench|pipe)\b",
    re.IGNORECASE,
)
_OUT_OF = re.compile(r"/\s?(?:5|10|100)\b|\bout of (?:5|10|100|five|ten)\b", re.IGNORECASE)
_SCALED = re.compile(r"\b(?:thousands?|millions?|billions?|mn|bn|in k)\b", re.IGNORECASE)
_CASED = re.compile(r"\b(?:formula|symbol|element|compound|molecule|variable|chemical|units?)\b", re.I)
_IN_UNIT = re.compile(r"\bin ([a-zA-Z°%$€£/²³]+(?: (?:per|of|dollars|feet|meters|metres) ?\w*)?)|\(([^()]{1,20})\)")


@dataclass(frozen=True)
class Rules:
    """Which comparison is made, with its thresholds.

    Args:
        metric: a name in `COMPARISONS`; auto takes it from the form of each ground truth.
        tolerance: relative difference that `numeric` forgives.
        anls_threshold: smallest similarity that `anls` accepts.
        sentences: also read the answer that a sentence or a longer reply ends in.
    """

    metric: str = "auto"
    tolerance: float = 0.0
    anls_threshold: float = 0.5
    sentences: bool = True

    @classmethod
    def of(cls, options: JudgeOptions) -> Rules:
        return cls(options.metric, options.tolerance, options.anls_threshold, options.sentences)

    def decide(self, question: str, answers: Sequence[str], prediction: str) -> bool | None:
        """Right if it matches any answer; clearly wrong if it clearly misses every answer."""
        said = prediction.strip()
        if not said:
            return False
        if len(said) > LONGEST_PREDICTION:
            return said in map(str.strip, answers)
        found = [self._compare(question, answer.strip(), said) for answer in answers]
        if True in found:
            return True
        return None if None in found else False

    def _compare(self, question: str, answer: str, said: str) -> bool | None:
        if answer == said:
            return True
        name = metric_for(question, answer) if self.metric == "auto" else self.metric
        compare = COMPARISONS[name]
        verdict = compare(self, question, answer, said)
        if verdict is True or not self.sentences or name == "anls":
            return verdict
        for stated in final_answer(question, said):
            found = compare(self, question, answer, stated)
            if found:
                return True
            verdict = found if verdict is None else verdict
        return verdict


def same_text(answer: str, prediction: str) -> bool:
    """The metric `exact`: equal but for case, spacing, articles, quotes and markup."""
    return normal(prediction) == normal(answer)


def metric_for(question: str, answer: str) -> str:
    """What `auto` compares: the form of the ground truth, seen with the question.

    Answers with commas alone are compared as text, since "Paris, France" is not a list, and so are
    lists where the question gives an order.
    """
    if polarity(answer) is not None:
        return "yes_no"
    if (options := options_in(question)) and letters_of(answer, options):
        return "choice"
    if re.fullmatch(r"[A-J]|\([A-J]\)(?:\s.*)?", answer):
        return "choice"
    if quantity(_read(answer), question_words(question)) and not re.search(r"\bversion\b", question):
        return "numeric"
    if date(answer):
        return "date"
    if time_of_day(answer) or hours(answer):
        return "time"
    if pair(answer) or bound(answer):
        return "range"
    if re.search(r";|\n|^\[.*\]$|\sand\s", answer) and len(_items(answer)) > 1:
        return "list"
    several = answer.count(",") and _SEVERAL.search(question) and len(_items(answer)) > 1
    return "list" if several else "text"


# Comparisons. `decide` has compared the texts as they are before.


def _auto(rules: Rules, question: str, answer: str, said: str) -> bool | None:
    return COMPARISONS[metric_for(question, answer)](rules, question, answer, said)


def _exact(rules: Rules, question: str, answer: str, said: str) -> bool | None:
    return same_text(answer, said) or None


def _text(rules: Rules, question: str, answer: str, said: str) -> bool | None:
    truth, given = _read(answer), _read(said)
    if same_text(truth, given) or _same_code(truth, given):
        cased = _CASED.search(question) and len(answer) < 20
        return None if cased and _letters(truth) != _letters(given) else True
    if same_name(normal(truth), normal(given)) or _named(question, truth, given) or same_expression(answer, said):
        return True
    return False if clearly_other(question, truth, given) else None


def _numeric(rules: Rules, question: str, answer: str, said: str) -> bool | None:
    words = question_words(question)
    truth, given = quantity(_read(answer), words), quantity(_read(said), words)
    if truth is None:
        return None
    if given is None and bare(said).lower() in _NONE:
        given = quantity("0")
    if given is None:
        if truth.number.over and (one := pair(bare(answer))) and (other := pair(bare(said))):
            return same_pair(one, other)
        if not truth.unit.dimension and (rating := pair(bare(said))) and _OUT_OF.search(said):
            return True if rating.first.value == truth.value and _LABELS.search(question) else None
        if _named(question, answer, said) or same_expression(answer, said):
            return True
        return False if clearly_other_number(question, bare(answer), said) else None
    if bare(answer) == bare(said):
        return True
    label = truth.number.over and _LABELS.search(question)
    calculated = not label and (_CALCULATED.search(question) or not question.strip())
    same = same_quantity(
        _asked(question, truth),
        _asked(question, given),
        rules.tolerance,
        calculated=bool(calculated) or is_latex(answer) or is_latex(said),
        scaled=_SCALED.search(question) is not None,
    )
    return False if same is None and label else same


def _choice(rules: Rules, question: str, answer: str, said: str) -> bool | None:
    options = options_in(question)
    truth = letters_of(answer, options)
    if truth is None:
        return _exact(rules, question, answer, said)
    given = letters_of(_read(said), options)
    if given is None and not options:
        return _text(rules, question, answer, said)
    if given is None:
        given = _by_value(rules, options, said)
    if given is None:
        return False if refuses(said) or misses(truth, bare(said), options) else None
    return truth == given


def _by_value(rules: Rules, options: Mapping[str, str], said: str) -> frozenset[str] | None:
    """The option whose value is stated in another form, if all others have another value."""
    right = [
        letter
        for letter, option in options.items()
        if option and COMPARISONS[metric_for("", option)](rules, "", option, said)
    ]
    return frozenset(right) if len(right) == 1 else None


def _yes_no(rules: Rules, question: str, answer: str, said: str) -> bool | None:
    truth = polarity(answer)
    if truth is None:
        return _exact(rules, question, answer, said)
    given = said_polarity(question, said)
    if given is not None:
        return truth == given
    return False if contradicts(truth, said) or refuses(said) else None


def _date(rules: Rules, question: str, answer: str, said: str) -> bool | None:
    same = True if same_text(answer, said) else same_date(bare(answer), bare(said))
    return False if same is None and clearly_other(question, answer, bare(said)) else same


def _time(rules: Rules, question: str, answer: str, said: str) -> bool | None:
    if same_text(answer, said):
        return True
    if (true := hours(answer)) and (given := hours(bare(said))):
        return true == given
    same = same_time(answer.strip(), said.strip(" *\"'"))
    return False if same is None and clearly_other(question, answer, bare(said)) else same


def _range(rules: Rules, question: str, answer: str, said: str) -> bool | None:
    if same_text(answer, said):
        return True
    stated = bare(said)
    if (true := pair(answer)) and (given := pair(stated)):
        return same_pair(true, given)
    if (limit := bound(answer)) and (other := bound(stated)):
        return same_bound(limit, other)
    if quantity(stated) or pair(stated) or bound(stated):
        return False
    return False if clearly_other(question, answer, stated) else None


def _anls(rules: Rules, question: str, answer: str, said: str) -> bool | None:
    return similarity(answer, said) >= rules.anls_threshold or None


def _list(rules: Rules, question: str, answer: str, said: str) -> bool | None:
    if same_text(answer, said):
        return True
    truth, given = _items(bare(answer)), _items(bare(said))
    if truth == given or (not _ORDERED.search(question) and Counter(truth) == Counter(given)):
        return True
    if Counter(truth) == Counter(given) or set(given) < set(truth) or set(truth) < set(given):
        return False
    missed = set(truth) ^ set(given)
    plain = [item for item in missed if isinstance(item, str)]
    if not plain and len(truth) == len(given):
        return False
    return False if clearly_other(question, answer, bare(said)) else None


COMPARISONS: dict[str, Callable[[Rules, str, str, str], bool | None]] = {
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


def _asked(question: str, number: Quantity) -> Quantity:
    """A number without a unit has the one that the question asks for: "How long in metres?"."""
    if number.unit.dimension or number.noun or not question:
        return number
    if re.search(r"\bhow old\b", question, re.IGNORECASE):
        return Quantity(number.number, unit("years") or number.unit)
    found = [unit(form[1] or form[2]) for form in _IN_UNIT.finditer(question[:2000])]
    units = [each for each in found if each is not None and each.dimension != SHARE]
    return Quantity(number.number, units[-1]) if units else number


def _named(question: str, answer: str, said: str) -> bool:
    """Whether one side names beside the answer what was asked for: "bar A" to "Which bar …?"."""
    words, label = normal(said).split(), normal(answer).split()
    if len(words) < len(label):
        words, label = label, words
    extra = len(words) - len(label)
    if not label or not 1 <= extra <= 2 or len(words) > 12:
        return False
    asked = asked_nouns(question)
    if words[extra:] == label:
        return all(stem(word) in asked for word in words[:extra])
    if words[: len(label)] == label:
        return all(stem(word) in asked for word in words[len(label) :])
    return False


@lru_cache(maxsize=1024)
def asked_nouns(question: str) -> frozenset[str]:
    """Stems of what a question asks for: {"room", "number"} in "What is the room number of …?"."""
    found: set[str] = set()
    for phrase in _ASKED.finditer(question[:2000].lower()):
        for word in phrase[1].split()[:3]:
            if word in _NOT_ASKED:
                break
            found.add(stem(word))
    return frozenset(found or ({"bar", "line", "option", "figure"} if not question.strip() else ()))


_ASKED = re.compile(
    r"\b(?:which|what)\s+(?:(?:is|are|was|were)\s+)?(?:of\s+)?(?:(?:the|these|this)\s+)?((?:[a-z]+\s?){1,3})"
)
_NOT_ASKED = set(
    "is are was were do does did has have had can will would of in on at to for by from with and or "
    "that not value answer total largest smallest highest lowest first second last left right".split()
)


def _letters(text: str) -> str:
    return "".join(char for char in text if char.isalpha())


def _same_code(answer: str, said: str) -> bool:
    """Whether two codes differ in spaces and hyphens only: XR-500 and XR500, phone numbers."""
    if len(answer) > 40 or len(said) > 40:
        return False
    codes = [re.sub(r"[\s()-]", "", text).casefold() for text in (answer, said)]
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
