"""The pages that commands write, opened as files in a real Chromium, wide and narrow.

Each visit checks that the console stays empty, that nothing is loaded from anywhere, and that
nothing is wider than the window (see `visit`).
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect
from visit import watched

from visionthink.runs.folder import RunFolder

pytestmark = pytest.mark.browser

WIDTHS = pytest.mark.parametrize("width", [1280, 360])


def run(*words: object) -> None:
    """In a process of its own: Playwright keeps an event loop in this one."""
    command = [sys.executable, "-m", "visionthink", *map(str, words)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pages of an evaluation, of a training and of the demo."""
    folder = tmp_path_factory.mktemp("pages")
    policies = [w for p in ("high", "low", "auto", "oracle") for w in ("--policy", p)]
    run("eval", "mini", "--limit", 20, *policies, "--device", "cpu", "--out", folder / "eval")
    run("report", folder / "eval", "--published", "--out", folder / "evaluation")
    training = RunFolder.create(folder / "train", {"reward": {"rule": "paper"}}, environment={})
    for step in range(1, 20):
        rates = {f"episode/request_rate/kind/{kind}": step / 20 for kind in ("weak", "strong")}
        training.append_metrics({"step": step, "reward/total": step / 10, **rates})
    run("report", folder / "train", "--out", folder / "training")
    run("demo", "--out", folder / "demo")
    return folder


def assert_pictures(page: Page) -> None:
    """There are some, and all have something to show."""
    widths = page.eval_on_selector_all("img", "all => all.map(image => image.naturalWidth)")
    assert widths
    assert all(widths)


@WIDTHS
def test_the_page_of_an_evaluation(chromium: Browser, pages: Path, width: int) -> None:
    url = (pages / "evaluation" / "report.html").as_uri()
    with watched(chromium, url, viewport={"width": width, "height": 800}) as page:
        expect(page.get_by_role("heading", name="Scores")).to_be_visible()
        expect(page.get_by_role("table").first).to_contain_text("VisionThink (auto)")
        assert_pictures(page)


def test_tables_of_an_evaluation_are_not_cut_at_1280_pixels(chromium: Browser, pages: Path) -> None:
    url = (pages / "evaluation" / "report.html").as_uri()
    with watched(chromium, url, viewport={"width": 1280, "height": 800}) as page:
        widths = page.eval_on_selector_all(
            ".figures .scroll", "all => all.map(part => [part.scrollWidth, part.clientWidth])"
        )
        assert len(widths) >= 4
        assert all(content <= shown for content, shown in widths)


def test_episodes_of_an_evaluation_can_be_chosen(chromium: Browser, pages: Path) -> None:
    url = (pages / "evaluation" / "report.html").as_uri()
    with watched(chromium, url, viewport={"width": 1280, "height": 800}) as page:
        shown = page.locator(".sample:visible")
        every = shown.count()
        page.get_by_label("requested", exact=True).check()
        chosen = shown.count()
        assert 0 < chosen < every
        page.get_by_label("low", exact=True).check()
        expect(shown).to_have_count(0)


@WIDTHS
def test_the_page_of_a_training(chromium: Browser, pages: Path, width: int) -> None:
    url = (pages / "training" / "report.html").as_uri()
    with watched(chromium, url, viewport={"width": width, "height": 800}) as page:
        expect(page.get_by_role("table").first).to_contain_text("train")
        assert page.locator("svg, img").count()


@WIDTHS
def test_the_page_of_the_demo(chromium: Browser, pages: Path, width: int) -> None:
    url = (pages / "demo" / "demo.html").as_uri()
    with watched(chromium, url, viewport={"width": width, "height": 800}) as page:
        expect(page.get_by_text("How much is the rye?").first).to_be_visible()
        assert_pictures(page)
