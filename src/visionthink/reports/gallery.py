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
from visionthink.reports.page import Aside, card
from visionthink.reports.report import Gallery
from visionthink.reports.run_groups import is_number
from visionthink.reports.training_runs import KINDS, TrainingRun
from visionthink.runs.records import EPISODE_VERSION

LIMITS = Limits(max_bytes=4 * 2**20, max_pixels=4_000_000)
PARTS = ("accuracy", "format", "control", "total", "advantage")
WAYS = ("direct", "requested", "unanswered")
VERDICTS = ("right", "wrong", "failed")
_DATA_URL = "data:image/"
_BLANK = (0xC8, 0xC6, 0xC0)
_UNKNOWN_PROFILE = "agent"
_QUESTION, _ANSWER = 90, 60
"""Characters that are shown of one that is folded."""

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
    """At most `most` of the run's episodes, evenly spread, the last one among them.

    Raises:
        RunError: a line of `episodes.jsonl` is broken.
    """
    count = sum(1 for _ in run.folder.episodes())
    few = min(most, count)
    chosen = {count - 1 - at * count // few for at in range(few)}
    records = enumerate(run.folder.episodes())
    return [Sample(run, record) for at, record in records if at in chosen]


def choose(runs: Sequence[EvaluationRun], most: int) -> list[Sample]:
    """At most `most` episodes of all runs together, those with images first: one of each policy,
    outcome, suite and run, then another, so that what is rare is there as well.

    Raises:
        RunError: a line of `episodes.jsonl` is broken.
    """
    seen: Counter[tuple[Any, ...]] = Counter()
    places: list[tuple[Any, ...]] = []
    for of, run in enumerate(runs):
        for at, record in enumerate(run.folder.episodes()):
            outcome = (_verdict(record) or "failed", bool(record.get("requested")))
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


def _word(record: Record, key: str) -> str:
    value = record.get(key)
    return value if isinstance(value, str) else ""


# Galleries


def training_gallery(samples: Sequence[Sample]) -> Gallery:
    """Episodes of trainings, with their rewards."""
    many = len({sample.run.name for sample in samples}) > 1
    cards: list[dict[str, Any]] = []
    for number, sample in enumerate(samples, start=1):
        record = sample.record
        step = record.get("step")
        kind = record.get("kind")
        facts = [
            sample.run.name if many else "",
            f"step {step}" if isinstance(step, int) else "",
            _word(record, "family"),
        ]
        reward = _reward(record)
        scored = [f"{part} {reward[part]:+.3f}" for part in PARTS if part in reward]
        aside = [_right_answer(record), ("Reward", "", ", ".join(scored) or "unscored")]
        marks = [_judged(reward.get("accuracy")), kind if kind in KINDS else ""]
        cards.append(_folded(sample, number, facts, marks, [], aside))
    names = {"way": WAYS, "verdict": VERDICTS, "kind": KINDS}
    choices = {name: {mark: mark for mark in marks} for name, marks in names.items()}
    return _gallery("only", cards, choices)


def evaluation_gallery(samples: Sequence[Sample]) -> Gallery:
    """Episodes of evaluations, with their scores and the answers of other policies."""
    policies = _numbered("policy", [_word(s.record, "policy") for s in samples])
    families = _numbered("family", [_family(s.record) for s in samples])
    runs = _numbered("run", [s.run.name for s in samples])
    cards: list[dict[str, Any]] = []
    for number, sample in enumerate(samples, start=1):
        record = sample.record
        policy, family = _word(record, "policy"), _family(record)
        facts = [sample.run.name if len(runs) > 1 else "", one_line(policy), one_line(family)]
        hidden = [policies[policy], families[family], runs[sample.run.name]]
        marks = [_verdict(record) or "failed"]
        cards.append(_folded(sample, number, facts, marks, hidden, _scored(sample)))
    texts = {"policy": policies, "family": families, "run": runs}
    choices = {
        name: {mark: one_line(text) or "none" for text, mark in marks.items()}
        for name, marks in texts.items()
    }
    choices["way"] = {mark: mark for mark in WAYS}
    choices["verdict"] = {mark: mark for mark in VERDICTS}
    return _gallery("show", cards, choices)


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


def _numbered(stem: str, texts: Sequence[str]) -> dict[str, str]:
    """A class name for each distinct text: texts of others cannot be class names."""
    return {text: f"{stem}-{at}" for at, text in enumerate(dict.fromkeys(texts))}


def _family(record: Record) -> str:
    return _word(record, "family") or _word(record, "suite")


def _right_answer(record: Record) -> tuple[str, str, str]:
    expected = record.get("answer_expected")
    text = ("", "not known") if expected is None else (one_line(str(expected)), "")
    return ("Right answer", *text)


def _reward(record: Record) -> dict[str, float]:
    reward = record.get("reward")
    held = reward if isinstance(reward, Mapping) else {}
    return {part: float(held[part]) for part in PARTS if is_number(held.get(part))}


def _judged(score: float | None) -> str:
    return "" if score is None else "right" if score >= 0.5 else "wrong"


def _verdict(record: Record) -> str:
    score = record.get("score")
    return _judged(float(score)) if is_number(score) else ""


def _scored(sample: Sample) -> Aside:
    """The right answer, the score, and what other policies answered."""
    record = sample.record
    score, error = record.get("score"), record.get("error")
    lines = [_right_answer(record)]
    if error is not None:
        lines.append(("Failed", "", one_line(str(error))[:300]))
    else:
        text = f"{score:g}" if is_number(score) else "none"
        lines.append(("Score", "", f"{text}, by {_word(record, 'by') or 'nobody'}"))
    for other in sample.others:
        answer = shortened(one_line(str(other.get("answer") or "no answer")), _ANSWER)
        asked = ", requested" if other.get("requested") is True else ""
        lines.append((_word(other, "policy"), answer, f"({_verdict(other) or 'failed'}{asked})"))
    return lines


def _folded(
    sample: Sample,
    number: int,
    facts: Sequence[str],
    marks: Sequence[str],
    hidden: Sequence[str],
    aside: Aside,
) -> dict[str, Any]:
    """One record, folded under one line: `facts`, how it went, `marks`, the question, the answer.

    `marks` and `hidden` are words of ours that it can be chosen by; `hidden` ones are not shown.
    """
    record = sample.record
    shown: dict[str, Any] = {"card": None, "aside": (), "note": ""}
    if record.get("turns") is None and record.get("error") is not None:
        shown["aside"] = aside
    else:
        try:
            episode, note = episode_of(record, sample.run.folder.path)
            lines = [*aside, *([("Note", "", note)] if note else [])]
            shown["card"] = card(episode, number, lines)
            marks = [_way(episode), *marks]
        except (VisionThinkError, ArithmeticError, LookupError, TypeError, ValueError) as error:
            why = one_line(f"{type(error).__name__}: {error}")
            shown["note"] = f"This record cannot be shown: {why[:200]}"
            marks = []
    return shown | {
        "classes": " ".join(mark for mark in ("sample", *marks, *hidden) if mark),
        "facts": ", ".join(fact for fact in (*facts, *marks) if fact),
        "question": shortened(one_line(str(record.get("question", ""))), _QUESTION),
        "answer": shortened(one_line(_word(record, "answer")), _ANSWER),
    }


def _way(episode: Episode) -> str:
    unanswered = episode.stop_reason is not StopReason.ANSWERED
    return "requested" if episode.requested else "unanswered" if unanswered else "direct"


# From a record back to an episode


def episode_of(record: Record, folder: Path) -> tuple[Episode, str]:
    """The episode of a record, and a note on what was not kept of it.

    Original images are not in records, so the episode's example has none.

    Raises:
        VisionThinkError, KeyError, TypeError, ValueError: the record is broken.
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
        example=Example((), str(record["question"])),
        look=look,
        profile=profile,
        model=str(record["model"]),
        answer=str(record["answer"]),
        stop_reason=StopReason(record["stop_reason"]),
        format_valid=bool(record["format_valid"]),
        messages=tuple(messages),
        turns=tuple(turns),
        looks=looks,
        ledger=ledger,
    )
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
    scale = min(1.0, 448 / max(width, height))
    blank = Image.new("RGB", (max(1, round(width * scale)), max(1, round(height * scale))), _BLANK)
    return Look(
        int(fact["turn"]),
        int(fact["image"]),
        None if action is None else one_line(str(action))[:40],
        box,
        (width, height),
        int(fact["visual_tokens"]),
        Picture(blank),
    )


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
