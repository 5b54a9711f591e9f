"""Pages read strictly, tag by tag."""

from __future__ import annotations

import re
from html.parser import HTMLParser

VOID = {"meta", "img", "input"}
ALLOWED = {
    *("html", "head", "meta", "title", "style", "body", "header", "main", "section", "article"),
    *("h1", "h2", "p", "b", "span", "div", "figure", "figcaption", "img", "svg", "rect"),
    *("details", "summary", "table", "thead", "tbody", "tr", "th", "td", "ul", "ol", "li", "pre"),
    *("label", "input"),
}


class Walk(HTMLParser):
    """Reads a page strictly: every tag is one that we write, and closed in order."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.text: list[str] = []
        self.feed(page)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag in ALLOWED
        self.tags.append((tag, {name: value or "" for name, value in attrs}))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag == "rect"
        self.tags.append((tag, {name: value or "" for name, value in attrs}))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text.append(data)

    def named(self, tag: str) -> list[dict[str, str]]:
        return [attributes for name, attributes in self.tags if name == tag]

    def rows(self) -> str:
        """The text of the page, with single spaces."""
        return re.sub(r"\s+", " ", " ".join(self.text))


def check_alone(walk: Walk) -> None:
    """Nothing on the page is from elsewhere, and nothing on it runs."""
    for tag, attributes in walk.tags:
        assert tag not in ("script", "a", "link", "iframe", "form")
        assert not any(name.startswith("on") for name in attributes)
        assert "href" not in attributes
        if tag == "img":
            assert attributes["src"].startswith("data:image/")
