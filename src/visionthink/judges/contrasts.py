"""When two texts that are not equal clearly mean different things.

Different words may mean the same, so most pairs are left open. Clear are names of one closed class
(red and blue), the two alternatives that a question gives, codes, and texts that were to be read.
"""

from __future__ import annotations

import re
from functools import lru_cache

from visionthink.judges.answer_text import normal

_CLASSES = [
    # names in one row exclude each other; those joined by = are the same
    "red green blue yellow orange purple=violet pink brown black white gray=grey cyan=turquoise "
    "magenta beige gold silver maroon navy",
    "monday tuesday wednesday thursday friday saturday sunday",
    "january february march april may june july august september october november december",
    "north south east west northeast northwest southeast southwest",
    "left right",
    "top bottom",
    "up down",
    "above=over below=under",
    "inside outside",
    "circle triangle square star hexagon pentagon heart cross octagon",
    "male female",
    "man woman boy girl",
    "open closed=shut",
    "day night",
    "summer winter spring autumn=fall",
    "morning afternoon evening night",
    "breakfast lunch dinner",
    "increasing decreasing",
    "increase decrease",
    "true false",
    "cat dog horse cow sheep bird elephant bear zebra giraffe rabbit mouse lion tiger fish duck",
    "apple banana orange pear grape lemon strawberry pineapple peach cherry",
    "car=automobile bus truck=lorry bicycle=bike motorcycle=motorbike train boat airplane=plane",
    "wood metal plastic glass paper stone concrete leather",
    "small large=big medium",
    "hot cold",
    "wet dry",
    "vertical horizontal diagonal",
    "first second third fourth fifth sixth last",
    "sunny rainy cloudy snowy",
    "baseball basketball football soccer tennis golf hockey volleyball skiing surfing",
    "bar line pie scatter",
    "mean median mode",
    "english french german spanish italian chinese japanese russian",
    "mercury venus earth mars jupiter saturn uranus neptune",
    "sleeping running jumping sitting standing walking swimming eating flying lying",
    "happy sad angry",
    "kitchen bathroom bedroom",
    "pizza sandwich cake salad soup burger",
    "solid liquid gas",
]
_MEMBER: dict[str, list[tuple[int, int]]] = {}
for _row, _names in enumerate(_CLASSES):
    for _at, _same in enumerate(_names.split()):
        for _name in _same.split("="):
            _MEMBER.setdefault(_name, []).append((_row, _at))

_ALTERNATIVES = re.compile(r"([\w' -]{1,40}?),? or ([\w' -]{1,40})", re.IGNORECASE)
_READ = re.compile(
    r"\b(?:sa(?:y|ys)|read|reads|written|writing|text|title|titled|spell|spelled|spelt|word|words|"
    r"brand|logo|label|labelled|labeled|plate|name|named|code|caption|heading|headline|letters)\b",
    re.IGNORECASE,
)
_REFUSAL = re.compile(
    r"(?:(?:i'?m )?sorry,? )?(?:i|it|we|the (?:image|picture|answer|question|text))? ?"
    r"(?:can ?not|can't|could not|couldn't|do not|don't|does not|doesn't|am not able to|"
    r"is not possible to|am unable to|is impossible to|unable to|not sure|is (?:not|un)(?:clear|"
    r"known|readable|certain)|is too \w+)\b.{0,120}",
    re.IGNORECASE | re.DOTALL,
)
_SHORT_REFUSALS = {"unknown", "unanswerable", "n/a", "no idea", "none of your business", "unclear"}
_SPELLINGS = {frozenset(pair) for pair in ("sz", "ae", "ou", "iy", "ck")}
"""Letters that spellings of one word may differ by: organise, gray, disc."""
_ALNUM = re.compile(r"[^\w]|_")


def clearly_other(question: str, truth: str, said: str) -> bool:
    """Whether `said`, which is not equal to `truth`, can be no other name for it."""
    if len(said) > 200 or len(truth) > 200:
        return False
    true, given = normal(truth), normal(said)
    if refuses(said) and not refuses(truth):
        return True
    if (rows := _MEMBER.get(true)) and (other := _MEMBER.get(given)):
        return any(row == row2 and at != at2 for row, at in rows for row2, at2 in other)
    alternatives = alternatives_in(question)
    if true in alternatives and given in alternatives:
        return true != given
    letters, others = _ALNUM.sub("", true), _ALNUM.sub("", given)
    if not letters or not others or letters == others or not given.isascii() or not true.isascii():
        return False
    if " " not in true and " " not in given and _is_code(truth) and _is_code(said):
        return True
    if _one_letter_off(true.split(), given.split()):
        return True
    read = bool(_READ.search(question))
    apart = letters not in others and others not in letters
    return read and apart and len(given.split()) <= 8 and given.split()[0] not in ("it", "there")


def refuses(text: str) -> bool:
    """Whether a reply gives no answer."""
    text = text.strip()
    return text.lower().rstrip(".!") in _SHORT_REFUSALS or (
        len(text) < 200 and _REFUSAL.fullmatch(text) is not None
    )


@lru_cache(maxsize=1024)
def alternatives_in(question: str) -> frozenset[str]:
    """What a question offers: "Is the light red, amber or green?"."""
    if len(question) > 2000 or " or " not in question:
        return frozenset()
    found: set[str] = set()
    for sentence in re.split(r"[?!.\n]", question):
        if " or " not in sentence:
            continue
        *before, last = re.split(r",? or ", sentence)
        pieces = [piece for part in before for piece in re.split(r",|:", part)]
        found.update(normal(piece) for piece in [*pieces, last])
        words = before[-1].split()
        if words:
            found.add(normal(words[-1]))
    return frozenset(found)


def _is_code(text: str) -> bool:
    text = text.strip(" .\"'")
    return any(char.isdigit() for char in text) and any(char.isalpha() for char in text)


def _one_letter_off(true: list[str], given: list[str]) -> bool:
    """Whether one letter of one word was replaced, and not as two spellings of a word differ."""
    if len(true) != len(given) or len(true) > 12:
        return False
    changed = [pair for pair in zip(true, given, strict=True) if pair[0] != pair[1]]
    if len(changed) != 1 or len(changed[0][0]) != len(changed[0][1]) or len(changed[0][0]) < 3:
        return False
    letters = [pair for pair in zip(*changed[0], strict=True) if pair[0] != pair[1]]
    return len(letters) == 1 and frozenset(letters[0]) not in _SPELLINGS
