"""Multiple choice: the options that a question lists, and the letters that a reply picks."""

# people type these:
# ruff: noqa: RUF001

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache

from visionthink.judges.answer_text import bare, normal, places

LETTERS = "ABCDEFGHIJ"
MOST_CHARACTERS = 2000
"""Of a reply that picks options."""
_MARKS = {
    "brackets": re.compile(r"(?:^|(?<=[\s,;:?.]))\(([A-Ja-j])\)(?=\s*\S)", re.MULTILINE),
    "square": re.compile(r"(?:^|(?<=[\s,;:?.]))\[([A-J])\](?=\s*\S)", re.MULTILINE),
    "bracket": re.compile(r"(?:^|(?<=[\s,;:?.]))([A-Ja-j])\)(?=\s*\S)", re.MULTILINE),
    "stop": re.compile(r"(?:^|(?<=[\s,;:?]))([A-J])\.(?=\s+\S|[^\s.][^.])", re.MULTILINE),
    "colon": re.compile(r"(?:^|(?<=[\s,;?]))([A-J]):(?=\s)", re.MULTILINE),
    "small": re.compile(r"^[^\S\n]*([a-j])\.(?=\s)", re.MULTILINE),
    "dash": re.compile(r"^[^\S\n]*([A-J])\s[-–]\s", re.MULTILINE),
}
_NAME = (
    r"(?:(?:the\s+)?(?:(?:correct|right|final|best)\s+)?"
    r"(?:option|choice|answer|letter)(?:\s*:)?\s+)?"
)
_ONE = r"(?:[(\[]\s*([A-Ja-j])\s*[)\]]|([A-Ja-j]))"
_LONE = re.compile(rf"{_NAME}{_ONE}[.:)]?", re.IGNORECASE)
_SEVERAL = re.compile(
    rf"(?:options?\s+|answers?\s+|choices?\s+|both\s+)?{_ONE}[.)]?(?:\s*(?:,|;|/|&|\+|\band\b)+\s*{_ONE}[.)]?){{1,9}}",
    re.IGNORECASE,
)
_TOGETHER = re.compile(r"[A-J]{2,10}|(?:[A-J][.)]\s*){2,10}")
_WITH_TEXT = re.compile(
    rf"{_NAME}(?:[(\[]([A-J])[)\]][.:]?|([A-J])(?:[.:)]|\s+[-–—]|,(?=\s)))\s*(\S.*)",
    re.DOTALL | re.IGNORECASE,
)
_PICKED = re.compile(
    rf"(?:i(?:['’]?ll|['’]?d|\swould|\swill)?\s+(?:choose|pick|select|chose|go\swith|say))\s+{_NAME}{_ONE}",
    re.IGNORECASE,
)
_JUDGED = re.compile(
    rf"{_NAME}{_ONE}\s+is\s+(?:the\s+)?(?:correct|right|best|final)(?:\s+(?:answer|option|choice|one))?",
    re.IGNORECASE,
)
_OTHERS_DENIED = re.compile(
    r"(?:it\s+)?(?:can['’]?t|cannot|can\s+not|is\s+not|isn['’]t|not|doesn['’]t\s+make\s+sense)\b[^.]*[.]?$",
    re.IGNORECASE,
)
_DOUBTS = re.compile(
    r"\b(?:not|n't|no|nor|neither|wrong|incorrect|false|but|or|maybe|perhaps|might|could|however|"
    r"actually|wait|instead|rather|unless|except|also|both|either|other|sorry|cannot|ruled|exclud\w+|"
    r"eliminat\w+|unlikely|likely|least|fail\w*|lacks?|reject\w*|impossible|far|hardly)\b|n['’]t\b|\?",
    re.IGNORECASE,
)


@lru_cache(maxsize=1024)
def options_in(question: str) -> Mapping[str, str]:
    """Letter → text of the options that a question lists as "A. …", "(A) …", "A) …" or "A: …".

    Empty unless there are at least two, from A on without a gap, all marked the same way. Marks at
    the starts of lines count before marks inside them.
    """
    best: dict[str, str] = {}
    for form in _MARKS.values():
        marks = list(form.finditer(question))
        starts = [mark for mark in marks if _starts_line(question, mark.start())]
        for listed in (starts, marks):
            options = _in_order(question, listed)
            if len(options) > len(best):
                best = options
            if options:
                break
    return best


def _starts_line(text: str, at: int) -> bool:
    return not text[text.rfind("\n", 0, at) + 1 : at].strip()


def _in_order(question: str, marks: list[re.Match[str]]) -> dict[str, str]:
    found: list[re.Match[str]] = []
    for mark in marks:
        if len(found) < len(LETTERS) and mark[1].upper() == LETTERS[len(found)]:
            found.append(mark)
    if len(found) < 2:
        return {}
    ends = [mark.start() for mark in found[1:]] + [len(question)]
    options = {
        mark[1].upper(): question[mark.end() : end].strip(" \t\r\n,;")
        for mark, end in zip(found, ends, strict=True)
    }
    last = found[-1][1].upper()
    options[last] = options[last].split("\n")[0].strip(" \t\r,;")
    return options


def letters_of(text: str, options: Mapping[str, str]) -> frozenset[str] | None:
    """The letters that `text` picks.

    None if it picks none, one that is not listed, or a letter beside the text of another option.
    """
    found = _letters(bare(text), options)
    if found is None or (options and not found <= options.keys()):
        return None
    return found


