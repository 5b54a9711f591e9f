"""When two texts that are not equal clearly mean different things, or state nothing plainly.

Different words may mean the same, so most pairs of words are left open. Clear are names of one
closed class (red and blue), the alternatives that a question gives, other digits, texts to be
read, denials of the truth, and several answers at once.
"""

# people type these:
# ruff: noqa: RUF001

from __future__ import annotations

import re
import unicodedata

from visionthink.judges.answer_text import last_match, normal, places
from visionthink.judges.numbers import numbers_in
from visionthink.judges.quantity import stem
from visionthink.judges.question import (
    alternatives_in,
    asked_nouns,
    is_cased,
    is_read_off,
    question_words,
)
from visionthink.judges.word_classes import exclusive, rows_of, words

_REFUSAL = re.compile(
    r"(?:(?:i'?m )?sorry,? )?(?:i|it|we|the (?:image|picture|answer|question|text))? ?"
    r"(?:can ?not|can't|could not|couldn't|do not|don't|does not|doesn't|am not able to|"
    r"is not possible to|am unable to|is impossible to|unable to|not sure|is (?:not |un)(?:clear|"
    r"known|readable|certain)|is too \w+|have no)\b.{0,120}",
    re.IGNORECASE | re.DOTALL,
)
_SHORT_REFUSALS = words(
    "unknown unanswerable n/a unclear many several some number answer all everything"
) | {"no idea", "none of the above", "all of the above", "no answer", "no comment", "a few"}
_SPELLINGS = {frozenset(pair) for pair in ("sz", "ae", "ou", "iy", "ck")}
"""Letters that spellings of one word may differ by: organise, gray, disc."""
_ABBREVIATIONS = words("st rd ave blvd vol no dr mr mrs ms co inc ltd dept jr sr mt ft prof fig")
_ALNUM = re.compile(r"[^\w]|_")
_DENIALS = r"(?:not|never|no|without|except|but|neither|nor|non|(?:is|are|was|does|do|did)n'?t)"
_DENIAL = re.compile(rf"\b{_DENIALS}\b")
_DENIED_BEFORE = re.compile(rf"\b{_DENIALS} (?:a |an |the |on |to )?$")
_DENIED_AFTER = re.compile(r" is (?:wrong|incorrect|false|not)\b")
_RETRACTS = re.compile(
    r"\b(?:no|wait|actually|sorry|correction|incorrect|wrong|rather|instead|scratch|i meant?)\b",
    re.IGNORECASE,
)
_SEPARATORS = re.compile(r"\s*(?:[,;/|\n]|\band\b|\bor\b|&)\s*", re.IGNORECASE)


def clearly_other(question: str, truth: str, said: str) -> bool:
    """Whether `said`, which was not found equal to `truth`, cannot mean it."""
    if len(said) > 400 or len(truth) > 200:
        return False
    if refuses(said) and not refuses(truth):
        return True
    true, given = _unnamed(question, normal(truth)), _unnamed(question, normal(said))
    if not re.search(r"\w", given):
        return bool(re.search(r"\w", true)) and said not in truth
    if _denies(true, given) or _offers_several(true, given) or _retracts(true, given):
        return True
    alternatives = alternatives_in(question)
    if true in alternatives and given in alternatives:
        return true != given
    if exclusive(true, given) or _names_others(true, given):
        return True
    return _other_text(question, truth, said, true, given)


def _other_text(question: str, truth: str, said: str, true: str, given: str) -> bool:
    letters, others = _ALNUM.sub("", true), _ALNUM.sub("", given)
    if letters == others:
        return _marked_otherwise(true, given)
    if not letters or not others:
        return False
    if (
        max(len(truth), len(said)) <= 3
        and any(map(str.isupper, truth))
        and any(map(str.isupper, said))
    ):
        return letters != others or is_cased(question)
    if _unaccented(letters) == _unaccented(others):
        return False
    if _other_digits(true, given, letters, others):
        return True
    if _one_letter_off(true.split(), given.split()):
        return True
    inside = letters in others or others in letters
    if _abbreviated(true.split(), given.split()):
        return False
    if is_read_off(question):
        if f" {true} " in f" {given} " and len(given.split()) > 2:
            return False
        return len(given.split()) <= 8 and given.split()[0] not in ("it", "there", "this")
    if len(true) == 1 and len(given) == 1:
        return True
    return not inside and _is_name(truth) and _is_name(said) and not _initials(truth, said)


