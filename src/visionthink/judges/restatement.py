"""Replies that put the answer into the question's own words: "The arrow points to the left."."""

from __future__ import annotations

import re

from visionthink.judges.answer_text import normal
from visionthink.judges.quantity import stem
from visionthink.judges.question import alternatives_in, operation_in, question_words
from visionthink.judges.word_classes import words

MOST_WORDS = 40

_NEGATIONS = words(
    "not no never neither nor dont doesnt didnt isnt arent wasnt cannot cant wont havent hasnt "
    "nothing none without"
)
_SMALL = words(
    "the a an this that these those it its there here he she they his her their i we you my our "
    "of in on at to for by from with as is are was were be been do doe does did has have had can "
    "appear seem image picture photo"
)
_PAST = {
    **{"took": "take", "rose": "rise", "fell": "fall", "wrote": "write", "sold": "sell"},
    **{"made": "make", "won": "win", "held": "hold", "gave": "give", "went": "go", "ran": "run"},
    **{"began": "begin", "grew": "grow", "stood": "stand", "spent": "spend", "came": "come"},
}
_TURNS = words("to from for by with without against under over above below before after")
"""Prepositions that turn a statement into another one if the question does not have them."""
_LEADING = words("to from for by with")
"""Those that may lead to an answer where the question has none of either."""
_SAID_BY_ALL = {
    "point",
    "rated",
    "written",
    "shown",
    "located",
    "called",
    "holding",
    "worn",
    "read",
}


def restates(question: str, truth: str, said: str) -> bool:
    """Whether `said` is the truth and otherwise only words of the question, in its order.

    In its order, because "the dog kicked the man" does not answer who kicked the dog.
    """
    if len(said) > 400 or not question.strip():
        return False
    true, words = normal(truth).split(), normal(said).split()
    if not true or not len(true) < len(words) <= MOST_WORDS or {"than", "or", "if"} & set(words):
        return False
    starts = [at for at in range(len(words)) if words[at : at + len(true)] == true]
    if len(starts) != 1:
        return False
    rest = words[: starts[0]] + words[starts[0] + len(true) :]
    asked_order = [stem(re.sub(r"[^\w]", "", word)) for word in normal(question).split()]
    if operation_in(question) and not operation_in(question).intersection(map(stem, rest)):
        return False
    if re.search(r"\b(?:than|by)\b", question) and not {"than", "by"}.intersection(rest):
        return False
    turns = _TURNS & set(normal(question).split())
    if _TURNS.intersection(rest) - (turns or _LEADING):
        return False
    negated = sum(word in _NEGATIONS for word in rest)
    if negated != sum(word in _NEGATIONS for word in asked_order):
        return False
    offered = {word for option in alternatives_in(question) for word in option.split()}
    at, content = 0, False
    for word in rest:
        form = stem(re.sub(r"[^\w]", "", word))
        form = _PAST.get(form, form)
        if not form or form in _SAID_BY_ALL or (form in _SMALL and form not in true):
            continue
        if (
            len(form) < 2
            or form not in question_words(question)
            or form in offered
            or form not in asked_order[at:]
        ):
            return False
        at = asked_order.index(form, at) + 1
        content = content or word not in _NEGATIONS
    return content or not negated
