"""What a judge model is asked, and how its reply is read.

The prompts are those of the paper, with the texts filled in as data. Reading is strict. A statement
is the word "Score", a colon, and what follows up to the next space on that line; markup around them
does not matter. A reply is a verdict if, its reasoning left out,

- it ends in a statement, after which only markup and a full stop may follow,
- every statement has the same value, and that is exactly 0 or 1,
- every statement that is not quoted, and that is the last one at least, is a sentence of its own:
  it begins the reply, follows the end of a sentence or a paragraph, or has a harmless lead-in such
  as "Final" or "So the verdict:"; a quoted one may be the whole reply,
- the judge does not refuse to judge.

So `Score: 10`, `Score: 0.5`, `Score: 1.0`, `Score: 1/1`, `Score: 0 or 1` and `{"Score": 1}` are not
verdicts, nor are denials and conditions (`I would not say Score: 1`, `If correct, Score: 1`), nor
a reply that quotes `"Score: 1"` and then states `Score: 0`. A verdict that is not read costs one
more question, which asks for the bare statement; one that is read wrongly is a wrong reward.
"""

# people and models write these:
# ruff: noqa: RUF001

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence
from functools import cache
from importlib.resources import files
from typing import Literal

from visionthink.core.protocol import TAGS, THINK, plain_text
from visionthink.core.types import Message

# Asking

AGAIN = "\n\nReply with this one line and nothing else, n being 0 or 1:\nScore: n"


def judge_messages(question: str, answers: Sequence[str], prediction: str) -> list[Message]:
    """The system and the user message.

    Several accepted answers are put as one ground truth, separated by " or ". The prediction
    becomes one line, so that it cannot open a section of its own in the prompt.
    """
    texts = {
        "question": as_data(question),
        "ground_truth": " or ".join(as_data(answer) for answer in answers),
        "prediction": " ".join(as_data(prediction).split()),
    }
    # One pass: a placeholder inside a prediction is not filled in.
    user = re.sub(
        r"\{(question|ground_truth|prediction)\}",
        lambda place: texts[place[1]],
        _prompt("judge_user"),
    )
    return [Message("system", (_prompt("judge_system"),)), Message("user", (user,))]


def repeated(messages: Sequence[Message]) -> list[Message]:
    """The messages for asking again after a reply that was not a verdict: at temperature 0 the same
    words would get the same reply.
    """
    *before, user = messages
    return [*before, Message("user", (user.text + AGAIN,))]


def as_data(text: str) -> str:
    """`text` so that nothing in it can act: on the tokenizer, on us, or through the judge's mouth.

    Control tokens and protocol tags are broken up, and "Score: 1" becomes "Score = 1", which the
    judge may quote without stating it. The same is done to question, ground truth and prediction,
    so that equal texts stay equal. Lone surrogates, which no request can carry, become "?".
    """
    text = plain_text(text.encode("utf-8", "replace").decode("utf-8"))
    for tag in TAGS:
        text = text.replace(tag, f"< {tag[1:]}")
    return re.sub(r"(?<![^\W_])(score[*_ \t\"'`”’]{0,12})[:：]", r"\1 =", text, flags=re.IGNORECASE)


@cache
def _prompt(name: str) -> str:
    return (files("visionthink.core") / "prompts" / f"{name}.txt").read_text(encoding="utf-8")


# Reading

READING = 2
"""Version of what follows. Verdicts that another version read are not taken from a cache."""
LONGEST_REPLY = 200_000
"""Characters. A longer reply is no verdict."""
MOST_STATEMENTS = 20
LEAD = 300
"""Characters before a statement that are looked at; a longer sentence is no lead-in."""

_HEAD = re.compile(r"""(?<![^\W_])score[*_ \t"'`”’]{0,12}[:：]""", re.IGNORECASE)
_QUOTES = "\"'`“”‘’„«»「『"
_MARKUP = "*_#>~|([-–—•→,; \t\n"
"""May stand between the end of a sentence and a statement."""
# Runs are possessive (*+), so that a long one is not tried again at every shorter length.
_VALUE = re.compile(rf"""[*_ \t{_QUOTES}]*+([01])[*_`"'”’»」』.,;!。！)\]}}]*+(?!\S)""")
_GOES_ON = re.compile(
    r"""[^\S\n]*+(?:[%/]|[(]?out\b|or\b|(?:[.,|&+–—-]|\\|to\b|of\b|and\b)?[^\S\n]*+\d)""",
    re.IGNORECASE,
)
"""What makes a number out of "0" or "1" something else: "0 or 1", "1 / 10", "1 out of 5"."""
_END = re.compile(r"""[*_` \t]*+[01][*_`)\]]*+[.!。！]?[*_`)\]]*+(?:\s++(?:-{3,}|\*{3,}))*\s*""")
"""The value of the last statement, up to the end of the reply."""
_ALONE = re.compile(r"score[*_ \t]{0,4}[:：][*_ \t]{0,4}[01][.]?", re.IGNORECASE)
_FENCE = re.compile(r"^[ \t]*```\w*[ \t]*$", re.MULTILINE)


