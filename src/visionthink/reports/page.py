"""Episodes as one HTML page that needs nothing else: no server, no script, no network.

Questions, replies and names are hostile text: the templates clean and escape all of it, nothing
becomes a link, and a Content-Security-Policy allows only our own style sheet and images inside the
page. Images are encoded again from their pixels, so that no metadata (places, cameras) stays.
"""

from __future__ import annotations

import base64
import hashlib
import io
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from PIL import Image

from visionthink.core.types import Episode, Look
from visionthink.reports import formatting
from visionthink.reports.steps import ending, shows_all_at_first, steps

LONGEST_SIDE = 1600
"""Larger looks are shown shrunk to this, and all others of the episode by the same factor."""
SHOWN = (336, 416)
"""CSS pixels into which a look is fitted, enlarged or shrunk; half as wide for one of several."""
MAX_PNG = 400_000
"""Bytes; larger images are embedded as JPEG."""


def save_page(
    episodes: Sequence[Episode], path: str | os.PathLike[str], title: str = "Episodes"
) -> None:
    """Write `episode_page` as UTF-8; missing folders are made. Raises OSError if it cannot."""
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Path(path).write_text(episode_page(episodes, title), encoding="utf-8", newline="\n")


def episode_page(episodes: Sequence[Episode], title: str = "Episodes") -> str:
    """The page: one card an episode, with its cost and its whole conversation folded below."""
    cards = [card(episode, number) for number, episode in enumerate(episodes, start=1)]
    return render("episodes.html.jinja", title=title, cards=cards)


def card(episode: Episode, number: int) -> dict[str, Any]:
    """What `card.html.jinja` shows of one episode, the `number`-th of its page."""
    longest = max((max(look.size) for look in episode.looks), default=1)
    return {
        "number": number,
        "episode": episode,
        "steps": steps(episode),
        "ending": ending(episode),
        "whole": shows_all_at_first(episode),
        "factor": min(1.0, LONGEST_SIDE / longest),
    }


# Templates


def render(template: str, *, style: str = "", **values: Any) -> str:
    """A page from a template; `style` is added to the style sheet of all pages."""
    sheet = style_sheet("page.css") + style
    digest = base64.b64encode(hashlib.sha256(sheet.encode()).digest()).decode("ascii")
    policy = (
        f"default-src 'none'; img-src data:; style-src 'sha256-{digest}'; "
        "base-uri 'none'; form-action 'none'"
    )
    page = _TEMPLATES.get_template(template)
    return page.render(style=Markup(sheet), policy=policy, **values)  # noqa: S704 - our own


def macro(template: str, name: str, *values: object) -> Markup:
    """The HTML of one macro of a template."""
    return getattr(_TEMPLATES.get_template(template).module, name)(*values)


def style_sheet(name: str) -> str:
    return (Path(__file__).parent / "templates" / name).read_text(encoding="utf-8")


def data_url(data: bytes, kind: str) -> Markup:
    encoded = base64.b64encode(data).decode("ascii")
    return Markup(f"data:image/{kind};base64,{encoded}")  # noqa: S704 - base64 has no markup


def _printed(value: object) -> object:
    """Every text that a template prints is cleaned here; jinja2 escapes it afterwards."""
    if isinstance(value, str) and not isinstance(value, Markup):
        return formatting.clean(value)
    return value


def _figure(look: Look, several: bool, factor: float) -> dict[str, Any]:
    """A look as the model saw it: enlarged or shrunk, never sharper than the model's."""
    width, height = look.size
    image = look.picture.image
    seen = (max(1, round(width * factor)), max(1, round(height * factor)))
    if image.width > seen[0]:
        image = image.resize(seen, Image.Resampling.LANCZOS)
    scale = min(SHOWN[0] / width, SHOWN[1] / height) * (0.48 if several else 1)
    shown = (max(4, round(width * scale)), max(4, round(height * scale)))
    return {"src": _image_url(image), "size": shown, "enlarged": image.width < shown[0]}


def _image_url(image: Image.Image, most: int = LONGEST_SIDE) -> Markup:
    if max(image.size) > most:
        image = image.copy()
        image.thumbnail((most, most))
    buffer = io.BytesIO()
    image.save(buffer, "PNG", optimize=True)
    if buffer.tell() <= MAX_PNG:
        return data_url(buffer.getvalue(), "png")
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=90)
    return data_url(buffer.getvalue(), "jpeg")


_TEMPLATES = Environment(
    loader=PackageLoader("visionthink.reports"),
    autoescape=True,
    finalize=_printed,
    trim_blocks=True,
    lstrip_blocks=True,
    undefined=StrictUndefined,
)
_TEMPLATES.globals |= {"figure": _figure, "image_url": _image_url}
_TEMPLATES.filters |= {
    name: getattr(formatting, name)
    for name in ("box_text", "clean", "count", "flops", "percent", "pixels", "seconds")
}
