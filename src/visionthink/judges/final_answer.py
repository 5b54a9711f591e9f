"""The answer that a reply ends in: "Two plus three is five. So the answer is **5**." states 5.

A statement counts only if it is plain: not denied, doubted, conditional or attributed to somebody,
about what the question asks, and the last word of the reply. Otherwise there is none.
"""

# models write these:
# ruff: noqa: RUF001

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from visionthink.core.protocol import ANSWER, THINK
from visionthink.judges.answer_text import bare, last_match
from visionthink.judges.quantity import stem
from visionthink.judges.question import (
    WORDS,
    alternatives_in,
    operation_in,
    question_words,
)
from visionthink.judges.word_classes import rows_of, words

LONGEST_TAIL = 2000
"""Characters at the end of a reply that are searched."""

_MARKER = re.compile(
    r"""(?<![\w-])(?:(?P<which>[A-Za-z'’]{1,20})[ ])?(?:(?:answer|result|solution)s?
        |(?<=correct[ ])(?:choice|option)|(?<=right[ ])(?:choice|option))
        (?:[ ](?:to[ ](?:the|this)[ ](?:question|problem)|here|choice|option))?
        [*_]{0,2}\s*(?:[:=]|\b(?:is|are)\b:?|\b(?:was|would[ ]be|should[ ]be|equals)\b)[*_]{0,2}
        \s*""",
    re.IGNORECASE | re.VERBOSE,
)
_WRONG = words(
    "wrong incorrect other another first initial previous earlier no his her their your "
    "expected reference model ground student's possible false bad "
    "tempting obvious alternative any second partial naive"
)
_THEREFORE = re.compile(r"(?:therefore|thus|hence|so|=>|⇒|→|∴)[,:]?\s+", re.IGNORECASE)
_DENIED = re.compile(
    r"""\b(?:not|never|no[ ]longer|if|unless|whether|suppose|supposing|assuming|assume|were|
        doubt|deny|denied|wrong|incorrect|false|unlikely|hardly|cannot|could|might|may|maybe|
        perhaps|possibly|neither|nor|except|instead[ ]of|rather[ ]than|
        says?|said|claims?|claimed|attempts?|careless|naive|student|thinks|thought|believes|believed|someone|somebody|people|
        asked|instruct\w*|ignore|pretend|mark|grade|score|judge|told|nobody|opposite|least)\b
        |n['’]t\b|\?""",
    re.IGNORECASE | re.VERBOSE,
)
_CONDITION = re.compile(
    r"\b(?:if|unless|whether|suppos\w*|assum\w*|pretend\w*|ignor\w*|instruct\w*|says?|said|claim\w*)\b",
    re.IGNORECASE,
)
_RETRACTED = re.compile(
    r"""\b(?:not|no|never|but|or|however|although|though|actually|wait|instead|rather|
        maybe|perhaps|possibly|probably|might|could|may|wrong|incorrect|mistake|sorry|correction|
        unless|if|otherwise|either|neither|unsure|uncertain|doubt|guess|alternatively|hmm|
        else|scratch|ignore|score|except)\b|n['’]t\b|\?""",
    re.IGNORECASE | re.VERBOSE,
)
_POINTERS = words("the a an it this that there they answer result so i value is in of here")
_MORE = re.compile(r"\b(?:answer|value)\b", re.IGNORECASE)
"""What states another answer after a box."""
_COURTESY = re.compile(
    r"(?:i hope (?:it|this) (?:is correct|helps)|hope this helps|let me know[^.]*|"
    r"i am confident[^.]*)[.!]?\s*$",
    re.IGNORECASE,
)
_SENTENCE = re.compile(r"(?<=[.!?;。])[\"”')\]*_]*\s+(?=[\"“'(\[*_]*[A-Z0-9$\\-])|\s*\n+\s*")
_VERB = re.compile(
    r"""(?P<verb>\b(?:is|are|was|were|equals|=|says|reads|shows|states|displays|has|have|had|gives|lists|
        contains|indicates|spells|measures|costs|weighs|totals|see|sees|count|counted|counts)\b
        |['’](?:s|re)\b|(?<=\w):(?=\s)|(?<=[\w)])\s*=(?=\s*\S))
        (?:\s*:\s*|\s+(?:that|exactly|clearly|labell?ed|called|named|written\s+as|equal\s+to|as|:))*\s*""",
    re.IGNORECASE | re.VERBOSE,
)
_TAIL = re.compile(
    r"""\s*,?\s*(?:(?:that[ ]are[ ])?(?:visible|shown|present|displayed|seen|depicted|pictured)[ ])?
        (?:(?:in|on|at|from|of)[ ](?:the|this)[ ](?:\w+[ ])?(?:image|picture|photo|photograph|chart|
        graph|figure|diagram|table|scene|sign|document|receipt|plot|drawing|screenshot|map|page)
        |in[ ]total|in[ ]all|altogether|total|visible|shown|here|exactly|precisely)\s*$""",
    re.IGNORECASE | re.VERBOSE,
)
_PREPOSITION = re.compile(
    r"(?:in|on|at)\s+(?:the\s+(?:year|city|month)(?:\s+of)?\s+)?(?=\S)", re.IGNORECASE
)
_PLACE = re.compile(
    r"(?:to|on|at|in|towards?)?\s*(?:the\s+)?((?:(?:top|bottom|upper|lower|center|middle)\s+)?"
    r"(?:left|right|top|bottom|center|centre|middle|north|south|east|west)|above|below|behind)"
    r"(?:[ -](?:hand))?(?:\s+(?:side|corner|part|half|end))?",
    re.IGNORECASE,
)
_PARTICIPLE = re.compile(
    r"^(?:written|painted|made|signed|held|located|situated|labell?ed|called|named|found|placed|built|"
    r"directed|designed|published|founded|won|produced|spelled|positioned|standing|sitting|"
    r"a total of)"
    r"\s+(?:by|in|on|at|as|from)?\s*(?=\S)",
    re.IGNORECASE,
)
_PHRASE = re.compile(r"\s+(?:in|on|at|of|for|relative)\s")
_EXPLAINED = re.compile(
    r"([^,;:(]{1,60}?)(?:,\s+(?:with|because|since|as|which|at|followed)\b|\s+with\s+an?\b|\s+because\b"
    r"|\s*[;:]\s|\s*\()",
    re.IGNORECASE,
)
_SPACES = re.compile(r"[ \t]{2,}")
_BOLD = re.compile(r"(?<!\w)\*\*|\*\*(?!\w)")
_HEADING = re.compile(
    r"^(?:#{1,6}\s+|>\s+(?=[A-Za-z]{2})|[-*•]\s+(?=[A-Za-z]{2}|[\"*])|[0-9]{1,2}[.)]\s+(?=[A-Za-z][^\n]*$))"
)
_CORRECTION = re.compile(
    r"\b(?:no,?\s+wait|wait,?\s+no|no|correction|sorry|actually|i\s+mean|i\s+meant|rather)\s*[,:.]\s*(?:it\s+is\s+)?"
    r"|^not\s+[^,.]{1,40}\s+but\s+|,?\s+but\s+(?:the\s+answer\s+is|it\s+is|there\s+are|actually)\s+",
    re.IGNORECASE,
)
_ALSO_NOT = re.compile(r",\s*(?:and\s+)?not\s+([^,.]{1,40})\.?$", re.IGNORECASE)
_ADVERBS = words(
    "really quite sure at all anymore exactly it by necessarily likely yet entirely only so just "
    "true correct right certain likely"
)
_SUBJECT_ASKED = re.compile(
    r"(?:who|what|which(?:\s+(?:of\s+)?(?:the\s+|these\s+)?[\w-]+){1,4}?)\s+"
    r"(?:is|are|was|were|has|have|had|did\s+not|does\s+not)\b(?!.*\b(?:than|by)\b)",
    re.IGNORECASE,
)
_LINKS = words("is are was were has have had the a an do does did not in image picture")
_PREPOSITIONS = words("at to of for from with on in by above below under over behind")
_REASON = re.compile(r"(?:because|since|this is because|the reason|explanation)\b", re.IGNORECASE)
_UNTRUE = re.compile(
    r"\b(?:lies?|false|fake|fabricat\w+|disregard|making\s+(?:this|it)\s+up|made\s+up|backwards|"
    r"kidding|joking|attempt|careless|naive)\b|\bit\s+is\b|\bis\s+the\s+(?:right|correct)\b",
    re.IGNORECASE,
)
FILLERS = words(
    "the a an this that these those it its there he she they i we you my our your his her their "
    "so thus hence therefore and then now well ok okay yes final correct right answer result total "
    "sum value number amount count image picture photo sign text label title name word color "
    "colour time date year price cost chart graph figure can of in on at for to by from as with "
    "here overall conclusion summary short based see is are was were only just think believe "
    "looks like bar line option point according shown which what how many much all main"
)


