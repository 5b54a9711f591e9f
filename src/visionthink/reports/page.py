"""Episodes as one HTML page that needs nothing else: no server, no script, no network.

Questions, replies and names are hostile text: all of it is cleaned and escaped, nothing becomes a
link, and a Content-Security-Policy allows only our own style sheet and images inside the page.
Images are encoded anew from their pixels, so no metadata (places, cameras) travels along.
"""

from __future__ import annotations

import base64
import hashlib
import io
import os
from collections.abc import Iterator, Sequence
from html import escape
from pathlib import Path

from PIL import Image

from visionthink.core.images import Picture
from visionthink.core.ledger import Ledger
from visionthink.core.types import Episode, Message
from visionthink.reports.story import (
    Step,
    clean,
    count,
    ending,
    first_look,
    flops,
    html_text,
    percent,
    pixels,
    seconds,
    shows_original,
    steps,
)

LONGEST_SIDE = 1600
"""Larger originals are shown shrunk to this, and their first looks by the same factor."""
SHOWN = (336, 416)
"""CSS pixels into which a look is fitted, enlarged or shrunk; half as wide for one of several."""
THUMBNAIL = 160
MAX_PNG = 400_000
"""Bytes; larger images are embedded as JPEG."""
MAX_THOUGHT = 700
"""Characters shown beside the images; the folded conversation has them all."""

STYLE = (Path(__file__).parent / "page.css").read_text(encoding="utf-8")
DECISIONS = {
    "answer": "\N{CHECK MARK} answers",
    "request": "→ requests the original",
    "malformed": "\N{BALLOT X} malformed reply",
}


def save_page(
    episodes: Sequence[Episode], path: str | os.PathLike[str], title: str = "Episodes"
) -> None:
    """Write `episode_page` as UTF-8; missing folders are made. Raises OSError if it cannot."""
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Path(path).write_text(episode_page(episodes, title), encoding="utf-8", newline="\n")


def episode_page(episodes: Sequence[Episode], title: str = "Episodes") -> str:
    """The page: one card an episode, with its cost and its whole conversation folded below."""
    cards = "\n".join(card(episode, at) for at, episode in enumerate(episodes, start=1))
    return document(title, _summary(episodes), cards)


def document(title: str, summary: str, main: str, style: str = STYLE) -> str:
    """A whole page: `summary` and `main` are HTML, `title` is text."""
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{policy(style)}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="referrer" content="no-referrer">
<title>{html_text(title)}</title>
<style>{style}</style>
</head>
<body>
<header>
<h1 dir="auto">{html_text(title)}</h1>
<p class="muted">{summary}</p>
</header>
<main>
{main}
</main>
</body>
</html>
"""


def policy(style: str = STYLE) -> str:
    """The Content-Security-Policy: this style sheet and images inside the page, nothing else."""
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode("ascii")
    return (
        f"default-src 'none'; img-src data:; style-src 'sha256-{digest}'; "
        "base-uri 'none'; form-action 'none'"
    )


def _summary(episodes: Sequence[Episode]) -> str:
    processed = sum(episode.ledger.processed for episode in episodes)
    vanilla = sum(episode.ledger.vanilla for episode in episodes)
    requests = sum(episode.requested for episode in episodes)
    said = f"{count(len(episodes), 'episode')}, {requests:,} with the original requested"
    if vanilla:
        said += (
            f"; {count(processed, 'visual token')} processed, {percent(processed / vanilla)} of "
            f"vanilla ({vanilla:,}, the originals alone)"
        )
    return said


# One episode


def card(episode: Episode, number: int, aside: str = "") -> str:
    """The HTML of one episode, the `number`-th of its page; `aside` is HTML under its question."""
    told = steps(episode)
    at = next((i for i, step in enumerate(told) if step.delivered), len(told) - 1)
    factor = _factor(episode.example.images)
    ledger = episode.ledger
    label = "First look, at the original" if shows_original(episode) else "First look"
    first = _figure("first", label, first_look(episode), ledger.first, episode, factor)
    if episode.requested:
        originals = episode.example.images
        second = _figure("second", "Original", originals, ledger.requested, episode, factor)
    else:
        second = f'<p class="none">{_absent(episode, told)}</p>'
    after = "".join(_step(step) for step in told[at + 1 :])
    answer = f'<p class="said" dir="auto">{html_text(episode.answer)}</p>' if episode.answer else ""
    problem = f'<p class="muted">{html_text(ending(episode))}</p>' if ending(episode) else ""
    form = "strict form" if episode.format_valid else "not in the strict form"
    facts = f"{episode.model}, look {episode.look}, profile {episode.profile}, {form}"
    return f"""<article aria-labelledby="q{number}">
