"""Episodes of run folders as cards: what was seen, said and decided; of training with rewards.

A record keeps no prompts, so the conversation shown is what the model was shown and what it said.
Records and their images are hostile: what cannot be read becomes a note in place of the card.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from visionthink.core.errors import VisionThinkError
from visionthink.core.images import Limits, Picture, open_picture
from visionthink.core.ledger import Ledger, TurnCost
from visionthink.core.profiles import PROFILES
from visionthink.core.types import LOOK_MODES, Episode, Example, Message, StopReason, Turn, Usage
from visionthink.reports.page import card
from visionthink.reports.story import count, html_text, one_line, shortened
from visionthink.reports.training import KINDS, TrainingRun
from visionthink.runs.records import EPISODE_VERSION

LIMITS = Limits(max_bytes=4 * 2**20, max_pixels=4_000_000)
PARTS = ("accuracy", "format", "control", "total", "advantage")
_DATA_URL = "data:image/"
_BLANK = (0xC8, 0xC6, 0xC0)
_UNKNOWN_PROFILE = "agent"
_MAX_QUESTION = 90


@dataclass(frozen=True)
class Sample:
    """A line of `episodes.jsonl` and the run that it is of."""

    run: TrainingRun
    record: Mapping[str, Any]


def samples(run: TrainingRun, most: int) -> list[Sample]:
    """At most `most` of the run's episodes, evenly spread, the last one among them.

    Raises:
        RunError: a line of `episodes.jsonl` is broken.
    """
    count = sum(1 for _ in run.folder.episodes())
    few = min(most, count)
    wanted = {count - 1 - at * count // few for at in range(few)}
    records = enumerate(run.folder.episodes())
    return [Sample(run, record) for at, record in records if at in wanted]


def gallery(found: Sequence[Sample]) -> str:
    """The HTML of the samples, each folded under one line, with buttons that choose among them.

    Empty if there are none.
    """
    many = len({sample.run.name for sample in found}) > 1
    cards = [_folded(sample, at, many) for at, sample in enumerate(found, start=1)]
    words = {name: {of: of.replace("-", " ") for of in every} for name, every in CHOICES.items()}
    return choosable(cards, words)


def _folded(sample: Sample, number: int, named: bool) -> str:
    record = sample.record
    step, family, kind = record.get("step"), record.get("family"), record.get("kind")
    facts = [
        sample.run.name if named else "",
        f"step {step}" if isinstance(step, int) else "",
        family if isinstance(family, str) else "",
    ]
    marks = [verdict(_reward(record).get("accuracy")), kind if kind in CHOICES["kind"] else ""]
    folder = sample.run.folder.path
    return folded(record, folder, number, facts=facts, marks=marks, aside=_asides(record))


Choices = Mapping[str, Mapping[str, str]]
"""What episodes can be chosen by: for each, the marks of cards and their names on the page. The
first is that of all.
"""


def choosable(cards: Sequence[str], choices: Choices, stem: str = "only") -> str:
    """The HTML of cards with buttons that choose among them; empty if there are no cards.

    `stem` begins the ids of the buttons: two galleries of one page need two.
    """
    if not cards:
        return ""
    chosen = "".join(
        f'<span class="choice">{_radio(stem, name, marks)}</span>'
        for name, marks in choices.items()
    )
    below = f'<p class="shown"> of {count(len(cards), "episode")}</p>'
    return "\n".join(
        [
            '<section class="gallery">',
            f'<p class="choices">{chosen}</p>',
            *cards,
            below,
            "</section>",
        ]
    )


def _radio(stem: str, name: str, marks: Mapping[str, str]) -> str:
    return "".join(
        f'<span><input type="radio" name="{stem}-{name}" id="{stem}-{mark}"'
        f"{' checked' if not at else ''}>"
        f'<label for="{stem}-{mark}">{html_text(told)}</label></span>'
        for at, (mark, told) in enumerate(marks.items())
    )


def choosing(choices: Mapping[str, Iterable[str]], stem: str = "only") -> str:
    """The style sheet that does the choosing: no script runs on our pages."""
    return "\n".join(
        f".gallery:has(#{stem}-{mark}:checked) .sample:not(.{mark}) {{ display: none; }}"
        for marks in choices.values()
        for mark in list(marks)[1:]
    )


CHOICES = {
    "way": ("any-way", "direct", "requested", "unanswered"),
    "verdict": ("any-verdict", "right", "wrong"),
    "kind": ("any-kind", *KINDS),
}
"""What episodes of training can be chosen by."""
FILTERS = choosing(CHOICES)


def folded(
    record: Mapping[str, Any],
    folder: Path,
    number: int,
    *,
    facts: Sequence[str],
    marks: Sequence[str],
    aside: str,
    hidden: Sequence[str] = (),
) -> str:
    """The HTML of one record, folded under one line: `facts`, how it went, `marks`, the question.

    Args:
        record: a line of `episodes.jsonl`.
        folder: of its run, for images that are files.
        number: among those of the page.
        facts: what the line begins with.
        marks: words of ours that it can be chosen by, which are told as well.
        aside: HTML under the question.
        hidden: marks that are not told.
    """
    question = one_line(str(record.get("question", "")))
    if record.get("turns") is None and record.get("error") is not None:
        shown = f"<article><header>{aside}</header></article>"
        return _line_of(facts, marks, hidden, question, shown)
    try:
        episode, note = episode_of(record, folder)
        shown = card(episode, number, f"{aside}{note}")
        marks = [_way(episode), *marks]
    except (VisionThinkError, ArithmeticError, LookupError, TypeError, ValueError) as error:
        why = f"{type(error).__name__}: {error}"
        shown = f'<p class="none">This record cannot be shown: {html_text(one_line(why)[:200])}</p>'
        marks = []
    return _line_of(facts, marks, hidden, question, shown)


def _line_of(
    facts: Sequence[str],
    marks: Sequence[str],
    hidden: Sequence[str],
    question: str,
    shown: str,
) -> str:
    told = ", ".join(fact for fact in (*facts, *marks) if fact)
    short = shortened(question, _MAX_QUESTION)
    classes = " ".join(mark for mark in ("sample", *marks, *hidden) if mark)
    return (
        f'<details class="{classes}"><summary><span class="facts">{html_text(told)}</span> '
        f'<span dir="auto">{html_text(short)}</span></summary>\n{shown}\n</details>'
    )


def _way(episode: Episode) -> str:
    unanswered = episode.stop_reason is not StopReason.ANSWERED
    return "requested" if episode.requested else "unanswered" if unanswered else "direct"


def verdict(score: float | None) -> str:
    return "" if score is None else "right" if score >= 0.5 else "wrong"


def _asides(record: Mapping[str, Any]) -> str:
    """The right answer and the parts of the reward."""
    expected = record.get("answer_expected")
    right = f"<b>{html_text(str(expected))}</b>" if expected is not None else "not known"
    reward = _reward(record)
    parts = [f"{part} {reward[part]:+.3f}" for part in PARTS if part in reward]
    told = ", ".join(parts) if parts else "unscored"
    return (
        f'<p dir="auto"><span class="label">Right answer</span> {right}</p>'
        f'<p><span class="label">Reward</span> {told}</p>'
    )


def _reward(record: Mapping[str, Any]) -> dict[str, float]:
    reward = record.get("reward")
    if not isinstance(reward, Mapping):
        return {}
    return {
        part: float(reward[part])
        for part in PARTS
        if isinstance(reward.get(part), int | float) and not isinstance(reward[part], bool)
    }


# From a record back to an episode


def episode_of(record: Mapping[str, Any], folder: Path) -> tuple[Episode, str]:
    """The episode that a record tells of, and HTML that says what of it was not kept.

    Raises:
        VisionThinkError, KeyError, TypeError, ValueError: the record is broken.
    """
    if record["version"] > EPISODE_VERSION:
        raise ValueError(f"it is of version {record['version']}: update visionthink")
    turns = [_turn(turn) for turn in record["turns"]]
    costs = [TurnCost(**turn["cost"]) for turn in record["turns"]]
    looks, note = _looks(record, turns, folder)
    first = looks[0] if looks else ()
    delivered = next((look for look in looks[1:] if look), ())
    look = record["look"]
    if look not in LOOK_MODES:
        raise ValueError(f"there is no look {str(look)[:40]!r}")
    tokens = record["ledger"]["visual_tokens"]
    smaller = look != "high" and tokens["first"] < tokens["vanilla"]
    originals = delivered or (tuple(map(_doubled, first)) if smaller else first)
    profile = str(record["profile"])
    question = str(record["question"])
    messages: list[Message] = []
    for at, turn in enumerate(turns):
        parts = (*looks[at], question) if at == 0 else looks[at]
        if parts:
            messages.append(Message("user", parts))
        messages.append(Message("assistant", (turn.text,)))
    if profile not in PROFILES:
        note += f'<p class="muted">Its profile, {html_text(profile[:40])}, is not known here.</p>'
        profile = _UNKNOWN_PROFILE
    episode = Episode(
        example=Example(originals, question),
        look=look,
        profile=profile,
        model=str(record["model"]),
        answer=str(record["answer"]),
        requested=bool(record["requested"]),
        stop_reason=StopReason(record["stop_reason"]),
        format_valid=bool(record["format_valid"]),
        messages=tuple(messages),
        turns=tuple(turns),
        ledger=_ledger(record["ledger"], costs),
    )
    return episode, note


def _turn(turn: Mapping[str, Any]) -> Turn:
    outcome = turn["outcome"]
    if outcome not in ("answer", "request", "malformed"):
        raise ValueError(f"there is no outcome {str(outcome)[:40]!r}")
    saw = tuple((int(width), int(height)) for width, height in turn["saw"])
    return Turn(str(turn["text"]), outcome, saw, Usage(0, 0), str(turn["note"]))


def _ledger(ledger: Mapping[str, Any], costs: Sequence[TurnCost]) -> Ledger:
    tokens = ledger["visual_tokens"]
    return Ledger(
        first=int(tokens["first"]),
        requested=int(tokens["requested"]),
        vanilla=int(tokens["vanilla"]),
        turns=tuple(costs),
        vanilla_prefill_flops=ledger["vanilla_prefill_flops"],
        vanilla_paper_prefill_flops=ledger["vanilla_paper_prefill_flops"],
    )


def _looks(
    record: Mapping[str, Any], turns: Sequence[Turn], folder: Path
) -> tuple[list[tuple[Picture, ...]], str]:
    """The images that came before each turn, and what is to be said about them.

    Grey areas stand in for images that were not kept.
    """
    sizes = [size for turn in turns for size in turn.saw]
    kept = record.get("images")
    pictures: list[Picture] = []
    note = ""
    if isinstance(kept, list) and len(kept) == len(sizes):
        try:
            pictures = [_open(source, folder) for source in kept]
        except ValueError as error:
            note = one_line(str(error))[:200]
    else:
        note = "what the model saw was not kept"
    if not pictures:
        pictures = [_blank(size) for size in sizes]
    elif [picture.size for picture in pictures] != sizes:
        real = ", ".join(f"{width} x {height}" for width, height in sizes)
        note = f"images are kept shrunk; the model saw {real} px"
    rest = iter(pictures)
    looks = [tuple(next(rest) for _ in turn.saw) for turn in turns]
    return looks, f'<p class="muted">{html_text(note)}</p>' if note else ""


def _open(source: object, folder: Path) -> Picture:
    """An image of a record: a data URL, or a file inside the run folder."""
    if not isinstance(source, str):
        raise ValueError("an image of the record is no text")
    if source.startswith(_DATA_URL):
        try:
            data = base64.b64decode(source.partition(",")[2], validate=True)
        except binascii.Error as error:
            raise ValueError("an image of the record is no base64") from error
        return open_picture(data, LIMITS)
    path = (folder / source).resolve()
    if not path.is_relative_to(folder.resolve()):
        raise ValueError("an image of the record is outside its run folder")
    return open_picture(path, LIMITS)


def _blank(size: tuple[int, int]) -> Picture:
    scale = min(1.0, 448 / max(1, *size))
    width, height = (max(1, round(side * scale)) for side in size)
    return Picture(Image.new("RGB", (width, height), _BLANK))


def _doubled(picture: Picture) -> Picture:
    """Stands in for the original that was not requested: only its size is used."""
    return Picture(picture.image.resize((picture.size[0] * 2, picture.size[1] * 2)))