class Stated(NamedTuple):
    """A text that a reply may state as its answer. `firm`: it states that and nothing else."""

    text: str
    firm: bool = True


def final_answer(question: str, text: str) -> Iterator[Stated]:
    """What a reply states last, the surest reading first; none where it states nothing plainly."""
    whole = text = _SPACES.sub(" ", text[-LONGEST_TAIL:].strip())
    if text.isalnum():
        return
    if THINK[1] in text:
        text = text.rpartition(THINK[1])[2].strip()
        yield Stated(text)
    if text.startswith(ANSWER[0]) and text.endswith(ANSWER[1]):
        text = text[len(ANSWER[0]) : -len(ANSWER[1])].strip()
        yield Stated(text)
    text = _COURTESY.sub("", text).rstrip()
    text = _BOLD.sub("", text)
    if "\\boxed" in text:
        if (boxed := _boxed(text)) is not None:
            yield Stated(boxed)
        return
    text = _HEADING.sub("", text)
    if text != whole:
        yield Stated(text, firm=False)
    if (marked := _marked(text)) is not None:
        yield Stated(marked)
        yield from _shorter(question, marked)
        return
    if (corrected := _corrected(text)) is not None:
        yield Stated(corrected)
        yield from _stated(question, corrected)
        return
    sentences = [piece for piece in _SENTENCE.split(text) if piece.strip()]
    if not sentences or len(sentences) > 6 or len(sentences[-1]) > 300:
        return
    before = " ".join(sentences[:-1])
    if not _RETRACTED.search(before) and not _UNTRUE.search(before):
        if len(before.split()) > 2:
            yield Stated(bare(sentences[-1]), firm=False)
        yield from _stated(question, sentences[-1].strip())