<header>
<h2 id="q{number}" dir="auto">{html_text(episode.example.question)}</h2>
<p class="muted" dir="auto">{html_text(facts)}</p>{aside}
</header>
<div class="flow">
{first}
<div>{"".join(_step(step) for step in told[: at + 1])}</div>
{second}
</div>
<div class="result">
<div>{_meter(ledger)}</div>
<div><p class="label">{"Answer" if answer else "No answer"}</p>{answer}{problem}
<div class="after">{after}</div></div>
</div>
<details><summary>What it cost</summary>{_costs(ledger)}</details>
<details><summary>The whole conversation</summary>{_conversation(episode.messages)}</details>
</article>"""


def _absent(episode: Episode, told: Sequence[Step]) -> str:
    """Why the original is not there, and what that saved."""
    why = {"auto": "was not requested", "low": "was not offered", "high": "was already seen"}
    said = f"The original {why[episode.look]}."
    if episode.look == "auto" and shows_original(episode):
        said = "The first look was the original: there is no smaller view of it."
    elif any(step.outcome == "request" for step in told):
        said = "The original was requested, but no turn was left to serve it."
    saved = episode.ledger.vanilla - episode.ledger.processed
    return f"{said}<br>{count(saved, 'visual token')} saved." if saved > 0 else said


def _step(step: Step) -> str:
    thought = clean(step.thought)
    if len(thought) > MAX_THOUGHT:
        more = f"{len(thought) - MAX_THOUGHT:,} more characters in the conversation"
        thought = f"{thought[:MAX_THOUGHT].rstrip()}… ({more})"
    said = f'<p dir="auto">{escape(thought)}</p>' if thought else ""
    note = f'<p class="muted">{html_text(step.note)}</p>' if step.note else ""
    decision = f'<p class="decision">{DECISIONS[step.outcome]}</p>'
    return f'<div class="step {step.outcome}">{said}{decision}{note}</div>'


def _meter(ledger: Ledger) -> str:
    """Two bars to one scale, on which vanilla is as long in every episode up to 125 %."""
    scale = 1000 / max(1.25, ledger.ratio) / ledger.vanilla
    first, requested = round(ledger.first * scale), round(ledger.requested * scale)
    parts = f" = {ledger.first:,} first look + {ledger.requested:,} original"
    said = f"{ledger.processed:,} processed{parts if ledger.requested else ''}"
    bar = '<svg viewBox="0 0 1000 10" preserveAspectRatio="none" aria-hidden="true">'
    rect = '<rect class="{}-part" x="{}" width="{}" height="10"/>'
    ours = rect.format("first", 0, first)
    ours += rect.format("requested", first + 4, requested - 4) if requested > 4 else ""
    theirs = rect.format("vanilla", 0, round(ledger.vanilla * scale))
    return (
        f'<p class="share"><span class="label">Visual tokens</span>'
        f'<span><b>{percent(ledger.ratio)}</b> <span class="muted">of vanilla</span></span></p>'
        f'{bar}{ours}</svg><p class="muted">{said}</p>'
        f'{bar}{theirs}</svg><p class="muted">{ledger.vanilla:,} vanilla: the original alone</p>'
    )


# What it cost


def _costs(ledger: Ledger) -> str:
    body = "".join(
        f'<tr><th scope="row">{escape(what)}</th>'
        f"<td>{ours}</td><td>{theirs}</td><td>{ratio}</td></tr>"
        for what, ours, theirs, ratio in _cost_rows(ledger)
    )
    heads = "".join(
        f'<th scope="col">{head}</th>' for head in ("", "this episode", "vanilla", "ratio")
    )
    return (
        f'<div class="scroll"><table><thead><tr>{heads}</tr></thead><tbody>{body}</tbody></table>'
        '</div><p class="muted">Vanilla is the first prompt with the originals in place of the '
        "first look, answered at once.</p>"
    )


def _cost_rows(ledger: Ledger) -> Iterator[tuple[str, str, str, str]]:
    """What is counted, this episode's figure, vanilla's, and their ratio."""
    yield "visual tokens of the first look", f"{ledger.first:,}", "", ""
    yield "visual tokens of the requested original", f"{ledger.requested:,}", "", ""
    yield (
        "visual tokens processed: first look + requested",
        f"{ledger.processed:,}",
        f"{ledger.vanilla:,}",
        percent(ledger.ratio),
    )
    yield "prompt tokens of all turns, text and visual", f"{ledger.prompt_tokens:,}", "", ""
    yield "of these cached: not computed again", f"{ledger.cached_tokens:,}", "", ""
    yield "generated tokens of all turns", f"{ledger.completion_tokens:,}", "", ""
    for what, ours, theirs in (
        (
            "prefill FLOPs, exact: text model and vision tower, two per multiply-add",
            ledger.prefill_flops,
            ledger.vanilla_prefill_flops,
        ),
        (
            "prefill, by the paper's formula: multiply-adds of a plain text model",
            ledger.paper_prefill_flops,
            ledger.vanilla_paper_prefill_flops,
        ),
    ):
        if ours is None or theirs is None:
            yield what, "model sizes not known", "", ""
        else:
            ratio = percent(ours / theirs) if theirs else ""
            yield what, flops(ours, theirs), flops(theirs, ours), ratio
    yield "wall clock, with waiting", seconds(ledger.seconds), "", ""


# Conversation and images


def _conversation(messages: Sequence[Message]) -> str:
    items = "".join(
        f'<li class="{message.role}"><p class="label">{message.role}</p>'
        f"{''.join(_part(part) for part in message.parts)}</li>"
        for message in messages
    )
    return f'<ol class="messages">{items}</ol>'


def _part(part: str | Picture) -> str:
    if isinstance(part, str):
        return f'<pre dir="auto">{html_text(part)}</pre>'
    thumbnail = part.image.copy()
    thumbnail.thumbnail((THUMBNAIL, THUMBNAIL))
    size = pixels([part])
    return f'<img src="{_data_url(thumbnail)}" alt="image, {size}"><p class="muted">{size}</p>'


def _factor(originals: Sequence[Picture]) -> float:
    longest = max((max(picture.size) for picture in originals), default=1)
    return min(1.0, LONGEST_SIDE / longest)


def _figure(
    kind: str,
    label: str,
    pictures: Sequence[Picture],
    tokens: int,
    episode: Episode,
    factor: float,
) -> str:
    """Pictures drawn as large as the originals, so that what a small look lacks can be seen."""
    images = ""
    for picture, original in zip(pictures, episode.example.images, strict=False):
        image = picture.image
        if factor < 1:
            size = [max(1, round(side * factor)) for side in picture.size]
            image = image.resize((size[0], size[1]), Image.Resampling.LANCZOS)
        width, height = _shown_size(original, alone=len(pictures) == 1)
        enlarged = ' class="enlarged"' if picture.size[0] < width else ""
        images += (
            f'<img{enlarged} src="{_data_url(image)}" alt="{label}: {pixels([picture])}" '
            f'width="{width}" height="{height}">'
        )
    return (
        f'<figure class="{kind}"><figcaption><b>{label}</b> {count(tokens, "visual token")}, '
        f'{pixels(pictures)}</figcaption><div class="seen">{images}</div></figure>'
    )


def _shown_size(original: Picture, *, alone: bool) -> tuple[int, int]:
    width, height = original.size
    scale = min(SHOWN[0] / width, SHOWN[1] / height) * (1 if alone else 0.48)
    return max(4, round(width * scale)), max(4, round(height * scale))


def _data_url(image: Image.Image) -> str:
    buffer, kind = io.BytesIO(), "png"
    image.save(buffer, "PNG", optimize=True)
    if buffer.tell() > MAX_PNG:
        buffer, kind = io.BytesIO(), "jpeg"
        image.save(buffer, "JPEG", quality=90)
    return f"data:image/{kind};base64,{base64.b64encode(buffer.getvalue()).decode('ascii')}"