def _letters(text: str, options: Mapping[str, str]) -> frozenset[str] | None:
    if len(text) > MOST_CHARACTERS:
        return None
    if lone := _LONE.fullmatch(text):
        return _set(lone[1] or lone[2])
    if by_text := with_text(text, options):
        return by_text
    if _SEVERAL.fullmatch(text):
        return _set(*re.findall(r"\b[A-Ja-j]\b", text))
    if options and _TOGETHER.fullmatch(text):
        return _set(*re.findall("[A-J]", text))
    pieces = re.split(r",\s*(?=\(?[A-J][.):])|\s+and\s+(?=\(?[A-J][.):])", text)
    if options and len(pieces) > 1:
        each = [_letters(piece, options) for piece in pieces]
        return None if None in each else frozenset().union(*filter(None, each))
    for form in (_PICKED, _JUDGED):
        if found := form.fullmatch(text):
            return _set(found[1] or found[2])
    if both := _WITH_TEXT.fullmatch(text):
        letter = (both[1] or both[2]).upper()
        return _set(letter) if _fits(letter, both[3], options) else None
    return None


def _set(*letters: str) -> frozenset[str]:
    return frozenset(letter.upper() for letter in letters)


def names_letter(text: str) -> bool:
    """Whether a text begins with a letter and its mark: "B. blue"."""
    return len(text) <= MOST_CHARACTERS and _WITH_TEXT.fullmatch(text) is not None


def with_text(text: str, options: Mapping[str, str]) -> frozenset[str] | None:
    """The option whose text this is, if there is just one."""
    if not options:
        return None
    form = normal(text)
    found = [letter for letter, option in options.items() if option and normal(option) == form]
    found = found or [
        letter
        for letter, option in options.items()
        if form.isalpha() and "," in option and normal(option.partition(",")[0]) == form
    ]
    return _set(*found) if len(found) == 1 else None


def _fits(letter: str, text: str, options: Mapping[str, str]) -> bool:
    """Whether what follows a letter is its option's text, or explains without a doubt."""
    form = normal(text)
    own = normal(options.get(letter, ""))
    if own and form == own:
        return True
    if own and form.startswith(own + " ") and not _DOUBTS.search(text):
        return True
    if _OTHERS_DENIED.match(text) and not any(places(letter, text)):
        return True
    others = [normal(option) for other, option in options.items() if other != letter]
    padded = f" {form} "
    if any(other and f" {other} " in padded for other in others):
        return False
    if re.search(r"(?<![\w'])[A-J](?![\w'])", re.sub(r"(?:^|[.!]\s+)A\s+(?=[a-z])", "", text)):
        return False
    words = form.split()
    return len(words) > 3 and not _DOUBTS.search(text)


_ABOVE = re.compile(
    r"(?:all|none|both|neither|either|any|each|every)\b.*", re.IGNORECASE | re.DOTALL
)
_MARKED = re.compile(r"\(?[A-Za-z]\)?[^\w\s%]{0,3}|\([0-9]\)|(?:[A-J][\s.,/-]*){2,10}")
_ALONE = re.compile(r"(?<![\w'])[B-J](?![\w'])|(?<![\w'])A(?![\w'])(?!\s(?!or\b|and\b|is\b)[a-z])")
_DENIED_BEFORE = re.compile(
    r"\b(?:not|isn't|never|neither|nor|except|but)\s+(?:\(|option )?$", re.IGNORECASE
)
_DENIED_AFTER = re.compile(r"\)? is (?:wrong|incorrect|not)\b", re.IGNORECASE)
_TAKEN_BACK = re.compile(r"\)?[.?,].{0,20}\b(?:no|wait|correction|mean)\b", re.IGNORECASE)
_SEVERAL_OFFERED = re.compile(r"\b(?:or|either|maybe|and)\b|/", re.IGNORECASE)


def misses(truth: frozenset[str], text: str, options: Mapping[str, str]) -> bool:
    """Whether `text`, which picks no option plainly, cannot mean the true one.

    It denies it, offers it with others, or names other options only.
    """
    if len(text) > 400:
        return False
    both = _WITH_TEXT.fullmatch(text)
    if both and with_text(both[3], options) not in (None, _set(both[1] or both[2])):
        return True
    if _MARKED.fullmatch(text):
        return True
    form = normal(text)
    named = set(_ALONE.findall(text))
    named |= {letter for letter, option in options.items() if any(places(normal(option), form))}
    if len(truth) > 1:
        return bool(named) and not truth & named
    (letter,) = truth
    own = normal(options.get(letter, ""))
    if letter not in named:
        above = _ABOVE.fullmatch(text) and not own.startswith(text[:4].lower())
        return bool(above) or (bool(named & options.keys()) and not _DOUBTS.search(text))
    spans = [(text, *span) for span in places(letter, text)]
    spans += [(form, *span) for span in places(own, form)]
    if any(
        _DENIED_BEFORE.search(whole[:start]) or _DENIED_AFTER.match(whole, end)
        for whole, start, end in spans
    ):
        return True
    if len(named) < 2:
        return False
    return bool(_SEVERAL_OFFERED.search(text)) or any(
        _TAKEN_BACK.match(whole, end) for whole, _, end in spans
    )