def _stated(question: str, sentence: str) -> Iterator[Stated]:
    """The value that one sentence gives to what the question asks for."""
    yield from _shorter(question, bare(sentence))
    if opened := _THEREFORE.match(sentence):
        sentence = sentence[opened.end() :]
        yield Stated(bare(sentence))
    if (also := _ALSO_NOT.search(sentence)) and not _ADVERBS.intersection(also[1].lower().split()):
        sentence = sentence[: also.start()]
        yield Stated(bare(sentence))
    verb = _VERB.search(sentence)
    if verb is None:
        return
    subject, rest = sentence[: verb.start()], sentence[verb.start() :]
    value = bare(sentence[verb.end() :])
    if not value or (len(subject.strip("() ")) == 1 and subject.strip() != "I"):  # "C: blue"
        return
    if _negations(question) and not _negations(sentence):
        return
    if not _DENIED.search(subject) and _about(question, subject):
        yield Stated(value)
        yield from _shorter(question, value)
    elif _predicates(question, rest):
        yield Stated(bare(subject), firm=False)  # "Norway has the highest value."
        yield from _shorter(question, bare(subject))


def _predicates(question: str, predicate: str) -> bool:
    """Whether a predicate says of its subject what "Who …" or "Which X …" asks, in its order."""
    if not _SUBJECT_ASKED.match(question.strip()) or _negations(question) != _negations(predicate):
        return False
    asked = [stem(word) for word in WORDS.findall(question.lower())]
    at = 0
    for word in WORDS.findall(predicate.lower()):
        form = stem(word)
        if form in _LINKS:
            continue
        if form not in asked[at:]:
            return False
        at = asked.index(form, at) + 1
    return at == len(asked) or not asked[-1] or asked[-1] not in _PREPOSITIONS


def states_plainly(text: str) -> bool:
    """Whether the last sentence of a reply denies, doubts or takes back nothing."""
    if "\\boxed" in text and _MORE.search(text.rpartition("\\boxed")[2].partition("}")[2]):
        return False
    last = [piece for piece in _SENTENCE.split(text[-LONGEST_TAIL:]) if piece.strip()][-1:]
    return not _RETRACTED.search("".join(last)) and not _DENIED.search("".join(last))


def _negations(text: str) -> int:
    return len(re.findall(r"\b(?:not|no|never)\b|n['’]t\b", text.lower()))


