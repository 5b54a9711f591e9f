"""Episodes as a picture: what the model saw, what it decided, what it cost. Pillow alone.

A card for each episode, 900 points wide (1,800 px): the first look drawn as large as the original,
with its own pixels visible, the thought and the decision beside it, the original if it was
requested, the answer, and a meter of visual tokens. Colours are Okabe and Ito's, which
colour-blind people can tell apart; nothing is said by colour alone.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from PIL import Image

from visionthink.core.errors import UsageError
from visionthink.core.images import Picture
from visionthink.core.types import Episode
from visionthink.reports.canvas import SCALE, Box, Canvas, text_width, wrap
from visionthink.reports.story import (
    Step,
    clean,
    count,
    ending,
    first_look,
    percent,
    pixels,
    shows_original,
    steps,
)

BLUE, ORANGE, GREEN, VERMILION = "#0072B2", "#E69F00", "#009E73", "#D55E00"
PAPER, BAND, RULE, INK, MUTED, GREY = (
    "#FFFFFF", "#F5F3EE", "#D9D5CB", "#1F2328", "#5A626B", "#A8A69F",
)  # fmt: skip
TINTS = {BLUE: "#E3F0F8", ORANGE: "#FDF1D8", GREEN: "#DDF2EB", VERMILION: "#FBE7DB"}

WIDTH = 900
PAD = 28
SIDE = 272
"""Width of the two columns of images."""
GAP = 26
MIDDLE = WIDTH - 2 * PAD - 2 * SIDE - 2 * GAP
"""Width of the column between them."""
TALLEST = 300
"""Height of the tallest images."""
LINE = 19
PILL = 34
MAX_IMAGES = 4
MAX_STEPS = 3
X_LEFT, X_MIDDLE, X_RIGHT = PAD, PAD + SIDE + GAP, WIDTH - PAD - SIDE


def save_picture(episodes: Sequence[Episode], path: str | os.PathLike[str]) -> None:
    """Write the cards of the episodes, stacked, as one PNG; missing folders are made.

    Raises:
        UsageError: there are no episodes.
        OSError: the file cannot be written.
    """
    if not episodes:
        raise UsageError("a picture needs at least one episode; got none")
    cards = [episode_picture(episode) for episode in episodes]
    gap = 14 * SCALE
    height = sum(card.height for card in cards) + gap * (len(cards) - 1)
    page = Image.new("RGBA", (cards[0].width, height), (0, 0, 0, 0))
    top = 0
    for card in cards:
        page.paste(card, (0, top))
        top += card.height + gap
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    page.save(path, "PNG", optimize=True)


def episode_picture(episode: Episode) -> Image.Image:
    """The card of one episode: RGBA, 1,800 px wide, transparent only outside its round corners.

    Long texts are cut. Text in scripts that Pillow's font lacks is drawn as empty boxes; the HTML
    page (`reports.page`) shows every script.
    """
    return _Card(episode).draw()


class _Card:
    """Measures first, draws then: heights depend on the texts."""

    def __init__(self, episode: Episode) -> None:
        self.episode = episode
        told = steps(episode)
        at = next((i for i, step in enumerate(told) if step.delivered), None)
        self.before = told if at is None else told[: at + 1]
        after = () if at is None else told[at + 1 :]
        self.first = first_look(episode)
        self.originals = episode.example.images
        self.boxes = _arrange([picture.size for picture in self.originals[:MAX_IMAGES]])
        self.question = wrap(clean(episode.example.question), 21, WIDTH - 2 * PAD - 190, 3)
        self.shown = self.before[-MAX_STEPS:]
        self.earlier = len(self.before) - len(self.shown)
        each = max(3, 9 // max(1, len(self.shown)))
        self.blocks = [_Block(step, each) for step in self.shown]
        width = WIDTH - PAD - X_MIDDLE
        self.answer = wrap(clean(episode.answer), 24, width, 2)
        self.later = wrap(clean(after[-1].thought), 13.5, width, 2) if after else []
        self.note = wrap(ending(episode), 13.5, width, 1)

        self.images_height = max((box[3] for box in self.boxes), default=0)
        self.words_height = sum(b.height for b in self.blocks) + 14 * (len(self.blocks) - 1)
        self.words_height += LINE if self.earlier else 0
        self.row_height = max(self.images_height, self.words_height, 84)
        self.row_top = 40 + 27 * len(self.question) + 56
        self.band_top = self.row_top + self.row_height + 44
        answer_height = 36 + 31 * max(1, len(self.answer)) + LINE * len(self.later + self.note)
        self.height = self.band_top + max(132, answer_height + 18)
        self.canvas = Canvas(WIDTH, self.height)

    def draw(self) -> Image.Image:
        canvas = self.canvas
        canvas.box((0, 0, WIDTH, self.height), radius=14, fill=PAPER)
        canvas.box((0, self.band_top, WIDTH, self.height), radius=14, fill=BAND)
        canvas.box((0, self.band_top, WIDTH, self.band_top + 14), fill=BAND)
        canvas.box((0, 0, WIDTH, self.height), radius=14, line=RULE)
        self._header()
        same = " = original" if shows_original(self.episode) else ""
        ledger = self.episode.ledger
        self._images(X_LEFT, self.first, f"First look{same}", ledger.first, BLUE)
        exit_y = self._middle()
        centre = self._image_top() + self.images_height / 2
        to_answer = [(X_MIDDLE + 19, exit_y + PILL / 2 + 2)]
        if self.episode.requested:
            self._images(X_RIGHT, self.originals, "Original", ledger.requested, ORANGE)
            start, stop = X_MIDDLE + MIDDLE + 2, X_RIGHT - 5
            path = [(start, exit_y), (stop, exit_y)]
            if abs(exit_y - centre) > self.images_height / 2 - 4:
                bend = start + 8
                path = [(start, exit_y), (bend, exit_y), (bend, centre), (stop, centre)]
            canvas.arrow(path, INK)
            x = X_RIGHT + max(box[2] for box in self.boxes) / 2
            turn = self.band_top - 20
            bottom = self._image_top() + self.images_height
            to_answer = [(x, bottom + 6), (x, turn), (X_MIDDLE + 19, turn)]
        else:
            self._ghost()
        if self.episode.answer:
            canvas.arrow([*to_answer, (X_MIDDLE + 19, self.band_top + 6)], INK)
        self._meter()
        self._answer()
        return canvas.image

    def _header(self) -> None:
        self.canvas.text((PAD, 34), "QUESTION", 11, MUTED)
        model = wrap(clean(self.episode.model), 12, 180, 1)
        self.canvas.text((WIDTH - PAD, 34), "".join(model), 12, MUTED, align="right")
        for at, line in enumerate(self.question):
            self.canvas.text((PAD, 61 + 27 * at), line, 21, INK, bold=True)

    def _image_top(self) -> float:
        return self.row_top + (self.row_height - self.images_height) / 2

    def _images(
        self, x: float, pictures: Sequence[Picture], label: str, tokens: int, colour: str
    ) -> None:
        """Images in the places of the originals, in a frame, their label above."""
        top = self._image_top()
        self.canvas.text((x, top - 27), label, 13.5, INK, bold=True)
        facts = f"{count(tokens, 'visual token')}, {pixels(pictures)}"
        self.canvas.text((x, top - 10), "".join(wrap(facts, 12, SIDE, 1)), 12, MUTED)
        for (left, upper, right, lower), picture in zip(self.boxes, pictures, strict=False):
            box = (x + left, top + upper, x + right, top + lower)
            frame = (box[0] - 2, box[1] - 2, box[2] + 2, box[3] + 2)
            self.canvas.box(frame, radius=2, fill=colour)
            self.canvas.picture(box, picture.image)

    def _ghost(self) -> None:
        """The place of an original that was not requested."""
        episode, top = self.episode, self._image_top()
        reason = {"auto": "not requested", "low": "not offered", "high": "already seen"}
        say = "already seen" if shows_original(episode) else reason[episode.look]
        if any(step.outcome == "request" for step in self.before):
            say = "not delivered"
        height = max(self.images_height, 44)
        top -= (height - self.images_height) / 2
        box = (X_RIGHT, top, X_RIGHT + SIDE, top + height)
        self.canvas.dashes(box, GREY)
        centre = X_RIGHT + SIDE / 2
        self.canvas.text(
            (centre, top + height / 2 - 3), f"Original: {say}", 13.5, MUTED, align="middle"
        )
        spared = episode.ledger.vanilla - episode.ledger.processed
        if spared > 0:
            spared_text = f"{count(spared, 'visual token')} saved"
            self.canvas.text(
                (centre, top + height / 2 + 14), spared_text, 12, MUTED, align="middle"
            )

    def _middle(self) -> float:
        """Thoughts and decisions; the height of the middle of the last decision."""
        y = self.row_top + (self.row_height - self.words_height) / 2
        if self.earlier:
            some = "1 earlier reply" if self.earlier == 1 else f"{self.earlier:,} earlier replies"
            self.canvas.text((X_MIDDLE, y + 12), f"after {some}", 12, MUTED)
            y += LINE
        decided = y
        for block in self.blocks:
            for line in block.thought:
                self.canvas.text((X_MIDDLE, y + 14), line, 13.5, INK)
                y += LINE
            y += 10 if block.thought else 0
            self._pill(block.step, y)
            decided = y + PILL / 2
            y += PILL
            for line in block.note:
                self.canvas.text((X_MIDDLE + 36, y + 15), line, 12, MUTED)
                y += 16
            y += 14
        return decided

    def _pill(self, step: Step, y: float) -> None:
        colour, say = {
            "answer": (GREEN, "answers"),
            "request": (ORANGE, "requests the original"),
            "malformed": (VERMILION, "malformed reply"),
        }[step.outcome]
        canvas, x = self.canvas, X_MIDDLE
        box: Box = (x, y, x + MIDDLE, y + PILL)
        canvas.box(box, radius=PILL / 2, fill=TINTS[colour], line=colour, width=1.5)
        cx, cy = x + 19, y + PILL / 2
        if step.outcome == "answer":
            canvas.stroke([(cx - 6, cy), (cx - 2, cy + 5), (cx + 6, cy - 5)], INK, 2)
        elif step.outcome == "request":
            canvas.box((cx - 7, cy - 7, cx + 4, cy + 4), radius=6, line=INK, width=2)
            canvas.stroke([(cx + 2.5, cy + 2.5), (cx + 7, cy + 7)], INK, 2)
        else:
            canvas.stroke([(cx - 5, cy - 5), (cx + 5, cy + 5)], INK, 2)
            canvas.stroke([(cx - 5, cy + 5), (cx + 5, cy - 5)], INK, 2)
        canvas.text((x + 36, cy + 5), say, 14, INK)

    def _meter(self) -> None:
        """Visual tokens that were processed, over those of the original alone, to one scale."""
        canvas, ledger, top = self.canvas, self.episode.ledger, self.band_top
        canvas.text((PAD, top + 28), "VISUAL TOKENS", 11, MUTED)
        x = PAD + SIDE - text_width(" of vanilla", 12)
        canvas.text((x, top + 30), percent(ledger.ratio), 19, INK, bold=True, align="right")
        canvas.text((PAD + SIDE, top + 30), "of vanilla", 12, MUTED, align="right")
        unit = SIDE / max(1.25, ledger.ratio) / ledger.vanilla
        split, end = PAD + ledger.first * unit, PAD + ledger.processed * unit
        canvas.box((PAD, top + 42, split, top + 54), fill=BLUE)
        if ledger.requested:
            canvas.box((split + 1, top + 42, end, top + 54), fill=ORANGE)
        parts = f" = {ledger.first:,} first look + {ledger.requested:,} original"
        said = f"{ledger.processed:,} processed{parts if ledger.requested else ''}"
        canvas.text((PAD, top + 69), "".join(wrap(said, 12, SIDE, 1)), 12, INK)
        canvas.box((PAD, top + 83, PAD + ledger.vanilla * unit, top + 95), fill=GREY)
        canvas.text((PAD, top + 110), f"{ledger.vanilla:,} vanilla: the original alone", 12, INK)

    def _answer(self) -> None:
        y = self.band_top + 30
        self.canvas.text((X_MIDDLE, y), "ANSWER" if self.answer else "NO ANSWER", 11, MUTED)
        y += 29
        for line in self.answer:
            self.canvas.text((X_MIDDLE, y), line, 24, INK, bold=True)
            y += 31
        y -= 6
        for line in self.later + self.note:
            self.canvas.text((X_MIDDLE, y), line, 13.5, MUTED)
            y += LINE


class _Block:
    """A thought, the decision under it, and a remark; lines that fit into the middle column."""

    def __init__(self, step: Step, max_lines: int) -> None:
        self.step = step
        self.thought = wrap(clean(step.thought), 13.5, MIDDLE, max_lines)
        self.note = wrap(clean(step.note), 12, MIDDLE - 36, 2)
        gap = 10 if self.thought else 0
        self.height = LINE * len(self.thought) + gap + PILL + 16 * len(self.note)


def _arrange(sizes: Sequence[tuple[int, int]]) -> list[Box]:
    """Places for images of these sizes, within SIDE x TALLEST: beside or below each other,
    whichever shows more of them.
    """
    best: list[Box] = []
    for columns in (1, 2):
        rows = -(-len(sizes) // columns)
        room = ((SIDE + 8) / columns - 8, (TALLEST + 8) / rows - 8)
        boxes: list[Box] = []
        top = 0.0
        for at in range(0, len(sizes), columns):
            lower = top
            for column, (width, height) in enumerate(sizes[at : at + columns]):
                scale = min(room[0] / width, room[1] / height)
                left = column * (room[0] + 8)
                shown = max(1.0, width * scale), max(1.0, height * scale)
                boxes.append((left, top, left + shown[0], top + shown[1]))
                lower = max(lower, top + shown[1])
            top = lower + 8
        if _area(boxes) > _area(best):
            best = boxes
    return best


def _area(boxes: Sequence[Box]) -> float:
    return sum((right - left) * (lower - upper) for left, upper, right, lower in boxes)
