"""A visit to a page, in which nothing may go wrong unnoticed.

with visit(chromium, server) as page:
    ask(page, "What code is on the tag?")
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

from playwright.sync_api import Browser, Locator, Page, expect

from serving.gateways import Served, served
from visionthink.core.engine import Engine
from visionthink.serving.pool import Backend

PATIENCE = 60_000
"""Milliseconds; the machine may be busy."""


@contextmanager
def visit(
    browser: Browser, server: Served, *, failures: int = 0, **context: Any
) -> Generator[Page]:
    """The playground of a server, see `watched`."""
    host = f"127.0.0.1:{server.port}"
    with watched(browser, f"http://{host}/", host, failures=failures, **context) as page:
        yield page


@contextmanager
def watched(
    browser: Browser, url: str, host: str = "", *, failures: int = 0, **context: Any
) -> Generator[Page]:
    """A page of its own. Afterwards: it asked no other host, and its console is empty but for so
    many `failures`, which the browser writes there for each response of 4xx and 5xx.
    """
    wrong: list[str] = []
    hosts: set[str] = set()
    with browser.new_context(**context) as session:
        page = session.new_page()
        page.set_default_timeout(PATIENCE)
        page.on("console", lambda said: wrong.append(said.text))
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("request", lambda request: hosts.add(urlsplit(request.url).netloc))
        page.goto(url, wait_until="networkidle")
        yield page
        assert_fits(page)
    failed = [text for text in wrong if text.startswith("Failed to load resource")]
    assert (len(failed), [text for text in wrong if text not in failed]) == (failures, [])
    assert hosts | {""} == {host, ""}  # data URLs and files have no host


@contextmanager
def opened(
    browser: Browser, engine: Engine | Backend, *, failures: int = 0, **options: Any
) -> Generator[Page]:
    """A visit to a server of its own, with these options."""
    with served(engine, **options) as server, visit(browser, server, failures=failures) as page:
        yield page


def assert_fits(page: Page) -> None:
    """Nothing is wider than the window."""
    scrolled, width = page.evaluate("[document.documentElement.scrollWidth, innerWidth]")
    assert scrolled <= width


def choose_sample(page: Page, question: str) -> None:
    sample = page.get_by_role("button", name=question)
    sample.click()
    expect(sample).to_have_attribute("aria-pressed", "true")
    expect(page.get_by_label("Question")).to_have_value(question)


def choose_file(page: Page, name: str, data: bytes) -> None:
    page.get_by_label("Choose, drop or paste an image").set_input_files(
        {"name": name, "mimeType": "application/octet-stream", "buffer": data}
    )


def press_ask(page: Page) -> None:
    page.get_by_role("button", name="Ask", exact=True).click()


def look(page: Page, name: str) -> None:
    page.get_by_text(name, exact=True).click()


def finished(page: Page, count: int = 1) -> list[Locator]:
    """The cards, when all is there."""
    cards = page.get_by_role("article")
    expect(page.locator("article[aria-busy=false]")).to_have_count(count, timeout=PATIENCE)
    expect(page.get_by_role("button", name="Cancel")).to_be_hidden()
    return cards.all()
