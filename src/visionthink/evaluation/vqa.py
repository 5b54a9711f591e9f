"""The soft accuracy of VQAv2 and TextVQA: right is what people answered (arXiv 1505.00468).

Ten people answered each question. An answer is right by min(1, of nine others who gave it / 3),
averaged over leaving out each of the ten: 0.3 if one gave it, 0.6 if two, 0.9 if three, 1 from four
on. Texts are compared in the form that EvalAI, TextVQA's server, gives them.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

ENOUGH = 3
"""So many of the others make an answer right."""

_NUMBERS = {
    word: str(value)
    for value, word in enumerate(
        ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
    )
} | {"none": "0"}
_ARTICLES = {"a", "an", "the"}
_PUNCTUATION = ';/[]"{}()=+\\_->@<`!'
_CONTRACTIONS = {
    *("aint", "arent", "cant", "couldve", "couldnt", "couldntve", "didnt", "doesnt", "dont"),
    *("hadnt", "hadntve", "hasnt", "havent", "hed", "hedve", "howd", "howll", "isnt", "itd"),
    *("itdve", "itll", "maam", "mightnt", "mightntve", "mightve", "mustnt", "mustve", "neednt"),
    *("notve", "oclock", "oughtnt", "shant", "shedve", "shouldve", "shouldnt", "shouldntve"),
    *("somebodyd", "somebodydve", "somebodyll", "someoned", "someonedve", "someonell"),
    *("somethingd", "somethingdve", "somethingll", "thered", "theredve", "therere", "theyd"),
    *("theydve", "theyll", "theyre", "theyve", "twas", "wasnt", "wedve", "weve", "werent"),
    *("whatll", "whatre", "whatve", "whered", "whereve", "whod", "whodve", "wholl", "whove"),
    *("whyll", "whyre", "wont", "wouldve", "wouldnt", "wouldntve", "yall", "yallll", "yalldve"),
    *("youd", "youdve", "youll", "youre", "youve"),
}
"""Words that are the same with and without apostrophes."""


def vqa_score(answers: Sequence[str], prediction: str) -> float:
    """The soft accuracy of a prediction, from all answers that people gave, repeated ones, too;
    with a single answer 1 or 0.
    """
    given, said = [vqa_form(answer) for answer in answers], vqa_form(prediction)
    n, same = len(given), given.count(said)
    if n == 1:
        return float(same)
    left_in, left_out = min(1.0, same / ENOUGH), min(1.0, (same - 1) / ENOUGH)
    return ((n - same) * left_in + same * left_out) / n


def vqa_form(text: str) -> str:
    """An answer without case, articles and most punctuation, with digits for the words to ten.

    A mark that stands beside a space anywhere is taken out, another one becomes a space.
    """
    text = text.lower().replace(",", "").replace("?", "").replace("'s", " 's").strip()
    text = text.replace("\n", " ").replace("\t", " ").strip()
    changed = text
    for mark in _PUNCTUATION:
        apart = f"{mark} " in text or f" {mark}" in text
        changed = changed.replace(mark, "" if apart else " ")
    words = re.sub(r"\.(?!\d)", "", changed).split()
    words = [_NUMBERS.get(word, word) for word in words]
    return " ".join(_joined(word) for word in words if word not in _ARTICLES)


def _joined(word: str) -> str:
    plain = word.replace("'", "")
    return plain if plain in _CONTRACTIONS else word