def read_verdict(text: str) -> Literal[0, 1] | None:
    """The score that a reply states; None if it is not a verdict. Total and linear."""
    if len(text) > LONGEST_REPLY:
        return None
    text = _FENCE.sub("", without_reasoning(text)).strip()
    if _ALONE.fullmatch(bare := text.strip(f"*_{_QUOTES}")):
        return 1 if "1" in bare else 0
    heads = list(itertools.islice(_HEAD.finditer(text), MOST_STATEMENTS + 1))
    if not 0 < len(heads) <= MOST_STATEMENTS or _REFUSAL.search(text):
        return None
    values = {_value_after(text, head.end()) for head in heads}
    if len(values) != 1 or not _END.fullmatch(text, heads[-1].end()):
        return None
    quoted = _quoted(text, [head.start() for head in heads])
    ends = [0, *(head.end() + 2 for head in heads)]  # of the statement before
    for head, is_quoted, end in zip(heads, quoted, ends, strict=False):
        if not is_quoted and not _begins_sentence(text, end, head.start()):
            return None
        if not is_quoted and not _ends_sentence(text, head.end()):
            return None
    value = values.pop()
    if quoted[-1] or value is None:
        return None
    return 1 if value == "1" else 0


def _value_after(text: str, at: int) -> str | None:
    """The 0 or 1 that follows a colon at the end of a statement's head; None if anything else."""
    value = _VALUE.match(text, at)
    if value is None or _GOES_ON.match(text, value.end()):
        return None
    return value[1]


_OPENING = re.compile(r"""(?:(?<=[\s(*_])|^)["'`](?=\S)|[“„«「『]|(?<!\w)‘""")
_CLOSING = re.compile(r"""(?<=\S)["'`](?!\w)|[”»」』]|’(?!\w)""")
_MARKS = re.compile(rf"[{_QUOTES}’」』]")
_PAIRS = {"“": "”", "„": "”", "«": "»", "「": "」", "『": "』", "‘": "’"}


def _quoted(text: str, places: Sequence[int]) -> list[bool]:
    """Whether a quotation is open at each place. Marks of inches and apostrophes open none."""
    awaited: str | None = None
    found: list[bool] = []
    marks = _MARKS.finditer(text)
    mark = next(marks, None)
    for place in places:
        while mark is not None and mark.start() < place:
            if awaited is None and _OPENING.match(text, mark.start()):
                awaited = _PAIRS.get(mark[0], mark[0])
            elif awaited == mark[0] and _CLOSING.match(text, mark.start()):
                awaited = None
            mark = next(marks, None)
        found.append(awaited is not None)
    return found


