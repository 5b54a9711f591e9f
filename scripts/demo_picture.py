"""Write docs/demo.png, the page of two episodes as Chromium (or $CHROMIUM) shows it."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

from playwright.sync_api import sync_playwright

import visionthink
from visionthink.mini import SAMPLES

QUESTIONS = (
    ("digit.png", "What digit do you see?"),
    ("receipt.png", "How much is the rye?"),
)
PICTURE = Path("docs/demo.png")
WIDTH = 820
MOST_BYTES = 200_000


def main() -> None:
    program = os.environ.get("CHROMIUM") or shutil.which("chromium")
    if program is None:
        raise SystemExit("expected a Chromium; run scripts/browser_env.sh or set CHROMIUM")
    episodes = visionthink.ask_many((SAMPLES / name, question) for name, question in QUESTIONS)
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        html = Path(folder) / "demo.html"
        visionthink.save_page(episodes, html, title="Two questions, two decisions")
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": WIDTH, "height": 800})
        page.goto(html.as_uri())
        page.evaluate("document.querySelectorAll('details').forEach(part => part.remove())")
        page.screenshot(path=PICTURE, full_page=True)
        browser.close()
    if (size := PICTURE.stat().st_size) > MOST_BYTES:
        raise SystemExit(f"{PICTURE} has {size:,} bytes, more than {MOST_BYTES:,}")
    print(f"{PICTURE}: {size:,} bytes")


if __name__ == "__main__":
    main()
