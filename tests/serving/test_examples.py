"""The examples for the openai client and for curl do what they say."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Generator
from pathlib import Path

import pytest

from serving.gateways import KEY, Served, served
from visionthink.engines.hf import HFEngine
from visionthink.mini import CHECKPOINTS

EXAMPLES = Path(__file__).parents[2] / "examples"
TAG = CHECKPOINTS.parent / "samples" / "tag.png"
QUESTION = "What code is on the tag?"


@pytest.fixture(scope="module")
def server() -> Generator[Served]:
    engine = HFEngine(CHECKPOINTS / "mini", name="mini", device="cpu")
    with served(engine, name="mini", keys=[KEY]) as running:
        yield running


def start(server: Served, *command: object) -> str:
    environment = os.environ | {"OPENAI_BASE_URL": server.url, "OPENAI_API_KEY": KEY}
    done = subprocess.run(
        [str(each) for each in command],
        capture_output=True,
        text=True,
        env=environment,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_example_for_the_openai_client(server: Served):
    """The tag is of a strong family: it needs the original, which costs a quarter more."""
    said = start(server, sys.executable, EXAMPLES / "ask.py", TAG, QUESTION)
    reasoning, blank, *_, answer, saved = said.splitlines()
    assert reasoning.startswith("reasoning: ")
    assert blank == ""
    assert answer == "answer: UJA"
    assert saved == "original requested: True, saved: -25%"


@pytest.mark.skipif(not Path("/usr/bin/curl").exists(), reason="there is no curl")
def test_the_example_for_curl(server: Served):
    said = json.loads(start(server, "bash", EXAMPLES / "ask.sh", TAG, QUESTION, "mini:low"))
    assert said["model"] == "mini:low"
    assert said["usage"]["visionthink"]["saved_ratio"] == 0.75
