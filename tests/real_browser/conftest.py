"""Debian's Chromium, headless, and the embedded model behind a real server."""

from __future__ import annotations

import os
import shutil
from collections.abc import Generator

import pytest
from playwright.sync_api import Browser, sync_playwright

from serving.gateways import Served, served
from visionthink.api import open_engine

CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium")


@pytest.fixture(scope="session")
def chromium() -> Generator[Browser]:
    if CHROMIUM is None:
        pytest.skip("there is no Chromium: run `make test-browser`, or scripts/browser_env.sh")
    # Its sandbox does not work for root, which continuous integration often is.
    options = ["--no-sandbox"] if os.geteuid() == 0 else []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=options)
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def mini() -> Generator[Served]:
    """The embedded model as `visionthink serve` has it."""
    with served(open_engine(), name="mini") as server:
        yield server