_STOP = re.compile(r"""(?<!\be\.g)(?<!\bi\.e)(?<!\bvs)(?<!\bcf)[.!?。！？…]["'”’»)\]*_`]*\s""")
_LEAD = re.compile(
    r"""(?:(?:so|thus|therefore|hence|finally|overall|accordingly|consequently|in\ conclusion)
          [,:]?\s+)?
        (?:(?:the|my|i\ give\ it\ an?|i\ give\ an?|i\ give|i\ assign\ an?|i\ assign)\s+)?
        (?:(?:final|overall|total|relevance|accuracy|correctness)\s+)*
        (?:(?:verdict|evaluation|judge?ment|conclusion|result|assessment)(?:\s+is)?\s*[:–—-]?\s*)?
    """,
    re.IGNORECASE | re.VERBOSE,
)
"""What may stand before a statement in its own sentence: "Final", "So the verdict:", "My"."""
_NUMBERED = re.compile(r"\d{1,2}[.)]\s*")
_ITEM = re.compile(r"[-*•#>|]|\d{1,2}[.)]\s")
_SUSPECT = re.compile(
    r"""n['’]t\b|\b(?:not?|never|nor|neither|if|unless|whether|when|had|would|could|should|might|may
        |can|cannot|say|says|said|writ\w+|wrote|tell\w*|told|claim\w*|reads?|contain\w*|quot\w+
        |lines?|instruct\w*|ask\w*|prompts?|format\w*|example\w*|instead|rather|than|except|without
        |suppos\w+|assum\w+|imagine\w*|perhaps|maybe|possibl\w+|either|or|refus\w+|doubt\w*|deny
        |denies|hardly|following|output\w*|repl\w+|respon\w+|answer\w*\ with)\b""",
    re.IGNORECASE | re.VERBOSE,
)
"""Words that may take back, qualify or quote what follows a paragraph without a full stop."""
_ANNOUNCES = re.compile(
    r"""\b(?:next|follow\w*|below|examples?|format|template|pretend\w*|hypothetical\w*|ignore
        |would\ (?:be|have|get|score))\b|^\s*(?:only\ )?(?:if|unless|suppos\w+|assuming|provided)\b
    """,
    re.IGNORECASE | re.VERBOSE,
)
"""A sentence that says of the next one that it is not meant."""
_REFUSAL = re.compile(
    r"""\bI(?:['’]m|\ am)\ (?:sorry|afraid|unable|not\ (?:able|going))\b|\bas\ an\ AI\b
        |\bsorry,|\bI\ (?:refuse|decline|apologi[sz]e)\b
        |\b(?:not\ enough|insufficient)\ (?:info|context)
        |\b(?:I\ (?:can(?:not|\ not|['’]?t)|could(?:\ not|n['’]t)|w(?:ill\ not|on['’]t)
          |do(?:\ not|n['’]t))|unable\ to|impossible\ to|can(?:not|['’]t)\ be)
        \ (?:\w+\ ){0,2}?(?:judged?|evaluated?|assess(?:ed)?|scored?|rated?|graded?|determined?
          |decided?|tell|say|give|given|provide|help|comply|assist|answer|verif(?:y|ied)
          |confirm(?:ed)?|know|assign(?:ed)?|state)\b""",
    re.IGNORECASE | re.VERBOSE,
)


def _begins_sentence(text: str, begin: int, at: int) -> bool:
    """Whether a statement at `at` is a sentence of its own in the text from `begin` on."""
    near = text[max(begin, at - LEAD) : at]
    stops = list(_STOP.finditer(near))
    if not stops and len(near) == LEAD:
        return False
    if stops:
        sentence = near[stops[-2].end() if len(stops) > 1 else 0 : stops[-1].end()]
        if _ANNOUNCES.search(sentence):
            return False
    before, _, lead = (near[stops[-1].end() :] if stops else near).rpartition("\n")
    if not _is_lead(_NUMBERED.sub("", lead.strip(_MARKUP))):
        return False
    if not before.strip(_MARKUP):
        return True
    # A paragraph, a heading or an item of a list: these often lack the full stop.
    if _SUSPECT.search(before):
        return False
    last = before.rstrip().rpartition("\n")[2].strip()
    if _is_lead(last.strip(f"{_MARKUP}:")):
        return True
    apart = before.rstrip(" \t").endswith("\n") or _ITEM.match(last) is not None
    return apart and last[-1] not in ",;:(–—-"


def _ends_sentence(text: str, at: int) -> bool:
    """Whether a statement, whose value stands at `at`, ends a sentence, or a line, or another one
    with its lead-in follows it.
    """
    value = _VALUE.match(text, at)
    if value is None or value[0].rstrip("*_`)]").endswith((".", "!", "。", "！")):
        return value is not None
    line = text[value.end() : value.end() + LEAD].partition("\n")[0]
    head = _HEAD.search(line)
    return _is_lead((line[: head.start()] if head else line).strip(_MARKUP))


def _is_lead(text: str) -> bool:
    return not text or _LEAD.fullmatch(f"{text} ") is not None


_THOUGHTS = re.compile(rf"{THINK[0]}.*?(?:{THINK[1]}|\Z)", re.DOTALL)


def without_reasoning(text: str) -> str:
    """`text` without its think elements; an unclosed one takes all that follows.

    Some chat templates put the opening tag into the prompt: text before a first closing tag is
    reasoning too.
    """
    opened, closed = THINK
    before, close, after = text.partition(closed)
    if close and opened not in before:
        text = after
    return _THOUGHTS.sub("", text)
