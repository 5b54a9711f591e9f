"""Yes or no: what a reply says, and whether the rest of it takes that back."""

from __future__ import annotations

import re

from visionthink.judges.answer_text import bare, normal

_YES = {"yes", "true", "yep", "yeah", "yup", "correct", "affirmative"}
_NO = {"no", "false", "nope", "nah", "incorrect", "negative"}
WORDS = {**dict.fromkeys(_YES, True), **dict.fromkeys(_NO, False)}

_QUOTED = re.compile(r"\"[^\"]*\"|“[^”]*”|(?<!\w)'[^']*'(?!\w)|«[^»]*»")
_FIRST = re.compile(r"[\s*_`\"'“(\[]*([a-z]+)[*_`\"'”)\]]*", re.IGNORECASE)
_TOKENS = re.compile(r"[a-z]+(?:['’][a-z]+)?|[0-9]+|[.,;:!?()—–-]")
_NEGATIONS = {"not", "no", "none", "neither", "nor", "nothing", "nobody", "without", "cannot"}
_TAKEN_BACK = set(
    "but however although though or maybe perhaps wait actually unless except if might could never "
    "nope nah yep yeah yup yes sure unsure wrong incorrect opposite kidding joking hardly barely "
    "possibly probably instead rather otherwise false true correction sorry mistake unclear "
    "uncertain unknown partly partially almost nearly sometimes only until depends guess".split()
)
_SUBJECTS = set("it there he she they this that these those i we you one".split())
_AUXILIARIES = set(
    "is are was were am be does do did has have had can will would should it's there's that's he's "
    "she's they're".split()
)
_OPENERS = _SUBJECTS | _AUXILIARIES | set("the a an because since as and so in on at".split())
_SMALL = _SUBJECTS | _AUXILIARIES | set("a an the any some in of on at to and image picture".split())


def polarity(text: str) -> bool | None:
    """Yes or no where that is all that `text` says."""
    return WORDS.get(normal(text))


def said_polarity(question: str, text: str) -> bool | None:
    """Yes or no if `text` opens with one and takes nothing back, or states the question's clause."""
    text = bare(text)
    first = _FIRST.match(text)
    lead = WORDS.get(first[1].lower()) if first else None
    if first is None or lead is None or first[1].lower() in ("correct", "incorrect", "negative"):
        return polarity(text) if first and lead is not None else _as_asked(question, text)
    rest = _QUOTED.sub(" quoted ", text[first.end() :]).lower()
    tokens = _TOKENS.findall(rest.replace("’", "'"))
    if not any(token[0].isalnum() for token in tokens):
        return None if "?" in tokens else lead
    if tokens[0].isalnum() and tokens[0] not in _OPENERS and "'" not in tokens[0]:
        return None  # "No idea", "No 5"
    if "?" in tokens or _TAKEN_BACK.intersection(tokens):
        return None
    asked = set(_TOKENS.findall(question.lower())) - _SMALL
    return lead if _agrees(lead, tokens, asked) else None


def _agrees(lead: bool, tokens: list[str], asked: set[str]) -> bool:
    """Whether an explanation is consistent with the yes or no before it."""
    clauses: list[list[str]] = [[]]
    for token in tokens:
        if token[0].isalnum():
            clauses[-1].append(token)
        else:
            clauses.append([])
    for clause in filter(None, clauses):
        negated = any(word in _NEGATIONS or word.endswith("n't") for word in clause)
        content = [word for word in clause if word not in _SMALL and word not in _NEGATIONS]
        content = [word for word in content if not word.endswith("n't")]
        if lead and negated:
            # Yes, it is not a cat: a contrast to what was asked. Not: "it is not", "it isn't on".
            contrast = re.fullmatch(
                r"(?:it|this|that)(?: is|'s) not an? [a-z]+(?: [a-z]+)?", " ".join(clause)
            )
            if not contrast or asked.intersection(content):
                return False
        if not lead and not negated and asked.issuperset(content):
            return False  # "No, it is", "No, there is a dog"
    return True


def _as_asked(question: str, text: str) -> bool | None:
    """Yes for "There is a dog.", no for "There is no dog.", where the question is "Is there a dog?"."""
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
