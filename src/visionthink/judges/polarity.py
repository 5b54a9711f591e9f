"""Yes or no: what a reply says, and whether the rest of it takes that back."""

# people type these:
# ruff: noqa: RUF001

from __future__ import annotations

import re

from visionthink.judges.answer_text import bare, normal
from visionthink.judges.word_classes import exclusive, words

_YES = {
    "是",
    "有",
    "sí",
    "oui",
    "ja",
    "yes",
    "true",
    "yep",
    "yeah",
    "yup",
    "correct",
    "affirmative",
}
_NO = {
    "否",
    "不是",
    "没有",
    "non",
    "nein",
    "no",
    "false",
    "nope",
    "nah",
    "nay",
    "incorrect",
    "negative",
}
WORDS = {**dict.fromkeys(_YES, True), **dict.fromkeys(_NO, False)}

_QUOTED = re.compile(r"\"[^\"]*\"|“[^”]*”|(?<!\w)'[^']*'(?!\w)|«[^»]*»")
_FIRST = re.compile(r"[\s*_`\"'“(\[]*([^\W\d_]+)[*_`\"'”)\]]*")
_TOKENS = re.compile(r"[^\W\d_]+(?:['’][a-z]+)?|[0-9]+|[.,;:!?()—–-]")
_NEGATIONS = {"not", "no", "none", "neither", "nor", "nothing", "nobody", "without", "cannot"}
_TAKEN_BACK = words(
    "but however although though or maybe perhaps wait actually unless except if might could never "
    "nope nah yep yeah yup yes sure unsure wrong incorrect opposite kidding joking hardly barely "
    "possibly probably instead rather otherwise false true correction sorry mistake unclear "
    "uncertain zero none nobody fewer lower equal unknown partly partially almost nearly sometimes "
    "only until depends guess untrue"
)
_SUBJECTS = words("it there he she they this that these those i we you one")
_AUXILIARIES = words(
    "is are was were am be does do did has have had can will would should it's there's that's he's "
    "she's they're"
)
_OPENERS = _SUBJECTS | _AUXILIARIES | words("the a an because since as and so in on at")
_IMAGES = words("image picture photo")
_SMALL = _SUBJECTS | _AUXILIARIES | words("a an the any some in of on at to and image picture")


def polarity(text: str) -> bool | None:
    """Yes or no where that is all that `text` says."""
    return WORDS.get(normal(text))


def said_polarity(question: str, text: str) -> bool | None:
    """Yes or no if `text` opens with one and takes nothing back, or restates the question."""
    text = bare(text)
    first = _FIRST.match(text)
    word = first[1].lower() if first else ""
    lead = WORDS.get(word)
    if first is None or lead is None or word in ("correct", "incorrect", "negative"):
        return (
            polarity(text)
            if lead is not None
            else _last(question, text) or _as_asked(question, text)
        )
    tokens = _tokens(text[first.end() :])
    if not any(token[0].isalnum() for token in tokens):
        return None if "?" in tokens else lead
    asked = _asked(question)
    if tokens[0].isalnum() and tokens[0] not in _OPENERS and "'" not in tokens[0]:
        # "No car", but not "No idea" and "No 5"
        plain = asked | _SMALL - _IMAGES | {".", ",", "so", "no"}
        return False if not lead and plain.issuperset(tokens) else None
    if (
        "?" in tokens
        or re.match(r"no\.\s*[0-9]", text, re.IGNORECASE)
        or (_TAKEN_BACK - _ALLOWED[lead]).intersection(tokens)
    ):
        return None
    if lead and "0" in tokens:
        return None  # "Yes, 0"
    return lead if _agrees(lead, tokens, asked, _TOKENS.findall(question.lower())) else None


def _last(question: str, text: str) -> bool | None:
    """The yes or no that a plain statement ends in: "It is on, yes."."""
    words = [token for token in _tokens(text) if token[0].isalnum()]
    plain = not _NEGATIONS.intersection(words[:-1]) and not _TAKEN_BACK.intersection(words[:-1])
    known = _asked(question) | _SMALL | {"so", "think", "believe", "sure"}
    told = plain and 2 <= len(words) <= 12 and known.issuperset(words[:-1])
    return WORDS.get(words[-1]) if told and words[-1] in ("yes", "no") else None