def _denies(true: str, given: str) -> bool:
    """Whether the truth is said to be not so: "not red", "anything but red", "red? no"."""
    if _DENIAL.search(true):
        return False
    return any(
        _DENIED_BEFORE.search(given[max(0, start - 30) : start]) or _DENIED_AFTER.match(given, end)
        for start, end in places(true, given)
    )


def _unnamed(question: str, text: str) -> str:
    """Normal text without the noun that the question asks for before it: "bar b" is b."""
    first, _, rest = text.partition(" ")
    return rest if rest and stem(first) in asked_nouns(question) else text


def _names_others(true: str, given: str) -> bool:
    """Whether a reply names other members of the truth's class, and not the truth."""
    rows = rows_of(true)
    words = re.findall(r"\w+", given)
    others = [word for word in words if rows & rows_of(word)]
    return len(rows) == 1 and bool(others) and all(exclusive(true, word) for word in others)


def _offers_several(true: str, given: str) -> bool:
    """Whether the truth is one of several answers that are offered at once."""
    if re.search(r"\b(?:and|or)\b|[/;,&]", true):
        return False
    flat = re.sub(r"\b(?:either|both|maybe|perhaps|one of)\b", "", given)
    items = [item.strip(" .()[]") for item in _SEPARATORS.split(flat) if item.strip()]
    if len(items) < 2 or true not in items or any(len(item.split()) > 3 for item in items):
        return False
    if re.search(r"\bor\b|[/;\n|]", flat) or len(items) > 2:
        return True
    other = next((item for item in items if item != true), true)
    return " and " in flat or exclusive(true, other) or (true.isdigit() and other.isdigit())


def _retracts(true: str, given: str) -> bool:
    """Whether the truth is named only before words that take it back."""
    named = [start for start, _ in places(true, given)]
    if not named or _RETRACTS.search(true):
        return False
    taken = last_match(_RETRACTS, given)
    if taken is None or max(named) > taken.start():
        return False
    return bool(given[taken.end() :].strip(" ,.:;")) or taken[0] == "no"


def _marked_otherwise(true: str, given: str) -> bool:
    """Whether texts with the same letters differ in a sign, a suffix, a bracket or an operator."""
    if len(true) > 20 or len(given) > 20 or re.search("[a-z]{3}", true):
        return False
    ends = [_ENDS.sub(r"\1 \2", text.replace("^", "")) for text in (true, given)]
    if ends[0] != ends[1]:
        return True
    signs = [re.sub(r"[\w\s.,:^{}-]", "", text) for text in (true, given)]
    if not all(signs) and set("".join(signs)) <= set("()"):
        return False
    operators = [re.findall(r"(?<=\b[a-z])-(?=[a-z]\b)", text) for text in (true, given)]
    return signs[0] != signs[1] or operators[0] != operators[1]


_ENDS = re.compile(r"^([^\w\s]*).*?([^\w\s]*)$", re.DOTALL)


def _other_digits(true: str, given: str, letters: str, others: str) -> bool:
    """Whether two labels or codes have other digits: Row 4 and Row 14, 12 and 21 High Street."""
    short, long = sorted((true, given), key=len)
    cut = short[0].isdigit() and long[: -len(short)][-1:].isdigit()  # 4 and 14
    if long.endswith(short) and (not cut or re.fullmatch("[0-9]{2}s", short)):
        return False  # 80s and 1980s
    if sorted(re.findall("[0-9]+", true)) == sorted(re.findall("[0-9]+", given)) and "," in true:
        return False
    digits, more = re.sub(r"\D", "", true), re.sub(r"\D", "", given)
    if digits == more or not digits or len(given.split()) > 12:
        return False
    if not more:
        words = re.sub("[0-9]", "", letters)
        return bool(words) and others.startswith(words[:1]) and others in (words, letters)
    return True


def _one_letter_off(true: list[str], given: list[str]) -> bool:
    """Whether one letter of one word was replaced, and not as two spellings of a word differ."""
    if len(true) != len(given) or len(true) > 12:
        return False
    changed = [pair for pair in zip(true, given, strict=True) if pair[0] != pair[1]]
    if len(changed) != 1 or len(changed[0][0]) != len(changed[0][1]) or len(changed[0][0]) < 3:
        return False
    letters = [pair for pair in zip(*changed[0], strict=True) if pair[0] != pair[1]]
    return len(letters) == 1 and frozenset(letters[0]) not in _SPELLINGS