def _corrected(text: str) -> str | None:
    """What a correction puts in place: "4? No, 3.", "Not 2 but 3.", "2, no wait, 3."."""
    found = last_match(_CORRECTION, text)
    if found is None:
        return None
    rest = bare(text[found.end() :])
    if not rest or len(rest) > 100 or _RETRACTED.search(rest):
        return None
    return rest


def _boxed(text: str) -> str | None:
    r"""What the last \boxed{…} holds, if nothing denies it and nothing but a stop follows."""
    start = text.rfind("\\boxed")
    opened = text.find("{", start)
    if opened < 0 or text[start + 6 : opened].strip():
        return None
    depth = 0
    for at in range(opened, len(text)):
        depth += (text[at] == "{") - (text[at] == "}")
        if depth == 0:
            sentence = _SENTENCE.split(text[:start])[-1]
            after = text[at + 1 :].strip(" \n.$*)]\\")
            if after or _DENIED.search(sentence):
                return None
            return text[opened + 1 : at]
    return None


def _marked(text: str) -> str | None:
    """What follows the last "answer is" or "Answer:"."""
    marker = last_match(_MARKER, text)
    if marker is None or "(" in text[: marker.start()].rpartition(")")[2]:
        return None
    if (marker["which"] or "").lower().replace("’", "'") in _WRONG:
        return None
    before = _SENTENCE.split(f"{text[: marker.start()]}The")[-1].removesuffix("The")
    clause = re.split("[,;:]", before)[-1] + marker[0]
    if _DENIED.search(clause) or _CONDITION.search(before) or len(before) > 200:
        return None
    sentences = _SENTENCE.split(text[marker.end() :])
    rest = " ".join(sentences[1:])
    if rest and (_RETRACTED.search(rest) or not _REASON.match(rest) or re.search("[0-9]", rest)):
        return None
    return bare(sentences[0]) or None


def _shorter(question: str, text: str) -> Iterator[Stated]:
    """`text` without words that say where, or repeat the question: "In 2019", "on the sofa"."""
    if len(text) > 300:
        return
    shorter = _PARTICIPLE.sub("", _TAIL.sub("", text))
    for tail in reversed(list(_PHRASE.finditer(shorter))):
        words = WORDS.findall(shorter[tail.start() :].lower())
        if not tail.start() or _negations(shorter) or not _about(question, " ".join(words)):
            continue
        if not any(_may_answer(question, word) for word in words) and not _VERB.search(shorter):
            shorter = shorter[: tail.start()]
    shorter = bare(shorter)
    if shorter and shorter != text:
        yield Stated(shorter, firm=False)
    if place := _PLACE.fullmatch(shorter):
        yield Stated(place[1], firm=False)
    elif preposition := _PREPOSITION.match(shorter):
        yield Stated(bare(shorter[preposition.end() :]), firm=False)
    explained = _EXPLAINED.match(shorter)
    if explained and _explains(question, explained[1], shorter[explained.end(1) :]):
        yield Stated(bare(explained[1]), firm=False)


def _may_answer(question: str, word: str) -> bool:
    """Whether a word may be an answer of its own: a number, a letter, an alternative, a colour."""
    if word[0].isdigit() or (len(word) == 1 and word != "a"):
        return True
    return word in alternatives_in(question) or bool(rows_of(word))


def _explains(question: str, value: str, rest: str) -> bool:
    """Whether what follows a value repeats the question or gives the figure behind a name."""
    words = WORDS.findall(rest.lower())
    figures = [word for word in words if word[0].isdigit()]
    named = value.strip().replace(" ", "").isalpha() and value.strip()[:1].isupper()
    if _RETRACTED.search(rest) or not words:
        return False
    if any(_may_answer(question, word) for word in words if not word[0].isdigit()):
        return False
    others = [word for word in words if word not in figures and word not in FILLERS]
    asked = question_words(question)
    return all(stem(word) in asked for word in others) and all(
        named or figure in asked for figure in figures
    )


def _about(question: str, subject: str) -> bool:
    """Whether a statement's subject names nothing that the question does not ask about."""
    if len(subject) > 150:
        return False
    said = {stem(word) for word in WORDS.findall(subject.lower())}
    operation = operation_in(question)
    if operation and not operation & said and said - _POINTERS:
        return False
    said -= FILLERS
    return not said or not question.strip() or said <= question_words(question)
