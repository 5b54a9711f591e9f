"""Rules that compare a prediction with the ground truth, one rule per form of ground truth.

A comparison says True (right), False (clearly wrong) or None (it cannot tell). Every function is
total: it has a value for any texts, and an answer that is not blank is always right against itself.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from visionthink.judges.answer_text import bare, normal, similarity
from visionthink.judges.choices import letters_of, options_in, with_text
from visionthink.judges.contrasts import clearly_other, refuses
from visionthink.judges.final_answer import final_answer, question_words
from visionthink.judges.judge import JudgeOptions
from visionthink.judges.latex import is_latex, plain
from visionthink.judges.mathematics import same_expression
from visionthink.judges.moments import date, same_date, same_time, time_of_day
from visionthink.judges.polarity import polarity, said_polarity
from visionthink.judges.quantity import Quantity, differs, quantity, same_quantity, stem
from visionthink.judges.units import unit

LONGEST_PREDICTION = 20_000
"""Characters. A longer prediction is wrong by rule, so that reading one takes bounded time."""

_ORDERED = re.compile(r"\b(?:order|sequence|from \w+ to \w+|first|then|respectively)\b", re.I)
_CALCULATED = re.compile(
    r"\b(?:fractions?|ratio|share|portion|probability|simplif\w+|reduce[ds]?|calculate|compute|"
    r"solve|evaluate|equations?|sum|product|divided|quotient|proportion|percent\w*|chance|odds|"
    r"how much|slope|solution|what part|which part|lowest terms|equals?|value of)\b|[=+√^\\]|"
    r"\bwhat is [0-9x]",
    re.IGNORECASE,
)
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
        if verdict is None and self.sentences and name != "anls":
            for stated in final_answer(question, said):
                verdict = compare(self, question, answer, stated)
                if verdict is not None:
                    break
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
    if quantity(_read(answer), question_words(question)):
        return "numeric"
    if date(answer):
        return "date"
    if time_of_day(answer):
        return "time"
    if is_latex(answer):
        return "maths"
    listed = re.search(r";|\s(?:and|&)\s", answer) and len(_items(answer)) > 1
    return "list" if listed and not _ORDERED.search(question) else "text"


# Comparisons. `decide` has compared the texts as they are before.


def _auto(rules: Rules, question: str, answer: str, said: str) -> bool | None:
    return COMPARISONS[metric_for(question, answer)](rules, question, answer, said)


def _exact(rules: Rules, question: str, answer: str, said: str) -> bool | None:
    return same_text(answer, said) or None


def _text(rules: Rules, question: str, answer: str, said: str) -> bool | None:
    if same_text(answer, said):
        cased = _CASED.search(question) and len(answer) < 20
        return None if cased and bare(answer) != bare(said) else True
    if _named(question, answer, said):
        return True
    return False if clearly_other(question, answer, bare(said)) else _maths(rules, question, answer, said)


def _numeric(rules: Rules, question: str, answer: str, said: str) -> bool | None:
    words = question_words(question)
    truth, given = quantity(_read(answer), words), quantity(_read(said), words)
    if truth is not None and given is None and bare(said).lower() in ("none", "no", "zero"):
        given = quantity("0")
    if truth is None or given is None:
        if truth is not None and refuses(said):
            return False
        if truth is not None and _named(question, answer, said):
            return True
        return None if truth is None else _maths(rules, question, answer, said)
    calculated = bool(_CALCULATED.search(question)) or is_latex(answer) or is_latex(said)
    truth, given = _asked(question, truth), _asked(question, given)
    same = same_quantity(truth, given, rules.tolerance, calculated)
    if same is None and normal(answer) == normal(said) and bare(answer) == bare(said):
        return True
    return False if same is not True and differs(truth, given) else same or None


def _choice(rules: Rules, question: str, answer: str, said: str) -> bool | None:
    options = options_in(question)
    truth = letters_of(answer, options)
    if truth is None:
        return _exact(rules, question, answer, said)
    given = letters_of(said, options)
    if given is None and not options:
        if same_text(answer, said) or _named(question, answer, said):
            return True
        return False if clearly_other(question, answer, bare(said)) or re.fullmatch(r"[A-Z]\W", said) else None
    if given is None and options:
        given = _by_value(rules, question, options, said)
    if given is None and refuses(said):
        return False
    return None if given is None else truth == given


def _by_value(rules: Rules, question: str, options: dict[str, str], said: str) -> frozenset[str] | None:
    """The option whose value is stated in another form, if all others have another value."""
    found = {
        letter: COMPARISONS[metric_for("", option)](rules, "", option, said)
        for letter, option in options.items()
        if option
    }
    right = [letter for letter, verdict in found.items() if verdict]
    return frozenset(right) if len(right) == 1 else None


def _yes_no(rules: Rules, question: str, answer: str, said: str) -> bool | None:
    truth, given = polarity(answer), said_polarity(question, said)
    if truth is None:
        return _exact(rules, question, answer, said)
    return None if given is None else truth == given


def _date(rules: Rules, question: str, answer: str, said: str) -> bool | None:
    if same_text(answer, said):
        return True
    return same_date(bare(answer), bare(said))


def _time(rules: Rules, question: str, answer: str, said: str) -> bool | None:
    if same_text(answer, said):
        return True
    return same_time(answer.strip(), said.strip(" *\"'"))


def _anls(rules: Rules, question: str, answer: str, said: str) -> bool | None:
    return similarity(answer, said) >= rules.anls_threshold or None


def _list(rules: Rules, question: str, answer: str, said: str) -> bool | None:
    if same_text(answer, said):
        return True
    return Counter(_items(bare(answer))) == Counter(_items(bare(said))) or None


def _maths(rules: Rules, question: str, answer: str, said: str) -> bool | None:
    if is_latex(answer) or is_latex(said):
        if same_text(plain(answer), plain(said)):
            return True
    return same_expression(answer, said) or None


COMPARISONS: dict[str, Callable[[Rules, str, str, str], bool | None]] = {
    "auto": _auto,
    "exact": _exact,
    "text": _text,
    "numeric": _numeric,
    "choice": _choice,
    "yes_no": _yes_no,
    "date": _date,
    "time": _time,
    "anls": _anls,
    "list": _list,
    "maths": _maths,
}
"""Name of a metric → whether (question, answer, prediction) is right."""


def _read(text: str) -> str:
    return bare(plain(text) if is_latex(text) else text)


def _asked(question: str, number: Quantity) -> Quantity:
    """A number without a unit has the one that the question asks for: "How long in metres?"."""
    if number.unit.dimension or number.noun or not question:
        return number
    found = [unit(form[1] or form[2]) for form in _IN_UNIT.finditer(question[:2000])]
    units = [each for each in found if each is not None and each.dimension != (("share", 1),)]
    return Quantity(number.number, units[-1]) if units else number


def _named(question: str, answer: str, said: str) -> bool:
    """Whether `said` is the answer beside what was asked for: "bar A" to "Which bar …?"."""
    words, label = normal(said).split(), normal(answer)
    asked = set(re.findall(r"\b(?:which|what)\s+(?:of\s+(?:the|these)\s+)?(\w+)", question.lower()))
    asked |= {"bar", "line", "option", "figure", "panel", "number"} if not question else set()
    asked = {stem(word) for word in asked} - {"is", "are", "was", "were", "do", "does", "not", "number"}
    if len(words) < 2 or len(answer) > 100:
        return False
    first, last = stem(words[0]), stem(words[-1])
    return (first in asked and " ".join(words[1:]) == label) or (
        last in asked and " ".join(words[:-1]) == label
    )


def _items(text: str) -> list[str | Quantity]:
    """The items of a list, in a form in which equal ones are equal."""
    text = text.strip().strip("[](){}")
    pieces = re.split(r"[;\n]|,(?![0-9]{3}(?![0-9]))|\s(?:and|&)\s|,\s", text)
    items = [piece.strip().strip("'\"") for piece in pieces]
    items = [re.sub(r"^and\s+", "", item) for item in items]
    return [quantity(item) or normal(item) for item in items if item.strip()]