def _unaccented(text: str) -> str:
    return "".join(
        char for char in unicodedata.normalize("NFD", text) if not unicodedata.combining(char)
    )


def _abbreviated(true: list[str], given: list[str]) -> bool:
    """Whether words of one text are short for those of the other: St for Street."""
    pairs = zip(true, given, strict=False)
    return len(true) == len(given) and all(
        first == second or {first.rstrip("."), second.rstrip(".")} & _ABBREVIATIONS
        for first, second in pairs
    )


def _is_name(text: str) -> bool:
    """Whether a text is a name: a few words that begin with capital letters."""
    words = re.findall(r"[^\W\d_][\w'’.-]*", text)
    small = {"of", "the", "and", "de", "von", "van", "la", "le", "di", "da"}
    return (
        not text.startswith("the ")
        and 0 < len(words) <= 5
        and len(text) < 50
        and all(word[0].isupper() or word in small for word in words)
    )


def _initials(first: str, second: str) -> bool:
    """Whether one name may be short for the other: NYC, U.S."""
    short, long = sorted((first, second), key=len)
    heads = "".join(word[0] for word in re.findall(r"[A-Za-z]+", long)).lower()
    letters = re.sub("[^A-Za-z]", "", short).lower()
    return len(letters) < 2 or letters.startswith(heads[:2]) or heads.startswith(letters)


def clearly_other_number(question: str, truth: str, said: str) -> bool:
    """Whether a reply states no number that could be the true one, or not plainly."""
    if len(said) > 400:
        return False
    if refuses(said):
        return True
    if any(char.isalpha() and not char.isascii() for char in said):
        return False  # words of another language, where numbers are spelt otherwise
    true, given = numbers_in(truth), numbers_in(said)
    low = said.lower()
    if len(true) != 1:
        return False
    if not given:
        return _says_no_number(question, low)
    if true[0] not in given:
        related = any(number and true[0] / number in _RELATED for number in given)
        return not related and "%" not in said and ":" not in said
    number = truth.strip("$€£ ").lower()
    if _LISTED_NUMBERS.fullmatch(low) and len(given) > 1:
        return True
    compared = any(
        _COMPARED.search(low[max(0, start - 20) : start]) or _GOES_ON.match(low, end)
        for start, end in places(number, low)
    )
    return compared or _retracts(number, low)


def _says_no_number(question: str, text: str) -> bool:
    """Whether a reply without numbers holds none in other words either, such as "a pair"."""
    said = set(re.findall(r"[^\W\d]+", text)) - _SMALL
    return {stem(word) for word in said} <= question_words(question) | _VAGUE


_SMALL = words("i it there the a an of is are was were in on at this that can see has have and to")
_VAGUE = words("many several some few lot number more than number picture image answer")
_RELATED = {100, 1000, 10**6, 10**9} | {1 / number for number in (100, 1000, 10**6)}
_LISTED_NUMBERS = re.compile(r"[\s\[(]*[0-9]+(?:(?:\s*(?:[,;+]|and|or)\s*|\s+)[0-9]+)+[\s\])]*")
_COMPARED = re.compile(
    r"(?:\b(?:more than|less than|fewer than|greater than|over|under|above|below|at least|at most|"
    r"up to|not|n't|no|never|but|than|before|after|since|neither|non)|[<>≥≤±])\s*(?:the\s+)?[$€£]?$"
)
_GOES_ON = re.compile(
    r"\s*(?:or\b|to [0-9]|-\s?[0-9]|–|\?|plus\b|minus\b|times\b|over\b|factorial\b|maybe\b|wrong\b|"
    r"is wrong|is incorrect|not\b|or more|and a |squared|cubed|[+/^!]|\*(?!\*)|\(or|pairs\b|out of|"
    r"thousand\b|million\b|billion\b|hundred\b|something\b)"
)


def refuses(text: str) -> bool:
    """Whether a reply gives no answer."""
    text = text.strip()
    return text.lower().rstrip(".!") in _SHORT_REFUSALS or (
        len(text) < 200 and _REFUSAL.fullmatch(text) is not None
    )
