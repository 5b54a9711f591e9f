"""Episodes of run folders as cards: what was shown, said and decided, and how it was scored.

A record keeps no prompts, so the conversation shown is what the model was shown and what it said.
Records and their images are hostile: what cannot be read becomes a note in place of the card.
"""

from __future__ import annotations

import base64
import binascii
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from jinja2 import TemplateError
from PIL import Image

from visionthink.core.errors import VisionThinkError
from visionthink.core.images import Limits, Picture, open_picture
from visionthink.core.ledger import Ledger, TurnCost
from visionthink.core.profiles import PROFILES
from visionthink.core.types import (
    LOOK_MODES,
    Episode,
    Example,
    Look,
    Message,
    StopReason,
    Turn,
    Usage,
)
from visionthink.reports.evaluation_runs import KINDS as POLICY_KINDS
from visionthink.reports.evaluation_runs import EvaluationRun, kind_of
from visionthink.reports.formatting import one_line, pixels, shortened
from visionthink.reports.page import card, macro
from visionthink.reports.report import Gallery
from visionthink.reports.run_groups import is_number
from visionthink.reports.training_runs import KINDS, TrainingRun
from visionthink.runs.records import EPISODE_VERSION

LIMITS = Limits(max_bytes=4 * 2**20, max_pixels=4_000_000)
PARTS = ("accuracy", "format", "control", "total", "advantage")
OUTCOMES = {
    "way": {mark: mark for mark in ("direct", "requested", "unanswered")},
    "verdict": {mark: mark for mark in ("right", "wrong", "failed")},
}
_DATA_URL = "data:image/"
_BLANK = (0xC8, 0xC6, 0xC0)
_UNKNOWN_PROFILE = "agent"
_BROKEN = (ArithmeticError, AttributeError, LookupError, TypeError, ValueError)
"""What reading a spoilt record raises."""

Record = Mapping[str, Any]


# Which episodes are shown


@dataclass(frozen=True)
class Sample:
    """A line of `episodes.jsonl` and the run that it is of; `others` are lines of the same sample
    under other policies.
    """

    run: TrainingRun | EvaluationRun
    record: Record
    others: tuple[Record, ...] = ()


