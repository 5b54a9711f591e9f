"""Rows about a red image, a server that says so, and commands that are stopped at work on them."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from PIL import Image

from engines.chat_server import says
from visionthink.core.protocol import direct_reply

ROWS = 12
RED = says(direct_reply("", "red"))
SLOWLY_RED = says(direct_reply("", "red"), delay=0.02)
"""20 ms a reply."""


def write_rows(folder: Path) -> Path:
    """12 rows; of every three, two have the answer red and one blue."""
    Image.new("RGB", (112, 112), "red").save(folder / "image.png")
    line = {"image": "image.png", "question": "Which colour?"}
    rows = [{**line, "id": f"r{i}", "answer": "blue" if i % 3 == 2 else "red"} for i in range(ROWS)]
    path = folder / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def started(*arguments: str) -> subprocess.Popen[str]:
    """`visionthink` in a process of its own."""
    return subprocess.Popen(
        [sys.executable, "-c", "from visionthink.cli.main import main; main()", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def wait_until(true: Callable[[], bool], process: subprocess.Popen[str]) -> None:
    for _ in range(6000):
        if true():
            return
        assert process.poll() is None, process.communicate()
        time.sleep(0.01)
    raise AssertionError("nothing happened in a minute")