def contradicts(truth: bool, text: str) -> bool:
    """Whether a reply that is no plain yes or no does not say the true one either.

    It ends in the other one, says both, or only looks like the true one ("No idea").
    """
    text = bare(text)
    if len(text) > 400:
        return False
    first = _FIRST.match(text)
    words = [token for token in _tokens(text) if token[0].isalnum()]
    said = [WORDS[word] for word in words if word in WORDS]
    if not said:
        return words[:1] == ["untrue"] and truth
    if len(words) > 1 and words[-2] in ("not", "n't") and words[-1] in WORDS:
        return WORDS[words[-1]] == truth
    if said[-1] != truth:
        return True
    at = max(number for number, word in enumerate(words) if word in WORDS)
    if any(word == "not" or word.endswith("n't") for word in words[:at]):
        return truth  # "It is not true that the answer is yes", but "It isn't closed, no"
    lead = WORDS.get(first[1].lower()) if first else None
    if set(said) == {True, False}:
        return bool(re.search(r"\b(?:or|and)\b|/|no yes", text.lower())) or words[-1] not in WORDS
    if lead is True and truth:
        return "never" in words or words[-1] == "not" or words[-1].endswith("n't")
    return lead == truth and lead is not None and _tokens(text)[1:2] != [","]


def _tokens(text: str) -> list[str]:
    """Words and stops in lower case, quotations left out."""
    return _TOKENS.findall(_QUOTED.sub(" quoted ", text).lower().replace("’", "'"))


def _asked(question: str) -> set[str]:
    return set(_TOKENS.findall(question.lower())) - _SMALL


_UNIVERSAL = words("all every each both everything everyone")
_ALLOWED = {
    True: {"but", "only", "until", "although", "though"},
    False: {"but", "only", "never", "nope", "nah", "although", "though"},
}
"""Words that limit a yes or no without taking it back."""


def _agrees(lead: bool, tokens: list[str], asked: set[str], every: list[str]) -> bool:
    """Whether an explanation is consistent with the yes or no before it."""
    clauses: list[list[str]] = [[]]
    for token in tokens:
        if token[0].isalnum() and token not in ("but", "and", "so"):
            clauses[-1].append(token)
        else:
            clauses.append([])
    for clause in filter(None, clauses):
        negated = any(word in _NEGATIONS or word.endswith("n't") for word in clause)
        content = [word for word in clause if word not in _SMALL and word not in _NEGATIONS]
        content = [word for word in content if not word.endswith("n't") and word != "only"]
        if any(
            exclusive(word, other) for word in content for other in every if lead and not negated
        ):
            return False  # "Yes, it is closed"
        if not lead and not negated and _UNIVERSAL.intersection(clause):
            return False  # "No, all of them are"
        if lead and negated:
            # Yes, it is not a cat; with no wheels. Not: "it is not", "it is not lit".
            contrast = re.search(
                r"(?:not an?|no|without an?|without|not the) ([a-z]+)", " ".join(clause)
            )
            if not contrast or contrast[1] in asked:
                return False
        last = [word for word in every if word in asked and word[0].isalnum()][-1:]
        affirmed = asked.issuperset(content) or set(last) <= set(content)
        if not lead and not negated and affirmed:
            return False  # "No, it is", "No, there is a dog", "No, it is bright red"
    return True


def _as_asked(question: str, text: str) -> bool | None:
    """Yes for "There is a dog.", no for "There is no dog." to "Is there a dog?"."""
    asked = _plain_words(question)
    said = _plain_words(text)
    if not 3 <= len(asked) <= 20 or asked[0] not in _AUXILIARIES or asked[0] not in said:
        return None
    auxiliary = said.index(asked[0])
    rest = said[:auxiliary] + said[auxiliary + 1 :]
    negated = False
    for at, word in enumerate(rest):
        if word in ("not", "no") and at >= auxiliary and at <= auxiliary + 1:
            rest, negated = rest[:at] + rest[at + 1 :], True
            break
    return not negated if rest == asked[1:] else None


def _plain_words(text: str) -> list[str]:
    words = re.findall(r"[a-z0-9]+(?:'[a-z]+)?", text.lower().replace("’", "'"))
    return [word for word in words if word not in ("a", "an", "the", "any")]