def spread(run: TrainingRun, most: int) -> list[Sample]:
    """At most `most` of the run's episodes, evenly spread, the last one among them. Raises
    RunError: a line of `episodes.jsonl` is broken.
    """
    count = sum(1 for _ in run.folder.episodes())
    few = min(most, count)
    chosen = {count - 1 - at * count // few for at in range(few)}
    records = enumerate(run.folder.episodes())
    return [Sample(run, record) for at, record in records if at in chosen]


def choose(runs: Sequence[EvaluationRun], most: int) -> list[Sample]:
    """At most `most` episodes of all runs together, those with images first: one of each policy,
    outcome, suite and run, then another, so that what is rare is there as well. Raises RunError: a
    line of `episodes.jsonl` is broken.
    """
    seen: Counter[tuple[Any, ...]] = Counter()
    places: list[tuple[Any, ...]] = []
    for of, run in enumerate(runs):
        for at, record in enumerate(run.folder.episodes()):
            outcome = (_verdict(record), bool(record.get("requested")))
            heap = (_rank(record), _word(record, "policy"), *outcome, _word(record, "suite"), of)
            places.append((not record.get("images"), seen[heap], *heap, at))
            seen[heap] += 1
    return list(_read(runs, {(of, at) for *_, of, at in sorted(places)[:most]}))


def _read(runs: Sequence[EvaluationRun], chosen: set[tuple[int, int]]) -> Iterator[Sample]:
    for of, run in enumerate(runs):
        records = [record for at, record in enumerate(run.folder.episodes()) if (of, at) in chosen]
        same: dict[tuple[str, str], list[Record]] = {_name(record): [] for record in records}
        for record in run.folder.episodes():
            if (name := _name(record)) in same:
                kept = ("policy", "answer", "requested", "score")
                same[name].append({key: record.get(key) for key in kept})
        for record in sorted(records, key=_rank):
            policy = record.get("policy")
            others = [other for other in same[_name(record)] if other["policy"] != policy]
            yield Sample(run, record, tuple(others))


def _name(record: Record) -> tuple[str, str]:
    return _word(record, "suite"), str(record.get("id"))


def _rank(record: Record) -> int:
    """Policies that decide come first, then others in the order of the tables."""
    kind = kind_of(_word(record, "policy"))
    return -1 if kind == "auto" else [*POLICY_KINDS, ""].index(kind)


# Galleries


def training_gallery(samples: Sequence[Sample]) -> Gallery:
    """Episodes of trainings, with their rewards."""
    many = len({sample.run.name for sample in samples}) > 1
    cards: list[Record] = []
    for number, sample in enumerate(samples, start=1):
        step, kind = sample.record.get("step"), _word(sample.record, "kind")
        at = f"step {step}" if isinstance(step, int) else ""
        facts = [sample.run.name if many else "", at, _word(sample.record, "family")]
        right = _judged(_reward(sample.record).get("accuracy"))
        cards.append(_folded(sample, number, facts, [right, kind if kind in KINDS else ""]))
    return _gallery("only", cards, {**OUTCOMES, "kind": {kind: kind for kind in KINDS}})


def evaluation_gallery(samples: Sequence[Sample]) -> Gallery:
    """Episodes of evaluations, with their scores and the answers of other policies."""
    names = {
        "policy": [_word(sample.record, "policy") for sample in samples],
        "family": [_word(s.record, "family") or _word(s.record, "suite") for s in samples],
        "run": [sample.run.name for sample in samples],
    }
    # Class names for texts: those of others cannot be class names.
    marks = {
        what: {text: f"{what}-{at}" for at, text in enumerate(dict.fromkeys(texts))}
        for what, texts in names.items()
    }
    cards: list[Record] = []
    for number, (sample, *texts) in enumerate(zip(samples, *names.values(), strict=True), start=1):
        hidden = [of[text] for of, text in zip(marks.values(), texts, strict=True)]
        facts = [texts[2] if len(marks["run"]) > 1 else "", *texts[:2]]
        cards.append(_folded(sample, number, facts, [_verdict(sample.record)], hidden))
    choices = {
        what: {mark: one_line(text) or "none" for text, mark in of.items()}
        for what, of in marks.items()
    }
    return _gallery("show", cards, choices | OUTCOMES)


def _gallery(
    stem: str, cards: Sequence[Record], choices: Mapping[str, Mapping[str, str]]
) -> Gallery:
    """Choices are offered only between marks that some cards have."""
    there = {mark for each in cards for mark in each["classes"].split()}
    offered = {
        name: {f"any-{name}": f"any {name}"} | {m: text for m, text in marks.items() if m in there}
        for name, marks in choices.items()
    }
    return Gallery(stem, cards, {name: marks for name, marks in offered.items() if len(marks) > 2})


def _word(record: Record, key: str) -> str:
    value = record.get(key)
    return value if isinstance(value, str) else ""


def _reward(record: Record) -> dict[str, float]:
    reward = record.get("reward")
    held = reward if isinstance(reward, Mapping) else {}
    return {part: float(held[part]) for part in PARTS if is_number(held.get(part))}


def _judged(score: object) -> str:
    return ("right" if score >= 0.5 else "wrong") if is_number(score) else ""


def _verdict(record: Record) -> str:
    return _judged(record.get("score")) or "failed"


def _folded(
    sample: Sample, number: int, facts: Sequence[str], marks: Sequence[str],
    hidden: Sequence[str] = (),
) -> Record:  # fmt: skip
    """One record, folded under one line: `facts`, how it went, `marks`, the question, the answer.

    `marks` and `hidden` are words of ours that it can be chosen by; `hidden` ones are not shown.
    """
    record = sample.record
    expected = record.get("answer_expected")
    shown: dict[str, Any] = {
        "record": record,
        "expected": None if expected is None else one_line(str(expected)),
        "reward": _reward(record),
        "others": [(other, _verdict(other)) for other in sample.others],
        "note": "",
    }
    try:
        if record.get("turns") is None and record.get("error") is not None:
            html = macro("gallery.html.jinja", "failed", shown)
        else:
            episode, shown["note"] = episode_of(record, sample.run.folder.path)
            html = macro("gallery.html.jinja", "scored_card", shown, card(episode, number))
            marks = [_way(episode), *marks]
    except (VisionThinkError, TemplateError, *_BROKEN) as error:
        html = macro("gallery.html.jinja", "broken", one_line(f"{type(error).__name__}: {error}"))
        marks = []
    return {
        "html": html,
        "classes": " ".join(mark for mark in ("sample", *marks, *hidden) if mark),
        "facts": ", ".join(one_line(fact) for fact in (*facts, *marks) if fact),
        "question": shortened(one_line(str(record.get("question", ""))), 90),
        "answer": shortened(one_line(_word(record, "answer")), 60),
    }


def _way(episode: Episode) -> str:
    unanswered = episode.stop_reason is not StopReason.ANSWERED
    return "requested" if episode.requested else "unanswered" if unanswered else "direct"


# From a record back to an episode


def episode_of(record: Record, folder: Path) -> tuple[Episode, str]:
    """The episode of a record, whose example has no images, and a note on what was not kept of it.
    Raises VisionThinkError, or one of `_BROKEN`: the record is broken.
    """
    if record["version"] > EPISODE_VERSION:
        raise ValueError(f"it is of version {record['version']}: update visionthink")
    look, profile = record["look"], str(record["profile"])
    if look not in LOOK_MODES:
        raise ValueError(f"there is no look {str(look)[:40]!r}")
    turns = [_turn(turn) for turn in record["turns"]]
    ledger = Ledger(
        vanilla=int(record["ledger"]["visual_tokens"]["vanilla"]),
        turns=tuple(TurnCost(**turn["cost"]) for turn in record["turns"]),
        vanilla_prefill_flops=record["ledger"]["vanilla_prefill_flops"],
        vanilla_paper_prefill_flops=record["ledger"]["vanilla_paper_prefill_flops"],
    )
    looks, note = _looks(record, folder)
    messages: list[Message] = []
    for at, turn in enumerate(turns):
        pictures = tuple(look.picture for look in looks if look.turn == at)
        if at == 0:
            messages.append(Message("user", (*pictures, str(record["question"]))))
        elif pictures:
            messages.append(Message("user", pictures))
        messages.append(Message("assistant", (turn.text,)))
    if profile not in PROFILES:
        note += f"{'; ' if note else ''}its profile, {profile[:40]}, is not known here"
        profile = _UNKNOWN_PROFILE
    episode = Episode(
        example=Example((), str(record["question"])), look=look, profile=profile,
        model=str(record["model"]), answer=str(record["answer"]),
        stop_reason=StopReason(record["stop_reason"]), format_valid=bool(record["format_valid"]),
        messages=tuple(messages), turns=tuple(turns), looks=looks, ledger=ledger,
    )  # fmt: skip
    return episode, note


def _turn(turn: Record) -> Turn:
    outcome = turn["outcome"]
    if outcome not in ("answer", "request", "malformed"):
        raise ValueError(f"there is no outcome {str(outcome)[:40]!r}")
    return Turn(str(turn["text"]), outcome, Usage(0, 0), str(turn["note"]))


def _looks(record: Record, folder: Path) -> tuple[tuple[Look, ...], str]:
    """The looks of a record, and a note about their images; grey areas stand in for lost ones."""
    facts = record["looks"] if record["version"] >= 2 else list(_first_version(record))
    looks = [_look(each) for each in facts]
    sizes = [look.size for look in looks]
    kept = record.get("images")
    if not isinstance(kept, list) or len(kept) != len(looks):
        return tuple(looks), "the images that the model saw were not kept"
    try:
        pictures = [_open(source, folder) for source in kept]
    except ValueError as error:
        return tuple(looks), one_line(str(error))[:200]
    found = tuple(replace(look, picture=p) for look, p in zip(looks, pictures, strict=True))
    if any(look.picture.size[0] < look.size[0] for look in found):
        return found, f"images are kept smaller than the model saw them: {pixels(sizes)}"
    return found, ""


def _first_version(record: Record) -> Iterator[Record]:
    """The looks of a record of version 1: those of the first turn, then originals. Tokens of
    several images are divided by their areas.
    """
    for at, turn in enumerate(record["turns"]):
        areas = [width * height for width, height in turn["saw"]]
        left = turn["cost"]["visual_tokens"]
        for image, size in enumerate(turn["saw"]):
            tokens = round(left * areas[image] / sum(areas[image:]))
            left -= tokens
            action = "original" if at else None
            yield {"turn": at, "image": image, "action": action, "box": None, "size": size,
                   "visual_tokens": tokens}  # fmt: skip


def _look(fact: Record) -> Look:
    width, height = map(int, fact["size"])
    if min(width, height) < 1:
        raise ValueError(f"a look has the size {width} x {height}")
    action, box = fact["action"], fact["box"]
    if box is not None:
        x0, y0, x1, y1 = map(int, box)
        box = (x0, y0, x1, y1)
    action = None if action is None else one_line(str(action))[:40]
    scale = min(1.0, 448 / max(width, height))
    grey = Image.new("RGB", (max(1, round(width * scale)), max(1, round(height * scale))), _BLANK)
    turn, image, tokens = (int(fact[key]) for key in ("turn", "image", "visual_tokens"))
    return Look(turn, image, action, box, (width, height), tokens, Picture(grey))


def _open(source: object, folder: Path) -> Picture:
    """An image of a record: a data URL, or a file inside the run folder."""
    if not isinstance(source, str):
        raise ValueError("an image of the record is not text")
    if source.startswith(_DATA_URL):
        try:
            data = base64.b64decode(source.partition(",")[2], validate=True)
        except binascii.Error as error:
            raise ValueError("an image of the record is not valid base64") from error
        return open_picture(data, LIMITS)
    path = (folder / source).resolve()
    if not path.is_relative_to(folder.resolve()):
        raise ValueError("an image of the record is outside its run folder")
    return open_picture(path, LIMITS)
